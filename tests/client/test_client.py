from __future__ import annotations

import asyncio
import functools
import json

import pytest

import wslab
from wslab.errors import ConnectionClosed, ConnectionRefused, NotRunningError, WaitTimeoutError, WSLabError

WAYS = {
    "socket": ("direct", {}),
    "memory": ("memory", {}),
    "memory, own engine": ("memory", {"ws": "wslab"}),
    "memory, another thread": ("memory", {"loop": "thread", "ws": "wslab"}),
}


@pytest.fixture(params=WAYS)
async def lab(request, monkeypatch):
    """A lab whose `connect` goes the way under test: all clients have one face."""
    via, options = WAYS[request.param]
    lab = wslab.Lab(**options)

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            await ws.send({**message, "type": "websocket.send"})

    @lab.websocket("/close")
    async def close(ws: wslab.WebSocket, code: int = 1000):
        await ws.accept()
        await ws.send_text("last words")
        await ws.close(code, "because")

    @lab.websocket("/flood")
    async def flood(ws: wslab.WebSocket):
        await ws.accept()
        for number in range(3000):
            await ws.send_text(f"{number:04} {'x' * 1000}")
        await ws.close(1000)

    @lab.websocket("/header")
    async def header(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text(ws.headers.get("x-given", ""))

    @lab.websocket("/pings/{text}")
    async def path(ws: wslab.WebSocket, text: str):
        await ws.accept()
        await ws.send_text(text)

    await lab.start()
    connect = lab.connect
    monkeypatch.setattr(lab, "connect", functools.partial(connect, via=via))
    yield lab
    await lab.stop()


async def test_text_and_bytes_keep_their_kind(lab):
    async with lab.connect("/echo") as client:
        assert client.closed is None
        for message in ("text ä", b"\x00\xff"):
            await client.send(message)
            assert await client.receive(5) == message
        await client.send_json({"a": ["ä"]})
        assert await client.receive_json(5) == {"a": ["ä"]}
        await client.send("no json")
        with pytest.raises(json.JSONDecodeError):
            await client.receive_json(5)


async def test_a_receive_that_times_out_loses_no_message(lab):
    async with lab.connect("/echo") as client:
        with pytest.raises(WaitTimeoutError, match=r"within 0\.01 s"):
            await client.receive(timeout=0.01)
        await client.send("later")
        assert await client.receive(5) == "later"


async def test_a_ping_is_a_round_trip_in_seconds(lab):
    async with lab.connect("/echo") as client:
        assert 0 < await client.ping() < 5
    assert {"PING", "PONG"} <= {frame.name for frame in lab.frames}


async def test_the_end_says_who_with_what_after_the_last_message(lab):
    client = await lab.connect("/close?code=4001")
    assert await client.receive(5) == "last words"
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason, caught.value.by) == (4001, "because", "server")
    assert client.closed is not None
    assert client.closed.code == 4001
    assert "closed 4001 by server" in repr(client)
    with pytest.raises(ConnectionClosed):
        await client.send("x")
    with pytest.raises(ConnectionClosed):
        await client.ping()


async def test_iteration_ends_with_a_normal_close_and_raises_for_another(lab):
    async with lab.connect("/close") as client:
        assert [message async for message in client] == ["last words"]
    async with lab.connect("/close?code=1008") as client:
        with pytest.raises(ConnectionClosed, match="1008"):
            _ = [message async for message in client]


async def test_our_own_close_is_by_the_client(lab):
    client = await lab.connect("/echo")
    await client.close(4002, "bye")
    await client.close()
    assert client.closed is not None
    assert (client.closed.code, client.closed.by) == (4002, "client")
    await lab.until(lambda: lab.connections[0].ended_at)
    assert lab.connections[0].close == wslab.wire.Close(4002, "bye", "client")


async def test_a_connection_that_is_cut_is_1006_by_nobody():
    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = wslab.wire.parse_head(head).get("sec-websocket-key")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + wslab.wire.accept_key(key).encode() + b"\r\n\r\n"
        )
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = await wslab.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.by) == (1006, "")
    server.close()
    await server.wait_closed()


async def test_a_refusal_carries_status_and_text(lab):
    with pytest.raises(ConnectionRefused, match="No WebSocket endpoint at '/nowhere'") as caught:
        await lab.connect("/nowhere")
    assert caught.value.status == 404


async def test_a_server_that_does_not_answer_times_out():
    gone = asyncio.Event()

    async def silent(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(WaitTimeoutError, match="opening handshake"):
        await wslab.connect(f"ws://127.0.0.1:{port}/", timeout=0.05)
    await gone.wait()
    server.close()
    await server.wait_closed()


async def test_subprotocols_are_offered_and_chosen(lab):
    async with lab.connect("/echo", subprotocols=["v2", "chat"]) as client:
        assert client.subprotocol == "chat"
    async with lab.connect("/echo") as client:
        assert client.subprotocol == ""


async def test_a_lab_that_is_not_started_says_so():
    with pytest.raises(NotRunningError, match=r"lab\.start"):
        await wslab.Lab().connect("/")


async def test_a_receiver_that_is_cancelled_leaves_the_message_to_the_next(lab):
    async with lab.connect("/echo") as client:
        first = asyncio.create_task(client.receive())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        for text in ("one", "two"):
            await client.send(text)
        assert [await client.receive(5), await client.receive(5)] == ["one", "two"]


async def test_a_flood_arrives_in_order_and_whole_though_nobody_reads_at_first(lab):
    async with lab.connect("/flood") as client:
        first = await client.receive(5)
        messages = [first, *[message async for message in client]]
    assert [int(message[:4]) for message in messages] == list(range(3000))


async def test_what_a_close_frame_cannot_carry_is_refused(lab):
    async with lab.connect("/echo") as client:
        for code, reason in ((1006, ""), (999, ""), (1000, "é" * 62)):
            with pytest.raises(WSLabError, match="Expected"):
                await client.close(code, reason)
        assert client.closed is None


async def test_what_is_no_message_is_refused_and_costs_nothing(lab):
    async with lab.connect("/echo") as client:
        with pytest.raises(TypeError):
            await client.send(7)
        with pytest.raises(UnicodeEncodeError):
            await client.send("\ud800")
        await client.send("still there")
        assert await client.receive(5) == "still there"


async def test_headers_are_sent(lab):
    async with lab.connect("/header", headers={"X-Given": "by the client"}) as client:
        assert await client.receive(5) == "by the client"


async def test_a_path_may_be_written_as_it_is_read(lab):
    async with lab.connect("/pings/tee und ö") as client:
        assert await client.receive(5) == "tee und ö"


async def test_who_waits_when_the_lab_stops_is_told_1012(lab):
    client = await lab.connect("/echo")
    waiting = asyncio.create_task(client.receive())
    await asyncio.sleep(0)
    await lab.stop()
    with pytest.raises(ConnectionClosed) as caught:
        await waiting
    assert (caught.value.code, caught.value.by) == (1012, "server")
    for late in (client.receive(5), client.send("x"), client.ping()):
        with pytest.raises(ConnectionClosed, match="1012"):
            await late
    await client.close()


async def test_a_large_message_goes_both_ways(lab):
    async with lab.connect("/echo") as client:
        await client.send(b"x" * 2**20)
        assert await client.receive(20) == b"x" * 2**20


async def test_a_message_above_the_limit_is_1009(lab):
    client = await lab.connect("/echo")
    await client.send(b"x" * (2**20 + 1))
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(20)
    assert caught.value.code == 1009


async def test_there_is_no_other_way():
    with pytest.raises(WSLabError, match="via=\"memory\", got 'tunnel'"):
        wslab.Lab().connect("/", via="tunnel")
