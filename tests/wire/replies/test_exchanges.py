from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.wire import ConnectionTable, FrameTable, PerMessageDeflate, Recorder, encode_frame
from wslab.wire.messages import Message
from wslab.wire.replies import replies

DEFLATE = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def frames(recorder):
    return FrameTable(recorder)


@pytest.fixture
def row(recorder):
    return ConnectionTable(recorder).open("127.0.0.1:50000")


@pytest.fixture
def talk(row, frames):
    return row, frames


def say(row, direction, value, opcode=1):
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    if direction == "in":
        row.received.feed(encode_frame(opcode, payload, mask=True))
    else:
        row.sent.feed(encode_frame(opcode, payload))


def told(frames):
    """Who answered whom, by number, and why."""
    return [(_seq(each.asked), _seq(each.answer), each.rule) for each in replies(frames)]


def _seq(item):
    return item.frames[0].seq if isinstance(item, Message) else item.seq


@pytest.mark.parametrize(
    ("asked", "answer", "rule"),
    [
        (
            {"jsonrpc": "2.0", "method": "add", "id": 7},
            {"jsonrpc": "2.0", "id": 7, "result": 3},
            "JSON id 7",
        ),
        (
            {"jsonrpc": "2.0", "method": "add", "id": "a"},
            {"jsonrpc": "2.0", "id": "a", "error": {}},
            "JSON id a",
        ),
        ([{"method": "add", "id": 1}], [{"id": 1, "result": 3}], "JSON id 1"),
        ({"requestId": "r-1"}, {"request_id": "r-1"}, "JSON request_id → requestId r-1"),
        ({"id": 5}, {"id": 9, "reply_to": 5}, "JSON reply_to → id 5"),
        ({"id": 5}, {"inReplyTo": 5}, "JSON inReplyTo → id 5"),
        ({"message_id": "m"}, {"correlationId": "m"}, "JSON correlationId → message_id m"),
        ({"ref": "1", "event": "phx_join"}, {"ref": "1", "event": "phx_reply"}, "JSON ref 1"),
        ({"seq": 4, "type": "chat"}, {"type": "ack", "ack": 4}, "JSON ack → seq 4"),
        ({"seq": 4, "type": "chat"}, {"type": "chat_ack", "seq": 4}, "JSON seq 4"),
        ({"type": "ping"}, {"type": "pong"}, "type ping → pong"),
        ({"type": "PING"}, {"type": "Pong"}, "type PING → Pong"),
        ({"action": "subscribe"}, {"event": "subscribed"}, "action subscribe → subscribed"),
        ({"op": "auth"}, {"op": "authenticated"}, "op auth → authenticated"),
        ({"method": "ping"}, {"method": "pong"}, "method ping → pong"),
        ({"type": "time_request"}, {"type": "time_response"}, "type time_request → time_response"),
        ({"type": "time_request"}, {"type": "time"}, "type time_request → time"),
        ({"type": "get_time"}, {"type": "time"}, "type get_time → time"),
        ({"type": "getTime"}, {"type": "time_reply"}, "type getTime → time_reply"),
        ({"type": "login"}, {"type": "login_ok"}, "type login → login_ok"),
        ({"type": "login"}, {"type": "login.failed"}, "type login → login.failed"),
        ({"type": "join_room"}, {"type": "room_joined", "id": "m3"}, "type join_room → room_joined"),
        ({"type": "joinRoom"}, {"type": "joinedRoom"}, "type joinRoom → joinedRoom"),
        ({"type": "room.join"}, {"type": "room.joined"}, "type room.join → room.joined"),
        ({"type": "save", "id": 3}, {"type": "save_ack"}, "type save → save_ack"),
        ({"type": "request"}, {"type": "response"}, "type request → response"),
        ({"type": "connection_init"}, {"type": "connection_ack"}, "type connection_init → connection_ack"),
        ({"type": "user_login"}, {"type": "user_logged_in"}, "type user_login → user_logged_in"),
    ],
)
@pytest.mark.parametrize("way", [("in", "out"), ("out", "in")])
def test_an_answer_finds_its_request(talk, asked, answer, rule, way):
    row, frames = talk
    say(row, way[0], asked)
    say(row, way[1], answer)
    assert told(frames) == [(0, 1, rule)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"type": "chat"}, {"type": "chat"}),
        ({"type": "ping"}, {"type": "left"}),
        ({"id": 1}, {"id": "1"}),
        ({"id": 1}, {"id": True}),
        ({"id": None}, {"id": None}),
        ({"id": [1]}, {"id": [1]}),
        ({"id": {}}, {"id": {}}),
        ({"id": ""}, {"id": ""}),
        ({"seq": 1, "type": "tick"}, {"seq": 1, "type": "chat"}),
        ({"method": "a", "id": 1}, {"method": "b", "id": 1}),
        ({"type": "ping", "id": 1}, {"type": "pong", "id": 2}),
        ({"result": 1, "id": 1}, {"result": 1, "id": 1}),
        ({"reply_to": 1}, {"reply_to": 1}),
        ({"type": 5}, {"type": []}),
        ({"type": "pong"}, {"type": "ping"}),
    ],
)
def test_what_is_no_answer_has_no_request(row, frames, first, second):
    say(row, "in", first)
    say(row, "out", second)
    assert told(frames) == []


def test_the_same_side_and_another_connection_answer_nothing(recorder, frames):
    table = ConnectionTable(recorder)
    one, two = table.open("a"), table.open("b")
    say(one, "in", {"id": 1, "type": "ping"})
    say(one, "in", {"id": 1, "type": "pong"})
    say(two, "out", {"id": 1, "type": "pong"})
    assert told(frames) == []


def test_requests_of_a_type_are_answered_in_their_order_and_once(row, frames):
    for _ in range(2):
        say(row, "in", {"type": "ping"})
    say(row, "in", {"type": "get_time"})
    for _ in range(3):
        say(row, "out", {"type": "pong"})
    say(row, "out", {"type": "time"})
    rules = ["type ping → pong"] * 2
    assert told(frames) == [(0, 3, rules[0]), (1, 4, rules[1]), (2, 6, "type get_time → time")]


def test_an_id_goes_before_the_type_and_what_it_has_answered_waits_no_more(row, frames):
    say(row, "in", {"type": "ping", "id": 1})
    say(row, "in", {"type": "ping", "id": 2})
    say(row, "out", {"type": "pong", "id": 2})
    say(row, "out", {"type": "pong", "id": 1})
    say(row, "out", {"type": "pong"})
    assert told(frames) == [(1, 2, "JSON id 2"), (0, 3, "JSON id 1")]


def test_a_stream_answers_its_subscription_each_time(row, frames):
    say(row, "in", {"id": "s", "type": "subscribe"})
    for kind in ("next", "next", "complete"):
        say(row, "out", {"id": "s", "type": kind})
    found = replies(frames)
    assert [(_seq(each.asked), _seq(each.answer)) for each in found] == [(0, 1), (0, 2), (0, 3)]
    assert found.counterpart(frames[0]).json["type"] == "next"
    assert [found.counterpart(frames[number]).json["type"] for number in (1, 2, 3)] == ["subscribe"] * 3


def test_an_answer_with_an_id_of_its_own_may_be_asked_back(row, frames):
    say(row, "in", {"id": 1, "text": "how are you"})
    say(row, "out", {"id": 2, "reply_to": 1, "text": "why do you ask"})
    say(row, "in", {"id": 3, "reply_to": 2, "text": "never mind"})
    found = replies(frames)
    assert [each.rule for each in found] == ["JSON reply_to → id 1", "JSON reply_to → id 2"]
    assert found.counterpart(frames[1]).json["id"] == 3
    assert len(found.of(frames[1])) == 2


def test_an_id_that_is_used_again_is_the_newest_request(row, frames):
    for number in range(3):
        say(row, "in", {"id": 1, "n": number})
        say(row, "out", {"id": 1, "n": number})
    assert [found[:2] for found in told(frames)] == [(0, 1), (2, 3), (4, 5)]


def test_messages_in_pieces_and_compressed_ones_are_read_whole(row, frames):
    row.note_response(DEFLATE, 101)
    row.received.feed(encode_frame(1, b'{"id"', fin=False, mask=True) + encode_frame(9, b"", mask=True))
    row.received.feed(encode_frame(0, b': "long"}', mask=True))
    row.sent.feed(encode_frame(1, PerMessageDeflate().compress(b'{"id": "long"}'), rsv=4))
    found = replies(frames)
    assert [each.rule for each in found] == ["JSON id long"]
    assert found.counterpart(frames[2]) is found[0].answer
    assert found.counterpart(frames[3]).json == {"id": "long"}
    assert found.counterpart(frames[1]) is None


@pytest.mark.parametrize("way", [("in", "out"), ("out", "in")])
def test_a_pong_answers_the_newest_ping_with_its_payload_and_all_before(row, frames, way):
    for payload in (b"a", b"b", b"b", b"c"):
        say(row, way[0], payload, 9)
    say(row, way[1], b"b", 10)
    say(row, way[1], b"nobody asked", 10)
    say(row, way[1], b"a", 10)
    say(row, way[1], b"c", 10)
    exact, later = "ping payload", "a later ping's pong (RFC 6455 section 5.5.3)"
    assert told(frames) == [(0, 4, later), (1, 4, later), (2, 4, exact), (3, 7, exact)]
    found = replies(frames)
    assert found.counterpart(frames[4]) == frames[2]
    assert found.counterpart(frames[5]) is None
    assert found.counterpart(frames[0]) == frames[4]
    assert all(each.seconds == each.answer.at - each.asked.at >= 0 for each in found)


def test_a_close_answers_the_other_sides_close_once(row, frames):
    say(row, "out", b"\x03\xe8", 8)
    say(row, "in", b"\x03\xe8", 8)
    say(row, "in", b"\x03\xe8", 8)
    assert told(frames) == [(0, 1, "close")]


def test_the_table_of_frames_has_replies_and_counterparts(row, frames):
    say(row, "in", {"type": "ping"})
    say(row, "out", {"type": "pong"})
    say(row, "out", b"hi", 9)
    found = frames.replies()
    assert repr(found).startswith("<Replies: 1 exchanges>\n  <Exchange c1 #0 → #1 ")
    assert found[0].rule in repr(found)
    assert list(found[:5]) == [found[0]]
    assert frames.counterpart(frames[0]).text == '{"type": "pong"}'
    asked, answer = frames.messages()
    assert frames.counterpart(answer) == asked
    assert frames.counterpart(frames[2]) is None


HOSTILE = [
    b"[" * 60_000,
    b'{"id":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"id": 1e999, "type": NaN}',
    b'{"id": -0.0}',
    b'{"id": ' + b"9" * 4_000 + b"}",
    b'{"id": ' + b"9" * 5_000 + b"}",
    b'{"id": "\\ud800", "type": "\\ud800"}',
    b'{"id": "' + b"x" * 100_000 + b'", "type": "' + b"_" * 100_000 + b'"}',
    b'{"type": "' + b"_" * 150 + b'"}',
    b'{"type": "' + b"a_" * 100 + b'"}',
    b"{" + b",".join(b'"%d": %d' % (n, n) for n in range(10_000)) + b"}",
    b"[" + b",".join([b'{"id": 1, "type": "ping"}'] * 5_000) + b"]",
    b'{"id": true, "type": null, "method": {}}',
    b"\xff\xfe{}",
    b"null",
]


def test_hostile_messages_are_read_or_left_alone(row, frames):
    for direction in ("in", "out", "in"):
        for payload in HOSTILE:
            say(row, direction, payload)
    found = replies(frames)
    assert found.counterpart(frames[6]) is not None
    text = repr(found) + "".join(each.rule for each in found)
    assert text.isascii() or text.encode()  # a lone surrogate could not be printed
    assert max(len(each.rule) for each in found) < 200


names = st.sampled_from(["id", "type", "method", "reply_to", "ack", "seq", "result", "x"])
words = st.sampled_from(["ping", "pong", "join", "joined", "get_x", "x", "x_ok", "_", ""])
values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.floats(), words, st.lists(words, max_size=2)
)
bodies = st.dictionaries(names, values, max_size=4)
steps = st.tuples(
    st.sampled_from(["in", "out"]),
    st.one_of(
        st.tuples(st.just(1), st.one_of(bodies, st.lists(bodies, max_size=3))),
        st.tuples(st.sampled_from([1, 8, 9, 10]), st.sampled_from([b"", b"a", b"\x03\xe8"])),
    ),
)


@given(said=st.lists(steps, max_size=30))
def test_an_answer_comes_later_from_the_other_side_and_answers_one_thing(said):
    recorder = Recorder()
    row = ConnectionTable(recorder).open("a")
    for direction, (opcode, value) in said:
        say(row, direction, value, opcode)
    found = replies(FrameTable(recorder))
    for each in found:
        assert each.asked.direction != each.answer.direction
        assert _seq(each.asked) < _seq(each.answer)
        assert each in found.of(each.asked)
        assert each in found.of(each.answer)
    # a ping or a close is answered once, a message of a type too
    once = [_seq(each.asked) for each in found if not each.rule.startswith("JSON")]
    batches = {seq for seq, (_, (_, value)) in enumerate(said) if isinstance(value, list)}
    assert len(set(once) - batches) == len([seq for seq in once if seq not in batches])
