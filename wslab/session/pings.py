"""Pings both ways: who does not answer is gone, and whoever asks is answered, whatever the application does.

While reading pauses nobody is declared dead for a pong that could not be read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wslab.events import Notice
from wslab.session.inbox import Inbox
from wslab.session.settings import State

if TYPE_CHECKING:
    import asyncio

    from wslab.session.settings import DriverSettings

__all__ = ["Pings"]

_PING_BYTES = 4  # of payload: enough to tell one ping from another
_OPEN = State.OPEN


class Pings(Inbox):
    """A connection that knows whether its client is there.

    Attributes:
        rtt: seconds between the last ping that was answered and its pong; None before the first.
    """

    __slots__ = ("_pinged_at", "_pong_due", "_pong_owed", "rtt")

    def __init__(self, settings: DriverSettings, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(settings, loop)
        self.rtt: float | None = None
        self._pong_due = b""  # the payload of the ping that has not been answered
        self._pong_owed: bytes | None = None  # a ping that could not be answered yet
        self._pinged_at = 0.0

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

    def _answer_ping(self, payload: bytes) -> None:
        if self._full:  # who does not read its pongs gets the last of them only (section 5.5.3)
            self._pong_owed = payload
            return
        assert self._engine is not None
        self._write(self._engine.pong(payload))

    def _pong_came(self, payload: bytes) -> None:
        if payload != self._pong_due or not payload:
            return  # unsolicited, or the answer to an older ping (RFC 6455 section 5.5.3)
        self.rtt = time.perf_counter() - self._pinged_at
        if self.connection is not None:
            self.connection.rtt = self.rtt
        self._pong_due = b""
        if self.settings.pongs is not None:
            self.settings.pongs.clear(self)

    def _forget_pings(self) -> None:
        settings = self.settings
        if settings.pings is not None:
            settings.pings.clear(self)
        if settings.pongs is not None:
            settings.pongs.clear(self)

    def _tell(self, text: str) -> None:
        if self.settings.observer is not None:
            self.settings.observer.journal.publish(Notice(connection=self.id, level="warning", text=text))
