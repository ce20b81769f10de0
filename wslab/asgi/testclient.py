"""Clients for tests: Starlette's with time-outs, and one for tests that run in a loop.

Imported only on demand: they need `httpx2`, which serving does not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
import starlette.testclient
from starlette.testclient import WebSocketDenialResponse

from wslab.asgi.async_testclient import AsyncTestClient, AsyncWebSocketTestSession
from wslab.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Message

__all__ = [
    "AsyncTestClient",
    "AsyncWebSocketTestSession",
    "TestClient",
    "WebSocketDenialResponse",
    "WebSocketTestSession",
]


class WebSocketTestSession(starlette.testclient.WebSocketTestSession):
    """Starlette's session, whose `receive` methods take a time-out.

    Attributes:
        receive_timeout: how many seconds they wait where the call does not say; None for ever.

    Example:
        >>> from wslab.asgi import App, WebSocket
        >>> app = App()
        >>> @app.websocket("/")
        ... async def silent(ws: WebSocket):
        ...     await ws.accept()
        ...     await ws.receive()
        >>> with TestClient(app).websocket_connect("/") as session:
        ...     session.receive_text(timeout=0)
        Traceback (most recent call last):
        ...
        wslab.errors.WaitTimeoutError: Expected a message from the application within 0 s, but none came.
        Look at what the endpoint waits for; it may expect a message first.
    """

    receive_timeout: float | None = None

    def receive(self, *, timeout: float | None = None) -> Message:
        """The next ASGI message that the application sent.

        Args:
            timeout: how many seconds to wait at most; `receive_timeout` unless given.

        Raises:
            WaitTimeoutError: none came in time; it is not lost.
        """
        seconds = self.receive_timeout if timeout is None else timeout
        if seconds is None:
            return super().receive()
        message = self.portal.call(self._receive_within, seconds)
        if message is None:
            raise WaitTimeoutError(
                f"Expected a message from the application within {seconds} s, but none came.",
                remedy="Look at what the endpoint waits for; it may expect a message first.",
            )
        return message

    async def _receive_within(self, seconds: float) -> Message | None:
        # None, not an exception: it would travel through the portal with a traceback of its inside.
        with anyio.move_on_after(seconds):
            return await self._send_rx.receive()
        return None

    def receive_text(self, *, timeout: float | None = None) -> str:
        """The next message, which must be text; see `receive`.

        Raises:
            WebSocketDisconnect: the application closed the connection.
            KeyError: the message is binary.
            WaitTimeoutError: none came in time.
        """
        return cast("str", self._next(timeout)["text"])

    def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """The next message, which must be binary; see `receive`.

        Raises:
            WebSocketDisconnect: the application closed the connection.
            KeyError: the message is text.
            WaitTimeoutError: none came in time.
        """
        return cast("bytes", self._next(timeout)["bytes"])

    def receive_json(self, mode: Literal["text", "binary"] = "text", *, timeout: float | None = None) -> Any:
        """The next message, parsed as JSON; see `receive`.

        Raises:
            WebSocketDisconnect: the application closed the connection.
            KeyError: the message is of the other kind.
            WaitTimeoutError: none came in time.
        """
        message = self._next(timeout)
        return json.loads(message["text"] if mode == "text" else message["bytes"].decode("utf-8"))

    def _next(self, timeout: float | None) -> Message:
        message = self.receive(timeout=timeout)
        self._raise_on_close(message)
        return message


class TestClient(starlette.testclient.TestClient):
    """Starlette's test client, which never hangs when told how long to wait.

    Args:
        app: any ASGI application.
        receive_timeout: how many seconds a session's `receive` methods wait at most; None for ever.
        **options: those of `starlette.testclient.TestClient`.

    Example:
        >>> from wslab.asgi import App, WebSocket
        >>> app = App()
        >>> @app.websocket("/echo")
        ... async def echo(ws: WebSocket):
        ...     await ws.accept()
        ...     await ws.send_text(await ws.receive_text())
        >>> with TestClient(app).websocket_connect("/echo") as session:
        ...     session.send_text("hi")
        ...     session.receive_text(timeout=5)
        'hi'
    """

    __test__ = False  # not a test case, whatever its name

    def __init__(self, app: Any, *args: Any, receive_timeout: float | None = None, **options: Any) -> None:
        super().__init__(app, *args, **options)
        self.receive_timeout = receive_timeout

    def websocket_connect(
        self,
        url: str,
        subprotocols: Sequence[str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> WebSocketTestSession:
        """Open a WebSocket.

        Args:
            url: a path, or a whole URL.
            subprotocols: those offered.
            headers: more headers; the mapping stays as it is.
            **options: `params`, `cookies` and whatever else a request takes.

        Returns:
            A session, to be entered with ``with``. Entering raises `WebSocketDenialResponse` when the
            handshake is denied with a response, `WebSocketDisconnect` when it is closed.
        """
        plain = super().websocket_connect(url, subprotocols, headers=dict(headers or {}), **options)
        session = WebSocketTestSession(plain.app, plain.scope, plain.portal_factory)
        session.receive_timeout = self.receive_timeout
        return session
