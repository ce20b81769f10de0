"""One reader's place in a feed: a bounded queue that loses its oldest ticks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

from wslab.errors import FeedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from wslab.feeds.tick import Tick

__all__ = ["Subscription"]


class Subscription:
    """Ticks of a feed, in order; made by `Feed.subscribe`.

    Iterating ends when the source ends, or when the ``async with`` block is left; it raises what the
    source raised, after the ticks that came before.

    Attributes:
        dropped: how many ticks were lost because they were not read in time.
    """

    def __init__(
        self,
        enter: Callable[[Subscription], None],
        leave: Callable[[Subscription], Awaitable[None]],
        symbols: frozenset[str] | None,
        maxlen: int,
    ) -> None:
        if maxlen < 1:
            raise FeedError(
                f"Expected room for at least 1 unread tick, got maxlen={maxlen}.",
                remedy="Leave `maxlen` out, or pass a number above 0.",
            )
        self.dropped = 0
        self._enter = enter
        self._leave = leave
        self._symbols = symbols
        self._ticks: deque[Tick] = deque(maxlen=maxlen)
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # of the reader
        self._entered = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, tick: Tick) -> None:
        """Queue `tick` when it is wanted; for the feed."""
        if self._symbols is not None and tick.symbol not in self._symbols:
            return
        self.dropped += len(self._ticks) == self._ticks.maxlen
        self._ticks.append(tick)
        self._wake()

    def end(self, error: BaseException | None) -> None:
        """No more ticks will come; for the feed."""
        self._error = error
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        """Wake the reader, from whichever loop reads the source."""
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            self._news.set()
            return
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody reads any more
            loop.call_soon_threadsafe(self._news.set)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise FeedError(
                "Expected a new subscription, got one that was entered before.",
                remedy="Call `feed.subscribe()` again.",
            )
        self._loop = asyncio.get_running_loop()
        self._enter(self)
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticks.clear()
        self.end(None)
        await self._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Tick:
        if not self._entered:
            raise FeedError(
                "Expected a subscription inside `async with`, got one that was not entered.",
                remedy="Write `async with feed.subscribe() as ticks:` around the loop.",
            )
        while not self._ticks:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._ticks.popleft()

    def __repr__(self) -> str:
        wanted = "all symbols" if self._symbols is None else ", ".join(sorted(self._symbols))
        state = "ended" if self._ended else "open" if self._entered else "not entered"
        return f"<Subscription to {wanted}: {state}, {len(self._ticks)} unread, {self.dropped} dropped>"
