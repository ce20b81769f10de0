"""Byte pipes within the process: two asyncio transports back to back, and no socket.

Theory of operation. What one end writes the other end's protocol gets, in order and whole, from a callback
of the loop: never from within `write`, so nobody is re-entered, and never more than `CHUNK` bytes at a time,
so nobody holds the loop. What is written and not yet delivered is the writer's write buffer, with the
same water marks as a socket's: above the upper one the writer's protocol is told to pause, and a reader
that pauses lets the bytes wait there. As with a socket the protocol is asked and not forced; one that
writes on fills memory.

Each end's callbacks run in a context of its own (`contextvars`): what the server does must not inherit the
context of whoever happens to write at the other end, be it a cell or another endpoint.

The endings are a socket's, too: `close` delivers what was written and then an end of file, `abort` drops it
and the other end gets a `ConnectionResetError`, and a protocol that raises loses its connection.
"""

# ruff: noqa: SLF001 - the two ends of a pipe are one object in two halves

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CHUNK", "HIGH_WATER", "PipeTransport", "connect_pipe"]

CHUNK = 64 * 2**10
"""Bytes delivered at a time, at most: what a read of a socket brings."""

HIGH_WATER = 64 * 2**10
"""Undelivered bytes above which the writer is told to pause: asyncio's own figure for sockets."""


class PipeTransport(asyncio.Transport):
    """One end of a pipe. Made in pairs by `connect_pipe`; both ends belong to one loop."""

    _peer: PipeTransport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        extra: Mapping[str, Any],
        context: contextvars.Context,
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._context = context
        self._protocol = protocol
        self._outgoing: deque[bytes] = deque()
        self._size = 0  # bytes in _outgoing
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._asked_to_pause = False
        self._reading = True
        self._scheduled = False  # a delivery to this end waits for its turn
        self._eof_sent = False  # nothing more will be written
        self._eof_told = False  # our protocol knows that the other end writes no more
        self._closing = False
        self._lost = False  # connection_lost was called, or is about to be

    # -- asyncio.Transport: writing ----------------------------------------------------------------
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give `data` to the other end; never blocks."""
        if self._eof_sent and not self._closing:
            raise RuntimeError("Cannot write after write_eof().")
        if self._closing or not data:
            return  # asyncio's sockets drop it, too
        if self._peer._lost:
            self._lose(BrokenPipeError("The other end of the pipe is closed."))
            return
        self._outgoing.append(bytes(data))
        self._size += len(data)
        self._peer._schedule()
        if self._size > self._high and not self._asked_to_pause:
            self._asked_to_pause = True
            self._guarded(self._protocol.pause_writing)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write all of it, as one piece."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """True: a pipe can be closed in one direction."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more will be written; reading goes on."""
        if not self._eof_sent:
            self._eof_sent = True
            self._peer._schedule()

    def get_write_buffer_size(self) -> int:
        """Bytes written and not yet delivered."""
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The water marks, low and high, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks, in bytes.

        Raises:
            ValueError: they are not 0 ≤ low ≤ high.
        """
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"Expected 0 <= low <= high, got low={low} and high={high}.")
        self._high, self._low = high, low

    # -- asyncio.Transport: reading ----------------------------------------------------------------
    def is_reading(self) -> bool:
        """Whether data is delivered to this end's protocol."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`; the other end's buffer fills."""
        self._reading = False

    def resume_reading(self) -> None:
        """Deliver again."""
        if not self._reading:
            self._reading = True
            self._schedule()

    # -- asyncio.Transport: the rest ---------------------------------------------------------------
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` gets what arrives at this end."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what arrives at this end."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether this end is closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Deliver what was written, then end; nothing more is received."""
        if self._closing:
            return
        self._closing = self._eof_sent = True
        peer = self._peer
        if self._size and not peer._closing:
            peer._schedule()
        else:  # nothing to deliver, or nobody who would take it
            self._lose(None)

    def abort(self) -> None:
        """End at once; what was not delivered is dropped."""
        self._lose(None, reset=True)

    # -- how it works ------------------------------------------------------------------------------
    def _start(self) -> None:
        self._guarded(self._protocol.connection_made, self)

    def _schedule(self) -> None:
        """Deliver at the loop's next turn."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver, context=self._context)

    def _deliver(self) -> None:
        """Hand our protocol the next chunk of what the other end wrote, or its end of file."""
        self._scheduled = False
        peer = self._peer
        if not self.is_reading():
            return
        chunk = peer._take()
        if chunk:
            self._guarded(self._protocol.data_received, chunk)
            peer._delivered()
        if peer._size:
            self._schedule()
        elif peer._eof_sent and not self._eof_told and self.is_reading():
            self._eof_told = True
            if not self._guarded(self._protocol.eof_received):
                self.close()

    def _take(self) -> bytes:
        """The next chunk of what this end wrote."""
        outgoing = self._outgoing
        if not outgoing:
            return b""
        if len(outgoing) == 1 and len(outgoing[0]) <= CHUNK:
            self._size = 0
            return outgoing.popleft()
        taken: list[bytes] = []
        room = CHUNK
        while outgoing and room:
            piece = outgoing.popleft()
            if len(piece) > room:
                outgoing.appendleft(piece[room:])
                piece = piece[:room]
            taken.append(piece)
            room -= len(piece)
        chunk = b"".join(taken)
        self._size -= len(chunk)
        return chunk

    def _delivered(self) -> None:
        """Some of what this end wrote has arrived."""
        if self._asked_to_pause and self._size <= self._low and not self._lost:
            self._asked_to_pause = False
            self._guarded(self._protocol.resume_writing)
        if self._closing and not self._size:
            self._lose(None)

    def _guarded(self, callback: Any, *arguments: Any) -> Any:
        """Call the protocol; what it raises costs its connection and nothing else."""
        try:
            return callback(*arguments)
        except Exception as error:  # noqa: BLE001 - asyncio's sockets do the same with any exception
            self._loop.call_exception_handler(
                {
                    "message": f"Fatal error: protocol.{callback.__name__}() call failed.",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._lose(error, reset=True)
            return None

    def _lose(self, error: BaseException | None, *, reset: bool = False) -> None:
        """This end is gone; tell its protocol in the loop's next turn, and let the other end know."""
        if self._lost:
            return
        self._lost = self._closing = self._eof_sent = True
        self._outgoing.clear()
        self._size = 0
        self._loop.call_soon(self._tell_lost, error, context=self._context)
        peer = self._peer
        if reset:
            peer._lose(ConnectionResetError("The other end of the pipe was aborted."))
        elif peer._closing:  # if it waits for a flush, that cannot come any more
            peer._lose(None)
        elif peer._size:  # bytes that nobody will ever read: TCP answers them with a reset
            peer._lose(ConnectionResetError("The other end of the pipe closed without reading on."))
        else:
            peer._schedule()

    def _tell_lost(self, error: BaseException | None) -> None:
        shown = error if isinstance(error, Exception) else None
        try:
            self._protocol.connection_lost(shown)
        except Exception as raised:  # noqa: BLE001 - as in _guarded
            self._loop.call_exception_handler(
                {
                    "message": "Exception in protocol.connection_lost().",
                    "exception": raised,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<PipeTransport {state}, {self._size} bytes undelivered>"


def connect_pipe(
    client: asyncio.Protocol,
    server: asyncio.Protocol,
    *,
    client_extra: Mapping[str, Any] | None = None,
    server_extra: Mapping[str, Any] | None = None,
) -> tuple[PipeTransport, PipeTransport]:
    """Connect two protocols of the running loop; `connection_made` is called soon, the server's first.

    The client's callbacks run in a copy of the caller's context, the server's in an empty one.

    Args:
        client: gets what `server` writes.
        server: gets what `client` writes.
        client_extra: what the client's `transport.get_extra_info` tells, such as ``peername``.
        server_extra: the same for the server's.

    Returns:
        The client's end and the server's.

    Raises:
        RuntimeError: no loop runs in this thread.

    Example:
        >>> class Shout(asyncio.Protocol):
        ...     def connection_made(self, transport):
        ...         self.transport = transport
        ...     def data_received(self, data):
        ...         self.transport.write(data.upper())
        >>> async def main():
        ...     reader = asyncio.StreamReader()
        ...     mine, _ = connect_pipe(asyncio.StreamReaderProtocol(reader), Shout())
        ...     mine.write(b"hello")
        ...     print(await reader.readexactly(5))
        ...     mine.close()
        >>> asyncio.run(main())
        b'HELLO'
    """
    loop = asyncio.get_running_loop()
    ours = PipeTransport(loop, client, client_extra or {}, contextvars.copy_context())
    theirs = PipeTransport(loop, server, server_extra or {}, contextvars.Context())
    ours._peer, theirs._peer = theirs, ours
    loop.call_soon(theirs._start, context=theirs._context)
    loop.call_soon(ours._start, context=ours._context)
    return ours, theirs
