"""Connections and frames as plain values of JSON, and whose a record is: what the formats write."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from wslab.wire.recorded import RecordedFrame
from wslab.wire.recorder import RECEIVED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wslab.wire.connection import Connection, Flow
    from wslab.wire.recorder import Record

__all__ = ["MAX_RAW", "by_connection", "connection_fields", "frame_fields", "owners", "to_ns"]

MAX_RAW = 16 * 2**20
"""Bytes of one frame that are written to a file; a longer one is cut there, and says so."""


_SECOND = 10**9


def to_ns(seconds: float) -> int:
    """Seconds as whole nanoseconds, exactly: dividing by ``10**9`` gives the same float back.

    Example:
        >>> to_ns(0.1), to_ns(1784815932.2538662) / 10**9
        (100000000, 1784815932.2538662)
    """
    return round(Fraction(seconds) * _SECOND)


def by_connection(records: Iterable[Record]) -> dict[int, list[Record]]:
    """The records of each connection by its number; what was sent to several is with each of them."""
    grouped: dict[int, list[Record]] = {}
    for record in records:
        for connection in record.connections:
            own = record if len(record.connections) == 1 else record._replace(connections=(connection,))
            grouped.setdefault(connection.number, []).append(own)
    return grouped


def owners(records: Iterable[Record], connections: Iterable[Connection] = ()) -> list[Connection]:
    """The connections of `records` and those in `connections`, each once, in the order of their numbers."""
    found = {connection.number: connection for connection in connections}
    found.update((owner.number, owner) for record in records for owner in record.connections)
    return [found[number] for number in sorted(found)]


def connection_fields(connection: Connection) -> dict[str, Any]:
    """All that is kept of a connection but its frames, as values of JSON. Times are in nanoseconds."""
    fields: dict[str, Any] = {
        "number": connection.number,
        "peer": connection.peer,
        "via": connection.via,
        "state": connection.state,
        "opened_ns": to_ns(connection.opened_at),
        "ended_ns": to_ns(connection.ended_at),
        "rtt_ns": None if connection.rtt is None else to_ns(connection.rtt),
        "first_closer": connection.first_closer,
        "refusal": connection.refusal,
        "remedy": connection.remedy,
        # Latin-1 maps each byte to one character and back: the heads stay readable, and as they were.
        "request": connection.request.decode("latin-1"),
        "response": connection.response.decode("latin-1"),
        "received": _flow_fields(connection.received),
        "sent": _flow_fields(connection.sent),
    }
    readers = connection.received.readers
    if readers is not None:
        known = [(first, connection.reader(first)) for first, _ in readers.runs]
        runs = [[first, *site] for first, site in known if site is not None]
        fields["readers"] = {"count": readers.count, "runs": runs}
    return fields


def _flow_fields(flow: Flow) -> dict[str, Any]:
    close = None
    if flow.close is not None:
        code, reason, at = flow.close
        close = {"code": code, "reason": reason, "time_ns": to_ns(at)}
    return {"frames": flow.frames, "messages": flow.messages, "bytes": flow.bytes, "close": close}


def frame_fields(record: Record) -> dict[str, Any]:
    """A frame as values of JSON: `raw` in base64, with the mask on; `cut` where `raw` is not all of it."""
    raw = record.raw[:MAX_RAW]
    fields: dict[str, Any] = {
        "seq": record.seq,
        "time_ns": record.at_ns,
        "connection": record.connections[0].number,
        "direction": "in" if record.direction == RECEIVED else "out",
        "opcode": RecordedFrame.from_record(record).name,
        "wire_length": record.wire_length,
        "cut": len(raw) < record.wire_length,
        "raw": base64.b64encode(raw).decode("ascii"),
    }
    if len(record.connections) > 1:
        fields["connections"] = [connection.number for connection in record.connections]
    if record.sent_ns:
        fields["sent_ns"] = record.sent_ns
    if record.lag_ns:
        fields["lag_ns"] = record.lag_ns
    if record.site is not None:
        fields["site"] = list(record.site)
    return fields
