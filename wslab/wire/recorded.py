"""One frame as it was recorded: who, when and where from, beside its own fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wslab.wire.frames import Frame, parse_frame
from wslab.wire.messages import frame_problem
from wslab.wire.recorder import RECEIVED
from wslab.wire.shown import printable

if TYPE_CHECKING:
    from wslab.wire.connection import Connection
    from wslab.wire.explain import Explanation
    from wslab.wire.recorder import Record
    from wslab.wire.sites import Site

__all__ = ["RecordedFrame"]

_SECOND = 10**9


class RecordedFrame:
    """A frame, and where and when it was seen; its fields are read when they are asked for.

    Attributes:
        record: the same as the recorder has it.
    """

    __slots__ = ("_frame", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self._frame: Frame | None = None

    @classmethod
    def from_record(cls, record: Record) -> RecordedFrame:
        """What one record says."""
        return cls(record)

    def of(self, connection: Connection) -> RecordedFrame:
        """The same frame as one of those that it was sent to has it."""
        if self.record.connections == (connection,):
            return self
        return RecordedFrame(self.record._replace(connections=(connection,)))

    @property
    def seq(self) -> int:
        """Its number in the recorder."""
        return self.record.seq

    @property
    def at(self) -> float:
        """When the loop read or wrote it, in seconds since the epoch."""
        return self.record.at_ns / _SECOND

    @property
    def sent_at(self) -> float | None:
        """When one of the lab's own clients sent its message, in seconds since the epoch; None for others."""
        sent = self.record.sent_ns
        return sent / _SECOND if sent else None

    @property
    def lag(self) -> float:
        """How late the loop was then, in seconds; 0 where it was not, or nobody has measured it."""
        return self.record.lag_ns / _SECOND

    @property
    def site(self) -> Site | None:
        """The line of the application that sent it; None for what came in, and where that is not known."""
        return self.record.site

    @property
    def connection(self) -> Connection:
        """The connection it belongs to; the first of them where it was sent to several."""
        return self.record.connections[0]

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that it was sent to: a room's frame is recorded once for the members that get it at once."""
        return self.record.connections

    @property
    def direction(self) -> str:
        """Seen from the server: "in" or "out"."""
        return "in" if self.record.direction == RECEIVED else "out"

    @property
    def wire_length(self) -> int:
        """Its bytes on the wire, header included."""
        return self.record.wire_length

    @property
    def frame(self) -> Frame | None:
        """Its fields; None where the connection ended inside the header."""
        frame = self._frame
        if frame is None:
            frame = self._frame = parse_frame(self.record.raw, self.record.wire_length)
        return frame

    @property
    def name(self) -> str:
        """The opcode's name; "INCOMPLETE" where there is no whole header."""
        return self.frame.name if self.frame else "INCOMPLETE"

    @property
    def payload(self) -> bytes:
        """The unmasked payload, as far as it was kept."""
        return self.frame.payload if self.frame else b""

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.frame.text if self.frame else ""

    def explain(self) -> Explanation:
        """Every bit range, and what it means (`wslab.wire.explain`)."""
        from wslab.wire.explain import explain_frame, explain_incomplete

        if self.frame is None:
            return explain_incomplete(self.wire_length)
        return explain_frame(self.frame, self.direction)

    def cells(self) -> tuple[object, ...]:
        """Its row in a table."""
        clock = datetime.fromtimestamp(self.at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        arrow = "→ in" if self.direction == "in" else "← out"
        length = self.frame.length if self.frame else 0
        shown = self.text[:60] + ("…" if len(self.text) > 60 else "")  # noqa: PLR2004 - a terminal's width
        if self.frame and self.frame.opcode == 2:  # noqa: PLR2004 - binary
            shown = self.payload[:20].hex(" ")
        wrong = frame_problem(self.frame, self.direction) if self.frame else ""
        problem = f" ✗ {wrong}" if wrong else ""
        others = len(self.connections) - 1
        who = f"{self.connection.id} +{others}" if others else self.connection.id
        return (self.seq, clock, who, arrow, self.name, length, shown + problem)

    def __eq__(self, other: object) -> bool:
        return self.record == other.record if isinstance(other, RecordedFrame) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.record.seq, self.record.connections))

    def __repr__(self) -> str:
        seq, clock, connection, arrow, name, length, shown = self.cells()
        return f"<Frame #{seq} {clock} {connection} {arrow} {name} {length} bytes {printable(str(shown))!r}>"
