"""A peer chooses what is decoded: the work it makes grows with its bytes, and no faster.

Work is counted, not timed: the calls that the interpreter makes, Python's own and those into C.
"""

from __future__ import annotations

import sys

import pytest

from tests.wire.senders import BINARY, CONT, PING, TEXT, chunks, handshake
from wslab.wire import Connection, Engine, FrameTable, PerMessageDeflate, Recorder, encode_frame
from wslab.wire.messages import Message

KEY = b"abcd"
RSV1 = 4


def one_frame(size):
    return encode_frame(BINARY, bytes(size), mask=KEY)


def one_text(size):
    return encode_frame(TEXT, ("é" * (size // 2)).encode(), mask=KEY)


def many_frames(size):
    return encode_frame(TEXT, b"hi", mask=KEY) * (size // 8)


def many_pings(size):
    return encode_frame(PING, bytes(125), mask=KEY) * (size // 131)


def many_fragments(size, opcode=TEXT, payload=b"x"):
    middle = encode_frame(CONT, payload, fin=False, mask=KEY) * (size // 7)
    return encode_frame(opcode, b"", fin=False, mask=KEY) + middle + encode_frame(CONT, mask=KEY)


def empty_fragments(size):
    return many_fragments(size, BINARY, b"")


def many_beginnings(size):
    return encode_frame(TEXT, b"x", fin=False, mask=KEY) * (size // 7)


def many_compressed(size):
    codec = PerMessageDeflate()
    packed = [codec.compress(b"again %d" % number) for number in range(size // 20)]
    return b"".join(encode_frame(TEXT, payload, rsv=RSV1, mask=KEY) for payload in packed)


def final_blocks(size):
    return encode_frame(BINARY, b"\x03\x00" * 6 + b"\x00", rsv=RSV1, mask=KEY) * (size // 20)


def recorded(stream, size):
    recorder = Recorder(frames=2**16, snaplen=2**20)
    connection = Connection(1, "", recorder)
    handshake(connection, "permessage-deflate")
    for piece in chunks(stream, [size]):
        connection.received.feed(piece)
    return FrameTable(recorder)


def viewed(stream, size):
    table = recorded(stream, size)
    assert all(message.frames for message in table.messages())
    for frame in table:
        _ = frame.frame.problem, frame.text
    table.where("len>3 && problem")


def engined(stream, size):
    engine = Engine(deflate=PerMessageDeflate())
    for piece in chunks(stream, [size]):
        engine.receive(piece)


def calls(work, *arguments):
    """How many calls `work` makes."""
    count = 0

    def profile(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work(*arguments)
    finally:
        sys.setprofile(before)
    return count


STREAMS = (
    *(one_frame, one_text, many_frames, many_pings, many_fragments, empty_fragments, many_beginnings),
    *(many_compressed, final_blocks),
)


@pytest.mark.parametrize("size", [1, 1000, 2**20])
@pytest.mark.parametrize("work", [viewed, engined])
@pytest.mark.parametrize("stream", STREAMS)
def test_four_times_the_bytes_are_four_times_the_work(stream, work, size):
    calls(work, stream(1000), size)  # what is made once, is made now
    one, four = (calls(work, stream(1000 * times), size) for times in (1, 4))
    assert four <= 4.5 * one + 200


def test_a_filter_adds_up_a_message_once_and_not_for_each_of_its_fragments():
    tables = [recorded(many_fragments(700 * times), 2**20) for times in (1, 4)]
    one, four = (calls(table.where, "msg.len>3") for table in tables)
    assert four <= 4.5 * one + 200


def test_a_filter_reads_a_message_once_and_not_for_each_of_its_fragments(monkeypatch):
    recorder = Recorder()
    connections = [Connection(number, "", recorder) for number in (1, 2)]
    for number in range(100):  # by turns, so that no message's fragments follow each other
        for connection in connections:
            last = number == 99
            raw = encode_frame(CONT if number else TEXT, b"x", fin=last, mask=KEY)
            connection.received.feed(raw)
    text, read = Message.text, []
    monkeypatch.setattr(Message, "text", property(lambda message: read.append(1) or text.fget(message)))
    table = FrameTable(recorder)
    assert table.where("text contains xx") == list(table)
    assert len(read) == 2
