"""What may come next in a filter (`wslab.wire.query.language`), for whoever is typing one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wslab.wire.close_codes import CLOSE_CODES
from wslab.wire.frames import Opcode
from wslab.wire.query.conditions import ORDER
from wslab.wire.query.fields import FIELDS
from wslab.wire.query.language import Query, QueryError
from wslab.wire.query.words import FIELD, JOINING, NAMED, OPERATORS, SPACE, STRING, SYMBOLS, WORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["complete", "word_start"]

_TYPED = re.compile(rf"(?:{WORD.pattern})?$")
_NEVER_SENT = {1006, 1015}
_JOINERS = ("&&", "||", "and", "or")
_VALUES = {
    "opcode": tuple(opcode.name.lower() for opcode in Opcode),
    "flag": ("true", "false"),
    "direction": ("in", "out"),
    "json": ("true", "false", "null"),
}


def word_start(text: str, position: int) -> int:
    """Where the word begins that is being typed at `position`: what a completion takes the place of.

    Example:
        >>> word_start("len>5 && opc", 12), word_start("opcode==", 8)
        (9, 8)
    """
    typed = _TYPED.search(text[: max(0, position)])
    return typed.start() if typed else 0


def complete(text: str, position: int, values: Mapping[str, Iterable[str]] | None = None) -> list[str]:
    """The words and symbols that may stand where the one at `position` is being typed, and begin like it.

    Args:
        text: the filter, as far as it is written.
        position: where the cursor is, in characters from 0; what follows it is not looked at.
        values: known values by field, such as ``{"conn": ["c1", "c2"]}``.

    Returns:
        Nothing inside quotes, and behind a mistake.

    Example:
        >>> complete("opc", 3), complete("opcode==p", 9), complete("conn==", 6, {"conn": ["c1", "c2"]})
        (['opcode'], ['ping', 'pong'], ['c1', 'c2'])
        >>> complete("fin ", 4)
        ['==', '!=', 'in', '&&', '||', 'and', 'or']
    """
    position = max(0, min(position, len(text)))
    start = word_start(text, position)
    typed = text[start:position].lower()
    reading = _Reading(text[:start])
    if _is_wrong(text[:start], reading.open):
        return []
    return [each for each in reading.next(values or {}) if each.lower().startswith(typed)]


def _is_wrong(text: str, unclosed: int) -> bool:
    """Whether there is a mistake in what is written, other than that it goes on."""
    try:
        Query(text + ")" * unclosed)
    except QueryError as error:
        return error.position < len(text.rstrip())
    return False


class _Reading:
    """Reads a filter up to where it breaks off: `state` is what it expects there, "" behind a mistake."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.open = 0  # parentheses
        self.field = self.sign = ""
        self.state = "operand"
        steps: dict[str, Callable[[], str]] = {
            "operand": self._operand,
            "operator": self._operator,
            "value": self._value,
            "brace": self._brace,
            "member": self._member,
            "members": self._members,
            "joiner": self._joiner,
        }
        while self.state:
            found = SPACE.match(text, self.position)
            self.position = found.end() if found else self.position
            if self.position >= len(text):
                return
            self.state = steps[self.state]()

    @property
    def kind(self) -> str:
        return FIELDS[self.field].kind if self.field in FIELDS else "json"

    def next(self, values: Mapping[str, Iterable[str]]) -> list[str]:
        """What may come."""
        joiners = [*_JOINERS, *([")"] if self.open else [])]
        found: dict[str, list[str]] = {
            "operand": [*FIELDS, "json", "not", "("],
            "operator": [*OPERATORS[self.kind], *joiners],
            "brace": ["{"],
            "members": [",", "}"],
            "joiner": joiners,
        }
        if self.state not in {"value", "member"}:
            return found.get(self.state, [])
        if self.kind == "json" and self.sign in ORDER:
            return []  # true, false and null have no order
        codes = [str(code) for code in CLOSE_CODES if code not in _NEVER_SENT] if self.field == "code" else []
        return [*_VALUES.get(self.kind, ()), *codes, *map(_quoted, values.get(self.field, ()))]

    def _symbol(self) -> str:
        """The next symbol, or operator written as a word; "" where neither stands."""
        found = SYMBOLS.match(self.text, self.position)
        if found is None:
            found = WORD.match(self.text, self.position)
            lowered = found[0].lower() if found else ""
            if found is None or lowered not in {*JOINING, *NAMED, "contains", "matches", "in"}:
                return ""
            self.position = found.end()
            return JOINING.get(lowered) or NAMED.get(lowered, lowered)
        self.position = found.end()
        return NAMED.get(found[0], found[0])

    def _operand(self) -> str:
        place = self.position
        symbol = self._symbol()
        if symbol in {"(", "!"}:
            self.open += symbol == "("
            return "operand"
        self.position = place
        found = FIELD.match(self.text, place)
        if found is None:
            return ""
        self.field = found[0]
        self.position = found.end()
        known = self.field in FIELDS or re.match(r"json\b", self.field) is not None
        return "operator" if known else ""

    def _operator(self) -> str:
        place = self.position
        symbol = self._symbol()
        if symbol in OPERATORS[self.kind]:
            self.sign = symbol
            return "brace" if symbol == "in" else "value"
        self.position = place
        return self._joiner()

    def _joiner(self) -> str:
        symbol = self._symbol()
        if symbol in {"&&", "||"}:
            return "operand"
        if symbol == ")" and self.open:
            self.open -= 1
            return "joiner"
        return ""

    def _brace(self) -> str:
        return "member" if self._symbol() == "{" else ""

    def _value(self) -> str:
        found = STRING.match(self.text, self.position) or WORD.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return "joiner" if found else ""

    def _member(self) -> str:
        return "members" if self._value() else ""

    def _members(self) -> str:
        return {",": "member", "}": "joiner"}.get(self._symbol(), "")


def _quoted(value: str) -> str:
    if WORD.fullmatch(value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
