from __future__ import annotations

import asyncio
import json
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from starlette.websockets import WebSocket, WebSocketDisconnect

from wslab.errors import RoomError
from wslab.events import MemberJoined, MemberLeft, MessageDropped, RoomBroadcast
from wslab.journal import Journal, LabExtension
from wslab.rooms import RoomManager, RoomTable


async def test_joining_accepts_when_needed_and_tells_the_others(new_peer, connected):
    rooms = RoomManager()
    first, second = new_peer(), await connected()
    first.knock()
    await rooms.join_room(first.ws, "lobby")
    await rooms.join_room(second.ws, "lobby", name="Zoë")
    await rooms.broadcast_to_room("lobby", "hi")
    assert (first.accepts, second.accepts) == (1, 1)
    assert first.notices == [{"type": "user_joined", "room_id": "lobby", "member_count": 2, "name": "Zoë"}]
    assert second.messages == ["hi"]


async def test_calls_from_another_threads_loop_are_carried_over(connected, journal, settle):
    rooms = RoomManager(announce=False)
    a, b = await connected("c1"), await connected("c2")
    for peer in (a, b):
        await rooms.join_room(peer.ws, "r")
    threads = []
    journal.subscribe(lambda event: threads.append((type(event), threading.current_thread())))

    async def elsewhere():
        with pytest.raises(RoomError):
            await rooms.broadcast_to_room("r", object())
        await rooms.send_personal_message("you", a.ws)
        handed = await rooms.broadcast_to_room("r", "all")
        rooms.leave_room(b.ws)
        return handed

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == 2
    await settle()
    assert (a.messages, b.messages) == (["you", "all"], ["all"])
    assert rooms.members("r") == (a.ws,)
    here = threading.current_thread()
    assert threads == [(RoomBroadcast, here), (MemberLeft, here)]


async def test_leaving_tells_the_others_and_the_last_takes_the_room_along(connected, settle):
    rooms = RoomManager()
    a, b = await connected(), await connected()
    await rooms.join_room(a.ws, "r")
    await rooms.join_room(b.ws, "r", name="b")
    rooms.leave_room(b.ws)
    await settle()
    assert a.notices[-1] == {"type": "user_left", "room_id": "r", "member_count": 1, "name": "b"}
    assert b.messages == []
    rooms.leave_room(a.ws, "r")
    assert dict(rooms.rooms) == {}
    assert await rooms.broadcast_to_room("r", "echo?") == 0


async def test_one_connection_in_several_rooms(connected, settle):
    rooms = RoomManager()
    both, other = await connected(), await connected()
    for room in ("b", "a"):
        await rooms.join_room(both.ws, room)
    await rooms.join_room(other.ws, "a")
    assert rooms.rooms_of(both.ws) == ("b", "a")
    assert rooms.members("a") == (both.ws, other.ws)
    rooms.leave_room(both.ws, "a")
    await rooms.broadcast_to_room("a", "to a")
    await rooms.broadcast_to_room("b", "to b")
    assert both.messages[-1] == "to b"
    assert "to a" not in both.messages
    rooms.leave_room(both.ws)
    assert rooms.rooms_of(both.ws) == ()
    assert dict(rooms.rooms) == {"a": frozenset({other.ws})}


async def test_joining_again_and_leaving_again_change_and_tell_nothing(connected, journal, settle):
    rooms = RoomManager()
    a, b = await connected("a"), await connected("b")
    for _ in range(2):
        await rooms.join_room(a.ws, "r")
        await rooms.join_room(b.ws, "r")
    for _ in range(2):
        rooms.leave_room(b.ws, "r")
        rooms.leave_room(b.ws, "never been there")
        rooms.leave_room(b.ws)
    await settle()
    assert [notice["type"] for notice in a.notices] == ["user_joined", "user_left"]
    assert [type(event) for event in journal] == [MemberJoined, MemberJoined, MemberLeft]


async def test_the_rooms_are_a_live_view_that_cannot_be_written(connected):
    rooms = RoomManager()
    view = rooms.rooms
    peer = await connected()
    await rooms.join_room(peer.ws, "r")
    assert (list(view), len(view), view["r"]) == (["r"], 1, frozenset({peer.ws}))
    for room in view:  # leaving while iterating is safe
        rooms.leave_room(peer.ws, room)
    with pytest.raises(KeyError):
        view["r"]
    with pytest.raises(TypeError):
        view["r"] = frozenset()
    assert rooms.members("r") == ()


async def test_announcements_can_be_off(connected, settle):
    rooms = RoomManager(announce=False)
    a, b = await connected(), await connected()
    for peer in (a, b):
        await rooms.join_room(peer.ws, "r")
    rooms.leave_room(b.ws)
    await settle()
    assert a.messages == []


@pytest.mark.parametrize("room", [7, None, b"r", "x" * 129])
async def test_a_room_id_is_a_short_str(connected, room):
    peer = await connected()
    with pytest.raises(RoomError, match="room id"):
        await RoomManager().join_room(peer.ws, room)


async def test_a_refused_name_leaves_the_connection_untouched(new_peer):
    peer = new_peer()
    peer.knock()
    rooms = RoomManager()
    with pytest.raises(RoomError, match="129 characters"):
        await rooms.join_room(peer.ws, "r", name="x" * 129)
    assert peer.accepts == 0
    await rooms.join_room(peer.ws, "x" * 128, name="")
    assert rooms.rooms_of(peer.ws) == ("x" * 128,)


async def test_a_closed_connection_cannot_join(connected):
    rooms = RoomManager()
    peer = await connected()
    await peer.hang_up()
    with pytest.raises(WebSocketDisconnect):
        await rooms.join_room(peer.ws, "r")
    assert dict(rooms.rooms) == {}


async def test_coming_back_while_messages_are_under_way_loses_none(connected, settle):
    rooms = RoomManager(close_timeout=0)
    peer = await connected()
    await rooms.join_room(peer.ws, "r")
    peer.block()
    for text in "ab":
        await rooms.broadcast_to_room("r", text)
    rooms.leave_room(peer.ws)
    await rooms.join_room(peer.ws, "s")
    await settle()  # the time limit for leaving would end the outbox here
    await rooms.broadcast_to_room("s", "c")
    peer.unblock()
    await settle()
    assert peer.messages == ["a", "b", "c"]


async def test_a_dead_member_leaves_all_its_rooms(connected, settle, journal, no_tasks):
    rooms = RoomManager()
    dead, a, b = await connected("dead"), await connected("a"), await connected("b")
    for peer, room in ((dead, "1"), (dead, "2"), (a, "1"), (b, "2")):
        await rooms.join_room(peer.ws, room)
    await settle()
    dead.error = OSError("reset")
    await rooms.broadcast_to_room("1", "x")
    await settle()
    assert rooms.rooms_of(dead.ws) == ()
    assert a.notices[-1] == {"type": "user_left", "room_id": "1", "member_count": 1}
    assert b.notices[-1] == {"type": "user_left", "room_id": "2", "member_count": 1}
    assert [e.room for e in journal if isinstance(e, MemberLeft)] == ["1", "2"]
    assert no_tasks()


async def test_a_slow_member_leaves_all_its_rooms_and_the_loss_is_booked_to_each(connected, settle, journal):
    rooms = RoomManager(limit=3)
    slow, other = await connected("slow"), await connected("other")
    for room in ("1", "2"):
        await rooms.join_room(slow.ws, room)
    await rooms.join_room(other.ws, "1")
    await settle()
    slow.block()
    for room in ("1", "1", "2", "2", "1"):
        await rooms.broadcast_to_room(room, "x")
    await settle()
    assert slow.closes == [(1013, "slow consumer")]
    assert rooms.rooms_of(slow.ws) == ()
    assert other.messages.count("x") == 3
    dropped = {(e.connection, e.room): e.count for e in journal if isinstance(e, MessageDropped)}
    assert dropped == {("slow", "1"): 2, ("slow", "2"): 2}  # the first was handed to the server
    assert {e.policy for e in journal if isinstance(e, MessageDropped)} == {"disconnect"}


async def test_many_slow_members_at_once(connected, settle, no_tasks):
    # Each that leaves is announced to the others, which overflows the next: this must not recurse.
    rooms = RoomManager(limit=1)
    peers = [await connected() for _ in range(300)]
    for peer in peers:
        await rooms.join_room(peer.ws, "r")
    await settle()
    for peer in peers[1:]:
        peer.block()
    for _ in range(3):
        await rooms.broadcast_to_room("r", "x")
    await settle(50)
    assert rooms.members("r") == (peers[0].ws,)
    assert peers[0].notices[-1]["member_count"] == 1
    assert all(peer.closes == [(1013, "slow consumer")] for peer in peers[1:])
    assert no_tasks()


async def test_a_crowd_that_leaves_in_one_turn_makes_nobody_slow(connected, settle):
    rooms = RoomManager(limit=2)
    stays, crowd = await connected(), [await connected() for _ in range(100)]
    for peer in (stays, *crowd):
        await rooms.join_room(peer.ws, "r")
    await settle()
    for peer in crowd:
        rooms.leave_room(peer.ws)
    await settle()
    assert rooms.members("r") == (stays.ws,)
    assert [n["member_count"] for n in stays.notices if n["type"] == "user_left"] == list(range(100, 0, -1))


async def test_leaving_from_a_journal_reader_in_the_middle_of_joining(connected, journal, settle):
    rooms = RoomManager()
    a, b = await connected("a"), await connected("b")
    await rooms.join_room(a.ws, "r")
    journal.subscribe(lambda event: rooms.leave_room(b.ws) if isinstance(event, MemberJoined) else None)
    await rooms.join_room(b.ws, "r")
    await settle()
    assert rooms.members("r") == (a.ws,)
    assert not any(isinstance(event, Exception) for event in journal)
    assert len(RoomTable(journal)) == 1


async def test_events_carry_ids_and_counts(connected, journal, settle):
    rooms = RoomManager()
    a, b = await connected("c1"), await connected("c2")
    await rooms.join_room(a.ws, "r")
    await rooms.join_room(b.ws, "r")
    await rooms.broadcast_to_room("r", "x", exclude=a.ws)
    rooms.leave_room(a.ws)
    assert [(type(e), e.connection, e.room, e.members) for e in journal] == [
        (MemberJoined, "c1", "r", 1),
        (MemberJoined, "c2", "r", 2),
        (RoomBroadcast, "", "r", 1),
        (MemberLeft, "c1", "r", 1),
    ]


async def test_without_a_lab_it_works_the_same(new_peer):
    rooms = RoomManager()
    peer = new_peer()
    peer.knock()
    await rooms.join_room(peer.ws, "r")
    await rooms.broadcast_to_room("r", [1])
    rooms.leave_room(peer.ws)
    assert peer.messages == ["[1]"]


async def test_each_labs_journal_hears_of_its_own_members(new_peer):
    rooms = RoomManager()
    journals = [Journal(), Journal()]
    for n, journal in enumerate([*journals, journals[0]]):
        peer = new_peer(f"c{n}", journal)
        peer.knock()
        await rooms.join_room(peer.ws, "r")
    await rooms.broadcast_to_room("r", "x")
    assert [[e.members for e in j if isinstance(e, RoomBroadcast)] for j in journals] == [[2], [1]]


async def test_two_managers_may_take_one_connection_at_the_same_time(new_peer, settle):
    peer = new_peer()
    managers = RoomManager(), RoomManager()
    joining = [asyncio.create_task(m.join_room(peer.ws, "r")) for m in managers for _ in range(2)]
    await settle()
    peer.knock()
    await asyncio.gather(*joining)
    assert peer.accepts == 1
    assert all(manager.members("r") == (peer.ws,) for manager in managers)


async def test_repr(connected):
    rooms = RoomManager(limit=9)
    await rooms.join_room((await connected()).ws, "lobby")
    assert (
        repr(rooms) == "<RoomManager: 1 room, 1 member, at most 9 messages waiting for each, then disconnect>"
    )
    assert repr(rooms.rooms) == "<rooms: 'lobby' (1)>"
    assert repr(RoomManager().rooms) == "<rooms: none>"


PEERS = st.integers(0, 4)
ROOMS = st.sampled_from(["a", "b", "c"])


class RoomsAgainstAModel(RuleBasedStateMachine):
    """Random life of five connections in three rooms, against a model that never forgets.

    A peer is healthy until it is blocked or broken. For healthy peers the manager must agree with the model
    in membership and in every broadcast; an unhealthy one may be thrown out, and then must have been told so.
    """

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.journal = Journal()
        self.rooms = RoomManager(limit=2, close_timeout=3600)
        self.table = RoomTable(self.journal)
        self.peers = [self.new_peer(n) for n in range(5)]
        self.model = {}
        self.expected = {n: [] for n in range(5)}
        self.unhealthy = set()
        self.said = 0

    def new_peer(self, number):
        peer = type("P", (), {})()
        peer.gate, peer.inbox, peer.broken, peer.sent = asyncio.Event(), asyncio.Queue(), False, []
        peer.gate.set()

        async def send(message):
            if peer.broken:
                raise OSError("reset")
            if message["type"] == "websocket.send":
                await peer.gate.wait()
            peer.sent.append(message)

        lab = {"wslab": LabExtension(self.journal, f"c{number}")}
        scope = {"type": "websocket", "path": "/", "headers": [], "extensions": lab}
        peer.ws = WebSocket(scope, peer.inbox.get, send)
        return peer

    def run(self, action):
        async def act():
            result = await action
            for _ in range(30):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(act())

    async def join(self, n, room, *, name=None):
        peer = self.peers[n]
        if peer.ws.client_state.name == "CONNECTING":
            peer.inbox.put_nowait({"type": "websocket.connect"})
        await self.rooms.join_room(peer.ws, room, name=name)

    @rule(n=PEERS, room=ROOMS)
    def joins(self, n, room):
        try:
            self.run(self.join(n, room))
        except (WebSocketDisconnect, OSError):
            assert n in self.unhealthy
        else:
            members = self.model.setdefault(room, [])
            if n not in members:
                members.append(n)

    @rule(n=PEERS, room=ROOMS)
    def is_cancelled_while_accepting(self, n, room):
        if self.peers[n].ws.client_state.name != "CONNECTING":
            return

        async def cancelled():
            joining = asyncio.ensure_future(self.rooms.join_room(self.peers[n].ws, room))
            await asyncio.sleep(0)
            joining.cancel()
            await asyncio.wait({joining})
            assert joining.cancelled()

        self.run(cancelled())

    @rule(n=PEERS, room=ROOMS | st.none())
    def leaves(self, n, room):
        async def leave():
            self.rooms.leave_room(self.peers[n].ws, room)

        self.run(leave())
        for name in list(self.model) if room is None else [room]:
            if n in self.model.get(name, []):
                self.model[name].remove(n)

    @rule(room=ROOMS, author=PEERS | st.none(), leaver=PEERS | st.none())
    def is_told(self, room, author, leaver):
        """A broadcast, during which somebody may leave."""
        self.said += 1
        text = f"#{self.said}"

        async def tell():
            exclude = None if author is None else self.peers[author].ws
            telling = asyncio.ensure_future(self.rooms.broadcast_to_room(room, text, exclude))
            await asyncio.sleep(0)
            if leaver is not None:
                self.rooms.leave_room(self.peers[leaver].ws)
            await telling

        for n in self.model.get(room, []):
            if n != author:
                self.expected[n].append(text)
        self.run(tell())
        if leaver is not None:
            for members in self.model.values():
                if leaver in members:
                    members.remove(leaver)

    @rule(n=PEERS)
    def stalls(self, n):
        self.unhealthy.add(n)
        self.peers[n].gate.clear()

    @rule(n=PEERS)
    def breaks(self, n):
        self.unhealthy.add(n)
        self.peers[n].broken = True

    @invariant()
    def rooms_and_members_agree(self):
        rooms = self.rooms.rooms
        for room in rooms:
            members = self.rooms.members(room)
            assert members
            assert len(set(members)) == len(members)
            assert rooms[room] == frozenset(members)
            assert all(room in self.rooms.rooms_of(ws) for ws in members)
        for peer in self.peers:
            assert all(peer.ws in rooms[room] for room in self.rooms.rooms_of(peer.ws))

    @invariant()
    def healthy_members_are_where_the_model_has_them(self):
        numbers = {peer.ws: n for n, peer in enumerate(self.peers)}
        for room in {*self.model, *self.rooms.rooms}:
            wanted = self.model.get(room, [])
            actual = [numbers[ws] for ws in self.rooms.members(room)]
            assert set(actual) <= set(wanted)
            for n in set(wanted) - set(actual):
                assert n in self.unhealthy
                closed = [m["code"] for m in self.peers[n].sent if m["type"] == "websocket.close"]
                assert self.peers[n].broken or closed == [1013]

    @invariant()
    def healthy_members_got_every_broadcast_in_order(self):
        for n, peer in enumerate(self.peers):
            texts = [m["text"] for m in peer.sent if m["type"] == "websocket.send"]
            broadcasts = [text for text in texts if text.startswith("#")]
            if n in self.unhealthy:
                assert broadcasts == self.expected[n][: len(broadcasts)]
            else:
                assert broadcasts == self.expected[n]
            assert all(json.loads(text)["member_count"] > 0 for text in texts if not text.startswith("#"))

    @invariant()
    def the_journal_tells_the_same_story(self):
        ids = {peer.ws: f"c{n}" for n, peer in enumerate(self.peers)}
        actual = {room: tuple(ids[ws] for ws in self.rooms.members(room)) for room in self.rooms.rooms}
        assert {room: self.table[room] for room in self.table} == actual
        counts = {}
        for event in self.journal:
            if isinstance(event, (MemberJoined, MemberLeft)):
                counts[event.room] = counts.get(event.room, 0) + (
                    1 if isinstance(event, MemberJoined) else -1
                )
        assert {room: count for room, count in counts.items() if count} == {
            r: len(m) for r, m in actual.items()
        }

    def teardown(self):
        async def end():
            for peer in self.peers:
                self.rooms.leave_room(peer.ws)
                peer.gate.set()
            for _ in range(30):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not self.rooms._outboxes
            assert not self.rooms._rooms_of

        self.loop.run_until_complete(end())
        self.loop.close()


TestRoomsAgainstAModel = RoomsAgainstAModel.TestCase
TestRoomsAgainstAModel.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
