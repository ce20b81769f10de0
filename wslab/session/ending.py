"""The end of a stream that leaves the other side time to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["end_stream"]


def end_stream(transport: asyncio.WriteTransport) -> None:
    """End our half of `transport`'s stream; where it has only both, close it.

    Closing a socket with unread bytes resets it (RFC 9293 section 3.10.4), and what was sent last might never
    be read. A client that has reset the connection already is let go: nobody reads there any more.
    """
    if not transport.can_write_eof():
        transport.close()
        return
    try:
        transport.write_eof()
    except OSError:  # asyncio passes on what shutdown(2) says of a socket that was reset
        transport.abort()
