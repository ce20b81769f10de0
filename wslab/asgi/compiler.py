"""From an endpoint's signature to its `Plan`: done once, when a route is declared.

The order of the steps is FastAPI's: of each callable, the dependencies first, in the order of its
signature and depth first; then its own values, from path, query, headers and cookies.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from wslab.asgi.dependencies import Dependency, context_factory
from wslab.asgi.params import CookieParam, HeaderParam, Param, PathParam, QueryParam
from wslab.asgi.plan import BACKGROUND, CONNECTION, Call, Plan, Read, Step
from wslab.asgi.signatures import (
    EMPTY,
    Argument,
    CallKind,
    describe,
    kind_of,
    name_of,
    read_signature,
)
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from wslab.asgi.parameters import Parameter

__all__ = ["Overrides", "compile_plan"]

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]

_READING_ORDER = (PathParam, QueryParam, HeaderParam, CookieParam)
_CONNECTION_NAMES = {"websocket", "ws"}


def compile_plan(
    endpoint: Callable[..., Any], variables: Iterable[str] = (), overrides: Overrides | None = None
) -> Plan:
    """Read `endpoint`'s signature, and its dependencies', into a plan.

    Args:
        endpoint: an ``async def`` function.
        variables: the names of the variables in the route's path.
        overrides: what to call instead of a dependency.

    Raises:
        EndpointError: something is declared in a way that could never work.

    Example:
        >>> async def echo(ws, name: str, shout: bool = False): ...
        >>> compile_plan(echo, variables=["name"])
        <Plan of echo: path name, query shout>
    """
    _check_endpoint(endpoint)
    compiler = _Compiler(tuple(variables), overrides or {})
    arguments = compiler.arguments_of(endpoint)
    return Plan(
        endpoint=endpoint,
        arguments=arguments,
        steps=tuple(compiler.steps),
        size=compiler.size,
        yields=any(isinstance(step, Call) and step.context is not None for step in compiler.steps),
        background=compiler.background,
    )


def _check_endpoint(endpoint: Any) -> None:
    if not callable(endpoint):
        raise EndpointError(
            f"Expected an `async def` function as an endpoint, got {endpoint!r}.",
            remedy="Write the decorator directly above the function.",
        )
    name = name_of(endpoint)
    kind = kind_of(endpoint)
    if inspect.isclass(endpoint):
        problem = "it is a class"
    elif kind in {CallKind.GENERATOR, CallKind.ASYNC_GENERATOR}:
        problem = "it yields: send with `await ws.send_text(...)` instead"
    elif kind is CallKind.FUNCTION:
        problem = "it is a plain function, which could not await messages"
    else:
        _check_not_variadic(endpoint)
        return
    short = name.rpartition(".")[2]
    raise EndpointError(
        f"Expected an `async def` function as an endpoint, got {describe(endpoint)}: {problem}.",
        remedy=f"Write `async def {short if short.isidentifier() else 'endpoint'}(ws: WebSocket): ...`.",
    )


def _check_not_variadic(endpoint: Callable[..., Any]) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(endpoint).parameters.values()}
    if kinds and kinds <= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise EndpointError(
            f"{describe(endpoint)} takes only *args and **kwargs, so nothing says what to pass.",
            remedy="If it is the inside of a decorator, put @functools.wraps(function) above it.",
        )


class _Role(Enum):
    """What a parameter without a marker is filled with."""

    VALUE = auto()
    CONNECTION = auto()
    BACKGROUND = auto()
    OMITTED = auto()


class _Compiler:
    """Collects the steps of one plan."""

    def __init__(self, variables: tuple[str, ...], overrides: Overrides) -> None:
        self.steps: list[Step] = []
        self.size = BACKGROUND + 1
        self.background = False
        self._variables = variables
        self._overrides = overrides
        self._shared: dict[Hashable, int] = {}
        self._chain: list[Callable[..., Any]] = []

    def arguments_of(self, call: Callable[..., Any]) -> tuple[tuple[str, int], ...]:
        """Add the steps that fill the parameters of `call`; the result pairs names with slots."""
        if any(outer == call for outer in self._chain):
            circle = " → ".join(f"`{name_of(outer)}`" for outer in [*self._chain, call])
            raise EndpointError(
                f"The dependencies depend on each other in a circle: {circle}.",
                remedy="Move what they share into a third function that both depend on.",
            )
        self._chain.append(call)
        owner = describe(call)
        slots: dict[str, int] = {}
        parameters: list[Parameter] = []
        for argument in read_signature(call):
            marker = _marker_of(argument, owner)
            role = _Role.VALUE if marker is not None else self._role_of(argument, owner)
            if isinstance(marker, Dependency):
                slots[argument.name] = self._slot_of(marker, argument, owner)
            elif role is _Role.VALUE:
                parameters.append(self._parameter(argument, marker, owner))
            elif role is _Role.CONNECTION:
                slots[argument.name] = CONNECTION
            elif role is _Role.BACKGROUND:
                slots[argument.name] = BACKGROUND
                self.background = True
        parameters.sort(key=lambda parameter: _READING_ORDER.index(type(parameter.declared)))
        for parameter in parameters:
            slots[parameter.name] = self._new_slot()
            self.steps.append(Read(parameter, slots[parameter.name]))
        self._chain.pop()
        return tuple(slots.items())

    def _parameter(self, argument: Argument, marker: Param | None, owner: str) -> Parameter:
        from wslab.asgi.parameters import compile_parameter  # pydantic: only when there is a parameter

        return compile_parameter(argument, marker, self._variables, owner)

    def _role_of(self, argument: Argument, owner: str) -> _Role:
        found = _class_in(argument.annotation)
        if found is None:
            unnamed = argument.annotation is EMPTY and not argument.has_default
            by_name = argument.name in _CONNECTION_NAMES and argument.name not in self._variables
            return _Role.CONNECTION if unnamed and by_name else _Role.VALUE
        if issubclass(found, (Request, Response)):
            if argument.has_default:
                return _Role.OMITTED  # a dependency that HTTP routes share
            raise EndpointError(
                f"The parameter `{argument.name}` of {owner} is annotated {found.__name__}, which a "
                "WebSocket connection does not have.",
                remedy="Annotate it with WebSocket or HTTPConnection; send headers with "
                "`await websocket.accept(headers=...)`.",
            )
        if issubclass(found, HTTPConnection):
            return _Role.CONNECTION
        return _Role.BACKGROUND if issubclass(found, BackgroundTasks) else _Role.VALUE

    def _slot_of(self, dependency: Dependency, argument: Argument, owner: str) -> int:
        """The slot that holds the dependency's value; adds the steps that fill it unless they are there."""
        declared: Any = dependency.call if dependency.call is not None else argument.annotation
        if not callable(declared) or declared is EMPTY:
            raise EndpointError(
                f"The parameter `{argument.name}` of {owner} is declared with Depends(), but nothing says "
                "what to call.",
                remedy="Write Depends(function), or annotate the parameter with the class to be made.",
            )
        # Equal bound methods are different objects, so calls are compared, not identified, where they can be.
        hashable = isinstance(declared, Hashable)
        key: Hashable = declared if hashable else id(declared)
        if dependency.use_cache and key in self._shared:
            return self._shared[key]
        call: Callable[..., Any] = self._overrides.get(declared, declared) if hashable else declared
        arguments = self.arguments_of(call)
        slot = self._new_slot()
        self.steps.append(Call(call, arguments, slot, kind_of(call), context_factory(call)))
        self._shared.setdefault(key, slot)
        return slot

    def _new_slot(self) -> int:
        self.size += 1
        return self.size - 1


def _marker_of(argument: Argument, owner: str) -> Param | Dependency | None:
    """The marker in the annotation or in the default, with the default the parameter really has."""
    what = f"The parameter `{argument.name}` of {owner}"
    for item in (*argument.metadata, argument.default):
        _refuse_foreign(item, what)
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


def _refuse_foreign(item: Any, what: str) -> None:
    module, name = type(item).__module__, type(item).__name__
    if module == "fastapi.params":
        raise EndpointError(
            f"{what} is declared with FastAPI's {name}, which this framework does not read.",
            remedy=f"Import {name} from wslab.asgi instead.",
        )


def _class_in(annotation: Any) -> type | None:
    """The class in `annotation`, also in ``X | None``."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        annotation = members[0] if len(members) == 1 else None
    return annotation if inspect.isclass(annotation) and annotation is not EMPTY else None
