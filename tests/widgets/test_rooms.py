from __future__ import annotations

import pytest

from wslab.events import ConnectionEnded, MemberJoined, MemberLeft, Notice, RoomBroadcast
from wslab.journal import Journal
from wslab.rooms.table import RoomTable
from wslab.widgets.rooms import RoomsView


class Bench:
    def __init__(self, page_of):
        self.journal = Journal()
        self.rooms = RoomTable(self.journal)
        self.view = RoomsView(self.rooms, self.journal)
        self.page = page_of(self.view)

    def join(self, room, *connections):
        for connection in connections:
            self.journal.publish(MemberJoined(connection=connection, room=room, members=1))

    def broadcast(self, room, connection, count=1):
        for _ in range(count):
            self.journal.publish(RoomBroadcast(connection=connection, room=room, members=1))


@pytest.fixture
def bench(page_of):
    return Bench(page_of)


def test_rooms_come_with_their_members_in_the_order_of_joining(bench):
    bench.join("lobby", "c2", "c1")
    bench.join("art", "c1")
    content = bench.page.hello().content()
    assert content["rooms"] == [("art", 1, ("c1",), 0), ("lobby", 2, ("c2", "c1"), 0)]
    assert content["total"] == 2


def test_any_number_of_broadcasts_is_one_message_with_the_last_sender(bench):
    bench.join("lobby", "c1", "c2")
    bench.join("art", "c3")
    bench.page.hello().look()
    bench.broadcast("lobby", "c1", 500)
    bench.broadcast("lobby", "c2")
    content = bench.page.content()
    assert content["broadcasts"] == {"lobby": (501, "c2")}
    assert "rooms" not in content
    assert bench.page.look() == []


def test_broadcasts_before_a_page_do_not_pulse_but_count(bench):
    bench.join("lobby", "c1")
    bench.broadcast("lobby", "c1", 3)
    content = bench.page.hello().content()
    assert "broadcasts" not in content
    assert content["rooms"] == [("lobby", 1, ("c1",), 3)]


def test_events_of_other_kinds_cost_no_message(bench):
    bench.join("lobby", "c1")
    bench.page.hello().look()
    bench.journal.publish(Notice(text="hello"))
    assert bench.page.look() == []


def test_a_room_without_members_goes(bench):
    bench.join("lobby", "c1", "c2")
    bench.page.hello().look()
    bench.journal.publish(MemberLeft(connection="c1", room="lobby", members=1))
    assert bench.page.content()["rooms"] == [("lobby", 1, ("c2",), 0)]
    bench.journal.publish(ConnectionEnded(connection="c2", code=1006))
    content = bench.page.content()
    assert (content["rooms"], content["total"]) == ([], 0)


def test_a_page_that_appears_again_gets_all_rooms(bench):
    bench.join("lobby", "c1")
    first = bench.page.hello().content()
    again = bench.page.hello().content()
    assert first["rooms"] == again["rooms"]


def test_many_rooms_and_members_are_cut_and_counted(bench):
    for number in range(70):
        bench.join(f"r{number:02}", *(f"c{member}" for member in range(100 if number == 0 else 1)))
    content = bench.page.hello().content()
    assert (len(content["rooms"]), content["total"]) == (60, 70)
    name, members, shown, _ = content["rooms"][0]
    assert (name, members, len(shown)) == ("r00", 100, 60)


def test_a_room_that_empties_between_two_reads_is_left_out(bench, monkeypatch):
    bench.join("lobby", "c1")
    monkeypatch.setattr(RoomTable, "__iter__", lambda _table: iter(["gone", "lobby"]))
    assert [room[0] for room in bench.page.hello().content()["rooms"]] == ["lobby"]


def test_what_is_shown_without_a_page_obeys_no_peer(bench, hostile):
    bench.join(hostile, "c1")
    text, page = bench.view.text(), bench.view.static_html()
    assert text.startswith("1 room\n")
    for shown in (text, page):
        assert not {"\x1b", "\u202e", "\x00"} & set(shown)
    assert "<img" not in page


def test_no_rooms_say_so(bench):
    assert bench.view.text() == "0 rooms"
