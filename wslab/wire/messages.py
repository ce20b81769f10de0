"""Frames put together into messages (RFC 6455 section 5.4), and inflated (RFC 7692).

Theory of operation. What is read here is a recording, which may have lost its beginning: the ring
drops its oldest frames, and keeps a long one only up to its snaplen. A message that cannot be whole
is a value all the same: it has what is known, and says in `problem` what is missing, or what rule is
broken.

A compressed message may refer to earlier ones of its direction ("context takeover"). Where those are
lost, inflating starts over with an empty window. That shows nothing false: zlib refuses a reference to
bytes that its window does not hold, so a message either needs nothing that is lost, or is known to.
For that to hold, the frames of a direction must be given without gaps but for its beginning, as
`FrameTable` has them: put messages together first, and select among them then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wslab.wire.close_codes import close_problem
from wslab.wire.deflate import DeflateError, DeflateTooLargeError, PerMessageDeflate
from wslab.wire.extensions import ExtensionSyntaxError, parse_extensions
from wslab.wire.frames import Opcode, opcode_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wslab.wire.connection import Connection
    from wslab.wire.explain import Explanation
    from wslab.wire.frames import Frame
    from wslab.wire.recorded import RecordedFrame
    from wslab.wire.sites import Site

__all__ = ["Message", "deflate_agreed", "frame_problem", "messages"]

MAX_INFLATED = 256 * 2**20
"""Bytes that the messages of one call may inflate to in all: DEFLATE makes a thousand of one."""

_NAME = "permessage-deflate"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, and the frames that carried it. Control frames are none (RFC 6455 section 5.5).

    Attributes:
        connection: whose it is.
        direction: "in" or "out", seen from the server.
        opcode: of its first frame; 0 where that one is no longer in the recorder.
        content: the whole payload, unmasked and inflated; as far as it is known.
        frames: what carried it, in their order.
        at: seconds since the epoch, when its last frame was read or written.
        compressed: whether its first frame had RSV1 (RFC 7692 section 6).
        wire_length: bytes of all its frames on the wire, headers included.
        site: the line of the application that sent it or received it; None where that is not known, and for
            a message that nobody has received.
        connections: all that it was sent to: a room's message is one for the members that get it at once.
        problem: what is wrong with it or missing, with the RFC section; "" for a good one.
    """

    connection: Connection
    direction: str
    opcode: int
    content: bytes
    frames: tuple[RecordedFrame, ...]
    at: float
    compressed: bool
    wire_length: int
    problem: str = ""
    site: Site | None = None
    connections: tuple[Connection, ...] = ()

    def __post_init__(self) -> None:
        if not self.connections:
            object.__setattr__(self, "connections", (self.connection,))

    @property
    def sent_at(self) -> float | None:
        """When one of the lab's own clients sent it, in seconds since the epoch; None for another's."""
        return self.frames[-1].sent_at

    @property
    def lag(self) -> float:
        """How late the loop was when it read or wrote the last of it, in seconds."""
        return self.frames[-1].lag

    @property
    def event(self) -> dict[str, Any]:
        """The ASGI event that it was: ``websocket.receive`` or ``websocket.send`` (ASGI WebSocket 2.4)."""
        kind = "websocket.receive" if self.direction == "in" else "websocket.send"
        text = self.opcode == Opcode.TEXT
        return {"type": kind, "text": self.text} if text else {"type": kind, "bytes": self.content}

    @property
    def name(self) -> str:
        """The opcode's name, such as ``"TEXT"``."""
        return opcode_name(self.opcode)

    @property
    def text(self) -> str:
        """The content as text; bytes that are not UTF-8 show as the replacement character."""
        return self.content.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """What a text message says in JSON; None where it is none (and for JSON's own ``null``)."""
        if self.opcode != Opcode.TEXT:
            return None
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):  # the second for a thousand brackets in a row
            return None

    def explain(self) -> Explanation:
        """Its frames, its compression, and what it says (`wslab.wire.explain`)."""
        from wslab.wire.explain import explain_message

        return explain_message(self)

    def __repr__(self) -> str:
        arrow = "→ in" if self.direction == "in" else "← out"
        shown = self.content[:20].hex(" ") if self.opcode == Opcode.BINARY else self.text[:60]
        problem = f" ✗ {self.problem}" if self.problem else ""
        return (
            f"<Message {self.connection.id} {arrow} {self.name} {len(self.content)} bytes"
            f" in {len(self.frames)} frames {shown!r}{problem}>"
        )


@dataclass(slots=True)
class _Side:
    """What is known of one direction of one connection while its frames go by."""

    connection: Connection
    direction: str
    agreed: bool
    codec: PerMessageDeflate | None
    lossy: bool  # fewer frames are given than passed
    ordinal: int  # of the next message in this direction, counted from 0
    broken: bool = False  # inflating started over after a message that was lost
    pending: list[RecordedFrame] = field(default_factory=list)


def deflate_agreed(connection: Connection) -> dict[str, str] | None:
    r"""The parameters of permessage-deflate as the server's response has them; None where it is not used.

    Example:
        >>> from wslab.wire import Connection, Recorder
        >>> connection = Connection(1, "", Recorder())
        >>> connection.response = (
        ...     b"HTTP/1.1 101 Switching Protocols\r\n"
        ...     b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n\r\n"
        ... )
        >>> deflate_agreed(connection)
        {'server_max_window_bits': '12'}
    """
    fields = connection.response_head.headers
    value = ", ".join(value for name, value in fields if name.lower() == "sec-websocket-extensions")
    try:
        extensions = parse_extensions(value) if value else []
    except ExtensionSyntaxError:
        return None
    found = (parameters for name, parameters in extensions if name == _NAME)
    parameters = next(found, None)
    return None if parameters is None else {name: value or "" for name, value in parameters}


def frame_problem(frame: Frame, direction: str) -> str:
    """What is wrong with `frame` by itself and by who sent it; "" for a good one.

    Args:
        frame: `Frame.problem` knows all but who must mask, and what a close frame may say.
        direction: "in" or "out", seen from the server.

    Example:
        >>> from wslab.wire import encode_frame, parse_frame
        >>> frame_problem(parse_frame(encode_frame(1, b"hi")), "in")
        'The client did not mask this frame (RFC 6455 section 5.1).'
    """
    if frame.problem:
        return frame.problem
    if direction == "in" and frame.mask_key is None:
        return "The client did not mask this frame (RFC 6455 section 5.1)."
    if direction == "out" and frame.mask_key is not None:
        return "The server masked this frame (RFC 6455 section 5.1)."
    if frame.control and frame.rsv1:
        return "A control frame must not be compressed: RSV1 is set (RFC 7692 section 6.1)."
    whole_close = frame.opcode == Opcode.CLOSE and len(frame.payload) == frame.length
    return close_problem(frame.payload) if whole_close else ""


def messages(frames: Iterable[RecordedFrame], *, limit: int = MAX_INFLATED) -> list[Message]:
    """The messages that `frames` carried, all connections and directions, in order of completion.

    Args:
        frames: as they were recorded, oldest first; see the module's text on gaps.
        limit: bytes that compressed messages may inflate to in all; those beyond say so.

    Returns:
        Those whose last frame passed or that broke off; not those that may still go on.

    Example:
        >>> from wslab.wire import Connection, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> connection = Connection(1, "127.0.0.1:50000", recorder)
        >>> connection.sent.feed(encode_frame(1, b'{"a":', fin=False) + encode_frame(9))
        >>> connection.sent.feed(encode_frame(0, b" 1}"))
        >>> [message] = messages(FrameTable(recorder))
        >>> message.json, [frame.name for frame in message.frames]
        ({'a': 1}, ['TEXT', 'CONTINUATION'])
    """
    given = list(frames)
    sides = _sides(given)
    done: list[Message] = []
    for recorded in given:
        frame = recorded.frame
        if frame is None or frame.control:
            continue  # control frames may come between fragments, and belong to none (section 5.4)
        if len(recorded.connections) > 1:
            done.append(_shared(recorded, frame))
            continue
        side = sides[recorded.connection, recorded.direction]
        begins = frame.opcode != Opcode.CONTINUATION
        if begins and side.pending:
            what = "A new message began before this one's last frame (RFC 6455 section 5.4)."
            limit -= _finish(side, done, limit, _lost(side, what))
        side.pending.append(recorded)
        if frame.fin or frame.problem.startswith("The connection ended"):
            limit -= _finish(side, done, limit, "")
    for side in sides.values():
        if side.pending and side.connection.ended_at:
            what = "The connection ended before this message's last frame (RFC 6455 section 5.4)."
            _finish(side, done, limit, what)
    return done


def _sides(frames: list[RecordedFrame]) -> dict[tuple[Connection, str], _Side]:
    counts: dict[tuple[Connection, str], list[int]] = {}
    for recorded in frames:
        frame = recorded.frame
        whole = frame is not None and frame.ended
        for connection in recorded.connections:
            count = counts.setdefault((connection, recorded.direction), [0, 0])
            count[0] += whole  # the flow counts no frame that broke off
            count[1] += bool(whole and frame and frame.fin and not frame.control)
    return {(connection, way): _side(connection, way, *count) for (connection, way), count in counts.items()}


def _side(connection: Connection, direction: str, count: int, ends: int) -> _Side:
    agreed = deflate_agreed(connection)
    flow = connection.received if direction == "in" else connection.sent
    codec = _codec(agreed, direction)
    return _Side(connection, direction, agreed is not None, codec, flow.frames > count, flow.messages - ends)


def _shared(recorded: RecordedFrame, frame: Frame) -> Message:
    """A room's message: always one whole frame, and not compressed."""
    problem = frame_problem(frame, recorded.direction) or _utf8(frame.opcode, frame.payload)
    return Message(
        recorded.connection,
        recorded.direction,
        frame.opcode,
        frame.payload,
        (recorded,),
        recorded.at,
        compressed=False,
        wire_length=recorded.wire_length,
        problem=problem,
        site=recorded.site,
        connections=recorded.connections,
    )


def _codec(agreed: dict[str, str] | None, direction: str) -> PerMessageDeflate | None:
    if agreed is None:
        return None
    sender = "client" if direction == "in" else "server"
    # The largest window inflates what any smaller one has deflated.
    return PerMessageDeflate(decompress_reset=f"{sender}_no_context_takeover" in agreed)


def _lost(side: _Side, otherwise: str) -> str:
    return "Frames of this message are not in the recorder any more." if side.lossy else otherwise


def _finish(side: _Side, done: list[Message], limit: int, problem: str) -> int:
    """Make a message of what is pending; returns how many bytes were inflated."""
    frames, side.pending = tuple(side.pending), []
    first = frames[0].frame
    assert first is not None  # those without a header are not taken
    opcode = first.opcode
    if not problem and opcode == Opcode.CONTINUATION:
        problem = _lost(side, "There is no message that this frame could continue (RFC 6455 section 5.4).")
    # A later fragment has no RSV1 of its own: without the first, only this direction's habit is known.
    compressed = first.rsv1
    content, hole = _join(frames)
    whole = not problem and not hole
    problem = problem or hole
    inflated = 0
    if compressed and whole:
        content, problem = _inflate(side, content, limit)
        inflated = 0 if problem else len(content)
    elif side.agreed and not whole and (compressed or opcode == Opcode.CONTINUATION):
        side.codec, side.broken = _codec(deflate_agreed(side.connection), side.direction), True
        if compressed:
            content, problem = b"", f"{problem} It cannot be inflated without (RFC 7692 section 7.2.2)."
    problem = problem or _rules(side, frames) or _utf8(opcode, content)
    length = sum(frame.wire_length for frame in frames)
    last = frames[-1].at
    site, end = frames[-1].site, frames[-1].frame
    if side.direction == "in" and end is not None and end.fin:
        site = side.connection.reader(side.ordinal)
        side.ordinal += 1
    message = Message(
        side.connection, side.direction, opcode, content, frames, last, compressed, length, problem, site
    )
    done.append(message)
    return inflated


def _join(frames: tuple[RecordedFrame, ...]) -> tuple[bytes, str]:
    """The payloads up to the first one that is not whole, and what is missing of that."""
    pieces = []
    for recorded in frames:
        frame = recorded.frame
        assert frame is not None
        pieces.append(frame.payload)
        if frame.cut:
            kept = len(frame.payload)
            return b"".join(pieces), f"The recorder kept {kept} of {frame.length} bytes of a frame's payload."
        if len(frame.payload) < frame.length:
            return b"".join(pieces), frame.problem or "A frame's payload is not whole."
    return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), ""


def _inflate(side: _Side, payload: bytes, limit: int) -> tuple[bytes, str]:
    """The content and "", or `payload` as it was or nothing, and the reason."""
    if side.codec is None:
        return payload, "RSV1 is set, and the handshake agreed on no extension (RFC 6455 section 5.2)."
    try:
        return side.codec.decompress(payload, max(0, limit)), ""
    except DeflateTooLargeError:
        side.broken = True
        return b"", "Inflated, this message is larger than what may be held: see `limit`."
    except DeflateError as error:
        # The codec has dropped its window, and starts over with the next message.
        lost, side.broken = side.lossy or side.broken, True
        if lost:
            return b"", (
                "Inflating this message needs earlier ones of its direction that are not in the recorder,"
                " or could not be inflated themselves (RFC 7692 section 7.2.2)."
            )
        return b"", f"{error.problem} (RFC 7692 section 7.2.2)"


def _rules(side: _Side, frames: tuple[RecordedFrame, ...]) -> str:
    for recorded in frames:
        assert recorded.frame is not None
        problem = frame_problem(recorded.frame, side.direction)
        if problem:
            return problem
        if recorded is not frames[0] and recorded.frame.rsv1:
            return "Only a message's first frame may have RSV1 (RFC 7692 section 6.1)."
    return ""


def _utf8(opcode: int, content: bytes) -> str:
    if opcode == Opcode.TEXT:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            return f"Text that is not UTF-8, from byte {error.start} on (RFC 6455 section 8.1)."
    return ""
