"""A WebSocket framework on Starlette and pydantic, with FastAPI's way of declaring endpoints.

    from wslab.asgi import App, Query, WebSocket

    app = App()

    @app.websocket("/echo/{name}")
    async def echo(ws: WebSocket, name: str, shout: bool = Query(False)):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(f"{name}: {text.upper() if shout else text}")

Runs in any ASGI server. What a program imports for its WebSockets from `fastapi` and its modules is here
and in the modules of the same names. `wslab.asgi.testclient` needs `httpx2`, and is imported on demand.
"""

from __future__ import annotations

from typing import NoReturn

from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from wslab.asgi import status
from wslab.asgi.applications import App
from wslab.asgi.dependencies import Depends, Security
from wslab.asgi.exceptions import (
    HTTPException,
    MessageTypeError,
    NotForWebSocketsError,
    UnusedPathVariableWarning,
    WebSocketException,
    WebSocketRequestValidationError,
)
from wslab.asgi.params import Cookie, Header, Path, Query
from wslab.asgi.routing import APIRouter
from wslab.asgi.websocket import WebSocket, WebSocketDisconnect, WebSocketState

__all__ = [
    "APIRouter",
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
    "Security",
    "UnusedPathVariableWarning",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketRequestValidationError",
    "WebSocketState",
    "status",
]

_BODIES = {"Body", "File", "Form", "UploadFile"}


def __getattr__(name: str) -> NoReturn:
    if name in _BODIES:
        raise NotForWebSocketsError(
            f"{name} declares the body of an HTTP request, which a WebSocket does not have.",
            remedy="Use FastAPI for such routes, or read `await request.json()` in @app.post.",
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
