"""What a declared argument says about itself: its marker, or the class in its annotation."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from wslab.asgi.dependencies import Dependency, SecurityScopes
from wslab.asgi.params import Param
from wslab.asgi.signatures import EMPTY
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from wslab.asgi.signatures import Argument

__all__ = ["Role", "called_by", "class_in", "marker_of", "refuse_foreign", "role_of"]

_CONNECTION_NAMES = {"websocket", "ws"}
_REQUEST_NAMES = {"request"}


class Role(Enum):
    """What a parameter without a marker is filled with."""

    VALUE = auto()
    CONNECTION = auto()
    RESPONSE = auto()
    BACKGROUND = auto()
    SCOPES = auto()
    OMITTED = auto()


def marker_of(argument: Argument, owner: str) -> Param | Dependency | None:
    """The marker in the annotation or in the default, with the default the parameter really has.

    Raises:
        EndpointError: there are two markers, or one that this framework does not read.
    """
    what = f"The parameter `{argument.name}` of {owner}"
    for item in (*argument.metadata, argument.default):
        refuse_foreign(item, what)
    annotated = [item for item in argument.metadata if isinstance(item, (Param, Dependency))]
    given = argument.default if isinstance(argument.default, (Param, Dependency)) else None
    if not annotated:
        return given
    if given is not None:
        raise EndpointError(
            f"{what} has a marker in Annotated and another one as its default.",
            remedy="Keep one of them.",
        )
    marker = annotated[-1]
    if isinstance(marker, Dependency):
        return marker
    if marker.default is not ...:
        raise EndpointError(
            f"{what} has a default inside of Annotated: {marker.default!r}.",
            remedy="Write it after the equals sign: `name: Annotated[str, Query()] = default`.",
        )
    return dataclasses.replace(marker, default=argument.default) if argument.has_default else marker


def refuse_foreign(item: Any, what: str) -> None:
    """Raise `EndpointError` if `item` is one of FastAPI's own markers."""
    module, name = type(item).__module__, type(item).__name__
    if module == "fastapi.params":
        raise EndpointError(
            f"{what} is declared with FastAPI's {name}, which this framework does not read.",
            remedy=f"Import {name} from wslab.asgi instead.",
        )


def called_by(dependency: Dependency, annotation: Any, what: str) -> Callable[..., Any]:
    """What a dependency calls: what it was given, or the annotation of its parameter.

    Raises:
        EndpointError: nothing says what to call.
    """
    declared: Any = dependency.call if dependency.call is not None else annotation
    if not callable(declared) or declared is EMPTY:
        raise EndpointError(
            f"{what} is declared with Depends(), but nothing says what to call.",
            remedy="Write Depends(function), or annotate the parameter with the class to be made.",
        )
    return typing.cast("Callable[..., Any]", declared)


def role_of(argument: Argument, owner: str, variables: Container[str], *, http: bool) -> Role:
    """What `argument`, which has no marker, is filled with.

    Args:
        argument: the argument.
        owner: the callable it belongs to, for error messages.
        variables: the names of the variables in the route's path.
        http: whether the route serves HTTP requests instead of WebSocket connections.

    Raises:
        EndpointError: it asks for something that this kind of route does not have.
    """
    found = class_in(argument.annotation)
    if found is None:
        unnamed = argument.annotation is EMPTY and not argument.has_default
        usual = _REQUEST_NAMES if http else _CONNECTION_NAMES
        return Role.CONNECTION if unnamed and argument.name in usual - _set(variables) else Role.VALUE
    if issubclass(found, (WebSocket,) if http else (Request, Response)):
        if argument.has_default:
            return Role.OMITTED  # a dependency that routes of both kinds share
        raise _misplaced(argument.name, owner, found, http=http)
    if issubclass(found, HTTPConnection):
        return Role.CONNECTION
    kinds = {Response: Role.RESPONSE, BackgroundTasks: Role.BACKGROUND, SecurityScopes: Role.SCOPES}
    return next((role for kind, role in kinds.items() if issubclass(found, kind)), Role.VALUE)


def _set(variables: Container[str]) -> set[str]:
    return {name for name in _REQUEST_NAMES | _CONNECTION_NAMES if name in variables}


def _misplaced(name: str, owner: str, found: type, *, http: bool) -> EndpointError:
    if http:
        return EndpointError(
            f"The parameter `{name}` of {owner} is annotated {found.__name__}, which an HTTP request is not.",
            remedy="Annotate it with Request or HTTPConnection, or declare the route with @app.websocket.",
        )
    return EndpointError(
        f"The parameter `{name}` of {owner} is annotated {found.__name__}, which a WebSocket connection does "
        "not have.",
        remedy="Annotate it with WebSocket or HTTPConnection; send headers with "
        "`await websocket.accept(headers=...)`.",
    )


def class_in(annotation: Any) -> type | None:
    """The class in `annotation`, also in ``X | None``.

    Example:
        >>> class_in(int | None)
        <class 'int'>
    """
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        annotation = members[0] if len(members) == 1 else None
    return annotation if inspect.isclass(annotation) and annotation is not EMPTY else None
