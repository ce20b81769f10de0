"""`App`: Starlette's application, with FastAPI's WebSocket endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import starlette.routing
from starlette import status
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from wslab.asgi.answers import refuse
from wslab.asgi.routing import WebSocketRoute, check_path, same_address, websocket_paths
from wslab.asgi.signatures import name_of
from wslab.asgi.websocket import WebSocket

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.types import ExceptionHandler, Lifespan, Receive, Scope, Send

__all__ = ["App"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_LISTED_PATHS = 10
_SHOWN_PATH = 200


class App(Starlette):
    """An ASGI application whose WebSocket endpoints declare what they need.

    Args:
        debug: as in Starlette; so are the following.
        routes: routes to begin with.
        middleware: wraps every request and connection.
        exception_handlers: by status or by exception class; they run for WebSockets too.
        lifespan: an asynchronous context manager around the time in which the application serves.
        **options: further options of `starlette.applications.Starlette`.

    Attributes:
        dependency_overrides: what to call instead of a dependency; meant for tests.

    Example:
        >>> app = App()
        >>> @app.websocket("/echo/{name}")
        ... async def echo(ws: WebSocket, name: str, shout: bool = False):
        ...     await ws.accept()
        ...     async for text in ws.iter_text():
        ...         await ws.send_text(f"{name}: {text.upper() if shout else text}")
        >>> app
        <App with 1 route
          WS    /echo/{name}  echo>
    """

    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan[Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(debug, routes, middleware, exception_handlers, lifespan, **options)
        self.dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.router.default = self._not_found

    def websocket(self, path: str, *, name: str | None = None) -> Callable[[Endpoint], Endpoint]:
        """Declare the WebSocket endpoint of `path`.

        Declaring a path again replaces its endpoint: a notebook's cell is run more than once.

        Args:
            path: begins with "/"; ``{name}`` and ``{name:int}`` are variables.
            name: for `url_path_for`; the function's name unless given.

        Returns:
            A decorator that returns the function unchanged.

        Raises:
            EndpointError: by the decorator, when the path or the function could never work; an endpoint
                declared before stays.
        """
        # Here and not in the decorator: without the parentheses, `path` is the function, and the decorator
        # would never be called.
        check_path(path)

        def declare(endpoint: Endpoint) -> Endpoint:
            self.add_websocket(path, endpoint, name=name)
            return endpoint

        return declare

    def add_websocket(self, path: str, endpoint: Callable[..., Any], *, name: str | None = None) -> None:
        """Do what the decorator `websocket` does, without a decorator."""
        fresh = WebSocketRoute(path, endpoint, name=name)
        for position, route in enumerate(self.routes):
            if isinstance(route, starlette.routing.WebSocketRoute) and same_address(route, fresh):
                self.routes[position] = fresh
                return
        self.routes.append(fresh)

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.router.not_found(scope, receive, send)
            return
        text = self._unknown_path(scope["path"])
        denial = PlainTextResponse(text, status.HTTP_404_NOT_FOUND)
        websocket = WebSocket(scope, receive, send)
        await refuse(websocket, denial, code=status.WS_1008_POLICY_VIOLATION, reason=text)

    def _unknown_path(self, path: str) -> str:
        shown = path if len(path) <= _SHOWN_PATH else f"{path[:_SHOWN_PATH]}…"
        known = list(islice(websocket_paths(self.routes), _LISTED_PATHS + 1))
        if not known:
            return f"No WebSocket endpoint at {shown!r}, nor at any other path."
        listed = ", ".join(known[:_LISTED_PATHS]) + (", …" if len(known) > _LISTED_PATHS else "")
        return f"No WebSocket endpoint at {shown!r}. There is: {listed}"

    def __repr__(self) -> str:
        rows = [_row(route) for route in self.routes]
        width = max((len(path) for _, path, _ in rows), default=0)
        lines = [f"  {kind:<5} {path:<{width}}  {served_by}".rstrip() for kind, path, served_by in rows]
        count = f"{len(rows)} route{'' if len(rows) == 1 else 's'}"
        return "\n".join([f"<{type(self).__name__} with {count}", *lines]) + ">"


def _row(route: BaseRoute) -> tuple[str, str, str]:
    if isinstance(route, starlette.routing.WebSocketRoute):
        return "WS", route.path, name_of(route.endpoint)
    if isinstance(route, Route):
        return "HTTP", route.path, name_of(route.endpoint)
    return type(route).__name__, getattr(route, "path", "") or "/", getattr(route, "name", None) or ""
