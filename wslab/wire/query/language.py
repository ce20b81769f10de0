"""A display filter for recorded frames, in the manner of Wireshark's.

A filter compares fields with values and joins what it finds::

    opcode==ping && conn==c3 && len>125 && json.type=="chat"
    dir==in and (code in {1000, 1001} or reason contains "bye") and not problem
    path matches "^/ws/[a-z]+$" || hex contains ca:fe

==========================  =======================================================================
``== != < <= > >=``         also ``eq ne lt le gt ge``; a JSON value has an order beside its own type
``contains``                text in text, bytes in bytes, an element in a JSON array
``matches``, ``~``          a regular expression, bounded as `wslab.wire.query.patterns` says: at most 200
                            characters, searched in the first 4096 of the text
``in {a, b}``               one of these
``&& and``, ``|| or``       ``&&`` binds closer than ``||``; ``!`` and ``not`` closest of all
a field alone               a flag that is set, a text or bytes not empty, any other that is there
==========================  =======================================================================

Where a frame has no such field (`code` in a ping, `json.type` in a text that is no JSON) every comparison is
false, also ``!=``; ``!(code==1000)`` is then true. The fields are `wslab.wire.query.fields.FIELDS` and
``json``, whose path goes on in keys and indices: ``json.users[0].name``, ``json["a key"]``. What is asked of
the content (`QueryField.needs`, ``json``) is asked of the message that a frame is part of, put together and
inflated, where that is given. Nothing is evaluated but what is written here: a filter may come from a page.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, NoReturn

from wslab.errors import WSLabError
from wslab.wire.query.conditions import ORDER, Condition, compared, is_set, one_of
from wslab.wire.query.fields import FIELDS, NULL, VALUES, QueryField, json_path, json_reader, read_value
from wslab.wire.query.patterns import Pattern, PatternError
from wslab.wire.query.words import FIELD, JOINING, NAMED, OPERATORS, SPACE, STRING, SYMBOLS, WORD

if TYPE_CHECKING:
    from wslab.wire.messages import Message
    from wslab.wire.query.conditions import RecordTest, Test
    from wslab.wire.query.fields import Need
    from wslab.wire.recorded import RecordedFrame

__all__ = ["MAX_DEPTH", "MAX_QUERY", "Query", "QueryError"]

MAX_QUERY = 65_536
"""The longest filter, in characters."""
MAX_DEPTH = 100
"""How deep `&&`, `||` and `!` may lie inside each other; parentheses alone do not count."""

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_BINDS = {"||": 1, "&&": 2, "!": 3}
_SHOWN = 40  # characters of the filter either side of a mistake


class QueryError(WSLabError, ValueError):
    """A filter that cannot be read; the message shows where.

    Attributes:
        position: the mistake's place in the filter, in characters from 0.
    """

    def __init__(self, problem: str, text: str, position: int, *, remedy: str = "") -> None:
        start = max(0, position - _SHOWN)
        shown = "".join(char if char.isprintable() else "?" for char in text[start : position + _SHOWN])
        caret = " " * (position - start)
        # the remedy has a line of its own: nothing may stand behind the caret
        super().__init__(f"{problem}\n  {shown}\n  {caret}^" + (f"\n{remedy}" if remedy else ""))
        self.remedy = remedy
        self.position = position


class Query:
    """A filter, parsed once; called with a frame it says whether that passes.

    Args:
        text: the filter, as the module's text describes it; an empty one lets every frame pass.

    Attributes:
        needs: of which frames it needs the message, as `QueryField.needs` says; empty for none.
        test_record: a first look at a `Record` that is not parsed yet: what it refuses does not pass; None
            where the filter has nothing for it.
        exact: what `test_record` lets through passes, too.

    Raises:
        QueryError: the text is not a filter.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> connection = ConnectionTable(recorder).open("127.0.0.1:50000")
        >>> connection.received.feed(encode_frame(1, b'{"type": "chat"}', mask=True))
        >>> [Query(text)(FrameTable(recorder)[0]) for text in ('json.type=="chat"', "opcode==ping")]
        [True, False]
        >>> Query('len=="x"')
        Traceback (most recent call last):
        wslab.wire.query.language.QueryError: Expected a number for len, got the text 'x'.
          len=="x"
               ^
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_QUERY:
            raise QueryError(
                f"Expected a filter of at most {MAX_QUERY} characters, got {len(text)}.", text, MAX_QUERY
            )
        self.text = text
        tree = _Parser(text).parse() if text.strip() else _Node("", [], _EVERY)
        self._test = tree.test()
        self.needs = tree.needs
        self.test_record, self.exact = tree.test_record()

    def __call__(self, frame: RecordedFrame, message: Message | None = None) -> bool:
        """Whether `frame` passes; `message` is the one it is part of."""
        return self._test(frame, message)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"


_EVERY = Condition(lambda _frame, _message: True, lambda _record: True)


class _Node:
    """A part of the tree: a condition (`leaf`), or `parts` that `symbol` joins, `depth` levels of them."""

    __slots__ = ("depth", "leaf", "needs", "parts", "symbol")

    def __init__(self, symbol: str, parts: list[_Node], leaf: Condition = _EVERY) -> None:
        self.symbol = symbol
        self.parts = parts
        self.leaf = leaf
        self.depth: int = 1 + max((part.depth for part in parts), default=-1)
        self.needs: frozenset[Need] = leaf.needs.union(*(part.needs for part in parts))

    def join(self, symbol: str, other: _Node) -> _Node:
        """Both under `symbol`; a chain of the same operator stays one level deep."""
        if self.symbol == symbol:
            added = other.parts if other.symbol == symbol else [other]
            self.parts += added
            self.depth = max(self.depth, *(1 + part.depth for part in added))
            self.needs |= other.needs
            return self
        return _Node(symbol, [self, *(other.parts if other.symbol == symbol else [other])])

    def negate(self) -> _Node:
        """The opposite; twice is not at all."""
        return self.parts[0] if self.symbol == "!" else _Node("!", [self])

    def test(self) -> Test:
        """One function for all of it."""
        if not self.symbol:
            return self.leaf.test
        tests = tuple(part.test() for part in self.parts)
        first = tests[0]
        if self.symbol == "!":
            return lambda frame, message: not first(frame, message)
        if len(tests) == 2:  # noqa: PLR2004 - by far the most frequent, and twice as fast this way
            second = tests[1]
            if self.symbol == "&&":
                return lambda frame, message: first(frame, message) and second(frame, message)
            return lambda frame, message: first(frame, message) or second(frame, message)
        if self.symbol == "&&":
            return lambda frame, message: all(test(frame, message) for test in tests)
        return lambda frame, message: any(test(frame, message) for test in tests)

    def test_record(self) -> tuple[RecordTest | None, bool]:
        """What is certain from a record alone, and whether that is all; see `Query.test_record`."""
        if not self.symbol:
            return self.leaf.test_record, self.leaf.test_record is not None
        found = [part.test_record() for part in self.parts]
        tests = tuple(test for test, _ in found if test is not None)
        exact = all(exact for _, exact in found)
        if not tests or (self.symbol == "!" and not exact):
            return None, False
        first = tests[0]
        if self.symbol == "!":
            return lambda record: not first(record), True
        if self.symbol == "&&":  # it refuses what any of its parts does
            return first if len(tests) == 1 else lambda record: all(test(record) for test in tests), exact
        if len(tests) < len(found):  # a part that cannot tell might let anything through
            return None, False
        return lambda record: any(test(record) for test in tests), exact


class _Parser:
    """Operator precedence with a stack of its own: parentheses cost no recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.values: list[_Node] = []
        self.waiting: list[tuple[str, int]] = []  # operators and open parentheses, with their places

    def fail(self, problem: str, position: int | None = None, remedy: str = "") -> NoReturn:
        at = self.position if position is None else position
        raise QueryError(problem, self.text, at, remedy=remedy) from None

    def skip(self) -> None:
        found = SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position

    def here(self) -> str:
        """What stands at the position, for a message."""
        found = SYMBOLS.match(self.text, self.position) or WORD.match(self.text, self.position)
        if self.position >= len(self.text):
            return "the filter's end"
        return repr(found[0][:_SHOWN] if found else self.text[self.position])

    def joining(self) -> str:
        """Take `&&`, `||`, `!` or a parenthesis, also as a word; "" where something else stands."""
        self.skip()
        symbol = SYMBOLS.match(self.text, self.position)
        if symbol:
            found = symbol[0]
            if found in {"&&", "||", "!", "(", ")"}:
                self.position = symbol.end()
                return found
            return ""
        word = WORD.match(self.text, self.position)
        if word and word[0].lower() in JOINING:
            self.position = word.end()
            return JOINING[word[0].lower()]
        return ""

    def parse(self) -> _Node:
        operand_expected = True
        while True:
            self.skip()
            place = self.position
            if operand_expected:
                symbol = self.joining()
                if symbol in {"(", "!"}:
                    self.waiting.append((symbol, place))
                elif symbol:
                    self.position = place
                    self.fail(f"Expected a field, '!' or '(', got {self.here()}.")
                else:
                    self.values.append(_Node("", [], self.comparison()))
                    operand_expected = False
                continue
            if place >= len(self.text):
                break
            symbol = self.joining()
            if symbol == ")":
                self.close(place)
            elif symbol in {"&&", "||"}:
                self.reduce(_BINDS[symbol])
                self.waiting.append((symbol, place))
                operand_expected = True
            else:
                self.position = place
                self.fail(f"Expected '&&', '||' or the end, got {self.here()}.")
        self.reduce(0)
        if self.waiting:
            self.fail("Expected ')' for the '(' here, got the filter's end.", self.waiting[-1][1])
        return self.values[0]

    def close(self, place: int) -> None:
        self.reduce(0)
        if not self.waiting:
            self.fail("Expected '&&', '||' or the end, got ')' without its '('.", place)
        self.waiting.pop()

    def reduce(self, binds: int) -> None:
        """Join what the waiting operators that bind at least as close as `binds` belong to."""
        while self.waiting and self.waiting[-1][0] != "(" and _BINDS[self.waiting[-1][0]] >= binds:
            symbol, place = self.waiting.pop()
            node = self.values.pop()
            joined = node.negate() if symbol == "!" else self.values.pop().join(symbol, node)
            if joined.depth > MAX_DEPTH:
                self.fail(f"Expected at most {MAX_DEPTH} operators inside each other.", place)
            self.values.append(joined)

    def comparison(self) -> Condition:
        name, field = self.field()
        self.skip()
        sign, sign_place = self.operator()
        if not sign:
            return is_set(field)
        allowed = OPERATORS[field.kind]
        if sign not in allowed:
            self.fail(
                f"Expected one of {' '.join(allowed)} for {name} ({field.kind}), got {sign}.", sign_place
            )
        if sign == "in":
            return one_of(field, self.members(name, field))
        want = self.value(name, field, sign)
        return compared(field, sign, want)

    def field(self) -> tuple[str, QueryField]:
        place = self.position
        found = FIELD.match(self.text, place)
        if found is None:
            self.fail(f"Expected a field, '!' or '(', got {self.here()}.")
        name = found[0]
        self.position = found.end()
        root = re.split(r"[.\[]", name, maxsplit=1)[0]
        if root == "json":
            steps, end = json_path(name[4:])
            if end < len(name) - 4:
                self.fail(
                    f"Expected a path such as json.users[0].name, got {name[:_SHOWN]!r}.", place + 4 + end
                )
            return name, QueryField("json", "", json_reader(steps), needs=frozenset({"content"}))
        if name not in FIELDS:
            known = [*FIELDS, "json"]
            near = difflib.get_close_matches(name[:_SHOWN].lower(), known, 1, 0.7)
            near = near or difflib.get_close_matches(root[:_SHOWN].lower(), known, 1, 0.5)
            remedy = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            self.fail(f"Expected a field's name, got {name[:_SHOWN]!r}.", place, remedy)
        return name, FIELDS[name]

    def operator(self) -> tuple[str, int]:
        place = self.position
        symbol = SYMBOLS.match(self.text, place)
        if symbol:
            sign = NAMED.get(symbol[0], symbol[0])
            if sign not in {"==", "!=", "matches", *ORDER}:
                if sign in {"&&", "||", ")"}:
                    return "", place
                self.fail(f"Expected an operator such as ==, got {self.here()}.")
            self.position = symbol.end()
            return sign, place
        word = WORD.match(self.text, place)
        lowered = word[0].lower() if word else ""
        if word and (lowered in NAMED or lowered in {"contains", "matches", "in"}):
            self.position = word.end()
            return NAMED.get(lowered, lowered), place
        if place < len(self.text) and lowered not in {"and", "or"}:
            self.fail(f"Expected an operator such as ==, got {self.here()}.")
        return "", place

    def members(self, name: str, field: QueryField) -> list[Any]:
        self.expect("{")
        found = [self.value(name, field, "in")]
        while True:
            self.skip()
            if self.text.startswith(",", self.position):
                self.position += 1
                found.append(self.value(name, field, "in"))
            else:
                self.expect("}", "',' or '}'")
                return found

    def expect(self, symbol: str, called: str = "") -> None:
        self.skip()
        if not self.text.startswith(symbol, self.position):
            self.fail(f"Expected {called or repr(symbol)}, got {self.here()}.")
        self.position += 1

    def value(self, name: str, field: QueryField, sign: str) -> Any:
        self.skip()
        place = self.position
        string = STRING.match(self.text, place)
        word = WORD.match(self.text, place)
        if string:
            written = string[1] if string[1] is not None else string[2]
            self.position = string.end()
            if sign != "matches":  # a pattern has escapes of its own
                written = _ESCAPE.sub(_unescaped, written)
        elif word:
            written = word[0]
            self.position = word.end()
        elif self.text[place : place + 1] in {'"', "'"}:
            self.fail(f"Expected a closing {self.text[place]} for the text that begins here.")
        else:
            self.fail(f"Expected a value for {name}, got {self.here()}.")
        if sign == "matches":
            try:
                return Pattern(written)
            except PatternError as error:
                self.fail(error.problem, place, error.remedy)
        want = read_value(field.kind, written, quoted=string is not None)
        if want is None:
            got = f"{'the text ' if string else ''}{written[:_SHOWN]!r}"
            self.fail(f"Expected {VALUES[field.kind]} for {name}, got {got}.", place)
        if sign in ORDER and (want is NULL or isinstance(want, bool)):
            self.fail(
                f"Expected a number or a text beside {sign}, got {written!r}, which has no order.", place
            )
        return want


def _unescaped(found: re.Match[str]) -> str:
    if found[3] is not None:
        return _ESCAPED.get(found[3], found[3])
    return chr(int(found[1] or found[2], 16))
