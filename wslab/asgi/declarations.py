"""The decorators that `App` and `APIRouter` share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

__all__ = ["Declarations"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Decorator = Callable[[Endpoint], Endpoint]


class _Adds(Protocol):
    def check_declared(self, path: object) -> None: ...
    def add_api_websocket_route(self, path: str, endpoint: Any, name: str | None, **options: Any) -> None: ...
    def add_websocket_route(self, path: str, endpoint: Any, name: str | None) -> None: ...
    def add_api_route(self, path: str, endpoint: Any, **options: Any) -> None: ...


class Declarations:
    """Decorators that declare endpoints; declaring a path again replaces its endpoint.

    A notebook's cell is run more than once: what was declared last is what is served.
    """

    def websocket(
        self: _Adds,
        path: str,
        name: str | None = None,
        *,
        dependencies: Sequence[Any] | None = None,
        receives: Any = None,
        sends: Any = None,
    ) -> Decorator[Endpoint]:
        """Declare the WebSocket endpoint of `path`.

        Args:
            path: begins with "/"; ``{name}`` and ``{name:int}`` are variables.
            name: for `url_path_for`; the function's name unless given.
            dependencies: `Depends(...)` that run before the endpoint's own; their values are discarded.
            receives: what the endpoint receives: a type that pydantic knows, a union, or a list of them.
                Said in the AsyncAPI document; `ws.iter_model` is what validates.
            sends: what it sends, likewise.

        Returns:
            A decorator that returns the function, or the `WebSocketEndpoint` class, unchanged.

        Raises:
            EndpointError: by the decorator, when the path or the function could never work; an endpoint
                declared before stays.
        """
        # Here and not in the decorator: without the parentheses, `path` is the function, and the decorator
        # would never be called.
        self.check_declared(path)

        def declare(endpoint: Endpoint) -> Endpoint:
            self.add_api_websocket_route(
                path, endpoint, name, dependencies=dependencies, receives=receives, sends=sends
            )
            return endpoint

        return declare

    def websocket_route(self: _Adds, path: str, name: str | None = None) -> Decorator[Endpoint]:
        """Declare a function of the connection, a `WebSocketEndpoint` class or an ASGI application.

        As Starlette's decorator of this name; but a router's prefix applies, and so do the dependencies of
        application, router and include, which FastAPI skips here.

        Args:
            path: begins with "/".
            name: for `url_path_for`.

        Raises:
            EndpointError: as of `websocket`.
        """
        self.check_declared(path)

        def declare(endpoint: Endpoint) -> Endpoint:
            self.add_websocket_route(path, endpoint, name)
            return endpoint

        return declare

    def api_route(
        self: _Adds, path: str, *, methods: Collection[str] | None = None, **options: Any
    ) -> Decorator[Endpoint]:
        """Declare the function that answers HTTP requests to `path`.

        Args:
            path: begins with "/"; ``{name}`` and ``{name:int}`` are variables.
            methods: HTTP methods; GET unless given.
            **options: those of `wslab.asgi.pages.APIRoute`.

        Returns:
            A decorator that returns the function unchanged.

        Raises:
            EndpointError: by the decorator, when the declaration could never work.
        """
        self.check_declared(path)

        def declare(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, methods=methods, **options)
            return endpoint

        return declare

    def get(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers GET, as `api_route` does."""
        return self.api_route(path, methods=["GET"], **options)  # type: ignore[misc] # the subclass adds

    def post(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers POST, as `api_route` does."""
        return self.api_route(path, methods=["POST"], **options)  # type: ignore[misc] # the subclass adds

    def put(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers PUT, as `api_route` does."""
        return self.api_route(path, methods=["PUT"], **options)  # type: ignore[misc] # the subclass adds

    def patch(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers PATCH, as `api_route` does."""
        return self.api_route(path, methods=["PATCH"], **options)  # type: ignore[misc] # the subclass adds

    def delete(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers DELETE, as `api_route` does."""
        return self.api_route(path, methods=["DELETE"], **options)  # type: ignore[misc] # the subclass adds

    def head(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers HEAD, as `api_route` does."""
        return self.api_route(path, methods=["HEAD"], **options)  # type: ignore[misc] # the subclass adds

    def options(self, path: str, **options: Any) -> Decorator[Endpoint]:
        """Declare what answers OPTIONS, as `api_route` does."""
        return self.api_route(path, methods=["OPTIONS"], **options)  # type: ignore[misc] # the subclass adds
