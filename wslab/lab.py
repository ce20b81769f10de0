"""`Lab`: the one object a notebook holds. It ties an application, a server, the journal and the views.

A `Lab` is a thin face on a `Core` (`wslab.core`), which owns everything that lives.

`start()` is synchronous where errors matter to a cell (the bind) and asynchronous where it must be (the
lifespan): it binds, schedules the rest, and returns the lab, which can be awaited for the rest.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from wslab.asgi import App
from wslab.client import Connecting, connect
from wslab.core import find_core
from wslab.errors import NoEventLoopError, NotRunningError, WaitTimeoutError, WSLabError
from wslab.events import Notice
from wslab.server import check_app
from wslab.server.addresses import direct_url, proxy_url

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence

    from starlette.types import ASGIApp

    from wslab.feeds import Feed
    from wslab.journal import Journal
    from wslab.server import EmbeddedServer
    from wslab.server.policy import Auth
    from wslab.widgets.views import Views

__all__ = ["Lab"]

T = TypeVar("T")

_POLL = 0.02  # seconds between two looks at a condition that no event announces


class Lab:
    """A WebSocket server in this notebook's own event loop, and everything seen on it.

    Args:
        app: any ASGI application; a new `wslab.App` where none is given.
        name: labs of different names run beside each other. In a notebook, a lab of the same name
            takes over the running server of the one before, so a cell can be run again.
        host: address to bind; the default is reachable from this machine only.
        port: port to bind; 0 takes a free one, and keeps it over a stop and a start.
        auth: "auto" (see `wslab.server.policy`), "token": every client needs it, "off".
        token: the lab's token; a random one by default.
        ws: uvicorn's WebSocket implementation: "websockets-sansio" or "wsproto".

    Raises:
        NotAnAppError: `app` is no ASGI application.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     lab = Lab()
        ...     @lab.websocket("/echo")
        ...     async def echo(ws):
        ...         await ws.accept()
        ...         async for text in ws.iter_text():
        ...             await ws.send_text(text.upper())
        ...     await lab.start()
        ...     async with lab.connect("/echo") as client:
        ...         await client.send("hi")
        ...         print(await client.receive())
        ...     await lab.stop()
        >>> asyncio.run(main())
        HI
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        name: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        auth: Auth = "auto",
        token: str = "",
        ws: str = "websockets-sansio",
    ) -> None:
        given = None if app is None else check_app(app)
        self._core = core = find_core(name=name, host=host, port=port, auth=auth, token=token, ws=ws)
        # `lab = Lab()` run again goes on with the endpoints that other cells have declared on it.
        earlier = core.app if isinstance(core.app, App) else None
        self.app: ASGIApp = given or earlier or App()
        self.journal = core.journal
        self.recorder = core.recorder
        self.connections = core.connections
        self.frames = core.frames
        self.rooms = core.rooms

    # -- life --------------------------------------------------------------------------------------
    def start(self) -> Lab:
        """Bind and serve; `await` the result to wait for the application's startup as well.

        Started again, it hands its application to the server that runs.

        Raises:
            NoEventLoopError: no loop runs in this thread.
            PortInUseError: the port is taken.
            StartupError: (when awaited) the application's lifespan failed.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise NoEventLoopError(
                "Expected an event loop that runs, as in a notebook cell, but there is none.",
                remedy="In a script, start the lab inside `async def main()` and use asyncio.run(main()).",
            ) from None
        self._core.start(self.app)
        return self

    def __await__(self) -> Generator[Any, None, Lab]:
        return self._ready().__await__()

    async def _ready(self) -> Lab:
        started = self._core.started
        if started is None:
            raise NotRunningError("Expected a started lab.", remedy="Call lab.start() first.")
        await asyncio.shield(started)
        return self

    async def stop(self) -> None:
        """Stop serving: clients get 1012, endpoints are cancelled; ends within 2.5 seconds.

        An endpoint that blocks the loop delays everything in this kernel, and this as well.
        """
        await self._core.stop()

    @property
    def running(self) -> bool:
        """Whether the lab serves."""
        return self._core.server is not None

    @property
    def port(self) -> int:
        """The port served now.

        Raises:
            NotRunningError: none is.
        """
        return self._server().port

    def _server(self) -> EmbeddedServer:
        server = self._core.server
        if server is None:
            raise NotRunningError(
                "Expected a running lab, but it is stopped.", remedy="Call lab.start() first."
            )
        return server

    # -- defining ----------------------------------------------------------------------------------
    def websocket(self, path: str, *, name: str | None = None) -> Callable[[T], T]:
        """Declare an endpoint on the lab's application; a path declared again replaces the older one.

        Raises:
            WSLabError: the application given to this lab is not a `wslab.App`.
        """
        if not isinstance(self.app, App):
            raise WSLabError(
                f"Expected the lab's app to be a wslab.App, got {type(self.app).__name__}.",
                remedy="Declare the endpoint on your own application.",
            )
        declare: Any = self.app.websocket(path, name=name)
        return declare  # type: ignore[no-any-return]  # the decorator gives back what it is given

    # -- reaching ----------------------------------------------------------------------------------
    def url(self, path: str = "/", *, via: str = "direct", token: bool | None = None) -> str:
        """The address of `path` for programs (``via="direct"``) or for Jupyter pages (``via="proxy"``).

        Args:
            path: absolute path, a query may follow.
            via: "direct" or "proxy".
            token: add the lab's token; by default only where a client needs it.

        Raises:
            NotRunningError: the lab does not serve.
            ProxyNotFoundError: no Jupyter server is known (``via="proxy"``).
        """
        port = self._server().port
        policy = self._core.policy
        if via == "proxy":
            return proxy_url(port, path, policy.token if token is not False else "")
        if via != "direct":
            raise WSLabError(f'Expected via="direct" or via="proxy", got {via!r}.')
        shown = policy.always if token is None else token
        return direct_url(self._core.host, port, path, policy.token if shown else "")

    def connect(
        self,
        path: str = "/",
        *,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Connecting:
        """A real client of `path`, in this loop: ``async with lab.connect("/echo") as client``.

        Raises:
            NotRunningError: (when awaited) the lab does not serve.
            StartupError: (when awaited) the application did not start.
            ConnectionRefused: (when awaited) the handshake was refused.
        """

        async def make() -> Any:
            await self._ready()
            url = self.url(path)
            return await connect(url, subprotocols=subprotocols, headers=headers, timeout=timeout)

        return Connecting(make)

    # -- looking -----------------------------------------------------------------------------------
    @property
    def log(self) -> Journal:
        """What happened, newest last."""
        return self.journal

    @property
    def feed(self) -> Feed:
        """The stock feed that the chart shows; assign another `Feed` to show that."""
        return self._core.feed

    @feed.setter
    def feed(self, feed: Feed) -> None:
        self._core.show_feed(feed)

    @property
    def views(self) -> Views:
        """The views, each usable alone: `connections`, `rooms`, `frames`, `stocks`, `client`, `log`."""
        return self._core.views

    async def until(self, condition: Callable[[], object], timeout: float = 5.0) -> Any:
        """Wait until `condition()` is true and return what it returned.

        Raises:
            WaitTimeoutError: it was not true within `timeout` seconds.

        Example:
            ``await lab.until(lambda: len(lab.connections.alive) == 3)``
        """
        deadline = time.monotonic() + timeout
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise WaitTimeoutError(
                    f"Expected the condition within {timeout} s, it was last {found!r}.",
                    remedy="Look at the lab (as a cell's last line) for what happened instead.",
                )
            await asyncio.sleep(_POLL)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end from synchronous code, also where a loop runs already.

        The first call inside a running loop lets asyncio nest, for this kernel and for good
        (nest-asyncio2 has no undo); the log says so. In a cell, plain ``await`` is better.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(coroutine)
        import nest_asyncio2

        if not hasattr(asyncio, "_nest_asyncio2") and not getattr(loop, "_nest_patched", False):
            text = "lab.run() let asyncio nest for the rest of this kernel's life (nest-asyncio2)."
            self.journal.publish(Notice(text=text))
        nest_asyncio2.apply(loop)
        result: T = loop.run_until_complete(coroutine)
        return result

    def __repr__(self) -> str:
        core = self._core
        where = self.url("/", token=False) if self.running else "stopped"
        failed = core.started.exception() if core.started and core.started.done() else None
        counts = f"{len(core.connections.alive)} open of {core.connections.ever} connections"
        lines = [f"<Lab {where} · {counts} · {core.recorder.end} frames · {len(core.rooms)} rooms>"]
        if failed is not None and not self.running:
            lines.append(f"did not start: {failed}")
        if len(core.connections):
            lines.append(repr(core.connections))
        return "\n".join(lines)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.views.dashboard._repr_mimebundle_(**options)
