"""A WebSocket framework on Starlette and pydantic, with FastAPI's way of declaring endpoints.

    from wslab.asgi import App, Query, WebSocket

    app = App()

    @app.websocket("/echo/{name}")
    async def echo(ws: WebSocket, name: str, shout: bool = Query(False)):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(f"{name}: {text.upper() if shout else text}")

Runs in any ASGI server. `wslab.asgi.testclient` is imported on demand: it needs `httpx2`.
"""

from __future__ import annotations

from starlette import status
from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from wslab.asgi.applications import App
from wslab.asgi.dependencies import Depends
from wslab.asgi.exceptions import (
    HTTPException,
    MessageTypeError,
    UnusedPathVariableWarning,
    WebSocketException,
    WebSocketRequestValidationError,
)
from wslab.asgi.params import Cookie, Header, Path, Query
from wslab.asgi.websocket import WebSocket, WebSocketDisconnect, WebSocketState

__all__ = [
    "App",
    "BackgroundTasks",
    "Cookie",
    "Depends",
    "HTTPConnection",
    "HTTPException",
    "Header",
    "MessageTypeError",
    "Path",
    "Query",
    "Request",
    "Response",
    "UnusedPathVariableWarning",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketRequestValidationError",
    "WebSocketState",
    "status",
]
