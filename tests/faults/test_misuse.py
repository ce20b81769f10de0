"""Plain ASGI applications that break the specification: only their own connection minds."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.harness import Rest, leave_all
from wslab import ConnectionClosed, Lab
from wslab.errors import ConnectionRefused
from wslab.events import EndpointFailed, HandshakeRefused, Notice

ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "x"}
CLOSE = {"type": "websocket.close"}

AFTER_ACCEPT = {
    "an accept": ACCEPT,
    "an unknown event": {"type": "websocket.unknown"},
    "an event without a type": {},
    "an HTTP response": {"type": "http.response.start", "status": 200, "headers": []},
    "a denial": {"type": "websocket.http.response.start", "status": 403, "headers": []},
    "a message of nothing": {"type": "websocket.send"},
    "a message of None": {"type": "websocket.send", "text": None, "bytes": None},
    "a text that is a number": {"type": "websocket.send", "text": 1},
    "a text of bytes": {"type": "websocket.send", "text": b"x"},
    "a text that UTF-8 cannot carry": {"type": "websocket.send", "text": "\ud800"},
    "bytes that are text": {"type": "websocket.send", "bytes": "x"},
    "a close code above 16 bits": {"type": "websocket.close", "code": 70_000},
    "a close code below 0": {"type": "websocket.close", "code": -1},
    "a close code that is text": {"type": "websocket.close", "code": "1000"},
    "a close code that never travels": {"type": "websocket.close", "code": 1006},
    "a reason that is a number": {"type": "websocket.close", "code": 1000, "reason": 1},
}


def scripted(*messages):
    """An application that sends just these."""

    async def app(scope, receive, send):
        if scope["type"] == "websocket" and scope["path"] == "/script":
            await receive()
            for message in messages:
                await send(dict(message))
        elif scope["type"] == "websocket":
            await receive()
            await send(ACCEPT)
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})

    return app


async def still_served(lab):
    async with lab.connect("/echo") as client:
        await client.send("x")
        assert await client.receive(20) == "x"


@pytest.fixture
async def run():
    """``await run(app)``: a lab that is checked to be at rest, and stopped, at the end."""
    labs = []

    async def run(app):
        lab = Lab(app, ws="wslab")
        await lab.start()
        labs.append((lab, Rest(lab)))
        return lab

    yield run
    for lab, rest in labs:
        await still_served(lab)
        await rest.again()
        await lab.stop()


@pytest.mark.parametrize("name", AFTER_ACCEPT)
async def test_what_asgi_does_not_allow_after_the_accept_is_1011(run, name):
    lab = await run(scripted(ACCEPT, AFTER_ACCEPT[name]))
    client = await lab.connect("/script")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(20)
    assert (caught.value.code, caught.value.by) == (1011, "server")
    assert any(isinstance(event, EndpointFailed) for event in lab.journal)


BEFORE_ACCEPT = {
    "a message": TEXT,
    "an unknown event": {"type": "websocket.unknown"},
    "a subprotocol that is no token": {"type": "websocket.accept", "subprotocol": "a b"},
    "a subprotocol with a line break": {"type": "websocket.accept", "subprotocol": "a\r\nX-Evil: 1"},
    "a header with a line break": {"type": "websocket.accept", "headers": [(b"x-a", b"1\r\nX-Evil: 1")]},
    "a header that is the handshake's": {
        "type": "websocket.accept",
        "headers": [(b"sec-websocket-accept", b"x")],
    },
    "a header that is text": {"type": "websocket.accept", "headers": [("x-a", "1")]},
    "a denial's body first": {"type": "websocket.http.response.body", "body": b"x"},
    "a denial with the status 101": {"type": "websocket.http.response.start", "status": 101, "headers": []},
}


@pytest.mark.parametrize("name", BEFORE_ACCEPT)
async def test_what_asgi_does_not_allow_before_the_accept_is_refused_with_500(run, name):
    lab = await run(scripted(BEFORE_ACCEPT[name]))
    with pytest.raises(ConnectionRefused) as caught:
        await lab.connect("/script")
    assert caught.value.status == 500
    assert b"X-Evil" not in (lab.connections["c1"].response or b"")
    told = [event for event in lab.journal if isinstance(event, (EndpointFailed, HandshakeRefused, Notice))]
    assert any(event.connection == "c1" for event in told)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_may_be_any_buffer(run, kind):
    lab = await run(scripted(ACCEPT, {"type": "websocket.send", "bytes": kind(b"data" * 50)}))
    client = await lab.connect("/script")
    assert await client.receive(20) == b"data" * 50
    with pytest.raises(ConnectionClosed):
        await client.receive(20)


@pytest.mark.parametrize("message", [CLOSE, TEXT], ids=["a second close", "a message"])
async def test_what_follows_a_close_harms_nobody(run, message):
    lab = await run(scripted(ACCEPT, CLOSE, message))
    client = await lab.connect("/script")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(20)
    assert caught.value.code == 1000


async def test_a_reason_that_is_too_long_is_cut(run):
    lab = await run(scripted(ACCEPT, {"type": "websocket.close", "code": 4000, "reason": "é" * 100}))
    client = await lab.connect("/script")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(20)
    assert (caught.value.code, caught.value.reason) == (4000, "é" * 61)


async def test_receive_after_the_disconnect_says_it_again(run):
    told = []

    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        await send(ACCEPT)
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        if event["code"] != 4001:
            return
        async with asyncio.timeout(5):
            told.extend([event, await receive(), await receive()])

    lab = await run(app)
    async with lab.connect("/echo") as client:
        await client.close(4001, "why")
    await lab.until(lambda: len(told) == 3)
    assert [(event["type"], event["code"]) for event in told] == [("websocket.disconnect", 4001)] * 3


async def test_a_send_after_the_client_left_raises_oserror(run, visitors):
    raised = asyncio.get_running_loop().create_future()

    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        await send(ACCEPT)
        if scope["path"] != "/gone":
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
            return
        while (await receive())["type"] != "websocket.disconnect":
            pass
        try:
            await send(TEXT)
        except Exception as error:  # noqa: BLE001 - which one is the question
            raised.set_result(error)

    lab = await run(app)
    clients = await visitors(lab, "/gone")
    await clients[0].reset()
    async with asyncio.timeout(20):
        assert isinstance(await raised, OSError)
    await leave_all(clients)


async def test_an_endpoint_may_stop_the_lab():
    stopped = asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        await send(ACCEPT)
        await receive()
        await lab.stop()
        stopped.set()

    before = asyncio.all_tasks()
    lab = Lab(app, ws="wslab")
    await lab.start()
    client = await lab.connect("/")
    await client.send("stop")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(20)
    assert caught.value.code == 1012
    await lab.until(lambda: not lab.running, 20)
    await lab.until(lambda: asyncio.all_tasks() == before, 20)
