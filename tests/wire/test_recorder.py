from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.wire import Connection, FrameTable, Recorder, encode_frame


def filled(recorder: Recorder, *sizes: int) -> Connection:
    connection = Connection(1, "127.0.0.1:1", recorder)
    for size in sizes:
        recorder.append(2 * connection.number, size, bytes(size))
    return connection


def test_numbers_go_on_and_the_oldest_goes_first():
    recorder = Recorder(frames=4)
    filled(recorder, *range(6))
    assert [record.seq for record in recorder.records(0, 99)] == [2, 3, 4, 5]
    assert (recorder.begin, recorder.end, len(recorder)) == (2, 6, 4)
    assert recorder.get(1) is None
    assert recorder.get(5) is not None
    assert recorder.get(6) is None


def test_the_byte_budget_holds():
    recorder = Recorder(frames=64, budget=100)
    filled(recorder, *[30] * 10)
    assert recorder.held == 90
    assert len(recorder) == 3


def test_a_frame_above_the_budget_is_kept_alone():
    recorder = Recorder(frames=64, budget=100)
    filled(recorder, 30, 500)
    assert (len(recorder), recorder.held) == (1, 500)


@given(sizes=st.lists(st.integers(0, 50), max_size=60), budget=st.integers(50, 200))
def test_bounds_hold_at_any_time(sizes, budget):
    recorder = Recorder(frames=16, budget=budget)
    for size in sizes:
        filled(recorder, size)
        kept = recorder.records(0, recorder.end)
        assert recorder.held == sum(len(record.raw) for record in kept) <= budget
        assert len(kept) == len(recorder) <= 16
        assert [record.seq for record in kept] == list(range(recorder.begin, recorder.end))


def test_a_range_is_cut_to_what_is_kept():
    recorder = Recorder(frames=8)
    filled(recorder, *[1] * 20)
    assert [record.seq for record in recorder.records(13, 15)] == [13, 14]
    assert recorder.records(0, 5) == []
    assert recorder.records(30, 40) == []


def test_clear_forgets_but_numbers_go_on():
    recorder = Recorder(frames=8)
    filled(recorder, 5, 5)
    recorder.clear()
    filled(recorder, 5)
    assert [record.seq for record in recorder.records(0, 9)] == [2]
    assert recorder.held == 5


def test_switched_off_it_keeps_nothing():
    recorder = Recorder(enabled=False)
    filled(recorder, 5)
    assert (len(recorder), recorder.end, recorder.enabled) == (0, 0, False)
    with pytest.raises(AttributeError):
        recorder.enabled = True  # what follows could not be told apart from what is missing


def test_its_repr_counts():
    recorder = Recorder(frames=2)
    filled(recorder, 1, 2, 3)
    assert repr(recorder) == "<Recorder: 2 of 3 frames kept, 5 bytes>"


class Racing(list):
    """A ring whose first look lets the writing thread pass by."""

    def __init__(self, ring, write):
        super().__init__(ring)
        self.write = write

    def __getitem__(self, index):
        write, self.write = self.write, None
        if write is not None:
            write()
        return super().__getitem__(index)


def test_a_slot_that_was_overwritten_meanwhile_is_left_out():
    recorder = Recorder(frames=4)
    connection = filled(recorder, 1, 2, 3, 4)
    recorder._ring = Racing(recorder._ring, lambda: filled(recorder, 5, 6))
    assert [(record.seq, len(record.raw)) for record in recorder.records(0, 4)] == [(2, 3), (3, 4)]
    assert recorder.get(4).connections != (connection,)  # that was another object's frame


def test_the_ring_is_nothing_that_the_garbage_collector_looks_through():
    recorder = Recorder(frames=8)
    filled(recorder, 1, 2, 3)
    gc.collect()  # what holds numbers and bytes only is let go of at the first look
    assert not any(gc.is_tracked(kept) for kept in recorder._ring)


def test_a_connection_is_kept_for_as_long_as_its_frames_are():
    recorder = Recorder(frames=4)
    first = Connection(1, "a", recorder)
    first.received.feed(b"\x81\x80abcd")
    first.note_end()
    Connection(2, "refused", recorder).note_end()
    assert set(recorder._owners) == {1}
    other = Connection(3, "b", recorder)
    for _ in range(3):
        other.received.feed(b"\x81\x80abcd")
    assert recorder.get(0).connections == (first,)
    other.received.feed(b"\x81\x80abcd")
    other.note_end()
    assert set(recorder._owners) == {3}
    assert [record.connections for record in recorder.records(0, 9)] == [(other,)] * 4


def members(recorder, count):
    return [Connection(number + 1, f"peer {number + 1}", recorder) for number in range(count)]


def test_a_frame_for_a_whole_room_is_one_record():
    recorder = Recorder()
    one, two, three = members(recorder, 3)
    frame = encode_frame(1, b"to all")
    for connection in (one, two, three):
        connection.sent.share(frame)
    assert [record.connections for record in recorder.records(0, 9)] == [(one, two, three)]
    assert [(row.sent.frames, row.sent.messages, row.sent.bytes) for row in (one, two, three)] == [
        (1, 1, 8)
    ] * 3
    assert recorder.held == 8
    gc.collect()
    assert not any(gc.is_tracked(kept) for kept in recorder._ring)


def test_a_frame_sent_to_the_same_member_twice_is_two_records():
    recorder = Recorder()
    one, two = members(recorder, 2)
    frame = encode_frame(1, b"again")
    for connection in (one, two, one, two):
        connection.sent.share(frame)
    assert [record.connections for record in recorder.records(0, 9)] == [(one, two), (one, two)]


def test_what_is_sent_in_between_keeps_its_place_in_every_members_order():
    recorder = Recorder()
    one, two = members(recorder, 2)
    first, second = encode_frame(1, b"first"), encode_frame(1, b"second")
    one.sent.share(first)
    two.sent.whole(encode_frame(1, b"to two alone"))
    two.sent.share(first)
    one.sent.share(second)
    two.sent.share(second)
    frames = FrameTable(recorder)
    assert [frame.text for frame in frames.of(one)] == ["first", "second"]
    assert [frame.text for frame in frames.of(two)] == ["to two alone", "first", "second"]
    assert len(recorder) == 4


def test_equal_frames_that_were_made_apart_are_records_of_their_own():
    recorder = Recorder()
    for connection in members(recorder, 2):
        connection.sent.share(encode_frame(1, b"the same words"))
    assert len(recorder) == 2


def test_a_frame_above_the_snaplen_is_kept_for_each():
    recorder = Recorder(snaplen=20)
    one, two = members(recorder, 2)
    frame = encode_frame(1, b"x" * 50)
    one.sent.share(frame)
    two.sent.share(frame)
    assert [(record.connections, len(record.raw)) for record in recorder.records(0, 9)] == [
        ((one,), 20),
        ((two,), 20),
    ]


def test_nothing_is_shared_with_a_frame_that_was_forgotten():
    recorder = Recorder()
    *early, late, last = members(recorder, 4)
    frame = encode_frame(1, b"to all")
    for connection in early:
        connection.sent.share(frame)
    recorder.clear()
    late.sent.share(frame)
    last.sent.share(frame)
    assert [record.connections for record in recorder.records(0, 9)] == [(late, last)]


def test_a_recorder_that_is_off_counts_shared_frames_as_well():
    recorder = Recorder(enabled=False)
    one, two = members(recorder, 2)
    frame = encode_frame(1, b"to all")
    one.sent.share(frame)
    two.sent.share(frame)
    assert (one.sent.messages, two.sent.messages, len(recorder)) == (1, 1, 0)


def test_a_frame_says_how_late_the_loop_was():
    recorder = Recorder()
    filled(recorder, 1)
    recorder.note_lag(30.0)
    late, *_ = recorder.records(0, 1)
    assert 29 * 10**9 < late.lag_ns < 31 * 10**9
    filled(recorder, 1)
    assert recorder.get(1).lag_ns == 0
    assert Recorder().records(0, 1) == []


def test_the_senders_own_clock_goes_with_the_last_frame_of_each_message():
    recorder = Recorder()
    connection = Connection(1, "a", recorder)
    connection.received.stamps = deque([11, 22, 33])
    parts = (
        encode_frame(1, b"a", fin=False, mask=True)
        + encode_frame(9, mask=True)
        + encode_frame(0, b"b", mask=True)
    )
    long = encode_frame(2, bytes(200_000), mask=True)
    for data in (
        encode_frame(1, b"x", mask=True),
        parts,
        long[:1000],
        long[1000:],
        encode_frame(1, mask=True),
    ):
        connection.received.feed(data)
    assert [record.sent_ns for record in recorder.records(0, 9)] == [11, 0, 0, 22, 33, 0]


def test_a_hundred_thousand_small_frames_take_less_than_25_mb():
    frame = encode_frame(2, bytes(64), mask=True)
    tracemalloc.start()
    try:
        recorder = Recorder(frames=2**17)
        before = tracemalloc.get_traced_memory()[0] - sys.getsizeof(recorder._ring)
        flow = Connection(1, "a", recorder).received
        for _ in range(100_000):
            flow.feed(bytes(bytearray(frame)))  # one of its own, as a socket's would be
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(recorder) == 100_000
    print(f"{grown / 1e6:.1f} MB")
    assert grown < 25e6
