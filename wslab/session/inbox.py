"""What came in and was not asked for yet: bounded, and read on as long as there is room.

Reading pauses only while the inbox is full ("lazy pause"), not around every message: it is the pausing that
costs, and pongs and close frames stand behind what is not read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from wslab.session.arrival import Arrival
from wslab.session.outbox import Outbox

if TYPE_CHECKING:
    from starlette.types import Message

    from wslab.session.settings import DriverSettings
    from wslab.wire.connection import Flow

__all__ = ["Inbox"]


class Inbox(Outbox):
    """The receiving half of a connection, on top of the sending one.

    One message, and a queue that exists only while there are more: most connections have none.
    """

    __slots__ = ("_backlog", "_next", "_paused", "_received", "_told", "_waiter", "_waiting_bytes")

    def __init__(self, settings: DriverSettings, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(settings, loop)
        self._next: Message | None = {"type": "websocket.connect"}
        self._received: Flow | None = None  # the record of what comes in, once that is frames
        self._backlog: deque[Message] | None = None
        self._waiting_bytes = 0
        self._waiter: Arrival | None = None
        self._paused = False
        self._told = False  # the end is in the inbox

    async def receive(self) -> Message:
        """The application's `receive`: connect, each message, then the disconnect for ever (ASGI 2.4)."""
        while True:
            message = self._next
            if message is not None:
                break
            waiter = self._waiter
            if waiter is None:
                waiter = self._waiter = Arrival(self.loop)
                try:
                    await waiter
                finally:
                    self._waiter = None
            else:  # somebody else waits already: its end must not be ours
                await asyncio.wait((cast("asyncio.Future[None]", waiter),))
        if message["type"] == "websocket.disconnect":
            self.gone = True
            return dict(message)
        received = self._received
        if received is not None and message["type"] == "websocket.receive":
            received.note_read()
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

    def _wake(self) -> None:
        """Tell the application, if it waits, that there is a message."""
        if self._waiter is not None:
            self._waiter.wake()

    def _put_end(self, code: int, reason: str) -> None:
        """The application's last message; those before it stay readable."""
        self._told = True
        message: Message = {"type": "websocket.disconnect", "code": code, "reason": reason}
        if self._next is None:
            self._next = message
            self._wake()
        elif self._backlog is None:
            self._backlog = deque((message,))
        else:
            self._backlog.append(message)


def _size(message: Message) -> int:
    return len(message.get("text") or "") + len(message.get("bytes") or b"")
