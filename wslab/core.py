"""What lives behind a `Lab`: the server, the records and the views, found again by name.

In a notebook a cell is run again and again; each time makes a new `Lab` with a new application. So a
core is kept by its name: the same server on the same port gets the new application, open connections
keep the old one, the record and the dashboard go on. Outside a notebook every `Lab` has a core of its
own, unless it is named.

How it is started and stopped, and in which loop it serves, is `wslab.server.lifecycle`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wslab.client.memory import connect_memory
from wslab.client.raw_opening import open_raw
from wslab.errors import NotRunningError, OptionError, WSLabError
from wslab.feeds import Feed, replay
from wslab.rooms import RoomTable
from wslab.server.addresses import absolute, authority, base_url, direct_url, with_parameters
from wslab.server.cells import find_shell
from wslab.server.lifecycle import Lifecycle
from wslab.server.memory import CarriedClient
from wslab.server.probe import Probe
from wslab.server.threads import carry
from wslab.wire import FrameTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence

    from starlette.types import ASGIApp

    from wslab.client import Client
    from wslab.client.memory import MemoryClient
    from wslab.client.raw import RawClient
    from wslab.server import EmbeddedServer
    from wslab.server.options import Options
    from wslab.widgets.views import Views

__all__ = ["Core", "find_core"]

_URL_SAFE = "%/:?&=+,;@!$'()*[]~"  # what a path and its query may have as it is; never "#"

_cores: dict[str, Core] = {}


class Core(Lifecycle):
    """The living part of a lab; see the module's text."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.frames = FrameTable(self.recorder, self.journal)
        self.rooms = RoomTable(self.journal)
        self.feed = Feed(lambda: replay(loop=True), name="replay of real daily prices")
        self.made_views: Views | None = None

    def bind_pages(self, loop: asyncio.AbstractEventLoop) -> None:
        """The lab was started where `loop` runs: the views made so far deliver there."""
        super().bind_pages(loop)
        if self.made_views is not None:
            self.made_views.bind_loop(loop)

    async def connect(
        self,
        path: str,
        *,
        via: str,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> MemoryClient:
        """A client within this process, whether or not there is a port; see `Lab.connect`.

        Raises:
            NotRunningError: nothing serves.
        """
        server, loop, shown, host, target = await self._door(path)
        opening = connect_memory(
            lambda client: server.attach(client, via),
            shown,
            host=host,
            target=target,
            subprotocols=subprotocols,
            headers=headers,
            timeout=timeout,
        )
        client: MemoryClient
        if asyncio.get_running_loop() is loop:
            client = await opening.open()
        else:
            client = CarriedClient(await carry(loop, opening.open()), loop)
        self.note_clock(client)
        return client

    def note_clock(self, client: Client) -> None:
        """Record when `client` sends each message, beside when the loop reads it."""
        key = client.key.encode()
        if not self.recorder.enabled or not key:
            return
        for connection in self.connections[::-1]:  # it has come just now
            if key in connection.request:
                connection.received.stamps = client.stamps = deque()
                return

    @asynccontextmanager
    async def beside(self, app: ASGIApp) -> AsyncIterator[Core]:
        """A core that serves `app` within this process for a while, with this one's options.

        It shows on the same record. Where this one serves in a thread of its own, which alone may write
        there, it has a record of its own.

        Raises:
            StartupError: the application did not start.
        """
        core = Core(replace(self.options, loop="kernel", host="127.0.0.1", port=0, public=False))
        if self.thread is None:
            core.recorder, core.connections, core.frames = self.recorder, self.connections, self.frames
        core.start(app, listen=False)
        try:
            await core.ready()
            yield core
        finally:
            await core.stop()

    async def connect_raw(self, path: str, **options: Any) -> RawClient:
        """A raw client within this process; see `Lab.connect`.

        Args:
            path: absolute path, a query may follow.
            options: what `wslab.client.raw_opening.open_raw` takes.

        Raises:
            NotRunningError: nothing serves.
            OptionError: it serves in another loop than this.
        """
        server, loop, shown, host, target = await self._door(path)
        if asyncio.get_running_loop() is not loop:
            raise OptionError(
                'Expected a lab of this event loop for a raw client with via="memory", got loop="thread".',
                remedy='Leave via="memory" out: a raw client over a socket sends the same bytes.',
            )

        async def attach(client: RawClient) -> None:
            server.attach(client, "memory")

        return await open_raw(attach, f"memory:{shown}", host, target, **options)

    async def _door(self, path: str) -> tuple[EmbeddedServer, asyncio.AbstractEventLoop, str, str, str]:
        """The server and its loop, then `path`, host and target as a request has them."""
        await self.ready()
        server, loop = self.server, self.loop
        if server is None or loop is None:
            raise NotRunningError(
                "Expected a running lab, but it is stopped.", remedy="Call lab.start() first."
            )
        shown = quote(absolute(path), safe=_URL_SAFE)
        # the same door as for every program on this machine
        target = with_parameters(shown, self.policy.token if self.policy.always else "")
        return server, loop, shown, authority(self.options.host, server.port), target

    # -- the views' questions and actions ----------------------------------------------------------
    def status(self) -> dict[str, Any]:
        """What the dashboard's header shows."""
        port = self.server.port if self.server is not None else 0
        return {
            "state": "serving" if self.server is not None else "stopped",
            "url": direct_url(self.options.host, port, "") if port else "",
            "app": repr(self.app).partition("\n")[0].strip("<>")[:120],
            "open": len(self.connections.alive),
            "total": self.connections.ever,
            "frames": self.recorder.end,
            **self.manners.status(),
        }

    def address(self) -> dict[str, Any]:
        """What a page needs to reach this lab."""
        probe = Probe(self.policy.token)
        return {
            "port": self.server.port if self.server is not None else 0,
            "token": self.policy.token,
            "base_url": base_url(),
            "direct": direct_url(self.options.host, self.last_port, "").rstrip("/"),
            "probe": probe.path,
            "answer": probe.answer,
        }

    def tunnel(self, path: str, subprotocols: list[str]) -> Coroutine[Any, Any, MemoryClient]:
        """A connection for a page, over its widget's comm (`wslab.widgets.tunnel`).

        The page needs no token of its own: it comes through Jupyter's authenticated channel.
        """
        return self.connect(path, via="tunnel", subprotocols=subprotocols)

    def paths(self) -> list[str]:
        """Paths of the application's WebSocket routes, where it tells."""
        routes = getattr(self.app, "routes", None) or []
        kinds = (route for route in routes if "websocket" in type(route).__name__.lower())
        return [str(route.path) for route in kinds if hasattr(route, "path")]

    def show_feed(self, feed: Feed) -> None:
        """Show another feed in the chart."""
        self.feed = feed
        if self.made_views is not None:
            self.made_views.stocks.show(feed)

    @property
    def views(self) -> Views:
        """The views, made when they are first asked for: importing widgets is slow."""
        if self.made_views is None:
            from wslab.widgets.views import Views

            self.made_views = Views(self)
        return self.made_views


def find_core(*, name: str, options: Options) -> Core:
    """The core of that name, or a new one.

    Raises:
        WSLabError: a lab of that name serves with other options.
    """
    if not name and find_shell() is None:
        return Core(options)
    key = name or "lab"
    core = _cores.get(key)
    if (
        core is not None
        and replace(core.options, token=options.token) == options
        and options.token in {"", core.policy.token}
    ):
        return core
    if core is not None and core.server is not None:
        names = [each.name for each in fields(options) if each.name != "token" or options.token]
        others = [name for name in names if getattr(core.options, name) != getattr(options, name)]
        raise WSLabError(
            f"A lab named {key!r} serves already, with other options ({', '.join(others)}).",
            remedy=f"Await its stop() first, or pass name= to get a second one beside {key!r}.",
        )
    _cores[key] = core = Core(options)
    return core
