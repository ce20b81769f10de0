"""A recording as a conversation: what the client did and what the server answered, step by step.

A conversation is what can be had again with another server, or with the same one tomorrow. So it has less
than the recording (no masks, no fragments, no compression, and no pings, which are timing) and demands
more: a message that is not whole cannot be sent again, and a recording whose beginning is lost does not
say what the server had been told. What cannot be part of it is refused with `RecordingError`; what is the
server's own doing and not the application's is left out, and said in `Conversation.left_out`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Never

from wslab.errors import RecordingError
from wslab.wire.connection import Connection
from wslab.wire.conversation.reopening import LAB_PARAMETER, reopening
from wslab.wire.frames import Opcode
from wslab.wire.messages import frame_problem, messages
from wslab.wire.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wslab.wire.messages import Message
    from wslab.wire.recorded import RecordedFrame

__all__ = ["CONNECTED", "Closing", "Conversation", "Opening", "Said", "Step", "conversation", "read_json"]

CONNECTED = 101
"""Switching Protocols: the status that opens a connection."""

MAX_DEPTH = 30
"""Levels of arrays and objects in a message that is looked at as JSON; a deeper one is text."""

_SERVERS_OWN = frozenset({400, 405, 408, 426, 429, 431, 503})
"""Statuses that a server answers for itself: a handshake that is none, or more than it takes."""

_RESTART = 1012


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that one side did.

    Attributes:
        connection: where.
        at: seconds since the epoch.
    """

    connection: Connection
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening(Step):
    """The client asks for a connection, and the server answers.

    Attributes:
        path: the target, query included.
        subprotocols: offered.
        headers: those that a client's program set, in lower case.
        status: of the answer; 101 opened the connection.
        subprotocol: what the server chose; "" for none.
        redacted: names of the headers and parameters whose values were not recorded.
    """

    path: Any
    subprotocols: tuple[str, ...]
    headers: tuple[tuple[str, Any], ...]
    status: int
    subprotocol: str
    redacted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Step):
    """A message.

    Attributes:
        by: whose it is.
        number: counted from 1 on its connection and in its direction.
        kind: "json" for a text that is an object or an array.
        content: what it says: str, bytes, or what JSON makes of it.
        text: it as text as it was; "" for a binary one.
    """

    by: Literal["client", "server"]
    number: int
    kind: Literal["text", "json", "binary"]
    content: Any
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing(Step):
    """The first close frame, or the end without one.

    Attributes:
        by: who closed.
        code: 1005 for a close frame without a code, 1006 for no close frame.
        reason: of the close frame.
    """

    by: Literal["client", "server"]
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The steps of some connections, in the order they were recorded.

    Attributes:
        steps: what was done.
        left_out: sentences about what is not among them.
    """

    steps: tuple[Step, ...]
    left_out: tuple[str, ...] = ()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that have steps, in the order they opened."""
        return tuple({step.connection.number: step.connection for step in self.steps}.values())


def read_json(text: str) -> Any:
    """`text` as an object or array of JSON's; None where it is none, or too deep, or has what JSON has not.

    Example:
        >>> read_json('{"a": [1]}'), read_json("[NaN]"), read_json("1")
        ({'a': [1]}, None, None)
    """
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if _plain(value, MAX_DEPTH) else None


def _no_constant(name: str) -> Never:
    raise ValueError(name)


def _plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    return not isinstance(value, float) or abs(value) != float("inf")


def conversation(
    frames: Iterable[RecordedFrame],
    connections: Iterable[Connection | str] | None = None,
    *,
    where: str = "",
    secrets: Mapping[str, str] | None = None,
) -> Conversation:
    r"""What the connections of a recording said.

    Args:
        frames: all that were kept, oldest first, such as `lab.frames`.
        connections: those that are taken, or their ids. Those refused have no frames, and must be given
            as `Connection`. All that have frames where it is None.
        where: a filter (`wslab.wire.query`); a connection is taken if a frame of it passes.
        secrets: values for what was redacted, by the name of the header or query parameter.

    Raises:
        RecordingError: what the recording has of one of them is not enough; the remedy says what to do.
        QueryError: the filter cannot be read.

    Example:
        >>> from wslab.wire import Connection, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> row = Connection(1, "127.0.0.1:50000", recorder)
        >>> row.request = b"GET /echo HTTP/1.1\r\n\r\n"
        >>> row.note_response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101)
        >>> row.received.feed(encode_frame(1, b"hi", mask=True))
        >>> [type(step).__name__ for step in conversation(FrameTable(recorder)).steps]
        ['Opening', 'Said']
    """
    kept = list(frames)
    rows = _chosen(kept, connections)
    if where:
        passes = Query(where)
        passing = {row.number for frame in kept if passes(frame) for row in _owners(frame)}
        rows = [row for row in rows if row.number in passing]
    if not rows:
        raise RecordingError(
            "Expected a recording with a connection to take, got none.",
            remedy="Record first; those refused have no frames: connections=lab.connections takes them, too.",
        )
    parts = {row.number: _Part(row) for row in rows}
    for frame in kept:
        for part in _parts_of(frame, parts):
            part.frames.append(frame)
    for message in messages(kept):
        for part in _parts_of(message, parts):
            part.messages.append(message)
    ordered: list[tuple[float, int, Step]] = []
    left_out: list[str] = []
    for part in parts.values():
        reason = _not_the_applications(part.row)
        if reason:
            left_out.append(f"{part.row.id}: {reason}")
            continue
        part.check()
        ordered += part.steps(secrets or {})
        left_out += part.left_out
    ordered.sort(key=lambda item: item[:2])
    return Conversation(tuple(step for _, _, step in ordered), tuple(left_out))


def _owners(item: RecordedFrame | Message) -> tuple[Connection, ...]:
    """Whose it is: what a room sends to all its members is one record."""
    return getattr(item, "connections", None) or (item.connection,)


def _parts_of(item: RecordedFrame | Message, parts: dict[int, _Part]) -> list[_Part]:
    return [parts[row.number] for row in _owners(item) if row.number in parts]


def _chosen(
    frames: Sequence[RecordedFrame], connections: Iterable[Connection | str] | None
) -> list[Connection]:
    owners = {row.id: row for frame in frames for row in _owners(frame)}
    if connections is None:
        return list(owners.values())
    given = [connections] if isinstance(connections, Connection | str) else list(connections)
    chosen = {}
    for each in given:
        row = owners.get(each) if isinstance(each, str) else each
        if row is None:
            raise RecordingError(
                f"Expected connections that have frames here, {', '.join(owners) or 'none'}, got {each!r}.",
                remedy="One that was refused has no frames: pass the Connection itself.",
            )
        chosen[row.number] = row
    return list(chosen.values())


def _not_the_applications(row: Connection) -> str:
    """Why nothing of a connection is the application's doing; "" where something is."""
    status = row.response_head.status
    if not row.response and not row.sent.frames:
        return "the handshake was not answered."
    if row.state != "refused":
        return ""
    if status in _SERVERS_OWN or f"{LAB_PARAMETER}=" in row.remedy:
        return f"the server itself refused the handshake with {status}, before the application was asked."
    return ""


@dataclass(slots=True)
class _Part:
    """One connection's share of a recording."""

    row: Connection
    frames: list[RecordedFrame] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Refuse what cannot be had again.

        Raises:
            RecordingError: why, and what to do.
        """
        row = self.row
        leave = f"or leave {row.id} out: connections=[…]."
        if not row.request:
            raise RecordingError(
                f"Expected the opening handshake of {row.id}, it was not recorded.",
                remedy=f"Record again, {leave}",
            )
        for flow, direction in ((row.received, "in"), (row.sent, "out")):
            kept = sum(frame.direction == direction for frame in self.frames)
            if flow.frames > kept:
                raise RecordingError(
                    f"Expected all frames of {row.id}, got {kept} of {flow.frames} ({direction}).",
                    remedy=f"Save while the recording is young, use a larger recorder, {leave}",
                )
        for message in self.messages:
            cut = any(frame.frame is not None and frame.frame.cut for frame in message.frames)
            if message.problem or cut:
                raise RecordingError(
                    f"Expected whole and valid messages, got one of {row.id} ({message.direction},"
                    f" frame {message.frames[0].seq}): {message.problem or 'it was cut.'}",
                    remedy=f"Record again, with a larger snaplen where it was cut, {leave}",
                )
        for recorded in self.frames:
            frame = recorded.frame
            problem = frame_problem(frame, recorded.direction) if frame and frame.control else ""
            if problem:
                raise RecordingError(
                    f"Expected valid frames, got frame {recorded.seq} of {row.id}: {problem}",
                    remedy=f"A raw client sends it again; {leave[3:]}",
                )

    def steps(self, secrets: Mapping[str, str]) -> list[tuple[float, int, Step]]:
        """The steps, and when each was: its time and a number that orders equal times."""
        row = self.row
        first = min((frame.at for frame in self.frames), default=row.opened_at)
        opened = min(row.opened_at, first)
        found: list[tuple[float, int, Step]] = [(opened, -1, self._opening(opened, secrets))]
        if row.state == "refused":
            return found
        closing = self._closing()
        last = max((frame.at for frame in self.frames), default=opened)
        counts = {"in": 0, "out": 0}
        late = 0
        for message in self.messages:
            seq = message.frames[-1].seq
            if closing is not None and (message.at, seq) > closing[:2]:
                late += 1
                continue
            counts[message.direction] += 1
            found.append((message.at, seq, _said(row, message, counts[message.direction])))
        if late:
            noun = "message that crossed" if late == 1 else "messages that crossed"
            self.left_out.append(f"{row.id}: {late} {noun} the close frame.")
        if closing is not None and closing[2].code == _RESTART and closing[2].by == "server":
            self.left_out.append(f"{row.id}: the close with 1012, which is the server's stop.")
        elif closing is not None:
            found.append(closing)
        elif row.state == "closed" and not row.first_closer:
            at = max(last, row.ended_at)
            found.append((at, 1 << 63, Closing(connection=row, at=at, by="client", code=1006, reason="")))
        return found

    def _closing(self) -> tuple[float, int, Closing] | None:
        close = self.row.close
        if close is None or not close.by:
            return None
        direction = "in" if close.by == "client" else "out"
        for recorded in self.frames:
            frame = recorded.frame
            if frame is not None and frame.opcode == Opcode.CLOSE and recorded.direction == direction:
                by: Literal["client", "server"] = "client" if close.by == "client" else "server"
                step = Closing(
                    connection=self.row, at=recorded.at, by=by, code=close.code, reason=close.reason
                )
                return recorded.at, recorded.seq, step
        return None

    def _opening(self, at: float, secrets: Mapping[str, str]) -> Opening:
        row = self.row
        request = reopening(row.request_head, secrets, origin=row.state == "refused")
        return Opening(
            connection=row,
            at=at,
            path=request.path,
            subprotocols=request.subprotocols,
            headers=request.headers,
            status=row.response_head.status or CONNECTED,
            subprotocol=row.subprotocol,
            redacted=request.redacted,
        )


def _said(row: Connection, message: Message, number: int) -> Said:
    by: Literal["client", "server"] = "client" if message.direction == "in" else "server"
    where: dict[str, Any] = {"connection": row, "at": message.at, "by": by, "number": number}
    if message.opcode == Opcode.BINARY:
        return Said(**where, kind="binary", content=message.content)
    text = message.content.decode()
    value = read_json(text)
    if value is None:
        return Said(**where, kind="text", content=text, text=text)
    return Said(**where, kind="json", content=value, text=text)
