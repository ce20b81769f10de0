from __future__ import annotations

import dataclasses
import json

import pytest

from wslab.errors import FeedError
from wslab.feeds import Tick
from wslab.feeds.arguments import check_number, symbol_names
from wslab.feeds.tick import percent_change


def test_message_has_the_fields_of_a_stock_update():
    tick = Tick("AAPL", 1330560000.0, 77.123, 1.006, 2.004, 0.5, 77.123, 9, change=-1.23456)
    assert tick.to_message() == {
        "type": "stock_update",
        "data": {
            "symbol": "AAPL",
            "price": 77.12,
            "change": -1.23,
            "timestamp": "2012-03-01T00:00:00+00:00",
            "date": "2012-03-01",
            "open": 1.01,
            "high": 2.0,
            "low": 0.5,
            "close": 77.12,
            "volume": 9,
        },
    }


def test_message_leaves_out_what_is_unknown_but_keeps_zero():
    data = Tick("A", 0.0, 1.0, low=0.0, volume=0).to_message()["data"]
    assert {"open", "high", "close"}.isdisjoint(data)
    assert (data["low"], data["volume"]) == (0.0, 0)
    assert json.loads(json.dumps(data)) == data


def test_date_follows_from_the_time_in_utc_unless_given():
    assert Tick("A", 86399.9, 1.0).date == "1970-01-01"
    assert Tick("A", 86400.0, 1.0).date == "1970-01-02"
    assert Tick("A", 86400.0, 1.0, date="2000-01-01").date == "2000-01-01"


def test_a_tick_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Tick("A", 0.0, 1.0).price = 2.0


def test_change_is_per_cent_of_the_previous_price():
    assert percent_change(90.0, 100.0) == -10.0
    assert percent_change(90.0, None) == 0.0
    assert percent_change(90.0, 0.0) == 0.0


@pytest.mark.parametrize("symbols", [[], "", ["AAPL", ""], ["AAPL", 7]])
def test_symbols_must_be_named(symbols):
    with pytest.raises(FeedError, match="ticker symbols"):
        symbol_names(symbols)


def test_symbols_keep_their_order_without_repeats():
    assert symbol_names(iter(["IBM", "FB", "IBM"])) == ("IBM", "FB")
    assert symbol_names("IBM") == ("IBM",)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "5", None])
def test_a_number_out_of_range_is_refused(value):
    with pytest.raises(FeedError, match="finite number above 0 as `speed`"):
        check_number("speed", value, above=0.0)


def test_bounds_of_numbers():
    check_number("speed", float("inf"), above=0.0, finite=False)
    check_number("volatility", 0, least=0.0)
    with pytest.raises(FeedError, match="of at least 0 as `volatility`"):
        check_number("volatility", -0.1, least=0.0)
    with pytest.raises(FeedError, match="number above 0 as `speed`, got -inf"):
        check_number("speed", float("-inf"), above=0.0, finite=False)
