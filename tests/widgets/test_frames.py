from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.widgets import frames as module
from wslab.widgets.fields import problem_of
from wslab.widgets.frames import (
    FLAG_CUT,
    FLAG_INCOMPLETE,
    FLAG_MASKED,
    FLAG_PROBLEM,
    FLAG_SENT,
    FLAG_SHARED,
    RECORD,
    FramesView,
    encode_batch,
)
from wslab.wire import (
    ConnectionTable,
    FrameTable,
    Opcode,
    Recorder,
    apply_mask,
    encode_frame,
    parse_frame,
)
from wslab.wire.query import Query
from wslab.wire.recorder import RECEIVED, SENT, Record
from wslab.wire.sites import Site, Sites

KEY = bytes.fromhex("37fa213d")


class Bench:
    def __init__(self, page_of, **recorder):
        self.recorder = Recorder(**recorder)
        self.connection = ConnectionTable(self.recorder).open("127.0.0.1:50000")
        self.view = FramesView(FrameTable(self.recorder))
        self.page = page_of(self.view)

    def receive(self, *payloads, opcode=Opcode.TEXT):
        for payload in payloads:
            self.connection.received.feed(encode_frame(opcode, payload, mask=KEY))

    def send(self, *payloads, opcode=Opcode.TEXT):
        for payload in payloads:
            self.connection.sent.feed(encode_frame(opcode, payload))

    def batch(self):
        """The one batch of a tick: its content, and of each frame length, preview, flags, first byte."""
        ((content, (table, previews, owners)),) = self.page.look()
        return content, decode(table, previews, owners)

    def ask(self, seq):
        """The frame's detail, and what the kernel says of its message, where it does."""
        before = len(self.page.messages)
        self.page.say(t="get", seq=seq)
        detail, *self.more = self.page.messages[before:]
        return detail


def decode(table, previews, owners=b""):
    assert owners == b""
    rows, at = [], 0
    for _, length, connection, size, flags, first in RECORD.iter_unpack(table):
        assert connection == 1
        rows.append((int(length), previews[at : at + size], flags, first))
        at += size
    assert at == len(previews)
    return rows


@pytest.fixture
def bench(page_of):
    return Bench(page_of)


def test_a_record_is_as_long_as_the_page_takes_it_to_be():
    assert RECORD.size == 24


def test_a_batch_has_both_directions_unmasked(bench):
    bench.receive(b"in")
    bench.send(b"out")
    bench.page.hello()
    content, rows = bench.batch()
    assert content == {"t": "frames", "first": 0, "skipped": 0, "cleared": False, "g": 1, "s": 1}
    assert rows == [(2, b"in", FLAG_MASKED, 0x81), (3, b"out", FLAG_SENT, 0x81)]


def test_time_is_the_recorders(bench):
    bench.send(b"x")
    ((_, (table, *_)),) = bench.page.hello().look()
    record = bench.recorder.get(0)
    assert struct.unpack_from("<d", table)[0] == record.at_ns / 10**9


def test_only_new_frames_are_sent(bench):
    bench.send(b"1", b"2")
    bench.page.hello()
    bench.batch()
    assert bench.page.look() == []
    bench.send(b"3")
    content, rows = bench.batch()
    assert (content["first"], [row[1] for row in rows]) == (2, [b"3"])


def test_a_page_that_appears_again_gets_what_is_kept(bench):
    bench.send(b"1", b"2")
    bench.page.hello()
    bench.batch()
    bench.page.hello()
    content, rows = bench.batch()
    assert (content["first"], content["skipped"], len(rows)) == (0, 0, 2)


def test_a_batch_holds_at_most_4000_frames_and_the_next_goes_on(page_of):
    bench = Bench(page_of)
    bench.send(*[b"x"] * 4001)
    bench.page.hello()
    content, rows = bench.batch()
    assert (content["first"], len(rows)) == (0, 4000)
    content, rows = bench.batch()
    assert (content["first"], len(rows)) == (4000, 1)


def test_a_page_hopelessly_behind_gets_the_newest_and_the_count_of_the_rest(bench, monkeypatch):
    monkeypatch.setattr(module, "_BEHIND", 10)
    bench.page.hello()
    bench.send(*(b"%d" % number for number in range(25)))
    content, rows = bench.batch()
    assert (content["first"], content["skipped"], rows[0][1]) == (15, 15, b"15")
    bench.send(*[b"x"] * 11)
    content, _ = bench.batch()
    assert (content["first"], content["skipped"]) == (26, 16)


def test_frames_that_the_ring_lost_before_they_were_sent_are_counted(page_of):
    bench = Bench(page_of, frames=8)
    bench.page.hello()
    bench.send(*[b"x"] * 20)
    content, rows = bench.batch()
    assert (content["first"], content["skipped"], len(rows)) == (12, 12, 8)
    assert not content["cleared"]


def test_a_cleared_recorder_empties_the_page_once(bench):
    bench.send(b"1", b"2")
    bench.page.hello()
    bench.batch()
    bench.recorder.clear()
    content, rows = bench.batch()
    assert (content["cleared"], content["first"], rows) == (True, 2, [])
    assert bench.page.look() == []
    bench.send(b"3")
    content, rows = bench.batch()
    assert (content["cleared"], content["first"], len(rows)) == (False, 2, 1)


def test_previews_are_longer_when_frames_are_few(bench):
    bench.send(b"x" * 1000)
    records = bench.recorder.records(0, 1)
    assert [row[1] for row in decode(*encode_batch(records))] == [b"x" * 512]
    assert [len(row[1]) for row in decode(*encode_batch(records * 4000))] == [65] * 4000


def test_flags_name_what_is_odd(page_of):
    bench = Bench(page_of, snaplen=100)
    bench.connection.received.feed(encode_frame(Opcode.TEXT, b"unmasked"))
    bench.connection.sent.feed(encode_frame(Opcode.TEXT, b"masked", mask=KEY))
    bench.connection.sent.feed(encode_frame(Opcode.BINARY, bytes(200)))
    bench.connection.sent.feed(encode_frame(3, b""))
    bench.connection.sent.feed(b"\x81\x7e\x01")
    bench.connection.note_end()
    bench.page.hello()
    _, rows = bench.batch()
    assert [row[2] for row in rows] == [
        FLAG_PROBLEM,
        FLAG_SENT | FLAG_MASKED | FLAG_PROBLEM,
        FLAG_SENT | FLAG_CUT,
        FLAG_SENT | FLAG_PROBLEM,
        FLAG_SENT | FLAG_INCOMPLETE,
    ]
    assert rows[2][0] == 200
    assert rows[4][:2] == (0, b"")


def test_a_length_no_payload_could_have_is_shown_as_it_was_announced(page_of):
    bench = Bench(page_of)
    bench.connection.received.feed(b"\x82\xff" + b"\xff" * 8 + KEY + b"abc")
    bench.connection.note_end()
    bench.page.hello()
    _, rows = bench.batch()
    assert rows[0][0] == 2**64  # as near as a double comes to 2**64 - 1
    content, _ = bench.ask(0)
    assert content["length"] == str(2**64 - 1)


def test_a_frame_asked_for_comes_with_every_field_and_both_heads(bench):
    bench.connection.request = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
    bench.connection.response = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    bench.receive(b"Hello")
    content, (raw, payload) = bench.ask(0)
    assert (raw, payload) == (encode_frame(Opcode.TEXT, b"Hello", mask=KEY), b"Hello")
    assert (content["seq"], content["gone"], content["direction"], content["name"]) == (
        0,
        False,
        "in",
        "TEXT",
    )
    assert (content["connection"], content["peer"], content["wire"], content["whole"]) == (
        "c1",
        "127.0.0.1:50000",
        11,
        True,
    )
    assert content["request"].startswith("GET /echo HTTP/1.1\r\n")
    assert content["response"].startswith("HTTP/1.1 101")
    assert [field["name"] for field in content["fields"]][-2:] == ["masking key", "payload"]
    json.dumps(content)


def test_at_most_4_kib_of_a_frame_travel(bench):
    bench.send(b"x" * 10_000)
    content, buffers = bench.ask(0)
    assert [len(buffer) for buffer in buffers] == [4096, 4096]
    assert (content["whole"], content["kept"], content["length"]) == (False, 10_004, "10000")


def test_a_frame_that_ended_in_its_header_says_so(bench):
    bench.connection.received.feed(b"\x81")
    bench.connection.note_end()
    content, buffers = bench.ask(0)
    assert content["name"] == "INCOMPLETE"
    assert "inside this frame's header" in content["problem"]
    assert (content["fields"], buffers) == ([], [b"\x81", b""])


@pytest.mark.parametrize("seq", [5, -1, 2**70])
def test_a_frame_that_is_not_kept_is_gone(bench, seq):
    bench.send(b"x")
    assert bench.ask(seq)[0] == {"t": "detail", "seq": seq, "gone": True, "s": 1}


@pytest.mark.parametrize(
    "content", [{"t": "get"}, {"t": "get", "seq": "0"}, {"t": "get", "seq": 0.0}, {"t": "put", "seq": 0}]
)
def test_other_messages_are_not_answered(bench, content):
    bench.send(b"x")
    bench.page.say(**content)
    assert bench.page.messages == []


def shown_slowly(record, preview):
    """What a batch says of a record, from the whole frame as the parser sees it."""
    frame = parse_frame(record.raw, record.wire_length)
    flags = FLAG_SENT if record.direction == SENT else 0
    flags |= FLAG_MASKED if frame.mask_key else 0
    flags |= FLAG_PROBLEM if problem_of(frame, record.direction) else 0
    flags |= FLAG_CUT if len(record.raw) < record.wire_length else 0
    return (frame.length, frame.payload[:preview], flags, record.raw[0])


@given(
    first=st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82]) | st.integers(0, 255),
    form=st.sampled_from(["7", "16", "64"]),
    payload=st.binary(max_size=300),
    masked=st.booleans(),
    direction=st.sampled_from([RECEIVED, SENT]),
    snaplen=st.sampled_from([14, 100, 65_536]),
)
def test_the_short_way_through_a_frame_says_what_the_parser_says(
    *, first, form, payload, masked, direction, snaplen
):
    if form == "7":
        payload = payload[:125]
    announced = {"7": (len(payload), 0), "16": (126, 2), "64": (127, 8)}[form]
    header = bytes((first, masked << 7 | announced[0]))
    header += len(payload).to_bytes(announced[1]) if announced[1] else b""
    raw = header + (KEY + apply_mask(payload, KEY) if masked else payload)
    connection = ConnectionTable(Recorder()).open("127.0.0.1:50000")
    record = Record(0, 1, (connection,), direction, len(raw), raw[:snaplen])
    assert decode(*encode_batch([record])) == [shown_slowly(record, 512)]


def test_what_is_shown_without_a_page_obeys_no_peer(bench, hostile):
    bench.receive(hostile.encode())
    text, page = bench.view.text(), bench.view.static_html()
    assert "1 of 1 frames kept" in text
    for shown in (text, page):
        assert not {"\x1b", "\u202e", "\x00"} & set(shown)
    assert "<img" not in page


def test_a_frame_of_a_room_names_all_who_got_it(page_of):
    bench = Bench(page_of)
    table = ConnectionTable(bench.recorder)
    members = [table.open(f"127.0.0.1:{port}") for port in range(3)]
    frame = encode_frame(Opcode.TEXT, b"to all")
    for _ in range(2):
        members[0].sent.feed(frame)
        for member in members[1:]:
            assert bench.recorder.share(member.number, frame)
        frame = bytes(bytearray(frame))
    records = bench.recorder.records(0, 2)
    owners = tuple(member.number for member in members)
    assert [tuple(one.number for one in record.connections) for record in records] == [owners, owners]
    rows, previews, lists = encode_batch(records)
    assert struct.unpack(f"<{len(lists) // 4}I", lists) == (3, *owners)  # once for both
    assert [(row[2], row[4]) for row in RECORD.iter_unpack(rows)] == [(0, FLAG_SENT | FLAG_SHARED)] * 2
    assert previews == b"to allto all"
    content, _ = bench.ask(0)
    assert (content["members"], content["connections"]) == (3, [member.id for member in members])
    ((message, (whole,)),) = bench.more
    assert (message["count"], whole) == (1, b"to all")


def test_a_batch_ends_before_it_has_too_many_owners(bench, monkeypatch):
    monkeypatch.setattr(module, "_OWNERS", 3)
    bench.page.hello()
    bench.send(*[b"x"] * 5)
    assert [len(bench.batch()[1]) for _ in range(2)] == [3, 2]


def test_the_line_the_clocks_and_the_lag_are_told_where_they_are_known(page_of):
    bench = Bench(page_of, sites=Sites())
    bench.send(b"x")
    content, _ = bench.ask(0)
    assert (content["site"], content["sent_at"], content["lag"]) == (None, None, 0)
    number = bench.recorder.sites.add(Site("chat.py", 12, "room"))
    raw = encode_frame(Opcode.TEXT, b"hi")
    bench.recorder.append(bench.connection.number << 1 | SENT, len(raw), raw, number, 10**18)
    content, _ = bench.ask(1)
    assert content["site"] == {"file": "chat.py", "line": 12, "function": "room"}
    assert content["sent_at"] == 10**9
    json.dumps(content)


def test_the_handshake_and_the_steps_of_unmasking_are_explained(bench):
    bench.connection.request = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
    bench.receive(b"Hello")
    content, _ = bench.ask(0)
    assert content["handshake"]["children"][0]["title"] == "Request"
    (unmasking,) = content["explained"]
    assert (unmasking["title"], len(unmasking["rows"])) == ("Unmasking, byte by byte: all", 5)


def test_a_page_can_ask_what_a_filter_may_name(bench):
    bench.page.say(t="fields")
    ((content, _),) = bench.page.messages
    fields = {name: (kind, meaning) for name, kind, meaning in content["fields"]}
    assert fields["opcode"] == ("opcode", "the opcode, by name or number")
    assert all(meaning for _, meaning in fields.values())
    for name in fields:
        Query(name)
