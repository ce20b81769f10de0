"""Where two messages of JSON first differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wslab.wire.conversation.matchers import Matcher

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["first_difference", "show_value"]

_SHOWN = 400  # characters of a value that are shown


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()

_Found = tuple[str, Any, Any]


def first_difference(expected: Any, got: Any, path: str = "$") -> _Found | None:
    """The path of the first value that differs, what was expected there and what came; None where none does.

    As JSON has it, the order of an object's members does not count, 1 is 1.0, and true is not 1.

    Args:
        expected: a value of JSON, in which there may be matchers.
        got: a value of JSON.
        path: what leads to them.

    Example:
        >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
        ('$.a[1]', 2, 3)
        >>> first_difference({"a": 1}, {})
        ('$.a', 1, nothing)
        >>> first_difference({"a": 1, "b": 2}, {"b": 2.0, "a": 1})
    """
    if isinstance(expected, dict) and isinstance(got, dict):
        return next(filter(None, _in_objects(expected, got, path)), None)
    if isinstance(expected, list) and isinstance(got, list):
        return next(filter(None, _in_arrays(expected, got, path)), None)
    if isinstance(expected, Matcher):
        same = expected == got
    else:
        same = isinstance(expected, bool) == isinstance(got, bool) and expected == got
    return None if same else (path, expected, got)


def _in_objects(expected: dict[str, Any], got: dict[str, Any], path: str) -> Iterator[_Found | None]:
    # What is missing says more than what differs because of it.
    yield from ((path + _step(key), value, _MISSING) for key, value in expected.items() if key not in got)
    yield from ((path + _step(key), _MISSING, value) for key, value in got.items() if key not in expected)
    yield from (first_difference(value, got[key], path + _step(key)) for key, value in expected.items())


def _in_arrays(expected: list[Any], got: list[Any], path: str) -> Iterator[_Found | None]:
    shared = min(len(expected), len(got))
    for index in range(shared):
        yield first_difference(expected[index], got[index], f"{path}[{index}]")
    if len(expected) > shared:
        yield f"{path}[{shared}]", expected[shared], _MISSING
    if len(got) > shared:
        yield f"{path}[{shared}]", _MISSING, got[shared]


def _step(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"


def show_value(value: object) -> str:
    """The `repr` of a value, cut where it is long.

    Example:
        >>> show_value("a"), len(show_value("a" * 10_000))
        ("'a'", 420)
    """
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
