"""HTTP routes: the page that goes with the socket.

The endpoint's parameters and dependencies are those of a WebSocket endpoint. What it returns becomes JSON,
unless it is a `Response`. Bodies, response models and OpenAPI are FastAPI's business.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

import starlette.routing
from starlette import status
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from wslab.asgi.compiler import Overrides, compile_plan
from wslab.asgi.dependencies import Dependency
from wslab.asgi.exceptions import HTTPException, RequestValidationError
from wslab.asgi.markers import class_in
from wslab.asgi.params import Param
from wslab.asgi.routes import Planned, matched_path, reading
from wslab.asgi.signatures import describe, location_of, name_of, read_signature
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from wslab.asgi.plan import Plan, Result

__all__ = ["APIRoute", "http_error", "invalid_request"]

_BODILESS = {status.HTTP_204_NO_CONTENT, status.HTTP_205_RESET_CONTENT, status.HTTP_304_NOT_MODIFIED}
_FIRST_FINAL = 200
_CONTAINERS = (dict, list, tuple, set, frozenset)
# What only describes a route in FastAPI's OpenAPI document: accepted, so that a file runs in both.
_DESCRIPTIVE = {
    "callbacks",
    "deprecated",
    "description",
    "generate_unique_id_function",
    "include_in_schema",
    "openapi_extra",
    "operation_id",
    "response_description",
    "responses",
    "summary",
    "tags",
}


class APIRoute(Planned, starlette.routing.Route):
    """A path with the function that answers HTTP requests to it.

    Args:
        path: begins with "/"; ``{name}`` and ``{name:int}`` are variables.
        endpoint: a function; one without ``async`` runs in a thread.
        methods: HTTP methods; GET unless given. GET answers HEAD as well.
        name: for `url_path_for`; the endpoint's name unless given.
        dependencies: `Depends(...)` that run before the endpoint's own.
        status_code: of the response, unless the endpoint sets another one.
        response_class: makes a response of what the endpoint returns; `JSONResponse` unless given.
        complete: False where a prefix may still bring path variables.
        **described: what describes a route in FastAPI's documents (`tags`, `summary` ...): ignored.

    A return annotation has no effect here, while FastAPI validates and filters by it.

    Raises:
        EndpointError: the path or the endpoint is declared in a way that could never work, or asks for
            what only FastAPI does.

    Example:
        >>> def page(limit: int = 10) -> dict[str, int]:
        ...     return {"limit": limit}
        >>> APIRoute("/page", page).plan
        <Plan of page: query limit>
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        name: str | None = None,
        dependencies: Sequence[Any] | None = None,
        status_code: int | None = None,
        response_class: type[Response] = JSONResponse,
        complete: bool = True,
        **described: Any,
    ) -> None:
        _check_keywords(described)
        self._status_code = status_code
        self._response_class = response_class
        short_name = name_of(endpoint).rpartition(".")[2]
        with reading(path):
            matched = matched_path(path, complete=complete)
            super().__init__(matched, self._answer_to, methods=methods or ["GET"], name=name or short_name)
        self.path = path
        self.endpoint = endpoint
        self.prepare(endpoint, dependencies or (), complete=complete)
        if complete:
            self.warn_of_unused_variables()

    def _compiled(self, variables: Any, overrides: Overrides | None = None) -> Plan:
        try:
            return compile_plan(self._call, variables, overrides, self.dependencies, http=True)
        except EndpointError as error:
            body = _body_of(self._call)
            if body is None:
                raise
            raise EndpointError(
                f"The parameter `{body}` of {describe(self._call)} would be read from the request's body, "
                "which is FastAPI's business.",
                remedy="Serve this route with FastAPI, mounted beside the sockets, or take a `Request` and "
                "read `await request.json()`.",
            ) from error

    def under(self, prefix: str, dependencies: Sequence[Any], *, complete: bool) -> APIRoute:
        """The same route below `prefix`, with more `dependencies` before its own."""
        return APIRoute(
            prefix + self.path,
            self.endpoint,
            methods=self.methods,
            name=self.name,
            dependencies=(*dependencies, *self.dependencies),
            status_code=self._status_code,
            response_class=self._response_class,
            complete=complete,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this route serves `scope`, as `starlette.routing.BaseRoute.matches` does."""
        try:
            return super().matches(scope)
        except ValueError:
            return Match.NONE, {}  # a convertor refused what its own pattern let through

    async def _answer_to(self, request: Request) -> Any:
        # Starlette wants something to await with (scope, receive, send), within its exception handlers.
        # Sending is part of the plan: what a dependency holds open is torn down after the response.
        return _Answer(self, request)

    async def serve_request(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the endpoint and send what it returns.

        Raises:
            RequestValidationError: the request does not fit the parameters.
            Exception: whatever a dependency or the endpoint raises.
        """

        async def respond(result: Result) -> None:
            await self._response_of(result)(scope, receive, send)

        plan = self.plan_for(getattr(scope.get("app"), "dependency_overrides", None))
        await plan.run(request, respond)

    def _response_of(self, result: Result) -> Response:
        if isinstance(result.value, Response):
            return result.value
        from wslab.asgi.encoders import jsonable_encoder  # pydantic: only when a page is asked for

        made = self._response_class(jsonable_encoder(result.value))
        wished = result.response
        made.status_code = (wished.status_code if wished else None) or self._status_code or made.status_code
        if made.status_code in _BODILESS or made.status_code < _FIRST_FINAL:
            made.body = b""
            made.headers["content-length"] = "0"
        if wished is not None:
            made.headers.raw.extend(wished.headers.raw)
        return made

    def __repr__(self) -> str:
        where = location_of(self.endpoint)
        at = f" at {where}" if where else ""
        return f"<APIRoute {','.join(sorted(self.methods or ()))} {self.path}: {name_of(self.endpoint)}{at}>"


class _Answer:
    """One request, about to be answered."""

    def __init__(self, route: APIRoute, request: Request) -> None:
        self._route = route
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._route.serve_request(self._request, scope, receive, send)


async def http_error(_: Request, error: Exception) -> Response:
    """Answer an `HTTPException` as FastAPI does: ``{"detail": ...}``."""
    assert isinstance(error, HTTPException), "registered for HTTPException"
    if error.status_code in _BODILESS or error.status_code < _FIRST_FINAL:
        return Response(status_code=error.status_code, headers=error.headers)
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


async def invalid_request(_: Request, error: Exception) -> Response:
    """Answer an invalid request as FastAPI does: 422 and ``{"detail": [errors]}``."""
    from wslab.asgi.encoders import jsonable_encoder

    assert isinstance(error, RequestValidationError), "registered for RequestValidationError"
    return JSONResponse({"detail": jsonable_encoder(error.errors())}, status.HTTP_422_UNPROCESSABLE_CONTENT)


def _body_of(call: Callable[..., Any]) -> str | None:
    """The parameter of `call` that FastAPI would read from the body, if there is one."""
    from pydantic import BaseModel

    for argument in read_signature(call):
        marked = any(isinstance(item, (Param, Dependency)) for item in (*argument.metadata, argument.default))
        kind = class_in(argument.annotation) or typing.get_origin(argument.annotation)
        if marked or not inspect.isclass(kind):
            continue
        if is_dataclass(kind) or issubclass(kind, (BaseModel, *_CONTAINERS)):
            return argument.name
    return None


def _check_keywords(given: dict[str, Any]) -> None:
    beyond = sorted(name for name, value in given.items() if name not in _DESCRIPTIVE and value is not None)
    if beyond:
        raise EndpointError(
            f"Expected the path, the function and what describes them, got the keyword {beyond[0]!r}, "
            "which is FastAPI's business.",
            remedy="Leave it out, or serve this page with FastAPI, mounted beside the sockets.",
        )
