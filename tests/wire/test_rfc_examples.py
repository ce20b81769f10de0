"""The frames that the RFCs print: what people check a decoder with by hand."""

from __future__ import annotations

import pytest

from tests.wire.senders import handshake
from wslab.wire import Connection, FrameTable, Recorder
from wslab.wire.messages import frame_problem

BYTES_256, BYTES_64K = bytes(range(256)), bytes(range(256)) * 256


def read(stream, *, direction="out", extensions="", chunk=1):
    """The frame table of one connection of which one direction had `stream`, a few bytes at a time."""
    recorder = Recorder(snaplen=2**17)
    connection = Connection(1, "", recorder)
    handshake(connection, extensions)
    flow = connection.received if direction == "in" else connection.sent
    for start in range(0, len(stream), chunk):
        flow.feed(stream[start : start + chunk])
    return FrameTable(recorder)


HELLO = b"Hello"
FRAMING = {  # RFC 6455 section 5.7: direction, bytes, and (name, fin, masking key, payload) of each frame
    "a single-frame unmasked text message": ("out", "8105 48656c6c6f", [("TEXT", True, None, HELLO)]),
    "a single-frame masked text message": (
        "in",
        "8185 37fa213d 7f9f4d5158",
        [("TEXT", True, "37fa213d", HELLO)],
    ),
    "a fragmented unmasked text message": (
        "out",
        "0103 48656c 8002 6c6f",
        [("TEXT", False, None, b"Hel"), ("CONTINUATION", True, None, b"lo")],
    ),
    "an unmasked ping request": ("out", "8905 48656c6c6f", [("PING", True, None, HELLO)]),
    "a masked ping response": (
        "in",
        "8a85 37fa213d 7f9f4d5158",
        [("PONG", True, "37fa213d", HELLO)],
    ),
    "256 bytes binary message in a single unmasked frame": (
        "out",
        "827e 0100" + BYTES_256.hex(),
        [("BINARY", True, None, BYTES_256)],
    ),
    "64KiB binary message in a single unmasked frame": (
        "out",
        "827f 0000000000010000" + BYTES_64K.hex(),
        [("BINARY", True, None, BYTES_64K)],
    ),
}


@pytest.mark.parametrize("name", FRAMING)
@pytest.mark.parametrize("chunk", [1, 3, 10_000, 100_000])
def test_the_examples_of_rfc_6455_section_5_7(name, chunk):
    direction, printed, expected = FRAMING[name]
    table = read(bytes.fromhex(printed), direction=direction, chunk=chunk)
    found = [
        (row.name, row.frame.fin, row.frame.mask_key and row.frame.mask_key.hex(), row.payload)
        for row in table
    ]
    assert found == expected
    assert not any(frame_problem(row.frame, direction) for row in table)
    assert b"".join(row.frame.raw for row in table) == bytes.fromhex(printed)
    data = [content for name, *_, content in expected if name not in {"PING", "PONG"}]
    assert [(message.content, message.problem) for message in table.messages()] == (
        [(b"".join(data), "")] if data else []
    )


DEFLATE = {  # RFC 7692 section 7.2.3: frames as they are printed, each message "Hello"
    "7.2.3.1, a message compressed using one block": ["c107 f248cdc9c90700"],
    "7.2.3.1, the same in two fragments": ["4103 f248cd 8004 c9c90700"],
    "7.2.3.2, sharing the window: the message once more": ["c107 f248cdc9c90700", "c107 f248cdc9c90700"],
    "7.2.3.2, sharing the window: a reference to it": ["c107 f248cdc9c90700", "c105 f200110000"],
    "7.2.3.3, a block with no compression": ["c10b 000500faff48656c6c6f00"],
    "7.2.3.4, a block with BFINAL set to 1": ["c108 f348cdc9c9070000"],
    "7.2.3.5, two blocks in one message": ["c10d f24805000000ffffcac9c90700"],
    "7.2.3.6, an empty fragment at the end": ["410b f248cdc9c907000000ffff 8001 00"],
}


@pytest.mark.parametrize("name", DEFLATE)
def test_the_examples_of_rfc_7692_section_7_2_3(name):
    stream = bytes.fromhex("".join(DEFLATE[name]))
    found = read(stream, extensions="permessage-deflate").messages()
    assert [(message.text, message.compressed, message.problem) for message in found] == (
        [("Hello", True, "")] * len(DEFLATE[name])
    )


def test_a_message_of_one_empty_block_is_empty():
    """Section 7.2.3.6 again: what an endpoint sends that has nothing left to compress."""
    [message] = read(bytes.fromhex("c101 00"), extensions="permessage-deflate").messages()
    assert (message.content, message.problem) == (b"", "")


def test_a_reference_to_a_window_that_was_given_up_is_a_mistake_of_the_sender():
    stream = bytes.fromhex("c107 f248cdc9c90700 c105 f200110000")
    extensions = "permessage-deflate; server_no_context_takeover"
    first, second = read(stream, extensions=extensions).messages()
    assert (first.text, first.problem) == ("Hello", "")
    assert "RFC 7692 section 7.2.2" in second.problem
    assert "not in the recorder" not in second.problem
