"""A parameter, compiled: where its value is read from, and what it must look like.

Imports pydantic, and so is imported itself when the first parameter is declared and no sooner, since
pydantic costs more than all the rest.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
import warnings
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
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError

from wslab.asgi.lookup import MISSING, first_present, look_up, missing_error
from wslab.asgi.parameter_models import Field as ModelField
from wslab.asgi.parameter_models import ModelReader, model_in
from wslab.asgi.params import INVALID, Param, PathParam, QueryParam
from wslab.asgi.signatures import EMPTY, Argument
from wslab.errors import EndpointError

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection

__all__ = ["Parameter", "compile_parameter"]


_SEQUENCES: tuple[type, ...] = (list, tuple, set, frozenset, deque, Sequence)
_COMPOSITES: tuple[type, ...] = (Mapping, BaseModel)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What reads one value from a connection and validates it.

    Attributes:
        name: the parameter's name in Python.
        keys: the names on the wire, the preferred one first.
        declared: the marker, given or implied.
        implicit: whether there was no marker.
        repeated: whether every occurrence of the key is collected.
        adapter: pydantic's validator of the annotation and the constraints.
        reader: what collects the fields, where the value is a pydantic model.
    """

    name: str
    keys: tuple[str, ...]
    declared: Param
    implicit: bool
    repeated: bool
    adapter: TypeAdapter[Any]
    reader: ModelReader | None = None

    @property
    def key(self) -> str:
        """The name on the wire; the preferred one, where there are several."""
        return self.keys[0]

    @property
    def fields(self) -> tuple[ModelField, ...]:
        """The fields of a model, each a value of its own on the wire; empty for any other value."""
        return self.reader.fields if self.reader is not None else ()

    def read(self, connection: HTTPConnection, errors: list[dict[str, Any]]) -> Any:
        """The value of this parameter in `connection`; or `INVALID`, with the reasons added to `errors`."""
        values = getattr(connection, self.declared.attribute)
        if self.reader is not None:
            return self._read_model(self.reader, values, errors)
        key = self.keys[0] if len(self.keys) == 1 else first_present(values, self.keys)
        raw = look_up(values, key, repeated=self.repeated)
        location = (self.declared.source, key)
        if raw is MISSING:
            return self._default(location, errors)
        return self._validated(raw, errors, lambda found: (*location, *found))

    def _read_model(
        self, reader: ModelReader, values: Mapping[str, Any], errors: list[dict[str, Any]]
    ) -> Any:
        raw, renamed = reader.collect(values)
        source = self.declared.source
        if raw is MISSING:
            return self._default((source,), errors)
        return self._validated(raw, errors, lambda found: (source, *reader.located(found, renamed)))

    def _default(self, location: tuple[str, ...], errors: list[dict[str, Any]]) -> Any:
        declared = self.declared
        if declared.required:
            errors.append(missing_error(*location))
            return INVALID
        # A mutable default is one object: a connection must not see what another did to it.
        value = declared.default_factory() if declared.default_factory else deepcopy(declared.default)
        if declared.validate_default:
            return self._validated(value, errors, lambda found: (*location, *found))
        return value

    def _validated(
        self,
        value: Any,
        errors: list[dict[str, Any]],
        located: Callable[[tuple[int | str, ...]], tuple[int | str, ...]],
    ) -> Any:
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
            errors.extend({**each, "loc": located(each["loc"])} for each in found)
            return INVALID


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
    variables = list(variables)
    _check_default(what, argument)
    declared = marker if marker is not None else _implied(argument, variables)
    declared = _supplemented(declared, argument)
    keys = declared.keys(argument.name)
    if isinstance(declared, PathParam):  # a path has one of several names, and that once and for all
        keys = tuple(key for key in keys if key in variables)[:1] or keys[:1]
    _check_place(what, argument.name, keys[0], declared, variables)
    model = None if marker is None or isinstance(marker, PathParam) else model_in(argument.annotation)
    if model is not None and not _is_json(argument):
        return _model_parameter(what, argument, declared, model)
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
        keys=keys,
        declared=declared,
        implicit=marker is None,
        repeated=shape is _Shape.SEQUENCE,
        adapter=_adapter(what, argument, declared),
    )


def _model_parameter(what: str, argument: Argument, declared: Param, model: type[BaseModel]) -> Parameter:
    optional = argument.annotation is not model
    reader = ModelReader(
        model,
        declared,
        optional=optional,
        is_repeated=lambda annotation: _shape(annotation) is _Shape.SEQUENCE,
    )
    return Parameter(
        name=argument.name,
        keys=declared.keys(argument.name),
        declared=declared,
        implicit=False,
        repeated=False,
        adapter=_adapter(what, argument, declared),
        reader=reader,
    )


def _check_default(what: str, argument: Argument) -> None:
    if isinstance(argument.default, FieldInfo):
        raise EndpointError(
            f"{what} has pydantic's Field() as its default, which does not say where the value comes from.",
            remedy="Write Query(), Header() or Cookie() with the same keywords, or move it into Annotated.",
        )


def _supplemented(declared: Param, argument: Argument) -> Param:
    """The marker with what pydantic's `Field` in the annotation says and the marker does not."""
    fields = [item for item in argument.metadata if isinstance(item, FieldInfo)]
    if not fields:
        return declared
    annotation: Any = Annotated[(argument.annotation, *fields)]
    said = FieldInfo.from_annotation(annotation)
    changes: dict[str, Any] = {}
    for name in ("alias", "validation_alias", "title", "description"):
        if getattr(declared, name) is None and getattr(said, name) is not None:
            changes[name] = getattr(said, name)
    if said.validate_default:
        changes["validate_default"] = True
    if said.default_factory is not None and declared.required and not isinstance(declared, PathParam):
        changes["default_factory"] = said.default_factory
    return dataclasses.replace(declared, **changes)


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


def _is_json(argument: Argument) -> bool:
    return any(type(item) is Json for item in argument.metadata)


def _shape_of(argument: Argument) -> _Shape:
    # A text that pydantic parses as JSON is one value on the wire, whatever comes out of it.
    return _Shape.SCALAR if _is_json(argument) else _shape(argument.annotation)


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
    said = {**declared.constraints, **_shown_in_schema(declared)}
    if said:
        others.append(Field(**said))
    try:
        with warnings.catch_warnings():
            # A Field() in the annotation may carry an alias or a default: they are the marker's now.
            warnings.filterwarnings("ignore", "The .* attribute with value .* was provided to the `Field")
            return TypeAdapter[Any](Annotated[(annotation, *others)] if others else annotation)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise EndpointError(
            f"{what} is annotated {_shown(annotation)}, which pydantic cannot validate: {why}.",
            remedy="Annotate it with a type such as str, int, bool or an Enum; for an object that your "
            "program makes, declare how: `Depends(function)`.",
        ) from error


def _shown_in_schema(declared: Param) -> dict[str, Any]:
    names = ("examples", "deprecated", "json_schema_extra")
    return {name: declared.documentation[name] for name in names if name in declared.documentation}


def _shown(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)
