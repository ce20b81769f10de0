"""Live tables over what was recorded: `lab.connections` and `lab.frames`.

What reads a record (filters, ladders, files, tests) is imported where it is first asked for: serving needs
none of it, and a cell that starts a lab should not wait for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from wslab.wire.connection import Connection
from wslab.wire.recorded import RecordedFrame
from wslab.wire.recorder import Recorder  # noqa: TC001 - the examples below have it from here
from wslab.wire.shown import html_table, text_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from pathlib import Path

    import pandas as pd

    from wslab.events import Event
    from wslab.wire.ladder import Ladder
    from wslab.wire.messages import Message
    from wslab.wire.replies import Replies

__all__ = ["ConnectionTable", "FrameTable"]

_SHOWN = 20


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

    def to_dataframe(self) -> pd.DataFrame:
        """A pandas data frame, one row a connection (`wslab.wire.dataframes`).

        Raises:
            MissingPackageError: pandas cannot be imported.
        """
        from wslab.wire.dataframes import connections_dataframe

        return connections_dataframe(self)

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


class FrameTable(Sequence[RecordedFrame]):
    """The frames kept, oldest first, parsed as they are looked at.

    Indexing counts what is kept (``frames[-1]`` is the newest); `get` takes a frame's own number.

    Args:
        recorder: where they are kept.
        events: what happened beside them, such as a `wslab.journal.Journal`.
    """

    COLUMNS = ("#", "time", "conn", "", "opcode", "length", "payload")

    def __init__(self, recorder: Recorder, events: Iterable[Event] = ()) -> None:
        self.recorder = recorder
        self._events = events

    def get(self, seq: int) -> RecordedFrame | None:
        """The frame numbered `seq`, or None where it is gone or not yet there."""
        record = self.recorder.get(seq)
        return RecordedFrame.from_record(record) if record else None

    def of(self, connection: Connection | str) -> list[RecordedFrame]:
        """The kept frames of one connection."""
        wanted = connection if isinstance(connection, str) else connection.id
        return [frame.of(owner) for frame in self for owner in frame.connections if owner.id == wanted]

    def where(self, text: str) -> list[RecordedFrame]:
        """The kept frames that pass a filter, such as ``opcode==ping && conn==c3``.

        What it asks of the content, such as ``json.type=="chat"``, is asked of the whole message that a
        frame is part of.

        Args:
            text: the filter, as `wslab.wire.query` describes it.

        Raises:
            QueryError: it cannot be read; the message shows where.
        """
        from wslab.wire.query import Query
        from wslab.wire.query.selection import select_frames

        return select_frames(self.recorder, RecordedFrame.from_record, Query(text))

    def sequence(self, connection: Connection | str | None = None) -> Ladder:
        """What clients, server and rooms said to each other, as a ladder in text and SVG.

        Args:
            connection: one connection or its id; all that have frames kept where it is None.
        """
        from wslab.wire.ladder import Ladder

        told = connection.id if isinstance(connection, Connection) else connection
        frames: list[RecordedFrame] = []
        owners = {told: connection} if isinstance(connection, Connection) else {}
        for frame in self:
            own = {owner.id: owner for owner in frame.connections if told in {None, owner.id}}
            if own:
                frames.append(frame)  # as it was sent to all: that tells what a room has sent
                owners.update(own)
        return Ladder(owners.values(), frames, self._events, whole=True)

    def messages(self, where: str = "") -> list[Message]:
        """What the kept frames carried, put together and inflated (`wslab.wire.messages`).

        Args:
            where: a filter; a message passes where one of its frames does.

        Raises:
            QueryError: it cannot be read; the message shows where.
        """
        from wslab.wire.query import Query
        from wslab.wire.query.selection import select_messages

        return select_messages(self, Query(where))

    def replies(self) -> Replies:
        """Which message answered which, with the pings and closes (`wslab.wire.replies`)."""
        from wslab.wire.replies import replies

        return replies(self)

    def counterpart(self, item: Message | RecordedFrame) -> Message | RecordedFrame | None:
        """What answered a message or a frame, or else what it answered; None where neither is known."""
        from wslab.wire.replies import replies

        return replies(self.of(item.connection)).counterpart(item)

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

    def to_pytest(
        self,
        path: str | PathLike[str],
        *,
        app: str | None = None,
        connections: Iterable[Connection | str] | None = None,
        where: str = "",
        volatile: Iterable[str] = (),
        exact: Iterable[str] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a test that plays the clients' side and checks the server's (`wslab.wire.conversation`).

        Times, ids and tokens that the server makes up are recognised and matched by their kind; one that
        comes again, or that the client sends back, is taken from the run.

        Args:
            path: where to, such as ``"test_chat.py"``; a file that is there is replaced.
            app: the application, such as ``"chat:app"``; a fixture to be filled in where it is None.
            connections: those to take, or their ids; all that have frames where it is None. Those refused
                have none: ``connections=lab.connections`` has them.
            where: a filter: connections are taken of which a frame passes.
            volatile: more fields of JSON that are not compared but for their type, by key (``"price"``) or
                by path (``"$.data.ts"``).
            exact: fields in which nothing is recognised, likewise.
            secrets: values for what was redacted, by the name of the header or query parameter.

        Returns:
            The file's path.

        Raises:
            RecordingError: messages were cut or lost, or `path` does not end in ``.py``.
            QueryError: the filter cannot be read.
            OptionError: `app` or a field cannot be meant.
            OSError: the file cannot be written.
        """
        from wslab.wire.conversation import save_test  # it reads this table

        return save_test(
            self,
            path,
            app=app,
            connections=connections,
            where=where,
            volatile=volatile,
            exact=exact,
            secrets=secrets,
        )

    def to_dataframe(self) -> pd.DataFrame:
        """A pandas data frame, one row a kept frame (`wslab.wire.dataframes`).

        Raises:
            MissingPackageError: pandas cannot be imported.
        """
        from wslab.wire.dataframes import frames_dataframe

        return frames_dataframe(self.recorder)

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
