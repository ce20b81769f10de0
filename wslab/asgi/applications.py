"""`App`: Starlette's application, with FastAPI's way of declaring endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import starlette.routing
from starlette import status
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from wslab.asgi.answers import refuse
from wslab.asgi.asyncapi.info import AsyncAPIInfo
from wslab.asgi.asyncapi.serving import serve_document
from wslab.asgi.declarations import Declarations
from wslab.asgi.exceptions import HTTPException, RequestValidationError
from wslab.asgi.pages import http_error, invalid_request
from wslab.asgi.routing import APIRouter, websocket_paths
from wslab.asgi.signatures import name_of
from wslab.asgi.websocket import WebSocket
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp, ExceptionHandler, Lifespan, Receive, Scope, Send

__all__ = ["App"]

Function = TypeVar("Function", bound=Callable[..., Any])

_LISTED_PATHS = 10
_SHOWN_PATH = 200
# What only FastAPI's OpenAPI document takes: accepted, so that a file runs in both.
_OPENAPI = {
    "deprecated",
    "docs_url",
    "generate_unique_id_function",
    "include_in_schema",
    "openapi_external_docs",
    "openapi_tags",
    "openapi_url",
    "redoc_url",
    "responses",
    "separate_input_output_schemas",
    "swagger_ui_init_oauth",
    "swagger_ui_oauth2_redirect_url",
    "swagger_ui_parameters",
    "webhooks",
}


class App(Declarations, Starlette):
    """An ASGI application whose endpoints declare what they need.

    Args:
        debug: as in Starlette; so are `routes`, `middleware`, `exception_handlers` and `lifespan`.
        routes: routes to begin with.
        middleware: wraps every request and connection.
        exception_handlers: by status or by exception class; they run for WebSockets too.
        lifespan: an asynchronous context manager around the time in which the application serves.
        title: of the application, for the AsyncAPI document; so are `version`, `description` and `servers`.
        version: of the application.
        description: of the application, as Markdown.
        servers: where the application is reached: ``{"url": "wss://host/path", "description": ...}`` each.
            Without them, the served document names the server that was asked.
        asyncapi_url: where the document is served; None for nowhere. A route of the application's own
            at this path is served instead.
        asyncapi_docs_url: where the document is served as a page that needs no network; None for nowhere.
        dependencies: `Depends(...)` that run before those of every route.
        redirect_slashes: as of `APIRouter`.
        on_startup: called when the application starts; `lifespan` is the better way.
        on_shutdown: called when it stops.
        **options: `max_body_size`; and what only FastAPI's OpenAPI document takes, which is ignored.

    Attributes:
        dependency_overrides: what to call instead of a dependency; meant for tests.
        state: the application's own state; what the lifespan yields is in each connection's `state`.

    Raises:
        EndpointError: an option is unknown.

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

    router: APIRouter

    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan[Any] | None = None,
        *,
        title: str = "wslab",
        version: str = "0.1.0",
        description: str = "",
        summary: str | None = None,
        terms_of_service: str | None = None,
        contact: Mapping[str, str] | None = None,
        license_info: Mapping[str, str] | None = None,
        servers: Sequence[Mapping[str, Any]] | None = None,
        asyncapi_url: str | None = "/asyncapi.json",
        asyncapi_docs_url: str | None = "/asyncapi",
        dependencies: Sequence[Any] | None = None,
        redirect_slashes: bool = True,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        **options: Any,
    ) -> None:
        unknown = sorted(options.keys() - _OPENAPI - {"max_body_size"})
        if unknown:
            raise EndpointError(
                f"Got the option {unknown[0]!r}, which an App does not have.",
                remedy="`help(App)` lists the options.",
            )
        max_body_size = options.get("max_body_size")
        super().__init__(debug, None, middleware, exception_handlers, None, max_body_size=max_body_size)
        self.router = APIRouter(
            routes=routes,
            lifespan=lifespan,
            dependencies=dependencies,
            redirect_slashes=redirect_slashes,
            default=self._not_found,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            complete=True,
        )
        self.dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.title = title
        self.version = version
        self.description = description
        self.asyncapi_url = asyncapi_url
        self.asyncapi_docs_url = asyncapi_docs_url
        self._info = AsyncAPIInfo(
            summary, terms_of_service, dict(contact or {}), dict(license_info or {}), tuple(servers or ())
        )

    # --- declaring: what the decorators of Declarations call

    def check_declared(self, path: object) -> None:
        """Raise `EndpointError` unless `path` can be declared."""
        self.router.check_declared(path)

    def add_api_websocket_route(
        self, path: str, endpoint: Callable[..., Any], name: str | None = None, **options: Any
    ) -> None:
        """Do what the decorator `websocket` does, without a decorator."""
        self.router.add_api_websocket_route(path, endpoint, name, **options)

    def add_websocket(self, path: str, endpoint: Callable[..., Any], *, name: str | None = None) -> None:
        """Do what `add_api_websocket_route` does."""
        self.router.add_api_websocket_route(path, endpoint, name)

    def add_websocket_route(self, path: str, endpoint: Callable[..., Any], name: str | None = None) -> None:
        """Do what the decorator `websocket_route` does, without a decorator."""
        self.router.add_websocket_route(path, endpoint, name)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Do what the decorator `api_route` does, without a decorator."""
        self.router.add_api_route(path, endpoint, **options)

    def include_router(
        self,
        router: APIRouter,
        *,
        prefix: str = "",
        dependencies: Sequence[Any] | None = None,
        **described: Any,
    ) -> None:
        """Serve the routes of `router` too, as `APIRouter.include_router` does."""
        self.router.include_router(router, prefix=prefix, dependencies=dependencies, **described)

    def exception_handler(
        self, exc_class_or_status_code: int | type[Exception]
    ) -> Callable[[Function], Function]:
        """Declare what answers an exception, for HTTP requests and WebSocket connections.

        The handler is called with the connection and the exception. A response that it returns is sent; to
        an accepted connection, which can be sent none, a close: 1008 or 1011.

        Args:
            exc_class_or_status_code: a class, its subclasses included, or the status of an `HTTPException`.
                `Exception` or 500 runs for whatever nothing else answers.
        """

        def declare(handler: Function) -> Function:
            self.add_exception_handler(exc_class_or_status_code, cast("ExceptionHandler", handler))
            return handler

        return declare

    def middleware(self, middleware_type: Literal["http"]) -> Callable[[Function], Function]:
        """Declare a function ``(request, call_next)`` that wraps every HTTP request.

        WebSocket connections pass it by, as in Starlette.

        Raises:
            EndpointError: `middleware_type` is not "http".
        """
        if middleware_type != "http":
            raise EndpointError(
                f'Expected middleware("http"), got {middleware_type!r}.',
                remedy="What is to wrap WebSocket connections is an ASGI class for add_middleware().",
            )

        def declare(function: Function) -> Function:
            self.add_middleware(BaseHTTPMiddleware, dispatch=function)
            return function

        return declare

    def add_event_handler(self, event_type: Literal["startup", "shutdown"], func: Callable[[], Any]) -> None:
        """Call `func` when the application starts or stops; a `lifespan` is the better way."""
        self.router.add_event_handler(event_type, func)

    def on_event(self, event_type: Literal["startup", "shutdown"]) -> Callable[[Function], Function]:
        """Do what `add_event_handler` does, as a decorator."""
        return self.router.on_event(event_type)

    # --- the AsyncAPI document

    def asyncapi(self, *, url: str | None = None) -> dict[str, Any]:
        """The AsyncAPI 3.0 document of every WebSocket route, included and mounted ones too.

        Args:
            url: where the application is reached, such as "ws://127.0.0.1:8000", where `servers` do not
                say it.

        Returns:
            A dictionary of what JSON knows.
        """
        from wslab.asgi.asyncapi.document import document  # pydantic: only when it is asked for

        return document(self, self._info, url)

    # --- serving

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette's stack, in which HTTP errors are answered as FastAPI answers them."""
        own = self.exception_handlers
        self.exception_handlers = {
            HTTPException: http_error,
            RequestValidationError: invalid_request,
            **own,
        }
        try:
            return super().build_middleware_stack()
        finally:
            self.exception_handlers = own

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            if not await serve_document(self, scope, receive, send):
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
        rows = [_row(route) for route in self.router.leaves()]
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
