"""A lab's manners as one thing: what is started is stopped, and what is touched is put back."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import urllib.request

import wslab
from wslab.events import LoopHeld, Printed
from wslab.journal import Journal
from wslab.server.manners import Manners


async def test_what_is_touched_is_put_back():
    before, threads = (sys.stdout, sys.stderr), set(threading.enumerate())
    manners = Manners(Journal())
    manners.start(asyncio.get_running_loop(), "127.0.0.1", 1)
    await asyncio.sleep(0)
    assert sys.stdout is not before[0]
    assert set(threading.enumerate()) > threads
    manners.stop()
    manners.stop()
    assert (sys.stdout, sys.stderr) == before
    assert set(threading.enumerate()) == threads


def test_nothing_is_touched_at_import_and_before_the_start():
    before, threads = (sys.stdout, sys.stderr), threading.enumerate()
    wslab.Lab()
    assert (sys.stdout, sys.stderr) == before
    assert threading.enumerate() == threads


async def test_the_header_is_told_who_held_the_loop_within_the_last_minute():
    manners = Manners(Journal())
    assert manners.status() == {"lag": 0, "lag_by": ""}
    manners.lag.add(0.09)
    assert manners.status()["lag"] == 0
    manners.lag.add(2.1)
    manners.lag.last = LoopHeld(seconds=2.1, by="endpoint chat", connection="c3")
    assert manners.status() == {"lag": 2100, "lag_by": "endpoint chat c3"}
    for _ in range(600):
        manners.lag.add(0.001)
    assert manners.status() == {"lag": 0, "lag_by": ""}


async def test_a_lab_tells_its_lag():
    lab = wslab.Lab()
    assert repr(lab.lag) == "<LoopLag: not measured yet>"
    await lab.start()
    try:
        time.sleep(0.6)  # noqa: ASYNC251 - holding the loop is what is tried
        event = await lab.until(lambda: lab.lag.last, timeout=10)
        assert event in list(lab.log)
        assert "test_a_lab_tells_its_lag" in event.by
    finally:
        await lab.stop()
    assert lab.lag.worst > 0.3


async def test_what_an_ordinary_request_prints_is_told_too():
    app = wslab.App()

    async def page(scope, receive, send):
        print("asked for a page")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def either(scope, receive, send):
        await (page if scope["type"] == "http" else app)(scope, receive, send)

    lab = wslab.Lab(either)
    await lab.start()
    try:
        answer = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{lab.port}/")
        answer.close()
        printed = [event for event in lab.log if isinstance(event, Printed)]
        assert [(event.connection, event.text) for event in printed] == [("", "asked for a page")]
    finally:
        await lab.stop()
