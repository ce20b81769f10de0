from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from wslab.wire import Connection, Recorder


def filled(recorder: Recorder, *sizes: int) -> Connection:
    connection = Connection(1, "127.0.0.1:1", recorder)
    for size in sizes:
        recorder.append(connection, 0, size, bytes(size))
    return connection


def test_numbers_go_on_and_the_oldest_goes_first():
    recorder = Recorder(frames=4)
    filled(recorder, *range(6))
    assert [record[0] for record in recorder.records(0, 99)] == [2, 3, 4, 5]
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
        assert recorder.held == sum(len(record[5]) for record in kept) <= budget
        assert len(kept) == len(recorder) <= 16
        assert [record[0] for record in kept] == list(range(recorder.begin, recorder.end))


def test_a_range_is_cut_to_what_is_kept():
    recorder = Recorder(frames=8)
    filled(recorder, *[1] * 20)
    assert [record[0] for record in recorder.records(13, 15)] == [13, 14]
    assert recorder.records(0, 5) == []
    assert recorder.records(30, 40) == []


def test_clear_forgets_but_numbers_go_on():
    recorder = Recorder(frames=8)
    filled(recorder, 5, 5)
    recorder.clear()
    filled(recorder, 5)
    assert [record[0] for record in recorder.records(0, 9)] == [2]
    assert recorder.held == 5


def test_switched_off_it_keeps_nothing():
    recorder = Recorder()
    recorder.enabled = False
    filled(recorder, 5)
    assert (len(recorder), recorder.end) == (0, 0)


def test_its_repr_counts():
    recorder = Recorder(frames=2)
    filled(recorder, 1, 2, 3)
    assert repr(recorder) == "<Recorder: 2 of 3 frames kept, 5 bytes>"


def test_a_slot_that_was_overwritten_meanwhile_is_left_out():
    recorder = Recorder(frames=4)
    connection = filled(recorder, 1, 2, 3)
    recorder._ring[1] = (5, 0, connection, 0, 9, b"newer")  # as the writing thread may have done
    assert [record[0] for record in recorder.records(0, 3)] == [0, 2]


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
    assert recorder.get(0)[2] is first
    other.received.feed(b"\x81\x80abcd")
    other.note_end()
    assert set(recorder._owners) == {3}
    assert [record[2] for record in recorder.records(0, 9)] == [other] * 4
