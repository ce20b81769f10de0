"""Reading callables: what kind they are, what they are called, and what they ask for."""

from __future__ import annotations

import contextlib
import inspect
import sys
import types
import typing
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Annotated, Any

from wslab.errors import EndpointError

if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction
else:  # its way of marking a function that returns a coroutine is asyncio's own there
    from asyncio import iscoroutinefunction

if typing.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EMPTY",
    "Argument",
    "CallKind",
    "describe",
    "innermost",
    "kind_of",
    "location_of",
    "name_of",
    "read_signature",
]

EMPTY = inspect.Parameter.empty


class CallKind(Enum):
    """How a callable is to be called."""

    FUNCTION = auto()
    COROUTINE = auto()
    GENERATOR = auto()
    ASYNC_GENERATOR = auto()


@dataclass(frozen=True, slots=True)
class Argument:
    """One declared parameter of a callable.

    Attributes:
        annotation: the type, without what `Annotated` adds; `EMPTY` when there is none.
        metadata: what `Annotated` adds.
        default: the declared default, or `EMPTY`.
    """

    name: str
    annotation: Any
    metadata: tuple[Any, ...]
    default: Any

    @property
    def has_default(self) -> bool:
        """Whether the callable can do without it."""
        return self.default is not EMPTY


def name_of(call: Callable[..., Any]) -> str:
    """The name a person would use.

    Example:
        >>> name_of(partial(print, "x"))
        'print'
    """
    while isinstance(call, partial):
        call = call.func
    return getattr(call, "__qualname__", None) or type(call).__qualname__


def innermost(call: Callable[..., Any]) -> Callable[..., Any]:
    """What `functools.partial` and `functools.wraps` are wrapped around."""
    while isinstance(call, partial):
        call = call.func
    return typing.cast("Callable[..., Any]", inspect.unwrap(call))


def location_of(call: Callable[..., Any]) -> str:
    """``file:line`` of the definition, or "" where there is no Python source."""
    target = inspect.unwrap(_routine(call))
    if inspect.isclass(target):
        target = getattr(target.__init__, "__func__", target.__init__)
    code = getattr(target, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def describe(call: Callable[..., Any]) -> str:
    """Name and place, for an error message."""
    where = location_of(call)
    return f"`{name_of(call)}` ({where})" if where else f"`{name_of(call)}`"


def kind_of(call: Callable[..., Any]) -> CallKind:
    """How `call` is to be called; a plain wrapper (`functools.wraps`) is of the kind it wraps.

    Example:
        >>> kind_of(lambda: 1)
        <CallKind.FUNCTION: 1>
    """
    outer = _routine(call)
    kind = _own_kind(outer)
    return kind if kind is not CallKind.FUNCTION else _own_kind(_routine(inspect.unwrap(outer)))


def _own_kind(routine: Callable[..., Any]) -> CallKind:
    if inspect.isasyncgenfunction(routine):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(routine):
        return CallKind.GENERATOR
    if iscoroutinefunction(routine):
        return CallKind.COROUTINE
    return CallKind.FUNCTION


def _routine(call: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when `call` is called: a function, a method or a class."""
    while isinstance(call, partial):
        call = call.func
    if inspect.isclass(call) or inspect.isroutine(call):
        return call
    return typing.cast("Callable[..., Any]", call.__call__)  # type: ignore[operator]


def read_signature(call: Callable[..., Any]) -> tuple[Argument, ...]:
    """The parameters of `call` with their annotations resolved. ``*args`` and ``**kwargs`` are left out.

    Only parameters are resolved: a return annotation that exists for the type checker alone is fine.

    Raises:
        EndpointError: there is no signature, an annotation cannot be resolved, a parameter is positional
            only, or `call` is a context manager's factory.
    """
    routine = _routine(call)
    if getattr(routine, "__globals__", None) is vars(contextlib):
        raise EndpointError(
            f"{describe(call)} is decorated with contextmanager or asynccontextmanager.",
            remedy="Remove the decorator: the framework itself makes a context manager of what yields.",
        )
    try:
        signature = inspect.signature(call)
    except (ValueError, TypeError) as error:
        raise EndpointError(
            f"Expected a callable whose parameters can be read, got {call!r}: {error}.",
            remedy="Wrap it in a function with annotated parameters.",
        ) from error
    namespace = _globals_of(routine)
    return tuple(
        _argument(call, parameter, namespace)
        for parameter in signature.parameters.values()
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    )


def _globals_of(routine: Callable[..., Any]) -> dict[str, Any]:
    target: Any = inspect.unwrap(routine)
    if inspect.isclass(target):
        makers = (getattr(target, name) for name in ("__init__", "__new__"))
        target = next((maker for maker in makers if hasattr(maker, "__globals__")), target)
    found = getattr(target, "__globals__", None)
    if found is None:
        found = vars(sys.modules.get(getattr(target, "__module__", None) or "builtins", types))
    return typing.cast("dict[str, Any]", found)


def _argument(call: Callable[..., Any], parameter: inspect.Parameter, namespace: dict[str, Any]) -> Argument:
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise EndpointError(
            f"The parameter `{parameter.name}` of {describe(call)} is positional only, but values are passed "
            "by name.",
            remedy="Remove the `/` from the signature.",
        )
    annotation, metadata = _split(_resolved(call, parameter, namespace))
    return Argument(
        name=parameter.name,
        annotation=annotation,
        metadata=metadata,
        default=parameter.default,
    )


def _resolved(call: Callable[..., Any], parameter: inspect.Parameter, namespace: dict[str, Any]) -> Any:
    if parameter.annotation is EMPTY:
        return EMPTY
    # get_type_hints resolves strings at any depth, but all of a callable's annotations at once.
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return typing.get_type_hints(holder, namespace, include_extras=True)[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise EndpointError(
            f"The annotation {_shown(parameter.annotation)} of the parameter `{parameter.name}` of "
            f"{describe(call)} cannot be resolved: {error}.",
            remedy="Define or import the name at module level (in a notebook: in a cell), not inside a "
            "function and not under TYPE_CHECKING.",
        ) from error


def _shown(annotation: Any) -> str:
    return repr(annotation) if isinstance(annotation, str) else f"`{annotation}`"


def _split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Part `annotation` into the type and what `Annotated` adds, looking through ``type X = ...``."""
    # By name: typing has the class from 3.12 on, and typing_extensions has one of its own before.
    while type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    if typing.get_origin(annotation) is Annotated:
        inner, metadata = _split(annotation.__origin__)
        return inner, (*metadata, *annotation.__metadata__)
    return annotation, ()
