"""The end of a connection, to await or to test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from starlette.websockets import WebSocketDisconnect

__all__ = ["Disconnection", "End"]


class End:
    """When and how a connection ended: set once, by whoever learns of it first.

    Attributes:
        closing: the close code and reason; None while the connection lives.
    """

    __slots__ = ("_waiters", "closing")

    def __init__(self) -> None:
        self.closing: WebSocketDisconnect | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def note(self, closing: WebSocketDisconnect) -> None:
        """The connection has ended with `closing`; what is noted later changes nothing."""
        if self.closing is None:
            self.closing = closing
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self) -> WebSocketDisconnect:
        """Wait until the end has been noted."""
        while self.closing is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        return self.closing


class Disconnection:
    """What `WebSocket.disconnected` is: true when the end has come, and awaitable.

    Args:
        end: the connection's.
        watch: called before the first look, so that the end is noticed when it comes.
    """

    __slots__ = ("_end", "_watch")

    def __init__(self, end: End, watch: Callable[[], None]) -> None:
        self._end = end
        self._watch = watch

    def __bool__(self) -> bool:
        self._watch()
        return self._end.closing is not None

    def __await__(self) -> Generator[Any, None, WebSocketDisconnect]:
        return self.wait().__await__()

    async def wait(self) -> WebSocketDisconnect:
        """Wait for the end.

        Returns:
            The close code and reason, as `WebSocketDisconnect` carries them; it is not raised.
        """
        self._watch()
        return await self._end.wait()

    def __repr__(self) -> str:
        closing = self._end.closing
        return f"<Disconnection {closing.code} {closing.reason!r}>" if closing else "<Disconnection: not yet>"
