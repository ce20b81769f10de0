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
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from wslab.session.opening import Opening
from wslab.session.records import note_end
from wslab.session.settings import DriverSettings, Limiter, State
from wslab.wire.close_codes import check_close, cut_reason
from wslab.wire.engine import FAIL

if TYPE_CHECKING:
    from starlette.types import Message

__all__ = ["Driver", "DriverSettings", "Limiter", "State"]

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_PROTOCOL_ERROR, _TOO_BIG = 1002, 1009
_CONNECTING, _OPEN, _CLOSING, _GONE = State


class Driver(Opening, asyncio.Protocol):
    """One connection, served by the lab's own engine.

    Args:
        settings: what it shares with the server's other connections.
        loop: the loop it lives in.
    """

    __slots__ = ()

    # -- what the application calls ----------------------------------------------------------------
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
        if self._next is not None:
            # The application has the next message already, and will probably answer in this very turn of the
            # loop: what it sends leaves in one write.
            self._put(frame)
        elif self._pending is not None:
            self._pending.append(frame)
            self.flush()
        else:
            self._transport.write(frame)
        sent = self._sent
        if sent is not None:
            sent.whole(frame, sent.spot())

    def _send_other(self, message: Message) -> None:
        kind = message["type"]
        if self.closed_from_outside:
            raise ConnectionResetError("The connection was closed from the lab.")
        if self.state == _GONE:
            raise ConnectionResetError("The connection has ended.")
        if self.state == _CONNECTING:
            self._answer(message)
        elif self.state == _OPEN and kind == "websocket.close":
            code = message.get("code", 1000)
            problem = check_close(code, "")
            if problem and code != _PROTOCOL_ERROR:  # which an application with an engine of its own may say
                raise ValueError(problem)
            self._close(code, message.get("reason") or "")
        elif self.state == _CLOSING and not self.closing:
            self.gone = True  # the application is told hereby: what it does now is no fault of its own
            raise ConnectionResetError("The client has closed the connection.")
        elif self.state == _CLOSING:
            raise RuntimeError(f"Expected nothing after 'websocket.close', got {kind!r}.")
        else:
            raise RuntimeError(f"Expected 'websocket.send' or 'websocket.close', got {kind!r}.")

    async def send_close(self, code: int, reason: str) -> None:
        """Send a close frame, whoever wants it."""
        if self.state == _OPEN:
            self._close(code, reason)

    def data_received(self, data: bytes) -> None:
        """The next bytes of the stream."""
        engine = self._engine
        if engine is None:
            self.receive_early(data)
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
            else:
                self._queue(message)
        if self._waiter is not None and self._next is not None:
            self._waiter.wake()  # last: the application runs in here, and finds all that has come

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
            self._pong_came(content)
        elif opcode == _CLOSE:
            self._closed_by_client(*content)
        elif opcode == FAIL:
            self._fail(*content)

    def _closed_by_client(self, code: int, reason: str) -> None:
        was_open = self.state == _OPEN
        if was_open:
            assert self._engine is not None
            self.state = _CLOSING
            self._write(self._engine.close(None if code == 1005 else code))  # noqa: PLR2004 - "no code"
        self._expect_end()
        self._transport.close()
        if was_open:
            self._put_end(code, reason)  # last, here and below: the application runs in here

    def _fail(self, code: int, reason: str) -> None:
        """The client broke the protocol (section 7.1.7)."""
        was_open = self.state == _OPEN
        if was_open:
            assert self._engine is not None
            self.state = _CLOSING
            self.closing = self.closed_from_outside = True
            self._write(self._engine.close(code, cut_reason(reason)))
            if code == _TOO_BIG and self.settings.on_limit is not None:
                self.settings.on_limit("message", self.id, code)
            else:
                self._tell(f"Failed with {code}: {reason}")
        self._finish_stream()
        if was_open:
            self._put_end(code, reason)

    def eof_received(self) -> bool:
        """The client sends nothing any more: without a close frame this is the end."""
        # The transport closes itself, once it has written what is left: to a client that may not read.
        self._expect_end()
        if self.state in {_CONNECTING, _OPEN}:
            self.state = _CLOSING
            self.gone = True
            if self._transport.get_write_buffer_size():
                self._put_end(1006, "")
            # Else the transport's end follows at once, and the application finds the record complete.
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
        self.state = _GONE
        self.gone = True
        self._forget_pings()
        self.settings.closes.clear(self)
        self._pending = None
        self._full = False
        self._wake_writers()
        if self.connection is not None and self.settings.observer is not None:
            note_end(self.settings.observer, self.connection)
        if not self._told:
            self._put_end(1006, "")

    def _close(self, code: int, reason: str) -> None:
        assert self._engine is not None
        frame = self._engine.close(code, cut_reason(reason))
        self.state = _CLOSING
        self.closing = True
        self._write(frame)
        if self._paused:  # the client's close frame stands behind what nobody will read
            self._paused = False
            self._transport.resume_reading()
        self._expect_end()
        self._put_end(code, reason)

    def shutdown(self) -> None:
        """The server stops: 1012 to an open connection, 503 to one that was not answered."""
        if self.state == _OPEN:
            self.closed_from_outside = True
            self._close(1012, "The server stops.")
        elif self.state == _CONNECTING:
            self._deny(HTTPStatus.SERVICE_UNAVAILABLE, [], b"The server stops.\n")

    def end(self, code: int) -> None:
        """Close an open connection with `code`, and refuse one that was not answered with 500."""
        if self.state == _OPEN:
            self._close(code, "")
        elif self.state == _CONNECTING:
            self._deny(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"")


def _text_of(message: Message) -> str:
    text = message.get("text")
    if not isinstance(text, str):
        raise TypeError(f"Expected a 'text' of type str or 'bytes' in {message['type']!r}, got {text!r:.40}.")
    return text
