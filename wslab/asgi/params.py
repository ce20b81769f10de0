"""Where a parameter's value is read from: `Path`, `Query`, `Header` and `Cookie`.

A marker is a plain frozen value: it says what was declared and does nothing. `wslab.asgi.parameters`
turns it, together with the parameter's annotation, into something that reads and validates.

The four public names are functions that return `Any`, so that ``limit: int = Query(10)`` type-checks.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict, Unpack

from wslab.asgi.dependencies import Dependency as Depends
from wslab.asgi.dependencies import Dependency as Security
from wslab.errors import EndpointError

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping

    from pydantic import AliasChoices, AliasPath, Discriminator

__all__ = [
    "INVALID",
    "Constraints",
    "Cookie",
    "CookieParam",
    "Depends",
    "Header",
    "HeaderParam",
    "Options",
    "Param",
    "Path",
    "PathParam",
    "Query",
    "QueryParam",
    "Security",
]


class _Invalid:
    def __repr__(self) -> str:
        return "INVALID"


INVALID = _Invalid()  # stands where a value could not be had; None may be a value


class Constraints(TypedDict, total=False):
    """What a value must satisfy, in the words of `pydantic.Field`.

    `gt`, `ge`, `lt`, `le` bound a number and `multiple_of` divides it; `min_length` and `max_length`
    count characters, or the elements of a list; `pattern` is a regular expression that a text must
    match; `strict` refuses a value of another type instead of converting it; `allow_inf_nan`, `max_digits`
    and `decimal_places` are for floats and decimals; `discriminator`, `union_mode` and `fail_fast` say how
    a union or a list is validated.
    """

    gt: float
    ge: float
    lt: float
    le: float
    multiple_of: float
    min_length: int
    max_length: int
    pattern: str | re.Pattern[str]
    strict: bool
    allow_inf_nan: bool
    max_digits: int
    decimal_places: int
    discriminator: str | Discriminator
    union_mode: Literal["smart", "left_to_right"]
    fail_fast: bool


class Options(Constraints, total=False):
    """The keywords that every marker takes beside its own.

    `validation_alias` is the name on the wire, and wins over `alias`; an `AliasChoices` of texts lists
    several, of which the first that the client sent is read. `validate_default` has the default
    validated as well. `examples`, `deprecated`, `include_in_schema` and `json_schema_extra` are for the
    documentation of the route. `openapi_examples`, `serialization_alias` and `alias_priority` are
    accepted, as FastAPI does, and have no effect here; `regex` and `example` are older names for
    `pattern` and `examples`.
    """

    validation_alias: str | AliasPath | AliasChoices
    validate_default: bool
    examples: list[Any]
    deprecated: bool | str
    include_in_schema: bool
    json_schema_extra: dict[str, Any]
    openapi_examples: dict[str, Any]
    serialization_alias: str
    alias_priority: int
    regex: str
    example: Any


_DOCUMENTATION = ("examples", "deprecated", "include_in_schema", "json_schema_extra", "openapi_examples")
_RENAMED = {"regex": "pattern", "example": "examples"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """What was declared about one parameter.

    Attributes:
        source: the first element of an error's `loc`.
        attribute: the attribute of the connection that holds the values.
        default: used when the client sends nothing; `...` makes the parameter required.
        default_factory: called for a default instead, once for each connection.
        alias: the name on the wire, when it differs from the parameter's.
        constraints: keywords for `pydantic.Field`.
    """

    source: ClassVar[str]
    attribute: ClassVar[str]

    default: Any = ...
    default_factory: Callable[[], Any] | None = None
    alias: str | None = None
    validation_alias: str | AliasPath | AliasChoices | None = None
    validate_default: bool = False
    title: str | None = None
    description: str | None = None
    constraints: Mapping[str, Any] = field(default_factory=dict)
    documentation: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.default is not ... and self.default_factory is not None:
            raise EndpointError(
                f"Expected a default or a default_factory for a {self.source} parameter, got both.",
                remedy="Keep one of them.",
            )

    @property
    def required(self) -> bool:
        """Whether the client must send a value."""
        return self.default is ... and self.default_factory is None

    def key(self, name: str) -> str:
        """The name on the wire of the parameter called `name`: the first, where there are several."""
        return self.keys(name)[0]

    def keys(self, name: str) -> tuple[str, ...]:
        """Every name under which the parameter called `name` is looked for, in this order."""
        choices = getattr(self.validation_alias, "choices", None)
        if choices and all(isinstance(choice, str) for choice in choices):
            return tuple(choices)
        # A path into a structure leads nowhere in a handshake: the alias or the name remain, as in FastAPI.
        if isinstance(self.validation_alias, str) and self.validation_alias:
            return (self.validation_alias,)
        return (self.alias or self._implied(name),)

    def _implied(self, name: str) -> str:
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class PathParam(Param):
    """A variable of the route's path."""

    source = "path"
    attribute = "path_params"

    def __post_init__(self) -> None:
        if self.default is not ... or self.default_factory is not None:
            raise EndpointError(
                f"Expected no default in Path(), got {self.default!r}.",
                remedy="A path variable is always there: leave the default out.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryParam(Param):
    """A part of the query string."""

    source = "query"
    attribute = "query_params"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderParam(Param):
    """A header of the opening handshake."""

    source = "header"
    attribute = "headers"

    convert_underscores: bool = True

    def _implied(self, name: str) -> str:
        return name.replace("_", "-") if self.convert_underscores else name


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieParam(Param):
    """A cookie of the opening handshake."""

    source = "cookie"
    attribute = "cookies"


def _sorted(marker: str, options: Options) -> dict[str, Any]:
    """The options as fields of `Param`."""
    given: dict[str, Any] = {}
    for name, value in options.items():
        if name not in Options.__annotations__:
            raise EndpointError(
                f"{marker}() got the unknown keyword {name!r}.",
                remedy=f"Known keywords: {', '.join(Options.__annotations__)}.",
            )
        known = _RENAMED.get(name, name)
        if value is None:
            continue
        if known != name:
            # Level 3: the line that calls Query(), and not this module.
            warnings.warn(f"{marker}({name}=...) is now {known}=.", DeprecationWarning, stacklevel=3)
            value = [value] if name == "example" else value  # noqa: PLW2901 - the same value, by its new name
        given[known] = value
    fields: dict[str, Any] = {
        name: given[name] for name in ("validation_alias", "validate_default") if name in given
    }
    fields["constraints"] = {name: given[name] for name in given if name in Constraints.__annotations__}
    fields["documentation"] = {name: given[name] for name in given if name in _DOCUMENTATION}
    return fields


def Path(  # noqa: N802 - the name that FastAPI's users know
    default: Any = ...,
    *,
    alias: str | None = None,
    title: str | None = None,
    description: str | None = None,
    **options: Unpack[Options],
) -> Any:
    """Declare a variable of the path.

    Args:
        default: nothing or `...`: a path variable is always there.
        alias: the variable's name in the path, when the parameter is called otherwise.
        title: a name for people.
        description: what the value means.
        **options: what a value must satisfy, `gt` for one, and other keywords: see `Options`.

    Raises:
        EndpointError: a default is given, or a keyword is unknown.

    Example:
        >>> async def room(ws, number: int = Path(ge=1, le=99)): ...
    """
    return PathParam(
        default=default,
        alias=alias,
        title=title,
        description=description,
        **_sorted("Path", options),
    )


def Query(  # noqa: N802 - the name that FastAPI's users know
    default: Any = ...,
    *,
    default_factory: Callable[[], Any] | None = None,
    alias: str | None = None,
    title: str | None = None,
    description: str | None = None,
    **options: Unpack[Options],
) -> Any:
    """Declare a query parameter; one annotated as a list collects every occurrence of its name.

    Args:
        default: used when the query lacks the name; without one the parameter is required. It is not
            validated, as in FastAPI.
        default_factory: called for a default instead, once for each connection.
        alias: the name in the query, when the parameter is called otherwise.
        title: a name for people.
        description: what the value means.
        **options: what a value must satisfy, `gt` for one, and other keywords: see `Options`.

    Raises:
        EndpointError: both a default and a default_factory are given, or a keyword is unknown.

    Example:
        >>> async def echo(ws, shout: bool = Query(False), tag: list[str] = Query([], max_length=3)): ...
    """
    return QueryParam(
        default=default,
        default_factory=default_factory,
        alias=alias,
        title=title,
        description=description,
        **_sorted("Query", options),
    )


def Header(  # noqa: N802 - the name that FastAPI's users know
    default: Any = ...,
    *,
    default_factory: Callable[[], Any] | None = None,
    alias: str | None = None,
    convert_underscores: bool = True,
    title: str | None = None,
    description: str | None = None,
    **options: Unpack[Options],
) -> Any:
    """Declare a header of the opening handshake.

    A page in a browser can set no header of a WebSocket but ``Sec-WebSocket-Protocol``; other clients
    can set any.

    Args:
        default: used when the header is missing; without one the parameter is required.
        default_factory: called for a default instead, once for each connection.
        alias: the header's name, when it is not the parameter's.
        convert_underscores: whether the parameter `user_agent` reads the header ``user-agent``.
        title: a name for people.
        description: what the value means.
        **options: what a value must satisfy, `gt` for one, and other keywords: see `Options`.

    Raises:
        EndpointError: both a default and a default_factory are given, or a keyword is unknown.

    Example:
        >>> async def chat(ws, user_agent: str = Header("")): ...
    """
    return HeaderParam(
        default=default,
        default_factory=default_factory,
        alias=alias,
        convert_underscores=convert_underscores,
        title=title,
        description=description,
        **_sorted("Header", options),
    )


def Cookie(  # noqa: N802 - the name that FastAPI's users know
    default: Any = ...,
    *,
    default_factory: Callable[[], Any] | None = None,
    alias: str | None = None,
    title: str | None = None,
    description: str | None = None,
    **options: Unpack[Options],
) -> Any:
    """Declare a cookie of the opening handshake.

    Args:
        default: used when the cookie is missing; without one the parameter is required.
        default_factory: called for a default instead, once for each connection.
        alias: the cookie's name, when it is not the parameter's.
        title: a name for people.
        description: what the value means.
        **options: what a value must satisfy, `gt` for one, and other keywords: see `Options`.

    Raises:
        EndpointError: both a default and a default_factory are given, or a keyword is unknown.

    Example:
        >>> async def chat(ws, session: str | None = Cookie(None)): ...
    """
    return CookieParam(
        default=default,
        default_factory=default_factory,
        alias=alias,
        title=title,
        description=description,
        **_sorted("Cookie", options),
    )
