"""How a lab is reached: its addresses, its clients, and a recording's clients once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from wslab.client import Client, Connecting, connect
from wslab.client.client import check_raw
from wslab.client.raw_opening import connect_raw
from wslab.errors import NotRunningError, WSLabError
from wslab.server import check_app
from wslab.server.addresses import direct_url, proxy_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from starlette.types import ASGIApp

    from wslab.client.raw import RawClient
    from wslab.client.replay import Replay
    from wslab.core import Core
    from wslab.server import EmbeddedServer
    from wslab.wire import Connection, ConnectionTable, FrameTable, Recording

__all__ = ["Reach"]


class Reach:
    """What `wslab.Lab` has for whoever wants to connect to it."""

    _core: Core
    app: ASGIApp
    connections: ConnectionTable
    frames: FrameTable

    async def _ready(self) -> object:
        """Wait until the application has started."""
        raise NotImplementedError

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
        if not server.port:
            raise NotRunningError(
                "Expected a lab with a port, but this one serves within this process only.",
                remedy='Call lab.start(), or use lab.connect(path, via="memory").',
            )
        return server

    def url(self, path: str = "/", *, via: str = "direct", token: bool | None = None) -> str:
        """The address of `path` for programs (``via="direct"``) or for Jupyter pages (``via="proxy"``).

        Args:
            path: absolute path, a query may follow.
            via: "direct" or "proxy". Under JupyterHub and Binder the latter is a path alone where the kernel
                does not know the host's name.
            token: add the lab's token; by default only where a client needs it.

        Raises:
            NotRunningError: the lab does not serve, or has no port.
            ProxyNotFoundError: no Jupyter server is known (``via="proxy"``).
            WSLabError: there is no such way, or it has no address.
        """
        if via in {"memory", "tunnel"}:
            raise WSLabError(
                f'Expected a way that has an address, "direct" or "proxy", got {via!r}: it opens no port.',
                remedy='Use lab.connect(path, via="memory"), or the Client view for the tunnel.',
            )
        port = self._server().port
        policy = self._core.policy
        if via == "proxy":
            return proxy_url(port, path, policy.token if token is not False else "")
        if via != "direct":
            raise WSLabError(f'Expected via="direct" or via="proxy", got {via!r}.')
        shown = policy.always if token is None else token
        return direct_url(self._core.options.host, port, path, policy.token if shown else "")

    @overload
    def connect(
        self,
        path: str = ...,
        *,
        via: str = ...,
        subprotocols: Sequence[str] = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float = ...,
        raw: Literal[False] = ...,
    ) -> Connecting[Client]: ...

    @overload
    def connect(
        self,
        path: str = ...,
        *,
        via: str = ...,
        subprotocols: Sequence[str] = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float = ...,
        raw: Literal[True],
        request: bytes | Callable[[bytes], bytes] | None = ...,
        auto_pong: bool = ...,
    ) -> Connecting[RawClient]: ...

    def connect(
        self,
        path: str = "/",
        *,
        via: str = "direct",
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        raw: bool = False,
        request: bytes | Callable[[bytes], bytes] | None = None,
        auto_pong: bool = False,
    ) -> Connecting[Client] | Connecting[RawClient]:
        """A real client of `path`, in this loop: ``async with lab.connect("/echo") as client``.

        Args:
            path: absolute path, a query may follow.
            via: "direct": over a socket. "memory": within this process, the client's engine and the
                server's back to back; the same bytes, with no socket. It works on a lab that was not
                started, too: the application is started, and no port is bound.
            subprotocols: offered, most wanted first.
            headers: further request headers, which a browser could not set.
            timeout: seconds the opening handshake may take.
            raw: give a `wslab.client.raw.RawClient`, which sends exactly the bytes it is told.
            request: with `raw`, bytes to send instead of the opening request, or what makes them from the
                right ones: ``lambda right: right.replace(b": 13", b": 12")``. A refusal is no exception then.
            auto_pong: with `raw`, answer pings all the same.

        Raises:
            NotRunningError: (when awaited) the lab does not serve.
            OptionError: `request` or `auto_pong` without `raw`.
            StartupError: (when awaited) the application did not start.
            ConnectionRefused: (when awaited) the handshake was refused.
            WSLabError: there is no such way.

        Example:
            >>> import asyncio
            >>> from wslab import Lab
            >>> async def main():
            ...     lab = Lab()
            ...     @lab.websocket("/echo")
            ...     async def echo(ws):
            ...         await ws.accept()
            ...         await ws.send_text(await ws.receive_text())
            ...     async with lab.connect("/echo", via="memory") as client:
            ...         await client.send("no port was opened")
            ...         print(await client.receive())
            ...     await lab.stop()
            >>> asyncio.run(main())
            no port was opened
        """
        if via not in {"direct", "memory"}:
            raise WSLabError(f'Expected via="direct" or via="memory", got {via!r}.')
        check_raw(raw=raw, request=request, auto_pong=auto_pong)
        opening: dict[str, Any] = {"subprotocols": subprotocols, "headers": headers, "timeout": timeout}

        async def make_raw() -> RawClient:
            options = {**opening, "request": request, "auto_pong": auto_pong}
            if via == "direct":
                await self._ready()
                return await connect_raw(self.url(path), **options)
            self._serve_within()
            return await self._core.connect_raw(path, **options)

        async def make() -> Client:
            if via == "direct":
                await self._ready()
                client: Client = await connect(self.url(path), **opening)
                self._core.note_clock(client)
                return client
            self._serve_within()
            return await self._core.connect(path, via=via, **opening)

        return Connecting(make_raw) if raw else Connecting(make)

    def _serve_within(self) -> None:
        """Serve without a port, where nothing serves yet."""
        if self._core.server is None:
            self._core.manners.adopt()
            self._core.start(self.app, listen=False)

    async def replay(
        self,
        source: str | PathLike[str] | Recording | FrameTable,
        app: ASGIApp | None = None,
        *,
        timeout: float = 5.0,
        connections: Iterable[Connection | str] | None = None,
        where: str = "",
        volatile: Iterable[str] = (),
        exact: Iterable[str] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> Replay:
        """Play the clients' side of a recording, and report where the server first says something else.

        The connections are made within this process, and are on the record as others are. An application
        that remembers what was before, such as a room with somebody in it, may answer otherwise: give a new
        one.

        Args:
            source: a ``.har`` or ``.jsonl`` file, a browser's own HAR included, what `wslab.wire.load` made
                of one, or a table such as `lab.frames`.
            app: what answers: any ASGI application; the lab's own where it is None.
            timeout: seconds that each message of the server's is waited for.
            connections: those to take, or their ids; all where it is None.
            where: a filter: connections are taken of which a frame passes.
            volatile: more fields of JSON that are not compared but for their type, by key (``"price"``) or
                by path (``"$.data.ts"``); times, ids and tokens are recognised
                (`wslab.wire.conversation.generalise`).
            exact: fields in which nothing is recognised, likewise.
            secrets: values for what was redacted, by the name of the header or query parameter.

        Raises:
            RecordingError: the recording is not enough: the remedy says what to do.
            QueryError: the filter cannot be read.
            OptionError: a field's path cannot be read.
            NotAnAppError: `app` is no ASGI application.
            StartupError: the application did not start.
            OSError: the file cannot be read.

        Example:
            >>> import asyncio
            >>> from wslab import Lab
            >>> async def main():
            ...     lab = Lab()
            ...     @lab.websocket("/echo")
            ...     async def echo(ws):
            ...         await ws.accept()
            ...         await ws.send_text(await ws.receive_text())
            ...     async with lab.connect("/echo", via="memory") as client:
            ...         await client.send("hi")
            ...         await client.receive()
            ...     print(await lab.replay(lab.frames))
            ...     await lab.stop()
            >>> asyncio.run(main())
            <Replay: 4 steps as recorded>
        """
        from wslab.client.replay import conversation_of, replay

        given = None if app is None else check_app(app)
        known = self.connections
        talk = conversation_of(source, connections, known=known, where=where, secrets=secrets)
        options: dict[str, Any] = {"timeout": timeout, "volatile": volatile, "exact": exact}
        if given is not None and given is not self._core.app:
            async with self._core.beside(given) as core:
                return await replay(talk, core.connect, frames=core.frames, **options)
        self._serve_within()
        return await replay(talk, self._core.connect, frames=self.frames, **options)
