"""The log: what the journal holds, as sentences."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from wslab.widgets.base import LiveView, Message
from wslab.widgets.describe import describe
from wslab.wire.shown import html_table, text_table

if TYPE_CHECKING:
    from wslab.events import Event
    from wslab.journal import Journal

__all__ = ["LogView"]

_LINES = 500  # what a page keeps, so more is not worth sending
_BATCH = 48 * 1024  # characters a message: 15 a second stay below 1 MB/s, Jupyter's limit for streams
_SENTENCE = 500
_DETAIL = 12_000
_SHOWN = 20

Row = tuple[int, float, str, str, str, str]


class LogView(LiveView):
    """Events as a log: time, level, connection, sentence; tracebacks and remedies on demand.

    Theory of operation. The view holds a cursor into the journal and numbers each event by its place in
    it, so that a page that is sent an event twice can tell. A page that falls behind by more than it
    can keep gets the newest, and of those first what is above "debug"; how many were left out is
    counted in `skipped`, which the page shows.

    Args:
        journal: where the events come from; it is only read.

    Attributes:
        skipped: events left out since the last page appeared.

    Example:
        >>> from wslab.events import Notice
        >>> from wslab.journal import Journal
        >>> journal = Journal()
        >>> journal.publish(Notice(text="Ready.", level="warning", at=0.0))
        >>> print(LogView(journal).text().splitlines()[0])
        1 event
    """

    SCRIPT = "log.js"
    STYLES: ClassVar[tuple[str, ...]] = ("log.css",)
    RATE = 10.0

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._cursor = 0
        self._rows: deque[Row] = deque()
        self.skipped = 0
        super().__init__()

    def replay(self) -> None:
        """Start over with the newest events."""
        self._rows.clear()
        self._cursor = 0
        self.skipped = 0

    def collect(self) -> Message | None:
        """The next lines, as many as fit a message."""
        self._read()
        if not self._rows:
            return None
        batch: list[Row] = []
        room = _BATCH
        while self._rows and (not batch or room > 0):
            row = self._rows.popleft()
            batch.append(row)
            room -= 60 + len(row[4]) + len(row[5])
        return {
            "t": "log",
            "rows": batch,
            "skipped": self.skipped,
            "published": self._journal.published,
        }, []

    def _read(self) -> None:
        end = self._journal.published
        missing = end - self._cursor
        if missing <= 0:
            return
        # The journal may have grown since `end` was read, when another thread publishes.
        events = self._journal.since(self._cursor)[:missing]
        rows = [_row(end - len(events) + i, event) for i, event in enumerate(events)]
        self._cursor = end
        waiting = [*self._rows, *rows]
        if len(waiting) > _LINES:
            important = [row for row in waiting if row[2] != "debug"][-_LINES:]
            room = _LINES - len(important)
            rest = [row for row in waiting if row[2] == "debug"][-room:] if room else []
            kept = sorted([*important, *rest])
        else:
            kept = waiting
        self.skipped += missing - len(rows) + len(waiting) - len(kept)
        self._rows = deque(kept)

    def _latest(self) -> list[tuple[str, ...]]:
        cells: list[tuple[str, ...]] = []
        for event in list(self._journal)[-_SHOWN:]:
            level, sentence, _ = describe(event)
            clock = datetime.fromtimestamp(event.at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
            cells.append((clock, level, event.connection, _cut(sentence, _SENTENCE)))
        return cells

    def _title(self) -> str:
        count = self._journal.published
        hidden = f", the last {_SHOWN} shown" if count > _SHOWN else ""
        return f"{count:,} event{'' if count == 1 else 's'}{hidden}"

    _COLUMNS = ("time", "level", "conn", "event")

    def text(self) -> str:
        """The newest events as a table; controls are shown, not obeyed."""
        cells = self._latest()
        return f"{self._title()}\n{text_table(self._COLUMNS, cells)}" if cells else self._title()

    def static_html(self) -> str:
        """The same as a static HTML table, every value escaped."""
        return html_table(f"Log: {self._title()}", self._COLUMNS, self._latest())


def _row(seq: int, event: Event) -> Row:
    level, sentence, detail = describe(event)
    return (seq, event.at, level, event.connection, _cut(sentence, _SENTENCE), _cut(detail, _DETAIL))


def _cut(text: str, limit: int) -> str:
    """`text` within `limit`, without its middle: a traceback begins with the call and ends with the error."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"
