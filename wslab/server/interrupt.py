"""The interrupt button, for an endpoint that holds the kernel's loop.

ipykernel ignores SIGINT while no cell runs and, while a cell awaits, asks the loop to cancel it:
neither helps when the loop itself is held by an endpoint that never yields. The handler put in front
here looks at the context it interrupted, which names the connection that an endpoint, or a task that an
endpoint started, works for (`wslab.session.current`). Where it names none, whoever had the signal before
gets it, and the button does what it always did.

With one, the press may still be meant for a cell, and the endpoint be at work by chance only. So the
press waits for the loop's next turn and is passed on there; if that turn does not come within `HELD`
seconds, the endpoint holds the loop, and is freed by an `EndpointInterrupted`. It is never raised inside
asyncio's own code, which would take it for a broken socket: the next moment is tried instead. What is
raised in an endpoint ends its connection; of a task, the lab is told, as nobody may be waiting for it.

Nothing is touched outside of an ipykernel's main thread.
"""

from __future__ import annotations

import _thread
import asyncio
import inspect
import signal
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from wslab.server.cells import find_shell
from wslab.server.stacks import name_line
from wslab.session import EndpointInterrupted
from wslab.session.current import current_connection, current_journal
from wslab.session.session import run_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from wslab.journal import Journal

__all__ = ["HELD", "InterruptGuard"]

HELD = 0.2
"""Seconds after which a loop that has not turned counts as held."""

_AGAIN = 0.002  # seconds until the next try, where the first fell into asyncio's own code
_ENDPOINT = run_endpoint.__code__
_guards: dict[int, InterruptGuard] = {}  # the installed ones, by the `id` of their lab's journal


class _Press:
    """One press of the button that found an endpoint at work."""

    def __init__(self) -> None:
        self.settled = False
        self.reminding = False  # a signal of our own is on its way

    def remind(self, after: float) -> None:
        """Send the signal again in `after` seconds, unless the press is settled by then."""
        timer = threading.Timer(after, self._send)
        timer.daemon = True
        timer.start()

    def _send(self) -> None:
        if self.settled:
            return
        self.reminding = True
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, signal.SIGINT)  # wakes a blocking call, too
        else:
            _thread.interrupt_main()


class _Handler:
    """A SIGINT handler that frees endpoints and passes everything else on to `previous`."""

    pending: _Press | None = None  # one for all handlers: cells come and go between two signals

    def __init__(self, previous: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.previous = previous
        self._loop = loop

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        work = _find_work(frame)
        press = _Handler.pending
        ours = press is not None and press.reminding
        if press is not None:
            press.reminding = False
        if press is not None and press.settled and ours:
            return None  # it was settled while the reminder was on its way: nobody pressed again
        if press is not None and not press.settled:
            if work is not None and not work.in_asyncio:
                press.settled = True
                if not work.by_endpoint and frame is not None:
                    told = (work.connection, name_line(frame))
                    self._loop.call_soon_threadsafe(work.guard.freed_task, *told)
                raise EndpointInterrupted("The interrupt ended this endpoint.")
            press.remind(_AGAIN)
            return None
        if work is None:
            return self._pass_on(number, frame)
        press = _Handler.pending = _Press()
        self._loop.call_soon_threadsafe(self._turned, press, number)
        press.remind(HELD)
        return None

    def _turned(self, press: _Press, number: int) -> None:
        """The loop turns: the press was not for an endpoint."""
        if not press.settled:
            press.settled = True
            self._pass_on(number, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> Any:
        return self.previous(number, frame) if callable(self.previous) else None


class _Work(NamedTuple):
    """What the signal came upon: code that works for a connection of the lab of `guard`."""

    guard: InterruptGuard
    connection: str
    by_endpoint: bool  # and not by a task or a callback that it started
    in_asyncio: bool  # in code of asyncio's own, at this moment


def _find_work(frame: FrameType | None) -> _Work | None:
    """Who is at work in the innermost `frame`; None where it is nobody whom a guard here knows."""
    journal = current_journal.get()
    guard = _guards.get(id(journal)) if journal is not None else None
    if guard is None:
        return None
    innermost, first, in_asyncio = frame, _first_frame(), False
    while frame is not None:
        if frame.f_code is _ENDPOINT:
            return _Work(guard, current_connection.get(), by_endpoint=True, in_asyncio=in_asyncio)
        module = frame.f_globals.get("__name__", "")
        if module == "asyncio.events" and frame is not innermost:
            break  # the loop, that has called what is above
        # What asyncio's coroutines await, such as `wait_for`, raises through them as it always may.
        awaits = frame is not innermost and frame.f_code.co_flags & inspect.CO_COROUTINE
        in_asyncio = in_asyncio or (module.startswith("asyncio.") and not awaits)
        if frame is first:
            break
        frame = frame.f_back
    return _Work(guard, current_connection.get(), by_endpoint=False, in_asyncio=in_asyncio)


def _first_frame() -> FrameType | None:
    """The outermost frame of the task that runs; None in a callback."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
    return getattr(task.get_coro(), "cr_frame", None) if task is not None else None


def _unwrap(handler: Any) -> Any:
    return handler.previous if isinstance(handler, _Handler) else handler


class InterruptGuard:
    """Puts the handler in front of ipykernel's while a lab serves.

    Args:
        journal: the lab's, by which its endpoints are known.
        freed_task: called on the loop with a connection's id and a place in the code, when it was not the
            endpoint itself that was ended there.

    Example:
        >>> from wslab.journal import Journal
        >>> guard = InterruptGuard(Journal(), print)  # outside of a kernel this does nothing
        >>> guard.install(); guard.remove()
    """

    def __init__(self, journal: Journal, freed_task: Callable[[str, str], object]) -> None:
        self.freed_task = freed_task
        self._journal = journal
        self._shell: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before_cell: Callable[..., None] | None = None

    def install(self) -> None:
        """Guard the kernel this runs in; harmless elsewhere and when repeated."""
        shell = find_shell()
        in_main = threading.current_thread() is threading.main_thread()
        if self._shell is not None or not in_main or not hasattr(shell, "kernel"):
            return
        self._shell = shell
        _guards[id(self._journal)] = self
        self._loop = loop = asyncio.get_running_loop()
        self._wrap_current()
        # ipykernel puts back `saved_sigint_handler` when a cell has ended: that is the idle handler.
        kernel = shell.kernel
        idle = getattr(kernel, "saved_sigint_handler", signal.SIG_IGN)
        kernel.saved_sigint_handler = _Handler(_unwrap(idle), loop)

        def before_cell(*_: object) -> None:
            self._wrap_current()

        self._before_cell = before_cell
        shell.events.register("pre_run_cell", before_cell)

    def _wrap_current(self) -> None:
        if threading.current_thread() is not threading.main_thread() or self._loop is None:
            return  # a subshell's cell: its interrupts are not ours
        current = signal.getsignal(signal.SIGINT)
        if not isinstance(current, _Handler):
            signal.signal(signal.SIGINT, _Handler(current, self._loop))

    def remove(self) -> None:
        """Put back what was there."""
        shell, self._shell = self._shell, None
        if shell is None:
            return
        del _guards[id(self._journal)]
        shell.events.unregister("pre_run_cell", self._before_cell)
        if _guards:
            return  # of another lab in this kernel
        shell.kernel.saved_sigint_handler = _unwrap(shell.kernel.saved_sigint_handler)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, _unwrap(signal.getsignal(signal.SIGINT)))
