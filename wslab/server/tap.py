"""The tap: a protocol between the socket and whatever uvicorn serves with.

uvicorn is given `Tap` as its ``http=`` class and asyncio talks to the tap for the whole life of a
connection. The tap hands every byte on to an inner protocol: uvicorn's HTTP protocol first, and after
an upgrade the WebSocket protocol that uvicorn puts in its place by calling `transport.set_protocol`
on our transport. So the tap sees the raw upgrade request and every byte both ways, whichever
implementation serves, and uses no private name of any of them::

    socket <-> asyncio transport <-> Tap -> data_received -> inner protocol
                                      ^                           |
                                      '---- TapTransport.write <--'
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from wslab.events import ConnectionAccepted, ConnectionEnded, ConnectionOpened, HandshakeRefused
from wslab.wire.handshake import redact_head

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn import Config
    from uvicorn.server import ServerState

    from wslab.journal import Journal
    from wslab.wire import Connection, ConnectionTable
    from wslab.wire.connection import Flow

__all__ = ["STATE_KEY", "Observer", "Tap", "tap_class"]

STATE_KEY = "wslab.tap"
"""Where a connection's scope state holds its tap, until the host takes it out."""

_HEAD_LIMIT = 64 * 2**10  # bytes of a request that are looked through for its head
_HEAD_KEPT = 8 * 2**10  # bytes of a head that are kept to be shown: connections outlive their frames
_SWITCHING_PROTOCOLS = 101
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*websocket", re.IGNORECASE)
_PROXY = re.compile(rb"\r\nx-(?:proxycontextpath|forwarded-context):", re.IGNORECASE)
_END = b"\r\n\r\n"


class Observer(Protocol):
    """Where a tap puts what it sees."""

    connections: ConnectionTable
    journal: Journal


class TapTransport(asyncio.Transport):
    """The transport that the inner protocol sees; `write` is recorded, all else is passed on."""

    def __init__(self, real: asyncio.Transport, tap: Tap) -> None:
        super().__init__()
        self._real = real
        self._tap = tap
        # Called around every message by servers that pause: passed on without a frame of ours between.
        self.pause_reading = real.pause_reading  # type: ignore[method-assign]
        self.resume_reading = real.resume_reading  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        real = self._real
        raw = data if isinstance(data, bytes) else bytes(data)
        if real.is_closing():
            real.write(raw)  # asyncio drops it: it was never sent, and is not recorded
            return
        real.write(raw)
        tap = self._tap
        if tap.sent is not None:
            tap.sent.feed(raw)
        else:
            tap.wrote(raw)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._tap.upgrade(cast("asyncio.Protocol", protocol))

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._tap.inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._real.get_extra_info(name, default)

    def close(self) -> None:
        self._real.close()

    def abort(self) -> None:
        self._real.abort()

    def is_closing(self) -> bool:
        return self._real.is_closing()

    def is_reading(self) -> bool:
        return self._real.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._real.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._real.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._real.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        return self._real.can_write_eof()

    def write_eof(self) -> None:
        self._real.write_eof()


class Tap(asyncio.Protocol):
    """Records one transport; see the module's text. uvicorn makes one for each TCP connection."""

    observer: ClassVar[Observer]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.inner: asyncio.Protocol = H11Protocol(
            config=config,
            server_state=server_state,
            app_state={**app_state, STATE_KEY: self},
            _loop=_loop,
        )
        self.transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._request = b""  # HTTP bytes received since the last response
        self._response = b""  # bytes of an upgrade's response head so far
        self.received: Flow | None = None  # set once received bytes are frames
        self.sent: Flow | None = None  # set once sent bytes are frames

    # -- asyncio.Protocol --------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.inner.connection_made(TapTransport(self.transport, self))

    def data_received(self, data: bytes) -> None:
        if self.received is not None:
            self.received.feed(data)
        else:
            self._request = (self._request + data)[-_HEAD_LIMIT:]
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        connection = self._connection
        if connection is not None:
            refused = connection.state == "refused"
            connection.note_end()
            close = connection.close
            if not refused and close is not None:
                ended = ConnectionEnded(
                    connection=connection.id, code=close.code, reason=close.reason, by=close.by
                )
                self.observer.journal.publish(ended)
        self.inner.connection_lost(exc)

    # -- what the transport tells ------------------------------------------------------------------
    def upgrade(self, protocol: asyncio.Protocol) -> None:
        """The inner protocol changes: after HTTP come frames."""
        self.inner = protocol
        self.received = self.open().received

    def wrote(self, data: bytes) -> None:
        """The inner protocol sent `data`."""
        connection = self._connection
        if connection is None:
            if not _UPGRADE.search(self._request):
                self._request = b""  # the answer to an ordinary request: the next one starts afresh
                return
            connection = self.open()
        if connection.response:
            return  # the body of a refusal
        self._response += data
        head, end, rest = self._response.partition(_END)
        if end:
            self._answered(connection, head + end, rest)

    def _answered(self, connection: Connection, head: bytes, rest: bytes) -> None:
        status = int(head[9:12]) if head[9:12].isdigit() else 0
        connection.note_response(_kept(head), status)
        self._response = b""
        if status == _SWITCHING_PROTOCOLS:
            self.sent = connection.sent
            self.observer.journal.publish(
                ConnectionAccepted(connection=connection.id, subprotocol=connection.subprotocol)
            )
            if rest:
                connection.sent.feed(rest)
            return
        reason = connection.refusal or rest[:500].decode("utf-8", "replace").strip()
        self.observer.journal.publish(
            HandshakeRefused(connection=connection.id, status=status, reason=reason, remedy=connection.remedy)
        )

    def open(self) -> Connection:
        """The record of this connection; made when the upgrade request is seen for the first time."""
        if self._connection is None:
            assert self.transport is not None
            starts = [match.start() for match in _REQUEST_LINE.finditer(self._request)]
            head = self._request[starts[-1] if starts else 0 :].partition(_END)[0] + _END
            via = "proxy" if _PROXY.search(head) else "direct"
            connection = self.observer.connections.open(_address(self.transport), via)
            connection.request = _kept(head)
            self._connection = connection
            self._request = b""
            self.observer.journal.publish(
                ConnectionOpened(connection=connection.id, peer=connection.peer, path=connection.path)
            )
        return self._connection


def _kept(head: bytes) -> bytes:
    """What is stored of a head: without its secrets, and not without end."""
    redacted = redact_head(head)
    if len(redacted) <= _HEAD_KEPT:
        return redacted
    return redacted[:_HEAD_KEPT] + b"\r\n[the first %d of %d bytes]" % (_HEAD_KEPT, len(redacted)) + _END


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else str(peer or "unknown")


def tap_class(observer: Observer) -> type[asyncio.Protocol]:
    """A `Tap` that tells `observer`: uvicorn takes a class and gives it no argument of ours."""
    return type("Tap", (Tap,), {"observer": observer})
