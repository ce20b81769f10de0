"""Finding values by their names in what a handshake carries: path, query, headers or cookies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MISSING", "first_present", "look_up", "missing_error"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()  # None may be a value


def look_up(values: Mapping[str, Any], key: str, *, repeated: bool) -> Any:
    """The value of `key`, every occurrence of it where it is `repeated`, or `MISSING`.

    Example:
        >>> from starlette.datastructures import QueryParams
        >>> look_up(QueryParams("tag=a&tag=b"), "tag", repeated=True)
        ['a', 'b']
    """
    if not repeated:
        found = values.get(key)
        return MISSING if found is None else found
    # Cookies and path variables occur once: what pydantic makes of a text in place of a list is its business.
    found = values.getlist(key) if hasattr(values, "getlist") else values.get(key)
    return found or MISSING


def first_present(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The first of `keys` that the client has sent; the very first if it has sent none.

    Example:
        >>> first_present({"b": "1"}, ["a", "b"])
        'b'
    """
    return next((key for key in keys if key in values), keys[0])


def missing_error(*location: str) -> dict[str, Any]:
    """What pydantic reports for a field that is not there."""
    return {"type": "missing", "loc": location, "msg": "Field required", "input": None}
