"""The connection object that endpoints hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast

import starlette.websockets
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected, WebSocketState

from wslab.asgi.disconnection import Disconnection, End
from wslab.asgi.exceptions import (
    ConnectionEndedError,
    ConnectionStateError,
    WrongContentError,
)
from wslab.asgi.headers import HeadersLike, encode_headers
from wslab.asgi.inbox import Inbox
from wslab.asgi.misuse import check_may_send, check_mode, content_of, disconnect_of, not_open, unexpected
from wslab.asgi.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

__all__ = [
    "Disconnection",
    "HeadersLike",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketDisconnected",
    "WebSocketState",
]


# Members of an enum are looked up slowly in Python 3.11; these are looked at with every message.
_CONNECTED = WebSocketState.CONNECTED
_DISCONNECTED = WebSocketState.DISCONNECTED


class WebSocket(starlette.websockets.WebSocket):
    """A WebSocket connection, seen from the endpoint.

    Everything of `starlette.websockets.WebSocket`, and beyond it:

    - `receive`, `receive_text`, `receive_bytes` and `receive_json` take a `timeout`, and lose no message;
    - `disconnected` can be awaited and tested;
    - several tasks may send: each message goes out whole, in the order of the calls;
    - `accept` takes headers as a mapping, too;
    - mistakes raise Starlette's exceptions with a message that says what to do.

    Args:
        scope: the ASGI scope of type "websocket".
        receive: the server's.
        send: the server's.

    Attributes:
        client_state: what the client has done, as far as the endpoint has been told.
        application_state: what the endpoint has done.

    Example:
        >>> async def echo(ws: WebSocket):
        ...     await ws.accept()
        ...     async for text in ws.iter_text():
        ...         await ws.send_text(text)
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._turns = Turns()
        self._end = End()
        self._inbox: Inbox | None = None
        self._direct_reads = 0

    # --- the handshake

    async def accept(self, subprotocol: str | None = None, headers: HeadersLike | None = None) -> None:
        """Answer the opening handshake with 101 (RFC 6455 section 4.2.2).

        Args:
            subprotocol: one of those the client offered (`scope["subprotocols"]`). None stands for the one
                that a dependency has chosen (`wslab.asgi.security.WebSocketBearer` does), else for none.
            headers: more headers for the answer: a mapping, or pairs of str or bytes when a name occurs
                more than once.

        Raises:
            InvalidHeaderError: a name or a value that cannot stand in a header.
            ConnectionStateError: the handshake has been answered already.
        """
        pairs = encode_headers(headers)
        if self.client_state is WebSocketState.CONNECTING:
            await self.receive()
        if subprotocol is None:
            subprotocol = self.scope.get("wslab.subprotocol")
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": pairs})

    async def send_denial_response(self, response: Response) -> None:
        """Refuse the handshake with an HTTP response, whole even if other tasks send meanwhile.

        Raises:
            ConnectionStateError: the server does not know the ASGI extension ``websocket.http.response``,
                or the handshake has been answered already.
        """
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            raise ConnectionStateError(
                "Expected a server with the ASGI extension websocket.http.response, but this one does not "
                "support Websocket Denial Response.",
                remedy="Call close() before accept(): the client gets a bare 403.",
            )
        turns = self._turns
        if turns.taken:
            await turns.wait()
        turns.taken = True
        try:
            await response(self.scope, self.receive, self._send_now)
        finally:
            turns.pass_on()

    # --- sending

    async def send(self, message: Message) -> None:
        """Send an ASGI message, after those that other tasks are sending.

        Raises:
            ConnectionStateError: the connection's state does not allow it.
            ConnectionEndedError: the connection has been closed.
            WebSocketDisconnect: the client has left.
        """
        turns = self._turns
        if turns.taken:
            await turns.wait()
        turns.taken = True
        try:
            if self.application_state is not _CONNECTED or message["type"] != "websocket.send":
                await self._send_now(message)
                return
            try:
                await self._send(message)
            except OSError:
                raise self._lost() from None
        finally:
            turns.pass_on()

    async def _send_now(self, message: Message) -> None:
        """What `send` does, for whoever has the turn."""
        state = self.application_state
        kind = message["type"]
        check_may_send(state, kind)
        end: WebSocketDisconnect | None = None
        if kind == "websocket.close":
            self.application_state = _DISCONNECTED
            end = WebSocketDisconnect(message.get("code", 1000), message.get("reason"))
        elif kind == "websocket.accept":
            self.application_state = _CONNECTED
        elif kind == "websocket.http.response.start":
            self.application_state = WebSocketState.RESPONSE
        elif kind == "websocket.http.response.body" and not message.get("more_body", False):
            self.application_state = _DISCONNECTED
            end = WebSocketDisconnect(1006, "the handshake was refused")
        try:
            await self._send(message)
        except OSError:
            if state is not _CONNECTED:
                raise
            raise self._lost() from None
        if end is not None:
            self._end.note(end)

    def _lost(self) -> WebSocketDisconnect:
        self.application_state = _DISCONNECTED
        self._end.note(WebSocketDisconnect(1006))
        closing = self._end.closing
        assert closing is not None, "noted above, or before"
        return WebSocketDisconnect(closing.code, closing.reason)

    async def send_text(self, data: str) -> None:
        """Send a text message.

        Raises:
            WrongContentError: `data` is not str.
            Exception: as `send`.
        """
        if not isinstance(data, str):
            raise WrongContentError(
                f"Expected the text as str, got {type(data).__name__}.",
                remedy="Call send_json() for other values, send_bytes() for bytes.",
            )
        await self.send({"type": "websocket.send", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message.

        Raises:
            WrongContentError: `data` is not bytes, bytearray or memoryview.
            Exception: as `send`.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise WrongContentError(
                f"Expected the data as bytes, got {type(data).__name__}.",
                remedy="Call send_text() for str, send_json() for other values.",
            )
        await self.send({"type": "websocket.send", "bytes": data})

    async def send_json(self, data: Any, mode: str = "text") -> None:
        """Send `data` as JSON (RFC 8259), without spaces and in UTF-8.

        Args:
            data: what `json.dumps` takes; `wslab.asgi.encoders.jsonable_encoder` makes it of the rest.
            mode: "text" or "binary", the kind of message.

        Raises:
            ConnectionStateError: `mode` is neither.
            TypeError: `data` has no JSON form.
            Exception: as `send`.
        """
        check_mode(mode)
        try:
            text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        except TypeError as error:
            error.add_note(
                "Send jsonable_encoder(data) of wslab.asgi.encoders: it knows models, dates, sets …"
            )
            raise
        if mode == "text":
            await self.send({"type": "websocket.send", "text": text})
        else:
            await self.send({"type": "websocket.send", "bytes": text.encode("utf-8")})

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection, or refuse it with 403 when it has not been accepted.

        Args:
            code: the close code (RFC 6455 section 7.4).
            reason: for the client; a close frame carries at most 123 bytes of UTF-8.

        Raises:
            ConnectionEndedError: it has been closed already.
            WebSocketDisconnect: the client has left.
        """
        await self.send({"type": "websocket.close", "code": code, "reason": reason or ""})

    # --- receiving

    async def receive(self, *, timeout: float | None = None) -> Message:
        """The next ASGI message, of any kind.

        Args:
            timeout: how many seconds to wait at most; 0 takes only what has arrived; None waits for ever.

        Raises:
            WaitTimeoutError: none came in time. When it comes it is kept for the next receive.
            ConnectionEndedError: the disconnect message has been received.
            ConnectionStateError: the server sent a message that cannot come now.
        """
        state = self.client_state
        if state is _DISCONNECTED:
            raise ConnectionEndedError(
                'Cannot call "receive" once a disconnect message has been received.',
                remedy="Return from the endpoint: the client has left.",
            )
        if timeout is None and self._inbox is None:
            self._direct_reads += 1
            try:
                message = await self._receive()
            finally:
                self._direct_reads -= 1
                if not self._direct_reads:
                    self._let_inbox_read()
        else:
            message = await self._read_ahead().get(timeout)
        kind = message["type"]
        if state is _CONNECTED:
            if kind == "websocket.receive":
                return message
            if kind == "websocket.disconnect":
                self.client_state = _DISCONNECTED
                self._end.note(disconnect_of(message))
                return message
        elif kind == "websocket.connect":
            self.client_state = _CONNECTED
            return message
        raise unexpected(state, kind)

    def _let_inbox_read(self) -> None:
        if self._inbox is not None:  # made while a receive without one was under way
            self._inbox.resume()

    def _read_ahead(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self._receive, self._end.note)
            if self._direct_reads:
                self._inbox.hold()
        return self._inbox

    async def receive_text(self, *, timeout: float | None = None) -> str:
        """The next message, which must be text.

        Args:
            timeout: as of `receive`.

        Raises:
            WebSocketDisconnect: the connection is closed.
            MessageTypeError: the message is binary.
            WaitTimeoutError: none came in time; it is not lost.
        """
        if self.application_state is not _CONNECTED:
            raise not_open(self.application_state)
        # Without the argument where it is not needed: a subclass may override receive() as Starlette has it.
        message = await (self.receive() if timeout is None else self.receive(timeout=timeout))
        if message["type"] == "websocket.disconnect":
            raise disconnect_of(message)
        text = message.get("text")
        return cast("str", content_of(message, "text") if text is None else text)

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """The next message, which must be binary.

        Args:
            timeout: as of `receive`.

        Raises:
            WebSocketDisconnect: the connection is closed.
            MessageTypeError: the message is text.
            WaitTimeoutError: none came in time; it is not lost.
        """
        if self.application_state is not _CONNECTED:
            raise not_open(self.application_state)
        message = await (self.receive() if timeout is None else self.receive(timeout=timeout))
        if message["type"] == "websocket.disconnect":
            raise disconnect_of(message)
        return cast("bytes", content_of(message, "bytes"))

    async def receive_json(self, mode: str = "text", *, timeout: float | None = None) -> Any:
        """The next message, parsed as JSON.

        Args:
            mode: "text" or "binary", the kind of message that is expected.
            timeout: as of `receive`.

        Raises:
            WebSocketDisconnect: the connection is closed.
            MessageTypeError: the message is of the other kind.
            json.JSONDecodeError: the message is not JSON.
            UnicodeDecodeError: a binary message is not UTF-8.
            WaitTimeoutError: none came in time; it is not lost.
        """
        check_mode(mode)
        if self.application_state is not _CONNECTED:
            raise not_open(self.application_state)
        message = await (self.receive() if timeout is None else self.receive(timeout=timeout))
        if message["type"] == "websocket.disconnect":
            raise disconnect_of(message)
        if mode == "text":
            return json.loads(content_of(message, "text"))
        return json.loads(content_of(message, "bytes").decode("utf-8"))

    def iter_model(
        self, model: Any, *, on_error: Literal["reply", "close", "raise"] = "reply"
    ) -> AsyncIterator[Any]:
        """The messages as validated models, until the connection closes; see `wslab.asgi.typed`.

        Args:
            model: a pydantic model, or a union of them that is discriminated on a field.
            on_error: what a message that does not validate is met with.

        Example:
            >>> from wslab.asgi import App
            >>> from wslab.asgi.testclient import TestClient
            >>> app = App()
            >>> @app.websocket("/sum")
            ... async def total(ws: WebSocket):
            ...     await ws.accept()
            ...     async for numbers in ws.iter_model(list[int]):
            ...         await ws.send_json(sum(numbers))
            >>> with TestClient(app).websocket_connect("/sum") as session:
            ...     session.send_json([1, 2, 3])
            ...     session.receive_json(timeout=5)
            ...     session.send_json("four")
            ...     session.receive_json(timeout=5)["errors"][0]["type"]
            6
            'list_type'
        """
        from wslab.asgi.typed import iter_model  # pydantic: only where messages are typed

        messages: AsyncIterator[Any] = iter_model(self, model, on_error=on_error)
        return messages

    # --- the end

    @property
    def disconnected(self) -> Disconnection:
        """The end of the connection, to await or to test.

        ``while not ws.disconnected:`` ends with the connection although nothing is received, and
        ``await ws.disconnected`` waits for its end. From the first use on, messages are read ahead
        so that the end is noticed; they wait for `receive`. At most 64 messages or 1 MiB are: with more
        than that unread, the end behind them is noticed only after some have been received.

        Example:
            >>> async def feed(ws):
            ...     await ws.accept()
            ...     while not ws.disconnected:
            ...         await ws.send_text("tick")
            ...         await asyncio.sleep(1)
        """
        return Disconnection(self._end, self._watch)

    def _watch(self) -> None:
        if self._end.closing is None:
            self._read_ahead().watch()

    def __repr__(self) -> str:
        path = self.scope.get("path", "")
        return f"<WebSocket {path!r}: {self.application_state.name}>"
