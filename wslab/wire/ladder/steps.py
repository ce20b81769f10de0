"""What a ladder (`wslab.wire.ladder.ladder`) tells, step by step: handshakes, frames, rooms, and ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from wslab.events import Event, MemberJoined, MemberLeft, MessageDropped, RoomBroadcast
from wslab.wire.close_codes import name_close_code
from wslab.wire.frames import Frame, Opcode, close_fields
from wslab.wire.messages import frame_problem
from wslab.wire.query.selection import is_partial
from wslab.wire.shown import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wslab.wire.connection import Connection
    from wslab.wire.recorded import RecordedFrame

__all__ = ["Step", "Way", "all_steps", "elided", "label_of", "place_broadcasts", "without_gaps"]

Way = Literal["in", "out", "shared", "to room", "from room", "note"]
"""From where to where: ``shared`` is from a room to its members, over the server."""

_CONTENT = 60  # characters of a payload that are shown
_BEFORE, _AFTER = 0.05, 0.25  # seconds around a broadcast in which its frames are looked for
_LAST = 1 << 63

# where something stands among others of the same time; frames follow by number
_REQUEST, _RESPONSE, _EVENT, _FRAME = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        at: when, in seconds since the epoch.
        order: where it stands among others of the same time.
        way: from where to where.
        ids: the connections it concerns, of those that are shown.
        what: the frame, or words.
        event: what happened in a room.
    """

    at: float
    order: float
    way: Way
    ids: tuple[str, ...]
    what: RecordedFrame | str = ""
    event: Event | None = None


def all_steps(
    connections: Iterable[Connection], frames: Iterable[RecordedFrame], events: Iterable[Event]
) -> list[Step]:
    """Every step, in the order of time.

    Args:
        connections: those whose handshake and end are told.
        frames: the frames; of connections that are not given, too.
        events: what happened; joins, leaves, broadcasts and losses in rooms are told, where they concern one
            of the connections.
    """
    given = {connection.id: connection for connection in connections}
    found = [step for connection in given.values() for step in _handshake(connection)]
    ids = set(given)
    for frame in frames:
        own = [connection.id for connection in frame.connections]
        shown = tuple([each for each in own if each in given]) or tuple(own)
        ids.update(shown)
        way: Way = "in" if frame.direction == "in" else "out"
        found.append(Step(frame.at, _FRAME + frame.seq, way, shown, frame))
    found += _in_rooms(events, ids)
    found.sort(key=attrgetter("at", "order"))
    return found


def without_gaps(frames: Iterable[RecordedFrame]) -> list[RecordedFrame]:
    """`frames` without the messages of those directions that cannot be put together for sure.

    A ladder may be given any selection of frames. Fragments with one left out between them would make another
    message, and what is compressed would be inflated with another window.
    """
    kept = list(frames)
    counts: Counter[tuple[Connection, str]] = Counter()
    partial = set()
    for frame in kept:
        sides = [(connection, frame.direction) for connection in frame.connections]
        counts.update(sides)
        if is_partial(frame.record.raw):
            partial.update(sides)
    for side in list(partial):
        connection, direction = side
        if (connection.received if direction == "in" else connection.sent).frames == counts[side]:
            partial.remove(side)
    return [
        frame
        for frame in kept
        if not partial
        or (frame.frame is not None and frame.frame.control)
        or partial.isdisjoint((connection, frame.direction) for connection in frame.connections)
    ]


def _handshake(connection: Connection) -> list[Step]:
    """The steps of a connection that are not frames; the answer's own time is not recorded."""
    at, ids = connection.opened_at, (connection.id,)
    steps: list[Step] = []
    if connection.request:
        steps.append(Step(at, _REQUEST, "in", ids, connection.request_head.start_line))
    if connection.response:
        why = f": {connection.refusal}" if connection.refusal else ""
        status = connection.response_head.start_line
        steps.append(Step(at, _RESPONSE, "out", ids, f"{status}{why}"))
    if connection.ended_at:
        close = connection.close
        how = "without a close frame (1006)" if close and not close.by else ""
        steps.append(Step(connection.ended_at, _LAST, "note", ids, f"connection ended {how}".rstrip()))
    return steps


def _in_rooms(events: Iterable[Event], ids: set[str]) -> list[Step]:
    members = _Members()
    found = []
    for event in events:
        members.take(event)
        if isinstance(event, RoomBroadcast):
            known = members.of(event.room)
            if known is None or not ids.isdisjoint(known):
                found.append(Step(event.at, _EVENT, "from room", (), event=event))
        elif event.connection in ids and isinstance(event, MemberJoined | MemberLeft | MessageDropped):
            way: Way = "from room" if isinstance(event, MessageDropped) else "to room"
            found.append(Step(event.at, _EVENT, way, (event.connection,), event=event))
    return found


class _Members:
    """Who is in which room, as far as the events tell."""

    def __init__(self) -> None:
        self._rooms: dict[str, set[str]] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, MemberJoined):
            joined = self._rooms.get(event.room)
            if joined is None and event.members > 1:
                return  # those before are not known
            self._rooms.setdefault(event.room, set()).add(event.connection)
        elif isinstance(event, MemberLeft):
            if event.members:
                self._rooms.get(event.room, set()).discard(event.connection)
            else:
                self._rooms.pop(event.room, None)

    def of(self, room: str) -> set[str] | None:
        """The members; None where they are not known."""
        return self._rooms.get(room)


def place_broadcasts(steps: Sequence[Step], events: Iterable[Event]) -> list[Step]:
    """`steps` with each broadcast before the frames it was sent in, as far as these can be told.

    A room does not mark its frames. Taken are those of that time that went to as many members as the event
    says, all with the same payload; where not all members are shown, those to the others if there is no
    choice. A broadcast that is one record for all members becomes one step.
    """
    members = _members_at(events, {id(step.event) for step in steps if isinstance(step.event, RoomBroadcast)})
    shown = {each for step in steps for each in step.ids}
    placed: list[Step | None] = list(steps)
    taken: set[int] = set()
    for number, step in enumerate(steps):
        event = step.event
        if not isinstance(event, RoomBroadcast):
            continue
        known = members.get(id(event))
        runs = _alike(steps, [index for index in _around(steps, number) if index not in taken], known)
        sent = _sent(runs, event, known, shown)
        if sent is None:
            continue
        taken.update(sent.indices)
        first = steps[sent.indices[0]]
        if len(sent.indices) == 1:
            placed[sent.indices[0]] = replace(first, way="shared", event=event)
            placed[number] = None
        else:
            placed[number] = replace(step, at=first.at, order=first.order - 0.5)
    kept = [step for step in placed if step is not None]
    kept.sort(key=attrgetter("at", "order"))
    return kept


@dataclass(slots=True)
class _Run:
    """Steps with the same message to different members, the oldest first."""

    indices: list[int]
    ids: set[str]
    times: list[float]


def _sent(
    runs: list[_Run], event: RoomBroadcast, members: frozenset[str] | None, shown: set[str]
) -> _Run | None:
    """Which of the runs is this broadcast; None where that is open."""
    whole = [run for run in runs if len(run.ids) == event.members]
    if whole:
        return min(whole, key=lambda run: min(abs(at - event.at) for at in run.times))
    if members is None or members <= shown:
        return None
    # The author may be left out of a broadcast, and then it went to fewer than are members.
    least = max(1, len(members & shown) - max(0, len(members) - event.members))
    part = [run for run in runs if least <= len(run.ids) < event.members]
    return part[0] if len(part) == 1 else None


def _members_at(events: Iterable[Event], wanted: set[int]) -> dict[int, frozenset[str] | None]:
    """Who the members were at each event whose `id` is wanted; None where that is not known."""
    members = _Members()
    found: dict[int, frozenset[str] | None] = {}
    for event in events if wanted else ():
        members.take(event)
        if id(event) in wanted and isinstance(event, RoomBroadcast):
            known = members.of(event.room)
            found[id(event)] = None if known is None else frozenset(known)
    return found


def _alike(steps: Sequence[Step], indices: list[int], members: frozenset[str] | None) -> list[_Run]:
    """The messages to members among these steps, those with the same payload together."""
    found: list[_Run] = []
    newest: dict[bytes, _Run] = {}
    for index in indices:
        step = steps[index]
        if step.way != "out" or isinstance(step.what, str) or step.what.frame is None:
            continue
        frame = step.what.frame
        ids = {connection.id for connection in step.what.connections}
        if not frame.fin or frame.opcode not in {Opcode.TEXT, Opcode.BINARY}:
            continue
        if members is not None and not members.issuperset(ids):
            continue
        key = bytes([frame.opcode]) + frame.payload
        run = newest.get(key)
        if run is None or not run.ids.isdisjoint(ids):  # the same message once more
            run = newest[key] = _Run([], set(), [])
            found.append(run)
        run.indices.append(index)
        run.ids |= ids
        run.times.append(step.at)
    return found


def _around(steps: Sequence[Step], number: int) -> range:
    at = steps[number].at
    first = last = number
    while first and at - steps[first - 1].at <= _BEFORE:
        first -= 1
    while last + 1 < len(steps) and steps[last + 1].at - at <= _AFTER:
        last += 1
    return range(first, last + 1)


def label_of(what: RecordedFrame | str) -> str:
    """A frame or the words of a step in one line."""
    if isinstance(what, str):
        return printable(what)
    frame = what.frame
    if frame is None:
        return f"INCOMPLETE, {what.wire_length} bytes"
    wrong = frame_problem(frame, what.direction)
    problem = f" ✗ {wrong}" if wrong else ""
    return f"{frame.name}{_content(frame)}{problem}"


def _content(frame: Frame) -> str:
    if frame.opcode == Opcode.CLOSE:
        code, reason = close_fields(frame.payload)
        said = f" {_quoted(reason)}" if reason else ""
        return f" {name_close_code(code)}{said}" if frame.payload else " without a code"
    more = "" if frame.fin else ", more follows"
    if frame.rsv1:
        return f" compressed, {frame.length} bytes{more}"
    if not frame.length:
        return more
    try:
        text = frame.payload[: 4 * _CONTENT].decode() if frame.opcode != Opcode.BINARY else ""
    except UnicodeDecodeError as error:
        # cut inside a character, which is no mistake, or not text at all
        cut = frame.length > 4 * _CONTENT and error.start > 4 * (_CONTENT - 1)
        text = frame.payload[: error.start].decode() if cut else ""
    if text and text.isprintable():
        return f" {_quoted(text)}{more}"
    return f" {frame.length} bytes{more}"


def _quoted(text: str) -> str:
    return f"'{elided(printable(text), _CONTENT)}'"


def elided(text: str, width: int) -> str:
    """As much of `text` as `width` characters hold."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
