"""A lab with a thread of its own: the same face as in the kernel's loop, whoever is busy."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
import threading
import types

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_sync

import wslab
from wslab.errors import PortInUseError, StartupError, WSLabError
from wslab.events import LabStopped, Notice
from wslab.feeds import Feed, Tick
from wslab.server import Host

ENGINES = ("wslab", "websockets-sansio", "wsproto")


def threaded(prefix="", **options):
    """A lab with an echo and its thread's name."""
    app = wslab.App()

    @app.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(prefix + text)

    @app.websocket("/thread")
    async def thread(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text(threading.current_thread().name)

    return wslab.Lab(app, loop="thread", **options)


async def say(lab, text="hi"):
    async with lab.connect("/echo") as client:
        await client.send(text)
        return await client.receive(5)


def notices(lab, level="warning"):
    return [event.text for event in lab.log if isinstance(event, Notice) and event.level == level]


def lab_threads():
    return [thread for thread in threading.enumerate() if thread.name == "wslab lab"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = lab_threads()
    yield
    for thread in lab_threads():
        if thread not in before:
            thread.join(10)
            assert not thread.is_alive(), "The lab's thread did not end."


@pytest.fixture
def lab():
    """Made and stopped by code that never awaits."""
    lab = threaded().start()
    yield lab
    lab.run(lab.stop())


@pytest.fixture
def notebook(monkeypatch):
    """What a kernel looks like to `Lab`: IPython is imported and has a shell."""
    events = types.SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
    shell = types.SimpleNamespace(events=events)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr("wslab.core._cores", {})


# -- life ----------------------------------------------------------------------------------------------
async def test_it_serves_in_a_thread_of_its_own_a_client_in_this_one():
    lab = await threaded().start()
    async with lab.connect("/thread") as client:
        assert await client.receive(5) == "wslab lab"
    assert await say(lab) == "hi"
    assert await lab.until(lambda: not lab.connections.alive)
    await lab.stop()
    assert not lab.running
    assert isinstance(lab.log[-1], LabStopped)


def test_it_needs_no_loop_and_a_synchronous_client_is_answered(lab):
    with connect_sync(lab.url("/echo"), proxy=None) as client:
        client.send("from a cell that never awaits")
        assert client.recv(timeout=10) == "from a cell that never awaits"


def test_stopped_and_started_again_it_has_its_port(lab):
    port = lab.port
    lab.run(lab.stop())
    lab.run(lab.stop())
    lab.start()
    assert lab.port == port
    assert asyncio.run(say(lab)) == "hi"


async def test_a_port_in_use_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        lab = threaded(port=busy.getsockname()[1])
        with pytest.raises(PortInUseError):
            lab.start()
    assert not lab.running


async def test_a_lifespan_that_fails_raises_where_the_start_is_awaited():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise ValueError("no database")
        yield

    lab = wslab.Lab(wslab.App(lifespan=lifespan), loop="thread")
    with pytest.raises(StartupError, match="no database"):
        await lab.start()
    assert not lab.running
    assert "did not start: " in repr(lab)
    with pytest.raises(StartupError):
        await lab.connect("/")


async def test_a_cell_run_again_swaps_the_application_under_its_address(notebook):
    first = await threaded("old ").start()
    port = first.port
    async with first.connect("/echo") as client:
        second = await threaded("new ").start()
        assert second.port == port
        assert await say(second) == "new hi"
        await client.send("still")
        assert await client.receive(5) == "old still"
    await second.stop()
    assert not first.running


async def test_a_mode_is_not_changed_under_a_server_that_serves(notebook):
    lab = await threaded().start()
    with pytest.raises(WSLabError, match=r"with other options \(loop\)\. Await its stop\(\) first"):
        wslab.Lab()
    await lab.stop()
    other = await wslab.Lab(lab.app).start()
    assert await say(other) == "hi"
    await other.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_everybody_is_told_1012_at_a_stop(ws):
    lab = await threaded(ws=ws).start()
    clients = [await lab.connect("/echo") for _ in range(5)]
    await lab.stop()
    for client in clients:
        with pytest.raises(wslab.ConnectionClosed) as caught:
            await client.receive(5)
        assert caught.value.code == 1012


async def test_an_endpoint_may_ask_for_the_stop():
    lab = threaded()

    @lab.websocket("/stop")
    async def stop(ws: wslab.WebSocket):
        await ws.accept()
        await lab.stop()

    await lab.start()
    client = await lab.connect("/stop")
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert caught.value.code == 1012
    await lab.until(lambda: isinstance(lab.log[-1], LabStopped))


async def test_what_an_application_started_goes_on_after_a_stop():
    lab = threaded()
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    async def background():
        begun.set()
        await asyncio.to_thread(go_on.wait, 60)
        done.append("done")

    async def begin():
        tasks.add(asyncio.create_task(background()))

    tasks = set()
    await lab.start()
    lab.run(begin())
    assert begun.wait(10)
    await lab.stop()
    (thread,) = lab_threads()
    assert done == []
    go_on.set()
    await asyncio.to_thread(thread.join, 10)
    assert done == ["done"]


async def test_an_endpoint_that_holds_the_thread_now_and_then_does_not_hold_up_the_stop():
    """Its loop turns, but so seldom that an orderly stop would take half a minute."""
    lab, over = threaded(), threading.Event()

    @lab.websocket("/now-and-then")
    async def endpoint(ws: wslab.WebSocket):
        await ws.accept()
        while not over.is_set():
            over.wait(1.0)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    await lab.start()
    client = await lab.connect("/now-and-then", timeout=30)
    try:
        await asyncio.wait_for(lab.stop(), 10)
    finally:
        over.set()
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(10)
    assert caught.value.code == 1012
    assert "was abandoned" in notices(lab)[-1]


async def test_what_goes_wrong_in_a_stop_is_raised_where_it_is_awaited(monkeypatch):
    lab = await threaded().start()
    shutdown = Host.shutdown

    async def fail(self):
        await shutdown(self)
        raise ZeroDivisionError

    with monkeypatch.context() as changed:
        changed.setattr(Host, "shutdown", fail)
        with pytest.raises(ZeroDivisionError):
            await lab.stop()
        lab.start()
        with pytest.raises(ZeroDivisionError):
            lab.run(lab.stop())
    lab.start()
    assert await say(lab) == "hi"
    await lab.stop()


async def test_neither_an_endpoint_nor_a_lifespan_that_stays_holds_up_the_stop():
    """Both swallow their cancellation, and each uses up its time."""

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        await stay()

    async def stay():
        while not done.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.to_thread(done.wait, 60)

    done = threading.Event()
    app = wslab.App(lifespan=lifespan)

    @app.websocket("/stay")
    async def endpoint(ws: wslab.WebSocket):
        await ws.accept()
        await stay()

    lab = await wslab.Lab(app, loop="thread").start()
    client = await lab.connect("/stay")
    try:
        await asyncio.wait_for(lab.stop(), 10)
    finally:
        done.set()
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert caught.value.code == 1012
    assert lab.log[-1].abandoned == 1


async def test_an_exit_in_an_endpoint_does_not_end_the_lab():
    lab = threaded()

    @lab.websocket("/exit")
    async def leave(ws: wslab.WebSocket):
        await ws.accept()
        asyncio.get_running_loop().call_soon(sys.exit, 3)

    await lab.start()
    async with lab.connect("/exit"):
        await lab.until(lambda: notices(lab, "error"))
    assert "SystemExit(3)" in notices(lab, "error")[0]
    assert await say(lab) == "hi"
    await lab.stop()


# -- a thread that is held -----------------------------------------------------------------------------
class Holding:
    """A lab whose endpoint at /hold blocks its thread until `let_go`."""

    def __init__(self, ws):
        self.lab = threaded(ws=ws)
        self.held, self.let_go = threading.Event(), threading.Event()

        @self.lab.websocket("/hold")
        async def hold(ws: wslab.WebSocket):
            await ws.accept()
            await ws.send_text("holding")
            asyncio.get_running_loop().call_later(0.05, self.block)  # when the text has left
            await ws.receive_text()

    def block(self):
        self.held.set()
        self.let_go.wait(60)

    async def client(self):
        client = await self.lab.connect("/hold")
        assert await client.receive(5) == "holding"
        assert await asyncio.to_thread(self.held.wait, 10)
        return client


@pytest.fixture(params=ENGINES)
def holding(request):
    holding = Holding(request.param)
    yield holding
    holding.let_go.set()


async def test_a_thread_that_is_held_is_abandoned_and_its_port_is_free(holding):
    lab = await holding.lab.start()
    port = lab.port
    client = await holding.client()
    await asyncio.wait_for(lab.stop(), 10)
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert caught.value.code == 1012
    (text,) = notices(lab)
    assert "was abandoned" in text
    assert "test_lifecycle.py" in text
    assert isinstance(lab.log[-1], LabStopped)
    await lab.start()
    assert lab.port == port
    assert await say(lab) == "hi"
    holding.let_go.set()
    await lab.until(lambda: any("has been let go" in text for text in notices(lab, "info")))
    assert await say(lab) == "hi"
    await lab.stop()
    assert sum(isinstance(event, LabStopped) for event in lab.log) == 2


def test_a_thread_that_is_held_is_stopped_by_a_cell_that_never_awaits(holding):
    lab = holding.lab.start()
    with connect_sync(lab.url("/hold"), proxy=None) as client:
        assert client.recv(timeout=10) == "holding"
        assert holding.held.wait(10)
        stop = threading.Thread(target=lambda: lab.run(lab.stop()), daemon=True)
        stop.start()
        stop.join(10)
        assert not stop.is_alive()
        assert not lab.running
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)
        assert client.protocol.close_rcvd.code == 1012


# -- run -----------------------------------------------------------------------------------------------
def test_run_runs_in_the_labs_thread_also_before_the_start():
    async def where():
        return threading.current_thread().name

    lab = threaded()
    assert lab.run(where()) == "wslab lab"
    lab.start()
    assert lab.run(where()) == "wslab lab"
    lab.run(lab.stop())


async def test_run_may_be_called_where_a_loop_runs(lab):
    async def answer():
        await asyncio.sleep(0)
        return 42

    assert lab.run(answer()) == 42
    assert not getattr(asyncio.get_running_loop(), "_nest_patched", False)


def test_run_raises_what_the_coroutine_raises_with_its_traceback(lab):
    async def fail():
        raise ValueError("on purpose")

    async def cancel():
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="on purpose") as caught:
        lab.run(fail())
    assert caught.traceback[-1].name == "fail"
    with pytest.raises(asyncio.CancelledError):
        lab.run(cancel())


async def test_run_in_the_labs_own_thread_is_refused():
    lab = threaded()
    refused = []

    async def answer():
        return 42

    @lab.websocket("/run")
    async def run(ws: wslab.WebSocket):
        await ws.accept()
        try:
            lab.run(answer())
        except WSLabError as error:
            refused.append(str(error))

    await lab.start()
    async with lab.connect("/run") as client:
        assert [text async for text in client] == []
    assert "wait for itself. Write `await" in refused[0]
    await lab.stop()


def test_an_interrupt_ends_run_and_cancels_what_runs(lab):
    ended = threading.Event()

    async def for_ever():
        threading.Timer(0, _interrupt_main).start()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        lab.run(for_ever())
    assert ended.wait(10)


def _interrupt_main():
    import signal

    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


# -- what a cell's thread does with the connections ------------------------------------------------------
async def test_a_connection_is_closed_from_the_dashboard(lab):
    client = await lab.connect("/echo")
    lab._core.close_connection("c1", 1008, "enough")
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason, caught.value.by) == (1008, "enough", "server")


@pytest.mark.parametrize("ws", ENGINES)
async def test_a_cell_may_use_an_endpoints_connection(ws):
    lab = threaded(ws=ws)
    held: list[wslab.WebSocket] = []

    @lab.websocket("/held")
    async def hold(ws: wslab.WebSocket):
        await ws.accept()
        held.append(ws)
        await asyncio.sleep(3600)

    await lab.start()
    async with lab.connect("/held") as client:
        await lab.until(lambda: held)
        await held[0].send_text("from the cell")
        assert await client.receive(5) == "from the cell"
        await client.send("to the cell")
        assert await held[0].receive_text() == "to the cell"
    await lab.stop()


async def test_an_endpoint_and_a_cell_share_a_feed():
    async def source():
        for second in itertools.count():
            yield Tick("IBM", float(second), 100.0)
            await asyncio.sleep(0.001)

    lab = threaded()
    lab.feed = feed = Feed(source)

    @lab.websocket("/prices")
    async def prices(ws: wslab.WebSocket):
        await ws.accept()
        async with feed.subscribe() as ticks:
            async for tick in ticks:
                await ws.send_text(tick.symbol)

    await lab.start()
    for first in ("endpoint", "cell"):
        async with contextlib.AsyncExitStack() as stack:
            if first == "cell":
                ticks = await stack.enter_async_context(feed.subscribe())
            client = await stack.enter_async_context(lab.connect("/prices"))
            assert await client.receive(5) == "IBM"
            if first == "endpoint":
                ticks = await stack.enter_async_context(feed.subscribe())
            before = feed.published
            assert feed.subscribers == 2
            while (await anext(ticks)).time <= before:
                pass
            assert await client.receive(5) == "IBM"
        await lab.until(lambda: not feed.running)
    assert "IBM" in lab.views.stocks.text()
    await lab.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_a_cell_may_broadcast_to_a_room(ws):
    lab, rooms = threaded(ws=ws), wslab.RoomManager(announce=False)

    @lab.websocket("/room")
    async def room(ws: wslab.WebSocket):
        await rooms.join_room(ws, "lobby")
        await ws.receive_text()

    await lab.start()
    async with lab.connect("/room") as one, lab.connect("/room") as two:
        await lab.until(lambda: lab.rooms.rooms_of("c2"))
        assert await rooms.broadcast_to_room("lobby", "awaited") == 2
        assert lab.run(rooms.broadcast_to_room("lobby", "run")) == 2
        for client in (one, two):
            assert [await client.receive(5), await client.receive(5)] == ["awaited", "run"]
    await lab.stop()


async def test_views_deliver_in_the_cells_loop(lab):
    here = asyncio.get_running_loop()
    assert lab.views.log.loop is here
    await lab.stop()
    await lab.start()
    assert lab.views.log.loop is here


EXIT = """
import sys, wslab
app = wslab.App()
@app.websocket("/")
async def stay(ws: wslab.WebSocket):
    await ws.accept()
    await ws.receive_text()
lab = wslab.Lab(app, loop="thread").start()
print(lab.url("/"), flush=True)
sys.stdin.readline()
"""


async def test_a_process_that_ends_tells_its_clients_1012():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EXIT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    url = (await process.stdout.readline()).decode().strip()
    client = await wslab.connect(url)
    process.stdin.write(b"end\n")
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(10)
    assert caught.value.code == 1012
    await process.communicate()
    assert process.returncode == 0
