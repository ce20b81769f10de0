"""One price of one symbol at one time, and the message that carries it to a client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Tick", "percent_change"]


@dataclass(frozen=True, slots=True)
class Tick:
    """One price.

    Attributes:
        symbol: ticker symbol, such as ``"AAPL"``.
        time: seconds since the epoch, UTC: the market's time, not the time of sending.
        price: in the currency of the source; US dollars in `replay`.
        open: first price of the period, where the source has it; likewise `high`, `low` and `close`.
        high: highest price of the period.
        low: lowest price of the period.
        close: last price of the period.
        volume: shares traded in the period.
        change: per cent against the symbol's previous tick; 0.0 for its first.
        date: ISO date of `time` in UTC; worked out when it is not given.

    Example:
        >>> tick = Tick("AAPL", 0.0, 12.345, change=1.005)
        >>> tick.to_message()["data"]["timestamp"]
        '1970-01-01T00:00:00+00:00'
    """

    symbol: str
    time: float
    price: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: int | None = None
    change: float = 0.0
    date: str = ""

    def __post_init__(self) -> None:
        if not self.date:
            day = datetime.fromtimestamp(self.time, UTC).date().isoformat()
            object.__setattr__(self, "date", day)  # the way into a frozen dataclass that `dataclasses` shows

    def to_message(self) -> dict[str, Any]:
        """The tick as a JSON-able ``stock_update`` message; prices and change rounded to 2 digits.

        What the source does not know (`open`, `volume` and so on) is left out.

        Example:
            >>> Tick("IBM", 0.0, 100.126, volume=7).to_message() == {
            ...     "type": "stock_update",
            ...     "data": {
            ...         "symbol": "IBM",
            ...         "price": 100.13,
            ...         "change": 0.0,
            ...         "timestamp": "1970-01-01T00:00:00+00:00",
            ...         "date": "1970-01-01",
            ...         "volume": 7,
            ...     },
            ... }
            True
        """
        data: dict[str, Any] = {
            "symbol": self.symbol,
            "price": round(self.price, 2),
            "change": round(self.change, 2),
            "timestamp": datetime.fromtimestamp(self.time, UTC).isoformat(),
            "date": self.date,
        }
        for name in ("open", "high", "low", "close"):
            value = getattr(self, name)
            if value is not None:
                data[name] = round(value, 2)
        if self.volume is not None:
            data["volume"] = self.volume
        return {"type": "stock_update", "data": data}


def percent_change(price: float, previous: float | None) -> float:
    """Per cent from `previous` to `price`; 0.0 where there is no previous price to compare with.

    Example:
        >>> percent_change(110.0, 100.0), percent_change(110.0, None)
        (10.0, 0.0)
    """
    return (price - previous) / previous * 100.0 if previous else 0.0
