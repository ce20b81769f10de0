"""A parameter, compiled: where its value is read from, and what it must look like.

The only module of the framework that imports pydantic; it is imported itself when the first parameter
is declared, since pydantic costs more than all the rest.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from enum import Enum, auto
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Field,
    Json,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import SchemaError

from wslab.asgi.params import INVALID, Param, PathParam, QueryParam
from wslab.asgi.signatures import EMPTY, Argument
from wslab.errors import EndpointError

if typing.TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["Parameter", "compile_parameter"]


_SEQUENCES: tuple[type, ...] = (list, tuple, set, frozenset, deque, Sequence)
_COMPOSITES: tuple[type, ...] = (Mapping, BaseModel)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What reads one value from a connection and validates it.

    Attributes:
        name: the parameter's name in Python.
        key: the name on the wire.
        declared: the marker, given or implied.
        implicit: whether there was no marker.
        repeated: whether every occurrence of the key is collected.
        adapter: pydantic's validator of the annotation and the constraints.
    """

    name: str
    key: str
    declared: Param
    implicit: bool
    repeated: bool
    adapter: TypeAdapter[Any]

    def read(self, connection: HTTPConnection, errors: list[dict[str, Any]]) -> Any:
        """The value of this parameter in `connection`; or `INVALID`, with the reasons added to `errors`."""
        raw = self._raw(connection)
        location = (self.declared.source, self.key)
        if raw is None:
            if self.declared.required:
                errors.append({"type": "missing", "loc": location, "msg": "Field required", "input": None})
                return INVALID
            if self.declared.default_factory is not None:
                return self.declared.default_factory()
            # A mutable default is one object: a connection must not see what another did to it.
            return deepcopy(self.declared.default)
        try:
            return self.adapter.validate_python(raw)
        except ValidationError as error:
            found = error.errors(include_url=False)
            errors.extend({**each, "loc": (*location, *each["loc"])} for each in found)
            return INVALID

    def _raw(self, connection: HTTPConnection) -> Any:
        values = getattr(connection, self.declared.attribute)
        if self.repeated and hasattr(values, "getlist"):
            return values.getlist(self.key) or None
        return values.get(self.key)


class _Shape(Enum):
    SCALAR = auto()
    SEQUENCE = auto()
    OTHER = auto()


def compile_parameter(
    argument: Argument, marker: Param | None, variables: Iterable[str], owner: str
) -> Parameter:
    """Turn a declared argument into what reads it.

    Args:
        argument: the argument, its default included.
        marker: `Path(...)`, `Query(...)` and so on, or None where nothing was said.
        variables: the names of the path's variables.
        owner: the callable the argument belongs to, for error messages.

    Raises:
        EndpointError: the declaration could never work.
    """
    what = f"The parameter `{argument.name}` of {owner}"
    declared = marker if marker is not None else _implied(argument, variables)
    key = declared.key(argument.name)
    _check_place(what, argument.name, key, declared, list(variables))
    shape = _shape_of(argument)
    if shape is _Shape.OTHER or (shape is _Shape.SEQUENCE and isinstance(declared, PathParam)):
        raise EndpointError(
            f"{what} is annotated {_shown(argument.annotation)}, which a {declared.source} cannot carry: "
            "expected a scalar such as str or int, or a list of scalars outside of the path.",
            remedy="A handshake has no body. Receive the object with `await websocket.receive_json()`, or "
            "make it a dependency: `Annotated[..., Depends()]`.",
        )
    return Parameter(
        name=argument.name,
        key=key,
        declared=declared,
        implicit=marker is None,
        repeated=shape is _Shape.SEQUENCE,
        adapter=_adapter(what, argument, declared),
    )


def _implied(argument: Argument, variables: Iterable[str]) -> Param:
    if argument.name in variables:
        return PathParam()  # a default has no effect: the variable is always there
    return QueryParam(default=argument.default if argument.has_default else ...)


def _check_place(what: str, name: str, key: str, declared: Param, variables: list[str]) -> None:
    listed = ", ".join(f"{{{variable}}}" for variable in variables) or "none"
    if isinstance(declared, PathParam) and key not in variables:
        raise EndpointError(
            f"{what} is declared with Path(), but the path has no variable {{{key}}}; it has: {listed}.",
            remedy=f"Write {{{key}}} into the path, or declare the parameter with Query().",
        )
    if not isinstance(declared, PathParam) and name in variables:
        raise EndpointError(
            f"{what} has the name of a variable of the path, but is declared as a {declared.source} value.",
            remedy="Declare it with Path(), or give it another name and set alias=.",
        )


def _shape_of(argument: Argument) -> _Shape:
    # A text that pydantic parses as JSON is one value on the wire, whatever comes out of it.
    if any(type(item) is Json for item in argument.metadata):
        return _Shape.SCALAR
    return _shape(argument.annotation)


def _shape(annotation: Any) -> _Shape:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _shape(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType}:
        shapes = {_shape(member) for member in typing.get_args(annotation)}
        return max(shapes, key=lambda shape: shape.value)
    kind: Any = origin or annotation
    if not inspect.isclass(kind) or issubclass(kind, (str, bytes)):
        return _Shape.SCALAR
    if issubclass(kind, _SEQUENCES):
        members = {_shape(member) for member in typing.get_args(annotation) if member is not Ellipsis}
        return _Shape.SEQUENCE if members <= {_Shape.SCALAR} else _Shape.OTHER
    composite = issubclass(kind, _COMPOSITES) or is_dataclass(kind)
    return _Shape.OTHER if composite else _Shape.SCALAR


def _adapter(what: str, argument: Argument, declared: Param) -> TypeAdapter[Any]:
    annotation: Any = Any if argument.annotation is EMPTY else argument.annotation
    others = [item for item in argument.metadata if not isinstance(item, Param)]
    if declared.constraints:
        others.append(Field(**declared.constraints))
    try:
        return TypeAdapter[Any](Annotated[(annotation, *others)] if others else annotation)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise EndpointError(
            f"{what} is annotated {_shown(annotation)}, which pydantic cannot validate: {why}.",
            remedy="Annotate it with a type such as str, int, bool or an Enum; for an object that your "
            "program makes, declare how: `Depends(function)`.",
        ) from error


def _shown(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)
