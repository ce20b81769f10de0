from __future__ import annotations

import asyncio
from typing import get_type_hints

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from wslab.errors import RoomError
from wslab.events import MemberJoined, MemberLeft, MessageDropped, RoomBroadcast
from wslab.rooms import ConnectionManager


async def test_connecting_accepts_once_and_lists_in_order(new_peer, connected):
    manager = ConnectionManager()
    fresh, accepted = new_peer(), await connected()
    fresh.knock()
    await manager.connect(fresh.ws)
    await manager.connect(accepted.ws)
    await manager.connect(accepted.ws)
    assert manager.active_connections == [fresh.ws, accepted.ws]
    assert (fresh.accepts, accepted.accepts) == (1, 1)


async def test_the_list_is_the_callers_own(connected):
    manager = ConnectionManager()
    peer = await connected()
    await manager.connect(peer.ws)
    manager.active_connections.clear()
    assert manager.active_connections == [peer.ws]


async def test_a_broadcast_reaches_everybody_in_the_form_given(connected):
    manager = ConnectionManager()
    peers = [await connected() for _ in range(3)]
    for peer in peers:
        await manager.connect(peer.ws)
    for message in ("text", b"\x00", {"a": 1}):
        assert await manager.broadcast(message) == 3
    assert [peer.messages for peer in peers] == [["text", b"\x00", '{"a":1}']] * 3


async def test_a_broadcast_can_leave_out_its_author(connected):
    manager = ConnectionManager()
    author, other = await connected(), await connected()
    for peer in (author, other):
        await manager.connect(peer.ws)
    assert await manager.broadcast("hi", exclude=author.ws) == 1
    assert (author.messages, other.messages) == ([], ["hi"])


async def test_json_is_encoded_once_for_all(connected, monkeypatch):
    manager = ConnectionManager()
    peers = [await connected() for _ in range(3)]
    for peer in peers:
        await manager.connect(peer.ws)
    await manager.broadcast({"a": [1, 2]})
    assert len({id(peer.messages[0]) for peer in peers}) == 1


async def test_a_stalled_member_holds_nobody_up(connected, settle):
    manager = ConnectionManager(limit=4)
    stalled, others = await connected(), [await connected() for _ in range(3)]
    stalled.block()
    for peer in (stalled, *others):
        await manager.connect(peer.ws)
    for n in range(20):
        await manager.broadcast(str(n))
    await settle()
    assert all(peer.messages == [str(n) for n in range(20)] for peer in others)
    assert manager.active_connections == [peer.ws for peer in others]
    assert stalled.closes == [(1013, "slow consumer")]


async def test_a_loop_of_broadcasts_does_not_outrun_members_that_keep_up(connected):
    manager = ConnectionManager(limit=1)
    peer = await connected()
    await manager.connect(peer.ws)
    for n in range(500):
        await manager.broadcast(str(n))
    assert peer.messages == [str(n) for n in range(500)]
    assert manager.active_connections == [peer.ws]


async def test_dead_members_are_forgotten_and_the_others_unharmed(connected, settle, no_tasks):
    manager = ConnectionManager()
    # Neighbours in the list: removing while iterating would skip the second.
    first, dead1, dead2, last = [await connected() for _ in range(4)]
    for peer in (first, dead1, dead2, last):
        await manager.connect(peer.ws)
    dead1.error = OSError("connection reset")
    await dead2.hang_up()
    await manager.broadcast("a")
    await settle()
    await manager.broadcast("b")
    assert manager.active_connections == [first.ws, last.ws]
    assert first.messages == last.messages == ["a", "b"]
    assert no_tasks()


async def test_disconnecting_is_idempotent_and_closes_nothing(connected):
    manager = ConnectionManager()
    peer = await connected()
    manager.disconnect(peer.ws)
    await manager.connect(peer.ws)
    manager.disconnect(peer.ws)
    manager.disconnect(peer.ws)
    assert manager.active_connections == []
    assert peer.closes == []
    assert await manager.broadcast("nobody hears") == 0


async def test_what_was_sent_before_disconnecting_still_arrives(connected, settle, no_tasks):
    manager = ConnectionManager()
    peer = await connected()
    peer.block()
    await manager.connect(peer.ws)
    await manager.broadcast("bye")
    await manager.broadcast("really")
    manager.disconnect(peer.ws)
    await manager.broadcast("too late")
    peer.unblock()
    await settle()
    assert peer.messages == ["bye", "really"]
    assert not manager._rooms._outboxes
    assert no_tasks()


async def test_reconnecting_while_messages_are_under_way_keeps_their_order(connected, settle):
    manager = ConnectionManager()
    peer = await connected()
    peer.block()
    await manager.connect(peer.ws)
    for text in "ab":
        await manager.broadcast(text)
    manager.disconnect(peer.ws)
    await manager.connect(peer.ws)
    await manager.broadcast("c")
    peer.unblock()
    await settle()
    assert peer.messages == ["a", "b", "c"]


async def test_a_personal_message_takes_its_turn(connected, settle):
    manager = ConnectionManager()
    peer, other = await connected(), await connected()
    for one in (peer, other):
        await manager.connect(one.ws)
    peer.block()
    await manager.broadcast("all")
    await manager.send_personal_message({"only": "you"}, peer.ws)
    peer.unblock()
    await settle()
    assert peer.messages == ["all", '{"only":"you"}']
    assert other.messages == ["all"]


async def test_a_personal_message_to_somebody_else_is_sent_directly(connected):
    manager = ConnectionManager()
    peer = await connected()
    await manager.send_personal_message("hi", peer.ws)
    await manager.send_personal_message(b"\x01", peer.ws)
    assert peer.messages == ["hi", b"\x01"]


async def test_a_personal_message_to_a_closed_connection_is_a_disconnect(connected, settle):
    manager = ConnectionManager(limit=1)
    gone, slow = await connected(), await connected()
    await gone.hang_up()
    slow.block()
    await manager.connect(slow.ws)
    for _ in range(4):
        await manager.broadcast("x")
    await settle()
    for peer in (gone, slow):
        with pytest.raises(WebSocketDisconnect):
            await manager.send_personal_message("hi", peer.ws)


async def test_a_message_that_cannot_be_encoded_harms_nobody(connected):
    manager = ConnectionManager()
    peer = await connected()
    await manager.connect(peer.ws)
    for send in (manager.broadcast("\ud800"), manager.send_personal_message({1}, peer.ws)):
        with pytest.raises(RoomError):
            await send
    await manager.broadcast({"from a client": "\ud800"})
    assert peer.messages == ['{"from a client":"\\ud800"}']


async def test_joining_cancelled_while_accepting_leaves_no_member(new_peer, settle):
    manager = ConnectionManager()
    peer = new_peer()
    joining = asyncio.create_task(manager.connect(peer.ws))
    await settle()
    joining.cancel()
    await asyncio.wait({joining})
    assert joining.cancelled()
    assert manager.active_connections == []


async def test_the_journal_tells_it_as_one_room(connected, journal, settle):
    manager = ConnectionManager("drop_oldest", limit=1, name="everybody")
    peer = await connected("c1")
    await manager.connect(peer.ws)
    peer.block()
    for _ in range(3):
        await manager.broadcast("x")
    peer.unblock()
    await settle()
    manager.disconnect(peer.ws)
    assert [(type(event), event.connection, event.room) for event in journal] == [
        (MemberJoined, "c1", "everybody"),
        (RoomBroadcast, "", "everybody"),
        (RoomBroadcast, "", "everybody"),
        (MessageDropped, "c1", "everybody"),
        (RoomBroadcast, "", "everybody"),
        (MemberLeft, "c1", "everybody"),
    ]
    assert peer.messages == ["x", "x"]


def test_an_endpoint_may_depend_on_it():
    assert get_type_hints(ConnectionManager.connect)["ws"] is WebSocket
    assert set(get_type_hints(ConnectionManager.__init__)) == {"policy", "limit", "name", "return"}


@pytest.mark.parametrize("arguments", [{"policy": "wait"}, {"limit": 0}])
def test_arguments_are_checked_at_the_start(arguments):
    with pytest.raises(RoomError, match="Expected"):
        ConnectionManager(**arguments)


async def test_repr(connected):
    manager = ConnectionManager()
    await manager.connect((await connected()).ws)
    assert repr(manager) == "<ConnectionManager 'all': 1 active connection>"
