"""Every connection, live, with a button that closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from wslab.errors import WSLabError
from wslab.widgets.base import LiveView, Message
from wslab.wire.close_codes import check_close
from wslab.wire.shown import html_table, text_table
from wslab.wire.ways import WAYS, alterations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wslab.rooms.table import RoomTable
    from wslab.wire.connection import Connection
    from wslab.wire.tables import ConnectionTable

__all__ = ["ConnectionsView"]

_SHOWN = 200
_STATIC_SHOWN = 20
_COLUMNS = ("id", "state", "peer", "path", "via", "rooms", "in", "out", "bytes in", "bytes out", "closed")

Row = tuple[object, ...]
"""One connection as the page gets it, in the order of `connections.js`."""


class ConnectionsView(LiveView):
    """A table of the connections: state, traffic, rooms, how they ended.

    The page gets the rows that changed, at most five times a second, and at most 200 of them: the
    newest open ones first, then the newest of the others.

    Args:
        connections: the table to show.
        rooms: who is in which room.
        close: called as ``close(connection_id, code, reason)`` when somebody presses a row's button;
            a `WSLabError` it raises is shown on the page.
    """

    SCRIPT: ClassVar[str] = "connections.js"
    STYLES: ClassVar[tuple[str, ...]] = ("connections.css",)
    RATE: ClassVar[float] = 5.0

    def __init__(
        self,
        connections: ConnectionTable,
        rooms: RoomTable,
        close: Callable[[str, int, str], None],
        **traits: object,
    ) -> None:
        super().__init__(**traits)
        self._connections = connections
        self._rooms = rooms
        self._close_connection = close
        self._rows_sent: dict[str, Row] = {}
        self._order_sent: list[str] = []
        self._summary_sent: tuple[int, int, int] | None = None
        self._paths: dict[str, str] = {}

    def replay(self) -> None:
        """Send every row again."""
        self._rows_sent = {}
        self._order_sent = []
        self._summary_sent = None

    def collect(self) -> Message | None:
        """The rows that changed, their order where it did, and the counts."""
        chosen, alive = self._chosen(_SHOWN)
        rows = {connection.id: self._row(connection) for connection in chosen}
        changed = [row for key, row in rows.items() if self._rows_sent.get(key) != row]
        order = list(rows)
        summary = (alive, self._connections.ever, len(self._connections) - len(order))
        if not changed and order == self._order_sent and summary == self._summary_sent:
            return None
        content: dict[str, Any] = {"t": "rows", "rows": changed}
        content["open"], content["ever"], content["hidden"] = summary
        if self._summary_sent is None:  # a page that knows nothing yet
            content["altered"] = {way: " ".join(alterations(way)) for way in WAYS if alterations(way)}
        if order != self._order_sent:
            content["order"] = order
            self._paths = {key: path for key, path in self._paths.items() if key in rows}
        self._rows_sent, self._order_sent, self._summary_sent = rows, order, summary
        return content, []

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:  # noqa: ARG002 - the base's signature
        """Close a connection, or say on the page why not."""
        if content.get("t") != "close":
            return
        key, code, reason = content.get("id"), content.get("code"), content.get("reason", "")
        connection = self._connections.get(key) if isinstance(key, str) else None
        problem = check_close(code, reason)
        if connection is None or connection.ended_at:
            problem = f"Expected an open connection, got {key!r:.40}, which is closed."
        if not problem and connection is not None and isinstance(code, int) and isinstance(reason, str):
            try:
                self._close_connection(connection.id, code, reason)
            except WSLabError as error:
                problem = str(error)
        said = problem or f"Closing {key} with {code}."
        self.push({"t": "said", "text": said, "failed": bool(problem)})

    def _chosen(self, limit: int) -> tuple[list[Connection], int]:
        """The connections to show, newest open first, then newest ended; and how many are open."""
        newest = list(self._connections)[::-1]
        alive = [row for row in newest if not row.ended_at]
        chosen = alive[:limit]
        if len(chosen) < limit:
            chosen += [row for row in newest if row.ended_at][: limit - len(chosen)]
        return chosen, len(alive)

    def _path(self, connection: Connection) -> str:
        path = self._paths.get(connection.id, "")
        if not path:  # parsed from the request's head, so once and not at every look
            path = self._paths[connection.id] = connection.path
        return path

    def _row(self, connection: Connection) -> Row:
        end = connection.close
        received, sent = connection.received, connection.sent
        return (
            connection.id,
            connection.state,
            connection.peer,
            self._path(connection),
            connection.via,
            ", ".join(sorted(self._rooms.rooms_of(connection.id))),
            received.messages,
            sent.messages,
            received.bytes,
            sent.bytes,
            end.code if end else 0,
            end.by if end else "",
            end.reason if end else "",
        )

    def _title(self, shown: int, alive: int) -> str:
        hidden = len(self._connections) - shown
        return f"{alive} open of {self._connections.ever} connections" + (
            f", {hidden} not shown" if hidden else ""
        )

    def _cells(self, chosen: list[Connection]) -> list[Row]:
        cells: list[Row] = []
        for connection in chosen:
            row, end = self._row(connection), connection.close
            cells.append((*row[:10], f"{end.code} by {end.by or 'nobody'}" if end else ""))
        return cells

    def text(self) -> str:
        """The table as plain text, 20 rows at most."""
        chosen, alive = self._chosen(_STATIC_SHOWN)
        title = self._title(len(chosen), alive)
        return f"{title}\n{text_table(_COLUMNS, self._cells(chosen))}" if chosen else title

    def static_html(self) -> str:
        """The table as HTML, 20 rows at most."""
        chosen, alive = self._chosen(_STATIC_SHOWN)
        return html_table(self._title(len(chosen), alive), _COLUMNS, self._cells(chosen))
