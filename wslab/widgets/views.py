"""A lab's views, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from wslab.widgets.base import LiveView
from wslab.widgets.client import ClientView
from wslab.widgets.connections import ConnectionsView
from wslab.widgets.dashboard import Dashboard
from wslab.widgets.frames import FramesView
from wslab.widgets.header import HeaderView
from wslab.widgets.log import LogView
from wslab.widgets.rooms import RoomsView
from wslab.widgets.stocks import StocksView

if TYPE_CHECKING:
    import asyncio

    from wslab.feeds import Feed
    from wslab.journal import Journal
    from wslab.rooms import RoomTable
    from wslab.wire import ConnectionTable, FrameTable

__all__ = ["Source", "Views"]


class Source(Protocol):
    """What the views look at, and act upon."""

    connections: ConnectionTable
    frames: FrameTable
    rooms: RoomTable
    journal: Journal
    feed: Feed
    loop: asyncio.AbstractEventLoop | None

    def status(self) -> dict[str, Any]:
        """State, address and application, for the header."""

    def address(self) -> dict[str, Any]:
        """What a page needs to reach the server."""

    def paths(self) -> list[str]:
        """The application's WebSocket paths."""

    def close_connection(self, connection: str, code: int, reason: str) -> None:
        """Close one connection."""


class Views:
    """`lab.views`: `header`, `connections`, `rooms`, `frames`, `stocks`, `client`, `log`, `dashboard`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def bind_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """The lab was started on `loop`: the views made so far deliver there."""
        for view in vars(self).values():
            if isinstance(view, LiveView):
                view.bind_loop(loop)

    @cached_property
    def header(self) -> HeaderView:
        """The lab's address and state."""
        return HeaderView(self._source.status)

    @cached_property
    def connections(self) -> ConnectionsView:
        """The live table of connections."""
        source = self._source
        return ConnectionsView(source.connections, source.rooms, source.close_connection)

    @cached_property
    def rooms(self) -> RoomsView:
        """Rooms and their members."""
        return RoomsView(self._source.rooms, self._source.journal)

    @cached_property
    def frames(self) -> FramesView:
        """The log of frames, with every bit of each."""
        return FramesView(self._source.frames)

    @cached_property
    def stocks(self) -> StocksView:
        """The chart of the lab's feed."""
        return StocksView(self._source.feed)

    @cached_property
    def client(self) -> ClientView:
        """A WebSocket client in the page."""
        return ClientView(self._source.address, self._source.paths)

    @cached_property
    def log(self) -> LogView:
        """What happened."""
        return LogView(self._source.journal)

    @cached_property
    def dashboard(self) -> Dashboard:
        """All of them."""
        return Dashboard(
            self.header, self.connections, self.rooms, self.client, self.stocks, self.frames, self.log
        )
