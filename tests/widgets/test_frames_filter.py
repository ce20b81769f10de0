from __future__ import annotations

import asyncio
import json
import struct

import pytest

from wslab.widgets import frames_filter as module
from wslab.widgets.frames import FramesView
from wslab.widgets.frames_filter import FrameFilters, passing
from wslab.wire import ConnectionTable, FrameTable, Opcode, Recorder, encode_frame
from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.query import Query

KEY = bytes.fromhex("37fa213d")
DEFLATED = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


class Bench:
    """A view with one page, and that page's knowledge of what passes."""

    def __init__(self, page_of, **recorder):
        self.recorder = Recorder(**recorder)
        self.connection = ConnectionTable(self.recorder).open("127.0.0.1:50000")
        self.frames = FrameTable(self.recorder)
        self.view = FramesView(self.frames)
        self.page = page_of(self.view).hello()
        self.ranges = []

    def say(self, *texts, kind=Opcode.TEXT, **more):
        for text in texts:
            self.connection.sent.feed(encode_frame(kind, text.encode(), **more))

    def ask(self, text, *, name=7, n=1, start=0):
        """Ask for a filter; the answers."""
        before = len(self.page.messages)
        self.page.say(**{"t": "filter", "id": name, "n": n, "text": text, "from": start})
        return [content for content, _ in self.page.messages[before:]]

    def passed(self, name=7):
        """The numbers that one tick tells of a filter."""
        found = []
        for content, buffers in self.page.look():
            for match, buffer in zip(content.get("matches", []), buffers[3:], strict=True):
                if match["id"] != name:
                    continue
                self.ranges.append((match["first"], match["next"]))
                numbers = [number for (number,) in struct.iter_unpack("<I", buffer)]
                late = match.get("late", 0)
                found += [match["first"] + number for number in numbers[: len(numbers) - late]]
                found += [match["base"] + number for number in numbers[len(numbers) - late :]]
        return found


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch):
    """However slow the machine, a turn is long enough."""
    monkeypatch.setattr("wslab.widgets.frames._FILTERING", 60.0)


@pytest.fixture
def bench(page_of):
    return Bench(page_of)


def test_a_filter_tells_which_frames_pass_and_then_those_of_new_ones(bench):
    bench.say("one", "two", "three")
    assert bench.ask('text contains "t"') == [{"t": "filter", "id": 7, "n": 1, "g": 1, "first": 0, "s": 1}]
    assert bench.passed() == [1, 2]
    bench.say("four", "ten")
    assert bench.passed() == [4]
    assert bench.ranges == [(0, 3), (3, 5)]
    assert bench.page.look() == []


def test_new_matches_travel_with_their_frames(bench):
    bench.ask("opcode==ping")
    bench.passed()
    bench.say("", kind=Opcode.PING)
    ((content, buffers),) = bench.page.look()
    assert (content["first"], len(buffers), struct.unpack("<I", buffers[3])) == (0, 4, (0,))


def test_a_mistake_is_answered_with_its_place_and_changes_nothing(bench):
    bench.say("one")
    bench.ask("opcode==text")
    (answer,) = bench.ask('len=="x"', n=2)
    assert answer["error"] == {
        "position": 5,
        "message": "Expected a number for len, got the text 'x'.",
    }
    (answer,) = bench.ask("lenght>2", n=3)
    assert answer["error"]["message"].endswith("Did you mean len?")
    assert "\n" not in answer["error"]["message"]
    assert bench.passed() == [0]


def test_every_mistake_has_a_place_within_the_filter_and_no_terminal_lines(bench, hostile):
    for text in ("(", "len==", "nope", f'text=="{hostile}', f"len=={hostile}", 'text matches "("', "!" * 300):
        (answer,) = bench.ask(text)
        error = answer["error"]
        assert 0 <= error["position"] <= len(text), text
        assert "^" not in error["message"].rstrip("^"), text
        json.dumps(answer)


def test_a_new_filter_replaces_the_old_one_and_an_empty_one_ends_it(bench):
    bench.say("one", "two")
    bench.ask('text=="one"')
    bench.ask('text=="two"', n=2)
    assert bench.passed() == [1]
    assert bench.ask("  ", n=3) == []
    bench.say("two")
    ((content, buffers),) = bench.page.look()
    assert "matches" not in content
    assert len(buffers) == 3


def test_each_rendering_has_its_own(bench):
    bench.say("one", "two")
    bench.ask('text=="one"', name=1)
    bench.ask('text=="two"', name=2)
    ((content, buffers),) = bench.page.look()
    assert [(match["id"], match["next"]) for match in content["matches"]] == [(1, 2), (2, 2)]
    assert buffers[3:] == [struct.pack("<I", 0), struct.pack("<I", 1)]


def test_of_too_many_the_oldest_ends_and_is_told(bench):
    for name in range(module.MAX_FILTERS):
        bench.ask("fin", name=name)
    ended, _ = bench.ask("fin", name=100)
    assert (ended["id"], ended["error"]["position"]) == (0, -1)
    assert "Apply it again" in ended["error"]["message"]
    assert len(bench.ask("len>1", name=100, n=2)) == 1


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"id": 1, "n": 1},
        {"id": 1, "n": 1, "text": 5},
        {"id": "1", "n": 1, "text": "fin"},
        {"id": True, "n": 1, "text": "fin"},
        {"id": 1, "n": 1.5, "text": "fin"},
        {"id": -1, "n": 1, "text": "fin"},
        {"id": 2**53, "n": 1, "text": "fin"},
        {"id": 1, "n": 1, "text": "fin", "from": None},
        {"id": [], "n": 1, "text": "fin"},
    ],
)
def test_what_is_no_request_is_not_answered(bench, content):
    bench.page.say(t="filter", **content)
    assert bench.page.messages == []


def test_after_a_hello_a_page_asks_again_and_goes_on_where_it_was(bench):
    bench.say("one", "two")
    bench.ask("fin")
    assert bench.passed() == [0, 1]
    bench.page.hello()
    ((content, _),) = bench.page.look()
    assert (content["g"], "matches" in content) == (2, False)
    bench.say("three")
    bench.ask("fin", start=2)
    assert bench.passed() == [2]
    assert bench.ranges[-1] == (2, 3)


def test_frames_that_the_ring_has_lost_are_not_looked_at_and_counted(page_of):
    bench = Bench(page_of, frames=8)
    bench.say(*"abcdefghijkl")
    (answer,) = bench.ask("fin")
    assert answer["first"] == 4
    bench.passed()
    bench.say(*"mnopqrstuvwxyz")
    (content,) = [content for content, _ in bench.page.look()]
    assert (content["matches"][0]["missed"], content["matches"][0]["next"]) == (6, 26)


def test_no_frame_is_told_of_before_the_page_has_it(bench, monkeypatch):
    monkeypatch.setattr("wslab.widgets.frames._BATCH", 10)
    bench.ask("fin")
    bench.say(*"x" * 25)
    assert [len(bench.passed()) for _ in range(3)] == [10, 10, 5]
    assert [stop for _, stop in bench.ranges] == [10, 20, 25]


def test_a_turn_ends_at_its_deadline_but_not_before_one_frame(bench):
    bench.say(*"x" * 100)
    records, times = bench.recorder.records(0, 100), iter(range(1000))
    found, parts, count = passing(Query("seq>=2"), records, 5, clock=lambda: next(times))
    assert (found, parts, count) == ([2, 3, 4, 5], [], 6)
    assert passing(Query("fin"), records, -1)[2] == 1


def test_a_message_takes_no_more_than_its_share_of_matches(bench, monkeypatch):
    monkeypatch.setattr(module, "MAX_MATCHES", 30)
    bench.say(*"x" * 100)
    bench.ask("fin")
    found = [bench.passed() for _ in range(5)]
    assert [len(numbers) for numbers in found] == [30, 30, 30, 10, 0]
    assert [number for numbers in found for number in numbers] == list(range(100))


def test_a_page_that_does_not_answer_holds_the_filter(bench, monkeypatch):
    monkeypatch.setattr(module, "MAX_MATCHES", 30)
    filters = FrameFilters(bench.frames)
    bench.say(*"x" * 100)
    filters.ask({"id": 1, "n": 1, "text": "fin"})
    for _ in range(5):
        filters.advance(100, seconds=1.0)
    assert not filters.behind(100)
    ((match,), (buffer,)) = filters.take()
    assert (match["next"], len(buffer)) == (30, 120)
    assert filters.behind(100)


def test_a_fragment_passes_when_its_message_has_ended_and_does(bench):
    bench.ask('text=="Hello, you"')
    bench.say("Hello, ", fin=False)
    assert bench.passed() == []
    bench.say("you", kind=Opcode.CONTINUATION)
    bench.say("Hello, you", "Hello")
    assert sorted(bench.passed()) == [0, 1, 2]
    assert bench.passed() == []
    assert [frame.seq for frame in bench.frames.where('text=="Hello, you"')] == [0, 1, 2]


def test_a_compressed_frame_is_asked_for_what_it_says(bench):
    codec = PerMessageDeflate()
    bench.connection.response = DEFLATED
    for text in ("tea and cake", "tea", "tea and cake"):
        bench.connection.sent.feed(encode_frame(Opcode.TEXT, codec.compress(text.encode()), rsv=4))
    bench.ask('text contains "cake"')
    assert bench.passed() == [0, 2]
    bench.ask('!(text contains "cake")', n=2)
    assert bench.passed() == [1]


def test_a_filter_that_raises_ends_alone(bench, monkeypatch):
    def fault(*_):
        raise ZeroDivisionError("<b>oops</b>")

    bench.say("one")
    bench.ask("fin", name=1)
    with monkeypatch.context() as patch:
        patch.setattr(Query, "__call__", fault)
        bench.ask('text=="one"', name=2)
        (ended, _), (content, _) = bench.page.look()
    assert (ended["id"], ended["error"]["position"]) == (2, -1)
    assert "ZeroDivisionError: <b>oops</b>" in ended["error"]["message"]
    assert [match["id"] for match in content["matches"]] == [1]
    bench.say("two")
    assert bench.passed(1) == [1]


async def test_on_a_loop_older_frames_are_gone_through_between_the_ticks(page_of, monkeypatch):
    monkeypatch.setattr("wslab.widgets.frames._FILTERING", 0.0)  # a turn is one frame
    monkeypatch.setattr("wslab.widgets.frames._RESTING", 0.0)
    bench = Bench(page_of)
    bench.view.bind_loop(asyncio.get_running_loop())
    monkeypatch.setattr(bench.view, "tick", lambda _now: None)  # nothing else goes on
    bench.say(*"x" * 40)
    bench.view.collect()
    bench.ask("fin")
    there, turn = asyncio.Event(), bench.view._filter_on

    def filter_on():
        turn()
        if not bench.view._filters.behind(40):
            there.set()

    monkeypatch.setattr(bench.view, "_filter_on", filter_on)
    bench.view.collect()
    async with asyncio.timeout(10):
        await there.wait()
    content, buffers = bench.view.collect()
    assert (content["matches"][0]["next"], len(buffers[3])) == (40, 39 * 4)  # one was told before
    bench.view.close()


async def test_on_a_loop_messages_are_put_together_in_a_thread(page_of):
    bench = Bench(page_of)
    bench.view.bind_loop(asyncio.get_running_loop())
    bench.say("Hel", fin=False)
    bench.say("lo", kind=Opcode.CONTINUATION)
    bench.ask('text=="Hello"')
    bench.view.collect()
    async with asyncio.timeout(10):
        await asyncio.wait([bench.view._deciding])
    told = bench.view.collect()[0]["matches"]
    assert (told[0]["late"], told[0]["base"]) == (2, 0)
    bench.view.close()
