from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
from wslab.wire.ladder import Ladder

HOSTILE = "<script>alert(1)</script>&\x1b[31m\u202e\x00"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def table(recorder):
    return ConnectionTable(recorder)


@pytest.fixture
def frames(recorder):
    return FrameTable(recorder)


def talk(table):
    row = table.open("127.0.0.1:50000")
    row.request = b"GET /chat HTTP/1.1\r\nHost: x\r\n\r\n"
    row.note_response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101)
    row.received.feed(encode_frame(1, b"hello " * 50, mask=True))
    row.sent.feed(encode_frame(9, b"are you there"))
    row.received.feed(encode_frame(10, b"are you there", mask=True))
    row.sent.feed(encode_frame(2, b"\x00\x01", fin=False))
    row.sent.feed(encode_frame(0, b"\xff\xfe"))
    row.sent.feed(encode_frame(1, b"zipped", rsv=4))
    row.sent.feed(encode_frame(8, b"\x03\xe8bye"))
    row.received.feed(encode_frame(8, b"", mask=True))
    row.note_end()
    return row


def words_of(ladder):
    return [line[20:].strip("├┤┊─◀▶ ") for line in ladder.text().splitlines()[1:]]


def test_a_conversation_is_told_from_handshake_to_end(table, frames):
    talk(table)
    words = words_of(Ladder(table, frames))
    assert words[2].startswith("TEXT 'hello hello")
    assert words[2].endswith("…'")
    del words[2]
    assert words == [
        "GET /chat HTTP/1.1",
        "HTTP/1.1 101 Switching Protocols",
        "PING 'are you there'",
        "PONG 'are you there'",
        "BINARY 2 bytes, more follows",
        "CONTINUATION 2 bytes",
        "TEXT compressed, 6 bytes",
        "CLOSE 1000 (normal closure) 'bye'",
        "CLOSE without a code",
        "connection ended",
    ]


def test_arrows_point_to_who_received(table, frames):
    talk(table)
    _, asked, answered, *_ = Ladder(table, frames).text().splitlines()
    assert asked.endswith("▶┤")
    assert "├◀" in answered
    assert asked.startswith("   0.000 s  c1 ")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_text_fits_its_columns(table, frames, width):
    talk(table)
    lines = Ladder(table, frames, width=width).text().splitlines()
    assert {len(line) for line in lines} == {width}


def test_a_cut_off_and_a_refused_connection_say_so(table, frames):
    cut, refused = table.open("a"), table.open("b")
    cut.received.feed(b"\x81")
    cut.note_end()
    refused.refusal = "no such path"
    refused.note_response(b"HTTP/1.1 404 Not Found\r\n\r\n", 404)
    refused.note_end()
    text = Ladder(table, frames).text()
    assert "INCOMPLETE, 1 bytes" in text
    assert "connection ended without a close frame (1006)" in text
    assert "HTTP/1.1 404 Not Found: no such path" in text


def test_hostile_text_is_text(table, frames):
    row = table.open("a")
    row.request = f"GET /{HOSTILE} HTTP/1.1\r\n\r\n".encode("latin-1", "replace")
    row.received.feed(encode_frame(1, b"<b>&", mask=True))
    row.received.feed(encode_frame(8, b"\x03\xe8" + HOSTILE.encode(), mask=True))
    row.received.feed(encode_frame(1, HOSTILE.encode(), mask=True))
    ladder = Ladder(table, frames)
    for shown in (ladder.text(), repr(ladder), ladder.svg()):
        assert not set("\x1b\u202e\x00") & set(shown)
    assert "<script" not in ladder.svg()
    texts = [element.text for element in ET.fromstring(ladder._repr_svg_()).iter(f"{SVG}text")]
    assert "TEXT '<b>&'" in texts
    assert any("<script>" in text for text in texts)


def test_the_drawing_has_an_arrow_for_each_frame_and_the_pages_colour(table, frames):
    talk(table)
    drawing = ET.fromstring(Ladder(table, frames).svg())
    assert len(list(drawing.iter(f"{SVG}path"))) == len(frames) + 2
    assert drawing.get("fill") == "currentColor"
    assert {line.get("stroke") for line in drawing.iter(f"{SVG}line")} == {"currentColor"}


def test_what_is_left_out_is_counted(table, frames):
    row = table.open("a")
    row.request = b"GET / HTTP/1.1\r\n\r\n"
    for number in range(99):
        row.received.feed(encode_frame(1, b"%d" % number, mask=True))
    ladder = Ladder(table, frames, limit=20)
    words = words_of(ladder)
    assert (len(words), ladder.left_out) == (21, 80)
    assert words[0] == "GET / HTTP/1.1"
    assert words[5] == "… 80 steps left out …"
    assert words[-1] == "TEXT '98'"
    assert "… 80 steps left out …" in ladder.svg()


def test_an_empty_ladder_has_its_two_sides(table, frames):
    assert Ladder(table, frames).text().split() == ["client", "server"]
    ET.fromstring(Ladder([], []).svg())


def test_several_connections_are_told_in_the_order_of_time(table, frames):
    first, second = table.open("a"), table.open("b")
    second.received.feed(encode_frame(1, b"one", mask=True))
    first.received.feed(encode_frame(1, b"two", mask=True))
    assert [line.split()[2] for line in Ladder(table, frames).text().splitlines()[1:]] == ["c2", "c1"]


def test_a_character_cut_at_the_excerpts_end_is_still_text(table, frames):
    row = table.open("a")
    row.received.feed(encode_frame(1, b"x" + "é".encode() * 200, mask=True))
    row.received.feed(encode_frame(1, b"\xff" * 300, mask=True))
    words = words_of(Ladder(table, frames))
    assert words[0].startswith("TEXT 'xéé")
    assert words[1] == "TEXT 300 bytes"


def test_the_table_of_frames_draws_all_connections_or_one(table, frames):
    first, second = table.open("a"), table.open("b")
    for row in (first, second):
        row.request = b"GET / HTTP/1.1\r\n\r\n"
        row.received.feed(encode_frame(1, b"hi", mask=True))
    assert len(words_of(frames.sequence())) == 4
    assert (
        words_of(frames.sequence("c2"))
        == words_of(frames.sequence(second))
        == ["GET / HTTP/1.1", "TEXT 'hi'"]
    )
    assert words_of(frames.sequence("c9")) == []
