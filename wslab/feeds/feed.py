"""One stream of ticks for any number of subscribers.

Theory of operation. While at least one subscription is open, one task reads the source and hands every
tick to all of them; the first subscription starts it and the last one to leave ends it and closes the
source. Nobody is waited for: a subscription holds at most `maxlen` unread ticks and loses its oldest,
because of a price only the newest matters. Listeners are called at once and keep nothing running, so a view
that nobody feeds costs nothing.

The task runs in the loop of the first subscriber. Others may come from other loops that run: an endpoint
and a cell share a feed also where the lab has a thread of its own. What all of them change is changed
under a lock, and each is woken in its own loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from typing import Any

from wslab.errors import FeedError
from wslab.feeds.arguments import symbol_names
from wslab.feeds.subscription import Subscription
from wslab.feeds.tick import Tick

__all__ = ["Feed"]

Listener = Callable[[Tick], object]
Source = Callable[[], AsyncIterable[Tick]] | AsyncIterable[Tick]


class Feed:
    """Shares one source of ticks.

    Args:
        source: a function that returns an async iterator of ticks, called anew whenever the first
            subscriber comes; or an async iterator itself, which can be used up only once.
        name: for people, in the repr.
        history: how many ticks `Feed.history` keeps.

    Attributes:
        name: as given.
        history: the newest ticks, oldest first.
        published: how many ticks came from the source so far.

    Raises:
        FeedError: the source is neither.

    Example:
        >>> from wslab.feeds import replay
        >>> feed = Feed(lambda: replay("IBM", start="2013-03-01"), name="ibm")
        >>> async def read():
        ...     async with feed.subscribe() as ticks:
        ...         return [tick.date async for tick in ticks]
        >>> asyncio.run(read())
        ['2013-03-01']
        >>> feed
        <Feed 'ibm': idle, 0 subscribers, 0 listeners, 1 tick of IBM>
    """

    def __init__(self, source: Source, *, name: str = "", history: int = 20_000) -> None:
        if not callable(source) and not hasattr(source, "__aiter__"):
            raise FeedError(
                f"Expected an async iterator of ticks or a function that makes one, got {source!r}.",
                remedy="Pass something like `lambda: replay()`.",
            )
        self.name = name
        self.history: deque[Tick] = deque(maxlen=history)
        self.published = 0
        self._lock = threading.RLock()
        self._source = source
        self._used_up = False
        self._symbols: dict[str, None] = {}
        self._subscriptions: list[Subscription] = []
        self._listeners: list[Listener] = []
        self._task: asyncio.Task[None] | None = None  # reads for the subscriptions
        self._unfinished: set[asyncio.Task[None]] = set()  # that one, and those still closing their source

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol seen so far, in the order of their first tick."""
        return tuple(self._symbols)

    @property
    def running(self) -> bool:
        """Whether the source is being read."""
        return bool(self._subscriptions)

    @property
    def subscribers(self) -> int:
        """How many subscriptions are open."""
        return len(self._subscriptions)

    def subscribe(self, symbols: Iterable[str] | str | None = None, maxlen: int = 256) -> Subscription:
        """A subscription, to be entered with ``async with`` and read with ``async for``.

        Args:
            symbols: which symbols; all when left out.
            maxlen: how many unread ticks are kept; the oldest goes first and is counted in
                `Subscription.dropped`.

        Raises:
            FeedError: `maxlen` is below 1, or `symbols` names nothing.
        """
        wanted = None if symbols is None else frozenset(symbol_names(symbols))
        return Subscription(self._enter, self._leave, wanted, maxlen)

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call `callback(tick)` for each tick while somebody subscribes; the result ends it (idempotent).

        A callback that raises is removed, and its error goes to the event loop's exception handler: one
        reader's fault must not end the stream of the others.
        """
        self._listeners.append(callback)

        def unlisten() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return unlisten

    def since(self, count: int) -> tuple[list[Tick], int]:
        """The ticks after the first `count`, as far as the history has them, and how many there were in all.

        Example:
            >>> Feed([].__iter__, name="none yet").since(0)
            ([], 0)
        """
        with self._lock:
            fresh = self.published - count
            return (list(self.history)[-fresh:] if fresh > 0 else []), self.published

    def _enter(self, subscription: Subscription) -> None:
        with self._lock:
            self._enter_locked(subscription)

    def _enter_locked(self, subscription: Subscription) -> None:
        if self._task is not None and self._task.done():
            self._finished(self._task)  # its callback is due, but the newcomer was here first
        loop = asyncio.get_running_loop()
        reader = self._task.get_loop() if self._task is not None else loop
        if reader is not loop and not reader.is_running():
            raise FeedError(
                "Expected the feed's own event loop to run, but it was left while somebody subscribed there.",
                remedy="Make another feed.",
            )
        if not self._subscriptions:
            if self._used_up:
                raise FeedError(
                    "Expected a source that can be read again, got an iterator that was used up.",
                    remedy="Give the feed a function that makes the iterator, such as `lambda: replay()`.",
                )
            task = loop.create_task(self._read(), name=f"wslab feed {self.name}".rstrip())
            task.add_done_callback(self._finished)
            self._unfinished.add(task)
            self._task = task
        self._subscriptions.append(subscription)

    async def _leave(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription not in self._subscriptions:
                return  # the source ended before
            self._subscriptions.remove(subscription)
            task = self._task
            if self._subscriptions or task is None:
                return
        await _in_loop_of(task, self._end(task))

    @staticmethod
    async def _end(task: asyncio.Task[None]) -> None:
        task.cancel()
        # `wait` does not raise what the task raised, and our own cancellation leaves the task to end.
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # the source failed in closing, and there is nobody else to tell

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._unfinished.discard(task)
        if task is not self._task:
            return  # its subscribers left before it ended, and a later task took its place
        with self._lock:
            if task is not self._task:
                return
            self._task = None
            ended, self._subscriptions = self._subscriptions, []
        error = None if task.cancelled() else task.exception()
        for subscription in ended:
            subscription.end(error)

    async def _read(self) -> None:
        mine = asyncio.current_task()
        earlier = set(self._unfinished) - {mine}
        for task in earlier:  # they may still hold what the source needs, such as a connection
            await _in_loop_of(task, _wait_for(task))
        ticks = self._open()
        try:
            async for tick in ticks:
                if mine is not self._task or not self._subscriptions:
                    break  # the source swallowed its cancellation
                self._publish(tick)
                await asyncio.sleep(0)  # a source that never waits must not starve its readers
        finally:
            close = getattr(ticks, "aclose", None)
            if close is not None:
                await close()

    def _open(self) -> AsyncIterator[Tick]:
        source: Any = self._source
        if not hasattr(source, "__aiter__"):
            source = source()
            if not hasattr(source, "__aiter__"):
                if asyncio.iscoroutine(source):
                    source.close()  # else Python warns that it was never awaited, which misleads
                raise FeedError(
                    f"Expected the feed's source to return an async iterator, got {type(source).__name__}.",
                    remedy="Write it as `async def` with `yield`, or return `replay()` from it.",
                )
        ticks: AsyncIterator[Tick] = aiter(source)
        self._used_up = ticks is self._source
        return ticks

    def _publish(self, tick: object) -> None:
        if not isinstance(tick, Tick):
            raise FeedError(
                f"Expected the source to yield wslab.feeds.Tick, got {type(tick).__name__}.",
                remedy="Yield Tick(symbol, time, price).",
            )
        with self._lock:
            self.published += 1
            self._symbols[tick.symbol] = None
            self.history.append(tick)
            subscriptions = tuple(self._subscriptions)
        for subscription in subscriptions:
            subscription.put(tick)
        for listener in tuple(self._listeners):
            try:
                listener(tick)
            except Exception as error:  # noqa: BLE001 - whatever a reader raises, the others read on
                if listener in self._listeners:
                    self._listeners.remove(listener)
                asyncio.get_running_loop().call_exception_handler(
                    {
                        "message": f"A listener of {self!r} failed and was removed",
                        "exception": error,
                    }
                )

    def __repr__(self) -> str:
        shown = ", ".join(self.symbols[:8]) + (", …" if len(self._symbols) > 8 else "")  # noqa: PLR2004 - fits a line
        return (
            f"<Feed {self.name!r}: {'running' if self.running else 'idle'}, "
            f"{_count(self.subscribers, 'subscriber')}, {_count(len(self._listeners), 'listener')}, "
            f"{_count(self.published, 'tick')}{f' of {shown}' if shown else ''}>"
        )


async def _wait_for(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})


async def _in_loop_of(task: asyncio.Task[None], act: Coroutine[Any, Any, None]) -> None:
    """Await `act`, which deals with `task`, where only that may be done."""
    loop = task.get_loop()
    if loop is asyncio.get_running_loop():
        await act
    else:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act, loop))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
