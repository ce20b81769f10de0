"""`APIRouter`, and the kinds of routes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import starlette.routing
from starlette.routing import (
    BaseRoute,
    Host,
    Match,
    NoMatchFound,
    Route,
    Router,
)

from wslab.asgi.declarations import Declarations
from wslab.asgi.endpoints import as_session
from wslab.asgi.inclusion import IncludedRouter, Leaves, effective_paths
from wslab.asgi.lifespans import Lifespans
from wslab.asgi.pages import APIRoute
from wslab.asgi.routes import (
    WebSocketRoute,
    check_path,
    next_declaration,
    reading,
    same_address,
)
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.datastructures import URLPath
    from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

__all__ = [
    "APIRoute",
    "APIRouter",
    "APIWebSocketRoute",
    "BaseRoute",
    "Host",
    "Match",
    "Mount",
    "NoMatchFound",
    "Route",
    "Router",
    "WebSocketRoute",
    "check_path",
    "same_address",
    "websocket_paths",
]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[], Any]

APIWebSocketRoute = WebSocketRoute  # FastAPI's name for it


class Mount(starlette.routing.Mount):
    """Starlette's `Mount`, which knows when it was declared."""

    declared = 0


def websocket_paths(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[str]:
    """The paths of all WebSocket routes in `routes`, those of routers and mounted applications included."""
    return (path for path, _ in effective_paths(list(routes), prefix))


class APIRouter(Declarations, Lifespans, Router):
    """Routes that are declared together, to be included in an application or in another router.

    What is declared after the router was included is served, too. Of routes with one address, the one
    that was declared, or included, last is served.

    Args:
        prefix: what the paths are put below; begins with "/" and does not end with one.
        dependencies: `Depends(...)` that run before those of the routes.
        routes: routes to begin with.
        redirect_slashes: whether an unknown HTTP path is redirected to the one with, or without, a slash
            at its end.
        default: what serves when no route does.
        lifespan: an asynchronous context manager around the time in which the application serves.
        on_startup: called when it begins, in order.
        on_shutdown: called when it ends.
        complete: whether the paths are whole as they are: those of an application are.
        **described: what FastAPI's documents take (`tags`, `responses`, ...): ignored.

    Raises:
        EndpointError: the prefix is not one.

    Example:
        >>> router = APIRouter(prefix="/rooms")
        >>> @router.websocket("/{number}")
        ... async def room(ws, number: int): ...
        >>> [route.path for route in router.routes]
        ['/rooms/{number}']
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        dependencies: Sequence[Any] | None = None,
        routes: Sequence[BaseRoute] | None = None,
        redirect_slashes: bool = True,
        default: ASGIApp | None = None,
        lifespan: Lifespan[Any] | None = None,
        on_startup: Sequence[Handler] | None = None,
        on_shutdown: Sequence[Handler] | None = None,
        complete: bool = False,
        **described: Any,
    ) -> None:
        _check_prefix(prefix)
        _check_described(described)
        super().__init__(routes, redirect_slashes, default, lifespan)
        self.prefix = prefix
        self.dependencies = list(dependencies or [])
        self.complete = complete
        self.on_startup = list(on_startup or [])
        self.on_shutdown = list(on_shutdown or [])
        self._own_lifespan = self.lifespan_context
        self.lifespan_context = self._lifespans
        self._leaves = Leaves()
        self._inclusions: WeakSet[IncludedRouter] = WeakSet()
        self._matcher = Router(redirect_slashes=redirect_slashes, default=self._unmatched)

    # --- declaring

    def check_declared(self, path: object) -> None:
        """Raise `EndpointError` unless `path` can be declared here."""
        if path != "" or (self.complete and not self.prefix):
            check_path(path)

    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[Any] | None = None,
        receives: Any = None,
        sends: Any = None,
    ) -> None:
        """Do what the decorator `websocket` does, without a decorator."""
        self.check_declared(path)
        self._declare(
            WebSocketRoute(
                self.prefix + path,
                endpoint,
                name=name,
                dependencies=(*self.dependencies, *(dependencies or ())),
                receives=receives,
                sends=sends,
                complete=self.complete,
            )
        )

    def add_websocket(self, path: str, endpoint: Callable[..., Any], *, name: str | None = None) -> None:
        """Do what `add_api_websocket_route` does."""
        self.add_api_websocket_route(path, endpoint, name)

    def add_websocket_route(self, path: str, endpoint: Callable[..., Any], name: str | None = None) -> None:
        """Do what the decorator `websocket_route` does, without a decorator."""
        self.add_api_websocket_route(path, as_session(endpoint), name)

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        name: str | None = None,
        dependencies: Sequence[Any] | None = None,
        **options: Any,
    ) -> None:
        """Do what the decorator `api_route` does, without a decorator."""
        self.check_declared(path)
        joined = (*self.dependencies, *(dependencies or ()))
        route = APIRoute(
            self.prefix + path,
            endpoint,
            methods=methods,
            name=name,
            dependencies=joined,
            complete=self.complete,
            **options,
        )
        self._declare(route)

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        """Hand everything below `path` to `app`; a path mounted again is replaced.

        Dependencies do not run for it: it is an application of its own.

        Raises:
            EndpointError: the path cannot be read.
        """
        if path:
            check_path(path)
        with reading(path):
            route = Mount(self.prefix + path, app=app, name=name)
        route.declared = next_declaration()
        self._declare(route)

    def include_router(
        self,
        router: APIRouter,
        *,
        prefix: str = "",
        dependencies: Sequence[Any] | None = None,
        **described: Any,
    ) -> None:
        """Serve the routes of `router` too, and those that are declared in it later.

        Dependencies run in this order: those of this router, `dependencies`, those of `router`, those of
        the route, those of the endpoint. Including again replaces: the same router below the same prefix,
        and whatever has the address of one of its routes.

        Args:
            router: the router.
            prefix: put before its paths.
            dependencies: `Depends(...)` that run for all of its routes.
            **described: what FastAPI's documents take (`tags`, `responses`, ...): ignored.

        Raises:
            EndpointError: a route could not work below this prefix, or a router would include itself.
        """
        _check_prefix(prefix)
        _check_described(described)
        if not isinstance(router, APIRouter):
            raise EndpointError(
                f"Expected an APIRouter to include, got {router!r}.",
                remedy="Import APIRouter from wslab.asgi; another application is mounted with mount().",
            )
        if router is self or router.includes(self):
            raise EndpointError(
                "Expected a router that does not include the one it is included in.",
                remedy="Move the routes that both need into a third router.",
            )
        joined = (*self.dependencies, *(dependencies or ()))
        fresh = IncludedRouter(self, router, self.prefix + prefix, joined, next_declaration())
        for route in router.leaves():
            fresh.check(route)
        position = self._place_of(
            lambda route: (
                isinstance(route, IncludedRouter) and route.router is router and route.prefix == fresh.prefix
            )
        )
        self.routes[position : position + 1] = [fresh]
        router._inclusions.add(fresh)
        self._forget_the_replaced()

    def _declare(self, fresh: BaseRoute) -> None:
        self.check_inclusions(fresh)  # before anything changes: an endpoint declared before stays
        methods = getattr(fresh, "methods", None)
        position = self._place_of(
            lambda route: same_address(route, fresh) and getattr(route, "methods", None) == methods
        )
        self.routes[position : position + 1] = [fresh]
        self._forget_the_replaced()

    def _place_of(self, fits: Callable[[BaseRoute], bool]) -> int:
        places = (position for position, route in enumerate(self.routes) if fits(route))
        return next(places, len(self.routes))

    def check_inclusions(self, route: BaseRoute) -> None:
        """Raise `EndpointError` if `route` could not work where this router is included."""
        for inclusion in list(self._inclusions):
            if inclusion in inclusion.owner.routes:
                inclusion.check(route)

    def _forget_the_replaced(self) -> None:
        """Drop inclusions of which nothing is served any more; what replaced one takes its place."""
        served = {id(leaf): leaf for leaf in self.leaves()}
        for old in [route for route in self.routes if isinstance(route, IncludedRouter)]:
            leaves = old.leaves()
            if not leaves or any(id(leaf) in served for leaf in leaves):
                continue
            winner = next(leaf for leaf in served.values() if same_address(leaf, leaves[0]))
            heir = next(
                (route for route in self.routes if isinstance(route, IncludedRouter) and route.holds(winner)),
                None,
            )
            position = self.routes.index(old)
            if heir is not None and self.routes.index(heir) > position:
                self.routes.remove(heir)
                self.routes[position] = heir
            else:
                del self.routes[position]
        for inclusion in list(self._inclusions):
            inclusion.owner._forget_the_replaced()  # noqa: SLF001 - of the same class

    # --- serving

    def leaves(self) -> list[BaseRoute]:
        """The routes that are matched, in their order: included ones with their whole paths."""
        return self._leaves.of(self)

    def includes(self, router: APIRouter) -> bool:
        """Whether `router` is included here, at any depth."""
        inner = (route.router for route in self.routes if isinstance(route, IncludedRouter))
        return any(each is router or each.includes(router) for each in inner)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The URL of the route called `name`, as `starlette.routing.Router.url_path_for`."""
        self._matcher.routes = self.leaves()
        return self._matcher.url_path_for(name, **path_params)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request, or the lifespan."""
        if "router" not in scope:
            scope["router"] = self
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        # Starlette's own matching, on the flat list.
        self._matcher.routes = self.leaves()
        await self._matcher.app(scope, receive, send)

    async def _unmatched(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.default(scope, receive, send)


def _check_prefix(prefix: object) -> None:
    if prefix == "":
        return
    if not (isinstance(prefix, str) and prefix.startswith("/") and not prefix.endswith("/")):
        raise EndpointError(
            f"Expected a prefix that begins with '/' and does not end with one, got {prefix!r}.",
            remedy='Write prefix="/rooms"; the paths below begin with the next slash.',
        )


_DESCRIPTIVE = {
    "callbacks",
    "deprecated",
    "generate_unique_id_function",
    "include_in_schema",
    "responses",
    "tags",
}


def _check_described(given: dict[str, Any]) -> None:
    beyond = sorted(given.keys() - _DESCRIPTIVE)
    if beyond:
        raise EndpointError(
            f"Got the keyword {beyond[0]!r}, which a router does not have.",
            remedy="Known are prefix, dependencies, routes, redirect_slashes, default, lifespan, on_startup "
            f"and on_shutdown; ignored are {', '.join(sorted(_DESCRIPTIVE))}.",
        )
