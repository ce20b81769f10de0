"""A ladder: what clients, server and rooms said to each other, one step a line, in the order of time.

The clients stand at the left, the server right of them, and every arrow between them is a frame or half of
the opening handshake. Up to three clients have a line each. Where something happened in rooms, they stand at
the far right: joins and leaves go there, broadcasts come from there. What answers something has the time
since then (`wslab.wire.replies`), a pong the round trip, and a frame that came while the event loop was late
says so. As text a ladder is for a terminal, as SVG for a page, where it takes the page's own colours.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from wslab.events import Event, MemberJoined, MemberLeft, MessageDropped, RoomBroadcast
from wslab.wire.ladder.drawing import Rung, draw_svg, draw_text
from wslab.wire.ladder.steps import Step, all_steps, label_of, place_broadcasts, without_gaps
from wslab.wire.messages import Message
from wslab.wire.replies import Replies, replies
from wslab.wire.shown import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wslab.wire.connection import Connection
    from wslab.wire.recorded import RecordedFrame

__all__ = ["Ladder"]

_ROOM_EVENTS = (MemberJoined, MemberLeft, RoomBroadcast, MessageDropped)
_LANES = 3  # clients that have a line of their own
_WIDE = 80  # columns from which on a text has room for these
_CONTEXT = 5_000  # frames before the last steps in which what those answer is looked for
_LATE = 0.05  # seconds that the event loop may be late without a word


class Ladder:
    r"""A message ladder of some connections.

    Args:
        connections: those whose handshake and end are shown.
        frames: the frames between.
        events: what happened, such as `lab.log`; what rooms did is shown.
        whole: the frames of each direction have no gaps but for its beginning, as `FrameTable` has them.
            Otherwise nothing is told of what answers a message in pieces or compressed, unless all are there.
        limit: how many steps are shown; of more, the first quarter and the last ones.
        width: columns of the text, 60 at least.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> table = ConnectionTable(recorder)
        >>> connection = table.open("127.0.0.1:50000")
        >>> connection.request = b"GET /echo HTTP/1.1\r\n\r\n"
        >>> connection.received.feed(encode_frame(9, b"hi", mask=True))
        >>> lines = Ladder(table, FrameTable(recorder), width=60).text().splitlines()
        >>> lines[1][12:]
        'c1      ├───────── GET /echo HTTP/1.1 ────────▶┤'
        >>> lines[2][12:]
        "c1      ├───────────── PING 'hi' ─────────────▶┤"
    """

    def __init__(
        self,
        connections: Iterable[Connection],
        frames: Iterable[RecordedFrame],
        events: Iterable[Event] = (),
        *,
        whole: bool = False,
        limit: int = 200,
        width: int = 100,
    ) -> None:
        given, happened = list(frames), list(events)
        steps = all_steps(connections, given, happened)
        self.start = steps[0].at if steps else 0.0
        """When the first step was, in seconds since the epoch."""
        self.left_out = max(0, len(steps) - max(1, limit))
        """How many steps are not shown."""
        gap = max(1, limit) // 4
        head, tail = steps[:gap], steps[gap + self.left_out :]
        if self.left_out:
            self._steps = place_broadcasts(head, happened)
            self._gap = len(self._steps)
            self._steps += place_broadcasts(tail, happened)
        else:
            self._steps = place_broadcasts(steps, happened)
            self._gap = 0
        self._width = max(60, width)
        known = given if whole else without_gaps(given)
        before = len(tail) + _CONTEXT
        self._known: tuple[list[RecordedFrame], ...] = (known,)
        if self.left_out and len(known) > gap + before:
            self._known = known[:gap], known[-before:]

    @cached_property
    def _replies(self) -> Replies:
        return Replies(exchange for frames in self._known for exchange in replies(frames))

    @cached_property
    def _clients(self) -> list[str]:
        """The connections that have a line of their own, or nothing for a single line for all."""
        ids = list(dict.fromkeys(each for step in self._steps for each in step.ids))
        return sorted(ids, key=lambda each: (len(each), each)) if 1 < len(ids) <= _LANES else []

    @cached_property
    def _rooms(self) -> list[str]:
        found = [step.event.room for step in self._steps if isinstance(step.event, _ROOM_EVENTS)]
        return list(dict.fromkeys(found))

    @cached_property
    def _rungs(self) -> list[Rung]:
        rungs = [self._rung(step) for step in self._steps]
        if self.left_out:
            rungs.insert(self._gap, Rung("", "note", (), f"… {self.left_out} steps left out …"))
        return rungs

    def _rung(self, step: Step) -> Rung:
        label, aside, mark, hint = label_of(step.what), "", "", ""
        if isinstance(step.event, _ROOM_EVENTS):
            where = "" if len(self._rooms) == 1 else f"{printable(step.event.room)}: "
            aside = where + _told(step.event)
        if not isinstance(step.what, str):
            mark, hint = self._answering(step.what)
            if step.what.lag > _LATE:
                mark = f"{mark} lag {_duration(step.what.lag)}".lstrip()
        return Rung(f"{step.at - self.start:.3f} s", step.way, step.ids, label, aside, mark, hint)

    def _answering(self, frame: RecordedFrame) -> tuple[str, str]:
        """How long after what it answers a frame came, and what rule says so."""
        found = None
        for exchange in self._replies.of(frame):
            answer = exchange.answer
            last = answer.frames[-1] if isinstance(answer, Message) else answer
            if last.seq == frame.seq:
                found = exchange  # of several pings the last has this payload
        if found is None:
            return "", ""
        took = _duration(found.seconds)
        return f"Δ {took}", f"{took} after what it answers: {found.rule}"

    def text(self) -> str:
        """The ladder in lines of at most `width` columns (where no character is a wide one)."""
        clients = self._clients if self._width >= _WIDE else []
        return draw_text(self._rungs, clients, self._rooms, self._width)

    def svg(self) -> str:
        """The ladder as an SVG element in the colour of the page around it, or as a picture of its own."""
        return draw_svg(self._rungs, self._clients, self._rooms)

    def _repr_html_(self) -> str:
        # JupyterLab shows image/svg+xml as a picture, which knows nothing of the page's theme.
        return self.svg()

    def _repr_svg_(self) -> str:
        return self.svg()

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def _told(event: Event) -> str:
    match event:
        case MemberJoined(members=members):
            return f"joins, {_members(members)}"
        case MemberLeft(members=members):
            return f"leaves, {_members(members)}"
        case RoomBroadcast(members=members):
            return f"broadcast to {members}"
        case MessageDropped(count=count, policy=policy):
            return f"✗ {count} lost, {printable(policy)}"
    return ""


def _members(count: int) -> str:
    return f"{count} member{'s' * (count != 1)}"


def _duration(seconds: float) -> str:
    if seconds < 1e-3:  # noqa: PLR2004 - each unit has its own decimals
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
