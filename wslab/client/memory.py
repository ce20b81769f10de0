"""A client without a socket: the lab's own engine, over any asyncio transport.

Theory of operation. `EngineClient` is the client's half of RFC 6455 as an asyncio protocol: it writes the
opening request, checks the answer, masks its frames, answers pings, and keeps what arrives until
somebody receives it. With a pipe within the process (`wslab.session.pipe`) as its transport, client and
server stand back to back: the bytes between them, the handshake's heads included, are those that a
socket would carry, and are recorded where a socket's are.

`Protocol` is what asyncio talks to; it never raises into the transport. What arrives is kept up to
`INBOX` bytes, then reading pauses and the server feels it, as it does with a client on a socket.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from wslab.client.client import BODY_SHOWN, CLOSE_TIMEOUT, Client, Connecting, too_slow
from wslab.errors import ConnectionClosed, ConnectionRefused
from wslab.wire.close_codes import cut_reason
from wslab.wire.engine import FAIL, Engine
from wslab.wire.frames import Opcode
from wslab.wire.heads import HandshakeError
from wslab.wire.opening_client import client_request, read_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["INBOX", "EngineClient", "MemoryClient", "connect_memory"]

INBOX = 2**20
"""Bytes of messages that wait to be received before reading pauses."""

_MESSAGES = frozenset({int(Opcode.TEXT), int(Opcode.BINARY)})
_EACH = 64  # what a message costs beside its bytes: an empty one is not free
_END = b"\r\n\r\n"
_HEAD_LIMIT = 64 * 2**10
_SWITCHING_PROTOCOLS = 101


class MemoryClient(Client):
    """What a client within the process can do beside a `Client`."""

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame and wait for the answer; see `Client.close`.

        Args:
            code: as there; None for a close frame without a code, as a browser's ``close()`` sends.
            reason: as there.
        """
        if code is None:
            await self._close(None, "")
        else:
            await super().close(code, reason)

    @abstractmethod
    async def _close(self, code: int | None, reason: str) -> None:
        """Close, with a code and a reason that were checked."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """How many messages `receive` has at hand."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection without a close frame: the server sees 1006."""


class EngineClient(MemoryClient, asyncio.Protocol):
    """A client over a transport that is handed to it; see the module's text. Made by `connect_memory`."""

    def __init__(
        self,
        url: str,
        target: str,
        host: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._key = base64.b64encode(secrets.token_bytes(16))
        super().__init__(url, "", self._key.decode())
        fields = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()
        ]
        self._offered = list(subprotocols)
        self._request = client_request(host, target, self._key, subprotocols=self._offered, headers=fields)
        self._head = b""
        self._engine = Engine(client=True, max_message=None)
        self._transport: asyncio.Transport
        self._inbox: deque[str | bytes] = deque()
        self._kept = 0  # bytes in the inbox, as `_weight` counts
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._pings: dict[bytes, tuple[asyncio.Future[float], float]] = {}
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_open = False
        self._sent: tuple[int, str] | None = None  # our close frame
        self._received: tuple[int, str] | None = None  # the server's
        self._first = ""
        self._ended: ConnectionClosed | None = None
        self._leaving: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()

    # -- the client's face -------------------------------------------------------------------------
    async def send(self, message: str | bytes) -> None:
        """Send one message; see `Client.send`. Waits while the server does not keep up."""
        if isinstance(message, str):
            frame = self._engine.text(message)
        elif isinstance(message, bytes | bytearray | memoryview):
            frame = self._engine.binary(bytes(message))
        else:
            raise TypeError(f"Expected a message as str or bytes, got {type(message).__name__}.")
        await self._check_open()
        self._stamp()
        self._transport.write(frame)
        if not self._writable.is_set():
            await self._writable.wait()

    async def _next(self) -> str | bytes:
        while not self._inbox:
            if self._ended is not None:
                raise self._ended
            turn = asyncio.get_running_loop().create_future()
            self._receivers.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # it was this one's turn: the next one takes it
                raise
        message = self._inbox.popleft()
        self._kept -= _weight(message)
        if self._paused and self._kept <= INBOX // 2:
            self._paused = False
            self._transport.resume_reading()
        if self._inbox:
            self._wake()
        return message

    async def _ping(self) -> float:
        await self._check_open()
        payload = secrets.token_bytes(4)
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pings[payload] = pong, time.perf_counter()
        self._transport.write(self._engine.ping(payload))
        return await pong

    async def _close(self, code: int | None, reason: str) -> None:
        if self._ended is not None:
            return
        if self._is_open and self._sent is None:
            self._send_close(code, reason)
        self._resume()  # the answer may wait behind messages that nobody will receive any more
        await asyncio.wait([self._gone], timeout=CLOSE_TIMEOUT)
        if not self._gone.done():
            self._transport.abort()
            await asyncio.wait([self._gone])  # never by itself: whoever waits here may be cancelled

    @property
    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, or None while it is open."""
        return self._ended

    @property
    def pending(self) -> int:
        """How many messages `receive` has at hand."""
        return len(self._inbox)

    def abort(self) -> None:
        """Cut the connection without a close frame: the server sees 1006."""
        self._transport.abort()

    async def _check_open(self) -> None:
        if self._is_open and self._sent is None and self._received is None:
            return
        if self._ended is None:
            await asyncio.wait([self._gone], timeout=CLOSE_TIMEOUT)
        raise self._ended or self._outcome()

    def _wake(self) -> None:
        while self._receivers:
            turn = self._receivers.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # -- asyncio.Protocol --------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the opening request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read the answer to the request first, frames after it."""
        if self._is_open:
            self._frames(data)
        elif not self.opened.done():
            self._head += data
            self._answer()

    def eof_received(self) -> None:
        """The server writes no more: end our side as well."""
        if not self.opened.done():
            self._refused(complete=True)

    def pause_writing(self) -> None:
        """The server does not keep up: `send` waits."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone: whoever waits is told."""
        self._is_open = self._paused = False
        if self._leaving is not None:
            self._leaving.cancel()
        self._ended = self._outcome()
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("The server ended before it answered."))
        for pong, _ in self._pings.values():
            if not pong.done():
                pong.set_exception(self._ended)
        self._pings.clear()
        self._writable.set()
        while self._receivers:
            self._wake()
        self._gone.set_result(None)

    # -- the opening handshake ---------------------------------------------------------------------
    def _answer(self) -> None:
        head, end, rest = self._head.partition(_END)
        if not end:
            if len(head) > _HEAD_LIMIT:
                self._fail_opening(HandshakeError(0, "Expected a response head, got 64 KiB without its end."))
            return
        try:
            response = read_response(head + end, self._key, subprotocols=self._offered)
            if response.extensions:
                problem = f"Expected no extension, since none was offered, got {response.extensions!r:.80}."
                raise HandshakeError(response.status, problem)  # noqa: TRY301 - one place where the handshake fails
        except HandshakeError as error:
            self._fail_opening(error)
            return
        if response.status != _SWITCHING_PROTOCOLS:
            self._refused(complete=False)
            return
        self.subprotocol = response.subprotocol or ""
        self._is_open = True
        self._head = b""
        self.opened.set_result(None)
        if rest:
            self._frames(rest)

    def _refused(self, *, complete: bool) -> None:
        """Another status than 101: its body is waited for."""
        head, _, body = self._head.partition(_END)
        match = re.search(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?:\r\n|$)", head, re.IGNORECASE)
        if complete or len(body) >= BODY_SHOWN or (match and len(body) >= int(match[1])):
            status = int(head[9:12]) if head[9:12].isdigit() else 0
            self._fail_opening(ConnectionRefused(status, body[:BODY_SHOWN].decode("utf-8", "replace")))

    def _fail_opening(self, error: Exception) -> None:
        self.opened.set_exception(error)
        self._transport.close()

    # -- frames ------------------------------------------------------------------------------------
    def _frames(self, data: bytes) -> None:
        for opcode, content in self._engine.receive(data):
            if opcode in _MESSAGES:
                self._inbox.append(content)
                self._kept += _weight(content)
            else:
                self._control(opcode, content)
        if self._inbox:
            self._wake()
        full = self._kept > INBOX and not self._paused
        if full and self._sent is None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _control(self, opcode: int, content: Any) -> None:
        if opcode == Opcode.PING:
            if self._sent is None:
                self._transport.write(self._engine.pong(content))
        elif opcode == Opcode.PONG:
            self._ponged(content)
        elif opcode == Opcode.CLOSE:
            self._closed_by_server(*content)
        elif opcode == FAIL:
            if self._sent is None:
                self._send_close(content[0], cut_reason(content[1]))
            self._transport.close()

    def _ponged(self, payload: bytes) -> None:
        """The pong of this ping; it answers those before it as well (RFC 6455 section 5.5.3)."""
        if payload not in self._pings:
            return
        now = time.perf_counter()
        for key in list(self._pings):
            pong, sent_at = self._pings.pop(key)
            if not pong.done():
                pong.set_result(now - sent_at)
            if key == payload:
                return

    def _closed_by_server(self, code: int, reason: str) -> None:
        self._received = code, reason
        if self._sent is None:
            self._first = "server"
            self._sent = code, reason
            self._transport.write(self._engine.close(None if code == 1005 else code, reason))  # noqa: PLR2004 - none came
        # The server closes the transport (RFC 6455 section 7.1.1); one that does not is left behind.
        self._leaving = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)

    def _send_close(self, code: int | None, reason: str) -> None:
        self._first = "client"
        self._sent = code or 1005, reason
        self._transport.write(self._engine.close(code, reason))

    def _outcome(self) -> ConnectionClosed:
        if self._received is None:
            return ConnectionClosed(1006, "", self._first)
        return ConnectionClosed(*self._received, self._first)


def _weight(message: str | bytes) -> int:
    return len(message) + _EACH


def connect_memory(
    attach: Callable[[asyncio.Protocol], None],
    path: str,
    *,
    host: str = "127.0.0.1",
    target: str = "",
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Connecting[EngineClient]:
    """Open a connection within the process.

    Args:
        attach: connects the protocol it is given to a server, in the running loop, such as
            `wslab.session.pipe.connect_pipe` does.
        path: what the client shows as its address.
        host: the ``Host`` field.
        target: path and query of the request; `path` where none is given.
        subprotocols: offered, most wanted first.
        headers: further request headers.
        timeout: seconds the opening handshake may take.

    Raises:
        ConnectionRefused: (when awaited) the server answered with another status than 101.
        HandshakeError: (when awaited) its answer was no WebSocket's.
        ResponseError: (when awaited) the request cannot be written that way.
        WaitTimeoutError: (when awaited) the handshake took too long.
    """

    async def make() -> EngineClient:
        client = EngineClient(
            f"memory:{path}", target or path, host, subprotocols=subprotocols, headers=headers
        )
        attach(client)
        try:
            async with asyncio.timeout(timeout):
                await client.opened
        except TimeoutError:
            client.abort()
            raise too_slow(timeout) from None
        except asyncio.CancelledError:
            client.abort()
            raise
        return client

    return Connecting(make)
