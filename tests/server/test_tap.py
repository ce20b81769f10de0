"""What the tap records, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

import wslab
from wslab.events import ConnectionAccepted, ConnectionEnded, ConnectionOpened, HandshakeRefused
from wslab.server.tap import TapTransport
from wslab.wire import encode_frame


async def ended(lab, connection):
    await lab.until(lambda: lab.connections[connection].ended_at)
    return lab.connections[connection]


def kinds(lab, connection="c1"):
    return [type(event) for event in lab.journal if event.connection == connection]


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
async def test_the_record_is_the_same_whichever_implementation_serves(ws):
    lab = wslab.Lab(ws=ws)

    @lab.websocket("/echo")
    async def echo(websocket: wslab.WebSocket):
        await websocket.accept(subprotocol="chat")
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    await lab.start()
    try:
        async with lab.connect("/echo", subprotocols=["chat"], headers={"X-Mixed-Case": "Yes"}) as client:
            await client.send("hello")
            assert await client.receive() == "hello"
        row = await ended(lab, "c1")
        assert "X-Mixed-Case: Yes" in row.request.decode()
        assert (row.path, row.subprotocol, row.state) == ("/echo", "chat", "closed")
        assert row.close == wslab.wire.Close(1000, "", "client")
        frames = [(frame.direction, frame.name, frame.text) for frame in lab.frames]
        assert frames == [
            ("in", "TEXT", "hello"),
            ("out", "TEXT", "hello"),
            ("in", "CLOSE", "1000"),
            ("out", "CLOSE", "1000"),
        ]
        assert all((frame.frame.mask_key is not None) == (frame.direction == "in") for frame in lab.frames)
    finally:
        await lab.stop()


async def test_a_large_message_in_many_segments_is_one_frame(lab):
    async with lab.connect("/echo") as client:
        await client.send("x" * 300_000)
        assert len(await client.receive()) == 300_000
    received = lab.frames[0]
    assert (received.wire_length, received.frame.length, received.frame.cut) == (300_014, 300_000, True)
    assert lab.connections[0].received.messages == 1


async def test_events_are_told_in_order(lab):
    async with lab.connect("/echo"):
        pass
    await ended(lab, "c1")
    assert kinds(lab) == [ConnectionOpened, ConnectionAccepted, ConnectionEnded]


async def test_secrets_are_gone_before_anything_is_stored(lab, raw):
    secret = "s3cr3t-v4lu3"  # the value is the test's own
    client = await raw()
    head = await client.request(
        f"/echo?lab_token={lab._core.policy.token}&api_key={secret}",
        headers=[f"Authorization: Bearer {secret}", f"Cookie: a={secret}"],
    )
    assert b" 101 " in head
    row = lab.connections[0]
    stored = repr([row.to_dict(), row.request, row.response, list(lab.journal), lab])
    assert secret not in stored
    assert lab._core.policy.token not in stored


@pytest.mark.parametrize("abort", [True, False], ids=["RST", "FIN"])
async def test_a_client_killed_without_closing_is_1006_and_hurts_nobody(lab, raw, abort):
    async with lab.connect("/echo") as bystander:
        client = await raw()
        await client.request()
        if abort:
            client.abort()
        else:
            client.writer.close()
        row = await ended(lab, "c2")
        assert (row.state, row.close.code, row.close.by) == ("closed", 1006, "")
        await bystander.send("still here")
        assert await bystander.receive() == "still here"


async def test_a_connection_cut_inside_a_frame_keeps_what_came(lab, raw):
    client = await raw()
    await client.request()
    client.writer.write(encode_frame(1, b"hello", mask=b"abcd")[:8])
    await client.writer.drain()
    client.writer.write_eof()
    await ended(lab, "c1")
    assert "8 of 11 bytes came" in lab.frames[-1].frame.problem


async def test_an_illegal_frame_is_recorded_and_closes_only_its_connection(lab, raw):
    async with lab.connect("/echo") as bystander:
        client = await raw()
        await client.request()
        client.writer.write(encode_frame(1, b"not masked"))
        assert (await client.reader.read(2))[0] == 0x88
        client.writer.write_eof()  # else the server waits for it, as long as a close may take
        row = await ended(lab, "c2")
        assert (row.close.code, row.close.by) == (1002, "server")
        assert lab.frames.of("c2")[0].text == "not masked"
        await bystander.send("x")
        assert await bystander.receive() == "x"


async def test_a_refusal_below_the_application_is_told_too(lab, raw):
    client = await raw()
    head = await client.request(version="12")
    assert b"426" in head or b"400" in head
    row = await ended(lab, "c1")
    assert row.state == "refused"
    assert HandshakeRefused in kinds(lab)


async def test_ordinary_requests_are_no_connections(lab):
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    for _ in range(2):
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"404" in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len("Not Found"))
    assert len(lab.connections) == 0
    writer.write(
        b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    assert lab.connections[0].request.startswith(b"GET /echo HTTP/1.1\r\n")
    writer.close()


async def test_a_proxied_connection_says_so(lab, raw):
    client = await raw()
    await client.request(headers=["X-ProxyContextPath: /user/ada/proxy/8000"])
    assert lab.connections[0].via == "proxy"


async def test_a_long_head_is_kept_up_to_a_bound_and_says_so(lab, raw):
    client = await raw()
    assert b" 101 " in await client.request(headers=[f"X-Long: {'x' * 3_000}"] * 5)
    row = lab.connections[0]
    assert len(row.request) < 9_000
    assert b"[the first 8192 of " in row.request
    assert row.path == "/echo"


def test_what_asyncio_drops_is_not_recorded():
    class Closing:
        def __init__(self):
            self.written, self.closing = [], False

        def is_closing(self):
            return self.closing

        def write(self, data):
            self.written.append(data)

        pause_reading = resume_reading = None

    class Tapped:
        sent = None

        def __init__(self):
            self.told = []

        def wrote(self, data):
            self.told.append(data)

    real, tap = Closing(), Tapped()
    transport = TapTransport(real, tap)
    transport.write(b"sent")
    real.closing = True
    transport.write(b"dropped")
    assert tap.told == [b"sent"]
    assert real.written == [b"sent", b"dropped"]
