"""A channel: one connection as an application gets it, and what has passed through it.

A `Session` needs to know more than ASGI's `receive` and `send` tell: whether the connection was
accepted, whether a close frame went out, whether the client is gone. `ServerChannel` finds that out by
looking at what passes between an application and *any* ASGI server; `wslab.session.driver.Driver`, which
serves itself, knows it anyway, and nothing stands between it and the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wslab.errors import WSLabError
from wslab.wire.close_codes import cut_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Message, Receive, Scope, Send

    from wslab.journal import FrameSink
    from wslab.wire import Connection

__all__ = ["Channel", "ServerChannel"]


class Channel:
    """What both kinds of channel have in common.

    Attributes:
        connection: the connection's record; None where nothing is recorded.
        accepted: the application accepted.
        answered: the handshake was refused: a denial response, or a close before the accept.
        closing: a close frame of ours went out.
        closed_from_outside: it was somebody else's than the endpoint's.
        gone: the application was told of the end, or the server said that there is nobody to send to.
    """

    __slots__ = ("accepted", "answered", "closed_from_outside", "closing", "connection", "gone")

    def __init__(self, connection: Connection | None) -> None:
        self.connection = connection
        self.accepted = False
        self.answered = False
        self.closing = False
        self.closed_from_outside = False
        self.gone = False

    @property
    def id(self) -> str:
        """The connection's id, such as ``"c3"``; "" where nothing is recorded."""
        return self.connection.id if self.connection else ""

    @property
    def sink(self) -> FrameSink | None:
        """What takes frames that are encoded already, where the lab's own engine serves."""
        return None

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""
        connection = self.connection
        return self.gone or self.closing or bool(connection and connection.ended_at)

    async def receive(self) -> Message:
        """The application's `receive` (ASGI)."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """The application's `send` (ASGI).

        Raises:
            OSError: there is nobody to send to any more.
        """
        raise NotImplementedError

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close from outside of the endpoint, whose next `send` then fails as it does for a client that left.

        Raises:
            WSLabError: the connection is not open.
        """
        if not self.accepted or self.ended:
            raise WSLabError(
                f"Expected {self.id or 'the connection'} to be open, but it is not.",
                remedy="Look at its row in lab.connections.",
            )
        self.closed_from_outside = True  # first: from here on the endpoint sends nothing
        await self.send_close(code, reason)

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close frame, whoever wants it."""
        raise NotImplementedError

    async def deny(
        self, status: int, reason: str, remedy: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Refuse the handshake with `status` and a text that a client can read."""
        self.note_refusal(reason, remedy)
        body = f"{reason} {remedy}".strip().encode() + b"\n"
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        fields += headers
        await self.send({"type": "websocket.http.response.start", "status": status, "headers": fields})
        await self.send({"type": "websocket.http.response.body", "body": body})

    def meant(self, code: int, reason: str) -> None:
        """Note what a refusal before the accept meant: HTTP has no place for a close code."""
        self.note_refusal(f"{reason} (meant as close code {code})")

    def note_refusal(self, reason: str, remedy: str = "") -> None:
        """Keep why the handshake was refused; the first reason stays."""
        if self.connection is not None and not self.connection.refusal:
            self.connection.refusal = reason
            self.connection.remedy = remedy

    def note_answer(self, message: Message) -> None:
        """Look at what an application sends before it has accepted."""
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            self.answered = True
            reason = message.get("reason") or "The endpoint closed before it accepted."
            self.meant(message.get("code", 1000), reason)
        elif kind == "websocket.http.response.start":
            self.answered = True
        elif kind == "websocket.http.response.body":
            self.note_refusal(bytes(message.get("body", b""))[:500].decode("utf-8", "replace"))


class ServerChannel(Channel):
    """A connection that another ASGI server serves.

    Args:
        connection: its record, or None.
        scope: the connection's scope.
        receive: the server's.
        send: the server's.
    """

    __slots__ = ("_denial_supported", "_receive", "_send")

    def __init__(self, connection: Connection | None, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(connection)
        self._receive, self._send = receive, send
        self._denial_supported = "websocket.http.response" in (scope.get("extensions") or {})

    async def receive(self) -> Message:
        """The application's `receive`; a disconnect carries the code RFC 6455 section 7.1.5 gives it."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.gone = True
            close = self.connection.close if self.connection else None
            if close is not None and not close.by:
                # Servers report 1005 for a connection that was cut, which would mean a close frame.
                return {**message, "code": 1006, "reason": ""}
        elif self.connection is not None and message["type"] == "websocket.receive":
            self.connection.received.note_read()
        return message

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        if self.closed_from_outside:
            raise ConnectionResetError("The connection was closed from the lab.")
        if message["type"] == "websocket.send":  # first, since it is by far the most frequent
            await self._send_message(message)
            return
        if not self.accepted:
            self.note_answer(message)
        elif message["type"] == "websocket.close":
            self.closing = True
            message = {**message, "reason": cut_reason(message.get("reason") or "")}
        await self._pass_on(message)

    async def _send_message(self, message: Message) -> None:
        if self.connection is None:
            await self._pass_on(message)
            return
        sent = self.connection.sent
        # The server writes within this call, which is where the record takes the line from.
        sent.site = sent.spot()
        try:
            await self._pass_on(message)
        finally:
            sent.site = 0

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close frame, whoever wants it."""
        self.closing = True
        await self._pass_on({"type": "websocket.close", "code": code, "reason": cut_reason(reason)})

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self.gone = True  # the server's word (ASGI 2.4) that the client left: no fault of the endpoint
            raise

    async def deny(
        self, status: int, reason: str, remedy: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Refuse the handshake; a server without denial responses can only close."""
        if self._denial_supported:
            await super().deny(status, reason, remedy, headers)
            return
        self.note_refusal(reason, remedy)
        await self.send({"type": "websocket.close", "code": 1008, "reason": cut_reason(reason)})
