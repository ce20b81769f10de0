"""What a filter (`wslab.wire.query`) can ask of a frame: its fields, their types, and how each is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from wslab.wire.frames import Opcode, close_fields
from wslab.wire.messages import frame_problem
from wslab.wire.recorder import RECEIVED

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.wire.messages import Message
    from wslab.wire.recorded import RecordedFrame
    from wslab.wire.recorder import Record

    Read = Callable[[RecordedFrame, Message | None], Any]
    ReadRecord = Callable[[Record], Any]

__all__ = ["FIELDS", "NULL", "VALUES", "Need", "QueryField", "json_path", "json_reader", "read_value"]

Kind = Literal["number", "opcode", "flag", "connection", "direction", "text", "bytes", "json"]

Need = Literal["content", "reader"]

NULL = object()
"""JSON's null, where None says that there is no such value."""


@dataclass(frozen=True, slots=True)
class QueryField:
    """One field a filter may name.

    Attributes:
        kind: its type, which says what it may be compared with.
        meaning: what it is, for a reader; with the unit of a number.
        read: its value in a frame, None where that frame has none. The second argument is the message that
            the frame is part of, where that is known: what a fragment or a compressed frame holds is not to
            be had from it alone.
        read_record: the same from the record, for what can be had without parsing it.
        needs: whether the value is of the message: "content" for what a fragment or a compressed frame cannot
            tell, "reader" for what no received frame can.
        several: the value is a tuple, and a comparison holds where it does for one of them (!= for all).
    """

    kind: Kind
    meaning: str
    read: Read
    read_record: ReadRecord | None = None
    needs: frozenset[Need] = frozenset()
    several: bool = False


# What a frame has to itself.


def _of_frame(name: str) -> Read:
    def read(recorded: RecordedFrame, _message: Message | None) -> Any:
        frame = recorded.frame
        return None if frame is None else getattr(frame, name)

    return read


def _masked(recorded: RecordedFrame, _message: Message | None) -> bool | None:
    frame = recorded.frame
    return None if frame is None else frame.mask_key is not None


def _problem(recorded: RecordedFrame, _message: Message | None) -> str | None:
    return None if recorded.frame is None else frame_problem(recorded.frame, recorded.direction)


def _closing(part: int) -> Read:
    def read(recorded: RecordedFrame, _message: Message | None) -> Any:
        frame = recorded.frame
        return None if frame is None or frame.opcode != Opcode.CLOSE else close_fields(frame.payload)[part]

    return read


def _conn(recorded: RecordedFrame, _message: Message | None) -> tuple[str, ...]:
    return tuple([connection.id for connection in recorded.connections])


def _path(recorded: RecordedFrame, _message: Message | None) -> tuple[str, ...]:
    return tuple([connection.path for connection in recorded.connections])


def _peer(recorded: RecordedFrame, _message: Message | None) -> tuple[str, ...]:
    return tuple([connection.peer for connection in recorded.connections])


def _time(recorded: RecordedFrame, _message: Message | None) -> float:
    return recorded.at - recorded.connection.opened_at


def _site(recorded: RecordedFrame, message: Message | None) -> str | None:
    site = recorded.site if message is None else message.site
    return f"{site.file}:{site.line}" if site else None


def _lag(recorded: RecordedFrame, _message: Message | None) -> float:
    return recorded.lag


# The same from the record: most filters begin with one of these, and parsing costs far more.

_ENOUGH = 14  # bytes: no header is longer


def _whole(raw: bytes) -> bool:
    """Whether the header is, in fewer bytes than the longest takes."""
    if len(raw) < 2:  # noqa: PLR2004 - the two bytes every header has
        return False
    extended = {126: 2, 127: 8}.get(raw[1] & 0x7F, 0)
    return len(raw) >= 2 + extended + (4 if raw[1] & 0x80 else 0)


def _record_opcode(record: Record) -> int | None:
    raw = record.raw
    return raw[0] & 0xF if len(raw) >= _ENOUGH or _whole(raw) else None


def _record_bit(byte: int, bit: int) -> ReadRecord:
    def read(record: Record) -> bool | None:
        raw = record.raw
        return bool(raw[byte] & bit) if len(raw) >= _ENOUGH or _whole(raw) else None

    return read


def _record_length(record: Record) -> int | None:
    raw = record.raw
    if len(raw) < _ENOUGH and not _whole(raw):
        return None
    length = raw[1] & 0x7F
    if length < 126:  # noqa: PLR2004 - a length of 7 bits
        return length
    return int.from_bytes(raw[2:4] if length == 126 else raw[2:10])  # noqa: PLR2004 - 16 bits, or 64


def _record_conn(record: Record) -> tuple[str, ...]:
    return tuple([connection.id for connection in record.connections])


def _record_direction(record: Record) -> str:
    return "in" if record.direction == RECEIVED else "out"


# What is its message's.


def _payload(recorded: RecordedFrame, message: Message | None) -> bytes | None:
    if message is not None:
        return message.content
    return None if recorded.frame is None else recorded.frame.payload


def _text(recorded: RecordedFrame, message: Message | None) -> str | None:
    if message is not None:
        return message.text
    return None if recorded.frame is None else recorded.frame.text


def _compressed(recorded: RecordedFrame, message: Message | None) -> bool | None:
    if message is not None:
        return message.compressed
    return None if recorded.frame is None else recorded.frame.rsv1 and not recorded.frame.control


def _message_length(recorded: RecordedFrame, message: Message | None) -> int | None:
    """A message that is not whole has the length it is known to have had, if that is known."""
    if message is None:
        frame = recorded.frame
        alone = frame is not None and frame.fin and not frame.rsv1 and frame.opcode in _BEGINNING
        return frame.length if frame is not None and alone else None
    if not message.compressed:
        return sum(part.frame.length for part in message.frames if part.frame is not None)
    return len(message.content) or None if message.problem else len(message.content)


_CONTENT: frozenset[Need] = frozenset({"content"})
_READER: frozenset[Need] = frozenset({"reader"})
_BEGINNING = (Opcode.TEXT, Opcode.BINARY)

FIELDS: dict[str, QueryField] = {
    "opcode": QueryField("opcode", "the opcode, by name or number", _of_frame("opcode"), _record_opcode),
    "conn": QueryField("connection", "the connection, such as c3", _conn, _record_conn, several=True),
    "dir": QueryField(
        "direction",
        "in or out, seen from the server",
        lambda recorded, _: recorded.direction,
        _record_direction,
    ),
    "len": QueryField(
        "number", "bytes of payload that the header announces", _of_frame("length"), _record_length
    ),
    "wire": QueryField(
        "number",
        "bytes on the wire, header included",
        lambda recorded, _: recorded.wire_length,
        attrgetter("wire_length"),
    ),
    "fin": QueryField("flag", "the last frame of its message", _of_frame("fin"), _record_bit(0, 0x80)),
    "rsv1": QueryField(
        "flag", "RSV1: compressed, where that was negotiated", _of_frame("rsv1"), _record_bit(0, 0x40)
    ),
    "rsv2": QueryField("flag", "RSV2", _of_frame("rsv2"), _record_bit(0, 0x20)),
    "rsv3": QueryField("flag", "RSV3", _of_frame("rsv3"), _record_bit(0, 0x10)),
    "masked": QueryField("flag", "the frame has a masking key", _masked, _record_bit(1, 0x80)),
    "text": QueryField(
        "text", "the message as text; of a close frame, code and reason", _text, needs=_CONTENT
    ),
    "hex": QueryField("bytes", "the message's bytes, written in hexadecimal", _payload, needs=_CONTENT),
    "bytes": QueryField("bytes", "the same as hex", _payload, needs=_CONTENT),
    "msg.len": QueryField("number", "bytes of the message, inflated", _message_length, needs=_CONTENT),
    "compressed": QueryField("flag", "the message was compressed", _compressed, needs=_CONTENT),
    "code": QueryField("number", "a close frame's code, 1005 for none", _closing(0)),
    "reason": QueryField("text", "a close frame's reason", _closing(1)),
    "problem": QueryField("text", "what is wrong with the frame", _problem),
    "path": QueryField("text", "the request's path, query included", _path, several=True),
    "peer": QueryField("text", "the other end's address", _peer, several=True),
    "time": QueryField("number", "seconds since the connection opened", _time),
    "lag": QueryField("number", "seconds by which the event loop was late then", _lag),
    "site": QueryField("text", "file:line of the application that sent or received it", _site, needs=_READER),
    "line": QueryField("text", "the same as site", _site, needs=_READER),
    "seq": QueryField(
        "number", "the frame's number in the recorder", lambda recorded, _: recorded.seq, attrgetter("seq")
    ),
}
"""Every field but ``json``, ``json.<key>`` and ``json[<index>]``, which `json_reader` makes."""

_STEP = re.compile(r"""\.([\w$@-]+)|\[(\d{1,9})\]|\["((?:[^"\\]|\\.)*)"\]""", re.ASCII | re.DOTALL)
_BEGINS = re.compile(rb"\s*[\[{]")


@lru_cache(maxsize=4)  # several conditions of one filter look at the same payload
def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _item(value: Any, step: str | int) -> Any:
    return value[step]


def json_path(path: str) -> tuple[list[str | int], int]:
    """The keys and indices of a path such as ``.users[0].name``, and where in it they end.

    Returns:
        An end before the path's own where what follows is not well formed.

    Example:
        >>> json_path(".users[0].name"), json_path(".a..b")
        ((['users', 0, 'name'], 14), (['a'], 2))
    """
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            break
        key = step[1] if step[1] is not None else step[3]
        steps.append(re.sub(r"\\(.)", r"\1", key) if key is not None else int(step[2]))
        position = step.end()
    return steps, position


def json_reader(steps: list[str | int]) -> Read:
    """What reads the value behind `steps` in a message that is one JSON text."""

    def read(recorded: RecordedFrame, message: Message | None) -> Any:
        frame = recorded.frame
        if frame is None or frame.opcode & 0x8:
            return None
        payload = frame.payload if message is None else message.content
        if steps and not _BEGINS.match(payload):
            return None
        value: Any = _parsed(payload)
        if value is None:
            return NULL if not steps and payload.strip() == b"null" else None
        for step in steps:
            if not isinstance(value, dict if isinstance(step, str) else list):
                return None
            try:
                value = _item(value, step)
            except LookupError:
                return None
        return NULL if value is None else value

    return read


_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]{1,16}|\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?)", re.ASCII)
_CODES = {opcode.name.lower(): int(opcode) for opcode in Opcode}
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
_JSON = {"true": True, "false": False, "null": NULL}

VALUES: dict[Kind, str] = {
    "number": "a number",
    "opcode": f"one of {', '.join(_CODES)}, or a number",
    "flag": "1, 0, true or false",
    "connection": "a connection such as c3",
    "direction": "in or out",
    "text": "a text",
    "bytes": "bytes in hexadecimal, such as ca:fe",
    "json": "a value",
}
"""What each type of field is compared with, for a reader."""


def read_value(kind: Kind, written: str, *, quoted: bool) -> Any:
    """The value that `written` means beside a field of that kind; None where it means none.

    Example:
        >>> read_value("opcode", "ping", quoted=False), read_value("number", "12", quoted=True)
        (9, None)
    """
    return _READERS[kind](written, quoted)


def _opcode(written: str, quoted: bool) -> Any:
    known = _CODES.get(written.lower())
    return _number(written, quoted) if known is None else known


def _connection(written: str, _quoted: bool) -> str | None:
    number = written.lower().removeprefix("c")
    return f"c{number}" if number.isascii() and number.isdigit() else None


def _direction(written: str, _quoted: bool) -> str | None:
    return written.lower() if written.lower() in {"in", "out"} else None


def _json_value(written: str, quoted: bool) -> Any:
    number = _number(written, quoted)
    if number is not None:
        return number
    return written if quoted else _JSON.get(written, written)


def _number(written: str, quoted: bool) -> int | float | None:
    if quoted or not _NUMBER.fullmatch(written):
        return None
    if "x" in written.lower():
        return int(written, 16)
    return float(written) if any(char in written for char in ".eE") else int(written)


def _bytes(written: str, _quoted: bool) -> bytes | None:
    try:
        return bytes.fromhex(written.lower().removeprefix("0x").replace(":", " "))
    except ValueError:
        return None


_READERS: dict[Kind, Callable[[str, bool], Any]] = {
    "number": _number,
    "opcode": _opcode,
    "flag": lambda written, quoted: None if quoted else _FLAGS.get(written.lower()),
    "connection": _connection,
    "direction": _direction,
    "text": lambda written, _: written,
    "bytes": _bytes,
    "json": _json_value,
}
