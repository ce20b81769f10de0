"""The end of a token's time, on a connection that outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect, WebSocketState

from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.websockets import WebSocket

__all__ = ["UNAUTHORIZED", "Expiry", "expires"]

UNAUTHORIZED = 3000
"""The close code "Unauthorized" of IANA's WebSocket Close Code Number Registry."""


class Expiry:
    """What `expires` yields.

    Attributes:
        at: when the time is over, in seconds since 1970.
        expired: whether it ended the block.

    Example:
        >>> over = Expiry(at=0)
        >>> over.remaining < 0, over.expired
        (True, False)
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self.expired = False

    @property
    def remaining(self) -> float:
        """Seconds left; negative when the time is over."""
        return self.at - time.time()

    def __repr__(self) -> str:
        return f"<Expiry: {'over' if self.expired else f'{self.remaining:.0f} s left'}>"


@asynccontextmanager
async def expires(
    websocket: WebSocket, *, at: float | datetime, code: int = UNAUTHORIZED, reason: str = "Token expired"
) -> AsyncIterator[Expiry]:
    """Close `websocket` when its token expires.

    The block is then cancelled where it waits (its ``finally`` clauses run), the connection closed, and what
    follows the block goes on. A token that has expired already closes before the block has waited once.

    Args:
        websocket: the connection; one that is not accepted yet is refused.
        at: the end: seconds since 1970, as the claim ``exp`` has it (RFC 7519 section 4.1.4), or a datetime
            with its time zone.
        code: the close code: 3000 tells the client to authenticate again; 1008 is what clients know that
            read RFC 6455 alone.
        reason: for the client.

    Raises:
        EndpointError: `at` is neither.

    Example:
        >>> async def feed(ws, claims: dict):
        ...     await ws.accept()
        ...     async with expires(ws, at=claims["exp"]):
        ...         async for text in ws.iter_text():
        ...             await ws.send_text(text)
    """
    expiry = Expiry(_seconds(at))
    deadline = asyncio.timeout_at(asyncio.get_running_loop().time() + expiry.remaining)
    try:
        async with deadline:
            yield expiry
    except TimeoutError:
        if not deadline.expired():
            raise
        expiry.expired = True
        if websocket.application_state in {WebSocketState.CONNECTING, WebSocketState.CONNECTED}:
            with contextlib.suppress(WebSocketDisconnect):  # the client was faster: closed is closed
                await websocket.close(code, reason)


def _seconds(at: object) -> float:
    if isinstance(at, datetime) and at.tzinfo is not None:
        return at.timestamp()
    if isinstance(at, (int, float)) and not isinstance(at, bool) and at == at:  # noqa: PLR0124 - no NaN
        return float(at)
    raise EndpointError(
        f"Expected the end as seconds since 1970 or as a datetime with a time zone, got {at!r:.60}.",
        remedy='Pass the claim: at=payload["exp"].',
    )
