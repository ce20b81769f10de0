from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from wslab.wire import ConnectionTable, FrameTable, PerMessageDeflate, Recorder, encode_frame
from wslab.wire.messages import messages

KEY = b"abcd"
RSV1 = 4


def opened(recorder, extensions="permessage-deflate"):
    connection = ConnectionTable(recorder).open("127.0.0.1:1")
    line = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    connection.note_response(f"HTTP/1.1 101 Switching Protocols\r\n{line}\r\n".encode(), 101)
    return connection


def test_fragments_are_joined_around_control_frames():
    recorder = Recorder()
    connection = opened(recorder, "")
    stream = (
        encode_frame(1, b"a", fin=False, mask=KEY) + encode_frame(9, b"?", mask=KEY)
        + encode_frame(0, b"b", fin=False, mask=KEY) + encode_frame(0, b"c", mask=KEY)
    )  # fmt: skip
    for byte in stream:
        connection.received.feed(bytes([byte]))
    [message] = FrameTable(recorder).messages()
    assert (message.text, message.direction, message.name, message.problem) == ("abc", "in", "TEXT", "")
    assert message.connection is connection
    assert [frame.seq for frame in message.frames] == [0, 2, 3]
    assert message.wire_length == sum(frame.wire_length for frame in message.frames) == 21
    assert message.at == message.frames[-1].at


def test_messages_come_in_the_order_they_end():
    recorder = Recorder()
    table = ConnectionTable(recorder)
    one, two = table.open("a"), table.open("b")
    one.sent.feed(encode_frame(1, b"slow ", fin=False))
    two.received.feed(encode_frame(2, b"fast", mask=KEY))
    one.sent.feed(encode_frame(0, b"end"))
    one.sent.feed(encode_frame(1, b"goes on", fin=False))
    assert [message.text for message in messages(FrameTable(recorder))] == ["fast", "slow end"]
    one.note_end()
    last = messages(FrameTable(recorder))[-1]
    assert last.text == "goes on"
    assert last.problem.startswith("The connection ended before")


def test_context_takeover_is_per_direction():
    recorder = Recorder()
    connection = opened(recorder, "permessage-deflate; client_no_context_takeover")
    server, client = PerMessageDeflate(), PerMessageDeflate(compress_reset=True)
    text = b'{"n": 1, "text": "a sentence that is worth referring to"}'
    for _ in range(3):
        connection.sent.feed(encode_frame(1, server.compress(text), rsv=RSV1))
        connection.received.feed(encode_frame(1, client.compress(text), rsv=RSV1, mask=KEY))
    found = messages(FrameTable(recorder))
    assert [message.content for message in found] == [text] * 6
    assert all(message.compressed and not message.problem for message in found)
    assert found[0].json["n"] == 1
    outward = [message.wire_length for message in found if message.direction == "out"]
    assert outward[1] < outward[0]


def test_a_compressed_message_in_fragments():
    recorder = Recorder()
    connection = opened(recorder)
    packed = PerMessageDeflate().compress(b"Hello " * 40)
    first = encode_frame(1, packed[:3], fin=False, rsv=RSV1)
    connection.sent.feed(first + encode_frame(0, packed[3:]))
    [message] = messages(FrameTable(recorder))
    assert message.text == "Hello " * 40


def test_a_dropped_context_is_said_and_recovered_from():
    recorder = Recorder(frames=4)
    connection = opened(recorder)
    codec = PerMessageDeflate()
    rng = random.Random(5)
    texts = [rng.randbytes(40).hex().encode() for _ in range(2)]
    for text in [*texts, texts[0], b"!", rng.randbytes(30).hex().encode(), b"#"]:
        connection.sent.feed(encode_frame(1, codec.compress(text), rsv=RSV1))
    found = messages(FrameTable(recorder))
    assert [bool(message.problem) for message in found] == [True, False, False, False]
    assert found[0].content == b""
    assert "not in the recorder" in found[0].problem
    assert "RFC 7692" in found[0].problem
    assert [message.text for message in found[1:4:2]] == ["!", "#"]


def test_a_cut_frame_loses_the_context_of_those_that_need_it():
    recorder = Recorder(snaplen=64)
    connection = opened(recorder)
    codec = PerMessageDeflate()
    long = random.Random(1).randbytes(200)
    for content in (long, long, b"\x01\x02"):
        connection.sent.feed(encode_frame(2, codec.compress(content), rsv=RSV1))
    cut, needs, free = messages(FrameTable(recorder))
    assert "The recorder kept 60 of" in cut.problem
    assert "cannot be inflated" in cut.problem
    assert "not in the recorder" in needs.problem
    assert (free.content, free.problem) == (b"\x01\x02", "")


def test_a_cut_frame_without_compression_keeps_its_beginning():
    recorder = Recorder(snaplen=64)
    connection = opened(recorder, "")
    connection.sent.feed(encode_frame(1, b"x" * 100))
    [message] = messages(FrameTable(recorder))
    assert message.content == b"x" * 62
    assert message.problem == "The recorder kept 62 of 100 bytes of a frame's payload."


def test_rules_that_are_broken_are_said_with_their_section():
    cases = {
        encode_frame(0, b"x"): "no message that this frame could continue (RFC 6455 section 5.4)",
        encode_frame(1, b"x", rsv=RSV1): "agreed on no extension (RFC 6455 section 5.2)",
        encode_frame(1, b"x", mask=KEY): "The server masked this frame (RFC 6455 section 5.1)",
        encode_frame(1, b"a\xff"): "not UTF-8, from byte 1 on (RFC 6455 section 8.1)",
        encode_frame(3, b"x"): "Opcode 0x3 is reserved (RFC 6455 section 5.2)",
    }
    for stream, problem in cases.items():
        recorder = Recorder()
        opened(recorder, "").sent.feed(stream)
        [message] = messages(FrameTable(recorder))
        assert problem in message.problem


def test_a_message_inside_another_breaks_the_first():
    recorder = Recorder()
    opened(recorder, "").sent.feed(encode_frame(1, b"a", fin=False) + encode_frame(1, b"b"))
    first, second = messages(FrameTable(recorder))
    assert "began before this one's last frame (RFC 6455 section 5.4)" in first.problem
    assert (second.text, second.problem) == ("b", "")


def test_bytes_that_are_no_deflate():
    recorder = Recorder()
    opened(recorder).sent.feed(encode_frame(1, b"\xff\xff\xff", rsv=RSV1))
    [message] = messages(FrameTable(recorder))
    assert message.content == b""
    assert "Expected DEFLATE" in message.problem
    assert "RFC 7692 section 7.2.2" in message.problem


def test_a_bomb_is_not_inflated_beyond_the_limit():
    recorder = Recorder()
    connection = opened(recorder)
    codec = PerMessageDeflate(compress_reset=True)
    for size in (600, 100_000, 300):
        connection.sent.feed(encode_frame(2, codec.compress(bytes(size)), rsv=RSV1))
    found = messages(FrameTable(recorder), limit=1_000)
    assert [len(message.content) for message in found] == [600, 0, 300]
    assert "`limit`" in found[1].problem


def test_json_is_none_where_it_is_none():
    recorder = Recorder()
    connection = opened(recorder, "")
    for opcode, content in ((1, b"no"), (2, b"1"), (1, b"[" * 100_000), (1, b"9" * 5_000), (1, b"[1]")):
        connection.sent.feed(encode_frame(opcode, content))
    assert [message.json for message in messages(FrameTable(recorder))] == [None, None, None, None, [1]]


def test_a_message_shows_nothing_that_a_terminal_obeys():
    recorder = Recorder()
    opened(recorder, "").sent.feed(encode_frame(1, "\x1b[31m\u202e".encode()))
    [message] = messages(FrameTable(recorder))
    assert "\x1b" not in repr(message)
    assert "\u202e" not in repr(message)


frames = st.builds(
    encode_frame,
    st.integers(0, 15),
    st.binary(max_size=200),
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    mask=st.sampled_from([b"", KEY]),
)


def mutate(stream, changes):
    """`stream` with some of its bytes changed: headers that lie, keys and DEFLATE that do not fit."""
    changed = bytearray(stream)
    for place, bits in changes if stream else ():
        changed[place % len(stream)] ^= bits
    return bytes(changed)


packed = st.lists(st.binary(max_size=200), max_size=8).map(
    lambda contents: b"".join(
        encode_frame(2, piece, rsv=RSV1)
        for codec in [PerMessageDeflate()]
        for piece in map(codec.compress, contents)
    )
)
changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=5)
streams = st.one_of(
    st.builds(mutate, packed, changes),
    st.builds(mutate, st.lists(frames, max_size=12).map(b"".join), changes),
    st.binary(max_size=300),
    st.lists(frames, max_size=12).map(b"".join),
    st.tuples(st.lists(frames, max_size=12).map(b"".join), st.integers(0, 400)).map(lambda s: s[0][: s[1]]),
)


@given(streams, streams, st.binary(max_size=60), st.integers(2, 8), st.integers(14, 200))
def test_nothing_raises_on_hostile_bytes(received, sent, extensions, kept, snaplen):
    recorder = Recorder(frames=kept, snaplen=snaplen)
    connection = opened(recorder)
    connection.response += b"Sec-WebSocket-Extensions: " + extensions
    connection.received.feed(received)
    connection.sent.feed(sent)
    connection.note_end()
    for message in messages(FrameTable(recorder)):
        assert message.frames
        assert repr(message)
        assert isinstance(message.text, str)


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=300), st.integers(1, 4)), max_size=12),
    st.booleans(),
)
def test_what_was_sent_is_what_is_read(sent, reset):
    recorder = Recorder()
    connection = opened(recorder, "permessage-deflate" + "; server_no_context_takeover" * reset)
    codec = PerMessageDeflate(compress_reset=reset)
    for compress, content, pieces in sent:
        payload = codec.compress(content) if compress else content
        step = max(1, len(payload) // pieces)
        parts = [payload[at : at + step] for at in range(0, len(payload), step)] or [b""]
        for number, part in enumerate(parts):
            rsv = RSV1 if compress and not number else 0
            fin = number == len(parts) - 1
            connection.sent.feed(encode_frame(0 if number else 2, part, fin=fin, rsv=rsv))
    found = messages(FrameTable(recorder))
    assert [message.content for message in found] == [content for _, content, _ in sent]
    assert not [message.problem for message in found if message.problem]
