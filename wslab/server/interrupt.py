"""The interrupt button, for an endpoint that holds the kernel's loop.

ipykernel ignores SIGINT while no cell runs and, while a cell awaits, asks the loop to cancel it:
neither helps when the loop itself is held by an endpoint that never yields. The handler put in front
here looks at the stack it interrupted: if an endpoint is on it, the endpoint is freed by an
`EndpointInterrupted`; else whoever had the signal before gets it, and the button does what it always
did. Nothing is touched outside of an ipykernel's main thread.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from wslab.session import EndpointInterrupted
from wslab.session.session import run_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["InterruptGuard"]

_ENDPOINT = run_endpoint.__code__


class _Handler:
    """A SIGINT handler that frees endpoints and passes everything else on to `previous`."""

    def __init__(self, previous: Any) -> None:
        self.previous = previous

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        below = frame
        while below is not None:
            if below.f_code is _ENDPOINT:
                raise EndpointInterrupted("The interrupt ended this endpoint.")
            below = below.f_back
        return self.previous(number, frame) if callable(self.previous) else None


def _unwrap(handler: Any) -> Any:
    return handler.previous if isinstance(handler, _Handler) else handler


class InterruptGuard:
    """Puts the handler in front of ipykernel's while a lab serves.

    Example:
        >>> guard = InterruptGuard()  # outside of a kernel this does nothing
        >>> guard.install(); guard.remove()
    """

    def __init__(self) -> None:
        self._shell: Any = None
        self._before_cell: Callable[..., None] | None = None

    def install(self) -> None:
        """Guard the kernel this runs in; harmless elsewhere and when repeated."""
        ipython = sys.modules.get("IPython")
        shell: Any = ipython.get_ipython() if ipython else None
        in_main = threading.current_thread() is threading.main_thread()
        if self._shell is not None or not in_main or not hasattr(shell, "kernel"):
            return
        self._shell = shell
        self._wrap_current()
        # ipykernel puts back `saved_sigint_handler` when a cell has ended: that is the idle handler.
        kernel = shell.kernel
        kernel.saved_sigint_handler = _Handler(
            _unwrap(getattr(kernel, "saved_sigint_handler", signal.SIG_IGN))
        )

        def before_cell(*_: object) -> None:
            self._wrap_current()

        self._before_cell = before_cell
        shell.events.register("pre_run_cell", before_cell)

    def _wrap_current(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # a subshell's cell: its interrupts are not ours
        current = signal.getsignal(signal.SIGINT)
        if not isinstance(current, _Handler):
            signal.signal(signal.SIGINT, _Handler(current))

    def remove(self) -> None:
        """Put back what was there."""
        shell, self._shell = self._shell, None
        if shell is None:
            return
        shell.events.unregister("pre_run_cell", self._before_cell)
        shell.kernel.saved_sigint_handler = _unwrap(shell.kernel.saved_sigint_handler)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, _unwrap(signal.getsignal(signal.SIGINT)))
