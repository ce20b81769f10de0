"""The single conditions of a filter (`wslab.wire.query`): what is asked of a field, and so of a frame.

Where a frame has no such value, which None says, no condition holds.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wslab.wire.query.fields import NULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.wire.messages import Message
    from wslab.wire.query.fields import Need, QueryField
    from wslab.wire.recorded import RecordedFrame
    from wslab.wire.recorder import Record

    Holds = Callable[[Any], bool]
    Test = Callable[[RecordedFrame, Message | None], bool]
    RecordTest = Callable[[Record], bool]

__all__ = ["ORDER", "Condition", "compared", "is_set", "one_of"]

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""The operators that need values with an order."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, to be asked of a frame or of its record.

    Attributes:
        test: whether it holds for a frame and the message it is part of, or None.
        test_record: the same for the record as it was kept; None where that does not tell.
        needs: what it is asked of the message, as in `QueryField`.
    """

    test: Test
    test_record: RecordTest | None = None
    needs: frozenset[Need] = frozenset()


def is_set(field: QueryField) -> Condition:
    """A field alone: a flag that is set, a text that is not empty, anything else that is there."""
    if field.kind in {"flag", "text", "bytes"}:
        return _condition(field, bool)
    return _condition(field, _is_there)


def compared(field: QueryField, sign: str, want: Any) -> Condition:
    """A field, an operator but `in`, and a value: a `wslab.wire.query.patterns.Pattern` beside `matches`."""
    if sign == "==" and field.kind != "json" and not field.several:
        return _equal(field, want)
    return _condition(field, _holds(field, sign, want), unlike=sign == "!=")


def one_of(field: QueryField, members: list[Any]) -> Condition:
    """A field that has one of these values."""
    if field.kind == "json":
        return _condition(
            field, lambda value: value is not None and any(_same(value, member) for member in members)
        )
    wanted = frozenset(members)
    return _condition(field, wanted.__contains__)


def _condition(field: QueryField, holds: Holds, *, unlike: bool = False) -> Condition:
    read, read_record = field.read, field.read_record
    asked = holds
    if field.several:
        joined = all if unlike else any

        def asked(values: tuple[Any, ...]) -> bool:
            return holds(values[0]) if len(values) == 1 else joined(map(holds, values))

    return Condition(
        _once_a_message(field, lambda frame, message: asked(read(frame, message))),
        None if read_record is None else lambda record: asked(read_record(record)),
        field.needs,
    )


def _equal(field: QueryField, want: Any) -> Condition:
    """The most frequent one, with a call less for each record."""
    read, read_record = field.read, field.read_record
    return Condition(
        _once_a_message(field, lambda frame, message: bool(read(frame, message) == want)),
        None if read_record is None else lambda record: bool(read_record(record) == want),
        field.needs,
    )


def _once_a_message(field: QueryField, test: Test) -> Test:
    """`test`, which remembers the last message: else each of its fragments would ask for all of it again.

    A peer may send sixty thousand of them, and what a field needs of a message is the same for all.
    """
    if not field.needs:
        return test
    last: tuple[Message | None, bool] = (None, False)

    def remembered(frame: RecordedFrame, message: Message | None) -> bool:
        nonlocal last
        if message is None:
            return test(frame, None)
        known, holds = last
        if known is not message:
            holds = test(frame, message)
            last = message, holds
        return holds

    return remembered


def _is_there(value: Any) -> bool:
    return value is not None


def _holds(field: QueryField, sign: str, want: Any) -> Holds:
    if sign == "matches":
        search: Callable[[str], bool] = want.search
        return lambda value: isinstance(value, str) and search(value)
    if sign == "contains":
        return _containing(want)
    if field.kind == "json":
        return _holds_json(sign, want)
    if sign == "==":
        return lambda value: bool(value == want)
    compare: Callable[[Any, Any], bool] = ORDER.get(sign, operator.ne)
    return lambda value: value is not None and compare(value, want)


def _containing(want: Any) -> Holds:
    def holds(value: Any) -> bool:
        if isinstance(value, list):
            return any(_same(element, want) for element in value)
        if isinstance(value, str):
            return isinstance(want, str) and want in value
        return isinstance(value, bytes) and want in value

    return holds


def _same(value: Any, want: Any) -> bool:
    """Equal as JSON has it, where true is not 1."""
    if value is None:
        value = NULL
    return isinstance(value, bool) == isinstance(want, bool) and bool(value == want)


def _holds_json(sign: str, want: Any) -> Holds:
    if sign == "==":
        return lambda value: value is not None and _same(value, want)
    if sign == "!=":
        return lambda value: value is not None and not _same(value, want)
    compare = ORDER[sign]
    kinds = (str,) if isinstance(want, str) else (int, float)
    return lambda value: isinstance(value, kinds) and not isinstance(value, bool) and compare(value, want)
