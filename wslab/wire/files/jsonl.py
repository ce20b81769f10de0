"""JSON Lines: one line a connection, one a frame, and nothing is lost.

The first line names the format; every other has a `type`. A connection's line comes before its frames'::

    {"type": "recording", "version": 1}
    {"type": "connection", "number": 1, "peer": "127.0.0.1:50000", "opened_ns": 1784815932253866200, ...}
    {"type": "frame", "seq": 0, "connection": 1, "direction": "in", "raw": "gYVhYmNkCQcPCA4=", ...}

Times are nanoseconds since the epoch; heads are Latin-1 text, one character a byte, redacted; `raw` is
base64 of the frame as it was on the wire, as far as it was kept.
"""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from wslab.errors import RecordingError
from wslab.wire.files.fields import MAX_RAW, connection_fields, frame_fields, owners
from wslab.wire.files.recording import MAX_FILE, Builder, Recording, bad_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wslab.wire.connection import Connection
    from wslab.wire.recorder import Record

__all__ = ["MAX_LINE", "VERSION", "decode_json", "dump", "parse"]

VERSION = 1
"""Of the format; a file with another one is refused."""

MAX_LINE = MAX_RAW * 4 // 3 + 2**16
"""Bytes of the longest line that is read: base64 of the longest frame, and room for its other fields."""


def dump(records: Sequence[Record], connections: Sequence[Connection] = ()) -> Iterator[bytes]:
    r"""The lines of a recording, in order.

    Args:
        records: the frames.
        connections: those to write although they may have no frame.

    Example:
        >>> list(dump([]))
        [b'{"type": "recording", "version": 1}\n']
    """
    yield _line("recording", {"version": VERSION})
    for connection in owners(records, connections):
        yield _line("connection", connection_fields(connection))
    for record in records:
        yield _line("frame", frame_fields(record))


def _line(kind: str, fields: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, **fields}).encode("ascii") + b"\n"


def decode_json(data: bytes, where: str) -> Any:
    """`data` as JSON, strictly: no NaN, no Infinity.

    Raises:
        RecordingError: it is not UTF-8, not JSON, or nested too deeply.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise RecordingError(
            f"Expected JSON in UTF-8 at {where}, got something else: {str(error)[:120] or 'too deep'}.",
            remedy="Check that the file is whole.",
        ) from error


def parse(file: IO[bytes]) -> Recording:
    r"""Read a recording, line by line; empty lines are allowed.

    Raises:
        RecordingError: a line that is no JSON, misses a field or is too long; too many lines or bytes.

    Example:
        >>> import io
        >>> parse(io.BytesIO(b'{"type": "recording", "version": 1}\n'))
        <Recording: 0 connections, 0 frames>
        >>> parse(io.BytesIO(b'{"type": "recording", "version": 1}\n{}\n'))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        wslab.errors.RecordingError: Expected "connection" or "frame" at line 2.type, got None. ...
    """
    builder = Builder()
    number = read = 0
    begun = False
    while line := file.readline(MAX_LINE + 1):
        number += 1
        read += len(line)
        where = f"line {number}"
        if len(line) > MAX_LINE or read > MAX_FILE:
            raise RecordingError(
                f"Expected lines of at most {MAX_LINE} bytes, {MAX_FILE} in all, got more at {where}.",
                remedy="Split the recording.",
            )
        if line.strip():
            _take(builder, decode_json(line, where), where, first=not begun)
            begun = True
    if not begun:
        raise RecordingError(
            "Expected a recording as JSON Lines, got an empty file.", remedy="Save it again."
        )
    return builder.recording()


def _take(builder: Builder, fields: object, where: str, *, first: bool) -> None:
    if not isinstance(fields, dict):
        raise bad_value(where, "an object", fields)
    kind = fields.get("type")
    if first:
        if kind != "recording":
            raise bad_value(f"{where}.type", '"recording"', kind)
        version = fields.get("version")
        if version is True or version != VERSION:
            raise bad_value(f"{where}.version", f"version {VERSION} of the format", version)
    elif kind == "connection":
        builder.connection(fields, where)
    elif kind == "frame":
        builder.frame(fields, where)
    else:
        raise bad_value(f"{where}.type", '"connection" or "frame"', kind)
