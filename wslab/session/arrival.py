"""An awaitable that resumes its task in the turn of the loop in which it is woken.

A future's waiter is resumed one turn later: asyncio puts the task's step behind everything else, looks at
all sockets again, and only then goes on. For a message that has just been read from a socket that is one
turn too many; it costs as much as reading it. So `Arrival` follows the protocol of a future-like object (see
`asyncio.isfuture`) and calls the waiting task's step itself. It does so only where no task is running, as in
a transport's callback: asyncio does not let tasks run inside each other. Everywhere else it is as patient as
a future.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

__all__ = ["Arrival"]


class Arrival:
    """Waited for by a task, or by several, until `wake`.

    Example:
        >>> async def main():
        ...     arrival = Arrival(asyncio.get_running_loop())
        ...     async def wait():
        ...         await arrival
        ...         print("resumed")
        ...     task = asyncio.create_task(wait())
        ...     await asyncio.sleep(0)
        ...     asyncio.get_running_loop().call_soon(lambda: (arrival.wake(), print("woken")))
        ...     await task
        >>> asyncio.run(main())
        resumed
        woken
    """

    __slots__ = ("_asyncio_future_blocking", "_callbacks", "_cancelled", "_done", "_loop", "_message")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._callbacks: list[tuple[Callable[[Any], object], Context | None]] = []
        self._done = self._cancelled = False
        self._message: Any = None  # of the cancellation

    def __await__(self) -> Generator[Any, None, None]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def wake(self) -> None:
        """Resume whoever waits: now, where no task is running, else in the loop's next turn."""
        if self._done:
            return
        self._done = True
        if asyncio.current_task(self._loop) is not None:
            self._schedule()
            return
        callbacks, self._callbacks = self._callbacks, []
        for callback, context in callbacks:
            if context is None:
                callback(self)
            else:
                context.run(callback, self)

    def _schedule(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback, context in callbacks:
            self._loop.call_soon(callback, self, context=context)

    # -- what asyncio asks a future-like object ----------------------------------------------------
    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it belongs to."""
        return self._loop

    def done(self) -> bool:
        """Whether it was woken or cancelled."""
        return self._done

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def cancel(self, msg: Any = None) -> bool:
        """End the wait with a `CancelledError`; False where it has ended already."""
        if self._done:
            return False
        self._done = self._cancelled = True
        self._message = msg
        self._schedule()
        return True

    def result(self) -> None:
        """Nothing, once it was woken.

        Raises:
            asyncio.CancelledError: it was cancelled.
            asyncio.InvalidStateError: it was neither.
        """
        if self._cancelled:
            raise asyncio.CancelledError(*(() if self._message is None else (self._message,)))
        if not self._done:
            raise asyncio.InvalidStateError("Expected an arrival that was woken, it is still waited for.")

    def exception(self) -> None:
        """None: there is no way to fail. Raises as `result` does."""
        self.result()

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Call `callback(self)` at the end, in `context`."""
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callbacks.append((callback, context))

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Take all of `callback` back; returns how many there were."""
        before = len(self._callbacks)
        self._callbacks = [each for each in self._callbacks if each[0] != callback]
        return before - len(self._callbacks)
