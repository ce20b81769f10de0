"""Who is in which room, read from the journal."""

from __future__ import annotations

import html
import threading
from typing import TYPE_CHECKING, Any

from wslab.events import ConnectionEnded, Event, MemberJoined, MemberLeft, RoomBroadcast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wslab.journal import Journal

__all__ = ["RoomTable"]

_SHOWN_ROWS = 50
_SHOWN_CONNECTIONS = 12
_SHOWN_CHARACTERS = 40
_COLUMNS = ("room", "members", "broadcasts", "connections")


_TOLD = frozenset({MemberJoined, MemberLeft, ConnectionEnded, RoomBroadcast})


class RoomTable:
    """The rooms of a lab, kept up to date from what the journal tells.

    The events that the journal still holds are read first, so a table may be made at any time. A
    connection that ends is removed from every room, and a room without members is forgotten with its count
    of broadcasts. Reading is safe from any thread.

    Args:
        journal: where the events come from.

    Attributes:
        version: grows with each change, so that a view can tell whether to draw anew.

    Example:
        >>> from wslab.journal import Journal
        >>> journal = Journal()
        >>> table = RoomTable(journal)
        >>> journal.publish(MemberJoined(connection="c1", room="lobby", members=1))
        >>> journal.publish(RoomBroadcast(room="lobby", members=1))
        >>> table["lobby"], table.broadcasts("lobby"), table.version
        (('c1',), 1, 2)
        >>> table
        room   members  broadcasts  connections
        lobby        1           1  c1
    """

    def __init__(self, journal: Journal) -> None:
        self._lock = threading.Lock()
        self._rooms: dict[str, dict[str, float]] = {}
        self._rooms_of: dict[str, set[str]] = {}
        self._broadcasts: dict[str, int] = {}
        self.version = 0
        with self._lock:
            # In this order nothing is missed. What another thread publishes meanwhile waits for the lock and
            # may be read twice, which membership does not mind.
            self._unsubscribe = journal.subscribe(self._apply)
            for event in journal:
                self._update(event)

    def close(self) -> None:
        """Stop following the journal; what is in the table stays. Idempotent."""
        self._unsubscribe()

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(sorted(self._rooms))

    def __len__(self) -> int:
        return len(self._rooms)

    def __contains__(self, room: object) -> bool:
        return room in self._rooms

    def __getitem__(self, room: str) -> tuple[str, ...]:
        """The ids of the connections in `room`, in the order of joining.

        Raises:
            KeyError: there is no such room.
        """
        with self._lock:
            return tuple(self._rooms[room])

    def rooms_of(self, connection: str) -> tuple[str, ...]:
        """The rooms that a connection is in, sorted."""
        with self._lock:
            return tuple(sorted(self._rooms_of.get(connection, ())))

    def broadcasts(self, room: str) -> int:
        """How many messages were broadcast to `room` since its first member joined; 0 for no such room."""
        return self._broadcasts.get(room, 0)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dict per room, sorted: its name, its members by time of joining, and its broadcasts.

        Example:
            >>> from wslab.journal import Journal
            >>> journal = Journal()
            >>> journal.publish(MemberJoined(connection="c1", room="lobby", members=1, at=5.0))
            >>> RoomTable(journal).to_dicts()
            [{'room': 'lobby', 'members': 1, 'broadcasts': 0, 'joined_at': {'c1': 5.0}}]
        """
        with self._lock:
            return [
                {
                    "room": room,
                    "members": len(members),
                    "broadcasts": self._broadcasts.get(room, 0),
                    "joined_at": dict(members),
                }
                for room, members in sorted(self._rooms.items())
            ]

    def _apply(self, event: Event) -> None:
        if type(event) not in _TOLD:  # most events are others', and every handshake brings some
            return
        with self._lock:
            self._update(event)

    def _update(self, event: Event) -> None:
        match event:
            case MemberJoined(connection=member, room=room) if room not in self._rooms_of.get(member, ()):
                self._rooms.setdefault(room, {})[member] = event.at
                self._rooms_of.setdefault(member, set()).add(room)
            case MemberLeft(connection=member, room=room) if room in self._rooms_of.get(member, ()):
                self._remove(member, room)
            case ConnectionEnded(connection=member) if member in self._rooms_of:
                for room in tuple(self._rooms_of[member]):
                    self._remove(member, room)
            case RoomBroadcast(room=room) if room in self._rooms:
                self._broadcasts[room] = self._broadcasts.get(room, 0) + 1
            case _:
                return
        self.version += 1

    def _remove(self, connection: str, room: str) -> None:
        members, rooms = self._rooms[room], self._rooms_of[connection]
        del members[connection]
        rooms.remove(room)
        if not rooms:
            del self._rooms_of[connection]
        if not members:
            del self._rooms[room]
            self._broadcasts.pop(room, None)

    def _rows(self) -> tuple[list[tuple[str, str, str, str]], int]:
        """The rows to show as text, and how many more there are."""
        rooms = self.to_dicts()
        rows = []
        for room in rooms[:_SHOWN_ROWS]:
            connections = list(room["joined_at"])
            more = len(connections) - _SHOWN_CONNECTIONS
            shown = ", ".join(_printable(connection) for connection in connections[:_SHOWN_CONNECTIONS])
            rows.append(
                (
                    _printable(room["room"]),
                    str(room["members"]),
                    str(room["broadcasts"]),
                    shown + (f" and {more} more" if more > 0 else ""),
                )
            )
        return rows, max(0, len(rooms) - _SHOWN_ROWS)

    def __repr__(self) -> str:
        rows, more = self._rows()
        if not rows:
            return "<RoomTable: no rooms>"
        widths = [max(len(row[column]) for row in [_COLUMNS, *rows]) for column in range(3)]
        lines = [
            f"{room:<{widths[0]}}  {members:>{widths[1]}}  {broadcasts:>{widths[2]}}  {connections}"
            for room, members, broadcasts, connections in [_COLUMNS, *rows]
        ]
        return "\n".join(lines + [f"and {more} more rooms"] * bool(more))

    def _repr_html_(self) -> str:
        rows, more = self._rows()
        if not rows:
            return "<p>No rooms.</p>"
        head = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        rest = f"<p>and {more} more rooms</p>" if more else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _printable(text: str) -> str:
    r"""`text` on one line, without what could move a terminal's cursor or turn its direction.

    Example:
        >>> _printable("a\x1b[2J")
        'a\\x1b[2J'
    """
    safe = "".join(
        char if char.isprintable() else ascii(char)[1:-1] for char in text[: _SHOWN_CHARACTERS + 1]
    )
    return safe if len(text) <= _SHOWN_CHARACTERS else safe[: _SHOWN_CHARACTERS - 1] + "…"
