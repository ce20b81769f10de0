"""A lab's views, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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
    from collections.abc import Awaitable

    from wslab.client.memory import MemoryClient
    from wslab.feeds import Feed
    from wslab.journal import Journal
    from wslab.rooms import RoomTable
    from wslab.wire import ConnectionTable, FrameTable

__all__ = ["Source", "Views"]

V = TypeVar("V", bound=LiveView)


class Source(Protocol):
    """What the views look at, and act upon."""

    connections: ConnectionTable
    frames: FrameTable
    rooms: RoomTable
    journal: Journal
    feed: Feed
    page_loop: asyncio.AbstractEventLoop | None

    def status(self) -> dict[str, Any]:
        """State, address and application, for the header."""

    def address(self) -> dict[str, Any]:
        """What a page needs to reach the server."""

    def tunnel(self, path: str, subprotocols: list[str]) -> Awaitable[MemoryClient]:
        """A connection for a page, through its widget's comm."""

    def paths(self) -> list[str]:
        """The application's WebSocket paths."""

    def close_connection(self, connection: str, code: int, reason: str) -> None:
        """Close one connection."""


class Views:
    """`lab.views`: `header`, `connections`, `rooms`, `frames`, `stocks`, `client`, `log`, `dashboard`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def _bound(self, view: V) -> V:
        """`view`, delivering in the kernel's loop: code in the lab's own thread may have asked for it."""
        loop = self._source.page_loop
        if loop is not None and loop.is_running():
            view.bind_loop(loop)
        return view

    def bind_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """The lab was started on `loop`: the views made so far deliver there."""
        for view in vars(self).values():
            if isinstance(view, LiveView):
                view.bind_loop(loop)

    @cached_property
    def header(self) -> HeaderView:
        """The lab's address and state."""
        return self._bound(HeaderView(self._source.status))

    @cached_property
    def connections(self) -> ConnectionsView:
        """The live table of connections."""
        source = self._source
        return self._bound(ConnectionsView(source.connections, source.rooms, source.close_connection))

    @cached_property
    def rooms(self) -> RoomsView:
        """Rooms and their members."""
        return self._bound(RoomsView(self._source.rooms, self._source.journal))

    @cached_property
    def frames(self) -> FramesView:
        """The log of frames, with every bit of each."""
        return self._bound(FramesView(self._source.frames))

    @cached_property
    def stocks(self) -> StocksView:
        """The chart of the lab's feed."""
        return self._bound(StocksView(self._source.feed))

    @cached_property
    def client(self) -> ClientView:
        """A WebSocket client in the page."""
        source = self._source
        return self._bound(ClientView(source.address, source.paths, source.tunnel))

    @cached_property
    def log(self) -> LogView:
        """What happened."""
        return self._bound(LogView(self._source.journal))

    @cached_property
    def dashboard(self) -> Dashboard:
        """All of them."""
        return Dashboard(
            self.header, self.connections, self.rooms, self.client, self.stocks, self.frames, self.log
        )
