"""What a filter (`wslab.wire.query`) can ask of a frame: its fields, their types, and how each is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from wslab.wire.frames import Opcode, close_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.wire.tables import RecordedFrame

__all__ = ["FIELDS", "NULL", "VALUES", "QueryField", "json_reader", "read_value"]

Kind = Literal["number", "opcode", "flag", "connection", "direction", "text", "bytes", "json"]

NULL = object()
"""JSON's null, where None says that there is no such value."""


@dataclass(frozen=True, slots=True)
class QueryField:
    """One field a filter may name.

    Attributes:
        kind: its type, which says what it may be compared with.
        meaning: what it is, for a reader; with the unit of a number.
        read: its value in a frame; None where that frame has none.
    """

    kind: Kind
    meaning: str
    read: Callable[[RecordedFrame], Any]


def _of_frame(name: str) -> Callable[[RecordedFrame], Any]:
    def read(record: RecordedFrame) -> Any:
        frame = record.frame
        return None if frame is None else getattr(frame, name)

    return read


def _masked(record: RecordedFrame) -> bool | None:
    frame = record.frame
    return None if frame is None else frame.mask_key is not None


def _closing(part: int) -> Callable[[RecordedFrame], Any]:
    def read(record: RecordedFrame) -> Any:
        frame = record.frame
        return None if frame is None or frame.opcode != Opcode.CLOSE else close_fields(frame.payload)[part]

    return read


def _conn(record: RecordedFrame) -> str:
    return record.connection.id


def _path(record: RecordedFrame) -> str:
    return record.connection.path


def _peer(record: RecordedFrame) -> str:
    return record.connection.peer


def _time(record: RecordedFrame) -> float:
    return record.at - record.connection.opened_at


FIELDS: dict[str, QueryField] = {
    "opcode": QueryField("opcode", "the opcode, by name or number", _of_frame("opcode")),
    "conn": QueryField("connection", "the connection, such as c3", _conn),
    "dir": QueryField("direction", "in or out, seen from the server", lambda record: record.direction),
    "len": QueryField("number", "bytes of payload that the header announces", _of_frame("length")),
    "wire": QueryField("number", "bytes on the wire, header included", lambda record: record.wire_length),
    "fin": QueryField("flag", "the last frame of its message", _of_frame("fin")),
    "rsv1": QueryField("flag", "RSV1: compressed, where that was negotiated", _of_frame("rsv1")),
    "rsv2": QueryField("flag", "RSV2", _of_frame("rsv2")),
    "rsv3": QueryField("flag", "RSV3", _of_frame("rsv3")),
    "masked": QueryField("flag", "the frame has a masking key", _masked),
    "text": QueryField("text", "the payload as text, as it came: compressed stays so", _of_frame("text")),
    "hex": QueryField("bytes", "the payload's bytes, written in hexadecimal", _of_frame("payload")),
    "bytes": QueryField("bytes", "the same as hex", _of_frame("payload")),
    "code": QueryField("number", "a close frame's code, 1005 for none", _closing(0)),
    "reason": QueryField("text", "a close frame's reason", _closing(1)),
    "problem": QueryField("text", "what is wrong with the frame", _of_frame("problem")),
    "path": QueryField("text", "the request's path, query included", _path),
    "peer": QueryField("text", "the other end's address", _peer),
    "time": QueryField(
        "number",
        "seconds since the connection opened",
        _time,
    ),
    "seq": QueryField("number", "the frame's number in the recorder", lambda record: record.seq),
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


def json_reader(path: str) -> Callable[[RecordedFrame], Any] | None:
    """What reads the value at `path`, such as ``.users[0].name``, of a data frame that is one JSON text.

    Returns:
        None where `path` is not well formed.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return None
        key = step[1] if step[1] is not None else step[3]
        steps.append(re.sub(r"\\(.)", r"\1", key) if key is not None else int(step[2]))
        position = step.end()

    def read(record: RecordedFrame) -> Any:
        frame = record.frame
        if frame is None or frame.opcode & 0x8 or (steps and not _BEGINS.match(frame.payload)):
            return None
        value: Any = _parsed(frame.payload)
        if value is None:
            return NULL if not steps and frame.payload.strip() == b"null" else None
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
