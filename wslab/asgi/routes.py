"""Routes: a path, an endpoint and the endpoint's plan."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import TYPE_CHECKING, Any

import starlette.routing
from starlette.routing import BaseRoute, Match

from wslab.asgi.answers import answer
from wslab.asgi.compiler import Overrides, compile_plan
from wslab.asgi.dependencies import Dependency
from wslab.asgi.endpoints import as_function
from wslab.asgi.exceptions import UnusedPathVariableWarning
from wslab.asgi.params import PathParam, QueryParam
from wslab.asgi.signatures import describe, location_of, name_of, read_signature
from wslab.asgi.websocket import WebSocket
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.middleware import Middleware
    from starlette.types import Receive, Scope, Send

    from wslab.asgi.plan import Plan

__all__ = [
    "Planned",
    "Session",
    "WebSocketRoute",
    "address_of",
    "check_path",
    "declared_at",
    "matched_path",
    "next_declaration",
    "reading",
    "same_address",
]

_declarations = itertools.count(1)


def next_declaration() -> int:
    """The number of a declaration made now; it grows."""
    return next(_declarations)


class Planned:
    """What routes with a compiled plan have in common.

    Attributes:
        endpoint: what was declared: a function, or a class.
        plan: what a connection does to fill the endpoint's parameters.
        dependencies: run before the endpoint's own.
        declared: counts declarations: of two routes with one address, the one with the higher number
            was declared last.
        complete: False in a router, where a prefix with more path variables may still come.
    """

    endpoint: Any
    dependencies: tuple[Any, ...]
    declared: int
    complete: bool
    plan: Plan
    param_convertors: dict[str, Any]
    path: str

    def prepare(self, call: Callable[..., Any], dependencies: Sequence[Any], *, complete: bool) -> None:
        """Compile the plan of `call`; the path has been read before."""
        self.declared = next_declaration()
        self.dependencies = tuple(dependencies)
        self.complete = complete
        self._call = call
        try:
            self.plan = self._compiled(self.param_convertors)
        except EndpointError:
            if complete:
                raise
            # Only a prefix can bring what an explicit Path() asks for: with it, is the rest right?
            self.plan = self._compiled(
                [*self.param_convertors, *_explicit_variables(call, self.dependencies)]
            )
        self._overridden: tuple[dict[Any, Any], Plan] = ({}, self.plan)

    def _compiled(self, variables: Any, overrides: Overrides | None = None) -> Plan:
        return compile_plan(self._call, variables, overrides, self.dependencies, http=False)

    def plan_for(self, overrides: Overrides | None) -> Plan:
        """The plan with `overrides` in place; compiled again only when they have changed."""
        if not overrides:
            return self.plan
        known, plan = self._overridden
        if known != overrides:
            plan = self._compiled(self.param_convertors, overrides)
            self._overridden = (dict(overrides), plan)
        return plan

    def warn_of_unused_variables(self) -> None:
        """Warn where a path variable is taken by nobody, and a parameter was guessed to be in the query."""
        parameters = self.plan.parameters
        taken = {parameter.key for parameter in parameters if isinstance(parameter.declared, PathParam)}
        unused = [f"{{{variable}}}" for variable in self.param_convertors if variable not in taken]
        guessed = [
            f"`{parameter.name}`"
            for parameter in parameters
            if parameter.implicit and isinstance(parameter.declared, QueryParam)
        ]
        if not (unused and guessed):
            return
        # Warned about where the endpoint is, since the cell with the decorator is what has to change.
        filename, _, line = location_of(self._call).rpartition(":")
        warnings.warn_explicit(
            f"The path {self.path!r} has {', '.join(unused)}, which no parameter of {describe(self._call)} "
            f"takes, while {', '.join(guessed)} will be read from the query. Give both the same name, or "
            "declare the parameter with Query().",
            UnusedPathVariableWarning,
            filename or "<unknown>",
            int(line or 0),
        )


class Session:
    """A route as an ASGI application; Starlette takes anything but a function for one."""

    def __init__(self, route: WebSocketRoute) -> None:
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._route.serve(scope, receive, send)


class WebSocketRoute(Planned, starlette.routing.WebSocketRoute):
    """A path with the endpoint that serves it.

    The endpoint's parameters are compiled into a plan here, once. Works in any Starlette application;
    `dependency_overrides` and `exception_handlers` are those of the application that serves.

    Args:
        path: begins with "/"; ``{name}`` and ``{name:int}`` are variables.
        endpoint: an ``async def`` function, or a `WebSocketEndpoint` class.
        name: for `url_path_for`; the endpoint's name unless given.
        middleware: wraps this route alone.
        dependencies: `Depends(...)` that run before the endpoint's own; their values are discarded.
        receives: what the endpoint receives, for the AsyncAPI document: a model, a union, or several.
        sends: what it sends, likewise.
        complete: False where a prefix may still bring path variables.

    Raises:
        EndpointError: the path or the endpoint is declared in a way that could never work.

    Example:
        >>> async def room(ws: WebSocket, number: int): ...
        >>> WebSocketRoute("/rooms/{number}", room).plan
        <Plan of room: path number>
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        name: str | None = None,
        middleware: Sequence[Middleware] | None = None,
        dependencies: Sequence[Any] | None = None,
        receives: Any = None,
        sends: Any = None,
        complete: bool = True,
    ) -> None:
        short_name = name_of(endpoint).rpartition(".")[2]
        with reading(path):
            matched = matched_path(path, complete=complete)
            super().__init__(matched, Session(self), name=name or short_name, middleware=middleware)
        self.path = path
        self.endpoint = endpoint
        self.receives = receives
        self.sends = sends
        self._middleware = middleware
        self.prepare(as_function(endpoint), dependencies or (), complete=complete)
        if complete:
            self.warn_of_unused_variables()

    def under(self, prefix: str, dependencies: Sequence[Any], *, complete: bool) -> WebSocketRoute:
        """The same route below `prefix`, with more `dependencies` before its own."""
        return WebSocketRoute(
            prefix + self.path,
            self.endpoint,
            name=self.name,
            middleware=self._middleware,
            dependencies=(*dependencies, *self.dependencies),
            receives=self.receives,
            sends=self.sends,
            complete=complete,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this route serves `scope`, as `starlette.routing.BaseRoute.matches` does."""
        try:
            return super().matches(scope)
        except ValueError:
            # A convertor refused what its own pattern let through: int() stops at 4300 digits.
            return Match.NONE, {}

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
        where = location_of(self._call)
        at = f" at {where}" if where else ""
        return f"<WebSocketRoute {self.path}: {name_of(self.endpoint)}{at}>"


class reading:  # noqa: N801 - a context manager reads as a verb
    """Turn what Starlette raises for a path it cannot read into an `EndpointError`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (AssertionError, ValueError)) and not isinstance(error, EndpointError):
            raise EndpointError(
                f"The path {self._path!r} cannot be read: {error}.",
                remedy="A variable is {name} or {name:convertor}, and occurs once.",
            ) from error


def check_path(path: object) -> None:
    """Raise `EndpointError` unless `path` is a text that begins with "/"."""
    if not (isinstance(path, str) and path.startswith("/")):
        raise EndpointError(
            f"Expected a path that begins with '/', got {path!r}.",
            remedy='Write @app.websocket("/path").',
        )


def matched_path(path: str, *, complete: bool) -> str:
    """`path`, checked; in a router it may be empty, since a prefix is still to come."""
    if path or complete:
        check_path(path)
    return path or "/"


def declared_at(route: BaseRoute) -> int:
    """When `route` was declared: a number that grows; 0 for a route that is not ours."""
    return getattr(route, "declared", 0)


def address_of(route: BaseRoute) -> tuple[str, str] | None:
    """What two routes have in common that match the same URLs, whatever their variables are called."""
    kinds = (starlette.routing.WebSocketRoute, starlette.routing.Route, starlette.routing.Mount)
    for kind in kinds:
        if isinstance(route, kind):
            return kind.__name__, re.sub(r"\?P<\w+>", "", route.path_regex.pattern)
    return None


def same_address(one: BaseRoute, other: BaseRoute) -> bool:
    """Whether two routes match the same URLs, whatever their variables are called."""
    address = address_of(one)
    return address is not None and address == address_of(other)


def _explicit_variables(call: Callable[..., Any], dependencies: Sequence[Any]) -> Iterator[str]:
    """The path variables that `call` and its dependencies declare with Path()."""
    seen: list[Any] = []
    waiting: list[Any] = [call, *(item.call for item in dependencies if isinstance(item, Dependency))]
    while waiting:
        current = waiting.pop()
        if not callable(current) or any(current == known for known in seen):
            continue
        seen.append(current)
        for argument in read_signature(current):
            for item in (*argument.metadata, argument.default):
                if isinstance(item, PathParam):
                    yield from item.keys(argument.name)
                elif isinstance(item, Dependency):
                    waiting.append(item.call or argument.annotation)
