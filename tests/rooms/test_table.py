from __future__ import annotations

import threading
from html.parser import HTMLParser

import pytest

from wslab.events import ConnectionEnded, MemberJoined, MemberLeft, Notice, RoomBroadcast
from wslab.rooms import RoomTable


@pytest.fixture
def table(journal):
    return RoomTable(journal)


def join(journal, connection, room, at=1.0):
    journal.publish(MemberJoined(connection=connection, room=room, members=0, at=at))


def leave(journal, connection, room):
    journal.publish(MemberLeft(connection=connection, room=room, members=0))


def test_it_follows_who_joins_and_leaves(journal, table):
    join(journal, "c2", "b")
    join(journal, "c1", "b")
    join(journal, "c1", "a")
    assert list(table) == ["a", "b"]
    assert table["b"] == ("c2", "c1")
    assert table.rooms_of("c1") == ("a", "b")
    leave(journal, "c1", "a")
    assert (list(table), len(table), "a" in table, "b" in table) == (["b"], 1, False, True)
    with pytest.raises(KeyError):
        table["a"]
    assert table.rooms_of("c9") == ()


def test_a_connection_that_ends_is_in_no_room(journal, table):
    for room in "ab":
        join(journal, "c1", room)
        join(journal, "c2", room)
    join(journal, "c1", "own")
    journal.publish(ConnectionEnded(connection="c1", code=1006))
    assert {room: table[room] for room in table} == {"a": ("c2",), "b": ("c2",)}
    assert table.rooms_of("c1") == ()


def test_broadcasts_are_counted_while_the_room_lives(journal, table):
    journal.publish(RoomBroadcast(room="a", members=0))
    assert table.broadcasts("a") == 0
    join(journal, "c1", "a")
    for _ in range(3):
        journal.publish(RoomBroadcast(room="a", members=1))
    assert table.broadcasts("a") == 3
    leave(journal, "c1", "a")
    join(journal, "c1", "a")
    assert table.broadcasts("a") == 0


def test_the_version_grows_with_changes_only(journal, table):
    versions = [table.version]
    for event in (
        MemberJoined(connection="c1", room="a", members=1),
        RoomBroadcast(room="a", members=1),
        MemberLeft(connection="c1", room="a", members=0),
    ):
        journal.publish(event)
        versions.append(table.version)
    assert versions == sorted(set(versions))
    for event in (
        MemberLeft(connection="c1", room="a", members=0),
        RoomBroadcast(room="a", members=0),
        ConnectionEnded(connection="c1", code=1000),
        Notice(text="?"),
    ):
        journal.publish(event)
    assert table.version == versions[-1]


def test_joining_twice_is_once_and_keeps_its_time(journal, table):
    join(journal, "c1", "a", at=1.0)
    join(journal, "c1", "a", at=2.0)
    assert table.to_dicts() == [{"room": "a", "members": 1, "broadcasts": 0, "joined_at": {"c1": 1.0}}]


def test_a_late_table_reads_what_the_journal_still_holds(journal):
    join(journal, "c1", "a")
    journal.publish(RoomBroadcast(room="a", members=1))
    join(journal, "c2", "a")
    late = RoomTable(journal)
    assert (late["a"], late.broadcasts("a")) == (("c1", "c2"), 1)
    join(journal, "c3", "a")
    assert late["a"] == ("c1", "c2", "c3")


def test_after_closing_it_follows_no_more(journal, table):
    join(journal, "c1", "a")
    table.close()
    table.close()
    join(journal, "c2", "a")
    assert table["a"] == ("c1",)


def test_the_repr_is_a_table(journal, table):
    assert repr(table) == "<RoomTable: no rooms>"
    join(journal, "c1", "lobby")
    for n in range(14):
        join(journal, f"c{n}", "kitchen")
    journal.publish(RoomBroadcast(room="lobby", members=1))
    assert repr(table).splitlines() == [
        "room     members  broadcasts  connections",
        "kitchen       14           0  c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 2 more",
        "lobby          1           1  c1",
    ]


def test_many_rooms_are_cut(journal, table):
    for n in range(53):
        join(journal, "c1", f"r{n:02}")
    assert repr(table).splitlines()[-1] == "and 3 more rooms"
    assert "<p>and 3 more rooms</p>" in table._repr_html_()


HOSTILE = "<script>alert(1)</script>&\"'\x1b[2J\n\u202e" + "x" * 100


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = set()
        self.text = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - the parser passes them
        self.seen.add(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_names_stay_text(journal, table):
    join(journal, HOSTILE, HOSTILE)
    text, html = repr(table), table._repr_html_()
    assert len(text.splitlines()) == 2
    assert all(char.isprintable() for char in text.replace("\n", ""))
    parser = Tags()
    parser.feed(html)
    assert parser.seen == {"table", "thead", "tbody", "tr", "th", "td"}
    assert "<script>alert(1)</script>&\"'\\x1b[2J\\n" in parser.text[4]
    assert table.rooms_of(HOSTILE) == (HOSTILE,)


@pytest.mark.parametrize("read", [RoomTable.to_dicts, repr, list], ids=["to_dicts", "repr", "iter"])
def test_another_threads_events_wait_while_the_table_is_read(journal, table, read):
    publishing, waited = [], []

    class Room(str):
        __slots__ = ()

        def __lt__(self, other):  # the reader sorts, and is in the middle of it here
            thread = threading.Thread(target=join, args=(journal, "c3", "late"))
            thread.start()
            thread.join(0.05)  # without the lock it ends well within that
            publishing.append(thread)
            waited.append(thread.is_alive())
            return str.__lt__(self, other)

    for room in (Room("a"), Room("b")):
        join(journal, "c1", room)
    read(table)
    for thread in publishing:
        thread.join()
    assert waited == [True]
    assert table["late"] == ("c3",)
