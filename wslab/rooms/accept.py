"""Accepting a connection once, whoever asks first."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

__all__ = ["ensure_accepted", "is_closed"]

# Across managers: two of them may be asked to take the same connection at the same time.
_locks: WeakKeyDictionary[WebSocket, asyncio.Lock] = WeakKeyDictionary()


def is_closed(ws: WebSocket) -> bool:
    """Whether either side has closed or refused the connection, as far as the application has been told."""
    state = ws.application_state  # `is`, as hashing an enum's member is slow and this runs for each delivery
    return (
        state is WebSocketState.DISCONNECTED
        or state is WebSocketState.RESPONSE
        or ws.client_state is WebSocketState.DISCONNECTED
    )


async def ensure_accepted(ws: WebSocket) -> None:
    """Accept `ws` unless that is done already; safe to call from several tasks at once.

    Raises:
        WebSocketDisconnect: the connection is closed.
    """
    if ws.application_state is WebSocketState.CONNECTING:
        async with _locks.setdefault(ws, asyncio.Lock()):
            if ws.application_state is WebSocketState.CONNECTING:
                await ws.accept()
    if is_closed(ws):
        raise WebSocketDisconnect(1006, "the connection is closed")
