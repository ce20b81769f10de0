"""Stock prices as a live chart."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, ClassVar

from wslab.feeds.tick import percent_change
from wslab.widgets.base import LiveView, Message
from wslab.wire.shown import html_table, text_table

if TYPE_CHECKING:
    from wslab.feeds import Feed

__all__ = ["PriceTable", "StocksView"]

_VALUES = 6_000  # numbers a message, 48 KB: 15 a second stay below 1 MB/s, Jupyter's limit for streams
_SYMBOLS = 24  # more lines than anybody can tell apart


class PriceTable:
    """Ticks as one column a time and one row a symbol, NaN where a symbol has no tick.

    A chart wants its series aligned; ticks come one by one, several symbols may share a time, some
    start late, and some come a little late. A symbol whose own time jumps back begins a new run: the
    source loops or was started anew.

    Args:
        columns: how many times are kept; up to a tenth more for a while, so that most ticks move nothing.
        symbols: how many symbols are kept; ticks of others are ignored.

    Attributes:
        run: how often the time has jumped back.
        start: the number of the first kept column, counted from the run's first.
        times: seconds since the epoch, ascending.
        prices: for each symbol as many prices as there are times.
        ignored: symbols that found no room.
        changed: the number of the first column that was touched since somebody set this.

    Example:
        >>> table = PriceTable()
        >>> for tick in (("IBM", 1.0, 10.0), ("IBM", 2.0, 11.0), ("FB", 2.0, 38.0)):
        ...     table.add(*tick)
        >>> table.times, table.prices
        ([1.0, 2.0], {'IBM': [10.0, 11.0], 'FB': [nan, 38.0]})
    """

    def __init__(self, columns: int = 20_000, symbols: int = _SYMBOLS) -> None:
        self._columns = columns
        self._symbols = symbols
        self._latest: dict[str, float] = {}
        self.run = 0
        self.start = 0
        self.times: list[float] = []
        self.prices: dict[str, list[float]] = {}
        self.ignored: set[str] = set()
        self.changed = 0

    @property
    def end(self) -> int:
        """The number after the last column's."""
        return self.start + len(self.times)

    def add(self, symbol: str, time: float, price: float) -> None:
        """Put one price where it belongs; a later price for the same time replaces the earlier.

        A time that is no finite number is ignored, such a price is a gap.
        """
        if not math.isfinite(time):
            return
        if time < self._latest.get(symbol, -math.inf) or (self.times and time < self.times[0]):
            self.restart()
        row = self.prices.get(symbol)
        if row is None:
            if len(self.prices) >= self._symbols:
                self.ignored.add(symbol)
                return
            row = self.prices[symbol] = [math.nan] * len(self.times)
        self._latest[symbol] = time
        column = bisect_left(self.times, time)
        if column == len(self.times) or self.times[column] != time:
            self.times.insert(column, time)
            for prices in self.prices.values():
                prices.insert(column, math.nan)
        row[column] = price if math.isfinite(price) else math.nan
        self.changed = min(self.changed, self.start + column)
        if len(self.times) > self._columns * 1.1:
            self._trim(len(self.times) - self._columns)

    def ends(self, symbol: str) -> tuple[float, float]:
        """The first and the last price kept of `symbol`; NaN where there is none."""
        known = [price for price in self.prices[symbol] if not math.isnan(price)]
        return (known[0], known[-1]) if known else (math.nan, math.nan)

    def restart(self) -> None:
        """Forget everything: a new run begins."""
        self.run += 1
        self.start = self.changed = 0
        self.times.clear()
        self.prices.clear()
        self.ignored.clear()
        self._latest.clear()

    def _trim(self, count: int) -> None:
        self.start += count
        del self.times[:count]
        for prices in self.prices.values():
            del prices[:count]
        self.changed = max(self.changed, self.start)


class StocksView(LiveView):
    """A feed's prices as lines, with a tile for each symbol.

    Theory of operation. Ticks are read from the feed's history by a cursor and aligned here
    (`PriceTable`). A message carries some columns, numbered from the run's first: the page puts them
    where they belong, so that a replay changes nothing in a page that has them already, and asks for a
    replay when it finds a gap.

    Kernel → page: ``{"t": "prices", "run", "start", "from", "end", "symbols", "ignored", "name",
    "running", "ticks"}`` with two buffers of float64, native order: the times, and the prices column by
    column, NaN for none.

    Args:
        feed: where the ticks come from; it is only read, and watching it does not start it.

    Example:
        >>> from wslab.feeds import Feed, replay
        >>> print(StocksView(Feed(replay, name="history")).text())
        Feed history: idle, no ticks yet
    """

    SCRIPT = "stocks.js"
    STYLES: ClassVar[tuple[str, ...]] = ("stocks.css",)
    VENDORED: ClassVar[tuple[str, ...]] = ("uPlot.iife.min.js",)

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._cursor = 0
        self._table = PriceTable()
        self._sent_state: tuple[object, ...] = ()
        super().__init__()

    def show(self, feed: Feed) -> None:
        """Show another feed from now on, from its own beginning."""
        self._feed = feed
        self._cursor = 0
        self._table.restart()

    def replay(self) -> None:
        """Send every column again."""
        self._table.changed = self._table.start
        self._sent_state = ()

    def collect(self) -> Message | None:
        """The next columns that are new or changed, as many as fit a message."""
        self._read()
        table, feed = self._table, self._feed
        state = (feed.name, feed.running, table.run, len(table.ignored))
        if table.changed >= table.end and state == self._sent_state:
            return None
        self._sent_state = state
        begin, rows = table.changed, list(table.prices.values())
        end = min(table.end, begin + max(1, _VALUES // (len(rows) + 1)))
        columns = slice(begin - table.start, end - table.start)
        # `zip` turns rows of symbols into columns of times.
        values = array(
            "d", (price for column in zip(*(row[columns] for row in rows), strict=True) for price in column)
        )
        table.changed = end
        content = {
            "t": "prices",
            "run": table.run,
            "start": table.start,
            "from": begin,
            "end": table.end,
            "symbols": list(table.prices),
            "ignored": len(table.ignored),
            "name": feed.name,
            "running": feed.running,
            "ticks": feed.published,
        }
        return content, [array("d", table.times[columns]).tobytes(), values.tobytes()]

    def _read(self) -> None:
        ticks, self._cursor = self._feed.since(self._cursor)
        for tick in ticks:
            self._table.add(tick.symbol, tick.time, tick.price)

    _COLUMNS = ("symbol", "price", "change", "at")

    def _cells(self) -> list[tuple[str, ...]]:
        self._read()
        cells: list[tuple[str, ...]] = []
        dates = {tick.symbol: tick.date for tick in list(self._feed.history)}
        for symbol in self._table.prices:
            first, last = self._table.ends(symbol)
            cells.append(
                (symbol, f"{last:,.2f}", f"{percent_change(last, first):+.2f} %", dates.get(symbol, ""))
            )
        return cells

    def _title(self) -> str:
        feed = self._feed
        ticks = (
            f"{feed.published:,} tick{'' if feed.published == 1 else 's'}"
            if feed.published
            else "no ticks yet"
        )
        return f"Feed {feed.name}: {'running' if feed.running else 'idle'}, {ticks}".replace(
            "Feed :", "Feed:"
        )

    def text(self) -> str:
        """The last price of each symbol, and its change since the first one kept."""
        cells = self._cells()
        return f"{self._title()}\n{text_table(self._COLUMNS, cells)}" if cells else self._title()

    def static_html(self) -> str:
        """The same as a static HTML table, every value escaped."""
        return html_table(self._title(), self._COLUMNS, self._cells())
