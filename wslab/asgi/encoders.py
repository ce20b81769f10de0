"""`jsonable_encoder`: what `json.dumps` takes, of almost anything; with FastAPI's results."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import re
from collections import deque
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import GeneratorType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import AnyUrl, BaseModel, NameEmail, SecretBytes, SecretStr
from pydantic_core import PydanticUndefined, Url

from wslab.errors import WSLabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ENCODERS_BY_TYPE", "NotEncodableError", "decimal_encoder", "isoformat", "jsonable_encoder"]

# By name: importing them costs, and the first is deprecated.
_COLOURS = {"pydantic.color", "pydantic_extra_types.color"}
_SEQUENCES = (list, tuple, set, frozenset, deque, GeneratorType)


class NotEncodableError(WSLabError, ValueError):
    """A value has no form in JSON."""


def isoformat(o: dt.date | dt.time) -> str:
    """A date, a time or both as ISO 8601."""
    return o.isoformat()


def decimal_encoder(dec_value: Decimal) -> int | float:
    """An int where the decimal has no digits after the point, else a float.

    Example:
        >>> decimal_encoder(Decimal("7")), decimal_encoder(Decimal("7.0"))
        (7, 7.0)
    """
    exponent = dec_value.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent >= 0  # NaN and infinities have letters there
    return int(dec_value) if whole else float(dec_value)


ENCODERS_BY_TYPE: dict[type[Any], Callable[[Any], Any]] = {
    bytes: bytes.decode,
    dt.date: isoformat,
    dt.datetime: isoformat,
    dt.time: isoformat,
    dt.timedelta: dt.timedelta.total_seconds,
    Decimal: decimal_encoder,
    ipaddress.IPv4Address: str,
    ipaddress.IPv4Interface: str,
    ipaddress.IPv4Network: str,
    ipaddress.IPv6Address: str,
    ipaddress.IPv6Interface: str,
    ipaddress.IPv6Network: str,
    NameEmail: str,
    re.Pattern: lambda pattern: pattern.pattern,
    SecretBytes: str,
    SecretStr: str,
    UUID: str,
    Url: str,
    AnyUrl: str,
}
"""How values of a class, and of those derived from it, are encoded that JSON does not have."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Options:
    by_alias: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool
    custom: Mapping[Any, Callable[[Any], Any]]
    sqlalchemy_safe: bool


def jsonable_encoder(  # noqa: PLR0917 - positional in FastAPI
    obj: Any,
    include: Any = None,
    exclude: Any = None,
    by_alias: bool = True,
    exclude_unset: bool = False,
    exclude_defaults: bool = False,
    exclude_none: bool = False,
    custom_encoder: Mapping[Any, Callable[[Any], Any]] | None = None,
    sqlalchemy_safe: bool = True,
) -> Any:
    """`obj` as dicts, lists, strings, numbers, booleans and None.

    Takes pydantic models, dataclasses, enums, dates, UUIDs, sets, bytes (as UTF-8), paths, URLs, decimals
    and what `dict()` or `vars()` can take apart.

    Args:
        obj: the value.
        include: which fields of a model, or keys of a mapping, to keep; as of `BaseModel.model_dump`.
        exclude: which to leave out.
        by_alias: whether models are written with their fields' aliases.
        exclude_unset: whether to leave out the fields of models that were not set.
        exclude_defaults: whether to leave out the fields of models that have their default.
        exclude_none: whether to leave out what is None in models and mappings.
        custom_encoder: by class, what to do instead.
        sqlalchemy_safe: whether to leave out keys that begin with ``_sa``, as SQLAlchemy's objects have.

    Raises:
        NotEncodableError: it has no form in JSON.

    Example:
        >>> jsonable_encoder({"at": dt.date(2026, 1, 2), "tags": {"a"}})
        {'at': '2026-01-02', 'tags': ['a']}
    """
    options = _Options(
        by_alias, exclude_unset, exclude_defaults, exclude_none, custom_encoder or {}, sqlalchemy_safe
    )
    return _encode(obj, options, _as_set(include), _as_set(exclude))


def _as_set(fields: Any) -> Any:
    return fields if fields is None or isinstance(fields, (set, dict)) else set(fields)


def _encode(  # noqa: PLR0911 - a table of cases, whose order matters
    obj: Any, options: _Options, include: Any = None, exclude: Any = None
) -> Any:
    custom = _encoder_for(obj, options.custom)
    if custom is not None:
        return custom(obj)
    if isinstance(obj, BaseModel):
        return _encode_model(obj, options, include, exclude)
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return _encode(dataclasses.asdict(obj), options, include, exclude)
    if isinstance(obj, Enum):
        return obj.value
    if isinstance(obj, PurePath) or type(obj).__module__ in _COLOURS:
        return str(obj)
    if obj is None or isinstance(obj, (str, int, float)):
        return obj
    if obj is PydanticUndefined:
        return None
    if isinstance(obj, dict):
        return _encode_dict(obj, options, include, exclude)
    if isinstance(obj, _SEQUENCES):
        return [_encode(item, options, include, exclude) for item in obj]
    encoder = _encoder_for(obj, ENCODERS_BY_TYPE)
    return encoder(obj) if encoder is not None else _encode(_taken_apart(obj), options, include, exclude)


def _encoder_for(obj: Any, encoders: Mapping[Any, Callable[[Any], Any]]) -> Callable[[Any], Any] | None:
    exact = encoders.get(type(obj))
    return exact or next((encoder for kind, encoder in encoders.items() if isinstance(obj, kind)), None)


def _encode_model(obj: BaseModel, options: _Options, include: Any, exclude: Any) -> Any:
    dumped = obj.model_dump(
        mode="json",
        include=include,
        exclude=exclude,
        by_alias=options.by_alias,
        exclude_unset=options.exclude_unset,
        exclude_defaults=options.exclude_defaults,
        exclude_none=options.exclude_none,
    )
    # What a model's own serializer left is JSON already: custom encoders are for what stands outside.
    return _encode(dumped, dataclasses.replace(options, custom={}))


def _encode_dict(obj: dict[Any, Any], options: _Options, include: Any, exclude: Any) -> dict[Any, Any]:
    return {
        _encode(key, options): _encode(value, options)
        for key, value in obj.items()
        if (include is None or key in include)
        and (exclude is None or key not in exclude)
        and not (value is None and options.exclude_none)
        and not (options.sqlalchemy_safe and isinstance(key, str) and key.startswith("_sa"))
    }


def _taken_apart(obj: Any) -> dict[Any, Any]:
    try:
        return dict(obj)
    except (TypeError, ValueError):
        try:
            return dict(vars(obj))
        except TypeError as error:
            raise NotEncodableError(
                f"Expected a value with a form in JSON, got {type(obj).__name__}.",
                remedy="Convert it first, or pass custom_encoder={its class: a function}.",
            ) from error
