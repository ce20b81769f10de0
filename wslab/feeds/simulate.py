"""Made-up prices that move like real ones and are the same for the same seed.

Theory of operation. Each symbol follows a geometric Brownian motion, the model behind the Black-Scholes
formula (F. Black, M. Scholes, "The Pricing of Options and Corporate Liabilities", Journal of Political
Economy 81, 1973): over a time dt in years the logarithm of the price moves by
``(drift - volatility² / 2) · dt + volatility · √dt · Z`` with Z standard normal. That is
exact for any dt, so the size of the step is a choice, not an error.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from itertools import count
from typing import TYPE_CHECKING

from wslab.feeds.arguments import check_number, symbol_names
from wslab.feeds.pace import Clock, Pace, Sleep
from wslab.feeds.tick import Tick, percent_change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

__all__ = ["TRADING_MINUTE", "simulate"]

TRADING_MINUTE = 1 / (252 * 390)
"""A minute of trading, in years of 252 trading days of 390 minutes."""

# What a quote can show: beyond it a price would be 0.00, or no longer a finite number.
_LOWEST, _HIGHEST = 0.01, 1e9


def simulate(
    symbols: Iterable[str] | str = ("AAPL", "FB", "GOOG", "IBM", "MSFT"),
    *,
    seed: int | str = 0,
    interval: float = 0.1,
    volatility: float = 0.3,
    drift: float = 0.05,
    start_prices: Mapping[str, float] | None = None,
    start: float = 1_735_828_200.0,
    years_per_tick: float = TRADING_MINUTE,
    speed: float = 1.0,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[Tick]:
    """Simulate prices for ever: every `interval` one tick of each symbol.

    Equal arguments give equal ticks, times included. The path of a symbol depends on the seed and its own
    name only, so adding a symbol leaves the others as they were.

    Args:
        symbols: any names; they need not exist.
        seed: chooses the paths.
        interval: seconds between two ticks of a symbol, on the ticks' clock and, at speed 1, on yours.
        volatility: standard deviation of the yearly logarithmic return; 0.3 is usual for a share.
        drift: mean yearly return; 0.05 is 5 %.
        start_prices: first price by symbol; the others start between 50 and 500, as the seed says.
        start: time of the first ticks in seconds since the epoch; 2025-01-02 14:30 UTC by default.
        years_per_tick: how far the market moves from tick to tick, in years. By default a minute of
            trading, so that prices visibly move within seconds and stay plausible for hours.
        speed: how many seconds of `interval` pass in one second; `math.inf` for as fast as the event loop
            allows.
        clock: monotonic clock in seconds; for tests.
        sleep: what waits; for tests.

    Returns:
        An async generator without an end; close it with ``aclose()``.

    Raises:
        FeedError: at the call: a number is out of its range.

    Example:
        >>> async def first_price():
        ...     async for tick in simulate("ACME", start_prices={"ACME": 100.0}):
        ...         return tick.date, tick.price
        >>> asyncio.run(first_price())
        ('2025-01-02', 100.0)
    """
    names = symbol_names(symbols)
    check_number("interval", interval, above=0.0)
    check_number("years_per_tick", years_per_tick, above=0.0)
    check_number("start", start)
    check_number("speed", speed, above=0.0, finite=False)
    check_number("volatility", volatility, least=0.0)
    check_number("drift", drift)
    mean = (drift - volatility * volatility / 2) * years_per_tick
    deviation = volatility * math.sqrt(years_per_tick)
    walks = []
    for name in names:
        # Text seeds are hashed by `random` itself and so are the same in every process.
        rng = random.Random(f"{seed}/{name}")  # noqa: S311 - prices to look at, no secret
        drawn = round(rng.uniform(50.0, 500.0), 2)
        price = (start_prices or {}).get(name, drawn)
        check_number(f"start_prices[{name!r}]", price, least=_LOWEST)
        times = (start + step * interval for step in count())
        walks.append(_walk(name, price, rng, mean=mean, deviation=deviation, times=times))
    return _simulate(walks, interval / speed, Pace(clock, sleep))


def _walk(
    name: str, price: float, rng: random.Random, *, mean: float, deviation: float, times: Iterator[float]
) -> Iterator[Tick]:
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    opened = highest = lowest = price
    change = 0.0
    for moment in times:
        highest, lowest = max(highest, price), min(lowest, price)
        yield Tick(name, moment, price, open=opened, high=highest, low=lowest, change=change)
        log_price = math.log(price) + rng.gauss(mean, deviation)
        following = math.exp(min(max(log_price, low), high))
        price, change = following, percent_change(following, price)


async def _simulate(walks: list[Iterator[Tick]], seconds: float, pace: Pace) -> AsyncIterator[Tick]:
    for round_ in count():
        await pace.until(round_ * seconds)
        for walk in walks:
            yield next(walk)
