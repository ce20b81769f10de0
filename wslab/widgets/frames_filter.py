"""The display filters of the frames view: read here, applied in slices, told in numbers.

Theory of operation. A rendering of the view has at most one filter, in the language of
`wslab.wire.query`, and asks for it with ``{"t": "filter", "id": …, "n": …, "text": …, "from": …}``: `id`
is the rendering's own random number, `n` counts its filters, so that it can tell an answer from one to
an earlier filter, and `from` is the first frame to look at. The answer has where to it is heard, or the
mistake and its place; a filter with a mistake changes nothing, an empty one ends the one before.

A filter follows the frames that the page has: it never looks at one that was not sent yet. It goes
through them a few milliseconds at a time, and stops when it has found as many as one message takes;
so a page that does not keep up holds it, as it holds the frames. What it found travels beside the
frames, as little-endian u32 that count from the first frame it looked at.

Where a filter asks for content, a fragment or a compressed frame passes if its message does; where it
asks for the line that received it, so does any received frame. These are put aside, and asked about
together, in a thread, again and again until their messages have ended
(`wslab.widgets.frames_messages.decide`); those that pass are told as `late`, behind the others in the same
buffer, counted from `base`.

A page that is closed says nothing. So all filters end with the next ``hello``, whoever says it, and
pages that are still there ask again when they see the new `generation` on a batch of frames.
"""

from __future__ import annotations

import struct
from time import perf_counter
from typing import TYPE_CHECKING, Any

from wslab.widgets.frames_messages import needs_message
from wslab.wire.query import Query, QueryError
from wslab.wire.query.fields import FIELDS
from wslab.wire.recorded import RecordedFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wslab.wire.recorder import Record
    from wslab.wire.tables import FrameTable

    Clock = Callable[[], float]

__all__ = ["MAX_FILTERS", "MAX_MATCHES", "FrameFilters", "RunningFilter", "filter_fields", "passing"]

MAX_FILTERS = 16
"""Filters of one view at a time; the oldest one ends then, and its page is told."""
MAX_MATCHES = 20_000
"""Matches of one filter in one message."""

_SLICE = 256  # records copied from the ring at a time
_MAX_RANGE = 2**31  # numbers in a range are told in 32 bits
_MAX_WAITING = 4_096  # parts of messages that have not ended: the last ones that came
_MAX_SAFE = 2**53  # from here on a number of the page's is no longer exact


def passing(
    query: Query, records: Sequence[Record], deadline: float, clock: Clock = perf_counter
) -> tuple[list[int], list[int], int]:
    """Go through `records` in their order until `deadline`, but at least through one.

    Args:
        query: the filter.
        records: as `Recorder.records` returns them.
        deadline: what `clock` says when it is time to stop.
        clock: a monotonic one.

    Returns:
        The sequence numbers of those that pass, of those whose message must be asked, and how many were
        looked at.

    Example:
        >>> from wslab.wire import ConnectionTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> ConnectionTable(recorder).open("127.0.0.1:50000").sent.feed(encode_frame(9) + encode_frame(1))
        >>> passing(Query("opcode==text"), recorder.records(0, 2), float("inf"))
        ([1], [], 2)
    """
    found: list[int] = []
    parts: list[int] = []
    test_record = query.test_record
    certain = test_record is not None and query.exact
    for count, record in enumerate(records, 1):
        if test_record is None or test_record(record):
            frame = RecordedFrame.from_record(record)
            if certain:
                found.append(record.seq)
            elif needs_message(query, frame):
                parts.append(record.seq)
            elif query(frame):
                found.append(record.seq)
        if clock() >= deadline:
            return found, parts, count
    return found, parts, len(records)


def filter_fields() -> list[tuple[str, str, str]]:
    """What a filter may name: each field's name, kind and meaning.

    Example:
        >>> filter_fields()[0]
        ('opcode', 'opcode', 'the opcode, by name or number')
    """
    fields = [(name, field.kind, field.meaning) for name, field in FIELDS.items()]
    return [*fields, ("json", "json", "a value of a JSON message: json.type, json.users[0].name")]


class RunningFilter:
    """One rendering's filter, and how far it is.

    Attributes:
        query: the filter.
        parts: frames whose messages are still to be asked.
    """

    __slots__ = ("_first", "_found", "_late", "_missed", "_next", "_told", "n", "parts", "query")

    def __init__(self, n: int, query: Query, start: int) -> None:
        self.n = n
        self.query = query
        self.parts: list[int] = []
        self._first = start  # of the range that the page has not been told of
        self._next = start
        self._told = False
        self._found: list[int] = []
        self._late: list[int] = []
        self._missed = 0

    def behind(self, stop: int) -> bool:
        """Whether there are frames before `stop` to look at, and room for what may be found."""
        room = MAX_MATCHES - max(len(self._found), len(self.parts))
        return self._next < stop and room > 0 and self._next - self._first < _MAX_RANGE

    def advance(self, frames: FrameTable, stop: int, deadline: float) -> None:
        """Look at frames up to `stop` (exclusive), until `deadline`, but at least at one."""
        recorder = frames.recorder
        while self.behind(stop):
            begin = recorder.begin
            if self._next < begin:  # the ring was faster
                lost = min(begin, stop, self._first + _MAX_RANGE) - self._next
                self._missed += lost
                self._next += lost
                continue
            room = MAX_MATCHES - max(len(self._found), len(self.parts))
            end = min(stop, self._next + min(_SLICE, room))
            records = recorder.records(self._next, end)
            found, parts, count = passing(self.query, records, deadline)
            self._found += found
            self.parts += parts
            self._next = records[count - 1].seq + 1 if count < len(records) else end
            if perf_counter() >= deadline:
                return

    def decided(self, asked: list[int], passed: list[int], waiting: list[int]) -> None:
        """Of the frames asked about, some pass, and some wait on for the end of their messages."""
        still = waiting[-_MAX_WAITING:]
        self.parts = still + self.parts[len(asked) :]
        self._late += passed

    def take(self) -> tuple[dict[str, int], bytes] | None:
        """The range gone through since the last call and what passed, or None where that is nothing new."""
        if self._told and self._first == self._next and not self._late:
            return None
        first, found, late = self._first, self._found, self._late[:MAX_MATCHES]
        base = min(late, default=0)
        content = {"n": self.n, "first": first, "next": self._next, "missed": self._missed}
        if late:
            content |= {"late": len(late), "base": base}
        self._first, self._found, self._late, self._told = self._next, [], self._late[MAX_MATCHES:], True
        numbers = [*(number - first for number in found), *(number - base for number in late)]
        return content, struct.pack(f"<{len(numbers)}I", *numbers)


class FrameFilters:
    r"""The filters of all renderings of one view, by their ids.

    Args:
        frames: the frames they go through.

    Attributes:
        generation: how often all of them have ended, because a page appeared.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> ConnectionTable(recorder).open("127.0.0.1:50000").sent.feed(encode_frame(9) + encode_frame(1))
        >>> filters = FrameFilters(FrameTable(recorder))
        >>> filters.ask({"id": 7, "n": 1, "text": "opcode==text", "from": 0})
        [{'t': 'filter', 'id': 7, 'n': 1, 'g': 0, 'first': 0}]
        >>> filters.advance(2, seconds=0.01)
        >>> filters.take()
        ([{'id': 7, 'n': 1, 'first': 0, 'next': 2, 'missed': 0}], [b'\x01\x00\x00\x00'])
    """

    def __init__(self, frames: FrameTable) -> None:
        self._frames = frames
        self._filters: dict[int, RunningFilter] = {}
        self._ended: list[dict[str, Any]] = []
        self.generation = 0

    def end_all(self) -> None:
        """A page said hello: those that still want their filters ask again."""
        self._filters.clear()
        self.generation += 1

    def ask(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        """Take a page's request, untrusted input; the answers to send, none to what is no request."""
        name, n, text = content.get("id"), content.get("n"), content.get("text")
        start = content.get("from", 0)
        numbers = (name, n, start)
        if not isinstance(text, str) or not all(type(x) is int and 0 <= x < _MAX_SAFE for x in numbers):
            return []
        assert isinstance(name, int)
        assert isinstance(n, int)
        if not text.strip():
            self._filters.pop(name, None)
            return []
        try:
            query = Query(text)
        except QueryError as error:
            return [self._answer(name, n, error=_mistake(error))]
        answers = []
        self._filters.pop(name, None)
        if len(self._filters) >= MAX_FILTERS:
            oldest = next(iter(self._filters))
            ended = self._filters.pop(oldest)
            said = f"This filter has ended: {MAX_FILTERS} others were asked for since. Apply it again."
            answers.append(self._answer(oldest, ended.n, error={"position": -1, "message": said}))
        begin = max(start, self._frames.recorder.begin)
        self._filters[name] = RunningFilter(n, query, begin)
        return [*answers, self._answer(name, n, first=begin)]

    def _answer(self, name: int, n: int, **more: object) -> dict[str, Any]:
        return {"t": "filter", "id": name, "n": n, "g": self.generation, **more}

    def behind(self, stop: int) -> bool:
        """Whether one of them has frames before `stop` to look at, and room for what it may find."""
        return any(chosen.behind(stop) for chosen in self._filters.values())

    def advance(self, stop: int, seconds: float) -> None:
        """Look at frames up to `stop` (exclusive), for about `seconds` in all."""
        waiting = [chosen for chosen in self._filters.values() if chosen.behind(stop)]
        for chosen in waiting:
            try:
                chosen.advance(self._frames, stop, perf_counter() + seconds / len(waiting))
            except Exception as error:  # noqa: BLE001 - it is told; the list of frames goes on without it
                self.fail(chosen, error)

    def fail(self, failed: RunningFilter, error: Exception) -> None:
        """End a filter that raised, as none should: its page is told with the next `ended`."""
        for name, chosen in list(self._filters.items()):
            if chosen is failed:
                del self._filters[name]
                said = f"This filter has ended, because applying it raised {type(error).__name__}: {error}"
                self._ended.append(self._answer(name, failed.n, error={"position": -1, "message": said}))

    def ended(self) -> list[dict[str, Any]]:
        """What is to be told of filters that failed since the last call."""
        told, self._ended = self._ended, []
        return told

    def undecided(self) -> RunningFilter | None:
        """One that has messages to ask, the others' turn coming after it; None where none has."""
        for name, chosen in self._filters.items():
            if chosen.parts:
                self._filters[name] = self._filters.pop(name)
                return chosen
        return None

    def take(self) -> tuple[list[dict[str, int]], list[bytes]]:
        """What is new of each: the range gone through, and the numbers of those that passed."""
        contents, buffers = [], []
        for name, chosen in self._filters.items():
            taken = chosen.take()
            if taken:
                contents.append({"id": name, **taken[0]})
                buffers.append(taken[1])
        return contents, buffers


def _mistake(error: QueryError) -> dict[str, Any]:
    """The error without the two lines that show the place in a terminal: the page has better means."""
    shown = error.problem.removesuffix(f"\n{error.remedy}") if error.remedy else error.problem
    problem = shown.rsplit("\n", 2)[0]
    return {"position": error.position, "message": f"{problem} {error.remedy}".rstrip()}
