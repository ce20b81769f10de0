"""HAR 1.2, with WebSocket messages where Chromium's developer tools write and read them.

An entry is a connection: its request and response are the handshake's heads, `_webSocketMessages` its
text and binary messages, inflated, seen from the client ("send" is what the client sent). That is what
browsers show, and it is less than what was on the wire. Two fields of our own, which other readers
skip, hold the rest, so that a round trip loses nothing: `_wslab` the connection, `_wslabFrames` its
frames, control frames and masks included (`wslab.wire.files.fields` says how).

Without them, as in a browser's own file, frames are made from the messages: one frame a message, the
client's with a masking key of zeros, because the real one was not recorded.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from wslab.errors import RecordingError
from wslab.wire.files.fields import by_connection, connection_fields, frame_fields, owners, to_ns
from wslab.wire.files.jsonl import decode_json
from wslab.wire.files.recording import MAX_FILE, MAX_RECORDS, Builder, Recording, bad_value, field
from wslab.wire.frames import Opcode, encode_frame
from wslab.wire.handshake import redact_head
from wslab.wire.messages import messages
from wslab.wire.recorded import RecordedFrame
from wslab.wire.recorder import RECEIVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wslab.wire.connection import Connection
    from wslab.wire.handshake import Head
    from wslab.wire.recorder import Record

__all__ = ["dump", "parse"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 2**32  # seconds since the epoch: the year 2106
_MAX_INFLATED = 16 * 2**20  # bytes a connection's messages; those beyond are in `_wslabFrames` alone
_UNMASKED = bytes(4)  # XOR with zeros: the payload stays readable, and the frame is one a client may send
_MOST_VALUES = 16 * MAX_RECORDS  # of the JSON text: a frame has up to 16, and some stand for no frame
_UP_TO_A_MARK = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"?|[^",{\[]++)*+(?:[,{\[]|\Z)', re.DOTALL)
_NO_URI = re.compile(r"%(?![0-9A-Fa-f]{2})|[^\w%:/?@!$&'()*+,;=.~-]", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.~-]+)(?::\d*)?", re.ASCII)
_LINE_ENDS = str.maketrans("\r\n\0", "   ")


def dump(records: Sequence[Record], connections: Sequence[Connection] = ()) -> Iterator[bytes]:
    """A recording as one HAR document, in pieces.

    Args:
        records: the frames.
        connections: those to write although they may have no frame.

    Example:
        >>> import json
        >>> json.loads(b"".join(dump([])))["log"]["version"]
        '1.2'
    """
    grouped = by_connection(records)
    creator = {"name": "wslab", "version": _version()}
    yield b'{"log": {"version": "1.2", "creator": ' + _encode(creator) + b', "pages": [], "entries": ['
    for number, connection in enumerate(owners(records, connections)):
        yield b",\n" if number else b"\n"
        yield _encode(_entry(connection, grouped.get(connection.number, [])))
    yield b"\n]}}\n"


def _encode(value: object) -> bytes:
    return json.dumps(value).encode("ascii")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wslab")
    except PackageNotFoundError:  # a bare checkout
        return "unknown"


def _entry(connection: Connection, records: list[Record]) -> dict[str, Any]:
    request, response = connection.request_head, connection.response_head
    method, _, rest = request.start_line.partition(" ")
    last = records[-1].at_ns / 10**9 if records else connection.opened_at
    milliseconds = max(0.0, (connection.ended_at or last) - connection.opened_at) * 1000
    url = _url(request)
    status_words = response.start_line.split(" ", 2)
    return {
        "startedDateTime": (_EPOCH + timedelta(seconds=min(connection.opened_at, _LATEST))).isoformat(),
        "time": milliseconds,
        "request": {
            "method": method or "GET",
            "url": url,
            "httpVersion": rest.rpartition(" ")[2] or "HTTP/1.1",
            "cookies": [],
            "headers": _headers(request),
            "queryString": _query(url),
            "headersSize": len(connection.request) or -1,
            "bodySize": 0,
        },
        "response": {
            "status": response.status,
            "statusText": status_words[2] if len(status_words) > 2 else "",  # noqa: PLR2004 - the third word on
            "httpVersion": status_words[0] or "HTTP/1.1",
            "cookies": [],
            "headers": _headers(response),
            "content": {"size": 0, "mimeType": "x-unknown"},
            "redirectURL": "",
            "headersSize": len(connection.response) or -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": milliseconds},
        "_resourceType": "websocket",
        "_webSocketMessages": _messages(records),
        "_wslab": connection_fields(connection),
        "_wslabFrames": [frame_fields(record) for record in records],
    }


def _headers(head: Head) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in head.headers]


def _url(request: Head) -> str:
    """The URL asked for: Host and target are a client's, and what no URI may hold (RFC 3986) is encoded."""
    target = _NO_URI.sub(lambda found: quote(found[0], safe="", encoding="latin-1"), request.target)
    begins = _ABSOLUTE.match(target)
    if begins and _is_host(begins[1]):
        return target
    host = request.get("host")
    return f"ws://{host if _is_host(host) else 'unknown.invalid'}/{target.removeprefix('/')}"


def _is_host(text: str) -> bool:
    try:
        _ = urlsplit(f"//{text}").port  # the parts that it refuses are read when they are asked for
    except ValueError:
        return False
    return bool(_HOST.fullmatch(text))


def _query(url: str) -> list[dict[str, str]]:
    query = url.partition("#")[0].partition("?")[2]
    return [{"name": name, "value": value} for name, value in parse_qsl(query, keep_blank_values=True)]


def _messages(records: list[Record]) -> list[dict[str, Any]]:
    """Text and binary messages as Chromium writes them; a damaged one is in `_wslabFrames` alone."""
    found = []
    for message in messages(map(RecordedFrame.from_record, records), limit=_MAX_INFLATED):
        if message.opcode not in {Opcode.TEXT, Opcode.BINARY} or message.problem:
            continue
        text = message.opcode == Opcode.TEXT
        found.append(
            {
                "type": "send" if message.direction == "in" else "receive",
                "time": message.at,
                "opcode": int(message.opcode),
                "data": message.content.decode("utf-8", "replace")
                if text
                else base64.b64encode(message.content).decode("ascii"),
            }
        )
    return found


def parse(file: IO[bytes]) -> Recording:
    """Read the WebSocket connections of a HAR file; its other entries are left out.

    Raises:
        RecordingError: it is not JSON or HAR, or too large; the JSON path says where.

    Example:
        >>> import io
        >>> parse(io.BytesIO(b'{"log": {"entries": [{"request": {}}]}}'))
        <Recording: 0 connections, 0 frames>
        >>> parse(io.BytesIO(b'{"log": {}}'))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        wslab.errors.RecordingError: Expected a list at $.log.entries, got None. ...
    """
    document = _document(file)
    if not isinstance(document, dict):
        raise bad_value("$", "an object", document)
    entries = field(field(document, "log", dict, "$"), "entries", list, "$.log")
    builder = Builder()
    frames: list[tuple[int, str, dict[str, Any]]] = []
    foreign = []
    for number, entry in enumerate(entries):
        where = f"$.log.entries[{number}]"
        if not isinstance(entry, dict):
            raise bad_value(where, "an object", entry)
        if "_wslab" in entry:
            builder.connection(field(entry, "_wslab", dict, where), f"{where}._wslab")
            for index, frame in enumerate(field(entry, "_wslabFrames", list, where)):
                place = f"{where}._wslabFrames[{index}]"
                if not isinstance(frame, dict):
                    raise bad_value(place, "an object", frame)
                frames.append((field(frame, "seq", int, place), place, frame))
        elif "_webSocketMessages" in entry or entry.get("_resourceType") == "websocket":
            foreign.append((entry, where))
    # Entries hold a connection each; the frames of all of them come in the order they were recorded.
    for _, place, frame in sorted(frames, key=lambda item: item[0]):
        builder.frame(frame, place)
    _read_foreign(builder, foreign)
    return builder.recording()


def _document(file: IO[bytes]) -> Any:
    data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise RecordingError(
            f"Expected a HAR file of at most {MAX_FILE} bytes, got a larger one.",
            remedy="Split the recording.",
        )
    if _too_many_values(data):
        raise RecordingError(
            f"Expected a HAR file of at most {_MOST_VALUES} values, got more.", remedy="Split the recording."
        )
    return decode_json(data, "$")


def _too_many_values(data: bytes) -> bool:
    """Whether a JSON text may take more memory than it should: a value takes some 60 bytes, be it of two."""
    if sum(map(data.count, (b",", b"{", b"["))) <= _MOST_VALUES:
        return False
    marks = _UP_TO_A_MARK.finditer(data)  # a message's text may be full of them: those count that are in none
    return next(islice(marks, _MOST_VALUES + 2, None), None) is not None


def _read_foreign(builder: Builder, entries: list[tuple[dict[str, Any], str]]) -> None:
    """Connections as other programs write them."""
    waiting = []
    for entry, where in entries:
        connection = _connection(builder, entry, where)
        listed = field(entry, "_webSocketMessages", list, where) if "_webSocketMessages" in entry else []
        for index, message in enumerate(listed):
            place = f"{where}._webSocketMessages[{index}]"
            if not isinstance(message, dict):
                raise bad_value(place, "an object", message)
            frame = _frame(message, place)
            if frame is not None:
                waiting.append((*frame, connection, place))
    waiting.sort(key=lambda item: item[0])
    for nanoseconds, direction, raw, connection, place in waiting:
        flow = connection.received if direction == RECEIVED else connection.sent
        builder.whole(flow, raw, nanoseconds, place)


def _connection(builder: Builder, entry: dict[str, Any], where: str) -> Connection:
    request, response = (field(entry, name, dict, where) for name in ("request", "response"))
    connection = builder.open(builder.next_number(), "", "direct", where)
    started = field(entry, "startedDateTime", str, where)
    try:
        moment = datetime.fromisoformat(started)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        connection.opened_at = min(max(0.0, (aware - _EPOCH).total_seconds()), _LATEST)
    except (ValueError, OverflowError) as error:
        raise bad_value(f"{where}.startedDateTime", "a time as ISO 8601 writes it", started) from error
    url = field(request, "url", str, f"{where}.request")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise bad_value(f"{where}.request.url", "a URL", url) from error
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = _lines(request, f"{where}.request")
    connection.request = _head(
        f"{field(request, 'method', str, f'{where}.request')} {target} HTTP/1.1", headers
    )
    status = field(response, "status", int, f"{where}.response")
    if status > 0:  # 0 and -1 stand for no answer
        reason = field(response, "statusText", str, f"{where}.response")
        headers = _lines(response, f"{where}.response")
        line = f"HTTP/1.1 {min(status, 999)} {reason}"
        connection.note_response(_head(line, headers), status)
    return connection


def _lines(head: dict[str, Any], where: str) -> list[str]:
    lines = []
    for index, header in enumerate(field(head, "headers", list, where)):
        place = f"{where}.headers[{index}]"
        if not isinstance(header, dict):
            raise bad_value(place, "an object", header)
        name, value = (field(header, part, str, place) for part in ("name", "value"))
        if not name.startswith(":"):  # HTTP/2's own fields: no head of HTTP/1.1 has them
            lines.append(f"{name}: {value}")
    return lines


def _head(first: str, lines: list[str]) -> bytes:
    """A head from a browser's fields, which hold secrets still; a line's end in one would add a header."""
    text = "\r\n".join(line.translate(_LINE_ENDS) for line in (first, *lines))
    return redact_head(text.encode("latin-1", "replace") + b"\r\n\r\n")


def _frame(message: dict[str, Any], where: str) -> tuple[int, int, bytes] | None:
    """(nanoseconds, direction, bytes) of a message; None for what is no frame, such as Chromium's errors."""
    opcode = field(message, "opcode", int, where)
    kind = field(message, "type", str, where)
    if opcode not in Opcode._value2member_map_ or kind not in {"send", "receive"}:
        return None
    at = message.get("time")
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < _LATEST:
        raise bad_value(f"{where}.time", "seconds since the epoch", at)
    data = field(message, "data", str, where)
    if opcode == Opcode.TEXT:
        payload = data.encode("utf-8", "replace")
    else:
        try:
            payload = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_value(f"{where}.data", "base64", data) from error
    sent = kind == "send"
    raw = encode_frame(opcode, payload, mask=_UNMASKED if sent else False)
    return to_ns(at), RECEIVED if sent else 1 - RECEIVED, raw
