from __future__ import annotations

import gzip
import hashlib
import itertools
import re
from importlib.resources import files

import pytest

from wslab.errors import FeedError
from wslab.feeds import load_stocks

DATA = files("wslab.feeds") / "data"
ROWS = {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}


def test_the_table_is_the_one_its_readme_describes():
    packed = (DATA / "stocks.csv.gz").read_bytes()
    text = gzip.decompress(packed)
    readme = (DATA / "README.md").read_text("utf-8")
    assert (
        hashlib.sha256(text).hexdigest() == "d628a15d24d5e0954396e3840ced9fb0b63659899673091ae13737b6782c18ee"
    )
    assert hashlib.sha256(text).hexdigest() in readme
    assert packed[4:8] == b"\0\0\0\0"  # no modification time, so the same text gives the same file
    for symbol, rows in ROWS.items():
        bars = load_stocks(symbol)[symbol]
        row = re.search(rf"^\| {symbol} \| \w+ \| (\S+) \| (\S+) \| (\d+) \|$", readme, re.MULTILINE)
        assert row
        assert row.groups() == (bars[0].date, bars[-1].date, str(rows))


def test_every_row_is_there():
    stocks = load_stocks()
    assert {symbol: len(bars) for symbol, bars in stocks.items()} == ROWS
    assert stocks["GOOG"][0].date == "2004-08-19"
    assert stocks["FB"][0].date == "2012-05-18"
    assert {bars[-1].date for bars in stocks.values()} == {"2013-03-01"}


@pytest.mark.parametrize("adjusted", [True, False])
def test_prices_are_plausible_and_days_in_order(adjusted):
    for bars in load_stocks(adjusted=adjusted).values():
        dates = [bar.date for bar in bars]
        assert dates == sorted(set(dates))
        for bar in bars:
            assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
            assert bar.volume > 0


def test_adjusting_removes_the_cliff_of_a_split():
    # Apple split its shares 2 to 1 on 2005-02-28.
    def worst_day(adjusted):
        bars = [b for b in load_stocks("AAPL", adjusted=adjusted)["AAPL"] if b.date.startswith("2005")]
        return min(b.close / a.close for a, b in itertools.pairwise(bars))

    assert worst_day(adjusted=False) < 0.55
    assert worst_day(adjusted=True) > 0.85


def test_adjusting_scales_a_day_as_a_whole_and_leaves_the_volume():
    raw, adjusted = (load_stocks("IBM", adjusted=flag)["IBM"][0] for flag in (False, True))
    assert adjusted.close == 73.667719
    assert adjusted.open / raw.open == pytest.approx(adjusted.close / raw.close, rel=1e-6)
    assert adjusted.volume == raw.volume


def test_a_caller_may_change_its_lists():
    load_stocks("FB")["FB"].clear()
    assert len(load_stocks("FB")["FB"]) == 196


def test_an_unknown_symbol_is_told_the_known_ones():
    with pytest.raises(FeedError, match="AAPL, FB, GOOG, IBM, MSFT, got 'TSLA'"):
        load_stocks(["AAPL", "TSLA"])
