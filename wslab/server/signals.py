"""SIGINT and SIGTERM of a program that serves: the first stops it, whatever its endpoints do.

Theory of operation. A handler set with `signal.signal` runs in the main thread between two bytecodes, so
also while an endpoint holds the loop; one set with `loop.add_signal_handler` would wait for that endpoint.
The first signal asks the loop to stop, and a thread looks whether the loop turns. Where it does not within
`HELD` seconds, the main thread is signalled again, and the handler raises `EndpointInterrupted` into the
endpoint on its stack: that client gets 1011, and the stop goes on. Where even that does not help for
`PATIENCE` seconds (a call that never returns to Python), the process is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from wslab.session import EndpointInterrupted
from wslab.session.session import run_endpoint

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["HELD", "PATIENCE", "stop_signals"]

HELD = 0.2
"""Seconds after which a loop that has not turned counts as held."""

PATIENCE = 1.8
"""Seconds that a held loop gets until the process is ended."""

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in `loop` at the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    Outside of the main thread, which alone gets signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch(loop, stop)
    before = {number: signal.signal(number, watch.handle) for number in _NUMBERS}
    try:
        yield
    finally:
        watch.ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch:
    """What the signals have come to so far."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        self.ended = threading.Event()
        self._loop = loop
        self._stop = stop
        self._seen: set[int] = set()
        self._freeing = False  # the next SIGTERM is the thread's own

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self._freeing and number == signal.SIGTERM:
            self._freeing = False
            if _holds_loop(frame):
                raise EndpointInterrupted("The server stops, and this endpoint held its loop.")
            return
        if number == signal.SIGINT and number in self._seen:
            os._exit(128 + number)
        if not self._seen:
            self._loop.call_soon_threadsafe(self._stop)
            threading.Thread(target=self._watch, name="wslab stop", daemon=True).start()
        self._seen.add(number)

    def _watch(self) -> None:
        """See that the loop turns until it has ended."""
        last = time.monotonic()
        while not self.ended.is_set():
            turned = threading.Event()
            try:
                self._loop.call_soon_threadsafe(turned.set)
            except RuntimeError:
                return  # it is closed
            if turned.wait(HELD):
                last = time.monotonic()
                self.ended.wait(HELD)
            elif time.monotonic() - last > PATIENCE:
                _give_up()
            else:
                self._free()

    def _free(self) -> None:
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            self._freeing = True
            signal.pthread_kill(main, signal.SIGTERM)  # wakes a blocking call, too


def _holds_loop(frame: FrameType | None) -> bool:
    """Whether an endpoint is on the stack, and nothing of asyncio's own above it, which would be broken."""
    while frame is not None:
        if frame.f_code is run_endpoint.__code__:
            return True
        if frame.f_globals.get("__name__", "").startswith("asyncio."):
            return False
        frame = frame.f_back
    return False


def _give_up() -> None:
    frames = traceback.extract_stack(sys._current_frames().get(threading.main_thread().ident or 0))  # noqa: SLF001 - the documented way to another thread's stack
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    sys.stderr.write(f"wslab: the event loop is held at {where} and cannot be freed: the process is ended.\n")
    sys.stderr.flush()
    os._exit(1)
