from __future__ import annotations

import pytest

from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e"


@pytest.fixture
def recorder():
    return Recorder(frames=64)


@pytest.fixture
def table(recorder):
    return ConnectionTable(recorder)


def test_rows_are_found_by_number_and_by_id(table):
    first, second = table.open("a:1"), table.open("b:2")
    assert table[0] is first
    assert table["c2"] is table[-1] is second
    assert table[:1] == [first]
    assert table.get("c9") is None
    assert (len(table), table.ever, table.alive) == (2, 2, [first, second])


def test_closed_rows_are_bounded_and_open_ones_stay(recorder):
    table = ConnectionTable(recorder, keep=3)
    alive = table.open("a")
    for _ in range(10):
        table.open("b").note_end()
    assert table[0] is alive
    assert (len(table), table.ever) == (3, 11)


def test_hostile_text_is_escaped_everywhere(table, recorder):
    row = table.open(HOSTILE)
    row.request = f"GET /{HOSTILE} HTTP/1.1\r\n\r\n".encode("latin-1", "replace")
    row.received.feed(encode_frame(1, HOSTILE.encode()))
    frames = FrameTable(recorder)
    for shown in (table._repr_html_(), frames._repr_html_()):
        assert "<img" not in shown
        assert "&lt;img" in shown
    for shown in (repr(table), repr(frames), repr(frames[0])):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_frames_are_parsed_as_they_are_looked_at(table, recorder):
    one, two = table.open("a"), table.open("b")
    one.received.feed(encode_frame(1, b"hi", mask=b"abcd"))
    two.sent.feed(encode_frame(2, b"\x00\x01"))
    frames = FrameTable(recorder)
    assert [frame.name for frame in frames] == ["TEXT", "BINARY"]
    assert (frames[-1].direction, frames[0].direction) == ("out", "in")
    assert frames[:1][0].text == "hi"
    assert [frame.connection for frame in frames.of("c2")] == [two]
    assert [frame.connection for frame in frames.of(one)] == [one]
    assert frames.get(0) == frames[0]
    assert frames.get(7) is None
    with pytest.raises(IndexError):
        frames[5]
    assert "00 01" in repr(frames)


def test_an_incomplete_header_is_shown_as_such(table, recorder):
    row = table.open("a")
    row.received.feed(b"\x81")
    row.note_end()
    (frame,) = FrameTable(recorder)
    assert (frame.name, frame.frame, frame.payload, frame.text) == ("INCOMPLETE", None, b"", "")
    assert "INCOMPLETE" in repr(frame)


def test_long_tables_say_what_they_hide(table, recorder):
    for _ in range(30):
        table.open("a").received.feed(encode_frame(1, b"x"))
    assert "30 open of 30 connections, the last 20 shown" in repr(table)
    assert "30 of 30 frames kept, the last 20 shown" in repr(FrameTable(recorder))


def test_empty_tables_are_one_line(table, recorder):
    assert repr(table) == "0 open of 0 connections"
    assert repr(FrameTable(recorder)) == "0 of 0 frames kept"
    assert table.to_dicts() == []
