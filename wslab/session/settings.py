"""What all connections of one server share, and the states of one."""

from __future__ import annotations

from enum import IntEnum
from operator import methodcaller
from typing import TYPE_CHECKING, Protocol

from wslab.session.deadlines import Deadlines
from wslab.wire.frames import apply_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.session.outbox import Outbox
    from wslab.session.records import Observer
    from wslab.wire.deflate import DeflateOptions

__all__ = ["DriverSettings", "Limiter", "State"]


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
        self.pings = Deadlines(ping_interval, methodcaller("ping_due")) if ping_interval is not None else None
        waits = ping_interval is not None and ping_timeout is not None
        self.pongs = Deadlines(ping_timeout, methodcaller("pong_due")) if waits and ping_timeout else None
        self.closes = Deadlines(close_timeout, methodcaller("abort"))
        self.inbox_messages = inbox_messages
        self.inbox_bytes = inbox_bytes
        self.limiter = limiter
        self.on_limit = on_limit
        self.unmask = unmask
        self._dirty: list[Outbox] = []

    def flush_soon(self, outbox: Outbox) -> None:
        """Flush `outbox` at the end of this turn of the loop, with all others that ask."""
        if not self._dirty:
            outbox.loop.call_soon(self._flush)
        self._dirty.append(outbox)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for outbox in dirty:
            outbox.flush()
