from __future__ import annotations

import pytest

from wslab.errors import NotRunningError
from wslab.events import MemberJoined
from wslab.journal import Journal
from wslab.rooms.table import RoomTable
from wslab.widgets.connections import ConnectionsView
from wslab.wire import ConnectionTable, Opcode, Recorder, encode_frame


class Bench:
    def __init__(self, page_of):
        self.table = ConnectionTable(Recorder())
        self.journal = Journal()
        self.closed = []
        self.view = ConnectionsView(
            self.table, RoomTable(self.journal), lambda *arguments: self.closed.append(arguments)
        )
        self.page = page_of(self.view)

    def connect(self, path="/echo", count=1):
        for _ in range(count):
            connection = self.table.open("127.0.0.1:50000")
            connection.request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            connection.note_response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101)
        return connection


@pytest.fixture
def bench(page_of):
    return Bench(page_of)


def test_a_row_says_all_that_the_table_shows(bench):
    connection = bench.connect("/chat?room=a")
    connection.received.feed(encode_frame(Opcode.TEXT, b"hello", mask=True))
    bench.journal.publish(MemberJoined(connection="c1", room="lobby", members=1))
    bench.journal.publish(MemberJoined(connection="c1", room="art", members=1))
    content = bench.page.hello().content()
    assert content["rows"] == [
        ("c1", "open", "127.0.0.1:50000", "/chat?room=a", "direct", "art, lobby", 1, 0, 11, 0, 0, "", "")
    ]
    assert (content["order"], content["open"], content["ever"], content["hidden"]) == (["c1"], 1, 1, 0)


def test_how_a_connection_ended_is_in_its_row(bench):
    connection = bench.connect()
    connection.sent.feed(encode_frame(Opcode.CLOSE, b"\x03\xf3bug"))
    connection.note_end()
    assert bench.page.hello().content()["rows"][0][10:] == (1011, "server", "bug")


def test_only_rows_that_changed_are_sent_again(bench):
    bench.connect()
    second = bench.connect()
    bench.page.hello().look()
    assert bench.page.look() == []
    second.sent.feed(encode_frame(Opcode.TEXT, b"x"))
    content = bench.page.content()
    assert [row[0] for row in content["rows"]] == ["c2"]
    assert "order" not in content
    second.note_end()
    content = bench.page.content()
    assert [row[0] for row in content["rows"]] == ["c2"]
    assert (content["order"], content["open"]) == (["c1", "c2"], 1)


def test_a_path_that_comes_after_the_connection_is_shown(bench):
    connection = bench.table.open("127.0.0.1:50000")
    assert bench.page.hello().content()["rows"][0][3] == ""
    connection.request = b"GET /late HTTP/1.1\r\n\r\n"
    assert bench.page.content()["rows"][0][3] == "/late"


def test_newest_open_rows_come_first_and_the_rest_is_counted(bench):
    bench.connect(count=250)
    for number in (250, 249):
        bench.table[f"c{number}"].note_end()
    content = bench.page.hello().content()
    assert (content["order"][0], content["order"][-1], len(content["order"])) == ("c248", "c49", 200)
    assert (content["open"], content["ever"], content["hidden"]) == (248, 250, 50)
    for number in range(1, 150):
        bench.table[f"c{number}"].note_end()
    content = bench.page.content()
    assert content["order"][:99] == [f"c{number}" for number in range(248, 149, -1)]
    assert content["order"][99:102] == ["c250", "c249", "c149"]


def test_a_page_that_appears_again_gets_all_rows(bench):
    bench.connect(count=3)
    first = bench.page.hello().content()
    again = bench.page.hello().content()
    assert (again["rows"], again["order"]) == (first["rows"], first["order"])


def test_a_row_that_the_table_forgot_leaves_the_order(page_of):
    bench = Bench(page_of)
    bench.table._keep = 1
    bench.connect().note_end()
    bench.page.hello().look()
    bench.connect()
    assert bench.page.content()["order"] == ["c2"]


def test_a_button_closes_with_code_and_reason(bench):
    bench.connect(count=2)
    bench.page.hello().say(t="close", id="c2", code=4000, reason="enough")
    assert bench.closed == [("c2", 4000, "enough")]
    assert bench.page.messages[-1][0] == {
        "t": "said",
        "text": "Closing c2 with 4000.",
        "failed": False,
        "s": 1,
    }


@pytest.mark.parametrize("key", ["c9", 1, None, ["c1"], {"id": 1}])
def test_a_connection_that_is_not_there_is_not_closed(bench, key):
    bench.connect()
    bench.page.hello().say(t="close", id=key, code=1000, reason="")
    assert bench.closed == []
    assert bench.page.messages[-1][0]["failed"]


def test_a_connection_that_has_ended_is_not_closed_again(bench):
    bench.connect().note_end()
    bench.page.hello().say(t="close", id="c1", code=1000, reason="")
    assert bench.closed == []
    assert "which is closed" in bench.page.messages[-1][0]["text"]


@pytest.mark.parametrize(
    "code", [0, 999, 1002, 1004, 1005, 1006, 1015, 2999, 5000, -1000, True, None, "1000", 1000.0, [1000]]
)
def test_codes_that_may_not(bench, code):
    bench.connect()
    bench.page.hello().say(t="close", id="c1", code=code, reason="")
    assert bench.closed == []
    assert bench.page.messages[-1][0]["text"].startswith("Expected a close code")


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("x" * 124, "got 124"),
        ("é" * 62, "got 124"),
        ("\ud800", "lone surrogate"),
        (None, "as text"),
        (["x"], "as text"),
    ],
)
def test_reasons_that_do_not_fit_a_close_frame(bench, reason, problem):
    bench.connect()
    bench.page.hello().say(t="close", id="c1", code=1000, reason=reason)
    assert bench.closed == []
    assert problem in bench.page.messages[-1][0]["text"]


def test_what_the_lab_refuses_is_said_on_the_page(page_of):
    bench = Bench(page_of)
    bench.connect()

    def refuse(connection, code, reason):
        raise NotRunningError("The lab is stopped.", remedy="Start it.")

    bench.view._close_connection = refuse
    bench.page.hello().say(t="close", id="c1", code=1000, reason="")
    assert bench.page.messages[-1][0]["text"] == "The lab is stopped. Start it."
    assert bench.page.messages[-1][0]["failed"]


def test_other_messages_do_nothing(bench):
    bench.connect()
    bench.page.hello().say(t="format disk", id="c1", code=1000)
    assert (bench.closed, bench.page.messages) == ([], [])


def test_what_is_shown_without_a_page_obeys_no_peer(bench, hostile):
    connection = bench.connect()
    bench.connect()
    connection.peer = hostile
    connection.note_end()
    text, page = bench.view.text(), bench.view.static_html()
    assert text.startswith("1 open of 2 connections\n")
    assert "1006 by nobody" in text
    for shown in (text, page):
        assert not {"\x1b", "\u202e", "\x00"} & set(shown)
    assert "<img" not in page
    assert "&lt;img" in page


def test_an_empty_table_says_so():
    view = ConnectionsView(ConnectionTable(Recorder()), RoomTable(Journal()), lambda *_: None)
    assert view.text() == "0 open of 0 connections"
