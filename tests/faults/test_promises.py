"""What is promised where stock uvicorn and Starlette do otherwise: one test a promise, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.faults.harness import new_client
from wslab import App, BackgroundTasks, ConnectionClosed, Depends, HTTPException, Lab, Limits, WebSocket
from wslab.errors import ConnectionRefused
from wslab.events import EndpointFailed, HandshakeRefused, LimitReached, MessageDropped, Notice
from wslab.rooms import RoomManager
from wslab.wire import Opcode, encode_frame


class Ends(dict):
    """How each endpoint saw its connection end: the close code by path."""

    def __init__(self):
        self.told = asyncio.Event()

    def note(self, name, code):
        self[name] = code
        self.told.set()


def watched(ends):
    """An application whose endpoint echoes, and notes how its connection ended."""
    app = App()

    @app.websocket("/echo/{name}")
    async def echo(ws: WebSocket, name: str):
        await ws.accept()
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                ends.note(name, message["code"])
                return
            await ws.send_text(message["text"])

    return app


@pytest.fixture
def ends():
    return Ends()


async def still_served(lab, path="/echo/bystander"):
    async with lab.connect(path) as bystander:
        await bystander.send("still here")
        assert await bystander.receive(5) == "still here"


# -- the endpoint's end ----------------------------------------------------------------------------
async def test_an_endpoint_that_raises_closes_with_1011_and_a_short_reason(serve, ends):
    app = watched(ends)

    @app.websocket("/raises")
    async def raises(ws: WebSocket):
        await ws.accept()
        raise ArithmeticError("x" * 500)

    lab, rest = await serve(app)
    client = await lab.connect("/raises")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.by) == (1011, "server")
    assert 0 < len(caught.value.reason.encode()) <= 123
    assert "xxx" not in caught.value.reason  # what an exception says is for the log, not for the client
    (failed,) = [event for event in lab.journal if isinstance(event, EndpointFailed)]
    assert failed.connection == "c1"
    assert "ArithmeticError" in failed.traceback
    await still_served(lab)
    await rest.again()


async def test_an_endpoint_that_returns_closes_with_1000(serve):
    app = App()

    @app.websocket("/returns")
    async def returns(ws: WebSocket):
        await ws.accept()

    lab, rest = await serve(app)
    client = await lab.connect("/returns")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.by) == (1000, "server")
    await rest.again()


async def test_an_exception_handler_of_a_connection_runs(serve):
    app, seen = App(), []

    @app.exception_handler(ArithmeticError)
    async def handle(ws, error):
        seen.append(str(error))
        await ws.close(4000, "handled")

    @app.websocket("/raises")
    async def raises(ws: WebSocket):
        await ws.accept()
        raise ArithmeticError("the error")

    lab, rest = await serve(app)
    client = await lab.connect("/raises")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason, seen) == (4000, "handled", ["the error"])
    await rest.again()


async def test_background_tasks_run_after_the_connection_has_closed(serve):
    app, ran = App(), asyncio.Event()

    @app.websocket("/later")
    async def later(ws: WebSocket, tasks: BackgroundTasks):
        await ws.accept()
        tasks.add_task(ran.set)

    lab, rest = await serve(app)
    client = await lab.connect("/later")
    with pytest.raises(ConnectionClosed):
        await client.receive(5)
    async with asyncio.timeout(5):
        await ran.wait()
    await rest.again()


# -- the client's end ------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_client_that_is_killed_is_1006_at_once(serve, visitors, ends, how):
    lab, rest = await serve(watched(ends))
    (client,) = await visitors(lab, f"/echo/{how}")
    if how == "RST":
        await client.reset()
    else:
        client.writer.close()
    async with asyncio.timeout(5):  # far below the pings' 20 seconds
        await ends.told.wait()
    assert ends == {how: 1006}
    assert (lab.connections["c1"].close.code, lab.connections["c1"].close.by) == (1006, "")
    await rest.again()


async def test_a_client_that_answers_no_ping_is_1006(serve, visitors, ends):
    lab, rest = await serve(watched(ends), ping_interval=0.1, ping_timeout=0.2)
    (client,) = await visitors(lab, "/echo/mute")
    async with asyncio.timeout(10):
        await ends.told.wait()
        while await client.reader.read(1000):  # its pings; and then the end, without a close frame
            pass
    assert ends == {"mute": 1006}
    await client.leave()
    await rest.again()


async def test_a_stalled_reader_is_released_when_it_answers_no_ping(serve, visitors):
    app, ended = App(), asyncio.Event()

    @app.websocket("/push")
    async def push(ws: WebSocket):
        await ws.accept()
        try:
            while True:
                await ws.send_bytes(bytes(65536))
        finally:
            ended.set()

    lab, rest = await serve(app, ping_interval=0.1, ping_timeout=0.3)
    (client,) = await visitors(lab, "/push", small=True)
    async with asyncio.timeout(10):
        await ended.wait()
    await client.leave()
    assert lab.connections["c1"].close.code == 1006
    await rest.again()


# -- slow clients ----------------------------------------------------------------------------------
async def test_a_slow_member_does_not_hold_up_the_broadcast(serve, visitors):
    app, rooms = App(), RoomManager("drop_oldest", limit=8, announce=False)

    @app.websocket("/room")
    async def room(ws: WebSocket):
        await rooms.join_room(ws, "room")
        try:
            async for _ in ws.iter_text():
                pass
        finally:
            rooms.leave_room(ws)

    lab, rest = await serve(app)
    (slow,) = await visitors(lab, "/room", small=True)
    (quick,) = await visitors(lab, "/room")
    await lab.until(lambda: len(rooms.members("room")) == 2)
    for number in range(300):
        await rooms.broadcast_to_room("room", {"number": number, "padding": "x" * 30_000})
        assert json.loads((await quick.receive()).payload)["number"] == number  # none is lost, none is late
    assert sum(event.count for event in lab.journal if isinstance(event, MessageDropped)) > 0
    await slow.reset()
    await quick.leave()
    await rest.again()


async def test_an_endpoint_that_only_pushes_keeps_a_client_that_talks(serve, visitors):
    app = App()

    @app.websocket("/push")
    async def push(ws: WebSocket):
        await ws.accept()
        number = 0
        while True:
            await ws.send_text(str(number))
            await asyncio.sleep(0.01)
            number += 1

    lab, rest = await serve(app, ping_interval=0.1, ping_timeout=0.3)
    (client,) = await visitors(lab, "/push")
    await client.send("nobody reads this")
    loop = asyncio.get_running_loop()
    until = loop.time() + 1.5  # several intervals and time-outs
    while loop.time() < until:
        await client.receive()  # it answers pings on the way
    client.writer.write(client.frame(b"and mine?", Opcode.PING))
    answered = encode_frame(Opcode.PONG, b"and mine?")
    async with asyncio.timeout(5):
        await client.reader.readuntil(answered)
    assert lab.connections["c1"].state == "open"
    assert await_rtt(lab) is not None
    await client.reset()
    await rest.again()


def await_rtt(lab):
    (session,) = lab._core.app_host.sessions.values()
    return session.channel.rtt


# -- the handshake ---------------------------------------------------------------------------------
@pytest.mark.parametrize("headers", [{f"X-{number}": "y" for number in range(133)}, {"X-Long": "y" * 8200}])
async def test_too_many_headers_or_too_long_ones_are_431(serve, ends, headers):
    lab, rest = await serve(watched(ends))
    with pytest.raises(ConnectionRefused) as caught:
        await lab.connect("/echo/large", headers=headers)
    assert caught.value.status == 431
    (refused,) = [event for event in lab.journal if isinstance(event, HandshakeRefused)]
    assert refused.status == 431
    await still_served(lab)
    await lab.until(lambda: not lab.connections.alive)
    await rest.again()


async def test_a_half_done_handshake_is_ended_after_the_limit(serve, ends):
    lab, rest = await serve(watched(ends), limits=Limits(handshake=0.2))
    client = new_client(lab)
    await client.connect()
    client.writer.write(b"GET /echo/half HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr")
    async with asyncio.timeout(10):
        await client.reader.read()
    await client.leave()
    await rest.again()


async def test_bytes_in_the_upgrade_requests_segment_are_delivered(serve, ends):
    lab, rest = await serve(watched(ends))
    client = new_client(lab)
    await client.connect()
    client.writer.write(
        b"GET /echo/early HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        + client.frame("early")
    )
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert (await client.receive()).payload == b"early"
    await client.close()
    await client.leave()
    await rest.again()


@pytest.mark.parametrize("status", [401, 403, 404, 418])
async def test_a_rejection_before_the_accept_has_the_exceptions_status(serve, status):
    app = App()

    @app.websocket("/no")
    async def no(ws: WebSocket):
        raise HTTPException(status, "the detail")

    lab, rest = await serve(app)
    with pytest.raises(ConnectionRefused, match="the detail") as caught:
        await lab.connect("/no")
    assert caught.value.status == status
    await rest.again()


async def test_a_close_before_the_accept_is_403_and_the_lab_shows_what_was_meant(serve):
    app = App()

    @app.websocket("/no")
    async def no(ws: WebSocket):
        await ws.close(4001, "not today")

    lab, rest = await serve(app)
    with pytest.raises(ConnectionRefused) as caught:
        await lab.connect("/no")
    assert caught.value.status == 403
    assert "4001" in lab.connections["c1"].refusal
    assert "not today" in lab.connections["c1"].refusal
    await rest.again()


async def test_an_http_exception_after_the_accept_is_1008_with_its_detail(serve):
    app = App()

    @app.websocket("/late")
    async def late(ws: WebSocket):
        await ws.accept()
        raise HTTPException(403, "the detail")

    lab, rest = await serve(app)
    client = await lab.connect("/late")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason) == (1008, "the detail")
    await rest.again()


@pytest.mark.parametrize("accepted", [False, True], ids=["before the accept", "after the accept"])
async def test_invalid_parameters_are_refused_with_a_reason_in_words(serve, accepted):
    app = App()

    async def early(ws: WebSocket):
        if accepted:
            await ws.accept()

    @app.websocket("/items/{number}", dependencies=[Depends(early)])
    async def items(ws: WebSocket, number: int):
        raise AssertionError("not reached")

    lab, rest = await serve(app)
    if accepted:
        client = await lab.connect("/items/" + "x" * 300)
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(5)
        assert caught.value.code == 1008
        reason = caught.value.reason
    else:
        with pytest.raises(ConnectionRefused) as refused:
            await lab.connect("/items/" + "x" * 300)
        assert refused.value.status == 403
        reason = lab.connections["c1"].refusal
    assert "number" in reason
    assert not reason.startswith("[")
    if accepted:
        assert len(reason.encode()) <= 123
    await rest.again()


# -- what arrives ----------------------------------------------------------------------------------
async def test_invalid_utf8_is_1007_and_one_line_in_the_log(serve, visitors, ends, caplog):
    caplog.set_level(logging.WARNING)
    lab, rest = await serve(watched(ends))
    (client,) = await visitors(lab, "/echo/bytes")
    before = lab.journal.published
    client.writer.write(client.frame(b"\xff\xfe"))
    assert await client.end() == 1007
    await client.leave()
    await rest.again()
    told = [event for event in lab.journal.since(before) if isinstance(event, (Notice, EndpointFailed))]
    assert len(told) == 1
    assert "1007" in told[0].text
    assert not caplog.records
    await still_served(lab)


async def test_a_message_above_1_mib_is_1009(serve, visitors, ends):
    lab, rest = await serve(watched(ends))
    (client,) = await visitors(lab, "/echo/large")
    client.writer.write(client.frame(json.dumps(list(range(3_000_000)))))  # some 25 MB
    assert await client.end() == 1009
    (reached,) = [event for event in lab.journal if isinstance(event, LimitReached)]
    assert (reached.limit, reached.answer) == ("message", 1009)
    await still_served(lab)
    await client.leave()
    await rest.again()


async def test_a_token_in_the_query_is_neither_stored_nor_logged(serve, ends, caplog):
    caplog.set_level(logging.DEBUG)
    lab, _ = await serve(watched(ends))
    secret, token = "s3cr3t-v4lu3", lab._core.policy.token  # the value is the test's own
    async with lab.connect(f"/echo/token?api_key={secret}&lab_token={token}") as client:
        await client.send("x")
        await client.receive(5)
    row = lab.connections["c1"]
    stored = repr([row.to_dict(), row.request, row.response, list(lab.journal), lab])
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("uvicorn"))
    for hidden in (secret, token):
        assert hidden not in stored
        assert hidden not in logged


# -- the server's end ------------------------------------------------------------------------------
async def test_a_stop_tells_1012_whatever_the_endpoints_do():
    app, free = App(), asyncio.Event()

    @app.websocket("/polite")
    async def polite(ws: WebSocket):
        await ws.accept()
        async for _ in ws.iter_text():
            pass

    @app.websocket("/deaf")
    async def deaf(ws: WebSocket):
        await ws.accept()
        await free.wait()

    @app.websocket("/stuck")
    async def stuck(ws: WebSocket):
        await ws.accept()
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    before = asyncio.all_tasks()
    lab = Lab(app, ws="wslab")
    await lab.start()
    paths = ["/polite"] * 4 + ["/deaf"] * 4 + ["/stuck"] * 2
    clients = [await lab.connect(path) for path in paths]
    async with asyncio.timeout(30):  # the promise of 2.5 s is measured by hand: a busy machine may stall
        await lab.stop()
    for client in clients:
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(5)
        assert caught.value.code == 1012
    abandoned = [e.connection for e in lab.journal if isinstance(e, Notice) and "abandoned" in e.text]
    free.set()
    left = asyncio.all_tasks() - before
    if left:
        await asyncio.wait(left)
    assert sorted(abandoned) == ["c10", "c9"]  # the others ended when they were cancelled
