"""Real daily stock prices, shipped with the package.

`data/README.md` beside this module says where they come from, on what terms, and what was changed.
"""

from __future__ import annotations

import csv
import gzip
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from wslab.errors import FeedError
from wslab.feeds.arguments import symbol_names

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Bar", "load_stocks"]

# The precision of the shipped adjusted close.
_DIGITS = 6


class Bar(NamedTuple):
    """One trading day of one symbol.

    Attributes:
        date: ISO date, such as ``"2012-05-18"``.
        open: first price of the day in US dollars.
        high: highest price of the day.
        low: lowest price of the day.
        close: last price of the day.
        volume: shares traded, never adjusted.
    """

    date: str
    open: float
    high: float
    low: float
    close: float
    volume: int


def load_stocks(symbols: Iterable[str] | str | None = None, *, adjusted: bool = True) -> dict[str, list[Bar]]:
    """Daily prices of AAPL, FB, GOOG, IBM and MSFT up to 2013-03-01, oldest first.

    The series start where the data does: 2000-03-01 for AAPL, IBM and MSFT, and the first day of trading
    for GOOG (2004-08-19) and FB (2012-05-18).

    Args:
        symbols: which of them; all when left out.
        adjusted: scale the four prices of a day by its adjusted close over its close, so that splits and
            dividends draw no cliffs. False gives the prices as they were traded.

    Raises:
        FeedError: a symbol is not among the five.

    Example:
        >>> load_stocks("FB", adjusted=False)["FB"][0]
        Bar(date='2012-05-18', open=42.05, high=45.0, low=38.0, close=38.2318, volume=573576400)
    """
    table = _table(adjusted)
    names = tuple(table) if symbols is None else symbol_names(symbols)
    unknown = [name for name in names if name not in table]
    if unknown:
        raise FeedError(
            f"Expected symbols out of {', '.join(table)}, got {', '.join(map(repr, unknown))}.",
            remedy="Choose among those, or make up prices of any symbol with `simulate`.",
        )
    return {name: list(table[name]) for name in names}


@cache
def _table(adjusted: bool) -> dict[str, tuple[Bar, ...]]:
    bars: dict[str, list[Bar]] = {}
    packed = files("wslab.feeds").joinpath("data", "stocks.csv.gz").read_bytes()
    rows = csv.reader(gzip.decompress(packed).decode("ascii").splitlines())
    next(rows)
    for symbol, date, *prices, volume, adjusted_close in rows:
        opened, high, low, close = map(float, prices)
        # Rounding keeps order, so low <= close <= high survives the scaling.
        scale = float(adjusted_close) / close if adjusted else 1.0
        bar = Bar(
            date,
            round(opened * scale, _DIGITS),
            round(high * scale, _DIGITS),
            round(low * scale, _DIGITS),
            round(close * scale, _DIGITS),
            int(volume),
        )
        bars.setdefault(symbol, []).append(bar)
    return {symbol: tuple(days) for symbol, days in bars.items()}
