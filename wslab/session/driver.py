"""The driver: one connection between an engine and an application, over any asyncio transport.

Theory of operation. The transport calls `data_received`; the engine (`wslab.wire.engine`) says what the
bytes mean; messages wait in a bounded inbox until the application asks for them with `receive`. Pings
are answered and pongs are read whatever the application does, so a slow or push-only endpoint keeps
its connection. Reading pauses only while the inbox is full ("lazy pause"), not around every message, and
while it does, nobody is declared dead for a pong that cannot be read.

What is sent goes to the transport at once. When the client does not keep up, `send` waits; `write_frame`,
which never waits, refuses. Shared frames of one turn of the loop leave in one write.

States, and what ends each::

    connecting --accept--> open --close frame, either way--> closing --transport gone--> gone
        |                   '--- violation, no pong, abort, transport gone ----------------^
        '--denial--------------------------------------------------------------------------'

Every wait has an end: the closing handshake is cut after `close_timeout` seconds, and a client that
does not answer a ping after `ping_timeout`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from wslab.events import Notice
from wslab.session.channel import Channel
from wslab.session.deadlines import Deadlines
from wslab.session.records import kept_head, note_accept, note_answer, note_end, open_record
from wslab.wire.close_codes import cut_reason
from wslab.wire.deflate import negotiate
from wslab.wire.engine import FAIL, Engine
from wslab.wire.frames import apply_mask
from wslab.wire.opening import accept_response, denial_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message

    from wslab.journal import FrameSink
    from wslab.session.records import Observer
    from wslab.wire.connection import Flow
    from wslab.wire.deflate import DeflateOptions
    from wslab.wire.opening import UpgradeRequest

__all__ = ["Driver", "DriverSettings", "Limiter", "State"]

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_TOO_BIG = 1009
_PING_BYTES = 4  # of payload: enough to tell one ping from another


class Limiter(Protocol):
    """Counts what one client sends."""

    def take(self, now: float) -> bool:
        """Whether one more message may come at `now`, in seconds of the loop's clock."""


class State(IntEnum):
    """Where a connection stands; see the module's text."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    GONE = 3


_CONNECTING, _OPEN, _CLOSING, _GONE = State


class DriverSettings:
    """What all connections of one server share.

    Args:
        observer: where connections are recorded; None for nowhere.
        max_message: bytes of the largest message taken; None for no limit (close code 1009).
        deflate: offers of permessage-deflate are taken with these options; None declines them.
        ping_interval: seconds between two pings; None for none.
        ping_timeout: seconds a client has for its pong; None for no end.
        close_timeout: seconds for the client's half of the closing handshake.
        inbox_messages, inbox_bytes: what may wait for the application before reading pauses.
        limiter: makes a connection's rate limiter; None for no limit (close code 1008).
        on_limit: told ``(limit, connection, close code)`` when a client reaches one.
        unmask: XORs a payload with its key.
    """

    __slots__ = (
        "_dirty",
        "closes",
        "deflate",
        "inbox_bytes",
        "inbox_messages",
        "limiter",
        "max_message",
        "observer",
        "on_limit",
        "pings",
        "pongs",
        "unmask",
    )

    def __init__(
        self,
        *,
        observer: Observer | None = None,
        max_message: int | None = 2**20,
        deflate: DeflateOptions | None = None,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 5.0,
        inbox_messages: int = 256,
        inbox_bytes: int = 2**20,
        limiter: Callable[[], Limiter | None] | None = None,
        on_limit: Callable[[str, str, int], None] | None = None,
        unmask: Callable[[bytes, bytes], bytes] = apply_mask,
    ) -> None:
        self.observer = observer
        self.max_message = max_message
        self.deflate = deflate
        # A ping is due an interval after the last one, whenever its pong came.
        self.pings = Deadlines(ping_interval, Driver.ping_due) if ping_interval is not None else None
        waits = ping_interval is not None and ping_timeout is not None
        self.pongs = Deadlines(ping_timeout, Driver.pong_due) if waits and ping_timeout else None
        self.closes = Deadlines(close_timeout, Driver.abort)
        self.inbox_messages = inbox_messages
        self.inbox_bytes = inbox_bytes
        self.limiter = limiter
        self.on_limit = on_limit
        self.unmask = unmask
        self._dirty: list[Driver] = []

    def flush_soon(self, driver: Driver) -> None:
        """Flush `driver` at the end of this turn of the loop, with all others that ask."""
        if not self._dirty:
            driver.loop.call_soon(self._flush)
        self._dirty.append(driver)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for driver in dirty:
            driver.flush()


class Driver(Channel, asyncio.Protocol):
    """One connection, served by the lab's own engine.

    Args:
        settings: what it shares with the server's other connections.
        loop: the loop it lives in.
    """

    __slots__ = (
        "_backlog",
        "_begun",
        "_denial",
        "_early",
        "_engine",
        "_full",
        "_limiter",
        "_next",
        "_paused",
        "_pending",
        "_pending_bytes",
        "_pinged_at",
        "_pong_due",
        "_pong_owed",
        "_received",
        "_sent",
        "_transport",
        "_unpaused",
        "_waiter",
        "_waiting_bytes",
        "_writers",
        "loop",
        "request",
        "rtt",
        "settings",
        "state",
    )

    def __init__(self, settings: DriverSettings, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(None)
        self.settings = settings
        self.loop = loop
        self.state = _CONNECTING
        self.request: UpgradeRequest | None = None
        self.rtt: float | None = None
        self._transport: asyncio.Transport
        self._begun = False  # the upgrade request has come
        self._engine: Engine | None = None
        self._received: Flow | None = None
        self._sent: Flow | None = None
        self._early = b""  # frames that came before the application accepted
        self._denial: tuple[int, list[tuple[bytes, bytes]], bytes] | None = None
        self._limiter: Limiter | None = None
        # The inbox: one message, and a queue that exists only while there are more.
        self._next: Message | None = {"type": "websocket.connect"}
        self._backlog: deque[Message] | None = None
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        # The outbox: the transport's buffer, and the shared frames of this turn of the loop.
        self._pending: list[bytes] | None = None
        self._pending_bytes = 0
        self._full = False
        self._writers: asyncio.Future[None] | None = None
        self._pong_due = b""  # the payload of the ping that has not been answered
        self._pong_owed: bytes | None = None  # a ping that could not be answered yet
        self._pinged_at = 0.0
        self._unpaused = True

    # -- what the application calls ----------------------------------------------------------------
    async def receive(self) -> Message:
        """The application's `receive`: connect, each message, then the disconnect for ever (ASGI 2.4)."""
        while True:
            message = self._next
            if message is not None:
                break
            waiter = self._waiter
            if waiter is None:
                waiter = self._waiter = self.loop.create_future()
                try:
                    await waiter
                finally:
                    self._waiter = None
            else:  # somebody else waits already: its end must not be ours
                await asyncio.wait((waiter,))
        if message["type"] == "websocket.disconnect":
            self.gone = True
            return dict(message)
        backlog = self._backlog
        if backlog is None:
            self._next = None
        else:
            self._next = following = backlog.popleft()
            self._waiting_bytes -= _size(following)
            if not backlog:
                self._backlog = None
            if self._paused:
                self._resume()
        return message

    async def send(self, message: Message) -> None:
        """The application's `send`.

        Raises:
            OSError: the connection has ended.
            RuntimeError: an event that ASGI does not allow here.
        """
        if self._full:
            await self._wait_writable()
        if self.state != _OPEN or self.closed_from_outside or message["type"] != "websocket.send":
            self._send_other(message)
            return
        engine = self._engine
        assert engine is not None
        data = message.get("bytes")
        frame = engine.binary(data) if data is not None else engine.text(_text_of(message))
        if self._pending:
            self.flush()
        self._transport.write(frame)
        if self._sent is not None:
            self._sent.whole(frame)

    def _send_other(self, message: Message) -> None:
        kind = message["type"]
        if self.closed_from_outside:
            raise ConnectionResetError("The connection was closed from the lab.")
        if self.state == _GONE:
            raise ConnectionResetError("The connection has ended.")
        if self.state == _CONNECTING:
            self._answer(message)
        elif self.state == _OPEN and kind == "websocket.close":
            self._close(message.get("code", 1000), message.get("reason") or "")
        elif self.state == _CLOSING and not self.closing:
            raise ConnectionResetError("The client has closed the connection.")
        elif self.state == _CLOSING:
            raise RuntimeError(f"Expected nothing after 'websocket.close', got {kind!r}.")
        else:
            raise RuntimeError(f"Expected 'websocket.send' or 'websocket.close', got {kind!r}.")

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close frame, whoever wants it."""
        if self.state == _OPEN:
            self._close(code, reason)

    # -- the handshake -----------------------------------------------------------------------------
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
        self._put_end(1006, "")
        self._finish_stream()

    def _note_answer(self, response: bytes, status: int) -> None:
        if self.connection is not None and self.settings.observer is not None:
            note_answer(self.settings.observer, self.connection, response, status)

    # -- what the transport calls ------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        """The next bytes of the stream."""
        engine = self._engine
        if engine is None:
            self._receive_early(data)
            return
        if self._received is not None:
            self._received.feed(data)
        for opcode, content in engine.receive(data):
            if opcode == _TEXT:
                message = {"type": "websocket.receive", "text": content}
            elif opcode == _BINARY:
                message = {"type": "websocket.receive", "bytes": content}
            else:
                self._control(opcode, content)
                continue
            if self.state != _OPEN or (self._limiter is not None and not self._allowed()):
                continue  # a message after our close frame: the application does not read any more
            if self._next is None:
                self._next = message
                waiter = self._waiter
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
            else:
                self._queue(message)

    def _receive_early(self, data: bytes) -> None:
        """Bytes came before the accept: they are kept until then, and no more than one read of them."""
        if self.state == _CONNECTING:
            self._early += data
            if self._unpaused:
                self._unpaused = False
                self._transport.pause_reading()

    def _queue(self, message: Message) -> None:
        backlog = self._backlog
        if backlog is None:
            backlog = self._backlog = deque()
        backlog.append(message)
        self._waiting_bytes += _size(message)
        settings = self.settings
        if not self._paused and (
            len(backlog) >= settings.inbox_messages or self._waiting_bytes >= settings.inbox_bytes
        ):
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        """Read on once the inbox is half empty."""
        settings, waiting = self.settings, len(self._backlog or ())
        if waiting <= settings.inbox_messages // 2 and self._waiting_bytes <= settings.inbox_bytes // 2:
            self._paused = False
            self._transport.resume_reading()

    def _allowed(self) -> bool:
        assert self._limiter is not None
        if self._limiter.take(self.loop.time()):
            return True
        self.closed_from_outside = True
        if self.settings.on_limit is not None:
            self.settings.on_limit("rate", self.id, 1008)
        self._close(1008, "Too many messages a second.")
        return False

    def _control(self, opcode: int, content: Any) -> None:
        if opcode == _PING:
            if self.state == _OPEN:
                self._answer_ping(content)
            if self._limiter is not None and self.state == _OPEN:
                self._allowed()
        elif opcode == _PONG:
            if content == self._pong_due and content:
                self.rtt = time.perf_counter() - self._pinged_at
                self._pong_due = b""
                if self.settings.pongs is not None:
                    self.settings.pongs.clear(self)
        elif opcode == _CLOSE:
            self._closed_by_client(*content)
        elif opcode == FAIL:
            self._fail(*content)

    def _answer_ping(self, payload: bytes) -> None:
        if self._full:  # who does not read its pongs gets the last of them only (section 5.5.3)
            self._pong_owed = payload
            return
        assert self._engine is not None
        self._write(self._engine.pong(payload))

    def _closed_by_client(self, code: int, reason: str) -> None:
        if self.state == _OPEN:
            assert self._engine is not None
            self.state = _CLOSING
            self._put_end(code, reason)
            self._write(self._engine.close(None if code == 1005 else code))  # noqa: PLR2004 - "no code"
        self._expect_end()
        self._transport.close()

    def _fail(self, code: int, reason: str) -> None:
        """The client broke the protocol (section 7.1.7)."""
        if self.state == _OPEN:
            assert self._engine is not None
            self.state = _CLOSING
            self.closing = self.closed_from_outside = True
            self._put_end(code, reason)
            self._write(self._engine.close(code, cut_reason(reason)))
            if code == _TOO_BIG and self.settings.on_limit is not None:
                self.settings.on_limit("message", self.id, code)
            else:
                self._tell(f"Failed with {code}: {reason}")
        self._finish_stream()

    def _finish_stream(self) -> None:
        """End our half of the stream; the client's is read, and thrown away, until it ends as well.

        Closing a socket with unread bytes resets it (RFC 9293 section 3.10.4), and what was sent last
        might never be read.
        """
        transport = self._transport
        if transport.is_closing():
            return
        if self._paused or not self._unpaused:
            self._paused, self._unpaused = False, True
            transport.resume_reading()
        self._expect_end()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def eof_received(self) -> bool:
        """The client sends nothing any more: without a close frame this is the end."""
        if self.state in {_CONNECTING, _OPEN}:
            self.state = _CLOSING
            self.gone = True
            self._put_end(1006, "")
        # The transport closes itself, once it has written what is left: to a client that may not read.
        self._expect_end()
        return False

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        owed, self._pong_owed = self._pong_owed, None
        if owed is not None and self.state == _OPEN:
            self._answer_ping(owed)
        self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        del exc
        was, self.state = self.state, _GONE
        self.gone = True
        self._forget_pings()
        self.settings.closes.clear(self)
        self._pending = None
        if was in {_CONNECTING, _OPEN}:
            self._put_end(1006, "")
        self._full = False
        self._wake_writers()
        if self.connection is not None and self.settings.observer is not None:
            note_end(self.settings.observer, self.connection)

    # -- ending ------------------------------------------------------------------------------------
    def _close(self, code: int, reason: str) -> None:
        assert self._engine is not None
        frame = self._engine.close(code, cut_reason(reason))
        self.state = _CLOSING
        self.closing = True
        self._put_end(code, reason)
        self._write(frame)
        if self._paused:  # the client's close frame stands behind what nobody will read
            self._paused = False
            self._transport.resume_reading()
        self._expect_end()

    def shutdown(self) -> None:
        """The server stops: 1012 to an open connection, 503 to one that was not answered."""
        if self.state == _OPEN:
            self.closed_from_outside = True
            self._close(1012, "The server stops.")
        elif self.state == _CONNECTING:
            self._deny(HTTPStatus.SERVICE_UNAVAILABLE, [], b"The server stops.\n")

    def abort(self) -> None:
        """Drop the connection at once, without a close frame; the client sees 1006."""
        if self.state != _GONE:
            self._transport.abort()

    def end(self, code: int) -> None:
        """Close an open connection with `code`, and refuse one that was not answered with 500."""
        if self.state == _OPEN:
            self._close(code, "")
        elif self.state == _CONNECTING:
            self._deny(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"")

    def _expect_end(self) -> None:
        self._forget_pings()
        self.settings.closes.set(self)

    def _put_end(self, code: int, reason: str) -> None:
        """The application's last message; those before it stay readable."""
        message: Message = {"type": "websocket.disconnect", "code": code, "reason": reason}
        if self._next is None:
            self._next = message
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        elif self._backlog is None:
            self._backlog = deque((message,))
        else:
            self._backlog.append(message)

    # -- pings -------------------------------------------------------------------------------------
    def ping_due(self) -> None:
        """An interval has passed since the last ping."""
        pings, pongs = self.settings.pings, self.settings.pongs
        assert pings is not None
        if self.state != _OPEN:
            return
        pings.set(self)
        # While reading pauses, no pong could be read; and one that is still due is not asked for again.
        if not self._paused and not self._pong_due:
            self.ping()
            if pongs is not None:
                pongs.set(self)

    def ping(self) -> None:
        """Send a ping; `rtt` has the seconds until its pong."""
        assert self._engine is not None
        started = time.perf_counter()
        self._pong_due = int(started * 1e6).to_bytes(8)[-_PING_BYTES:]
        self._pinged_at = started
        self._write(self._engine.ping(self._pong_due))

    def pong_due(self) -> None:
        """The time for the pong is over."""
        pongs = self.settings.pongs
        assert pongs is not None
        if self._paused:
            pongs.set(self)  # it may be there, behind what the application has not read
            return
        self._tell(f"No pong came within {pongs.seconds:g} s: the client counts as gone.")
        self.abort()

    def _forget_pings(self) -> None:
        settings = self.settings
        if settings.pings is not None:
            settings.pings.clear(self)
        if settings.pongs is not None:
            settings.pongs.clear(self)

    def _tell(self, text: str) -> None:
        if self.settings.observer is not None:
            self.settings.observer.journal.publish(Notice(connection=self.id, level="warning", text=text))

    # -- the outbox --------------------------------------------------------------------------------
    @property
    def sink(self) -> FrameSink:
        """This connection, which takes frames that are encoded already."""
        return self

    @property
    def buffered(self) -> int:
        """Bytes that were taken and are not with the operating system yet."""
        return self._pending_bytes + self._transport.get_write_buffer_size()

    def write_frame(self, frame: bytes) -> bool:
        """Take a frame that is encoded already; see `wslab.journal.FrameSink`."""
        if self._full or self.state != _OPEN:
            return False
        if self._pending is None:
            self._pending = []
            self.settings.flush_soon(self)
        self._pending.append(frame)
        self._pending_bytes += len(frame)
        if self._pending_bytes >= _FLUSH_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Write the shared frames that wait for the end of this turn."""
        frames = self._pending
        if frames is None:
            return
        self._pending = None
        self._pending_bytes = 0
        if self.state != _OPEN:
            return
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        if self._sent is not None:
            for frame in frames:
                self._sent.whole(frame)

    async def drained(self) -> None:
        """Wait until `write_frame` takes frames again; see `wslab.journal.FrameSink`."""
        if self._full:
            await self._wait_writable()
        if self.state != _OPEN:
            raise ConnectionResetError("The connection has ended.")

    async def _wait_writable(self) -> None:
        while self._full and self.state != _GONE:
            if self._writers is None or self._writers.done():
                self._writers = self.loop.create_future()
            await asyncio.wait((self._writers,))  # several may wait: the end of one must not be another's

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, None
        if writers is not None and not writers.done():
            writers.set_result(None)

    def _write(self, frame: bytes) -> None:
        """Send a frame after the shared ones that wait."""
        if self._pending:
            self._flush_anyway()
        self._transport.write(frame)
        if self._sent is not None:
            self._sent.whole(frame)

    def _flush_anyway(self) -> None:
        state, self.state = self.state, _OPEN
        self.flush()
        self.state = state


_FLUSH_BYTES = 2**16  # shared frames are written at the latest when there are so many of them


def _text_of(message: Message) -> str:
    text = message.get("text")
    if not isinstance(text, str):
        raise TypeError(f"Expected a 'text' of type str or 'bytes' in {message['type']!r}, got {text!r:.40}.")
    return text


def _size(message: Message) -> int:
    return len(message.get("text") or "") + len(message.get("bytes") or b"")
