"""The single conditions of a filter (`wslab.wire.query`), each a small function of a frame.

Where a frame has no such value, no condition holds.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from wslab.wire.query_fields import NULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.wire.query_fields import QueryField
    from wslab.wire.tables import RecordedFrame

    Test = Callable[[RecordedFrame], bool]
    Read = Callable[[RecordedFrame], Any]

__all__ = ["ORDER", "compared", "is_set", "one_of"]

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""The operators that need values with an order."""


def is_set(field: QueryField) -> Test:
    """A field alone: a flag that is set, a text that is not empty, anything else that is there."""
    read = field.read
    if field.kind in {"flag", "text", "bytes"}:
        return lambda frame: bool(read(frame))
    return lambda frame: read(frame) is not None


def compared(field: QueryField, sign: str, want: Any) -> Test:
    """A field, an operator but `in`, and a value: a `wslab.wire.patterns.Pattern` beside `matches`."""
    read = field.read
    if sign == "matches":
        return _matching(read, want.search)
    if sign == "contains":
        return _containing(read, want)
    if field.kind == "json":
        return _compared_json(read, sign, want)
    if sign == "==":
        return lambda frame: bool(read(frame) == want)

    compare: Callable[[Any, Any], bool] = ORDER.get(sign, operator.ne)

    def test(frame: RecordedFrame) -> bool:
        value = read(frame)
        return value is not None and compare(value, want)

    return test


def _matching(read: Read, search: Callable[[str], bool]) -> Test:
    def test(frame: RecordedFrame) -> bool:
        value = read(frame)
        return isinstance(value, str) and search(value)

    return test


def _containing(read: Read, want: Any) -> Test:
    def test(frame: RecordedFrame) -> bool:
        value = read(frame)
        if isinstance(value, list):
            return any(_same(element, want) for element in value)
        if isinstance(value, str):
            return isinstance(want, str) and want in value
        return isinstance(value, bytes) and want in value

    return test


def _same(value: Any, want: Any) -> bool:
    """Equal as JSON has it, where true is not 1."""
    if value is None:
        value = NULL
    return isinstance(value, bool) == isinstance(want, bool) and bool(value == want)


def _compared_json(read: Read, sign: str, want: Any) -> Test:
    if sign == "==":
        return lambda frame: (value := read(frame)) is not None and _same(value, want)
    if sign == "!=":
        return lambda frame: (value := read(frame)) is not None and not _same(value, want)
    compare = ORDER[sign]
    kinds = (str,) if isinstance(want, str) else (int, float)

    def test(frame: RecordedFrame) -> bool:
        value = read(frame)
        return isinstance(value, kinds) and not isinstance(value, bool) and compare(value, want)

    return test


def one_of(field: QueryField, members: list[Any]) -> Test:
    """A field that has one of these values."""
    read = field.read
    if field.kind != "json":
        wanted = frozenset(members)
        return lambda frame: read(frame) in wanted

    def test(frame: RecordedFrame) -> bool:
        value = read(frame)
        return value is not None and any(_same(value, member) for member in members)

    return test
