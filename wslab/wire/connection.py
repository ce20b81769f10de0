"""One connection's record: who, when, the handshake, the counters, and how it ended.

A `Connection` is written by the tap on the transport (`wslab.server.tap`) and read by everybody. It
holds no socket. Its states follow RFC 6455 section 4 and 7 as an observer sees them on the wire::

    connecting --101 sent--> open --a close frame, either way--> closing --transport gone--> closed
        |                      '------------- transport gone ---------------------------------^
        '--another status--> refused
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wslab.wire.frames import Opcode, close_fields, frame_length, parse_frame
from wslab.wire.handshake import Head, parse_head
from wslab.wire.recorder import NUMBER, RECEIVED, Recorder
from wslab.wire.sites import Readers, Spotter
from wslab.wire.ways import alterations

if TYPE_CHECKING:
    from collections import deque

    from wslab.wire.explain import Explanation
    from wslab.wire.sites import Site

__all__ = ["Close", "Connection", "Flow", "State"]

State = Literal["connecting", "open", "closing", "closed", "refused"]

_CONTROL = 0x08
_PIECES = 1024  # of one frame, until they are joined
_SHORT_END = {n: n + 2 for n in range(126)} | {0x80 | n: n + 6 for n in range(126)}
"""A header's second byte, and where a frame with a short length ends: the most frequent chunk is one."""
_CODE_ONLY_MASKED = 0x82  # the second byte of a masked frame with two bytes of payload


@dataclass(frozen=True, slots=True)
class Close:
    """How a connection ended, or is about to.

    Attributes:
        code: 1000–4999 as received or sent; 1005 for a close frame without a code; 1006 where the
            transport ended without one (RFC 6455 section 7.1.5).
        reason: text of the first close frame.
        by: who sent the first close frame: "client", "server" or "".
    """

    code: int
    reason: str = ""
    by: str = ""


class Flow(Spotter):
    """One direction of one connection: finds frame boundaries, counts, and hands frames on.

    `feed` takes the stream's bytes in any chunking. The common chunk is exactly one frame and is
    recorded as it came, without a copy; all else takes the slower path. Only the few header bytes
    are looked at here: fields are read when somebody asks (`wslab.wire.frames.parse_frame`).

    Attributes:
        frames, messages, bytes: seen so far; a message is counted at its last fragment.
        close: the first close frame, as (code, reason, time), or None.
        site: the number of the application's line that sends what comes next; 0 where that is not known.
        readers: which line received each message; None where that is not noted.
        stamps: when one of the lab's own clients has sent each message that is still to come, in
            nanoseconds since the epoch; None for other clients.
    """

    __slots__ = (
        "_connection",
        "_kept",
        "_key",
        "_missing",
        "_name",
        "_recorder",
        "_shared",
        "_total",
        "bytes",
        "close",
        "frames",
        "messages",
        "readers",
        "site",
        "stamps",
    )

    def __init__(self, connection: Connection, direction: int, recorder: Recorder) -> None:
        super().__init__(recorder.sites)
        self._connection = connection
        self._key = connection.number * 2 + direction
        self._recorder = recorder
        self._shared = -1  # the recorder's end when this connection was sent a shared frame last
        self._name = b""  # this connection's number in the list of those that share a frame
        self._kept: list[bytes] | None = None  # the beginning of a frame that has not ended yet
        self._missing = 0  # bytes of that frame still to come, once its length is known
        self._total = 0  # its whole length, 0 while unknown
        self.frames = 0
        self.messages = 0
        self.bytes = 0
        self.close: tuple[int, str, float] | None = None
        self.site = 0
        self.readers: Readers | None = None
        self.stamps: deque[int] | None = None

    @property
    def direction(self) -> int:  # type: ignore[override]  # a number for a plain spotter, worked out here
        """`RECEIVED` or `SENT`."""
        return self._key & 1

    def note_read(self) -> None:
        """The application gets the next message, and has called this, by whatever detour."""
        if self._sites is None:
            return
        readers = self.readers
        if readers is None:
            readers = self.readers = Readers()
        readers.note(self.spot())

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        size = len(data)
        position = 0
        if self._kept is not None:
            if not self._total:  # not even the header is complete: few bytes, and a rare cut
                data = b"".join((*self._kept, data))
                size = len(data)
                self._kept = None
            else:
                position = self._continue(data)
        elif size > 1 and _SHORT_END.get(data[1]) == size:
            self.whole(data)
            return
        while position < size:
            total = frame_length(data, position)
            end = position + total
            if not total or end > size:
                self._begin(data, position, total)
                return
            self.whole(data if total == size else data[position:end])
            position = end

    def whole(self, frame: bytes, site: int = 0) -> None:
        """Take one frame that is known to be whole, as `wslab.wire.engine` makes them.

        Args:
            frame: its bytes.
            site: the number of the line that sent it; `Flow.site` where it is 0.
        """
        size = len(frame)
        recorder = self._recorder
        first = frame[0]
        if first & _CONTROL or size > recorder.snaplen:
            self._frame(frame[: recorder.snaplen], size, site)
            return
        self.frames += 1
        self.bytes += size
        self.messages += first >> 7
        sent = self.stamps.popleft() if self.stamps and first >> 7 else 0
        recorder.append(self._key, size, frame, site or self.site, sent)

    def share(self, frame: bytes) -> None:
        """Take a whole message's frame that other connections may be sent as well, as this very object."""
        recorder = self._recorder
        end = recorder.end
        if self._shared == end:  # this connection has the newest one already
            shares = False
        elif recorder.shared is frame and recorder.shared_end == end:
            self._name = name = self._name or (self._key >> 1).to_bytes(NUMBER)
            recorder.members += name
            shares = True
        else:
            shares = recorder.share(self._key >> 1, frame)
        if shares:
            self._shared = end
            self.frames += 1
            self.bytes += len(frame)
            self.messages += 1
        else:
            self.whole(frame, self.spot())
            self._shared = recorder.end

    def _begin(self, data: bytes, position: int, total: int) -> None:
        """Keep the start of a frame that this chunk does not end; its length may not be known yet."""
        self._total = total
        self._missing = total - (len(data) - position)
        room = self._recorder.snaplen
        whole_chunk = not position and len(data) <= room
        self._kept = [data if whole_chunk else data[position : position + room]]

    def _continue(self, data: bytes) -> int:
        """Add to the frame that is under way; returns where the next one starts."""
        kept, size = self._kept, len(data)
        assert kept is not None
        taken = min(self._missing, size)
        room = self._recorder.snaplen - (self._total - self._missing)
        if room > 0:
            kept.append(data if taken == size <= room else data[: min(taken, room)])
        self._missing -= taken
        if not self._missing:
            total = self._total
            self._reset()
            self._frame(b"".join(kept), total)
        elif len(kept) >= _PIECES:
            kept[:] = [b"".join(kept)]  # many small pieces cost more than what they hold
        return taken

    def _reset(self) -> None:
        self._kept = None
        self._missing = self._total = 0

    def finish(self) -> None:
        """The stream ended; a frame that was under way is recorded as far as it came."""
        if self._kept is not None:
            kept = b"".join(self._kept)
            arrived = self._total - self._missing if self._total else len(kept)
            self._reset()
            self.bytes += arrived
            self._recorder.append(self._key, arrived, kept)

    def _frame(self, raw: bytes, wire_length: int, site: int = 0) -> None:
        self.frames += 1
        self.bytes += wire_length
        first = raw[0]
        if first & _CONTROL:
            if first & 0x0F == Opcode.CLOSE and self.close is None:
                self.close = (*_close_of(raw), time.time())
                self._connection.note_close(self._key & 1)
            sent = 0
        else:
            self.messages += first >> 7
            sent = self.stamps.popleft() if self.stamps and first >> 7 else 0
        self._recorder.append(self._key, wire_length, raw, site or self.site, sent)


def _close_of(raw: bytes) -> tuple[int, str]:
    """Code and reason of a close frame."""
    if len(raw) == 8 and raw[1] == _CODE_ONLY_MASKED:  # noqa: PLR2004 - these two are by far the most frequent
        return (raw[6] ^ raw[2]) << 8 | (raw[7] ^ raw[3]), ""
    if len(raw) == 4:  # noqa: PLR2004 - and from a server
        return raw[2] << 8 | raw[3], ""
    frame = parse_frame(raw)
    return close_fields(frame.payload if frame else b"")


class Connection:
    """What is known of one connection.

    Attributes:
        id: what people call it, such as ``"c3"``; `number` is its 3.
        peer: the other end's address, ``host:port``.
        via: the way in: "direct", "proxy", "tunnel" or "memory".
        state: see the module's text.
        opened_at, ended_at: seconds since the epoch; `ended_at` is 0 while it lives.
        rtt: seconds between the server's last ping and its pong; None before the first, and where another
            implementation than the lab's own pings.
        refusal, remedy: why the handshake was refused, and what would have worked; "" otherwise.
        request, response: the handshake's heads as they were on the wire, redacted.
        received, sent: counters of each direction, seen from the server.
    """

    __slots__ = (
        "_recorder",
        "ended_at",
        "ended_ids",
        "first_closer",
        "id",
        "number",
        "opened_at",
        "peer",
        "received",
        "refusal",
        "remedy",
        "request",
        "response",
        "rtt",
        "sent",
        "state",
        "via",
    )

    def __init__(self, number: int, peer: str, recorder: Recorder, via: str = "direct") -> None:
        self.number = number
        self.id = f"c{number}"
        self.peer = peer
        self.via = via
        self.state: State = "connecting"
        self.opened_at = time.time()
        self.ended_at = 0.0
        self.request = b""
        self.response = b""
        self.ended_ids: deque[str] | None = None  # the table's, which takes this connection's when it ends
        self.first_closer = ""
        self.rtt: float | None = None
        self.refusal = self.remedy = ""
        self.received = Flow(self, RECEIVED, recorder)
        self.sent = Flow(self, 1 - RECEIVED, recorder)
        self._recorder = recorder
        recorder.enlist(self)

    @property
    def path(self) -> str:
        """The request target's path, query included, redacted."""
        # Asked for at every handshake: the first line alone is enough.
        words = self.request.partition(b"\r\n")[0].split(b" ", 2)
        return words[1].decode("latin-1") if len(words) > 1 else ""

    @property
    def request_head(self) -> Head:
        """The request's head, parsed."""
        return parse_head(self.request)

    @property
    def response_head(self) -> Head:
        """The response's head, parsed."""
        return parse_head(self.response)

    @property
    def altered(self) -> tuple[str, ...]:
        """What the way in alters, as sentences (`wslab.wire.ways`)."""
        return alterations(self.via)

    @property
    def subprotocol(self) -> str:
        """The subprotocol the server chose; "" for none."""
        return self.response_head.get("sec-websocket-protocol")

    @property
    def close(self) -> Close | None:
        """How it ended or is ending; None while it is open or was never opened."""
        if self.first_closer:
            first = self.received.close if self.first_closer == "client" else self.sent.close
            assert first is not None
            return Close(first[0], first[1], self.first_closer)
        return Close(1006) if self.state == "closed" else None

    def reader(self, message: int) -> Site | None:
        """The application's line that received a message, counted from 0; None where that is not known."""
        readers, sites = self.received.readers, self._recorder.sites
        return sites[readers.of(message)] if readers is not None and sites is not None else None

    def note_response(self, head: bytes, status: int) -> None:
        """The server's answer to the handshake is complete."""
        self.response = head
        self.state = "open" if status == 101 else "refused"  # noqa: PLR2004 - Switching Protocols

    def note_close(self, direction: int) -> None:
        """The first close frame of one direction passed."""
        if not self.first_closer:
            self.first_closer = "client" if direction == RECEIVED else "server"
            self.state = "closing"

    def note_end(self) -> None:
        """The transport is gone. Harmless when it is said twice."""
        if self.ended_at:
            return
        self.received.finish()
        self.sent.finish()
        self.ended_at = time.time()
        self._recorder.retire(self)
        if self.ended_ids is not None:
            self.ended_ids.append(self.id)
        if self.state != "refused":
            self.state = "closed"

    def explain(self) -> Explanation:
        """The handshake, the counters and the end, in words (`wslab.wire.explain`)."""
        from wslab.wire.explain import explain_connection

        return explain_connection(self)

    def to_dict(self) -> dict[str, object]:
        """Its table row, as plain values."""
        close = self.close
        return {
            "id": self.id,
            "state": self.state,
            "peer": self.peer,
            "path": self.path,
            "via": self.via,
            "altered": " ".join(self.altered),
            "messages_in": self.received.messages,
            "messages_out": self.sent.messages,
            "bytes_in": self.received.bytes,
            "bytes_out": self.sent.bytes,
            "code": close.code if close else None,
            "reason": close.reason if close else "",
            "closed_by": close.by if close else "",
            "rtt": self.rtt,
            "opened_at": self.opened_at,
            "ended_at": self.ended_at or None,
        }

    def __repr__(self) -> str:
        close = self.close
        end = f" {close.code} by {close.by or 'nobody'}" if close else ""
        way = f" via {self.via} (alters {len(self.altered)} things: .altered)" if self.altered else ""
        return (
            f"<Connection {self.id} {self.state}{end} {self.peer} {self.path}{way}"
            f" in {self.received.messages} out {self.sent.messages}>"
        )
