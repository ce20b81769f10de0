"""JSON schemas as AsyncAPI 3.0 has them: draft 07 with a few words of its own.

Pydantic writes draft 2020-12; what differs is put into the older words here.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Annotated, Any, Literal

from pydantic import PydanticInvalidForJsonSchema, PydanticUserError, TypeAdapter

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Schemas", "name_for", "variants"]

Mode = Literal["validation", "serialization"]

_REFERENCE = "#/components/schemas/{model}"
_UNNAMED = re.compile(r"[^\w.-]+", re.ASCII)


class Schemas:
    """Collects types, and makes all of their schemas at once, so that each has one name.

    Example:
        >>> schemas = Schemas()
        >>> key = schemas.add(int)
        >>> schemas.finish()
        {}
        >>> schemas[key]
        {'type': 'integer'}
    """

    def __init__(self) -> None:
        self._wanted: list[tuple[int, Mode, TypeAdapter[Any]]] = []
        self._made: dict[int, dict[str, Any]] = {}

    def add(self, kind: Any, mode: Mode = "validation") -> int:
        """Take a type, or an adapter of one; the result is the key of its schema."""
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter[Any](kind)
        self._wanted.append((len(self._wanted), mode, adapter))
        return len(self._wanted) - 1

    def finish(self) -> dict[str, Any]:
        """Make all schemas; the result are the ones that others refer to, by name."""
        try:
            made, rest = TypeAdapter.json_schemas(self._wanted, ref_template=_REFERENCE)
        except (PydanticInvalidForJsonSchema, PydanticUserError):
            # One of them has none, such as a class that only validates instances: which one?
            made, rest = self._one_by_one()
        self._made = {key: _older(schema) for (key, _), schema in made.items()}
        return {_UNNAMED.sub("_", name): _older(schema) for name, schema in rest.get("$defs", {}).items()}

    def _one_by_one(self) -> tuple[Any, dict[str, Any]]:
        describable = []
        for wanted in self._wanted:
            try:
                TypeAdapter.json_schemas([wanted])
            except (PydanticInvalidForJsonSchema, PydanticUserError):
                continue
            describable.append(wanted)
        return TypeAdapter.json_schemas(describable, ref_template=_REFERENCE)

    def __getitem__(self, key: int) -> dict[str, Any]:
        return self._made.get(key, {})  # {} allows anything: nothing is known


def _older(schema: Any) -> Any:
    """`schema` in the words of AsyncAPI 3.0."""
    if isinstance(schema, list):
        return [_older(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    older: dict[str, Any] = {}
    for word, value in schema.items():
        if word in {"properties", "patternProperties"}:  # names of the user's, not words
            older[word] = {name: _older(each) for name, each in value.items()}
        elif word in {"const", "default", "enum", "examples"}:  # data
            older[word] = value
        elif word == "$ref":
            prefix, _, name = value.rpartition("/")
            older[word] = f"{prefix}/{_UNNAMED.sub('_', name)}"
        else:
            older[word] = _older(value)
    if isinstance(schema.get("discriminator"), dict):  # its mapping has no place; members have constants
        older["discriminator"] = schema["discriminator"]["propertyName"]
    if "prefixItems" in older:
        beyond = older.pop("items", None)
        older["items"] = older.pop("prefixItems")
        if beyond is not None:
            older["additionalItems"] = beyond
    return older


def variants(kind: Any) -> Iterator[Any]:
    """The members of a union, at any depth; also in `Annotated`, a ``type`` alias or a list of types."""
    while type(kind).__name__ == "TypeAliasType":
        kind = kind.__value__
    if isinstance(kind, (list, tuple)):
        members: typing.Iterable[Any] = kind
    elif typing.get_origin(kind) in {typing.Union, types.UnionType}:
        members = typing.get_args(kind)
    elif typing.get_origin(kind) is Annotated and _is_union(kind.__origin__):
        members = [kind.__origin__]
    else:
        yield kind
        return
    for member in members:
        yield from variants(member)


def _is_union(kind: Any) -> bool:
    while type(kind).__name__ == "TypeAliasType":
        kind = kind.__value__
    return typing.get_origin(kind) in {typing.Union, types.UnionType}


def name_for(kind: Any, taken: typing.Container[str]) -> str:
    """A name that a component of AsyncAPI may have, and that is not `taken`.

    Example:
        >>> name_for(list[int], {"list_int"})
        'list_int_2'
    """
    while typing.get_origin(kind) is Annotated:
        kind = kind.__origin__
    plain = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    name = _UNNAMED.sub("_", plain).strip("_") or "message"
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
