"""The pair of protocol classes under uvicorn alone: ``Config(http=Tap, ws=WebSocketProtocol)``, no lab."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import pytest
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from wslab.server import Tap, WebSocketProtocol


async def echo(ws):
    await ws.accept(subprotocol=(ws.scope["subprotocols"] or [None])[0])
    async for text in ws.iter_text():
        if text == "return":
            return
        if text == "raise":
            raise ValueError(text)
        await ws.send_text(text)


async def refuse(ws):
    await ws.close(1008, "no")


async def page(request):
    return PlainTextResponse("a page")


APP = Starlette(
    routes=[WebSocketRoute("/echo", echo), WebSocketRoute("/no", refuse), Route("/page", page)],
)


@contextlib.asynccontextmanager
async def serving(**options):
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(APP, loop="none", lifespan="off", log_config=None, access_log=False, **options)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock])
    await server.on_tick(0)  # makes the default headers, as its main loop does
    try:
        yield sock.getsockname()[1], server
    finally:
        await server.shutdown(sockets=[sock])


PAIRS = {
    "both": {"http": Tap, "ws": WebSocketProtocol},
    "ws alone": {"http": "h11", "ws": WebSocketProtocol},
    "http alone": {"http": Tap, "ws": "websockets-sansio"},
}


@pytest.fixture(params=PAIRS.values(), ids=PAIRS)
async def server(request):
    async with serving(**request.param) as (port, server):
        yield port, server


async def test_they_serve_under_uvicorn_alone_together_and_each(server):
    port, state = server
    async with websockets.connect(f"ws://127.0.0.1:{port}/echo", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "a"
        for text in ("hi", "é" * 100, "x" * 70_000):
            await client.send(text)
            assert await client.recv() == text
        pong = await client.ping()
        await asyncio.wait_for(pong, 5)
    left = state.server_state
    while left.connections or left.tasks:  # noqa: ASYNC110 - uvicorn's sets have no event; pytest's time-out ends it
        await asyncio.sleep(0.01)


async def test_ordinary_requests_go_to_uvicorn(server):
    port, _ = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):  # kept alive in between
        writer.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(6) == b"a page"
    writer.close()


async def test_an_upgrade_may_follow_a_request_on_one_connection(server):
    port, _ = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"a page")
    writer.write(
        b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(bytes.fromhex("8185 37fa213d 7f9f4d5158"))
    assert await reader.readexactly(7) == b"\x81\x05Hello"
    writer.close()


async def test_a_refusal_has_a_status(server):
    port, _ = server
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://127.0.0.1:{port}/no")
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(("text", "code"), [("return", 1000), ("raise", 1011)])
async def test_our_protocol_says_how_an_endpoint_ended_without_a_lab(text, code, caplog):
    with caplog.at_level(logging.ERROR, "uvicorn.error"):
        async with serving(**PAIRS["both"]) as (port, _):
            async with websockets.connect(f"ws://127.0.0.1:{port}/echo") as client:
                await client.send(text)
                with pytest.raises(websockets.ConnectionClosed):
                    await client.recv()
            assert client.close_code == code
    assert [record.exc_info[0] for record in caplog.records] == ([ValueError] if text == "raise" else [])


async def test_uvicorns_options_are_the_protocols():
    options = {
        "ws_max_size": 10,
        "ws_ping_interval": 0.05,
        "ws_ping_timeout": 30,
        "headers": [("x-ours", "1")],
    }
    async with serving(**PAIRS["both"], **options, ws_per_message_deflate=True) as (port, _):
        async with websockets.connect(f"ws://127.0.0.1:{port}/echo") as client:
            assert client.response.headers["x-ours"] == "1"
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
            await client.send("x" * 11)
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
        assert client.close_code == 1009


async def test_a_stop_closes_with_1012():
    async with serving(**PAIRS["both"]) as (port, server):
        client = await websockets.connect(f"ws://127.0.0.1:{port}/echo")
        await client.send("up")
        await client.recv()
        await server.shutdown()
        with pytest.raises(websockets.ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
