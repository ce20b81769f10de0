"""The connection, its end and its states: where FastAPI has them."""

from __future__ import annotations

from starlette.websockets import WebSocketClose

from wslab.asgi.websocket import WebSocket, WebSocketDisconnect, WebSocketDisconnected, WebSocketState

__all__ = ["WebSocket", "WebSocketClose", "WebSocketDisconnect", "WebSocketDisconnected", "WebSocketState"]
