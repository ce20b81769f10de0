"""A WebSocket laboratory inside Jupyter: serve, see and break WebSockets beside your code.

The names a notebook needs are here, imported when they are first used, so that ``import wslab`` is
fast and the lower half works where no notebook is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wslab.asgi import APIRouter as APIRouter
    from wslab.asgi import App as App
    from wslab.asgi import BackgroundTasks as BackgroundTasks
    from wslab.asgi import Cookie as Cookie
    from wslab.asgi import Depends as Depends
    from wslab.asgi import Header as Header
    from wslab.asgi import HTTPException as HTTPException
    from wslab.asgi import Path as Path
    from wslab.asgi import Query as Query
    from wslab.asgi import Request as Request
    from wslab.asgi import Response as Response
    from wslab.asgi import Security as Security
    from wslab.asgi import WebSocket as WebSocket
    from wslab.asgi import WebSocketDisconnect as WebSocketDisconnect
    from wslab.asgi import WebSocketException as WebSocketException
    from wslab.asgi import WebSocketState as WebSocketState
    from wslab.asgi import status as status
    from wslab.checkup import doctor as doctor
    from wslab.client import Client as Client
    from wslab.client import connect as connect
    from wslab.errors import ConnectionClosed as ConnectionClosed
    from wslab.errors import ConnectionRefused as ConnectionRefused
    from wslab.errors import WSLabError as WSLabError
    from wslab.feeds import Feed as Feed
    from wslab.feeds import Tick as Tick
    from wslab.feeds import replay as replay
    from wslab.feeds import simulate as simulate
    from wslab.lab import Lab as Lab
    from wslab.rooms import ConnectionManager as ConnectionManager
    from wslab.rooms import RoomManager as RoomManager
    from wslab.server.limits import Limits as Limits
    from wslab.serving import serve as serve
    from wslab.wire.deflate import DeflateOptions as DeflateOptions

_HOMES = {
    "wslab.asgi": (
        "APIRouter",
        "App",
        "BackgroundTasks",
        "Cookie",
        "Depends",
        "HTTPException",
        "Header",
        "Path",
        "Query",
        "Request",
        "Response",
        "Security",
        "WebSocket",
        "WebSocketDisconnect",
        "WebSocketException",
        "WebSocketState",
        "status",
    ),
    "wslab.checkup": ("doctor",),
    "wslab.client": ("Client", "connect"),
    "wslab.errors": ("ConnectionClosed", "ConnectionRefused", "WSLabError"),
    "wslab.feeds": ("Feed", "Tick", "replay", "simulate"),
    "wslab.lab": ("Lab",),
    "wslab.rooms": ("ConnectionManager", "RoomManager"),
    "wslab.server.limits": ("Limits",),
    "wslab.serving": ("serve",),
    "wslab.wire.deflate": ("DeflateOptions",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 - names, gathered from the table above
    *sorted(_HOME),
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'wslab' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
