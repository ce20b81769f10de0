"""What lives behind a `Lab`: the server, the records and the views, found again by name.

In a notebook a cell is run again and again; each time makes a new `Lab` with a new application. So a
core is kept by its name: the same server on the same port gets the new application, open connections
keep the old one, the record and the dashboard go on. Outside a notebook every `Lab` has a core of its
own, unless it is named.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from wslab.errors import WSLabError
from wslab.events import LabStarted, LabStopped, Notice
from wslab.feeds import Feed, replay
from wslab.journal import Journal
from wslab.rooms import RoomTable
from wslab.server import EmbeddedServer, Host, Policy, bind, tap_class
from wslab.server.addresses import base_url, direct_url
from wslab.server.interrupt import InterruptGuard
from wslab.wire import ConnectionTable, FrameTable, Recorder

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from wslab.server.policy import Auth
    from wslab.widgets.views import Views

__all__ = ["Core", "find_core"]

_cores: dict[str, Core] = {}


class Core:
    """The living part of a lab; see the module's text."""

    def __init__(self, *, host: str, port: int, auth: Auth, token: str, ws: str) -> None:
        self.host, self.port, self.ws = host, port, ws
        self.journal = Journal()
        self.recorder = Recorder()
        self.connections = ConnectionTable(self.recorder)
        self.frames = FrameTable(self.recorder)
        self.rooms = RoomTable(self.journal)
        self.feed = Feed(lambda: replay(loop=True), name="replay of real daily prices")
        self.policy = Policy(auth, token)
        self.server: EmbeddedServer | None = None
        self.app_host: Host | None = None
        self.app: ASGIApp | None = None
        self.started: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.last_port = 0
        self._guard = InterruptGuard()
        self.made_views: Views | None = None
        self._actions: set[asyncio.Task[None]] = set()

    # -- life --------------------------------------------------------------------------------------
    def start(self, app: ASGIApp) -> None:
        """Serve `app` on the running loop; hand it over where a server runs already."""
        loop = asyncio.get_running_loop()
        if self.server is not None and self.loop is loop and self.app_host is not None:
            if app is not self.app:
                self.app = app
                self.started = self.app_host.hand_over(app).ready
            return
        sock = bind(self.host, self.port, prefer=self.last_port)
        self.loop, self.app = loop, app
        self.app_host = Host(self.journal, self.policy)
        try:
            self.server = EmbeddedServer(
                self.app_host, sock, http=tap_class(self), ws=self.ws, journal=self.journal
            )
        except BaseException:
            sock.close()
            raise
        self.last_port = self.server.port
        generation = self.app_host.hand_over(app)
        self.started = loop.create_task(self._serve(self.server, generation.ready), name="wslab start")
        # A failed start that nobody awaits is told by the journal; asyncio need not tell it again.
        self.started.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._guard.install()
        atexit.register(self._at_exit)
        if self.made_views is not None:
            self.made_views.bind_loop(loop)

    async def _serve(self, server: EmbeddedServer, ready: asyncio.Task[None]) -> None:
        await server.start()
        try:
            await ready
        except WSLabError as error:
            self.journal.publish(Notice(level="error", text=str(error)))
            await self.stop()
            raise
        self.journal.publish(LabStarted(url=direct_url(self.host, server.port, "/")))

    async def stop(self) -> None:
        """End the server and the application. Harmless when nothing runs."""
        server, self.server = self.server, None
        app_host, self.app_host = self.app_host, None
        atexit.unregister(self._at_exit)
        self._guard.remove()
        if server is None or app_host is None:
            return
        if self.started is not None and self.started is not asyncio.current_task():
            await asyncio.wait([self.started], timeout=0.5)
        abandoned = await server.stop()
        for name in [session.id for session in app_host.sessions.values()]:
            text = "This endpoint did not end when it was cancelled, and was abandoned."
            self.journal.publish(Notice(connection=name, level="warning", text=text))
        await app_host.shutdown()
        self.journal.publish(LabStopped(abandoned=abandoned))

    def _at_exit(self) -> None:
        """The interpreter ends: tell every client 1012, with the loop if it can still run."""
        server, loop = self.server, self.loop
        if server is None or loop is None:
            return
        if not loop.is_closed() and not loop.is_running():
            stopping = loop.create_task(self.stop())
            # The first run may end early: a kernel leaves its loop with a stop already requested.
            for _ in range(2):
                with contextlib.suppress(RuntimeError):
                    loop.run_until_complete(stopping)
                    return
        server.close_now()

    # -- the views' questions and actions ----------------------------------------------------------
    def status(self) -> dict[str, Any]:
        """What the dashboard's header shows."""
        return {
            "state": "serving" if self.server is not None else "stopped",
            "url": direct_url(self.host, self.last_port, "") if self.server is not None else "",
            "app": repr(self.app).partition("\n")[0].strip("<>")[:120],
            "open": len(self.connections.alive),
            "total": self.connections.ever,
            "frames": self.recorder.end,
        }

    def address(self) -> dict[str, Any]:
        """What a page needs to reach this lab."""
        return {
            "port": self.last_port if self.server is not None else 0,
            "token": self.policy.token,
            "base_url": base_url(),
            "direct": direct_url(self.host, self.last_port, "").rstrip("/"),
        }

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

    def close_connection(self, connection: str, code: int, reason: str) -> None:
        """Close one connection from the dashboard; a failure is told in the journal."""
        session = self.app_host.sessions.get(connection) if self.app_host else None
        if session is None or self.loop is None:
            text = f"{connection} cannot be closed: it is not open any more."
            self.journal.publish(Notice(connection=connection, level="warning", text=text))
            return

        async def act() -> None:
            try:
                await session.close(code, reason)
            except (WSLabError, OSError) as error:
                self.journal.publish(Notice(connection=connection, level="warning", text=str(error)))

        task = self.loop.create_task(act(), name=f"wslab close {connection}")
        self._actions.add(task)
        task.add_done_callback(self._actions.discard)

    @property
    def views(self) -> Views:
        """The views, made when they are first asked for: importing widgets is slow."""
        if self.made_views is None:
            from wslab.widgets.views import Views

            self.made_views = Views(self)
        return self.made_views


def find_core(*, name: str, host: str, port: int, auth: Auth, token: str, ws: str) -> Core:
    """The core of that name, or a new one.

    Raises:
        WSLabError: a lab of that name serves with other options.
    """
    ipython = sys.modules.get("IPython")
    in_notebook = bool(ipython and ipython.get_ipython())
    if not name and not in_notebook:
        return Core(host=host, port=port, auth=auth, token=token, ws=ws)
    key = name or "lab"
    core = _cores.get(key)
    wanted = (host, port, auth, ws)
    if (
        core is not None
        and (core.host, core.port, core.policy.auth, core.ws) == wanted
        and token in {"", core.policy.token}
    ):
        return core
    if core is not None and core.server is not None:
        raise WSLabError(
            f"A lab named {key!r} serves already, with other options.",
            remedy=f"Await its stop() first, or pass name= to get a second one beside {key!r}.",
        )
    _cores[key] = core = Core(host=host, port=port, auth=auth, token=token, ws=ws)
    return core
