"""A pydantic model that is filled from the whole query, from all headers or from all cookies.

Each field is a value of its own on the wire, under its alias; a repeated name fills a list. What the model
does about names that it does not know (`extra` in its configuration) is up to the model: it sees them all.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, is_dataclass
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, Json
from starlette.datastructures import Headers, QueryParams

from wslab.asgi.lookup import MISSING, first_present, look_up
from wslab.asgi.params import HeaderParam

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic.fields import FieldInfo

    from wslab.asgi.params import Param

__all__ = ["Field", "ModelReader", "model_in"]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that `annotation` is, or is beside None.

    Example:
        >>> model_in(int) is None
        True
    """
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        annotation = members[0] if len(members) == 1 else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a model.

    Attributes:
        name: the field's name in Python.
        aliases: pairs of the name that the model knows and the name on the wire, the preferred one first.
        repeated: whether every occurrence of the name is collected.
        info: what pydantic knows about it.
    """

    name: str
    aliases: tuple[tuple[str, str], ...]
    repeated: bool
    info: FieldInfo

    @property
    def key(self) -> str:
        """The name on the wire, the preferred one."""
        return self.aliases[0][1]


class ModelReader:
    """What collects the input of a model from a connection.

    Args:
        model: the model.
        declared: the marker of the parameter.
        optional: whether None may stand for a model of which the client sent nothing.
        is_repeated: tells by a field's annotation whether it collects every occurrence.

    Attributes:
        fields: the model's fields.
    """

    def __init__(
        self,
        model: type[BaseModel],
        declared: Param,
        *,
        optional: bool,
        is_repeated: Callable[[Any], bool],
    ) -> None:
        dashes = isinstance(declared, HeaderParam) and declared.convert_underscores
        self.model = model
        self.fields = tuple(
            Field(name, _aliases(model, name, info, dashes=dashes), _repeats(info, is_repeated), info)
            for name, info in model.model_fields.items()
        )
        self._optional = optional
        self._takes_extras = model.model_config.get("extra") in {"allow", "forbid"}
        self._names = {pair[1] for field in self.fields for pair in field.aliases}
        if isinstance(declared, HeaderParam):
            self._names = {name.lower() for name in self._names}

    def collect(self, values: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
        """The model's input, or `MISSING`; and the names on the wire of the names that the model knows."""
        collected: dict[str, Any] = {}
        read: set[str] = set()
        renamed: dict[str, str] = {}
        is_headers = isinstance(values, Headers)
        for field in self.fields:
            key = first_present(values, [on_wire for _, on_wire in field.aliases])
            known_as = next(known for known, on_wire in field.aliases if on_wire == key)
            value = look_up(values, key, repeated=field.repeated)
            if value is not MISSING:
                collected[known_as] = value
            read.add(key.lower() if is_headers else key)
            if is_headers:
                # `user_agent` is no second way to send ``user-agent``.
                read.update(known.lower() for known, on_wire in field.aliases if known != on_wire)
            if known_as != key:
                renamed[field.name] = key
        collected.update(_others(values, read))
        nothing_sent = self._names.isdisjoint(values) and not (self._takes_extras and collected)
        return (MISSING if self._optional and nothing_sent else collected), renamed

    def located(self, location: tuple[int | str, ...], renamed: Mapping[str, str]) -> tuple[int | str, ...]:
        """The location of an error with the name on the wire in place of the model's."""
        if location and location[0] in renamed and self.model.model_config.get("loc_by_alias", True):
            return (renamed[str(location[0])], *location[1:])
        return location


def _aliases(
    model: type[BaseModel], name: str, info: FieldInfo, *, dashes: bool
) -> tuple[tuple[str, str], ...]:
    validation_alias = info.validation_alias
    alias = validation_alias if isinstance(validation_alias, str) and validation_alias else info.alias or name
    pairs = [(alias, alias.replace("_", "-") if dashes and alias == name else alias)]
    if isinstance(validation_alias, AliasPath):
        return tuple(pairs)
    if isinstance(validation_alias, AliasChoices):
        texts = [choice for choice in validation_alias.choices if isinstance(choice, str)]
        if len(texts) < len(validation_alias.choices):
            return tuple(pairs)
        pairs = [(choice, choice) for choice in texts]
    config = {} if _has_own_configuration(info.annotation) else model.model_config
    own = (name, name.replace("_", "-") if dashes else name)
    if config.get("validate_by_alias") is False:
        return (own,)
    by_name = config.get("validate_by_name", config.get("populate_by_name", False))
    if by_name and name not in {known for known, _ in pairs}:
        pairs.append(own)
    return tuple(pairs)


def _has_own_configuration(annotation: Any) -> bool:
    is_class = isinstance(annotation, type)
    return is_dataclass(annotation) or (is_class and issubclass(annotation, (BaseModel, dict)))


def _repeats(info: FieldInfo, is_repeated: Callable[[Any], bool]) -> bool:
    return not any(type(item) is Json for item in info.metadata) and is_repeated(info.annotation)


def _others(values: Mapping[str, Any], read: set[str]) -> Iterator[tuple[str, Any]]:
    """What the model's fields have not taken: one text, or a list where a name occurs more than once."""
    grouped: dict[str, list[Any]] = {}
    pairs = values.multi_items() if isinstance(values, QueryParams) else values.items()
    for key, value in pairs:
        if key not in read:
            grouped.setdefault(key, []).append(value)
    for key, found in grouped.items():
        yield key, found[0] if len(found) == 1 else found
