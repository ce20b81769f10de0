"""Real history, day by day, at any speed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime
from itertools import count
from typing import TYPE_CHECKING

from wslab.errors import FeedError
from wslab.feeds.arguments import check_number
from wslab.feeds.pace import Clock, Pace, Sleep
from wslab.feeds.stocks import Bar, load_stocks
from wslab.feeds.tick import Tick, percent_change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["replay"]

Day = tuple[str, list[tuple[str, Bar]]]


def replay(
    symbols: Iterable[str] | str | None = None,
    *,
    start: str | date | None = "2012-03-01",
    end: str | date | None = None,
    days_per_second: float = 5.0,
    loop: bool = False,
    adjusted: bool = True,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[Tick]:
    """Replay the shipped history: for each day one tick of every symbol that traded on it.

    The price of a tick is the day's close, and its time is 00:00 UTC of the day. Symbols may start late:
    FB joins on 2012-05-18. The pace is held against a monotonic clock, so late days are caught up with.

    Args:
        symbols: which symbols of `load_stocks`; all when left out.
        start: first day, as an ISO date or a `datetime.date`; None for the oldest there is.
        end: last day, included; None for the newest there is.
        days_per_second: trading days per second; `math.inf` for as fast as the event loop allows.
        loop: begin again after the last day. The first ticks of a round have no change.
        adjusted: as in `load_stocks`.
        clock: monotonic clock in seconds; for tests.
        sleep: what waits; for tests.

    Returns:
        An async generator; close it with ``aclose()`` when it is not read to its end.

    Raises:
        FeedError: at the call, not at the first tick: an unknown symbol, an impossible date, a range
            without a trading day, or a speed that is not above 0.

    Example:
        >>> async def closes():
        ...     days = replay("AAPL", start="2013-02-28", days_per_second=float("inf"), adjusted=False)
        ...     return [(tick.date, tick.price) async for tick in days]
        >>> asyncio.run(closes())
        [('2013-02-28', 441.4), ('2013-03-01', 430.47)]
    """
    check_number("days_per_second", days_per_second, above=0.0, finite=False)
    first, last = _iso_date("start", start), _iso_date("end", end)
    days = _days(load_stocks(symbols, adjusted=adjusted), first, last)
    return _replay(days, days_per_second, loop, Pace(clock, sleep))


async def _replay(days: list[Day], days_per_second: float, loop: bool, pace: Pace) -> AsyncIterator[Tick]:
    shown = count()
    while True:
        previous: dict[str, float] = {}
        for day, bars in days:
            await pace.until(next(shown) / days_per_second)
            moment = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
            for symbol, bar in bars:
                change = percent_change(bar.close, previous.get(symbol))
                previous[symbol] = bar.close
                yield Tick(symbol, moment, bar.close, *bar[1:], change=change, date=day)
        if not loop:
            return


def _days(stocks: dict[str, list[Bar]], first: str | None, last: str | None) -> list[Day]:
    days: dict[str, list[tuple[str, Bar]]] = {}
    for symbol, bars in stocks.items():
        for bar in bars:
            # ISO dates compare as text.
            if (first is None or first <= bar.date) and (last is None or bar.date <= last):
                days.setdefault(bar.date, []).append((symbol, bar))
    if not days:
        oldest = min(bars[0].date for bars in stocks.values())
        newest = max(bars[-1].date for bars in stocks.values())
        raise FeedError(
            f"Expected a range with trading days of {', '.join(stocks)}, got {first or 'the oldest'} to "
            f"{last or 'the newest'}.",
            remedy=f"Choose `start` and `end` between {oldest} and {newest}, in this order.",
        )
    return sorted(days.items())


def _iso_date(name: str, value: str | date | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        value = value.date()
    try:
        return (date.fromisoformat(value) if isinstance(value, str) else value).isoformat()
    except (ValueError, AttributeError) as error:
        raise FeedError(
            f"Expected an ISO date as `{name}`, got {value!r}.",
            remedy='Write it like "2012-05-18", or pass a datetime.date.',
        ) from error
