from __future__ import annotations

import asyncio

import pytest

import wslab


async def enter(program, room):
    client = await program.connect(f"/ws/room/{room}")
    welcome = await client.receive_json(5)
    assert welcome == {"type": "welcome", "room_id": room, "message": f"Welcome to room {room}"}
    return client


def told(kind, room, count):
    return {"type": kind, "room_id": room, "member_count": count}


async def test_a_room_hears_who_joins_speaks_and_leaves(serve, emptied, capsys):
    async with serve("rooms") as program:
        ada, bob = await enter(program, "red"), await enter(program, "red")
        other = await enter(program, "blue")
        assert await ada.receive_json(5) == told("user_joined", "red", 2)
        await bob.send_json({"type": "message", "content": "hi"})
        for client in (ada, bob):
            message = await client.receive_json(5)
            assert (message["type"], message["message"]) == ("room_message", "hi")
        await other.send_json({"type": "ping"})
        assert await other.receive_json(5) == {"type": "pong"}  # and nothing of the other room
        await bob.close()
        assert await ada.receive_json(5) == told("user_left", "red", 1)
        await ada.close()
        await other.close()
        await emptied(program)
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "Client left room blue",
        "Client left room red",
        "Client left room red",
    ]


@pytest.fixture
def emptied(until):
    def wait(program):
        manager = program.module.room_manager
        return until(lambda: not manager.rooms and not manager.websocket_to_room)

    return wait


@pytest.mark.parametrize("message", ["{", "5", "[]", "null", b"{}"])
async def test_what_is_no_json_object_is_answered(serve, emptied, message):
    async with serve("rooms") as program:
        client = await enter(program, "red")
        await client.send(message)
        answer = {"type": "error", "message": "Message must be a JSON object"}
        assert await client.receive_json(5) == answer
        await client.close()
        await emptied(program)


class Member:
    """A member whose connection does, while it is sent to, what `act` does."""

    def __init__(self, act=lambda: None):
        self.act = act
        self.received = []

    async def send_json(self, message):
        self.act()
        self.received.append(message)


def raising(error):
    def act():
        raise error

    return act


async def test_a_room_may_empty_while_it_is_broadcast_to(serve):
    async with serve("rooms") as program:
        module, manager = program.module, program.module.room_manager
        members = []

        def everybody_leaves():
            for member in members:
                manager.remove(member)
            raise module.WebSocketDisconnect(1006)

        members += [Member(everybody_leaves), Member(everybody_leaves)]
        for member in members:
            manager.rooms.setdefault("red", set()).add(member)
            manager.websocket_to_room[member] = "red"
        await manager.broadcast_to_room("red", {"type": "news"})
        assert (manager.rooms, manager.websocket_to_room) == ({}, {})


async def test_a_room_may_grow_while_it_is_broadcast_to(serve):
    async with serve("rooms") as program:
        manager = program.module.room_manager
        late = Member()
        manager.rooms["red"] = {Member(lambda: manager.rooms["red"].add(late))}
        await manager.broadcast_to_room("red", {"type": "news"})
        assert late.received == []


@pytest.mark.parametrize("kind", ["disconnect", "closed"])
async def test_the_last_broken_member_takes_the_room_with_it(serve, kind):
    async with serve("rooms") as program:
        module, manager = program.module, program.module.room_manager
        error = module.WebSocketDisconnect(1006) if kind == "disconnect" else RuntimeError("closed")
        member = Member(raising(error))
        await manager.join_room(member, "red")
        await manager.broadcast_to_room("red", {"type": "news"})
        assert (manager.rooms, manager.websocket_to_room) == ({}, {})
        await manager.leave_room(member)  # the endpoint's own leave comes afterwards: harmless


async def test_a_cancelled_broadcast_stays_cancelled(serve):
    async with serve("rooms") as program:
        manager = program.module.room_manager
        member = Member(raising(asyncio.CancelledError()))
        manager.rooms["red"] = {member}
        with pytest.raises(asyncio.CancelledError):
            await manager.broadcast_to_room("red", {"type": "news"})
        assert manager.rooms == {"red": {member}}


async def test_members_that_are_cut_off_leave_the_room(serve, emptied):
    async with serve("rooms") as program:
        ada, bob = await enter(program, "red"), await enter(program, "red")
        assert await ada.receive_json(5) == told("user_joined", "red", 2)
        bob._connection.transport.abort()
        assert await ada.receive_json(5) == told("user_left", "red", 1)
        ada._connection.transport.abort()
        await emptied(program)
        with pytest.raises(wslab.ConnectionClosed):
            await bob.receive(5)
