"""Starting and stopping, whatever the handlers do."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import pytest

import wslab
from wslab.errors import ConnectionClosed, PortInUseError
from wslab.events import LabStarted, LabStopped, Notice
from wslab.server import bind


@pytest.fixture
def busy():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_a_busy_port_is_a_clear_error(busy):
    with pytest.raises(PortInUseError, match=rf"127\.0\.0\.1:{busy}.*Leave out `port`") as caught:
        bind("127.0.0.1", busy)
    assert isinstance(caught.value, OSError)


def test_the_port_before_is_preferred_but_not_demanded(busy):
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
    with bind("127.0.0.1", 0, prefer=port) as again:
        assert again.getsockname()[1] == port
    with bind("127.0.0.1", 0, prefer=busy) as other:
        assert other.getsockname()[1] != busy


async def test_a_lab_on_a_busy_port_raises_in_start_and_nothing_is_left(busy):
    lab = wslab.Lab(port=busy)
    before = asyncio.all_tasks()
    with pytest.raises(PortInUseError):
        lab.start()
    assert not lab.running
    assert asyncio.all_tasks() == before


async def test_signals_and_logging_are_as_they_were():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    access, error = logging.getLogger("uvicorn.access"), logging.getLogger("uvicorn.error")
    before = (list(access.handlers), access.propagate, list(error.handlers), error.level)
    lab = wslab.Lab()
    await lab.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    await lab.stop()
    assert (list(access.handlers), access.propagate, list(error.handlers), error.level) == before


async def stuck(ws):
    """Swallows every cancellation for as long as the test lasts."""
    await ws.accept()
    while not released.is_set():
        try:
            await released.wait()
        except asyncio.CancelledError:
            continue


released: asyncio.Event


async def test_stop_tells_every_client_1012_and_waits_for_no_handler():
    global released  # noqa: PLW0603 - the endpoint above is a module's function as in a notebook
    released = asyncio.Event()
    lab = wslab.Lab()

    @lab.websocket("/polite")
    async def polite(ws: wslab.WebSocket):
        await ws.accept()
        async for _ in ws.iter_text():
            pass

    lab.websocket("/stuck")(stuck)
    tasks_before = asyncio.all_tasks()
    await lab.start()
    clients = [await lab.connect(path) for path in ["/polite"] * 20 + ["/stuck"] * 2]
    async with asyncio.timeout(30):  # the promise of 2.5 s is measured by hand: a busy machine may stall
        await lab.stop()
    for client in clients:
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(5)
        assert caught.value.code == 1012
    stopped = [event for event in lab.journal if isinstance(event, LabStopped)]
    assert stopped[0].abandoned == 2
    abandoned = [e.connection for e in lab.journal if isinstance(e, Notice) and "abandoned" in e.text]
    assert sorted(abandoned) == ["c21", "c22"]
    released.set()
    while asyncio.all_tasks() - tasks_before:
        await asyncio.wait(asyncio.all_tasks() - tasks_before)


async def test_a_lab_can_be_stopped_twice_and_started_again_on_its_port():
    lab = wslab.Lab()
    await lab.start()
    port = lab.port
    await lab.stop()
    await lab.stop()
    await lab.start()
    assert lab.port == port
    assert sum(isinstance(event, LabStarted) for event in lab.journal) == 2
    await lab.stop()


async def test_small_messages_do_not_wait_for_each_others_acknowledgement():
    """Nagle's algorithm is off, as asyncio has it for sockets that are TCP by name."""
    with bind("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


async def test_uvicorns_warnings_are_told_in_the_journal(lab, caplog, capsys):
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    writer.write(b"nonsense\r\n\r\n")
    await reader.read()
    writer.close()
    assert any("Invalid HTTP request" in getattr(event, "text", "") for event in lab.journal)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("ws", ["websocket", "auto", ""])
async def test_an_unknown_implementation_is_refused_with_the_known_names(ws):
    with pytest.raises(wslab.WSLabError, match="'wslab', 'websockets-sansio', 'wsproto'"):
        wslab.Lab(ws=ws)


async def test_an_implementation_that_is_missing_names_its_package(monkeypatch):
    monkeypatch.setattr("wslab.server.embed.find_spec", lambda _: None)
    with pytest.raises(wslab.WSLabError, match="pip install wsproto"):
        wslab.Lab(ws="wsproto").start()
