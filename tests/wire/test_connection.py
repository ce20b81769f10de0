from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wslab.wire import Connection, FrameTable, Opcode, Recorder, encode_frame


def connection(recorder: Recorder | None = None) -> Connection:
    made = Connection(3, "127.0.0.1:5", Recorder() if recorder is None else recorder)
    made.request = b"GET /echo?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
    made.note_response(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat\r\n\r\n", 101)
    return made


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(points)]


frames = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 9, 10]), st.binary(max_size=200), st.booleans(), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(frames=frames, cuts=st.lists(st.integers(0, 3000), max_size=20), big=st.booleans())
def test_any_chunking_gives_the_same_frames(frames, cuts, big):
    frames = [(op, payload * (400 if big else 1), fin or op > 7, mask) for op, payload, fin, mask in frames]
    encoded = [encode_frame(op, payload, fin=fin, mask=mask) for op, payload, fin, mask in frames]
    recorder = Recorder(snaplen=1000)
    record = connection(recorder)
    for chunk in split(b"".join(encoded), cuts):
        record.received.feed(chunk)
    kept = recorder.records(0, recorder.end)
    assert [entry[4] for entry in kept] == [len(raw) for raw in encoded]
    assert [entry[5] for entry in kept] == [raw[:1000] for raw in encoded]
    assert record.received.frames == len(encoded)
    assert record.received.bytes == sum(map(len, encoded))
    assert record.received.messages == sum(1 for op, _, fin, _ in frames if fin and op < 8)


def test_a_long_frame_is_cut_at_the_snaplen_and_says_so():
    recorder = Recorder(snaplen=100)
    connection(recorder).received.feed(encode_frame(2, b"a" * 5000))
    (recorded,) = FrameTable(recorder)
    assert recorded.frame is not None
    assert (recorded.wire_length, recorded.frame.length, recorded.frame.cut) == (5004, 5000, True)
    assert len(recorded.payload) == 96


def test_a_frame_that_the_end_cut_is_recorded_as_far_as_it_came():
    recorder = Recorder()
    record = connection(recorder)
    record.received.feed(encode_frame(1, b"hello", mask=b"abcd")[:8])
    assert len(recorder) == 0
    record.note_end()
    (recorded,) = FrameTable(recorder)
    assert recorded.wire_length == 8
    assert recorded.frame is not None
    assert "8 of 11 bytes" in recorded.frame.problem


def test_states_and_who_closed_first():
    record = connection()
    assert (record.state, record.close, record.subprotocol, record.path) == (
        "open",
        None,
        "chat",
        "/echo?x=1",
    )
    record.sent.feed(encode_frame(Opcode.CLOSE, b"\x03\xf4restart"))
    assert record.state == "closing"
    record.received.feed(encode_frame(Opcode.CLOSE, b"\x03\xe8", mask=True))
    record.note_end()
    record.note_end()
    assert record.state == "closed"
    assert record.close is not None
    assert (record.close.code, record.close.reason, record.close.by) == (1012, "restart", "server")


def test_an_end_without_a_close_frame_is_1006_by_nobody():
    record = connection()
    record.note_end()
    assert record.close is not None
    assert (record.close.code, record.close.by) == (1006, "")
    assert "1006 by nobody" in repr(record)


def test_a_close_frame_without_a_code_is_1005():
    record = connection()
    record.received.feed(encode_frame(Opcode.CLOSE, mask=True))
    assert record.close is not None
    assert (record.close.code, record.close.by) == (1005, "client")


def test_a_refused_handshake_stays_refused():
    record = Connection(1, "x", Recorder())
    record.note_response(b"HTTP/1.1 403 Forbidden\r\n\r\n", 403)
    record.note_end()
    assert (record.state, record.close) == ("refused", None)
    assert record.to_dict()["code"] is None


def test_its_row_is_plain_values():
    row = connection().to_dict()
    assert row["id"] == "c3"
    assert row["state"] == "open"
    assert {type(value) for value in row.values()} <= {str, int, float, type(None)}
