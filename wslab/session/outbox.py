"""What goes out: the transport's buffer, and shared frames that leave together.

What is sent goes to the transport at once. When the client does not keep up, `send` waits; `write_frame`,
which never waits, refuses. The shared frames of one turn of the loop leave in one write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wslab.session.channel import Channel
from wslab.session.settings import DriverSettings, State

if TYPE_CHECKING:
    from wslab.journal import FrameSink
    from wslab.wire.connection import Flow
    from wslab.wire.engine import Engine

__all__ = ["Outbox"]

_FLUSH_BYTES = 2**16  # shared frames are written at the latest when there are so many of them
_OPEN, _GONE = State.OPEN, State.GONE


class Outbox(Channel):
    """The sending half of a connection.

    Args:
        settings: what the connection shares with the server's others.
        loop: the loop it lives in.
    """

    __slots__ = (
        "_engine",
        "_full",
        "_pending",
        "_pending_bytes",
        "_sent",
        "_transport",
        "_writers",
        "loop",
        "settings",
        "state",
    )

    def __init__(self, settings: DriverSettings, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(None)
        self.settings = settings
        self.loop = loop
        self.state = State.CONNECTING
        self._transport: asyncio.Transport
        self._engine: Engine | None = None
        self._sent: Flow | None = None
        self._pending: list[bytes] | None = None  # shared frames of this turn
        self._pending_bytes = 0
        self._full = False
        self._writers: asyncio.Future[None] | None = None

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
        if self._sent is not None:
            self._sent.share(frame)
        self._put(frame)
        return True

    def _put(self, frame: bytes) -> None:
        """Write `frame`, which is recorded already, at the end of this turn."""
        if self._pending is None:
            self._pending = []
            self.settings.flush_soon(self)
        self._pending.append(frame)
        self._pending_bytes += len(frame)
        if self._pending_bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the frames that wait for the end of this turn."""
        frames = self._pending
        if frames is None:
            return
        self._pending = None
        self._pending_bytes = 0
        if self.state == _OPEN:
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    async def drained(self) -> None:
        """Wait until `write_frame` takes frames again; see `wslab.journal.FrameSink`."""
        if self._full:
            await self._wait_writable()
        if self.state != _OPEN:
            raise ConnectionResetError("The connection has ended.")

    def abort(self) -> None:
        """Drop the connection at once, without a close frame; the client sees 1006."""
        if self.state != _GONE:
            self._transport.abort()

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
