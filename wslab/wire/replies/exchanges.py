"""Which message answered which: requests and replies, pings and pongs, closes.

RFC 6455 knows an answer to a ping and to a close, and none to a message: what a message answers is a matter
of the application. Two habits are so common that they can be recognised: an id that comes back, and a type
that answers another. `wslab.wire.replies.rules` has both in tables. The counterpart is looked for in the
other direction of the same connection, and earlier.

**A pong** answers the newest ping with its payload, and every one before it (RFC 6455 section 5.5.3); a pong
that nobody asked for answers none. **A close** answers the other side's (section 5.5.1).

In each direction of a connection the newest 10 000 of a kind wait for an answer; an older one stays without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from wslab.wire.frames import Opcode
from wslab.wire.messages import Message, messages
from wslab.wire.replies.rules import ANSWERING, OWN, POINTS_TO, Body, asking_types, elided, read_bodies

if TYPE_CHECKING:
    from wslab.wire.connection import Connection
    from wslab.wire.recorded import RecordedFrame

__all__ = ["Exchange", "Replies", "replies"]

_MAX_WAITING = 10_000  # of each kind that may wait in one direction for an answer


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what answered it.

    Attributes:
        connection: on which.
        asked: the message, ping or close that came first.
        answer: the message, pong or close that answered it.
        rule: how the two were matched, such as ``"JSON id 7"`` or ``"type ping → pong"``.
    """

    connection: Connection
    asked: Message | RecordedFrame
    answer: Message | RecordedFrame
    rule: str

    @property
    def seconds(self) -> float:
        """From the request's last frame to the answer's; of a ping, the round trip."""
        return self.answer.at - self.asked.at

    def __repr__(self) -> str:
        return (
            f"<Exchange {self.connection.id} #{_seq(self.asked)} → #{_seq(self.answer)}"
            f" {self.seconds * 1e3:.1f} ms {self.rule}>"
        )


class Replies(Sequence[Exchange]):
    """The exchanges of a recording, in the order of their answers."""

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._exchanges = tuple(exchanges)
        self._of: dict[int, list[int]] = {}  # by an item's first frame
        self._first: dict[int, int] = {}  # of each frame, its item's first: once for each item
        for number, exchange in enumerate(self._exchanges):
            for item in (exchange.asked, exchange.answer):
                first = _seq(item)
                if first not in self._of:
                    frames = item.frames if isinstance(item, Message) else (item,)
                    self._first.update((frame.seq, first) for frame in frames)
                self._of.setdefault(first, []).append(number)

    def of(self, item: Message | RecordedFrame) -> list[Exchange]:
        """Those in which `item`, or the message that a frame is part of, asked or answered."""
        first = self._first.get(_seq(item), -1)
        return [self._exchanges[number] for number in self._of.get(first, ())]

    def counterpart(self, item: Message | RecordedFrame) -> Message | RecordedFrame | None:
        """What answered `item` first, or else what it answered; None where neither is known."""
        found = self.of(item)
        first = self._first.get(_seq(item), -1)
        for exchange in found:
            if _seq(exchange.asked) == first:
                return exchange.answer
        return found[-1].asked if found else None  # of several pings, the one whose payload it has

    @overload
    def __getitem__(self, index: int) -> Exchange: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Exchange]: ...
    def __getitem__(self, index: int | slice) -> Exchange | Sequence[Exchange]:
        return self._exchanges[index]

    def __len__(self) -> int:
        return len(self._exchanges)

    def __repr__(self) -> str:
        last = [f"  {exchange!r}" for exchange in self._exchanges[-20:]]
        hidden = f", the last {len(last)} shown" if len(last) < len(self) else ""
        return "\n".join([f"<Replies: {len(self)} exchanges{hidden}>", *last])


def replies(frames: Iterable[RecordedFrame]) -> Replies:
    """The exchanges in `frames`, as the module's text describes them. Time grows with the frames only.

    Args:
        frames: as they were recorded, oldest first, of any connections; see `wslab.wire.messages` on gaps.

    Example:
        >>> from wslab.wire import Connection, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> connection = Connection(1, "127.0.0.1:50000", recorder)
        >>> connection.received.feed(encode_frame(1, b'{"id": 7, "method": "add"}', mask=True))
        >>> connection.received.feed(encode_frame(1, b'{"type": "join"}', mask=True))
        >>> connection.sent.feed(encode_frame(1, b'{"type": "joined"}'))
        >>> connection.sent.feed(encode_frame(1, b'{"id": 7, "result": 3}'))
        >>> [exchange.rule for exchange in replies(FrameTable(recorder))]
        ['type join → joined', 'JSON id 7']
    """
    given = list(frames)
    items: list[Message | RecordedFrame] = list(messages(given))
    items += [recorded for recorded in given if recorded.frame is not None and recorded.frame.control]
    items.sort(key=_last_seq)
    matcher = _Matcher()
    for item in items:
        matcher.take(item)
    return Replies(matcher.exchanges)


def _seq(item: Message | RecordedFrame) -> int:
    return item.frames[0].seq if isinstance(item, Message) else item.seq


def _last_seq(item: Message | RecordedFrame) -> int:
    return item.frames[-1].seq if isinstance(item, Message) else item.seq


class _Asked(NamedTuple):
    order: int
    item: Message | RecordedFrame
    name: str
    written: str


@dataclass(slots=True)
class _Side:
    """What one direction of a connection has asked."""

    ids: dict[tuple[str, Any], _Asked] = field(default_factory=dict)
    plain: dict[str, deque[_Asked]] = field(default_factory=dict)  # by type, those without an id
    known: dict[str, deque[_Asked]] = field(default_factory=dict)  # and those with one
    answered: set[int] = field(default_factory=set)
    pings: deque[tuple[int, RecordedFrame]] = field(default_factory=deque)
    newest: dict[bytes, int] = field(default_factory=dict)  # the last ping with that payload
    closed: RecordedFrame | None = None


class _Matcher:
    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._sides: dict[tuple[Connection, str], _Side] = {}
        self._order = 0

    def take(self, item: Message | RecordedFrame) -> None:
        """The next message or control frame of the recording."""
        self._order += 1
        bodies = read_bodies(item) if isinstance(item, Message) else []
        for connection in item.connections:
            mine = self._side(connection, item.direction)
            theirs = self._side(connection, "out" if item.direction == "in" else "in")
            if not isinstance(item, Message):
                self._control(connection, item, mine, theirs)
            for body in bodies:
                self._body(connection, item, body, mine, theirs)

    def _side(self, connection: Connection, direction: str) -> _Side:
        side = self._sides.get((connection, direction))
        if side is None:
            side = self._sides[connection, direction] = _Side()
        return side

    def _control(self, connection: Connection, item: RecordedFrame, mine: _Side, theirs: _Side) -> None:
        frame = item.frame
        assert frame is not None
        if frame.opcode == Opcode.PING:
            mine.pings.append((self._order, item))
            mine.newest[frame.payload] = self._order
            if len(mine.pings) > _MAX_WAITING:
                _next_ping(mine)
        elif frame.opcode == Opcode.PONG:
            newest = theirs.newest.get(frame.payload, 0)
            while theirs.pings and theirs.pings[0][0] <= newest:
                order, asked = _next_ping(theirs)
                rule = "ping payload" if order == newest else "a later ping's pong (RFC 6455 section 5.5.3)"
                self.exchanges.append(Exchange(connection, asked, item, rule))
        elif frame.opcode == Opcode.CLOSE and mine.closed is None:
            mine.closed = item
            if theirs.closed is not None:
                self.exchanges.append(Exchange(connection, theirs.closed, item, "close"))

    def _body(
        self,
        connection: Connection,
        item: Message | RecordedFrame,
        body: Body,
        mine: _Side,
        theirs: _Side,
    ) -> None:
        self._order += 1
        used: Any = None
        found = None if body.asks else _by_id(body, theirs)
        if found:
            used = found[2]
        elif body.kind and not (body.asks and body.ids):  # without an id it may be a pong of its own kind
            found = _by_type(body, theirs)
        if found:
            asked, rule, _ = found
            theirs.answered.add(asked.order)
            self.exchanges.append(Exchange(connection, asked.item, item, rule))
        if body.answers:
            return
        for name, field_name, value in body.ids:
            if field_name in OWN and value != used:
                mine.ids.pop((field_name, value), None)  # the newest is to be the last to be forgotten
                mine.ids[field_name, value] = _Asked(self._order, item, name, "")
                _bound(mine.ids)
        if body.kind and not found:
            waiting = mine.known if body.ids else mine.plain
            queue = waiting.get(body.kind)
            if queue is None:
                queue = waiting[body.kind] = deque(maxlen=_MAX_WAITING)
                _bound(waiting)
            queue.append(_Asked(self._order, item, body.field, body.written))


def _bound(waiting: dict[Any, Any]) -> None:
    if len(waiting) > _MAX_WAITING:
        del waiting[next(iter(waiting))]


def _next_ping(side: _Side) -> tuple[int, RecordedFrame]:
    order, ping = side.pings.popleft()
    if side.newest.get(ping.payload) == order:
        del side.newest[ping.payload]
    return order, ping


def _by_id(body: Body, theirs: _Side) -> tuple[_Asked, str, Any] | None:
    """What `body` answers by an id of it: the request, the rule, and the id."""
    for name, field_name, value in body.ids:
        if field_name == "seq" and body.kind.rpartition("_")[2] not in ANSWERING:
            continue  # both sides count for themselves
        for wanted in POINTS_TO[field_name]:
            asked = theirs.ids.get((wanted, value))
            if asked is not None:
                pointed = "" if asked.name == name else f" → {asked.name}"
                return asked, f"JSON {name}{pointed} {elided(str(value))}", value
    return None


def _by_type(body: Body, theirs: _Side) -> tuple[_Asked, str, None] | None:
    """The oldest request of a type that `body` answers, and the rule."""
    oldest: _Asked | None = None
    found: deque[_Asked] | None = None
    # An answer that has an id of its own would have been matched by it, had the request one.
    for waiting in (theirs.plain,) if body.ids else (theirs.plain, theirs.known):
        if not waiting:
            continue
        for kind in asking_types(body.kind):
            queue = waiting.get(kind)
            while queue and queue[0].order in theirs.answered:
                queue.popleft()
            if queue and (oldest is None or queue[0].order < oldest.order):
                oldest, found = queue[0], queue
    if oldest is None or found is None:
        return None
    found.popleft()
    return oldest, f"{oldest.name} {elided(oldest.written)} → {elided(body.written)}", None
