from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from datetime import UTC, date, datetime
from itertools import islice

import pytest

from wslab.errors import FeedError
from wslab.feeds import load_stocks, replay


class World:
    """A clock that moves only by sleeping."""

    def __init__(self):
        self.now = 50.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


async def collect(ticks, limit=None):
    got = []
    async with aclosing(ticks):
        async for tick in ticks:
            got.append(tick)
            if len(got) == limit:
                break
    return got


async def test_a_replay_gives_every_bar_of_the_range_once_in_order():
    ticks = await collect(replay(start=None, days_per_second=math.inf))
    for symbol, bars in load_stocks().items():
        mine = [tick for tick in ticks if tick.symbol == symbol]
        assert [(t.date, t.open, t.high, t.low, t.close, t.volume) for t in mine] == [
            tuple(bar) for bar in bars
        ]
        assert all(t.price == t.close for t in mine)
    assert [t.time for t in ticks] == sorted(t.time for t in ticks)


async def test_facebook_joins_on_its_first_day():
    ticks = await collect(replay(start="2012-05-17", end="2012-05-18", days_per_second=math.inf))
    by_day = {day: [t.symbol for t in ticks if t.date == day] for day in ("2012-05-17", "2012-05-18")}
    assert by_day["2012-05-17"] == ["AAPL", "GOOG", "IBM", "MSFT"]
    assert by_day["2012-05-18"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert next(t for t in ticks if t.symbol == "FB").change == 0.0


async def test_change_is_against_the_symbols_previous_day():
    ticks = await collect(
        replay(["AAPL", "IBM"], start="2013-01-02", end="2013-01-03", days_per_second=math.inf)
    )
    a, _, b, _ = ticks
    assert a.change == 0.0
    assert b.change == pytest.approx((b.price / a.price - 1) * 100)


async def test_time_is_midnight_utc_of_the_day():
    (tick,) = await collect(replay("IBM", start="2013-03-01", days_per_second=math.inf))
    assert datetime.fromtimestamp(tick.time, UTC) == datetime(2013, 3, 1, tzinfo=UTC)


async def test_days_come_at_the_asked_pace():
    world = World()
    moments = []
    async for tick in replay(
        ["AAPL", "IBM"], end="2012-03-08", days_per_second=4, clock=world.clock, sleep=world.sleep
    ):
        moments.append((tick.date, world.now - 50.0))
        world.now += 0.01  # a consumer's own time does not delay the days
    first_of_day = [
        at for (day, at), before in zip(moments, [("", 0), *moments], strict=False) if day != before[0]
    ]
    assert first_of_day == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


async def test_without_a_pause_other_tasks_still_run():
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    seen = 0
    async for _ in replay("IBM", days_per_second=math.inf):
        if ran.is_set():
            break
        seen += 1
    assert seen < 3


async def test_a_loop_starts_over_with_no_change_and_keeps_the_pace():
    world = World()
    ticks = await collect(
        replay("IBM", start="2013-02-27", loop=True, days_per_second=2, clock=world.clock, sleep=world.sleep),
        7,
    )
    days = ["2013-02-27", "2013-02-28", "2013-03-01"]
    assert [t.date for t in ticks] == [*days, *days, days[0]]
    assert [t.change == 0.0 for t in ticks] == [True, False, False, True, False, False, True]
    assert world.now - 50.0 == 3.0


async def test_dates_may_be_dates():
    asked = {"start": date(2012, 3, 1), "end": datetime(2012, 3, 2, 13, tzinfo=UTC)}
    ticks = await collect(replay("IBM", **asked, days_per_second=math.inf))
    assert [t.date for t in ticks] == ["2012-03-01", "2012-03-02"]


async def test_raw_prices_on_request():
    (tick,) = await collect(replay("AAPL", start="2013-03-01", adjusted=False, days_per_second=math.inf))
    assert tick.price == 430.47


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": "yesterday"}, "ISO date as `start`, got 'yesterday'"),
        ({"end": "2012-02-30"}, "ISO date as `end`"),
        ({"start": 2012}, "ISO date as `start`, got 2012"),
        ({"start": "2013-01-01", "end": "2012-01-01"}, "got 2013-01-01 to 2012-01-01"),
        ({"start": "2013-03-02"}, "between 2000-03-01 and 2013-03-01"),
        ({"symbols": "FB", "end": "2012-04-01"}, "between 2012-05-18 and 2013-03-01"),
        ({"days_per_second": 0}, "above 0 as `days_per_second`, got 0"),
        ({"days_per_second": math.nan}, "days_per_second"),
        ({"days_per_second": "fast"}, "days_per_second"),
        ({"symbols": ["TSLA"]}, "got 'TSLA'"),
    ],
)
def test_what_cannot_be_replayed_is_refused_at_the_call(arguments, message):
    with pytest.raises(FeedError, match=message):
        replay(**arguments)


async def test_the_default_year_covers_the_arrival_of_facebook():
    ticks = await collect(replay(days_per_second=math.inf))
    assert ticks[0].date == "2012-03-01"
    assert sum(t.symbol == "FB" for t in ticks) == 196
    assert [t.symbol for t in islice(ticks, 4)] == ["AAPL", "GOOG", "IBM", "MSFT"]
