"""Routers within routers, and which of several routes with one address serves.

Theory of operation. `APIRouter.routes` holds what was declared, with an `IncludedRouter` where another
router was included. `leaves` makes of it the flat list that is matched: prefixes joined, dependencies put
together, and of routes with one address only the one that was declared last, in the place of the first.
An inclusion is live, as FastAPI's is since 0.165: what is declared in the router later is served, too.
Including a router declares its routes again: running the cell that does it makes the cell's routes win.
"""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, Any

from starlette.routing import (
    BaseRoute,
    Host,
    Match,
    Mount,
    NoMatchFound,
    Route,
    Router,
    WebSocketRoute,
    compile_path,
)

from wslab.asgi.pages import APIRoute
from wslab.asgi.routes import WebSocketRoute as WebSocketRouteWithPlan
from wslab.asgi.routes import address_of, declared_at
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.datastructures import URLPath
    from starlette.types import Receive, Scope, Send

    from wslab.asgi.routing import APIRouter

__all__ = ["IncludedRouter", "Leaves", "effective_paths"]


class IncludedRouter(BaseRoute):
    """A router within another, below a prefix.

    Args:
        owner: the router that includes.
        router: the router that is included.
        prefix: what its paths are put below, the owner's own prefix included.
        dependencies: run before those of the routes.
        declared: when it was included.
    """

    def __init__(
        self, owner: APIRouter, router: APIRouter, prefix: str, dependencies: Sequence[Any], declared: int
    ) -> None:
        self.owner = owner
        self.router = router
        self.prefix = prefix
        self.path = prefix
        self.dependencies = tuple(dependencies)
        self.declared = declared
        self._effective: dict[int, tuple[BaseRoute, BaseRoute]] = {}

    def leaves(self) -> list[BaseRoute]:
        """The router's routes as they are served here."""
        routes = self.router.leaves()
        if len(self._effective) > len(routes):  # forget what was replaced
            alive = {id(route) for route in routes}
            self._effective = {key: pair for key, pair in self._effective.items() if key in alive}
        return [self.effective(route) for route in routes]

    def holds(self, leaf: BaseRoute) -> bool:
        """Whether `leaf` is one of `leaves`."""
        return any(leaf is each for each in self.leaves())

    def effective(self, route: BaseRoute) -> BaseRoute:
        """`route` as it is served here.

        Raises:
            EndpointError: below this prefix it could not work.
        """
        known = self._effective.get(id(route))
        if known is None:
            fresh = self._moved(route)
            fresh.declared = max(declared_at(route), self.declared)  # type: ignore[attr-defined] # any object
            known = self._effective[id(route)] = (route, fresh)
        return known[1]

    def check(self, route: BaseRoute) -> None:
        """Raise `EndpointError` if `route` could not work here, or where the owner is included."""
        self.owner.check_inclusions(self.effective(route))

    def _moved(self, route: BaseRoute) -> BaseRoute:
        if isinstance(route, (WebSocketRouteWithPlan, APIRoute)):
            return route.under(self.prefix, self.dependencies, complete=self.owner.complete)
        if isinstance(route, Host):
            app = Router(routes=[Mount(self.prefix, app=route.app)]) if self.prefix else route.app
            return Host(route.host, app, name=route.name)
        fresh = copy.copy(route)
        if isinstance(fresh, (Route, WebSocketRoute, Mount)):
            below = "/{path:path}" if isinstance(fresh, Mount) else ""
            fresh.path = (self.prefix + fresh.path).rstrip("/") if below else self.prefix + fresh.path
            fresh.path_regex, fresh.path_format, fresh.param_convertors = compile_path(fresh.path + below)
        elif self.prefix:
            raise EndpointError(
                f"Expected routes that have a path, to be included below {self.prefix!r}, got {route!r}.",
                remedy="Put it into the application's own routes.",
            )
        return fresh

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of the routes serves `scope`: for a router of Starlette that holds this one."""
        partial: tuple[Match, Scope] = (Match.NONE, {})
        for route in self.leaves():
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                return match, {**child_scope, "route": route}
            if match is Match.PARTIAL and partial[0] is Match.NONE:
                partial = match, {**child_scope, "route": route}
        return partial

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve with the route that `matches` found."""
        await scope["route"].handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The URL of the route called `name`, as `starlette.routing.BaseRoute.url_path_for`."""
        for route in self.leaves():
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, path_params)

    def __repr__(self) -> str:
        return f"<IncludedRouter {self.prefix or '/'}: {len(self.router.leaves())} routes>"


class Leaves:
    """The flat list of a router's routes, made again only when a list it was made from has changed."""

    def __init__(self) -> None:
        self._made_from: list[tuple[Any, tuple[BaseRoute, ...]]] = []
        self._flat: list[BaseRoute] | None = None

    def of(self, router: APIRouter) -> list[BaseRoute]:
        """The flat list."""
        if self._flat is None or not all(map(_unchanged, self._made_from)):
            self._made_from = [(each, tuple(each.routes)) for each in _with_included(router)]
            expanded: list[BaseRoute] = []
            for route in router.routes:
                expanded.extend(route.leaves() if isinstance(route, IncludedRouter) else [route])
            self._flat = _newest(expanded)
        return self._flat


def _unchanged(pair: tuple[Any, tuple[BaseRoute, ...]]) -> bool:
    router, routes = pair
    # Identity: Starlette's routes are equal when path and endpoint are, whatever else has changed.
    return len(router.routes) == len(routes) and all(map(operator.is_, router.routes, routes))


def _with_included(router: APIRouter) -> Iterator[APIRouter]:
    yield router
    for route in router.routes:
        if isinstance(route, IncludedRouter):
            yield from _with_included(route.router)


def _newest(routes: list[BaseRoute]) -> list[BaseRoute]:
    """`routes` without those that a later declaration replaces."""
    groups: dict[Any, list[BaseRoute]] = {}
    for route in routes:
        groups.setdefault(address_of(route) or id(route), []).append(route)
    kept: list[BaseRoute] = []
    for group in groups.values():
        group.sort(key=declared_at, reverse=True)
        if not isinstance(group[0], Route):
            kept.append(group[0])
            continue
        answered: set[str] = set()
        for route in group:
            methods = getattr(route, "methods", None)
            if methods is None or not methods <= answered:
                kept.append(route)
            if methods is None:  # answers any method: nothing comes after it
                break
            answered |= methods
    return kept


def effective_paths(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, WebSocketRoute]]:
    """The WebSocket routes in `routes` with their full paths, those of mounted applications included."""
    for route in routes:
        if isinstance(route, WebSocketRoute):
            yield prefix + route.path, route
        elif isinstance(route, IncludedRouter):
            yield from effective_paths(route.leaves(), prefix)
        elif isinstance(route, (Mount, Host)):
            yield from effective_paths(_routes_of(route), prefix + getattr(route, "path", ""))


def _routes_of(mount: Mount | Host) -> Sequence[BaseRoute]:
    leaves = getattr(getattr(mount.app, "router", mount.app), "leaves", None)
    return leaves() if leaves is not None else mount.routes or []
