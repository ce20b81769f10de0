from __future__ import annotations

import asyncio
import json

import pytest
from starlette.websockets import WebSocket

from wslab.journal import Journal, LabExtension


class Peer:
    """A Starlette WebSocket over callables that a test holds in its hand.

    `block()` holds sends up until `unblock()`; `deaf` holds up the close as well; `error` is raised by sends.
    """

    def __init__(self, connection="", journal=None):
        self.sent = []
        self.inbox = asyncio.Queue()
        self.error = None
        self.deaf = False
        self.gate = asyncio.Event()
        self.gate.set()
        lab = {"wslab": LabExtension(journal, connection)} if journal is not None else {}
        scope = {"type": "websocket", "path": "/", "headers": [], "extensions": lab}
        self.ws = WebSocket(scope, self._receive, self._send)

    async def _receive(self):
        return await self.inbox.get()

    async def _send(self, message):
        if self.error is not None:
            raise self.error
        if message["type"] == "websocket.send" or (self.deaf and message["type"] == "websocket.close"):
            await self.gate.wait()
        self.sent.append(message)

    def block(self):
        self.gate.clear()

    def unblock(self):
        self.gate.set()

    def knock(self):
        self.inbox.put_nowait({"type": "websocket.connect"})

    async def hang_up(self):
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await self.ws.receive()

    @property
    def accepts(self):
        return sum(message["type"] == "websocket.accept" for message in self.sent)

    @property
    def closes(self):
        return [(m["code"], m["reason"]) for m in self.sent if m["type"] == "websocket.close"]

    @property
    def messages(self):
        return [m.get("text", m.get("bytes")) for m in self.sent if m["type"] == "websocket.send"]

    @property
    def notices(self):
        """The JSON objects among the messages."""
        return [json.loads(text) for text in self.messages if isinstance(text, str) and text.startswith("{")]


@pytest.fixture
def new_peer():
    return Peer


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def connected(journal):
    """Makes a peer whose connection is accepted; its name is the connection's id in the journal."""

    async def connected(name=""):
        peer = Peer(name, journal)
        peer.knock()
        await peer.ws.accept()
        return peer

    return connected


@pytest.fixture
async def settle():
    """Lets the event loop run until only the test itself is left to run, or all others wait for it."""

    async def settle(turns=25):
        for _ in range(turns):
            await asyncio.sleep(0)

    return settle


@pytest.fixture
def no_tasks():
    """A check that no task but the test's own exists."""

    def no_tasks():
        return asyncio.all_tasks() == {asyncio.current_task()}

    return no_tasks
