"""The door and the applications behind it, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

import wslab
from wslab.errors import ConnectionRefused, NotAnAppError, StartupError
from wslab.events import AppSwapped, HandshakeRefused
from wslab.server import check_app


def answering(word, *, startup=None, shutdown=None):
    async def endpoint(ws):
        await ws.accept()
        async for _ in ws.iter_text():
            await ws.send_text(word)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        if startup:
            await startup()
        yield
        if shutdown:
            shutdown()

    return Starlette(routes=[WebSocketRoute("/", endpoint)], lifespan=lifespan)


async def ask(client):
    await client.send("?")
    return await client.receive(5)


async def fails():
    raise ValueError("no database")


async def test_a_hostile_page_is_refused_and_told_why(lab):
    with pytest.raises(ConnectionRefused) as caught:
        await lab.connect("/echo", headers={"Origin": "https://evil.example"})
    assert caught.value.status == 403
    assert "evil.example" in caught.value.body
    (event,) = [event for event in lab.journal if isinstance(event, HandshakeRefused)]
    assert "evil.example" in event.reason
    assert "lab_token" in event.remedy
    assert lab.connections[0].state == "refused"


async def test_ordinary_requests_are_checked_for_rebinding(lab):
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert b" 403 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_an_application_is_handed_over_while_connections_are_open():
    closed = []
    lab = wslab.Lab(answering("old", shutdown=lambda: closed.append("old")), name="handed-over")
    await lab.start()
    try:
        port = lab.port
        first = await lab.connect("/")
        assert await ask(first) == "old"
        again = wslab.Lab(answering("new"), name="handed-over")
        await again.start()
        assert again.port == port
        second = await again.connect("/")
        assert (await ask(second), await ask(first)) == ("new", "old")
        assert closed == []
        await first.close()
        await lab.until(lambda: closed == ["old"])
        assert await ask(second) == "new"
        assert any(isinstance(event, AppSwapped) for event in lab.journal)
    finally:
        await lab.stop()


async def test_an_application_that_does_not_start_leaves_the_old_one():
    lab = wslab.Lab(answering("old"), name="stays")
    await lab.start()
    try:
        broken = wslab.Lab(answering("new", startup=fails), name="stays")
        with pytest.raises(StartupError, match="no database"):
            await broken.start()
        async with wslab.connect(lab.url("/")) as client:
            assert await ask(client) == "old"
    finally:
        await lab.stop()


async def test_a_first_application_that_does_not_start_stops_the_server():
    lab = wslab.Lab(answering("never", startup=fails))
    with pytest.raises(StartupError, match="no database") as caught:
        await lab.start()
    assert isinstance(caught.value.__cause__, ValueError)
    assert not lab.running
    assert "did not start" in repr(lab)
    with pytest.raises(StartupError):
        await lab.connect("/")
    assert any("no database" in getattr(event, "text", "") for event in lab.log)


async def test_connections_wait_for_a_slow_startup():
    release = asyncio.Event()
    lab = wslab.Lab(answering("up", startup=release.wait))
    lab.start()
    connecting = asyncio.ensure_future(wslab.connect(lab.url("/"))._make())
    await lab.until(lambda: len(lab.connections) == 1)
    assert not connecting.done()
    release.set()
    client = await connecting
    assert await ask(client) == "up"
    await lab.stop()


async def test_lifespan_state_reaches_the_endpoint():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield {"greeting": "hello"}

    async def endpoint(ws):
        await ws.accept()
        await ws.send_text(ws.state.greeting + str(sorted(ws.scope["state"])))

    lab = wslab.Lab(Starlette(routes=[WebSocketRoute("/", endpoint)], lifespan=lifespan))
    await lab.start()
    async with lab.connect("/") as client:
        assert await client.receive(5) == "hello['greeting']"
    await lab.stop()


@pytest.mark.parametrize("thing", [42, "module:app", None, wslab.App, object()])
def test_what_is_no_application_is_said_so(thing):
    with pytest.raises(NotAnAppError, match=r"Expected an ASGI application.*Pass an instance"):
        check_app(thing)


async def test_a_page_is_served_from_anywhere_with_the_token_which_it_never_sees():
    app = wslab.App()

    @app.get("/page")
    async def page(request: wslab.Request):
        return {"query": request.url.query}

    lab = await wslab.Lab(app).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    target = f"/page?a=1&lab_token={lab._core.policy.token}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    assert b" 200 " in answer
    assert answer.endswith(b'{"query":"a=1"}')
    writer.close()
    await lab.stop()
