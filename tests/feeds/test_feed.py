from __future__ import annotations

import asyncio
import math
import threading

import pytest

from wslab.errors import FeedError
from wslab.feeds import Feed, Tick, replay


class Source:
    """A source that a test feeds by hand, and that remembers its life."""

    def __init__(self):
        self.opened = self.closed = 0
        self.inbox = asyncio.Queue()
        self.on_close = None

    async def __call__(self):
        self.opened += 1
        try:
            while (item := await self.inbox.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed += 1
            if self.on_close is not None:
                await self.on_close()

    def push(self, *items):
        for item in items:
            self.inbox.put_nowait(item)


def ticks(*numbers, symbol="A"):
    return [Tick(symbol, float(n), float(n)) for n in numbers]


def other_tasks():
    return asyncio.all_tasks() - {asyncio.current_task()}


async def read(subscription):
    return [tick.price async for tick in subscription]


async def settle(condition):
    while not condition():  # noqa: ASYNC110 - one turn of the loop at a time; the suite's time-out bounds it
        await asyncio.sleep(0)


async def test_one_source_serves_every_subscriber():
    source = Source()
    feed = Feed(source, name="hand")
    async with feed.subscribe() as first, feed.subscribe() as second:
        source.push(*ticks(1, 2, 3), None)
        assert await asyncio.gather(read(first), read(second)) == [[1, 2, 3], [1, 2, 3]]
    assert (source.opened, source.closed, feed.published) == (1, 1, 3)
    assert not other_tasks()


async def test_nothing_runs_before_the_first_and_after_the_last_subscriber():
    source = Source()
    feed = Feed(source)
    heard = []
    feed.listen(heard.append)
    assert not feed.running
    assert not other_tasks()
    async with feed.subscribe() as outer:
        async with feed.subscribe():
            assert feed.running
        source.push(*ticks(1))
        assert (await anext(outer)).price == 1
        assert source.closed == 0
    assert not feed.running
    assert source.closed == 1
    assert not other_tasks()
    assert [tick.price for tick in heard] == [1]


async def test_a_callable_source_is_made_anew():
    source = Source()
    feed = Feed(source)
    for n in (1, 2):
        async with feed.subscribe() as subscription:
            source.push(*ticks(n))
            assert (await anext(subscription)).price == n
    assert (source.opened, source.closed) == (2, 2)
    assert [tick.price for tick in feed.history] == [1, 2]


async def test_an_iterator_is_closed_with_the_last_subscriber_and_cannot_come_back():
    source = Source()
    feed = Feed(source())
    async with feed.subscribe() as subscription:
        source.push(*ticks(1))
        await anext(subscription)
    assert source.closed == 1
    with pytest.raises(FeedError, match="used up"):
        await feed.subscribe().__aenter__()
    assert not feed.running


async def test_an_iterable_that_makes_its_own_iterators_can_come_back():
    class Pair:
        async def __aiter__(self):
            for tick in ticks(1, 2):
                yield tick

    feed = Feed(Pair())
    for _ in range(2):
        async with feed.subscribe() as subscription:
            assert await read(subscription) == [1, 2]


async def test_a_slow_subscriber_loses_its_oldest_and_others_lose_nothing():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe(maxlen=2) as slow, feed.subscribe() as quick:
        source.push(*ticks(1, 2, 3, 4, 5), None)
        assert await read(quick) == [1, 2, 3, 4, 5]
        assert await read(slow) == [4, 5]
        assert (slow.dropped, quick.dropped) == (3, 0)


async def test_a_source_that_never_waits_does_not_starve_its_readers():
    async def endless():
        n = 0.0
        while True:
            n += 1
            yield Tick("A", n, n)

    async with Feed(endless).subscribe(maxlen=4) as subscription:
        got = [(await anext(subscription)).price for _ in range(100)]
    assert got == [float(n) for n in range(1, 101)]
    assert subscription.dropped == 0


async def test_a_subscription_may_choose_its_symbols():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe("B") as chosen:
        source.push(*ticks(1), *ticks(2, symbol="B"), *ticks(3, symbol="C"), None)
        assert await read(chosen) == [2]
    assert feed.symbols == ("A", "B", "C")
    assert chosen.dropped == 0


async def test_the_error_of_the_source_reaches_every_subscriber_after_its_ticks():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe() as first, feed.subscribe() as second:
        source.push(*ticks(1), ValueError("exchange closed"))
        for subscription in (first, second):
            assert (await anext(subscription)).price == 1
            with pytest.raises(ValueError, match="exchange closed"):
                await anext(subscription)
        assert not feed.running
    assert source.closed == 1
    assert not other_tasks()


async def test_a_source_that_cannot_be_made_reaches_the_subscriber():
    async with Feed(lambda: replay("TSLA")).subscribe() as subscription:
        with pytest.raises(FeedError, match="got 'TSLA'"):
            await anext(subscription)


async def test_a_newcomer_after_the_end_starts_the_source_again():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe() as ended:
        source.push(*ticks(1), None)
        assert await read(ended) == [1]
        async with feed.subscribe() as fresh:
            source.push(*ticks(2), None)
            assert await read(fresh) == [2]
        assert await read(ended) == []
    assert (source.opened, source.closed) == (2, 2)


async def test_a_newcomer_in_the_very_moment_of_the_end_starts_the_source_again():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe() as ended:
        source.push(None)
        await settle(feed._task.done)
        async with feed.subscribe() as fresh:  # before the callbacks of the ended task have run
            source.push(*ticks(2), None)
            assert await read(fresh) == [2]
        assert await read(ended) == []


async def test_only_one_source_is_open_at_a_time():
    source = Source()
    release = asyncio.Event()
    source.on_close = release.wait
    feed = Feed(source)
    first = feed.subscribe()
    await first.__aenter__()
    await settle(lambda: source.opened == 1)
    leaving = asyncio.create_task(first.__aexit__(None, None, None))
    await settle(lambda: source.closed == 1)  # it is closing, and waits in that
    hasty = asyncio.create_task(visit(feed))
    await settle(lambda: feed.running)
    hasty.cancel()
    await asyncio.wait({hasty})
    async with feed.subscribe() as second:
        source.push(*ticks(5))
        for _ in range(10):
            await asyncio.sleep(0)
        assert source.opened == 1
        release.set()
        assert (await anext(second)).price == 5
    await leaving
    assert source.opened == 2
    assert not other_tasks()


async def visit(feed):
    async with feed.subscribe() as subscription:
        await anext(subscription)


async def test_a_cancelled_subscriber_leaves_nothing_behind():
    source = Source()
    feed = Feed(source)
    visitor = asyncio.create_task(visit(feed))
    await settle(lambda: source.opened == 1)
    visitor.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visitor
    assert source.closed == 1
    assert not feed.running
    assert not other_tasks()


async def test_a_subscriber_that_leaves_at_once_leaves_nothing_behind():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe():
        pass
    assert (source.opened, feed.running) == (0, False)
    assert not other_tasks()


async def test_when_the_reading_task_is_cancelled_from_outside_the_iterations_end():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe() as subscription:
        feed._task.cancel()
        assert await read(subscription) == []


async def test_a_source_that_swallows_its_cancellation_is_closed_all_the_same():
    closed = asyncio.Event()
    waiting = asyncio.Event()

    async def stubborn():
        try:
            while True:
                try:
                    waiting.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    yield Tick("A", 0.0, 1.0)
        finally:
            closed.set()

    feed = Feed(stubborn)
    async with feed.subscribe():
        await waiting.wait()
    assert closed.is_set()
    assert feed.published == 0
    assert not other_tasks()


async def test_an_error_in_closing_the_source_reaches_the_last_subscriber():
    source = Source()

    async def fail():
        raise OSError("cannot say goodbye")

    source.on_close = fail
    feed = Feed(source)
    with pytest.raises(OSError, match="goodbye"):
        async with feed.subscribe():
            await settle(lambda: source.opened == 1)
    assert not feed.running


async def test_leaving_ends_an_iteration_in_another_task():
    source = Source()
    feed = Feed(source)
    async with feed.subscribe() as subscription:
        reader = asyncio.create_task(read(subscription))
        source.push(*ticks(1))
        await settle(lambda: feed.published == 1)
    assert await reader in ([], [1])


async def test_a_failing_listener_is_removed_and_reported_and_the_others_hear_on():
    source = Source()
    feed = Feed(source)
    heard, reports = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

    def broken(tick):
        raise KeyError(tick.symbol)

    feed.listen(broken)
    unlisten = feed.listen(lambda tick: heard.append(tick.price))
    async with feed.subscribe() as subscription:
        source.push(*ticks(1, 2), None)
        assert await read(subscription) == [1, 2]
    assert heard == [1, 2]
    assert [type(report["exception"]) for report in reports] == [KeyError]
    unlisten()
    unlisten()
    assert "0 listeners" in repr(feed)


async def test_history_is_bounded():
    feed = Feed(lambda: replay("IBM", days_per_second=math.inf), history=10)
    async with feed.subscribe(maxlen=1000) as subscription:
        prices = await read(subscription)
    assert [tick.price for tick in feed.history] == prices[-10:]
    assert feed.published == len(prices) == 251


@pytest.mark.parametrize("source", [None, [Tick("A", 0.0, 1.0)], 5])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(FeedError, match="async iterator of ticks"):
        Feed(source)


async def test_a_source_that_returns_no_iterator_says_so():
    async def forgot_to_yield():
        return Tick("A", 0.0, 1.0)

    async with Feed(forgot_to_yield).subscribe() as subscription:
        with pytest.raises(FeedError, match="got coroutine"):
            await anext(subscription)


async def test_a_source_of_something_else_than_ticks_says_so():
    source = Source()
    async with Feed(source).subscribe() as subscription:
        source.push({"symbol": "A"})
        with pytest.raises(FeedError, match="got dict"):
            await anext(subscription)
    assert source.closed == 1


async def test_a_subscription_is_used_inside_its_block_and_once():
    source = Source()
    feed = Feed(source)
    subscription = feed.subscribe()
    with pytest.raises(FeedError, match=r"async with feed\.subscribe"):
        await anext(subscription)
    async with subscription:
        pass
    with pytest.raises(FeedError, match="entered before"):
        await subscription.__aenter__()
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)
    with pytest.raises(FeedError, match="maxlen=0"):
        feed.subscribe(maxlen=0)


async def test_subscribers_in_several_loops_share_one_reading():
    source = Source()
    feed = Feed(source)
    here, there = asyncio.get_running_loop(), asyncio.Event()
    read = []

    async def elsewhere():
        async with feed.subscribe() as subscription:
            here.call_soon_threadsafe(there.set)
            async for tick in subscription:
                read.append(tick.price)
                if tick.price == 3:
                    break

    async with feed.subscribe() as subscription:
        other = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
        await there.wait()
        assert feed.subscribers == 2
        source.push(*ticks(1, 2, 3))
        assert [(await anext(subscription)).price for _ in range(3)] == [1, 2, 3]
        await other
    assert read == [1, 2, 3]
    assert not feed.running
    assert source.opened == source.closed == 1


async def test_the_last_subscriber_ends_a_reading_that_another_loop_began():
    source = Source()
    feed = Feed(source)
    entered, go_on = threading.Event(), threading.Event()

    async def elsewhere():
        async with feed.subscribe():
            entered.set()
            await asyncio.to_thread(go_on.wait, 60)
        left.set()
        await asyncio.to_thread(stay.wait, 60)

    left, stay = threading.Event(), threading.Event()
    other = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    assert await asyncio.to_thread(entered.wait, 10)
    async with feed.subscribe():
        go_on.set()
        assert await asyncio.to_thread(left.wait, 10)
        assert feed.running
    assert source.closed == 1
    stay.set()
    await other


async def test_the_end_of_the_source_reaches_every_loop():
    source = Source()
    feed = Feed(source)
    entered = threading.Event()

    async def elsewhere():
        async with feed.subscribe() as subscription:
            entered.set()
            return await read(subscription)

    async with feed.subscribe() as subscription:
        there = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
        assert await asyncio.to_thread(entered.wait, 10)
        source.push(*ticks(1), None)
        assert await read(subscription) == await there == [1]


def test_a_loop_that_was_left_while_it_subscribed_is_told():
    feed, loop = Feed(Source()), asyncio.new_event_loop()
    subscription = feed.subscribe()

    async def elsewhere():
        async with feed.subscribe():
            pass

    loop.run_until_complete(subscription.__aenter__())
    with pytest.raises(FeedError, match="own event loop to run"):
        asyncio.run(elsewhere())
    loop.run_until_complete(subscription.__aexit__(None, None, None))
    loop.close()
    asyncio.run(elsewhere())


async def test_what_is_new_is_told_with_its_count():
    source = Source()
    feed = Feed(source, history=3)
    assert feed.since(0) == ([], 0)
    async with feed.subscribe():
        source.push(*ticks(1, 2, 3, 4))
        await settle(lambda: feed.published == 4)
    assert ([tick.price for tick in feed.since(3)[0]], feed.since(3)[1]) == ([4], 4)
    assert [tick.price for tick in feed.since(0)[0]] == [2, 3, 4]
    assert feed.since(4) == ([], 4)


async def test_reprs_say_what_is_going_on():
    source = Source()
    feed = Feed(source, name="hand")
    async with feed.subscribe(["B", "A"], maxlen=1) as subscription:
        source.push(*ticks(*range(1500)))
        await settle(lambda: feed.published == 1500)
        assert repr(feed) == "<Feed 'hand': running, 1 subscriber, 0 listeners, 1,500 ticks of A>"
        assert repr(subscription) == "<Subscription to A, B: open, 1 unread, 1499 dropped>"
    assert repr(subscription) == "<Subscription to A, B: ended, 0 unread, 1499 dropped>"
    assert "all symbols: not entered" in repr(feed.subscribe())
