from __future__ import annotations

import asyncio
import itertools
import math
import re
from array import array

import pytest

from wslab.feeds import Feed, Tick, simulate
from wslab.widgets.stocks import PriceTable, StocksView

NAN = math.nan


def table_of(*ticks, **options):
    table = PriceTable(**options)
    for tick in ticks:
        table.add(*tick)
    return table


def same(prices, expected):
    """NaN equals nothing, so tables are compared as text."""
    assert repr(prices) == repr(expected)


# -- aligning ----------------------------------------------------------------------------------------
def test_symbols_share_a_column_at_the_same_time():
    table = table_of(("A", 1.0, 10.0), ("B", 1.0, 20.0), ("A", 2.0, 11.0), ("B", 2.0, 21.0))
    assert table.times == [1.0, 2.0]
    assert table.prices == {"A": [10.0, 11.0], "B": [20.0, 21.0]}


def test_a_symbol_that_starts_late_has_gaps_before():
    table = table_of(("A", 1.0, 10.0), ("A", 2.0, 11.0), ("B", 3.0, 20.0))
    same(table.prices, {"A": [10.0, 11.0, NAN], "B": [NAN, NAN, 20.0]})


def test_a_tick_that_comes_a_little_late_finds_its_column():
    table = table_of(("A", 1.0, 10.0), ("A", 3.0, 11.0), ("B", 2.0, 20.0))
    assert table.times == [1.0, 2.0, 3.0]
    same(table.prices, {"A": [10.0, NAN, 11.0], "B": [NAN, 20.0, NAN]})
    assert (table.run, table.changed) == (0, 0)


def test_a_later_price_for_the_same_time_replaces_the_earlier():
    assert table_of(("A", 1.0, 10.0), ("A", 1.0, 12.0)).prices == {"A": [12.0]}


def test_a_time_that_jumps_back_begins_a_new_run():
    table = table_of(("A", 1.0, 10.0), ("B", 1.0, 20.0), ("A", 2.0, 11.0), ("A", 1.0, 9.0))
    assert (table.run, table.times, table.prices) == (1, [1.0], {"A": [9.0]})


def test_a_second_round_is_one_run_whoever_ticks_first():
    day = [("A", 1.0, 10.0), ("B", 1.0, 20.0), ("A", 2.0, 11.0), ("B", 2.0, 21.0)]
    table = table_of(*day, *day)
    assert (table.run, table.times) == (1, [1.0, 2.0])
    assert table.prices == {"A": [10.0, 11.0], "B": [20.0, 21.0]}


@pytest.mark.parametrize("time", [NAN, math.inf, -math.inf])
def test_a_time_that_is_no_number_is_ignored(time):
    assert table_of(("A", 1.0, 10.0), ("A", time, 11.0)).times == [1.0]


def test_a_price_that_is_no_number_is_a_gap():
    same(table_of(("A", 1.0, math.inf)).prices, {"A": [NAN]})


def test_old_columns_go_and_the_numbers_stay():
    table = table_of(*(("A", float(i), float(i)) for i in range(112)), columns=100)
    assert (table.start, table.end, len(table.times)) == (11, 112, 101)
    assert table.changed == 11  # what is gone cannot be sent any more
    assert table.prices["A"][0] == table.times[0] == 11.0


def test_symbols_beyond_the_limit_are_counted():
    table = table_of(("A", 1.0, 1.0), ("B", 1.0, 2.0), ("C", 1.0, 3.0), ("C", 2.0, 3.0), symbols=2)
    assert list(table.prices) == ["A", "B"]
    assert table.ignored == {"C"}


def test_the_first_changed_column_is_known():
    table = table_of(("A", 1.0, 10.0), ("A", 2.0, 11.0), ("B", 1.0, 20.0))
    table.changed = table.end
    table.add("B", 2.0, 21.0)
    assert table.changed == 1


# -- the view ----------------------------------------------------------------------------------------
class Page:
    """The page's side: puts the columns together as `stocks.js` does."""

    def __init__(self, feed):
        self.view = StocksView(feed)
        self.messages = []
        self.now = 0.0
        self.columns = {}
        self.view.send = self._receive
        self.view._dispatch({"t": "hello"}, [])

    def _receive(self, content, buffers):
        self.messages.append(content)
        times, values = array("d"), array("d")
        times.frombytes(buffers[0])
        values.frombytes(buffers[1])
        width = len(content["symbols"])
        for i, time in enumerate(times):
            row = values[i * width : (i + 1) * width]
            self.columns[content["from"] + i] = (time, dict(zip(content["symbols"], row, strict=True)))
        self.view._dispatch({"t": "ack", "s": content["s"]}, [])

    def read(self):
        first = len(self.messages)
        while True:
            before = len(self.messages)
            self.now += 0.1
            self.view.tick(self.now)
            if len(self.messages) == before:
                return self.messages[first:]


@pytest.fixture
def feed():
    return Feed(lambda: None, name="test", history=1_000_000)


def publish(feed, *ticks):
    for symbol, time, price in ticks:
        feed._publish(Tick(symbol, time, price))


def test_a_column_that_grows_later_is_sent_again(feed):
    page = Page(feed)
    publish(feed, ("A", 1.0, 10.0), ("A", 2.0, 11.0))
    page.read()
    publish(feed, ("B", 2.0, 20.0))
    (message,) = page.read()
    assert message["from"] == 1
    same(page.columns, {0: (1.0, {"A": 10.0}), 1: (2.0, {"A": 11.0, "B": 20.0})})


def test_nothing_new_sends_nothing(feed):
    page = Page(feed)
    publish(feed, ("A", 1.0, 10.0))
    assert len(page.read()) == 1
    assert page.read() == []


def test_an_empty_feed_says_who_it_is_once(feed):
    page = Page(feed)
    (message,) = page.read()
    assert (message["name"], message["running"], message["symbols"]) == ("test", False, [])
    assert page.read() == []


async def test_running_and_idle_are_told_without_a_tick(feed):
    async def silent():
        await feed_ends.wait()
        yield Tick("A", 1.0, 1.0)

    feed_ends = asyncio.Event()
    feed = Feed(silent)
    page = Page(feed)
    assert [message["running"] for message in page.read()] == [False]
    async with feed.subscribe():
        assert [message["running"] for message in page.read()] == [True]
    assert [message["running"] for message in page.read()] == [False]


def test_a_long_history_comes_in_pieces_and_whole(feed):
    publish(feed, *((symbol, float(i), i + 0.5) for i in range(5000) for symbol in "AB"))
    page = Page(feed)
    messages = page.read()
    assert len(messages) > 1
    assert [page.columns[i] for i in range(5000)] == [
        (float(i), {"A": i + 0.5, "B": i + 0.5}) for i in range(5000)
    ]
    assert messages[0]["end"] == 5000


def test_a_page_that_appears_again_gets_everything_again(feed):
    publish(feed, *(("A", float(i), 1.0) for i in range(10)))
    page = Page(feed)
    page.read()
    before, page.columns = page.columns, {}
    page.view._dispatch({"t": "hello"}, [])
    page.read()
    assert page.columns == before
    assert len(before) == 10


def test_a_loop_starts_over_in_a_new_run(feed):
    page = Page(feed)
    publish(feed, ("A", 1.0, 10.0), ("A", 2.0, 11.0))
    page.read()
    publish(feed, ("A", 1.0, 10.0))
    (message,) = page.read()
    assert (message["run"], message["from"], message["start"], message["end"]) == (1, 0, 0, 1)


def test_ticks_that_the_history_lost_leave_no_error():
    feed = Feed(lambda: None, history=3)
    page = Page(feed)
    publish(feed, *(("A", float(i), 1.0) for i in range(10)))
    page.read()
    assert [time for time, _ in page.columns.values()] == [7.0, 8.0, 9.0]


def test_a_message_of_the_page_that_is_unknown_changes_nothing(feed):
    page = Page(feed)
    page.read()
    page.view._dispatch({"t": "start", "run": 3, "symbols": ["<b>"]}, [])
    assert page.read() == []


# -- where no widget can be shown --------------------------------------------------------------------
def test_the_fallbacks_show_the_last_prices(feed):
    publish(feed, ("A", 0.0, 10.0), ("B", 86400.0, 2.0), ("A", 86400.0, 15.0))
    view = StocksView(feed)
    lines = [line.split() for line in view.text().splitlines()]
    assert lines[0] == ["Feed", "test:", "idle,", "3", "ticks"]
    assert lines[2] == ["A", "15.00", "+50.00", "%", "1970-01-02"]
    assert lines[3] == ["B", "2.00", "+0.00", "%", "1970-01-02"]
    assert "<td>15.00</td>" in view.static_html()


def test_hostile_symbols_are_escaped_in_the_fallbacks():
    feed = Feed(lambda: None, name="<script>alert(1)</script>")
    publish(feed, ("<img src=x onerror=alert(1)>\x1b[31m\u202e", 1.0, 1.0))
    view = StocksView(feed)
    html = view.static_html()
    assert "<img" not in html
    assert "<script>" not in html
    assert "&lt;img" in html
    for shown in (view.text(), html):
        assert not {"\x1b", "\u202e"} & set(shown)


# -- the colours -------------------------------------------------------------------------------------
# What each kind of colour vision makes of linear RGB, at full severity: G. M. Machado, M. M. Oliveira and
# L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009.
VISION = {
    "full": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


def linear(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def lab(rgb):
    xyz = times(TO_XYZ, [min(1.0, max(0.0, part)) for part in rgb])
    f = [
        part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116
        for part in (xyz[0] / 0.9505, xyz[1], xyz[2] / 1.089)
    ]
    return (116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2]))


def palette(name):
    found = re.search(rf"^const {name} = \[(.*)\];$", StocksView(Feed(lambda: None))._esm, re.MULTILINE)
    return re.findall(r"#[0-9a-f]{6}", found[1])


@pytest.mark.parametrize("name", ["LIGHT", "DARK"])
@pytest.mark.parametrize("vision", VISION)
def test_lines_are_told_apart_by_everybody(name, vision):
    seen = {colour: lab(times(VISION[vision], linear(colour))) for colour in palette(name)}
    assert len(seen) == 6
    closest = min(math.dist(seen[a], seen[b]) for a, b in itertools.combinations(seen, 2))
    assert closest > 18  # CIE 1976 colour difference; 2.3 is just noticeable side by side


@pytest.mark.parametrize(("name", "background"), [("LIGHT", "#ffffff"), ("DARK", "#212121")])
def test_lines_stand_out_from_the_background(name, background):
    ground = times(TO_XYZ, linear(background))[1]
    for colour in palette(name):
        light, dark = sorted((times(TO_XYZ, linear(colour))[1], ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4  # WCAG 1.4.11 asks for 3


def test_another_feed_begins_a_new_run():
    first, second = Feed(lambda: simulate(seed=1), name="one"), Feed(lambda: simulate(seed=2), name="two")
    view = StocksView(first)
    assert "one" in view.text()
    view.show(second)
    content, _ = view.collect()
    assert (content["name"], content["run"], content["symbols"]) == ("two", 1, [])
