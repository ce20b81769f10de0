"""The rooms and who is in them, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from wslab.events import RoomBroadcast
from wslab.widgets.base import LiveView, Message
from wslab.wire.shown import html_table, text_table

if TYPE_CHECKING:
    from wslab.journal import Journal
    from wslab.rooms.table import RoomTable

__all__ = ["RoomsView"]

_ROOMS_SHOWN = 60
_MEMBERS_SHOWN = 60
_STATIC_SHOWN = 20
_COLUMNS = ("room", "members", "broadcasts", "connections")


class RoomsView(LiveView):
    """Rooms with a chip for each member; a broadcast makes its room's chips pulse.

    The rooms themselves are sent when somebody joined or left; in between only the count of a room's
    broadcasts travels, and who sent the last one, however many there were since the last look. At most
    60 rooms of 60 chips are shown, and the page says how many are not.

    Args:
        rooms: the table to show.
        journal: tells who broadcast.
    """

    SCRIPT: ClassVar[str] = "rooms.js"
    STYLES: ClassVar[tuple[str, ...]] = ("rooms.css",)
    RATE: ClassVar[float] = 8.0

    def __init__(self, rooms: RoomTable, journal: Journal, **traits: object) -> None:
        super().__init__(**traits)
        self._rooms = rooms
        self._journal = journal
        self._seen = journal.published
        self._version: int | None = None
        self._members: list[tuple[str, int, tuple[str, ...]]] | None = None

    def replay(self) -> None:
        """Send every room again; broadcasts before this moment do not pulse."""
        self._version = self._members = None
        self._seen = self._journal.published

    def collect(self) -> Message | None:
        """The rooms, where somebody joined or left, and the broadcasts since the last look."""
        version = self._rooms.version
        if version == self._version:
            return None
        self._version = version
        content: dict[str, Any] = {}
        names = list(self._rooms)
        members = [room for room in map(self._room, names[:_ROOMS_SHOWN]) if room[1]]
        if members != self._members:
            self._members = members
            content["rooms"] = [(*room, self._rooms.broadcasts(room[0])) for room in members]
            content["total"] = len(names)
        senders = self._senders()
        if senders:
            content["broadcasts"] = {
                name: (self._rooms.broadcasts(name), sender) for name, sender in senders.items()
            }
        return ({"t": "rooms", **content}, []) if content else None

    def _senders(self) -> dict[str, str]:
        """Rooms with a broadcast since the last call, and the connection that sent the last one."""
        fresh = self._journal.since(self._seen)
        self._seen = self._journal.published
        return {event.room: event.connection for event in fresh if isinstance(event, RoomBroadcast)}

    def _room(self, name: str) -> tuple[str, int, tuple[str, ...]]:
        try:
            members = self._rooms[name]
        except KeyError:  # its last member left on another thread since the names were read
            members = ()
        return name, len(members), members[:_MEMBERS_SHOWN]

    def _title(self, count: int) -> str:
        hidden = f", the first {_STATIC_SHOWN} shown" if count > _STATIC_SHOWN else ""
        return f"{count} room{'' if count == 1 else 's'}{hidden}"

    def _cells(self, names: list[str]) -> list[tuple[object, ...]]:
        cells: list[tuple[object, ...]] = []
        for name in names[:_STATIC_SHOWN]:
            _, count, members = self._room(name)
            listed = " ".join(members[:_STATIC_SHOWN]) + (" …" if count > _STATIC_SHOWN else "")
            cells.append((name, count, self._rooms.broadcasts(name), listed))
        return cells

    def text(self) -> str:
        """The rooms as plain text."""
        names = list(self._rooms)
        title = self._title(len(names))
        return f"{title}\n{text_table(_COLUMNS, self._cells(names))}" if names else title

    def static_html(self) -> str:
        """The rooms as an HTML table."""
        names = list(self._rooms)
        return html_table(self._title(len(names)), _COLUMNS, self._cells(names))
