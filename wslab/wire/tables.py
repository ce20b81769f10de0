"""Live tables over what was recorded: `lab.connections` and `lab.frames`."""

from __future__ import annotations

import html
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from wslab.wire.connection import Connection
from wslab.wire.frames import Frame, parse_frame
from wslab.wire.ladder import Ladder
from wslab.wire.query import Query
from wslab.wire.recorder import RECEIVED, Record, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from wslab.wire.explanation import Explanation
    from wslab.wire.messages import Message

__all__ = ["ConnectionTable", "FrameTable", "RecordedFrame", "html_table", "printable", "text_table"]

_SHOWN = 20


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text, aligned, for a terminal."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    lines = [list(columns), *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def html_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same as an HTML table, every cell escaped: frames and names are hostile text."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line([printable(str(cell)) for cell in row], "td") for row in rows)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{line(columns, 'th')}</thead>"
        f"<tbody>{body}</tbody></table>"
    )


def printable(text: str) -> str:
    """`text` with controls and bidirectional overrides shown as escapes: a terminal must not obey them."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


class ConnectionTable(Sequence[Connection]):
    """Every connection in the order they came; closed ones are kept up to `keep`.

    Example:
        >>> table = ConnectionTable(Recorder())
        >>> table.open("127.0.0.1:50000").id, len(table)
        ('c1', 1)
    """

    COLUMNS = ("id", "state", "peer", "path", "via", "in", "out", "bytes in", "bytes out", "close")

    def __init__(self, recorder: Recorder, keep: int = 1_000) -> None:
        self._recorder = recorder
        self._keep = keep
        self._rows: dict[str, Connection] = {}
        self._ended: deque[str] = deque()  # ids of rows that may go, those that ended first in front
        self._count = 0

    def open(self, peer: str, via: str = "direct") -> Connection:
        """A new connection with the next number; the oldest closed one may go."""
        self._count += 1
        connection = Connection(self._count, peer, self._recorder, via)
        self._rows[connection.id] = connection
        connection.ended_ids = self._ended
        while len(self._rows) > self._keep and self._ended:
            del self._rows[self._ended.popleft()]
        return connection

    @property
    def ever(self) -> int:
        """How many there have ever been."""
        return self._count

    @property
    def alive(self) -> list[Connection]:
        """Those whose transport has not ended."""
        return [row for row in self if not row.ended_at]

    def get(self, connection: str) -> Connection | None:
        """The connection with that id, or None."""
        return self._rows.get(connection)

    @overload
    def __getitem__(self, index: int | str) -> Connection: ...
    @overload
    def __getitem__(self, index: slice) -> list[Connection]: ...
    def __getitem__(self, index: int | str | slice) -> Connection | list[Connection]:
        if isinstance(index, str):
            return self._rows[index]
        return list(self._rows.values())[index]

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def to_dicts(self) -> list[dict[str, object]]:
        """One dictionary a row, of plain values."""
        return [row.to_dict() for row in self]

    def _cells(self) -> list[tuple[object, ...]]:
        cells: list[tuple[object, ...]] = []
        for row in list(self)[-_SHOWN:]:
            close = row.close
            end = f"{close.code} by {close.by or 'nobody'}" if close else ""
            counts = (row.received.messages, row.sent.messages, row.received.bytes, row.sent.bytes)
            cells.append((row.id, row.state, row.peer, row.path, row.via, *counts, end))
        return cells

    def _title(self) -> str:
        hidden = f", the last {_SHOWN} shown" if len(self) > _SHOWN else ""
        return f"{len(self.alive)} open of {self._count} connections{hidden}"

    def __repr__(self) -> str:
        return f"{self._title()}\n{text_table(self.COLUMNS, self._cells())}" if self._rows else self._title()

    def _repr_html_(self) -> str:
        return html_table(self._title(), self.COLUMNS, self._cells())


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A frame, and where and when it was seen.

    Attributes:
        seq: its number in the recorder.
        at: seconds since the epoch, when the loop read or wrote it.
        connection: the connection it belongs to.
        direction: "in" or "out", seen from the server.
        wire_length: its bytes on the wire, header included.
        frame: its fields; None where the connection ended inside the header.
    """

    seq: int
    at: float
    connection: Connection
    direction: str
    wire_length: int
    frame: Frame | None

    @classmethod
    def from_record(cls, record: Record) -> RecordedFrame:
        """Parse one record."""
        seq, nanoseconds, connection, direction, wire_length, raw = record
        side = "in" if direction == RECEIVED else "out"
        frame = parse_frame(raw, wire_length)
        return cls(seq, nanoseconds / 1e9, connection, side, wire_length, frame)

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
        problem = f" ✗ {self.frame.problem}" if self.frame and self.frame.problem else ""
        return (self.seq, clock, self.connection.id, arrow, self.name, length, shown + problem)

    def __repr__(self) -> str:
        seq, clock, connection, arrow, name, length, shown = self.cells()
        return f"<Frame #{seq} {clock} {connection} {arrow} {name} {length} bytes {printable(str(shown))!r}>"


class FrameTable(Sequence[RecordedFrame]):
    """The frames kept, oldest first, parsed as they are looked at.

    Indexing counts what is kept (``frames[-1]`` is the newest); `get` takes a frame's own number.
    """

    COLUMNS = ("#", "time", "conn", "", "opcode", "length", "payload")

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def get(self, seq: int) -> RecordedFrame | None:
        """The frame numbered `seq`, or None where it is gone or not yet there."""
        record = self.recorder.get(seq)
        return RecordedFrame.from_record(record) if record else None

    def of(self, connection: Connection | str) -> list[RecordedFrame]:
        """The kept frames of one connection."""
        wanted = connection if isinstance(connection, str) else connection.id
        recorder = self.recorder
        records = recorder.records(recorder.begin, recorder.end)
        return [RecordedFrame.from_record(record) for record in records if record[2].id == wanted]

    def where(self, text: str) -> list[RecordedFrame]:
        """The kept frames that pass a filter, such as ``opcode==ping && conn==c3``.

        Args:
            text: the filter, as `wslab.wire.query` describes it.

        Raises:
            QueryError: it cannot be read; the message shows where.
        """
        passes = Query(text)
        return [frame for frame in self if passes(frame)]

    def sequence(self, connection: Connection | str | None = None) -> Ladder:
        """What client and server said to each other, as a ladder in text and SVG.

        Args:
            connection: one connection or its id; all that have frames kept where it is None.
        """
        frames = list(self) if connection is None else self.of(connection)
        owners = {frame.connection.id: frame.connection for frame in frames}
        if isinstance(connection, Connection):
            owners[connection.id] = connection
        return Ladder(owners.values(), frames)

    def messages(self) -> list[Message]:
        """What the kept frames carried, put together and inflated (`wslab.wire.messages`)."""
        from wslab.wire.messages import messages

        return messages(self)

    @overload
    def __getitem__(self, index: int) -> RecordedFrame: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedFrame]: ...
    def __getitem__(self, index: int | slice) -> RecordedFrame | list[RecordedFrame]:
        recorder = self.recorder
        records = recorder.records(recorder.begin, recorder.end)
        found: Any = records[index]
        if isinstance(index, slice):
            return [RecordedFrame.from_record(record) for record in found]
        return RecordedFrame.from_record(found)

    def __iter__(self) -> Iterator[RecordedFrame]:
        recorder = self.recorder
        return map(RecordedFrame.from_record, recorder.records(recorder.begin, recorder.end))

    def __len__(self) -> int:
        return len(self.recorder)

    def save(self, path: str | PathLike[str], connections: Iterable[Connection] = ()) -> None:
        """Write the kept frames to `path`: ``.jsonl``, ``.har`` or ``.pcapng`` (`wslab.wire.files`).

        Args:
            path: where to; the suffix chooses the format.
            connections: those to write although no frame of them is kept, such as `lab.connections`.

        Raises:
            RecordingError: another suffix.
            OSError: the file cannot be written.
        """
        from wslab.wire.files import save  # it reads into this table

        save(self, path, connections)

    def _title(self) -> str:
        return f"{len(self)} of {self.recorder.end} frames kept" + (
            f", the last {_SHOWN} shown" if len(self) > _SHOWN else ""
        )

    def _cells(self) -> list[tuple[object, ...]]:
        end = self.recorder.end
        return [
            RecordedFrame.from_record(record).cells() for record in self.recorder.records(end - _SHOWN, end)
        ]

    def __repr__(self) -> str:
        return f"{self._title()}\n{text_table(self.COLUMNS, self._cells())}" if len(self) else self._title()

    def _repr_html_(self) -> str:
        return html_table(self._title(), self.COLUMNS, self._cells())
