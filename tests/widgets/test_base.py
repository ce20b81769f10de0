from __future__ import annotations

import asyncio
import threading

import pytest

from wslab.widgets import base
from wslab.widgets.base import WINDOW, LiveView


class Counter(LiveView):
    """Sends how often it was looked at, and notes what the page says."""

    SCRIPT = "header.js"
    RATE = 10.0

    def __init__(self, **traits):
        super().__init__(**traits)
        self.looks = 0
        self.replays = 0
        self.heard = []
        self.threads = []
        self.quiet = False

    def collect(self):
        self.looks += 1
        return None if self.quiet else ({"t": "look", "n": self.looks}, [b"\x01"])

    def replay(self):
        self.replays += 1

    def handle(self, content, buffers):  # noqa: ARG002 - the base's signature
        self.heard.append(content)
        self.threads.append(threading.current_thread())

    def text(self):
        return "a counter"

    def static_html(self):
        return "<p>a counter</p>"


class Broken(Counter):
    def collect(self):
        raise ValueError("cannot look")


def test_each_message_is_numbered_and_carries_its_buffers(page_of):
    page = page_of(Counter())
    page.view.tick(5.0)
    page.view.push({"t": "answer"})
    assert page.messages == [({"t": "look", "n": 1, "s": 1}, [b"\x01"]), ({"t": "answer", "s": 2}, [])]


def test_a_view_is_not_looked_at_more_often_than_its_rate(page_of):
    page = page_of(Counter())
    for tenth in range(100):
        page.view.tick(50 + tenth / 50)
        page.say(t="ack", s=len(page.messages))
    assert len(page.messages) == 20


def test_nothing_new_costs_no_message_and_no_turn(page_of):
    page = page_of(Counter())
    page.view.quiet = True
    page.view.tick(50.0)
    page.view.quiet = False
    page.view.tick(50.001)
    assert len(page.messages) == 1


def test_without_acknowledgement_the_window_fills_and_then_one_message_a_second_goes_out(page_of):
    page = page_of(Counter())
    for tenth in range(100):
        page.view.tick(50 + tenth / 10)
    assert WINDOW + 9 <= len(page.messages) <= WINDOW + 10


def test_an_acknowledgement_opens_the_window_again(page_of):
    page = page_of(Counter())
    for tenth in range(10):
        page.view.tick(50 + tenth / 10)
    assert len(page.messages) == WINDOW
    page.say(t="ack", s=WINDOW)
    page.view.tick(51.0)
    assert len(page.messages) == WINDOW + 1


@pytest.mark.parametrize("number", [99, -3, None, "2", [1], 1.5])
def test_an_acknowledgement_of_what_was_never_sent_changes_nothing(page_of, number):
    page = page_of(Counter())
    for tenth in range(10):
        page.view.tick(50 + tenth / 10)
    page.say(t="ack", s=number)
    page.view.tick(51.0)
    assert len(page.messages) == WINDOW


def test_a_page_that_appears_again_gets_everything_at_once(page_of):
    page = page_of(Counter())
    for tenth in range(10):
        page.view.tick(50 + tenth / 10)
    page.hello()
    page.view.tick(51.0)
    assert page.view.replays == 1
    assert len(page.messages) == WINDOW + 1


@pytest.mark.parametrize("content", [None, [], "hello", 3])
def test_what_is_no_message_is_passed_over(content):
    view = Counter()
    view._from_page(view, content, [])
    assert view.heard == []
    assert not view.attached


def test_a_view_made_outside_a_loop_answers_at_once():
    view = Counter()
    view._from_page(view, {"t": "mine"}, [])
    assert view.heard == [{"t": "mine"}]


async def test_a_message_on_another_thread_reaches_the_view_on_its_loop():
    view = Counter()
    arrived = asyncio.Event()
    view.handle = lambda content, buffers: (Counter.handle(view, content, buffers), arrived.set())
    await asyncio.to_thread(view._from_page, view, {"t": "mine"}, [])
    await asyncio.wait_for(arrived.wait(), 5)
    assert view.threads == [threading.current_thread()]


async def test_a_closed_loop_does_not_keep_a_page_from_being_heard():
    view = Counter()
    dead = asyncio.new_event_loop()
    view.bind_loop(dead)
    dead.close()
    view._from_page(view, {"t": "hello"}, [])
    view._from_page(view, {"t": "mine"}, [])
    assert (view.attached, view.heard) == (True, [{"t": "mine"}])


async def looked_at(view):
    """Wait until the ticker has looked at `view`."""
    seen = asyncio.Event()
    collect = view.collect

    def watched():
        seen.set()
        return collect()

    view.collect = watched
    await asyncio.wait_for(seen.wait(), 5)


async def test_the_ticker_starts_with_the_first_page_and_ends_with_the_last_view(page_of):
    loop_id = id(asyncio.get_running_loop())
    page = page_of(Counter())
    assert loop_id not in base._tickers
    page.hello()
    await looked_at(page.view)
    assert len(page.messages) == 1
    ticker = base._tickers[loop_id]
    page.view.close()
    ticker._timer.cancel()
    ticker._tick()
    assert ticker._timer is None
    assert loop_id not in base._tickers


async def test_a_page_that_came_before_the_loop_is_served_once_the_loop_is_bound(page_of):
    view = await asyncio.to_thread(Counter)
    page = page_of(view)
    assert view.loop is None
    page.hello()
    view.bind_loop(asyncio.get_running_loop())
    await looked_at(view)
    view.close()


async def test_a_view_that_moved_to_another_loop_leaves_the_first_ones_ticker(page_of):
    here = asyncio.get_running_loop()
    page = page_of(Counter()).hello()
    await looked_at(page.view)
    ticker = base._tickers[id(here)]
    page.view.bind_loop(asyncio.new_event_loop())
    ticker._timer.cancel()
    ticker._tick()
    assert list(ticker._views) == []
    page.view.loop.close()


async def test_a_view_that_fails_is_reported_once_and_the_others_go_on(page_of):
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    broken, sound = page_of(Broken()).hello(), page_of(Counter()).hello()
    await looked_at(sound.view)
    await looked_at(sound.view)
    assert [str(report["exception"]) for report in reports] == ["cannot look"]
    assert reports[0]["message"].startswith("Broken failed")
    broken.view.close()
    sound.view.close()


def test_what_a_front_end_without_widgets_shows():
    data, _ = Counter()._repr_mimebundle_()
    assert data["text/plain"] == "a counter"
    assert data["text/html"] == "<p>a counter</p>"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_page_gets_one_module_and_one_style_sheet():
    view = Counter()
    assert "export default liveView(" in view._esm
    assert ".wslab-bar" in view._css
