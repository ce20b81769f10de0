from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import wslab


async def test_everybody_hears_everybody(serve):
    async with serve("chat") as program, program.connect("/ws/ada") as ada:
        assert await ada.receive(5) == "Client #ada joined the chat"
        async with program.connect("/ws/bob") as bob:
            for client in (ada, bob):
                assert await client.receive(5) == "Client #bob joined the chat"
            await bob.send("hi")
            for client in (ada, bob):
                assert await client.receive(5) == "Client #bob: hi"
        assert await ada.receive(5) == "Client #bob left the chat"
        assert len(program.module.manager.active_connections) == 1


class Broken:
    """A connection whose client has left."""

    def __init__(self, error):
        self.error = error

    async def send_text(self, _data):
        raise self.error


async def test_a_broken_member_takes_its_message_from_nobody(serve):
    async with serve("chat") as program, AsyncExitStack() as stack:
        module = program.module
        clients = [await stack.enter_async_context(program.connect(f"/ws/{name}")) for name in "ab"]
        assert await clients[0].receive(5) == "Client #a joined the chat"
        for client in clients:
            assert await client.receive(5) == "Client #b joined the chat"
        manager = module.manager
        real = list(manager.active_connections)
        errors = [module.WebSocketDisconnect(1006), RuntimeError("closed already")]
        manager.active_connections[:] = [Broken(errors[0]), real[0], Broken(errors[1]), real[1]]
        await manager.broadcast("news")
        assert manager.active_connections == real
        for client in clients:
            assert await client.receive(5) == "news"


async def test_a_cancelled_broadcast_is_no_broken_member(serve):
    async with serve("chat") as program:
        manager = program.module.manager
        member = Broken(asyncio.CancelledError())
        manager.active_connections.append(member)
        with pytest.raises(asyncio.CancelledError):
            await manager.broadcast("news")
        assert manager.active_connections == [member]
        manager.disconnect(member)
        manager.disconnect(member)  # twice is harmless
        assert manager.active_connections == []


async def test_a_member_that_fails_leaves_too(serve):
    async with serve("chat") as program, program.connect("/ws/ada") as ada:
        assert await ada.receive(5) == "Client #ada joined the chat"
        async with program.connect("/ws/bob") as bob:
            assert await ada.receive(5) == "Client #bob joined the chat"
            assert await bob.receive(5) == "Client #bob joined the chat"
            await bob.send(b"not text")
            assert await ada.receive(5) == "Client #bob left the chat"
            with pytest.raises(wslab.ConnectionClosed):
                await bob.receive(5)
