"""The tap: a protocol between the socket and whatever serves it; uvicorn's ``http=``.

uvicorn is given a `Tap` for each TCP connection. The tap reads the first request's head itself, as it is on
the wire: one that is too long is answered with 431, one that does not come with 408, and nobody
downstream hangs on either. Then there are two ways.

With the lab's own engine, an upgrade request goes to a `WebSocketProtocol`, which takes the tap's place at
the transport; nothing stands between the socket and the engine any more.

Everything else goes to uvicorn's HTTP protocol behind the tap, and, after an upgrade, to the WebSocket
implementation that uvicorn puts in its place by calling `transport.set_protocol` on our transport. So the
tap sees every byte both ways, whichever implementation serves, and uses no private name of any of them::

    socket <-> asyncio transport <-> Tap -> data_received -> inner protocol
                                      ^                           |
                                      '---- TapTransport.write <--'
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from wslab.server.protocol import STATE_KEY, VIA, WebSocketProtocol, address_of
from wslab.session.deadlines import Deadlines
from wslab.session.ending import end_stream
from wslab.session.records import note_answer, note_end, open_record
from wslab.wire.opening import MAX_HEAD, HandshakeError, check_head, denial_response, is_upgrade, read_upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from uvicorn import Config
    from uvicorn.server import ServerState

    from wslab.session.driver import Limiter
    from wslab.session.records import Observer
    from wslab.wire import Connection
    from wslab.wire.connection import Flow
    from wslab.wire.deflate import DeflateOptions

__all__ = ["Tap", "TapTransport", "protocol_classes"]

HANDSHAKE_LIMIT = 10.0
"""Seconds a client has for a request's head."""

_SWITCHING_PROTOCOLS = 101
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")
_PROXY = re.compile(
    rb"\A\S+ \S*[?&]lab_via=proxy[& ]|\r\nx-(?:proxycontextpath|forwarded-context):", re.IGNORECASE
)
_LETTERS = range(ord("A"), ord("Z") + 1)
_LINGER = 2.0  # seconds until a connection is cut whose client does not read an error's answer
_END = b"\r\n\r\n"


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

    def hand_over(self, protocol: WebSocketProtocol) -> None:
        """Give the socket itself to the lab's own protocol, which uvicorn has made."""
        self._tap.hand_over(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._tap.inner or self._tap

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
    """One TCP connection; see the module's text."""

    observer: ClassVar[Observer | None] = None
    handshakes: ClassVar[Deadlines[Tap] | None] = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.inner: asyncio.Protocol | None = None  # once the first head has come
        self._connection: Connection | None = None
        self._request = b""  # HTTP bytes received since the last response
        self._response = b""  # bytes of an upgrade's response head so far
        self._awaited = False  # a head has to come within the limit
        self._end: asyncio.TimerHandle | None = None
        self._handed_over = False
        self.received: Flow | None = None  # set once received bytes are frames
        self.sent: Flow | None = None  # set once sent bytes are frames

    # -- asyncio.Protocol --------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._server_state.connections.add(cast("Any", self))
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self.received is not None:
            self.received.feed(data)
            assert self.inner is not None
            self.inner.data_received(data)
        elif self.inner is None:
            self._read_head(data)
        else:
            self._request = (self._request + data)[-MAX_HEAD:]
            self._watch_next_head()
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received() if self.inner is not None else None

    def pause_writing(self) -> None:
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self.inner is not None:
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        if self._end is not None:
            self._end.cancel()
        self._server_state.connections.discard(cast("Any", self))
        if self._connection is not None and self.observer is not None:
            note_end(self.observer, self._connection)
        if self.inner is not None:
            self.inner.connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops, and no request has come yet."""
        if self.inner is None and self.transport is not None:
            self.transport.close()

    # -- the first request -------------------------------------------------------------------------
    def _expect_head(self) -> None:
        if self.handshakes is not None and not self._awaited:
            self._awaited = True
            self.handshakes.set(self)

    def _head_came(self) -> None:
        if self._awaited and self.handshakes is not None:
            self._awaited = False
            self.handshakes.clear(self)

    def _watch_next_head(self) -> None:
        """A connection that is kept alive may begin another request, and must end its head as well."""
        if _END in self._request or not self._request:
            self._head_came()
        elif self._request[0] in _LETTERS:
            self._expect_head()

    def too_slow(self) -> None:
        """The time for a request's head is over."""
        self._awaited = False
        seconds = self.handshakes.seconds if self.handshakes is not None else 0
        text = f"Expected a request's head within {seconds:g} s, it did not end."
        self._refuse(HandshakeError(408, text, "Send the empty line that ends it."))

    def _read_head(self, data: bytes) -> None:
        self._request = request = self._request + data if self._request else data
        end = request.find(_END)
        if end < 0 and len(request) <= MAX_HEAD and request[0] in _LETTERS:
            return  # what is no request at all is uvicorn's to answer
        # A copy: asyncio's bytes may stand on a page of their own, which the record would keep.
        head = bytes(memoryview(request)[: end + 4]) if end >= 0 else request
        try:
            check_head(head)
        except HandshakeError as error:
            self._refuse(error)
            return
        self._head_came()
        if issubclass(
            cast("Any", self._config.ws_protocol_class) or object, WebSocketProtocol
        ) and is_upgrade(head):
            self._upgrade_here(head, request[end + 4 :])
            return
        self._behind_us(head, request[end + 4 :] if end >= 0 else b"")

    def _refuse(self, error: HandshakeError) -> None:
        """Answer in the application's place, and end."""
        transport = self.transport
        assert transport is not None
        self._head_came()
        head = self._request.partition(_END)[0] + _END
        answer = denial_response(error.status, error.headers, f"wslab: {error.reason}\n".encode())
        if self._connection is None and self.observer is not None and is_upgrade(head):
            connection = self._connection = self._open_record(head)
            connection.refusal = error.reason
        transport.write(answer)
        if self._connection is not None and self.observer is not None:
            note_answer(self.observer, self._connection, answer, error.status)
        end_stream(transport)
        self._end = self._loop.call_later(_LINGER, transport.abort)
        self.inner = _Deaf()

    def _upgrade_here(self, head: bytes, rest: bytes) -> None:
        """Serve with the lab's own engine."""
        transport = self.transport
        assert transport is not None
        assert self._config.ws_protocol_class is not None
        try:
            request = read_upgrade(head)
        except HandshakeError as error:
            self._refuse(error)
            return
        made: Any = self._config.ws_protocol_class
        protocol: WebSocketProtocol = made(
            config=self._config,
            server_state=self._server_state,
            app_state=self._app_state,
            _loop=self._loop,
        )
        self._server_state.connections.discard(cast("Any", self))
        transport.set_protocol(protocol)
        protocol.begin(transport, request, head, rest, via=_way_in(transport, head))

    def hand_over(self, protocol: WebSocketProtocol) -> None:
        """Let go of the socket: uvicorn has made our protocol for a request that was not the first."""
        head, rest = self._last_head()
        self._head_came()
        self._handed_over = True
        transport = self.transport
        assert transport is not None
        self._server_state.connections.discard(cast("Any", protocol))
        try:
            check_head(head)
            request = read_upgrade(head)
        except HandshakeError as error:
            self._server_state.connections.add(cast("Any", self))
            self._refuse(error)
            return
        transport.set_protocol(protocol)
        protocol.begin(transport, request, head, rest, via=_way_in(transport, head))

    # -- uvicorn behind the tap --------------------------------------------------------------------
    def _behind_us(self, head: bytes, rest: bytes) -> None:
        assert self.transport is not None
        self._request = head
        self._server_state.connections.discard(cast("Any", self))
        self.inner = H11Protocol(
            config=self._config,
            server_state=self._server_state,
            app_state={**self._app_state, STATE_KEY: self},
            _loop=self._loop,
        )
        self.inner.connection_made(TapTransport(self.transport, self))
        # First the head alone: after an upgrade, uvicorn would drop what came with it.
        self.inner.data_received(head)
        if rest and not self._handed_over and not self.transport.is_closing():
            self.data_received(rest)

    def upgrade(self, protocol: asyncio.Protocol) -> None:
        """The inner protocol changes: after HTTP come frames."""
        if self._handed_over:
            return
        head, _ = self._last_head()
        self._head_came()
        try:
            check_head(head)
        except HandshakeError as error:  # a later request on a connection kept alive
            self.inner = protocol
            self._refuse(error)
            return
        self.inner = protocol
        connection = self.open()
        if connection is not None:
            self.received = connection.received

    def wrote(self, data: bytes) -> None:
        """The inner protocol sent `data`."""
        connection = self._connection
        if connection is None:
            if not self._answers_an_upgrade(data):
                return
            connection = self.open()
        if connection is None or connection.response:
            return  # the body of a refusal
        self._response += data
        head, end, rest = self._response.partition(_END)
        if end:
            self._answered(connection, head + end, rest)

    def _answers_an_upgrade(self, data: bytes) -> bool:
        """Whether `data` begins an upgrade's answer; an ordinary request that is answered is forgotten."""
        if not data.startswith(b"HTTP/1.") or data[9:12] == b"100":
            return False  # more of an answer that has begun, or of one that is still to come
        starts = [match.start() for match in _REQUEST_LINE.finditer(self._request)]
        if len(starts) > 1:  # the next request came before this answer
            self._request = self._request[starts[1] :]
            return False
        if self.observer is not None and is_upgrade(self._last_head()[0]):
            return True
        self._request = b""
        return False

    def _answered(self, connection: Connection, head: bytes, rest: bytes) -> None:
        assert self.observer is not None
        status = int(head[9:12]) if head[9:12].isdigit() else 0
        self._response = b""
        note_answer(self.observer, connection, head + rest, status)
        if status == _SWITCHING_PROTOCOLS:
            self.sent = connection.sent
            if rest:
                connection.sent.feed(rest)

    def open(self) -> Connection | None:
        """The record of this connection; made when the upgrade request is seen for the first time."""
        if self._connection is None and self.observer is not None:
            self._connection = self._open_record(self._last_head()[0])
            self._request = b""
        return self._connection

    def _open_record(self, head: bytes) -> Connection:
        assert self.transport is not None
        assert self.observer is not None
        return open_record(self.observer, head, address_of(self.transport), _way_in(self.transport, head))

    def _last_head(self) -> tuple[bytes, bytes]:
        """The head of the newest request, and what came after it."""
        starts = [match.start() for match in _REQUEST_LINE.finditer(self._request)]
        head, end, rest = self._request[starts[-1] if starts else 0 :].partition(_END)
        return head + (end or _END), rest


class _Deaf(asyncio.Protocol):
    """Throws away what still comes after an error was answered."""


def _way_in(transport: asyncio.Transport, head: bytes) -> str:
    way = transport.get_extra_info(VIA)
    if way:
        return str(way)
    # The two words first: the expression costs twenty times as much, and most heads have neither.
    lowered = head.lower()
    marked = b"lab_via=" in lowered or b"\nx-" in lowered
    return "proxy" if marked and _PROXY.search(head) else "direct"


def protocol_classes(
    observer: Observer | None,
    *,
    handshake_limit: float | None = HANDSHAKE_LIMIT,
    limiter: Callable[[], Limiter | None] | None = None,
    on_limit: Callable[[str, str, int], None] | None = None,
    deflate: DeflateOptions | None = None,
) -> tuple[type[Tap], type[WebSocketProtocol]]:
    """The pair for one server: uvicorn takes classes, and gives them no argument of ours.

    Args:
        observer: where connections are recorded; None for nowhere.
        handshake_limit: seconds a client has for a request's head; None for no end.
        limiter: see `wslab.session.driver.DriverSettings`.
        on_limit: likewise.
        deflate: the options of permessage-deflate, where uvicorn's `ws_per_message_deflate` is on.
    """
    handshakes = None if handshake_limit is None else Deadlines(handshake_limit, Tap.too_slow)
    http = type("Tap", (Tap,), {"observer": observer, "handshakes": handshakes})
    given: dict[str, Any] = {"__slots__": (), "observer": observer, "limits": (limiter, on_limit)}
    if deflate is not None:
        given["deflate_options"] = deflate
    return http, type("WebSocketProtocol", (WebSocketProtocol,), given)
