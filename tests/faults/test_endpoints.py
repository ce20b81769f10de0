"""Endpoints that raise, return, never return, block or swallow cancellation: nobody else minds."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.harness import Rest, leave_all
from wslab import App, ConnectionClosed, Lab, WebSocket
from wslab.events import EndpointFailed, LabStopped, Notice


async def code_of(client):
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(20)
    return caught.value.code


async def last_code_of(client):
    """The same, after whatever came before the close frame."""
    try:
        while True:
            await client.receive(20)
    except ConnectionClosed as closed:
        return closed.code


def declare(app):
    """An echo, beside the endpoint under test."""

    @app.websocket("/echo")
    async def echo(ws: WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)


async def still_served(lab):
    async with lab.connect("/echo") as client:
        await client.send("x")
        assert await client.receive(20) == "x"


def boom():
    raise ArithmeticError("boom")


ERRORS = {
    "ArithmeticError": boom,
    "OSError": lambda: (_ for _ in ()).throw(OSError("the endpoint's own, not the client's")),
    "KeyError": lambda: {}["missing"],
    "RecursionError": lambda: (_ for _ in ()).throw(RecursionError()),
    "CancelledError": lambda: (_ for _ in ()).throw(asyncio.CancelledError()),
    "TimeoutError": lambda: (_ for _ in ()).throw(TimeoutError()),
    "ExceptionGroup": lambda: (_ for _ in ()).throw(ExceptionGroup("two", [ValueError(), KeyError()])),
    "MemoryError": lambda: (_ for _ in ()).throw(MemoryError()),
}


@pytest.mark.parametrize("when", ["at once", "after a message", "with messages waiting"])
@pytest.mark.parametrize("error", ERRORS)
async def test_whatever_an_endpoint_raises_is_1011(serve, error, when):
    app = App()
    declare(app)

    @app.websocket("/raises")
    async def raises(ws: WebSocket):
        await ws.accept()
        if when != "at once":
            await ws.receive_text()
        ERRORS[error]()

    lab, rest = await serve(app)
    clients = [await lab.connect("/raises") for _ in range(5)]
    for client in clients:
        if when != "at once":
            await client.send("go")
        if when == "with messages waiting":
            for _ in range(10):
                try:
                    await client.send("x" * 1000)
                except ConnectionClosed:
                    break
        assert await code_of(client) == 1011
    await still_served(lab)
    await rest.again()
    assert sum(isinstance(event, EndpointFailed) for event in lab.journal) == 5


async def test_endpoints_that_return_close_with_1000(serve):
    app = App()

    @app.websocket("/returns")
    async def returns(ws: WebSocket):
        await ws.accept()
        await ws.send_text("last words")

    lab, rest = await serve(app)
    clients = [await lab.connect("/returns") for _ in range(20)]
    for client in clients:
        assert await client.receive(20) == "last words"
        assert await code_of(client) == 1000
    await rest.again()


async def test_an_endpoint_that_never_returns_ends_with_the_stop():
    app, forever = App(), asyncio.Event()
    declare(app)

    @app.websocket("/forever")
    async def never(ws: WebSocket):
        await ws.accept()
        await forever.wait()

    before = asyncio.all_tasks()
    lab = Lab(app, ws="wslab")
    await lab.start()
    clients = [await lab.connect("/forever") for _ in range(10)]
    for client in clients[:5]:
        await client.close()  # their endpoints do not notice
    await lab.until(lambda: len(lab.connections.alive) == 5)
    await still_served(lab)
    async with asyncio.timeout(30):
        await lab.stop()
    for client in clients[5:]:
        assert await code_of(client) == 1012
    assert not any("abandoned" in getattr(event, "text", "") for event in lab.journal)
    assert asyncio.all_tasks() == before


async def test_an_endpoint_that_blocks_delays_but_harms_nobody(serve):
    app = App()
    declare(app)

    @app.websocket("/blocks")
    async def blocks(ws: WebSocket):
        await ws.accept()
        async for _ in ws.iter_text():
            time.sleep(0.4)  # noqa: ASYNC251 - the fault itself
            await ws.send_text("done")

    lab, rest = await serve(app, ping_interval=0.1, ping_timeout=0.15)
    client = await lab.connect("/blocks")
    others = [await lab.connect("/echo") for _ in range(5)]
    for _ in range(3):
        await client.send("block")
        for number, other in enumerate(others):
            await other.send(str(number))
        for number, other in enumerate(others):
            assert await other.receive(20) == str(number)
        # Pongs that came while the loop was held count: nobody is cut for what the endpoint did.
        assert await client.receive(20) == "done"
    for each in [client, *others]:
        assert each.closed is None
        await each.close()
    await rest.again()


async def test_an_endpoint_that_swallows_cancellation_is_abandoned_and_named():
    app, free = App(), asyncio.Event()

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
    clients = [await lab.connect("/stuck") for _ in range(3)]
    try:
        async with asyncio.timeout(30):
            await lab.stop()
        for client in clients:
            assert await code_of(client) == 1012
        named = [e.connection for e in lab.journal if isinstance(e, Notice) and "abandoned" in e.text]
        assert sorted(named) == ["c1", "c2", "c3"]
        (stopped,) = [event for event in lab.journal if isinstance(event, LabStopped)]
        assert stopped.abandoned == 3
    finally:
        free.set()
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.wait(left)


async def test_a_stop_with_100_clients_tells_each_1012_and_leaves_nothing():
    app = App()
    declare(app)

    @app.websocket("/push")
    async def push(ws: WebSocket):
        await ws.accept()
        while True:
            await ws.send_text("x" * 1000)
            await asyncio.sleep(0.01)

    @app.websocket("/deaf")
    async def deaf(ws: WebSocket):
        await ws.accept()
        await asyncio.Event().wait()

    @app.websocket("/slow")
    async def slow(ws: WebSocket):
        await ws.accept()
        try:
            async for _ in ws.iter_text():
                pass
        finally:
            await asyncio.sleep(0.1)  # it tidies up

    before = asyncio.all_tasks()
    lab = Lab(app, ws="wslab")
    await lab.start()
    paths = ["/echo"] * 40 + ["/push"] * 20 + ["/deaf"] * 20 + ["/slow"] * 20
    clients = [await lab.connect(path) for path in paths]
    async with asyncio.timeout(30):
        await lab.stop()
    assert not lab.running
    assert not lab.connections.alive
    for client in clients:
        assert await last_code_of(client) == 1012
    (stopped,) = [event for event in lab.journal if isinstance(event, LabStopped)]
    assert stopped.abandoned == 0
    assert asyncio.all_tasks() == before


async def test_a_stop_does_not_wait_for_a_client_that_does_not_read(visitors):
    app = App()

    @app.websocket("/push")
    async def push(ws: WebSocket):
        await ws.accept()
        while True:
            await ws.send_bytes(bytes(65536))

    before = asyncio.all_tasks()
    lab = Lab(app, ws="wslab")
    await lab.start()
    clients = await visitors(lab, "/push", 5, small=True)
    sessions = lab._core.app_host.sessions
    await lab.until(lambda: all(session.channel.buffered for session in sessions.values()))
    async with asyncio.timeout(30):
        await lab.stop()
    assert not lab.connections.alive
    await leave_all(clients)
    assert asyncio.all_tasks() == before


async def test_a_lab_started_again_is_as_good_as_new():
    app = App()
    declare(app)
    lab = Lab(app, ws="wslab")
    await lab.start()
    rest = Rest(lab)
    await still_served(lab)
    await rest.again()
    await lab.stop()
    await lab.start()
    await still_served(lab)
    await rest.again()
    await lab.stop()
