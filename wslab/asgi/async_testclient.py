"""A test client that runs in the caller's event loop.

An endpoint, the test and what both share live in one loop: the test can await the application's own events
and queues, and no thread is started. Exported by `wslab.asgi.testclient`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal, Self, cast
from urllib.parse import unquote

import httpx2
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from wslab.asgi.misuse import content_of
from wslab.errors import StartupError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AsyncTestClient", "AsyncWebSocketTestSession"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class AsyncTestClient(httpx2.AsyncClient):
    """`TestClient` for ``async def`` tests: the same methods, awaited.

    HTTP requests are those of `httpx2.AsyncClient`. Entered with ``async with``, it runs the application's
    lifespan; without, only requests and connections.

    Args:
        app: any ASGI 3 application.
        base_url: what paths are completed with.
        raise_server_exceptions: whether what the application raises is raised in the test; otherwise
            a request is answered with 500, and a WebSocket closed with 1011.
        root_path: the `root_path` of every scope.
        receive_timeout: how many seconds a session's `receive` methods wait at most; None for ever.
        close_timeout: how many seconds a session that is left gives the endpoint to end by itself; then
            it is cancelled.
        client: host and port of the client.
        **options: those of `httpx2.AsyncClient`, such as `headers` and `cookies`.

    Example:
        >>> from wslab.asgi import App, WebSocket
        >>> app = App()
        >>> @app.websocket("/echo")
        ... async def echo(ws: WebSocket):
        ...     await ws.accept()
        ...     await ws.send_text(await ws.receive_text())
        >>> async def main():
        ...     async with AsyncTestClient(app) as client, client.websocket_connect("/echo") as session:
        ...         await session.send_text("hi")
        ...         return await session.receive_text(timeout=5)
        >>> asyncio.run(main())
        'hi'
    """

    __test__ = False

    def __init__(
        self,
        app: ASGIApp,
        base_url: str = "http://testserver",
        *,
        raise_server_exceptions: bool = True,
        root_path: str = "",
        receive_timeout: float | None = None,
        close_timeout: float = 1.0,
        client: tuple[str, int] = ("testclient", 50000),
        **options: Any,
    ) -> None:
        self.app = app
        self.app_state: dict[str, Any] = {}
        self.raise_server_exceptions = raise_server_exceptions
        self.root_path = root_path
        self.receive_timeout = receive_timeout
        self.close_timeout = close_timeout
        self.client_address = client
        self._lifespan: _Lifespan | None = None
        headers = httpx2.Headers(options.pop("headers", None))
        headers.setdefault("user-agent", "testclient")
        transport = httpx2.ASGITransport(
            self._with_state, raise_app_exceptions=raise_server_exceptions, root_path=root_path, client=client
        )
        options.setdefault("follow_redirects", True)
        super().__init__(transport=transport, base_url=base_url, headers=headers, **options)

    async def _with_state(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = dict(self.app_state)
        await self.app(scope, receive, send)

    def websocket_connect(
        self,
        url: str,
        subprotocols: Sequence[str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> AsyncWebSocketTestSession:
        """Open a WebSocket.

        Args:
            url: a path, or a whole URL.
            subprotocols: those offered.
            headers: more headers.
            **options: `params`, `cookies` and whatever else `httpx2.AsyncClient.build_request` takes.

        Returns:
            A session, to be entered with ``async with``. Entering raises `WebSocketDenialResponse` when
            the handshake is denied with a response, `WebSocketDisconnect` when it is closed.
        """
        handshake = httpx2.Headers(headers)
        handshake.update({"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"})
        handshake.setdefault("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")  # RFC 6455 section 1.3
        if subprotocols is not None:
            handshake.setdefault("sec-websocket-protocol", ", ".join(subprotocols))
        request = self.build_request("GET", url, headers=handshake, **options)
        return AsyncWebSocketTestSession(
            self.app,
            self._scope_of(request),
            receive_timeout=self.receive_timeout,
            close_timeout=self.close_timeout,
            raise_server_exceptions=self.raise_server_exceptions,
        )

    def _scope_of(self, request: httpx2.Request) -> dict[str, Any]:
        scheme = {"http": "ws", "https": "wss"}.get(request.url.scheme, request.url.scheme)
        offered = request.headers.get("sec-websocket-protocol", "")
        raw_path, _, query = request.url.raw_path.partition(b"?")
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "root_path": self.root_path,
            "query_string": query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": self.client_address,
            "server": (request.url.host, request.url.port or _DEFAULT_PORTS.get(scheme, 0)),
            "subprotocols": [offer.strip() for offer in offered.split(",")] if offered else [],
            "state": dict(self.app_state),
            "extensions": {"websocket.http.response": {}},
        }

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._lifespan = _Lifespan(self.app, self.app_state)
        try:
            await self._lifespan.startup()
        except BaseException:
            await super().__aexit__()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            if self._lifespan is not None:
                await self._lifespan.shutdown()
        finally:
            await super().__aexit__(exc_type, exc_value, traceback)


class _Lifespan:
    """The time in which the application serves (ASGI lifespan protocol 2.0)."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        scope: Any = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        self._task = asyncio.get_running_loop().create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._to_app.get, self._from_app.put)

    async def startup(self) -> None:
        await self._phase("startup")

    async def shutdown(self) -> None:
        if not self._task.done():
            await self._phase("shutdown")
            await self._task

    async def _phase(self, name: str) -> None:
        self._to_app.put_nowait({"type": f"lifespan.{name}"})
        answer = asyncio.ensure_future(self._from_app.get())
        try:
            await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()
        # What the application sent before it ended has arrived: the loop wakes in the order of the events.
        if not answer.done():
            self._task.result()  # raises what the application raised; one without a lifespan just returns
            return
        message = answer.result()
        if message["type"] == f"lifespan.{name}.failed":
            with contextlib.suppress(asyncio.CancelledError):
                await self._task  # Starlette reports the failure, then raises its cause
            raise StartupError(
                f"The application's {name} failed: {message.get('message') or 'it does not say why'}.",
                remedy="Look at its lifespan function.",
            )


class AsyncWebSocketTestSession:
    """A client's side of a WebSocket; entered with ``async with``, left by closing with 1000.

    What the application raises is raised in the test, by the next `receive` or on leaving.

    Attributes:
        scope: the ASGI scope of the connection.
        accepted_subprotocol: what `accept` chose.
        extra_headers: the headers that `accept` sent, as pairs of bytes.
        receive_timeout: how many seconds the `receive` methods wait where the call does not say.

    Example:
        >>> from wslab.asgi import App, WebSocket
        >>> app = App()
        >>> @app.websocket("/")
        ... async def greet(ws: WebSocket):
        ...     await ws.accept("chat")
        ...     await ws.close(3000, "bye")
        >>> async def main():
        ...     async with AsyncTestClient(app).websocket_connect("/", ["chat"]) as session:
        ...         return session.accepted_subprotocol, (await session.receive(timeout=5))["code"]
        >>> asyncio.run(main())
        ('chat', 3000)
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: dict[str, Any],
        *,
        receive_timeout: float | None = None,
        close_timeout: float = 1.0,
        raise_server_exceptions: bool = True,
    ) -> None:
        self.scope = scope
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] = []
        self.receive_timeout = receive_timeout
        self._app = app
        self._close_timeout = close_timeout
        self._raises = raise_server_exceptions
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._accepted = False
        self._closed = False
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            message = await self.receive()
            await self._raise_on_close(message)
        except BaseException:
            await self._end()
            raise
        self.accepted_subprotocol = message.get("subprotocol")
        self.extra_headers = list(message.get("headers") or [])
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
        await self._end()
        if self._error is not None and self._raises and self._error is not exc_value:
            raise self._error

    async def _run(self) -> None:
        receive: Receive = self._to_app.get
        send: Send = self._take
        try:
            await self._app(self.scope, receive, send)
        except WebSocketDisconnect:
            # An endpoint that does not catch the client's leaving has ended, no more.
            self._ended(1006, "")
        except Exception as error:  # noqa: BLE001 - raised in the test
            self._error = error
            self._ended(1011, "Internal error")
        else:
            self._ended(1000, "")

    def _ended(self, code: int, reason: str) -> None:
        """Queue what a client sees of an application that ended without closing."""
        if self._accepted:
            close = {"type": "websocket.close", "code": code, "reason": reason}
            self._from_app.put_nowait({**close, "wslab.ended": True})
            return
        start = {"type": "websocket.http.response.start", "status": 500, "headers": []}
        self._from_app.put_nowait({**start, "wslab.ended": True})
        self._from_app.put_nowait({"type": "websocket.http.response.body", "body": b""})

    async def _take(self, message: Message) -> None:
        kind = message["type"]
        self._accepted = self._accepted or kind == "websocket.accept"
        self._from_app.put_nowait(message)
        if kind == "websocket.close":  # the client answers it (RFC 6455 section 5.5.1)
            await self.close(message.get("code", 1000), message.get("reason"))

    async def _end(self) -> None:
        task = self._task
        assert task is not None, "the session has been entered"
        done, _ = await asyncio.wait({task}, timeout=self._close_timeout)
        if not done:
            task.cancel()
            await asyncio.wait({task})

    async def send(self, message: Message) -> None:
        """Send an ASGI message to the application."""
        self._to_app.put_nowait(message)

    async def send_text(self, data: str) -> None:
        """Send a text message."""
        await self.send({"type": "websocket.receive", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        await self.send({"type": "websocket.receive", "bytes": data})

    async def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        """Send `data` as JSON."""
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        await (self.send_text(text) if mode == "text" else self.send_bytes(text.encode("utf-8")))

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close from the client's side; again, it does nothing."""
        if not self._closed:
            self._closed = True
            await self.send({"type": "websocket.disconnect", "code": code, "reason": reason or ""})

    async def receive(self, *, timeout: float | None = None) -> Message:
        """The next ASGI message that the application sent.

        Args:
            timeout: how many seconds to wait at most; `receive_timeout` unless given.

        Raises:
            WaitTimeoutError: none came in time; it is not lost.
            Exception: what the application raised.
        """
        seconds = self.receive_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                message = await self._from_app.get()
        except TimeoutError:
            raise WaitTimeoutError(
                f"Expected a message from the application within {seconds} s, but none came.",
                remedy="Look at what the endpoint waits for; it may expect a message first.",
            ) from None
        if message.get("wslab.ended") and self._error is not None and self._raises:
            raise self._error
        return message

    async def receive_text(self, *, timeout: float | None = None) -> str:
        """The next message, which must be text; see `receive`.

        Raises:
            WebSocketDisconnect: the application closed the connection.
            MessageTypeError: the message is binary.
            WaitTimeoutError: none came in time.
        """
        return cast("str", content_of(await self._next(timeout), "text"))

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """The next message, which must be binary; see `receive`.

        Raises:
            WebSocketDisconnect: the application closed the connection.
            MessageTypeError: the message is text.
            WaitTimeoutError: none came in time.
        """
        return cast("bytes", content_of(await self._next(timeout), "bytes"))

    async def receive_json(
        self, mode: Literal["text", "binary"] = "text", *, timeout: float | None = None
    ) -> Any:
        """The next message, parsed as JSON; see `receive`.

        Raises:
            WebSocketDisconnect: the application closed the connection.
            MessageTypeError: the message is of the other kind.
            WaitTimeoutError: none came in time.
        """
        message = await self._next(timeout)
        if mode == "text":
            return json.loads(content_of(message, "text"))
        return json.loads(content_of(message, "bytes").decode("utf-8"))

    async def _next(self, timeout: float | None) -> Message:
        message = await self.receive(timeout=timeout)
        await self._raise_on_close(message)
        return message

    async def _raise_on_close(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message.get("code", 1000), message.get("reason"))
        if message["type"] == "websocket.http.response.start":
            body = b""
            more = True
            while more:
                part = await self.receive()
                body += part.get("body", b"")
                more = part.get("more_body", False)
            raise WebSocketDenialResponse(
                status_code=message["status"], headers=message.get("headers", []), content=body
            )
