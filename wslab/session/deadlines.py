"""Deadlines of one length for many connections, on one timer.

A connection has several: for its handshake, its next ping, the pong, the closing handshake. Almost all
of them are taken back, and a timer of asyncio's each would cost more than the rest of a handshake's
bookkeeping. All deadlines of one kind are equally long, so those that were set first are due first: a
dict in the order of insertion is the queue, and only its first entry needs a timer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Deadlines"]

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `due(item)` once an item has been set for `seconds` and was not taken back.

    Args:
        seconds: the length of every deadline.
        due: called in the loop; it may set the item again.

    Example:
        >>> async def main():
        ...     late = Deadlines(0.01, print)
        ...     late.set("a"); late.set("b"); late.clear("a")
        ...     await asyncio.sleep(0.1)
        >>> asyncio.run(main())
        b
    """

    __slots__ = ("_at", "_due", "_timer", "seconds")

    def __init__(self, seconds: float, due: Callable[[T], object]) -> None:
        self.seconds = seconds
        self._due = due
        self._at: dict[T, float] = {}  # item: when it is due, in the loop's seconds
        self._timer: asyncio.TimerHandle | None = None

    def set(self, item: T) -> None:
        """Set the deadline of `item`, anew if it has one."""
        loop = asyncio.get_running_loop()
        self._at.pop(item, None)
        self._at[item] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._look)

    def clear(self, item: T) -> None:
        """Take the deadline of `item` back, if it has one."""
        self._at.pop(item, None)

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._at:
            item, at = next(iter(self._at.items()))
            if at > now:
                self._timer = loop.call_at(at, self._look)
                return
            del self._at[item]
            self._due(item)

    def __len__(self) -> int:
        return len(self._at)
