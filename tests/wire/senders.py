"""One direction's bytes, made from a script: what the decoders in these tests are fed with.

DEFLATE comes from zlib itself, in every way that RFC 7692 leaves to a sender, and not from our codec.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

from wslab.wire import accept_key, encode_frame

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 4
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TAIL = b"\x00\x00\xff\xff"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"

FLUSHES = ("sync", "full", "twice", "padded")
"""Ways to end a message that leave the window as it is; "final" ends the stream of blocks (7.2.3.4)."""


def handshake(connection, extensions="", subprotocol=""):
    """Give `connection` the heads of an opening handshake that agreed on these."""
    fields = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    fields += f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    connection.request = (
        f"GET /talk?room=1 HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{fields}"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    accept = f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n"
    response = f"HTTP/1.1 101 Switching Protocols\r\n{UPGRADE}{fields}{accept}\r\n"
    connection.note_response(response.encode(), 101)


def answer(deflates):
    """The response's extensions for the settings (reset, bits) of client and server; None: no extension."""
    if deflates is None:
        return ""
    parts = ["permessage-deflate"]
    for side, (reset, bits) in zip(("client", "server"), deflates, strict=True):
        parts += [f"{side}_no_context_takeover"] * reset + [f"{side}_max_window_bits={bits}"] * (bits < 15)
    return "; ".join(parts)


class Sender:
    """One side that sends.

    Args:
        key: masks every frame; None for a server.
        deflate: (forget the window after each message, its bits); None where it was not agreed on.
    """

    def __init__(self, key=None, deflate=None, level=6):
        self.key = key or b""
        self.reset, self.bits = deflate or (False, 15)
        self.level = level
        self._compressor = None

    def frame(self, opcode, payload=b"", **how):
        return encode_frame(opcode, payload, mask=self.key, **how)

    def compress(self, content, flush="sync"):
        """The payload of a message with RSV1."""
        if self._compressor is None or self.reset:
            self._compressor = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)
        compressor, half = self._compressor, len(content) // 2
        data = compressor.compress(content[:half])
        if flush == "twice":
            data += compressor.flush(zlib.Z_SYNC_FLUSH)
        data += compressor.compress(content[half:])
        if flush == "final":
            self._compressor = None
            return data + compressor.flush() + b"\x00"
        data += compressor.flush(zlib.Z_FULL_FLUSH if flush == "full" else zlib.Z_SYNC_FLUSH)
        # zlib writes nothing where nothing is new: section 7.2.3.6 has the byte for that.
        data = data.removesuffix(TAIL) or b"\x00"
        return data + TAIL + b"\x00" if flush == "padded" else data

    def message(self, opcode, content, *, flush="", cuts=(), between=()):
        """The frames of one message.

        Args:
            flush: how it is compressed; "" for not at all.
            cuts: places at which its payload is cut into fragments.
            between: (opcode, payload) of the control frames after the first fragment.
        """
        payload = self.compress(content, flush) if flush else content
        edges = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
        pieces = [payload[start:end] for start, end in pairwise(edges)]
        frames = []
        for number, piece in enumerate(pieces):
            rsv = RSV1 if flush and not number else 0
            fin = number == len(pieces) - 1
            frames.append(self.frame(CONT if number else opcode, piece, fin=fin, rsv=rsv))
            if not number and not fin:
                frames += [self.frame(*control) for control in between]
        return frames


def chunks(stream, sizes):
    """`stream` in pieces of the lengths `sizes`, again and again."""
    position = turn = 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        yield stream[position : position + size]
        position += size
        turn += 1
