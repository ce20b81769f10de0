"""An event loop of the lab's own, in a thread: what a busy cell does not hold.

Theory of operation. A `LoopThread` begins with its first user (`enter`) and ends by itself when the last
one has left (`leave`) and nothing runs in it any more: what an application started there goes on after
a stop, as it would in the kernel's loop. A thread that an endpoint holds cannot be ended by anybody; it
is a daemon, so it keeps no process, and a lab goes on with another.

What belongs to a loop may be touched in its thread only. So a cell's call is carried over to the lab's
loop (`carry`), and `Ferry` does the same for what an endpoint has handed to a cell, such as its
``ws.send_text``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wslab.errors import WSLabError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Ferry", "LoopThread", "carry", "check_not_here", "ended", "ended_here", "run_in"]

T = TypeVar("T")

_PULSE = 0.2  # seconds between two looks at a loop that is waited for


class LoopThread:
    """An event loop in a daemon thread of its own, for as long as somebody needs it.

    Args:
        name: the thread's name, for people.
        report: told what ended the loop for a moment, such as an endpoint's ``sys.exit()``.

    Example:
        >>> async def where():
        ...     return threading.current_thread().name
        >>> thread = LoopThread("lab", print)
        >>> thread.enter() is thread.loop
        True
        >>> run_in(thread.loop, where())
        'lab'
        >>> thread.leave()
    """

    def __init__(self, name: str, report: Callable[[str], object]) -> None:
        self.name = name
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self._report = report
        self._users = 0
        self._lock = threading.Lock()

    def enter(self) -> asyncio.AbstractEventLoop:
        """The loop, running, until `leave`."""
        with self._lock:
            self._users += 1
            if self.loop is None:
                self.loop = loop = asyncio.new_event_loop()
                self.thread = threading.Thread(target=self._run, args=(loop,), name=self.name, daemon=True)
                self.thread.start()
            return self.loop

    def leave(self) -> None:
        """Need the loop no more; from any thread, once for each `enter`."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self.loop is not None:
                self._end_later(self.loop)

    def _end_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(loop.create_task, self._end(loop))

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the loop when nothing but this runs in it, unless it has found a user again."""
        myself = asyncio.current_task()
        assert myself is not None
        myself.set_name(_ENDER)
        while running := {task for task in asyncio.all_tasks() if task.get_name() != _ENDER}:
            await asyncio.wait(running)
        with self._lock:
            if self.loop is loop:
                if self._users:
                    return
                self.loop = self.thread = None
        loop.stop()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                loop.run_forever()
                break
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio lets these two through to whoever runs the loop. In a kernel they end the cell;
                # here they would end the lab without a word.
                self._report(f"{error!r} was raised in {self.name!r}; the lab goes on.")
        loop.run_until_complete(_cancel_late_comers())
        loop.run_until_complete(loop.shutdown_asyncgens())
        # Where the interpreter ends already it starts no thread any more, and ends the executor itself.
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    @property
    def here(self) -> bool:
        """Whether the caller is in the thread."""
        return self.thread is threading.current_thread()

    @property
    def frame(self) -> FrameType | None:
        """What the thread executes just now; None where that cannot be told."""
        thread = self.thread
        if thread is None or thread.ident is None:
            return None
        # Documented for this very purpose; only CPython has it.
        frames: dict[int, FrameType] = getattr(sys, "_current_frames", dict)()
        return frames.get(thread.ident)


_ENDER = "wslab thread's end"


async def _cancel_late_comers() -> None:
    """End what another thread gave to the loop when that was about to stop: somebody may wait for it."""
    late = asyncio.all_tasks() - {asyncio.current_task()}
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)


async def carry(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on `loop`, wherever this is awaited; being cancelled cancels it there."""
    if asyncio.get_running_loop() is loop:
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


class _Patience:
    """How long a loop in another thread is waited for: not for one that stands still, nor without end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, still: float, limit: float) -> None:
        self._loop = loop
        self._still = still
        self._asked = False
        self._turned = time.monotonic()
        self._end = self._turned + limit

    def _answer(self) -> None:
        self._turned = time.monotonic()
        self._asked = False

    def lasts(self) -> bool:
        """Whether to wait on; asks the loop again."""
        if not self._asked:
            self._asked = True
            with contextlib.suppress(RuntimeError):  # it is closed, and its last answer holds
                self._loop.call_soon_threadsafe(self._answer)
        now = time.monotonic()
        return now - self._turned < self._still and now < self._end


async def ended(
    future: concurrent.futures.Future[Any], loop: asyncio.AbstractEventLoop, *, still: float, limit: float
) -> bool:
    """Wait until `future` has ended.

    Args:
        future: the outcome of a coroutine on `loop`.
        loop: of another thread.
        still: seconds that the loop may be without a turn.
        limit: seconds in all.

    Returns:
        False where it has not ended, and was waited for long enough.
    """
    here, done, patience = asyncio.get_running_loop(), asyncio.Event(), _Patience(loop, still, limit)

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # who waited has closed its loop
            here.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    while not future.done() and patience.lasts():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PULSE):
                await done.wait()
    return future.done()


def ended_here(
    future: concurrent.futures.Future[Any], loop: asyncio.AbstractEventLoop, *, still: float, limit: float
) -> bool:
    """`ended` for synchronous code."""
    patience = _Patience(loop, still, limit)
    while not future.done() and patience.lasts():
        concurrent.futures.wait([future], _PULSE)
    return future.done()


class _Call(Generic[T]):
    """A coroutine that somebody in another thread waits for, and may give up at any moment."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._given_up = False

    async def run(self) -> T:
        if self._given_up:
            self._coroutine.close()
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        return await self._coroutine

    def give_up(self) -> None:
        self._given_up = True
        if self._task is not None:
            self._task.cancel()


def run_in(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on `loop`, of another thread, and wait for its outcome.

    What it raises is raised here, with its traceback. An interrupt cancels it, and is raised here.

    Raises:
        asyncio.CancelledError: it was cancelled there.
    """
    call = _Call(coroutine)
    try:
        return asyncio.run_coroutine_threadsafe(call.run(), loop).result()
    except concurrent.futures.CancelledError:
        raise asyncio.CancelledError from None
    except BaseException:
        # Its own failure, or an interrupt: that may come before there is a future that could be cancelled.
        loop.call_soon_threadsafe(call.give_up)
        raise


def check_not_here(thread: LoopThread, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Refuse to wait in the thread for something that only the thread could do.

    Raises:
        WSLabError: the caller is in it. `coroutine` is closed then.
    """
    if thread.here:
        name = getattr(coroutine, "__qualname__", "coroutine")
        coroutine.close()
        raise WSLabError(
            "Expected lab.run() outside of the lab's own thread, where it would wait for itself.",
            remedy=f"Write `await {name}(…)` in an `async def` endpoint.",
        )


class Ferry:
    """An application whose connections may be used from other threads: a cell's ``await ws.send_text()``.

    Args:
        app: the ASGI application.
        loop: the loop that serves it.
    """

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        loop, running = self._loop, asyncio.get_running_loop

        async def receive_here() -> Message:
            return await (receive() if running() is loop else _across(loop, receive))

        async def send_here(message: Message) -> None:
            await (send(message) if running() is loop else _across(loop, send, message))

        await self._app(scope, receive_here, send_here)

    def __repr__(self) -> str:
        return repr(self._app)


async def _across(loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *arguments: object) -> Any:
    async def act() -> Any:
        return await call(*arguments)

    return await carry(loop, act())
