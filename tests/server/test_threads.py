"""The thread and the ferry by themselves; a lab in them is tried in tests/server/test_lifecycle.py."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import threading

import pytest

from wslab.errors import WSLabError
from wslab.server.threads import Ferry, LoopThread, carry, check_not_here, ended, ended_here, run_in


@pytest.fixture
def thread():
    """A thread whose loop is used once, by the test."""
    thread = LoopThread("a lab's", print)
    thread.enter()
    running = thread.thread
    yield thread
    thread.leave()
    running.join(10)
    assert not running.is_alive()


async def name():
    await asyncio.sleep(0)
    return threading.current_thread().name


def spawn(thread, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, thread.loop)


def test_it_ends_with_its_last_user_and_begins_anew():
    thread = LoopThread("a lab's", print)
    first = thread.enter()
    assert thread.enter() is first
    running = thread.thread
    assert running.daemon
    thread.leave()
    assert run_in(thread.loop, name()) == "a lab's"
    thread.leave()
    running.join(10)
    assert not running.is_alive()
    assert first.is_closed()
    assert (thread.loop, thread.thread) == (None, None)
    second = thread.enter()
    assert second is not first
    running = thread.thread
    thread.leave()
    running.join(10)
    assert second.is_closed()


def test_a_user_who_comes_before_the_end_keeps_it():
    thread = LoopThread("a lab's", print)
    loop = thread.enter()
    running, go_on = thread.thread, threading.Event()
    held = threading.Event()

    async def hold():
        held.set()
        await asyncio.to_thread(go_on.wait, 60)

    task = spawn(thread, hold())
    assert held.wait(10)
    thread.leave()  # it would end when `hold` has
    assert thread.enter() is loop
    go_on.set()
    task.result(10)
    assert run_in(thread.loop, name()) == "a lab's"
    thread.leave()
    running.join(10)
    assert not running.is_alive()


def test_what_comes_when_the_loop_is_about_to_stop_is_cancelled_not_forgotten():
    thread = LoopThread("a lab's", print)
    loop = thread.enter()
    running = thread.thread

    def stop_with_a_late_comer():
        futures.append(asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop))
        loop.stop()

    futures = []
    loop.call_soon_threadsafe(stop_with_a_late_comer)
    running.join(10)
    assert not running.is_alive()
    with pytest.raises(concurrent.futures.CancelledError):
        futures[0].result(10)


def test_who_is_interrupted_before_there_is_anything_to_cancel_cancels_it_all_the_same(thread, monkeypatch):
    begun, cancelled = threading.Event(), threading.Event()
    submit = asyncio.run_coroutine_threadsafe

    async def for_ever():
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    def interrupted(coroutine, loop):
        submit(coroutine, loop)
        assert begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_in(thread.loop, for_ever())
    assert cancelled.wait(10)


def test_what_would_end_the_process_is_reported_and_the_loop_goes_on():
    reports = []
    thread = LoopThread("a lab's", reports.append)
    thread.enter()
    running = thread.thread

    async def leave():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_in(thread.loop, leave())
    assert run_in(thread.loop, name()) == "a lab's"
    assert reports == ['SystemExit(3) was raised in "a lab\'s"; the lab goes on.']
    thread.leave()
    running.join(10)


EXIT = """
import asyncio, atexit
from wslab.server.threads import LoopThread, run_in
thread = LoopThread("a lab's", print)
loop = thread.enter()
print(run_in(loop, asyncio.to_thread(str, 42)))
@atexit.register
def end():
    running = thread.thread
    thread.leave()
    running.join(10)
    print(running.is_alive())
"""


def test_it_ends_with_the_interpreter_without_a_word():
    done = subprocess.run(
        [sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("42\nFalse\n", "")


def test_its_frame_is_where_it_is(thread):
    at, go_on = threading.Event(), threading.Event()

    def wait_here():
        at.set()
        go_on.wait(60)

    thread.loop.call_soon_threadsafe(wait_here)
    assert at.wait(10)
    frame = thread.frame
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    go_on.set()
    assert "wait_here" in names
    assert LoopThread("never begun", print).frame is None


async def test_calls_are_carried_over_and_their_cancellation_too(thread):
    begun, cancelled = threading.Event(), threading.Event()

    async def for_ever():
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    assert await carry(thread.loop, name()) == "a lab's"
    assert await carry(asyncio.get_running_loop(), name()) == threading.current_thread().name
    carried = asyncio.create_task(carry(thread.loop, for_ever()))
    assert await asyncio.to_thread(begun.wait, 10)
    carried.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carried
    assert await asyncio.to_thread(cancelled.wait, 10)


@pytest.fixture
def held(thread):
    """Holds the thread until the test's end, or until it is set."""
    at, go_on = threading.Event(), threading.Event()

    def hold():
        at.set()
        go_on.wait(60)

    thread.loop.call_soon_threadsafe(hold)
    assert at.wait(10)
    yield go_on
    go_on.set()


@pytest.mark.parametrize("wait", ["await", "block"])
async def test_who_waits_for_a_loop_that_is_held_goes_on_without(thread, held, wait):
    future = spawn(thread, name())
    if wait == "await":
        assert not await ended(future, thread.loop, still=0.3, limit=60)
    else:
        assert not ended_here(future, thread.loop, still=0.3, limit=60)
    assert not future.done()
    held.set()
    assert await ended(future, thread.loop, still=10, limit=60)
    assert ended_here(future, thread.loop, still=10, limit=60)
    assert future.result() == "a lab's"


@pytest.mark.parametrize("wait", ["await", "block"])
async def test_a_loop_that_turns_is_waited_for(thread, wait):
    future = spawn(thread, asyncio.sleep(1.0, "done"))
    if wait == "await":
        assert await ended(future, thread.loop, still=0.6, limit=60)
    else:
        assert ended_here(future, thread.loop, still=0.6, limit=60)
    assert future.result() == "done"


async def test_a_loop_that_turns_is_not_waited_for_without_end(thread):
    future = spawn(thread, asyncio.sleep(3600))
    assert not await ended(future, thread.loop, still=60, limit=0.1)
    assert not ended_here(future, thread.loop, still=60, limit=0.1)
    future.cancel()


def test_what_was_waited_for_may_end_after_who_waited_has_gone(thread, held):
    future = spawn(thread, name())
    assert not asyncio.run(ended(future, thread.loop, still=0.01, limit=60))
    held.set()
    assert future.result(10) == "a lab's"


def test_waiting_in_the_thread_for_itself_is_refused(thread):
    async def refused():
        coroutine = name()
        with pytest.raises(WSLabError, match=r"wait for itself\. Write `await name\(…\)`"):
            check_not_here(thread, coroutine)
        return coroutine.cr_frame is None  # closed, so Python does not warn that nobody awaited it

    assert run_in(thread.loop, refused())
    outside = name()
    check_not_here(thread, outside)
    outside.close()


async def test_a_ferried_connection_is_served_in_its_own_loop(thread):
    where, scopes = [], []

    async def receive():
        where.append(await name())
        return {"type": "websocket.receive", "text": "hi"}

    async def send(message):
        where.append(await name())
        raise OSError("gone")

    async def app(scope, receive, send):
        scopes.append(scope)
        calls.extend([receive, send])
        await receive()

    calls = []
    ferry = Ferry(app, thread.loop)
    assert repr(ferry) == repr(app)
    await carry(thread.loop, ferry({"type": "websocket"}, receive, send))
    assert await calls[0]() == {"type": "websocket.receive", "text": "hi"}
    with pytest.raises(OSError, match="gone"):
        await calls[1]({"type": "websocket.send", "text": "ho"})
    assert where == ["a lab's"] * 3


async def test_what_is_no_connection_is_handed_on_as_it_is(thread):
    async def app(scope, *given):
        calls.extend(given)

    async def receive(): ...
    async def send(message): ...

    calls = []
    await Ferry(app, thread.loop)({"type": "lifespan"}, receive, send)
    assert calls == [receive, send]
