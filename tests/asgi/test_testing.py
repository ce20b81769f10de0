from __future__ import annotations

import asyncio

import pytest

from wslab.asgi import App, HTTPException, WebSocket, WebSocketDisconnect
from wslab.asgi.testing import AsyncTestClient, close_of, more_from, status_of
from wslab.errors import WaitTimeoutError


def make_app():
    app = App()

    @app.websocket("/accepts")
    async def accepts(ws: WebSocket):
        await ws.accept()
        await ws.receive()

    @app.websocket("/closes/{code}")
    async def closes(ws: WebSocket, code: int, reason: str = ""):
        await ws.accept()
        await ws.close(code, reason or None)

    @app.websocket("/refuses")
    async def refuses(ws: WebSocket):
        await ws.close(4003)

    @app.websocket("/denies")
    async def denies(ws: WebSocket):
        raise HTTPException(418, "no")

    @app.websocket("/says")
    async def says(ws: WebSocket):
        await ws.accept()
        await ws.send_text("one")
        await ws.send_bytes(b"two")
        async for _ in ws.iter_text():
            await asyncio.sleep(0)
            await ws.send_text("three")

    return app


@pytest.fixture
async def client():
    async with AsyncTestClient(make_app(), receive_timeout=5) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status"), [("/accepts", 101), ("/refuses", 403), ("/denies", 418), ("/x", 404)]
)
async def test_the_status_is_what_a_server_would_answer(client, path, status):
    assert await status_of(client.websocket_connect(path)) == status


async def test_the_close_is_told_with_its_reason(client):
    async with client.websocket_connect("/closes/4001?reason=enough") as session:
        assert await close_of(session) == (4001, "enough")
    async with client.websocket_connect("/closes/1000") as session:
        assert await close_of(session) == (1000, "")
    async with client.websocket_connect("/accepts") as session:
        await session.send_text("x")
        assert await close_of(session) == (1000, "")  # the endpoint returned


async def test_a_message_instead_of_the_close_is_shown(client):
    async with client.websocket_connect("/says") as session:
        with pytest.raises(AssertionError, match="Expected the application to close, got 'one'"):
            await close_of(session)
        with pytest.raises(AssertionError, match="got b'two'"):
            await close_of(session)
        session.receive_timeout = 0
        with pytest.raises(WaitTimeoutError):
            await close_of(session)


async def test_what_nobody_has_received_is_listed(client):
    async with client.websocket_connect("/says") as session:
        await asyncio.sleep(0)
        assert await more_from(session) == ["one", b"two"]
        assert await more_from(session) == []
        await session.send_text("go on")
        assert await more_from(session, timeout=0.3) == ["three"]


async def test_an_end_is_no_message(client):
    async with client.websocket_connect("/closes/4001") as session:
        with pytest.raises(WebSocketDisconnect) as closed:
            await more_from(session, timeout=5)
        assert closed.value.code == 4001
