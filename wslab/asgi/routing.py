"""Routes: a path, an endpoint and the endpoint's plan."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import starlette.routing
from starlette.routing import BaseRoute, Match, Mount

from wslab.asgi.answers import answer
from wslab.asgi.compiler import Overrides, compile_plan
from wslab.asgi.exceptions import UnusedPathVariableWarning
from wslab.asgi.params import PathParam, QueryParam
from wslab.asgi.signatures import describe, location_of, name_of
from wslab.asgi.websocket import WebSocket
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from starlette.middleware import Middleware
    from starlette.types import Receive, Scope, Send

    from wslab.asgi.plan import Plan

__all__ = ["WebSocketRoute", "check_path", "same_address", "websocket_paths"]


class WebSocketRoute(starlette.routing.WebSocketRoute):
    """A path with the endpoint that serves it.

    The endpoint's parameters are compiled into a plan here, once. Works in any Starlette application;
    `dependency_overrides` and `exception_handlers` are those of the application that serves.

    Args:
        path: begins with "/"; ``{name}`` and ``{name:int}`` are variables.
        endpoint: an ``async def`` function.
        name: for `url_path_for`; the endpoint's name unless given.
        middleware: wraps this route alone.

    Raises:
        EndpointError: the path or the endpoint is declared in a way that could never work.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        name: str | None = None,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        check_path(path)
        short_name = name_of(endpoint).rpartition(".")[2]
        try:
            super().__init__(path, _Session(self), name=name or short_name, middleware=middleware)
        except (AssertionError, ValueError) as error:  # how Starlette reports a path it cannot read
            raise EndpointError(
                f"The path {path!r} cannot be read: {error}.",
                remedy="A variable is {name} or {name:convertor}, and occurs once.",
            ) from error
        self.endpoint = endpoint
        self.plan = compile_plan(endpoint, self.param_convertors)
        self._overridden: tuple[dict[Any, Any], Plan] = ({}, self.plan)
        _warn_of_unused_variables(self)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this route serves `scope`, as `starlette.routing.BaseRoute.matches` does."""
        try:
            return super().matches(scope)
        except ValueError:
            # A convertor refused what its own pattern let through: int() stops at 4300 digits.
            return Match.NONE, {}

    def plan_for(self, overrides: Overrides | None) -> Plan:
        """The plan with `overrides` in place; compiled again only when they have changed."""
        if not overrides:
            return self.plan
        known, plan = self._overridden
        if known != overrides:
            plan = compile_plan(self.endpoint, self.param_convertors, overrides)
            self._overridden = (dict(overrides), plan)
        return plan

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from the handshake to what its end is answered with."""
        websocket = WebSocket(scope, receive, send)
        plan = self.plan_for(getattr(scope.get("app"), "dependency_overrides", None))
        try:
            await plan.run(websocket)
        except Exception as error:
            if not await answer(websocket, error):
                raise

    def __repr__(self) -> str:
        where = location_of(self.endpoint)
        at = f" at {where}" if where else ""
        return f"<WebSocketRoute {self.path}: {name_of(self.endpoint)}{at}>"


def check_path(path: object) -> None:
    """Raise `EndpointError` unless `path` is a text that begins with "/"."""
    if not (isinstance(path, str) and path.startswith("/")):
        raise EndpointError(
            f"Expected a path that begins with '/', got {path!r}.",
            remedy='Write @app.websocket("/path").',
        )


class _Session:
    """A route as an ASGI application; Starlette takes anything but a function for one."""

    def __init__(self, route: WebSocketRoute) -> None:
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._route.serve(scope, receive, send)


def same_address(one: starlette.routing.WebSocketRoute, other: starlette.routing.WebSocketRoute) -> bool:
    """Whether two routes match the same URLs, whatever their variables are called."""
    return _nameless(one) == _nameless(other)


def _nameless(route: starlette.routing.WebSocketRoute) -> str:
    return re.sub(r"\?P<\w+>", "", route.path_regex.pattern)


def websocket_paths(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[str]:
    """The paths of all WebSocket routes in `routes`, those of mounted applications included."""
    for route in routes:
        if isinstance(route, starlette.routing.WebSocketRoute):
            yield prefix + route.path
        elif isinstance(route, Mount):
            yield from websocket_paths(route.routes, prefix + route.path)


def _warn_of_unused_variables(route: WebSocketRoute) -> None:
    parameters = route.plan.parameters
    taken = {parameter.key for parameter in parameters if isinstance(parameter.declared, PathParam)}
    unused = [f"{{{variable}}}" for variable in route.param_convertors if variable not in taken]
    guessed = [
        f"`{parameter.name}`"
        for parameter in parameters
        if parameter.implicit and isinstance(parameter.declared, QueryParam)
    ]
    if not (unused and guessed):
        return
    # Warned about where the endpoint is, since the cell with the decorator is what has to change.
    filename, _, line = location_of(route.endpoint).rpartition(":")
    warnings.warn_explicit(
        f"The path {route.path!r} has {', '.join(unused)}, which no parameter of {describe(route.endpoint)} "
        f"takes, while {', '.join(guessed)} will be read from the query. Give both the same name, or "
        "declare the parameter with Query().",
        UnusedPathVariableWarning,
        filename or "<unknown>",
        int(line or 0),
    )
