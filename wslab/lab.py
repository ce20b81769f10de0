"""`Lab`: the one object a notebook holds. It ties an application, a server, the journal and the views.

A `Lab` is a thin face on a `Core` (`wslab.core`), which owns everything that lives.

`start()` is synchronous where errors matter to a cell (the bind) and asynchronous where it must be (the
lifespan): it binds, schedules the rest, and returns the lab, which can be awaited for the rest.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Never, TypeVar, cast

from wslab.asgi import App
from wslab.core import find_core
from wslab.errors import NoEventLoopError, WaitTimeoutError, WSLabError
from wslab.reach import Reach
from wslab.server import check_app
from wslab.server.nesting import running_loop
from wslab.server.options import NAMES, Options, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from os import PathLike

    from starlette.types import ASGIApp

    from wslab.feeds import Feed
    from wslab.journal import Journal
    from wslab.server.lag import LoopLag
    from wslab.server.limits import Limits
    from wslab.server.options import Engine, Loop
    from wslab.server.policy import Auth
    from wslab.widgets.views import Views
    from wslab.wire.deflate import DeflateOptions

__all__ = ["Lab"]

T = TypeVar("T")

_POLL = 0.02  # seconds between two looks at a condition that no event announces


class Lab(Reach):
    """A WebSocket server in this notebook's own event loop, and everything seen on it.

    Args:
        app: any ASGI application; a new `wslab.App` where none is given.
        name: labs of different names run beside each other. In a notebook, a lab of the same name
            takes over the running server of the one before, so a cell can be run again.
        host: address to bind; the default is reachable from this machine only.
        port: port to bind; 0 takes a free one, and keeps it over a stop and a start.
        public: allow a `host` that other machines reach; every client needs the token then, and the
            limits begin with ``per_client=20,rate=100``.
        auth: "auto" (see `wslab.server.policy`), "token": every client needs it, "off".
        token: the lab's token; a random one by default.
        ws: the WebSocket engine: the lab's own, "wslab", or uvicorn's "websockets-sansio" or "wsproto".
        limits: what a client may ask for (`wslab.Limits`), as such or as text:
            ``"message=4MiB,rate=50"``; "off" for load tests only.
        deflate: permessage-deflate (RFC 7692): True, False, or its `DeflateOptions`.
        capture: record every byte of every connection; False shows connections without frames.
        lines: note which line of the application received or sent each message.
        loop: "kernel": this event loop; "thread": one of the lab's own, which a busy cell does not hold.
        ping_interval: seconds between two pings; None sends none.
        ping_timeout: seconds until a ping must be answered, else the connection is cut; None: no limit.

    Raises:
        NotAnAppError: `app` is no ASGI application.
        OptionError: an option is unknown, or its value cannot be meant.
        WSLabError: a lab of that name serves with other options.

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
        public: bool = False,
        auth: Auth = "auto",
        token: str = "",
        ws: Engine = "wslab",
        limits: Limits | str | None = None,
        deflate: bool | DeflateOptions = False,
        capture: bool = True,
        lines: bool = True,
        loop: Loop = "kernel",
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        **unknown: Never,
    ) -> None:
        refuse_unknown(unknown, ["name", *(option for option in NAMES if option not in {"reload", "save"})])
        given = None if app is None else check_app(app)
        options = Options.of(
            {
                "host": host,
                "port": port,
                "public": public,
                "auth": auth,
                "token": token,
                "ws": ws,
                "limits": limits,
                "deflate": deflate,
                "capture": capture,
                "lines": lines,
                "loop": loop,
                "ping_interval": ping_interval,
                "ping_timeout": ping_timeout,
            }
        )
        self._core = core = find_core(name=name, options=options)
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
            NoEventLoopError: no loop runs in this thread (``loop="kernel"``).
            PortInUseError: the port is taken.
            StartupError: (when awaited) the application's lifespan failed.
        """
        if self._core.thread is None and running_loop() is None:
            raise NoEventLoopError(
                "Expected an event loop that runs, as in a notebook cell, but there is none.",
                remedy="In a script, start the lab inside `async def main()` and use asyncio.run(main()), or "
                'pass loop="thread".',
            )
        self._core.manners.adopt()
        self._core.start(self.app)
        return self

    def __await__(self) -> Generator[Any, None, Lab]:
        return self._ready().__await__()

    async def _ready(self) -> Lab:
        await self._core.ready()
        return self

    async def stop(self) -> None:
        """Stop serving: clients get 1012, endpoints are cancelled; ends within 2.5 seconds.

        An endpoint that blocks the kernel's loop delays everything in this kernel, and this as well. One
        that blocks a thread of the lab's own (``loop="thread"``) is abandoned with its thread: the log names
        it, and the port is free.
        """
        await self._core.stop()

    @property
    def running(self) -> bool:
        """Whether the lab serves."""
        return self._core.server is not None

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

    # -- looking -----------------------------------------------------------------------------------
    @property
    def log(self) -> Journal:
        """What happened, newest last."""
        return self.journal

    @property
    def lag(self) -> LoopLag:
        """How late the lab's event loop is, and who held it last."""
        return self._core.manners.lag

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

    def save(self, path: str | PathLike[str]) -> None:
        """Write the kept frames and every connection to `path`: ``.jsonl``, ``.har`` or ``.pcapng``.

        Raises:
            RecordingError: another suffix.
            OSError: the file cannot be written.
        """
        self.frames.save(path, self.connections)

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
        """Run `coroutine` to its end from synchronous code, and return what it returns.

        With ``loop="thread"`` it runs in the lab's loop, where its connections and rooms are, and this
        waits for it; an interrupt cancels it. In the kernel's loop, the first call while that runs lets
        asyncio nest, for this kernel and for good (nest-asyncio2 has no undo); the log says so. In a cell,
        plain ``await`` is better there.

        Raises:
            WSLabError: called in the lab's own thread, which would wait for itself.

        Example:
            >>> async def answer():
            ...     return 42
            >>> Lab(loop="thread").run(answer())
            42
        """
        if getattr(coroutine, "cr_code", None) is Lab.stop.__code__:
            # Where an endpoint holds the thread, its loop would never get to this one.
            stopped: Lab = inspect.getcoroutinelocals(coroutine)["self"]
            thread = stopped._core.thread
            if thread is not None and not thread.here:
                coroutine.close()
                stopped._core.stop_thread()
                return cast("T", None)
        return self._core.run(coroutine)

    def __repr__(self) -> str:
        core = self._core
        server = core.server
        served = self.url("/", token=False) if server and server.port else "without a port"
        where = served if server else "stopped"
        started = core.started
        failed = started.exception() if started and started.done() and not started.cancelled() else None
        counts = f"{len(core.connections.alive)} open of {core.connections.ever} connections"
        lines = [f"<Lab {where} · {counts} · {core.recorder.end} frames · {len(core.rooms)} rooms>"]
        if failed is not None and not self.running:
            lines.append(f"did not start: {failed}")
        if len(core.connections):
            lines.append(repr(core.connections))
        return "\n".join(lines)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self._core.manners.adopt()
        return self.views.dashboard._repr_mimebundle_(**options)
