"""The opening handshake, driven by the application: it accepts, or it answers with a refusal."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from wslab.session.ending import end_stream
from wslab.session.pings import Pings
from wslab.session.records import kept_head, note_accept, note_answer, open_record
from wslab.session.settings import State
from wslab.wire.deflate import negotiate
from wslab.wire.engine import Engine
from wslab.wire.opening import accept_response, denial_response

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Message

    from wslab.session.settings import DriverSettings, Limiter
    from wslab.wire.opening import UpgradeRequest

__all__ = ["Opening"]

_CONNECTING, _OPEN, _CLOSING = State.CONNECTING, State.OPEN, State.CLOSING


class Opening(Pings):
    """A connection from its upgrade request to the answer."""

    __slots__ = ("_begun", "_denial", "_early", "_limiter", "_unpaused", "request")

    def __init__(self, settings: DriverSettings, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(settings, loop)
        self.request: UpgradeRequest | None = None
        self._begun = False  # the upgrade request has come
        self._early = b""  # frames that came before the application accepted
        self._unpaused = True
        self._denial: tuple[int, list[tuple[bytes, bytes]], bytes] | None = None
        self._limiter: Limiter | None = None

    def open(
        self, transport: asyncio.Transport, request: UpgradeRequest, head: bytes, *, peer: str, via: str
    ) -> None:
        """Take over `transport`, on which `request` has arrived as `head`.

        Args:
            transport: calls this driver from now on.
            request: what is asked for.
            head: the same, as it was on the wire.
            peer: the client's address, for people.
            via: the way in; see `wslab.wire.Connection`.
        """
        self._transport = transport
        self._begun = True
        self.request = request
        observer = self.settings.observer
        if observer is not None:
            self.connection = open_record(observer, head, peer, via)

    def scope(
        self,
        *,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        scheme: str = "ws",
        root_path: str = "",
        state: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The connection's scope (ASGI 3, HTTP and WebSocket specification 2.4)."""
        request = self.request
        assert request is not None
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "server": server,
            "client": client,
            "root_path": root_path,
            "path": root_path + request.path,
            "raw_path": root_path.encode() + request.raw_path,
            "query_string": request.query_string,
            "headers": request.headers,
            "subprotocols": request.subprotocols,
            "state": state if state is not None else {},
            # The host finds the driver here, and puts what it gives to applications in its place.
            "extensions": {"websocket.http.response": {}, "wslab": self},
        }

    def _answer(self, message: Message) -> None:
        """What the application sends first: it accepts, or it refuses."""
        kind = message["type"]
        if self._denial is not None:
            if kind != "websocket.http.response.body":
                raise RuntimeError(f"Expected 'websocket.http.response.body', got {kind!r}.")
            status, headers, body = self._denial
            body += message.get("body", b"")
            self._denial = (status, headers, body)
            self.note_answer(message)
            if not message.get("more_body", False):
                self._deny(status, headers, body)
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self.note_answer(message)
            self._deny(HTTPStatus.FORBIDDEN, [], b"")
        elif kind == "websocket.http.response.start":
            self.note_answer(message)
            self._denial = (message["status"], list(message.get("headers", [])), b"")
        else:
            raise RuntimeError(
                "Expected 'websocket.accept', 'websocket.close' or 'websocket.http.response.start', "
                f"got {kind!r}."
            )

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """Header fields for every 101."""
        return []

    def _accept(self, message: Message) -> None:
        settings, request = self.settings, self.request
        assert request is not None
        deflate, extensions = None, ""
        if settings.deflate is not None and request.extensions:
            agreed = negotiate(request.extensions, settings.deflate)
            if agreed is not None:
                extensions, deflate = agreed
        head = accept_response(
            request,
            subprotocol=message.get("subprotocol"),
            headers=[*self.response_headers(), *message.get("headers", [])],
            extensions=extensions,
        )
        self.accepted = True
        self.state = _OPEN
        self._engine = Engine(max_message=settings.max_message, deflate=deflate, unmask=settings.unmask)
        self._transport.write(head)
        self.request = None  # the scope has what is still of use
        connection = self.connection
        if connection is not None:
            assert settings.observer is not None
            subprotocol = message.get("subprotocol") or ""
            own = not subprotocol and not message.get("headers")  # then there is nothing secret in it
            note_accept(settings.observer, connection, head if own else kept_head(head), subprotocol)
            self._received, self._sent = connection.received, connection.sent
        if settings.limiter is not None:
            self._limiter = settings.limiter()
        if settings.pings is not None:
            settings.pings.set(self)
        early, self._early = self._early, b""
        if not self._unpaused:
            self._unpaused = True
            self._transport.resume_reading()
        if early:
            self.data_received(early)

    def _deny(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        head = denial_response(status, headers, body)
        self.answered = True
        self.state = _CLOSING
        self._transport.write(head)
        self._note_answer(head, status)
        self._finish_stream()
        self._put_end(1006, "")

    def _note_answer(self, response: bytes, status: int) -> None:
        if self.connection is not None and self.settings.observer is not None:
            note_answer(self.settings.observer, self.connection, response, status)

    def receive_early(self, data: bytes) -> None:
        """Bytes came before the accept: they are kept until then, and no more than one read of them."""
        if self.state == _CONNECTING:
            self._early += data
            if self._unpaused:
                self._unpaused = False
                self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """The next bytes of the stream."""
        raise NotImplementedError

    def _finish_stream(self) -> None:
        """End our half of the stream; the client's is read, and thrown away, until it ends as well."""
        transport = self._transport
        if transport.is_closing():
            return
        if self._paused or not self._unpaused:
            self._paused, self._unpaused = False, True
            transport.resume_reading()
        self._expect_end()
        end_stream(transport)

    def _expect_end(self) -> None:
        self._forget_pings()
        self.settings.closes.set(self)
