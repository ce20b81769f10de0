from __future__ import annotations

import pytest

from wslab.events import EndpointFailed, Notice, RoomBroadcast
from wslab.journal import Journal
from wslab.widgets.log import LogView


class Page:
    """The page's side of a view: takes messages, acknowledges them, and keeps the lines."""

    def __init__(self, view):
        self.view = view
        self.messages = []
        self.now = 0.0
        view.send = lambda content, buffers=(): self.messages.append(content)  # noqa: ARG005 - the signature

    def hello(self):
        self.view._dispatch({"t": "hello"}, [])
        return self

    def read(self):
        """Messages that come until there is nothing new."""
        first = len(self.messages)
        while True:
            before = len(self.messages)
            self.now += 0.2
            self.view.tick(self.now)
            if len(self.messages) == before:
                return self.messages[first:]
            self.view._dispatch({"t": "ack", "s": self.messages[-1]["s"]}, [])

    def rows(self):
        return [row for message in self.read() for row in message["rows"]]


@pytest.fixture
def journal():
    return Journal(capacity=2000)


def page_of(journal):
    return Page(LogView(journal)).hello()


def test_events_arrive_in_order_with_their_number(journal):
    page = page_of(journal)
    assert page.read() == []
    journal.publish(Notice(text="one", at=1.5, connection="c1"))
    journal.publish(EndpointFailed(error="E", traceback="tb", at=2.0))
    assert page.rows() == [
        (0, 1.5, "info", "c1", "one", ""),
        (1, 2.0, "error", "", "The endpoint raised E.", "tb"),
    ]
    journal.publish(Notice(text="two"))
    assert [row[0] for row in page.rows()] == [2]
    assert page.messages[-1]["published"] == 3


def test_nothing_new_sends_nothing(journal):
    journal.publish(Notice(text="one"))
    page = page_of(journal)
    assert len(page.read()) == 1
    assert page.read() == []


def test_a_page_that_appears_again_gets_the_same_numbers(journal):
    for text in "abc":
        journal.publish(Notice(text=text))
    page = page_of(journal)
    first = page.rows()
    page.hello()
    assert page.rows() == first


def test_a_flood_of_broadcasts_pushes_no_error_out(journal):
    page = page_of(journal)
    journal.publish(EndpointFailed(error="the one that matters", traceback=""))
    for _ in range(1500):
        journal.publish(RoomBroadcast(room="stocks", members=3))
    rows = page.rows()
    assert len(rows) == 500
    assert rows[0][2] == "error"
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert rows[-1][0] == 1500
    assert page.messages[-1]["skipped"] == 1001


def test_what_the_journal_has_lost_is_counted_as_skipped():
    journal = Journal(capacity=10)
    page = page_of(journal)
    for number in range(25):
        journal.publish(Notice(text=str(number)))
    assert [row[4] for row in page.rows()] == [str(number) for number in range(15, 25)]
    assert page.messages[-1]["skipped"] == 15


def test_big_details_are_spread_over_messages_and_cut_in_the_middle(journal):
    for number in range(30):
        text = f"begin {number} " + "x" * 100_000 + f" end {number}"
        journal.publish(EndpointFailed(error="E", traceback=text))
    messages = page_of(journal).read()
    assert len(messages) > 1
    rows = [row for message in messages for row in message["rows"]]
    assert len(rows) == 30
    assert all(sum(len(row[5]) for row in message["rows"]) < 64_000 for message in messages)
    assert rows[7][5].startswith("begin 7 ")
    assert rows[7][5].endswith(" end 7")


def test_a_page_that_does_not_acknowledge_gets_one_message_a_second(journal):
    page = page_of(journal)
    for tenth in range(1, 16):  # a look each tenth of a second, up to 1.5 s
        journal.publish(Notice(text=str(tenth)))
        page.view.tick(tenth / 10)
    assert [row[4] for message in page.messages for row in message["rows"]] == [
        "1",
        "2",
        "3",
        "4",
        *map(str, range(5, 15)),
    ]
    assert len(page.messages) == 5


HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\x00\u202e"


def test_hostile_text_is_escaped_in_the_fallbacks(journal):
    journal.publish(Notice(text=HOSTILE, connection="<b>"))
    view = LogView(journal)
    assert "<img" not in view.static_html()
    assert "&lt;img src=x" in view.static_html()
    assert "<b>" not in view.static_html()
    for shown in (view.static_html(), view.text()):
        assert not {"\x1b", "\x00", "\u202e"} & set(shown)
    assert "<img" in view.text()


def test_the_fallbacks_show_the_newest(journal):
    assert LogView(journal).text() == "0 events"
    for number in range(30):
        journal.publish(Notice(text=f"event {number}."))
    text = LogView(journal).text()
    assert text.startswith("30 events, the last 20 shown\n")
    assert "event 29." in text
    assert "event 9." not in text
    data, _ = LogView(journal)._repr_mimebundle_()
    assert data["text/plain"] == text
    assert "<caption>Log: 30 events" in data["text/html"]
