"""What a program does with SIGINT and SIGTERM; with whole processes in tests/test_serving.py."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

import pytest

from wslab.server import signals
from wslab.server.signals import stop_signals
from wslab.session import EndpointInterrupted
from wslab.session.session import run_endpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_stops_and_what_was_before_is_put_back(number):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    stop = asyncio.Event()
    with stop_signals(asyncio.get_running_loop(), stop.set):
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stop.wait()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_stop_that_takes_longer_than_the_patience_is_let_alone_while_the_loop_turns(monkeypatch):
    monkeypatch.setattr(signals, "PATIENCE", 2.0)
    given_up = []
    monkeypatch.setattr(signals, "_give_up", lambda: given_up.append(True))
    with stop_signals(asyncio.get_running_loop(), lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(2.5)
    assert not given_up


async def test_an_endpoint_that_holds_the_loop_is_interrupted():
    stop = asyncio.Event()

    async def holds(_scope, _receive, _send):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)

    with stop_signals(asyncio.get_running_loop(), stop.set):
        with pytest.raises(EndpointInterrupted, match="held its loop"):
            await run_endpoint(holds, {}, None, None)
        async with asyncio.timeout(5):
            await stop.wait()


async def test_what_is_no_endpoint_is_given_up_and_named(monkeypatch, capfd):
    monkeypatch.setattr(signals, "HELD", 0.02)
    monkeypatch.setattr(signals, "PATIENCE", 0.05)
    ended = threading.Event()
    statuses = []

    def note(status):
        statuses.append(status)  # the process would end here; so it is called until the loop turns
        ended.set()

    monkeypatch.setattr(os, "_exit", note)
    with stop_signals(asyncio.get_running_loop(), lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended.wait(10)
    assert set(statuses) == {1}
    assert "the event loop is held at" in capfd.readouterr().err


async def test_other_threads_are_left_without():
    handlers = []
    loop = asyncio.get_running_loop()

    def serve():
        with stop_signals(loop, lambda: None):
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert handlers == [before]
