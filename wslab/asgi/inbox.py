"""Messages read ahead of the endpoint: what makes a receive with a time-out lose nothing.

Cancelling a server's `receive` may lose the message that arrives at that moment. So with a time-out, and
while somebody watches for the end of the connection, a task of its own reads, and is never cancelled: what
it has read waits here until the endpoint asks. A connection that does neither has no inbox and pays nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from wslab.asgi.misuse import disconnect_of
from wslab.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive

__all__ = ["MAX_BYTES", "MAX_MESSAGES", "Inbox"]

MAX_MESSAGES = 64
"""Messages that a watched connection reads ahead; then it waits for the endpoint."""

MAX_BYTES = 1 << 20
"""The same in bytes of payload (characters, where a message is text)."""


class Inbox:
    """What has been read from a connection and not been asked for.

    Args:
        receive: the server's.
        on_end: called with the close code and reason as soon as the disconnect message has come, while
            the messages before it still wait.
    """

    def __init__(self, receive: Receive, on_end: Callable[[WebSocketDisconnect], None]) -> None:
        self._receive = receive
        self._on_end = on_end
        self._kept: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self._size = 0
        self._waiting = 0
        self._watched = False
        self._ended = False
        self._held = False

    def hold(self) -> None:
        """Do not read until `resume`: a receive that began without the inbox is under way."""
        self._held = True

    def resume(self) -> None:
        """Read again, if somebody waits for a message or watches."""
        self._held = False
        self._read_on()

    def watch(self) -> None:
        """From now on read ahead, up to the limits, so that the end is noticed when it comes."""
        self._watched = True
        # Asked in a thread, where no loop runs: it is read from the next look in the loop on.
        with contextlib.suppress(RuntimeError):
            self._read_on()

    async def get(self, timeout: float | None = None) -> Message:
        """The oldest message.

        Args:
            timeout: how many seconds to wait at most; 0 takes only what has arrived; None waits for ever.

        Raises:
            WaitTimeoutError: none came in time. It is not lost when it comes: the next call returns it.
            Exception: what the server's `receive` raised.
        """
        self._waiting += 1
        try:
            self._read_on()
            try:
                async with asyncio.timeout(timeout):
                    item = await self._kept.get()
            except TimeoutError:
                # Both may fall into one turn of the loop; then the message wins.
                if self._kept.empty():
                    raise WaitTimeoutError(
                        f"Expected a message within {timeout} s, but none came.",
                        remedy="Call again with a longer time, or go on: a message that comes later is kept.",
                    ) from None
                item = self._kept.get_nowait()
        finally:
            self._waiting -= 1
        if isinstance(item, Exception):
            raise item
        self._size -= _size_of(item)
        self._read_on()
        return item

    def _read_on(self) -> None:
        if self._reader is None and not self._held and not self._ended and self._wants_more():
            self._reader = asyncio.get_running_loop().create_task(self._read())

    def _wants_more(self) -> bool:
        kept = self._kept.qsize()
        return kept < self._waiting or (self._watched and kept < MAX_MESSAGES and self._size < MAX_BYTES)

    async def _read(self) -> None:
        try:
            while not self._ended and self._wants_more():
                message = await self._receive()
                self._size += _size_of(message)
                self._kept.put_nowait(message)
                if message["type"] == "websocket.disconnect":
                    self._ended = True
                    self._on_end(disconnect_of(message))
        except Exception as error:  # noqa: BLE001 - raised where the endpoint asks for the message
            self._ended = True
            self._kept.put_nowait(error)
            self._on_end(WebSocketDisconnect(1006))
        finally:
            self._reader = None


def _size_of(message: Message) -> int:
    return len(message.get("text") or "") + len(message.get("bytes") or b"")
