from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET

import pytest

from wslab.events import MemberJoined, MemberLeft, MessageDropped, Notice, RoomBroadcast
from wslab.wire import ConnectionTable, FrameTable, PerMessageDeflate, Recorder, encode_frame
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


def took_none(words):
    """The words without the time, which differs."""
    return re.sub(r" [\d.]+ (µs|ms|s)$", "", words)


def test_a_conversation_is_told_from_handshake_to_end(table, frames):
    talk(table)
    words = words_of(Ladder(table, frames))
    assert words[2].startswith("TEXT 'hello hello")
    assert words[2].endswith("…'")
    del words[2]
    words[3], words[8] = took_none(words[3]), took_none(words[8])
    assert words == [
        "GET /chat HTTP/1.1",
        "HTTP/1.1 101 Switching Protocols",
        "PING 'are you there'",
        "PONG 'are you there'  Δ",
        "BINARY 2 bytes, more follows",
        "CONTINUATION 2 bytes",
        "TEXT compressed, 6 bytes",
        "CLOSE 1000 (normal closure) 'bye'",
        "CLOSE without a code  Δ",
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


JOINED = encode_frame(1, b'{"type": "user_joined"}')
CHAT = encode_frame(1, b'{"type": "chat"}')


def join(rows, room="lobby", start=1):
    return [
        MemberJoined(connection=row.id, room=room, members=number) for number, row in enumerate(rows, start)
    ]


def lanes_of(ladder):
    """The lines without time and connection."""
    return [line[20:] for line in ladder.text().splitlines()]


def test_rooms_have_a_line_of_their_own(table, frames):
    rows = [table.open("a"), table.open("b")]
    events = join(rows)
    rows[0].received.feed(encode_frame(1, b"hi", mask=True))
    for row in rows:
        row.sent.share(CHAT)
    events += [
        RoomBroadcast(room="lobby", members=2),
        MessageDropped(connection="c2", room="lobby", count=3, policy="drop_oldest"),
        Notice(text="not a matter of rooms"),
        MemberLeft(connection="c2", room="lobby", members=1),
    ]
    ladder = Ladder(table, frames, events, width=100)
    text = ladder.text().splitlines()
    assert {len(line) for line in text} == {100}
    assert [line.split()[2] for line in text[1:]] == ["c1", "c2", "c1", "c1", "c2", "c2"]
    assert lanes_of(ladder) == [
        "c1    c2                                        server                room lobby",
        "│     │                                              ├─── joins, 1 member ────▶┤",
        "│     │                                              ├─── joins, 2 members ───▶┤",
        "├─────┼───────────────── TEXT 'hi' ─────────────────▶┤                         │",
        """├◀────┼◀────────── TEXT '{"type": "chat"}' ──────────┼───── broadcast to 2 ────┤""",
        "│     │                                              ├◀ ✗ 3 lost, drop_oldest ─┤",
        "│     │                                              ├─── leaves, 1 member ───▶┤",
    ]


def test_a_broadcast_in_several_frames_stands_before_them(table, frames):
    rows = [table.open(each) for each in "abcd"]
    events = join(rows[:3])
    rows[0].sent.feed(encode_frame(1, b"for one alone"))
    for row in rows[:3]:
        row.sent.feed(CHAT)
    events.append(RoomBroadcast(room="lobby", members=3))
    rows[3].sent.feed(CHAT)  # not a member
    ladder = Ladder(table, frames, events)
    words = [line[20:].strip("├┤┊│─◀▶ ") for line in ladder.text().splitlines()[4:]]
    chat = """TEXT '{"type": "chat"}'"""
    assert words == ["TEXT 'for one alone'", "broadcast to 3", chat, chat, chat, chat]


def test_a_broadcast_whose_frames_cannot_be_told_stands_alone(table, frames):
    rows = [table.open(each) for each in "ab"]
    rows[0].sent.feed(CHAT)
    events = [*join(rows), RoomBroadcast(room="lobby", members=2)]
    lines = lanes_of(Ladder(table, frames, events))[1:]
    assert sum("chat" in line and "broadcast" in line for line in lines) == 0
    assert sum("broadcast to 2" in line for line in lines) == 1


def test_two_broadcasts_at_once_have_a_frame_each(table, frames):
    rows = [table.open(each) for each in "ab"]
    events = join(rows)
    events += [RoomBroadcast(room="lobby", members=2), RoomBroadcast(room="lobby", members=2)]
    for payload in (b"first", b"second"):
        frame = encode_frame(1, payload)
        for row in rows:
            row.sent.share(frame)
    told = [line for line in lanes_of(Ladder(table, frames, events)) if "broadcast" in line]
    assert ["first" in line for line in told] == [True, False]
    assert ["second" in line for line in told] == [False, True]


def test_the_same_broadcast_twice_is_two(table, frames):
    rows = [table.open(each) for each in "ab"]
    events = join(rows)
    for _ in range(2):
        for row in rows:
            row.sent.feed(CHAT)
        events.append(RoomBroadcast(room="lobby", members=2))
    lines = lanes_of(Ladder(table, frames, events))[3:]
    assert ["broadcast" in line for line in lines] == [True, False, False] * 2


def test_what_one_member_got_is_no_broadcast_when_there_is_a_choice(table, frames):
    rows = [table.open(each) for each in "abc"]
    events = [*join(rows), RoomBroadcast(room="lobby", members=3)]
    for row in rows[:2]:
        row.sent.share(JOINED)
    for row in rows:
        row.sent.feed(CHAT)
    lines = lanes_of(FrameTable(frames.recorder, events).sequence("c2"))[2:]
    assert ["broadcast" in line for line in lines] == [True, False, False]
    assert ["TEXT" in line for line in lines] == [False, True, True]


def test_a_part_of_a_broadcast_is_known_where_there_is_no_choice(table, frames):
    rows = [table.open(each) for each in "abc"]
    for row in rows:
        row.sent.feed(CHAT)
    events = [*join(rows), RoomBroadcast(room="lobby", members=3)]
    [line] = [each for each in lanes_of(Ladder([rows[1]], frames.of("c2"), events)) if "chat" in each]
    assert "broadcast to 3" in line


def test_one_members_ladder_has_its_rooms_only(table, frames):
    one, two, other = (table.open(each) for each in "abc")
    events = join([one, two]) + join([other], "elsewhere")
    for row in (one, two):
        row.sent.share(CHAT)
    events.append(RoomBroadcast(room="lobby", members=2))
    other.sent.feed(CHAT)
    events.append(RoomBroadcast(room="elsewhere", members=1))
    lines = lanes_of(FrameTable(frames.recorder, events).sequence(two))
    assert lines[0].split() == ["client", "server", "room", "lobby"]
    assert [line.strip("├┤│ ─▶◀") for line in lines[1:]] == [
        "joins, 2 members",
        """TEXT '{"type": "chat"}' ─────────────┼───── broadcast to 2""",
    ]
    every = FrameTable(frames.recorder, events).sequence().text()
    assert "rooms" in every.splitlines()[0]
    assert "lobby: joins, 1 member" in every
    assert "elsewhere: broadcast t…" in every


@pytest.mark.parametrize("count", [1, 3, 4, 12])
def test_a_few_clients_have_a_line_each_and_many_share_one(table, frames, count):
    rows = [table.open("a") for _ in range(count)]
    for row in rows:
        row.sent.share(CHAT)
    head, line = Ladder(table, frames).text().splitlines()
    ids = [row.id for row in rows]
    assert head.split() == ([*ids, "server"] if 1 < count < 4 else ["client", "server"])
    assert line.split()[2:4] == (["c1", f"+{count - 1}"] if count > 1 else ["c1", line.split()[3]])
    assert line.count("◀") == (count if count < 4 else 1)


def test_what_answers_something_has_the_time_since_then(table, frames):
    row = table.open("a")
    row.received.feed(encode_frame(1, b'{"id": 7, "method": "add"}', mask=True))
    row.sent.feed(encode_frame(1, b'{"id": 7,', fin=False) + encode_frame(0, b'"result": 3}'))
    row.sent.feed(encode_frame(1, b"by itself"))
    ladder = Ladder(table, frames)
    marked = [re.search(r"  Δ [\d.]+ (µs|ms|s)", words) is not None for words in words_of(ladder)]
    assert marked == [False, False, True, False]
    titles = [element.text for element in ET.fromstring(ladder.svg()).iter(f"{SVG}title")]
    assert len(titles) == 2
    assert titles[1].endswith(" after what it answers: JSON id 7")


def test_a_selection_with_gaps_has_no_times_that_may_be_wrong(table, frames):
    row = table.open("a")
    row.note_response(b"HTTP/1.1 101 OK\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101)
    codec = PerMessageDeflate()
    for text in (b'{"id": "a long name"}', b'{"id": "a long name too"}'):
        row.received.feed(encode_frame(1, codec.compress(text), rsv=4, mask=True))
    row.received.feed(encode_frame(9, b"x", mask=True))
    row.sent.feed(encode_frame(1, b'{"id": "a long name"}') + encode_frame(1, b'{"id": "a long name too"}'))
    row.sent.feed(encode_frame(10, b"x"))
    assert Ladder([row], frames).text().count("Δ") == 3
    assert Ladder([row], frames[:]).text().count("Δ") == 3
    assert Ladder([row], frames[1:]).text().count("Δ") == 1
    assert frames.sequence().text().count("Δ") == 3


def test_many_frames_have_their_times_at_both_ends(table, frames):
    row = table.open("a")
    for number in range(3_000):
        row.sent.feed(encode_frame(9, b"%d" % number))
        row.received.feed(encode_frame(10, b"%d" % number, mask=True))
    marked = ["Δ" in words for words in words_of(frames.sequence())]
    assert marked == [number % 2 == 1 for number in range(50)] + [False] + [n % 2 == 1 for n in range(150)]


def test_frames_that_came_while_the_loop_was_late_say_so(recorder, table, frames):
    row = table.open("a")
    row.received.feed(encode_frame(9, b"a", mask=True))
    row.sent.feed(encode_frame(10, b"a"))
    recorder.note_lag(60)
    row.received.feed(encode_frame(9, b"b", mask=True))
    late, answer, punctual = words_of(Ladder(table, frames))
    assert re.fullmatch(r"PING 'a'  lag [\d.]+ s", late)
    assert re.fullmatch(r"PONG 'a'  Δ [\d.]+ (µs|ms|s) lag [\d.]+ s", answer)
    assert punctual == "PING 'b'"


def test_hostile_names_of_rooms_are_text(table, frames):
    row = table.open("a")
    row.sent.feed(CHAT)
    room = HOSTILE + "]]>" + "x" * 500
    told = [MemberJoined(connection="c1", room=room, members=1), RoomBroadcast(room=room, members=1)]
    dropped = MessageDropped(connection="c1", room=HOSTILE, count=1, policy=HOSTILE)
    for events in (told, [*told, dropped]):
        ladder = Ladder(table, frames, events)
        for shown in (ladder.text(), ladder.svg(), ladder._repr_html_()):
            assert not set("\x1b\u202e\x00") & set(shown)
        assert "<script" not in ladder.svg()
        assert {len(line) for line in ladder.text().splitlines()} == {100}
        assert ET.fromstring(ladder.svg()).tag == f"{SVG}svg"


def test_a_broadcast_whose_joins_are_forgotten_is_matched_by_its_count(table, frames):
    rows = [table.open(each) for each in "ab"]
    for row in rows:
        row.sent.share(CHAT)
    events = [
        MemberJoined(connection="c2", room="lobby", members=2),  # who came first is not known any more
        RoomBroadcast(room="lobby", members=2),
        MemberLeft(connection="c1", room="lobby", members=1),
    ]
    lines = lanes_of(Ladder(table, frames, events))[1:]
    assert sum("chat" in line and "broadcast to 2" in line for line in lines) == 1


def test_what_is_left_out_of_a_room_is_counted_too(table, frames):
    row = table.open("a")
    events = join([row])
    at = time.time()
    for number in range(50):
        row.sent.feed(encode_frame(1, b"%d" % number))
        events.append(RoomBroadcast(room="lobby", members=1, at=at + 100 + number))
    ladder = Ladder(table, frames, events, limit=20)
    assert ladder.left_out == 81
    lines = lanes_of(ladder)
    assert len(lines) == 22
    assert "… 81 steps left out …" in lines[6]
    assert "broadcast to 1" in lines[-1]
