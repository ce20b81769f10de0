"""A recording that was read from a file, and what its formats have in common.

A connection and a frame are written as plain values of JSON (`wslab.wire.files.fields`). Reading them back
goes through a `Builder`, which checks every value (a file is as hostile as the network) and fills the same
`Connection` and `Recorder` that live traffic does, so that everything which works on `lab.frames` works on a
recording.

Nothing but `RecordingError` comes out of reading, and it names the line or the JSON path.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from wslab.errors import RecordingError
from wslab.wire.connection import Connection, Flow
from wslab.wire.recorder import RECEIVED, SENT, Recorder
from wslab.wire.sites import Readers, Site, Sites
from wslab.wire.tables import FrameTable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

__all__ = ["MAX_FILE", "MAX_RECORDS", "Builder", "Recording", "bad_value", "field"]

MAX_FILE = 256 * 2**20
"""Bytes of the largest file that is read: a full recorder of the default size, and some room."""

MAX_RECORDS = 1_000_000
"""Connections and frames that are read from one file."""

_REMEDY = "Save the recording again, or mend the file there."
_SECOND = 10**9
_LATEST_NS = 9_223_372_036 * _SECOND  # the last whole second of 63 bits: nothing before rounds past it
_MOST = 2**63
_NUMBERS = 2**31
_MOST_SITES = 65_536
_STATES = frozenset({"connecting", "open", "closing", "closed", "refused"})
_CLOSERS = frozenset({"", "client", "server"})
_SIDES = {"in": RECEIVED, "out": SENT}

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file held.

    Attributes:
        connections: in the order of the file, those without a frame included.
        frames: the table that `lab.frames` is, too.

    Example:
        >>> from wslab.wire import encode_frame
        >>> builder = Builder()
        >>> row = builder.open(1, "127.0.0.1:50000", "direct", "here")
        >>> row.received.feed(encode_frame(1, b"hi", mask=b"abcd"))
        >>> builder.recording()
        <Recording: 1 connection, 1 frame>
    """

    connections: tuple[Connection, ...]
    frames: FrameTable

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to `path`, whose suffix names the format (`wslab.wire.files.save`).

        Raises:
            RecordingError: another suffix.
            OSError: the file cannot be written.
        """
        self.frames.save(path, self.connections)

    def __repr__(self) -> str:
        def count(number: int, noun: str) -> str:
            return f"{number} {noun}{'' if number == 1 else 's'}"

        return (
            f"<Recording: {count(len(self.connections), 'connection')}, {count(len(self.frames), 'frame')}>"
        )


def bad_value(where: str, expected: str, got: object) -> RecordingError:
    """The error for a value that is not what its place asks for."""
    return RecordingError(f"Expected {expected} at {where}, got {_show(got)}.", remedy=_REMEDY)


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return ascii(value[:40])
    return "a large number" if isinstance(value, int) and abs(value) >= 2**64 else f"{value!r:.40}"


def field(fields: dict[str, Any], name: str, kind: type[_Kind], where: str) -> _Kind:
    """``fields[name]``, which must be of class `kind`.

    Raises:
        RecordingError: it is missing, or of another class; True is not a number here.
    """
    value = fields.get(name)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    nouns = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object", list: "a list"}
    raise bad_value(f"{where}.{name}", nouns[kind], value)


def _whole(fields: dict[str, Any], name: str, where: str, limit: int = _MOST) -> int:
    value = field(fields, name, int, where)
    limit = min(limit, _LATEST_NS + 1) if name.endswith("_ns") else limit
    if not 0 <= value < limit:
        raise bad_value(f"{where}.{name}", f"a number from 0 and below {limit}", value)
    return value


def _one_of(fields: dict[str, Any], name: str, allowed: Iterable[str], where: str) -> str:
    value = field(fields, name, str, where)
    if value not in allowed:
        raise bad_value(f"{where}.{name}", " or ".join(map(repr, sorted(allowed))), value)
    return value


def _head(fields: dict[str, Any], name: str, where: str) -> bytes:
    value = field(fields, name, str, where)
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise bad_value(f"{where}.{name}", "bytes as Latin-1 text", value) from error


class _FileRecorder(Recorder):
    """A recorder that takes the time from the file, grows, and drops nothing: the file is the bound."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        super().__init__(frames=64, budget=MAX_FILE, snaplen=MAX_FILE, sites=Sites())
        self.now = 0

    def append(self, key: int, wire_length: int, raw: bytes, site: int = 0, sent_ns: int = 0) -> None:
        """Keep one frame, at the time `now`."""
        if len(self) > self._mask:
            mask = 2 * self._mask + 1
            ring = self._ring + self._ring
            for seq in range(self.begin, self.end):
                ring[seq & mask] = self._ring[seq & self._mask]
            self._ring, self._mask = ring, mask
        self._ring[self.end & self._mask] = (self.now, key, raw, site, wire_length, sent_ns)
        self.end += 1
        self.held += len(raw)

    def note_late(self, lag_ns: int) -> None:
        """The loop was that late at the time `now`."""
        self._late = deque(self._late, maxlen=None) if self._late.maxlen else self._late
        self._late.append((self.now - lag_ns, self.now))


class Builder:
    """Fills a `Recording` from checked values; each method raises `RecordingError` at a wrong one."""

    def __init__(self) -> None:
        self._recorder = _FileRecorder()
        self._connections: dict[int, Connection] = {}
        self._sites: dict[Site, int] = {}
        self._last: tuple[int, bytes, set[int]] = (-1, b"", set())  # the frame sent last, and to whom

    def _site(self, values: object, where: str) -> int:
        """The number of a line of the application, which is written as [file, line, function]."""
        match values:
            case [str(file), int(line), str(function)] if (
                0 <= line < _NUMBERS and len(self._sites) < _MOST_SITES
            ):
                site = Site(file, line, function)
            case _:
                raise bad_value(where, "file, line and function", values)
        if site not in self._sites:
            sites = self._recorder.sites
            assert sites is not None
            self._sites[site] = sites.add(site)
        return self._sites[site]

    def _readers(self, fields: dict[str, Any], where: str) -> Readers:
        runs = []
        for index, run in enumerate(field(fields, "runs", list, where)):
            place = f"{where}.runs[{index}]"
            match run:
                case [int(first), *site] if 0 <= first < _MOST:
                    runs.append((first, self._site(site, place)))
                case _:
                    raise bad_value(place, "a message's number, file, line and function", run)
        return Readers(_whole(fields, "count", where), runs)

    def open(self, number: int, peer: str, via: str, where: str) -> Connection:
        """A connection with that number, which must be new."""
        if number in self._connections:
            raise bad_value(where, "a connection number that is not used yet", number)
        self._room(where)
        connection = self._connections[number] = Connection(number, peer, self._recorder, via)
        return connection

    def next_number(self) -> int:
        """A number that no connection has yet."""
        return max(self._connections, default=0) + 1

    def set_time(self, nanoseconds: int) -> None:
        """When the frames that follow were seen."""
        self._recorder.now = min(max(0, nanoseconds), _LATEST_NS)

    def _room(self, where: str) -> None:
        if len(self._connections) + len(self._recorder) >= MAX_RECORDS:
            raise RecordingError(
                f"Expected at most {MAX_RECORDS} connections and frames, got more at {where}.",
                remedy="Split the recording.",
            )

    def connection(self, fields: dict[str, Any], where: str) -> Connection:
        """A connection as `connection_fields` wrote it."""
        number = _whole(fields, "number", where, _NUMBERS)
        opened, ended = (_whole(fields, name, where) for name in ("opened_ns", "ended_ns"))
        rtt = None if fields.get("rtt_ns") is None else _whole(fields, "rtt_ns", where)
        heads = _head(fields, "request", where), _head(fields, "response", where)
        texts = {name: field(fields, name, str, where) for name in ("peer", "via", "refusal", "remedy")}
        state: Any = _one_of(fields, "state", _STATES, where)
        first_closer = _one_of(fields, "first_closer", _CLOSERS, where)
        flows = [field(fields, name, dict, where) for name in ("received", "sent")]
        counters = [
            _read_flow(flow, f"{where}.{name}")
            for flow, name in zip(flows, ("received", "sent"), strict=True)
        ]
        if first_closer and counters[first_closer == "server"][3] is None:
            raise bad_value(f"{where}.first_closer", "somebody who sent a close frame", first_closer)
        readers = None
        if "readers" in fields:
            readers = self._readers(field(fields, "readers", dict, where), f"{where}.readers")
        connection = self.open(number, texts["peer"], texts["via"], where)
        connection.received.readers = readers
        connection.state = state
        connection.opened_at, connection.ended_at = opened / _SECOND, ended / _SECOND
        connection.rtt = None if rtt is None else rtt / _SECOND
        connection.first_closer = first_closer
        connection.refusal, connection.remedy = texts["refusal"], texts["remedy"]
        connection.request, connection.response = heads
        for flow, values in zip((connection.received, connection.sent), counters, strict=True):
            flow.frames, flow.messages, flow.bytes, flow.close = values
        return connection

    def frame(self, fields: dict[str, Any], where: str) -> None:
        """A frame as `frame_fields` wrote it; numbering goes on from the first one's."""
        seq = _whole(fields, "seq", where)
        number = _whole(fields, "connection", where, _NUMBERS)
        connection = self._connections.get(number)
        if connection is None:
            raise bad_value(f"{where}.connection", "the number of a connection before it", number)
        direction = _SIDES[_one_of(fields, "direction", _SIDES, where)]
        wire_length = _whole(fields, "wire_length", where)
        nanoseconds = _whole(fields, "time_ns", where)
        text = field(fields, "raw", str, where)
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_value(f"{where}.raw", "base64", text) from error
        if len(raw) > wire_length:
            raise bad_value(f"{where}.wire_length", f"at least the {len(raw)} bytes of raw", wire_length)
        if field(fields, "cut", bool, where) != (len(raw) < wire_length):
            raise bad_value(f"{where}.cut", "whether raw is shorter than wire_length", fields["cut"])
        self._room(where)
        site = self._site(fields["site"], f"{where}.site") if "site" in fields else 0
        sent_ns, lag_ns = (
            _whole(fields, name, where) if name in fields else 0 for name in ("sent_ns", "lag_ns")
        )
        others = self._others(fields, where)
        recorder = self._recorder
        if not len(recorder):
            recorder.begin = recorder.end = seq
        self.set_time(nanoseconds)
        last_seq, last_raw, members = self._last
        if direction == SENT and seq == last_seq and raw == last_raw and number not in members:
            recorder.share(number, last_raw)  # as a file has it that lists frames by connection
            members.add(number)
            return
        recorder.append(number * 2 + direction, wire_length, raw, site, sent_ns)
        self._last = (seq, raw, {number, *others}) if direction == SENT else (-1, b"", set())
        if lag_ns:
            recorder.note_late(min(lag_ns, nanoseconds))
        for other in others:
            recorder.share(other, raw)

    def _others(self, fields: dict[str, Any], where: str) -> list[int]:
        """Those that a frame was sent to beside its first connection."""
        if "connections" not in fields:
            return []
        numbers = field(fields, "connections", list, where)
        known = all(type(number) is int and number in self._connections for number in numbers)
        if not known or len(set(numbers)) < len(numbers) or numbers[:1] != [fields["connection"]]:
            raise bad_value(
                f"{where}.connections", "numbers of connections before it, its own first", numbers
            )
        if fields["direction"] != "out":
            raise bad_value(f"{where}.direction", '"out" for a frame of several connections', "in")
        return numbers[1:]

    def whole(self, flow: Flow, raw: bytes, nanoseconds: int, where: str) -> None:
        """A frame that is known to be whole, counted as live traffic is."""
        self._room(where)
        self.set_time(nanoseconds)
        before = flow.close
        flow.whole(raw)
        if flow.close is not None and before is None:
            flow.close = (*flow.close[:2], nanoseconds / _SECOND)

    def recording(self) -> Recording:
        """What has been read."""
        return Recording(tuple(self._connections.values()), FrameTable(self._recorder))


def _read_flow(fields: dict[str, Any], where: str) -> tuple[int, int, int, tuple[int, str, float] | None]:
    close = None
    if fields.get("close") is not None:
        values = field(fields, "close", dict, where)
        where_close = f"{where}.close"
        code = _whole(values, "code", where_close, 0x10000)
        close = (
            code,
            field(values, "reason", str, where_close),
            _whole(values, "time_ns", where_close) / _SECOND,
        )
    counts = [_whole(fields, name, where) for name in ("frames", "messages", "bytes")]
    return counts[0], counts[1], counts[2], close
