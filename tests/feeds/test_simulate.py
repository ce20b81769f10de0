from __future__ import annotations

import itertools
import math
import random
import statistics
from contextlib import aclosing

import pytest

from wslab.errors import FeedError
from wslab.feeds import simulate

FAST = {"speed": math.inf}


async def collect(ticks, limit):
    got = []
    async with aclosing(ticks):
        async for tick in ticks:
            got.append(tick)
            if len(got) == limit:
                break
    return got


async def test_equal_seeds_give_equal_ticks():
    random.seed(1)
    first = await collect(simulate(seed=7, **FAST), 200)
    random.seed(2)  # the module's shared generator has no say
    assert await collect(simulate(seed=7, **FAST), 200) == first
    assert await collect(simulate(seed=8, **FAST), 200) != first


async def test_the_path_of_a_symbol_does_not_depend_on_the_others():
    alone = await collect(simulate("B", **FAST), 20)
    among = await collect(simulate(["A", "B", "C"], **FAST), 60)
    assert [t for t in among if t.symbol == "B"] == alone


async def test_the_returns_have_the_asked_drift_and_volatility():
    year = 1 / 250
    ticks = await collect(
        simulate("A", drift=0.5, volatility=0.4, years_per_tick=year, start_prices={"A": 100}, **FAST), 5001
    )
    returns = [math.log(b.price / a.price) for a, b in itertools.pairwise(ticks)]
    # 5000 seeded samples: the bounds are four standard errors wide and the outcome never changes.
    assert statistics.stdev(returns) == pytest.approx(0.4 * math.sqrt(year), rel=0.04)
    assert statistics.fmean(returns) == pytest.approx(
        (0.5 - 0.08) * year, abs=4 * 0.4 * math.sqrt(year / 5000)
    )


async def test_without_volatility_only_the_drift_is_left():
    ticks = await collect(
        simulate("A", drift=0.1, volatility=0, years_per_tick=1, start_prices={"A": 100}, **FAST), 3
    )
    assert [t.price for t in ticks] == pytest.approx([100, 100 * math.exp(0.1), 100 * math.exp(0.2)])
    assert ticks[1].change == pytest.approx((math.exp(0.1) - 1) * 100)


async def test_high_and_low_hold_what_was_seen_and_open_stays():
    ticks = await collect(simulate("A", **FAST), 100)
    prices = [t.price for t in ticks]
    for n, tick in enumerate(ticks, 1):
        assert (tick.open, tick.high, tick.low) == (prices[0], max(prices[:n]), min(prices[:n]))


async def test_the_clock_of_the_ticks_is_simulated_and_the_pace_is_kept():
    now = 0.0
    ticks = []

    async def sleep(seconds):
        nonlocal now
        now += seconds

    async for tick in simulate("A", interval=0.5, start=1000.0, speed=2, clock=lambda: now, sleep=sleep):
        ticks.append((tick.time, now))
        if len(ticks) == 4:
            break
    assert ticks == [(1000.0, 0.0), (1000.5, 0.25), (1001.0, 0.5), (1001.5, 0.75)]


async def test_prices_never_leave_what_a_quote_can_show():
    wild = await collect(simulate("A", volatility=1e200, years_per_tick=10, **FAST), 50)
    rising = await collect(simulate("A", volatility=0, drift=1e6, years_per_tick=10, **FAST), 50)
    assert all(0.0099 < t.price < 1.0001e9 and math.isfinite(t.change) for t in [*wild, *rising])
    assert rising[-1].price == pytest.approx(1e9)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"interval": 0}, "interval"),
        ({"volatility": -1}, "volatility"),
        ({"drift": math.nan}, "drift"),
        ({"start": math.inf}, "start"),
        ({"years_per_tick": 0}, "years_per_tick"),
        ({"speed": 0}, "speed"),
        ({"start_prices": {"IBM": 0}}, r"start_prices\['IBM'\]"),
        ({"symbols": []}, "ticker symbols"),
    ],
)
def test_impossible_numbers_are_refused_at_the_call(arguments, name):
    with pytest.raises(FeedError, match=name):
        simulate(**arguments)
