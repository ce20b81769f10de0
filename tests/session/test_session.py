from __future__ import annotations

import asyncio

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from wslab.errors import WSLabError
from wslab.events import EndpointFailed, Notice
from wslab.journal import Journal, lab_extension
from wslab.session import EndpointInterrupted, ServerChannel, Session
from wslab.session.current import current_connection, current_journal
from wslab.wire import Connection, Recorder


class Server:
    """What an ASGI server does for one connection, without a socket."""

    def __init__(self, *, denial: bool = True) -> None:
        self.inbox: asyncio.Queue = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.sent: list[dict] = []
        self.broken = False
        extensions = {"websocket.http.response": {}} if denial else {}
        self.scope = {"type": "websocket", "path": "/", "headers": [], "extensions": extensions}

    def channel(self, connection=None) -> ServerChannel:
        return ServerChannel(connection, self.scope, self.inbox.get, self.send)

    async def send(self, message):
        if self.broken:
            raise ConnectionResetError
        self.sent.append(message)

    def receive_text(self, text):
        self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    def disconnect(self, code=1005):
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})

    @property
    def kinds(self):
        return [message["type"].rpartition("websocket.")[2] for message in self.sent]


async def run(endpoint, *, server=None, connection=None):
    server = server or Server()
    journal = Journal()
    session = Session(server.channel(connection), journal)

    async def app(scope, receive, send):
        await endpoint(WebSocket(scope, receive, send))

    await session.run(app, server.scope)
    return server, session, journal


async def test_an_endpoint_that_returns_closes_with_1000():
    async def endpoint(ws):
        await ws.accept()

    server, _, journal = await run(endpoint)
    assert server.sent[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}
    assert len(journal) == 0


async def test_an_endpoint_that_raises_closes_with_1011_and_its_own_traceback():
    async def endpoint(ws):
        await ws.accept()
        raise ValueError("secret detail")

    server, _, journal = await run(endpoint)
    assert server.sent[-1]["code"] == 1011
    assert server.sent[-1]["reason"] == "Internal error: ValueError"
    (event,) = journal
    assert isinstance(event, EndpointFailed)
    assert event.error == "ValueError: secret detail"
    assert "test_session.py" in event.where
    assert "secret detail" in event.traceback
    assert "wslab/session" not in event.traceback


async def test_a_server_may_say_that_it_has_no_extensions():
    async def endpoint(ws):
        assert lab_extension(ws.scope).connection == ""
        await ws.accept()

    server = Server()
    server.scope["extensions"] = None
    server, _, journal = await run(endpoint, server=server)
    assert server.sent[-1]["code"] == 1000
    assert len(journal) == 0


async def test_an_endpoint_that_exits_ends_its_connection_and_not_the_process():
    async def endpoint(ws):
        await ws.accept()
        raise SystemExit(3)

    server, _, journal = await run(endpoint)
    assert server.sent[-1]["code"] == 1011
    (event,) = journal
    assert event.error == "SystemExit: 3"


async def test_an_error_before_accept_is_a_500_without_its_detail():
    async def endpoint(ws):
        raise ValueError("secret detail")

    server, _, journal = await run(endpoint)
    start, body = server.sent
    assert start["status"] == 500
    assert b"ValueError" in body["body"]
    assert b"secret" not in body["body"]
    assert isinstance(journal[0], EndpointFailed)


async def test_without_denial_responses_it_is_a_close_before_accept():
    async def endpoint(ws):
        raise ValueError

    server, _, _ = await run(endpoint, server=Server(denial=False))
    assert server.kinds == ["close"]


async def test_returning_without_accept_is_told():
    async def endpoint(ws):
        return

    server, _, journal = await run(endpoint)
    assert server.sent[0]["status"] == 500
    assert isinstance(journal[0], Notice)
    assert "without accepting" in journal[0].text


async def test_an_endpoint_that_closed_itself_is_left_alone():
    async def endpoint(ws):
        await ws.accept()
        await ws.close(4001, "é" * 100)

    server, _, _ = await run(endpoint)
    assert server.kinds == ["accept", "close"]
    assert len(server.sent[-1]["reason"].encode()) <= 123


async def test_a_refusal_by_the_endpoint_stands():
    async def endpoint(ws):
        await ws.close(1008, "members only")

    connection = Connection(1, "a", Recorder())
    server, _, _ = await run(endpoint, connection=connection)
    assert server.kinds == ["close"]
    assert connection.refusal == "members only (meant as close code 1008)"


async def test_a_client_that_left_is_no_failure():
    async def endpoint(ws):
        await ws.accept()
        await ws.receive_text()

    server = Server()
    server.disconnect(1001)
    server, _, journal = await run(endpoint, server=server)
    assert server.kinds == ["accept"]
    assert len(journal) == 0


async def test_a_disconnect_error_of_the_endpoints_own_making_is_a_failure():
    async def endpoint(ws):
        await ws.accept()
        raise WebSocketDisconnect(1000)

    server, _, journal = await run(endpoint)
    assert server.sent[-1]["code"] == 1011
    assert isinstance(journal[0], EndpointFailed)


async def test_a_cut_connection_is_1006_and_not_the_servers_1005():
    codes = []

    async def endpoint(ws):
        await ws.accept()
        try:
            await ws.receive_text()
        except WebSocketDisconnect as error:
            codes.append(error.code)

    server = Server()
    connection = Connection(1, "a", Recorder())
    connection.note_response(b"HTTP/1.1 101 X\r\n\r\n", 101)
    connection.note_end()
    server.disconnect(1005)
    await run(endpoint, server=server, connection=connection)
    assert codes == [1006]


async def test_a_send_to_a_client_that_left_raises_the_clean_disconnect():
    async def endpoint(ws):
        await ws.accept()
        server.broken = True
        with pytest.raises(WebSocketDisconnect):
            await ws.send_text("x")

    server = Server()
    _, session, journal = await run(endpoint, server=server)
    assert session.channel.gone
    assert len(journal) == 0


async def test_an_interrupt_frees_the_connection():
    async def endpoint(ws):
        await ws.accept()
        raise EndpointInterrupted("now")

    server, _, _ = await run(endpoint)
    assert server.sent[-1]["code"] == 1011


async def test_an_interrupt_of_a_task_groups_task_frees_the_connection():
    async def spin():
        raise EndpointInterrupted("now")

    async def endpoint(ws):
        await ws.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(spin())
            await ws.receive_text()

    server, _, _ = await run(endpoint)
    assert server.sent[-1]["code"] == 1011


async def test_what_an_endpoint_starts_knows_whom_it_works_for():
    found = []

    async def note():
        found.append((current_connection.get(), current_journal.get()))

    async def endpoint(ws):
        await ws.accept()
        await asyncio.gather(note(), asyncio.create_task(note()))

    _, session, journal = await asyncio.create_task(run(endpoint))
    assert found == [(session.id, journal)] * 2
    assert current_journal.get() is None


async def test_cancellation_ends_it_without_a_word():
    running = asyncio.Event()

    async def endpoint(ws):
        await ws.accept()
        running.set()
        await ws.receive_text()

    server = Server()
    task = asyncio.create_task(run(endpoint, server=server))
    await running.wait()
    task.cancel()
    _, session, journal = await task
    assert (server.kinds, session.channel.gone, len(journal)) == (["accept"], True, 0)


async def test_a_cancellation_of_the_endpoints_own_making_is_a_failure():
    async def endpoint(ws):
        await ws.accept()
        other = asyncio.create_task(asyncio.Event().wait())
        other.cancel()
        await other

    server, _, journal = await run(endpoint)
    assert server.sent[-1]["code"] == 1011
    assert isinstance(journal[0], EndpointFailed)


async def test_closed_from_outside_the_endpoints_next_send_is_a_clean_disconnect():
    running = asyncio.Event()
    raised = []

    async def endpoint(ws):
        await ws.accept()
        running.set()
        await ws.receive_text()
        try:
            await ws.send_text("too late")
        except WebSocketDisconnect as error:
            raised.append(error.code)

    server = Server()
    session = Session(server.channel(), Journal())

    async def app(scope, receive, send):
        await endpoint(WebSocket(scope, receive, send))

    task = asyncio.create_task(session.run(app, server.scope))
    await running.wait()
    await session.close(1008, "enough")
    with pytest.raises(WSLabError, match="not"):
        await session.close(1000)
    server.receive_text("hello")
    await task
    assert raised == [1006]
    assert server.kinds == ["accept", "close"]
    assert server.sent[-1]["code"] == 1008


async def test_the_scope_carries_the_journal_and_the_id():
    seen = []

    async def endpoint(ws):
        seen.append(lab_extension(ws.scope))
        await ws.accept()

    _, _, journal = await run(endpoint, connection=Connection(7, "a", Recorder()))
    assert seen[0].connection == "c7"
    assert seen[0].journal is journal


async def test_an_endpoint_that_only_pushes_ends_quietly_when_the_client_leaves():
    async def endpoint(ws):
        await ws.accept()
        server.broken = True
        while True:
            await ws.send_text("price")

    server = Server()
    _, session, journal = await run(endpoint, server=server)
    assert session.channel.gone
    assert len(journal) == 0


async def test_an_endpoint_whose_connection_somebody_else_closed_ends_quietly():
    async def endpoint(ws):
        await ws.accept()
        await ws.close(1013, "slow consumer")  # as a room does from another task
        await ws.receive_text()

    server, _, journal = await run(endpoint)
    assert server.sent[-1]["code"] == 1013
    assert len(journal) == 0


async def test_the_code_that_was_meant_is_kept_for_the_lab():
    connection = Connection(1, "a", Recorder())

    async def endpoint(ws):
        lab_extension(ws.scope).meant(4003, "not you")
        await ws.close(4003)

    await run(endpoint, connection=connection)
    assert connection.refusal == "not you (meant as close code 4003)"
