"""tshark, Wireshark without a window, as a decoder that others wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

COMPLAINTS = '_ws.malformed || _ws.expert.severity >= "Warning" || tcp.analysis.flags'


def runner():
    """A function that runs tshark on a file with options, and returns what it printed."""
    path = shutil.which("tshark")
    if path is None and os.environ.get("CI", "").lower() not in {"1", "true"}:
        pytest.skip("tshark is missing: apt-get install tshark")
    assert path, "CI=true needs tshark"

    def run(file, *options):
        checks = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
        done = subprocess.run(
            [path, "-r", file, *checks, *options], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=60)
    run.version = printed.stdout.split()[2]
    return run


def layers(packet, name):
    found = packet["_source"]["layers"].get(name, [])
    return found if isinstance(found, list) else [found]


def websocket_frames(tshark, path, *options):
    """tshark's WebSocket frames in the order of the file, as (client's address, direction, their fields)."""
    packets = json.loads(tshark(path, "-Y", "websocket", "-T", "json", "-x", "--no-duplicate-keys", *options))
    found = []
    for packet in packets:
        ip = packet["_source"]["layers"]["ip"]
        client = next(ip[name] for name in ("ip.src", "ip.dst") if ip[name].startswith("10."))
        side = "in" if ip["ip.src"] == client else "out"
        shown = layers(packet, "data")
        found += [(client, side, frame | {"data": shown}) for frame in layers(packet, "websocket")]
    return found


def content(frame):
    """The message that tshark shows with its last frame, put together and inflated; None where it shows none.

    Only where packets carry one frame each, as those that we save do: tshark has binary data by the packet.
    """
    payload = frame.get("websocket.payload")
    if isinstance(payload, dict) and "websocket.payload.text_raw" in payload:
        return bytes.fromhex(payload["websocket.payload.text_raw"][0])
    return bytes.fromhex(frame["data"][0]["data.data_raw"][0]) if frame["data"] else None


def header(client, side, frame):
    """Connection, direction, fin, rsv, opcode, masking key, length, unmasked payload."""
    lengths = [frame.get(f"websocket.payload_length{form}") for form in ("_ext_64", "_ext_16", "")]
    key = frame.get("websocket.masking_key", "").replace(":", "")
    payload = frame.get("websocket.payload_raw", [""])[0]
    bits = frame["websocket.fin"] == "1", int(frame["websocket.rsv"], 16)
    length = int(next(filter(None, lengths)))
    return client, side, *bits, int(frame["websocket.opcode"]), key, length, payload


def dissected(tshark, path, *options):
    """tshark's frames, as `header` has them."""
    return [header(*found) for found in websocket_frames(tshark, path, *options)]


def ours(frames):
    """The same of what was recorded."""
    found = []
    for recorded in frames:
        frame = recorded.frame
        rsv = frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3
        key = (frame.mask_key or b"").hex()
        client = address(recorded.connection)
        found.append(
            (client, recorded.direction, frame.fin, rsv, frame.opcode, key, frame.length, frame.payload.hex())
        )
    return found


def address(connection):
    """The address that a saved recording gives a connection's client."""
    number = connection.number
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def complaints(tshark, path, *options):
    """What tshark warns of, or takes for an error or malformed."""
    return tshark(path, "-2", "-Y", COMPLAINTS, *options)
