r"""Regular expressions whose time is bounded, for filters that anybody may write.

Python's `re` tries every way in which a pattern may match, and ``(a+)+b`` has far too many of them.
So a pattern with groups or repeats becomes an automaton here that reads each character once, with its states
worked out as they are needed; `re` still judges what is a pattern at all and what one character matches. A
pattern without both is `re`'s own: there is nothing to go back for. Three bounds are stated in `MAX_PATTERN`,
`MAX_TEXT` and `MAX_STATES`. What only going back can do is refused: backreferences, looking ahead or behind,
possessive repeats, and ``\b`` beside a group or a repeat.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wslab.errors import WSLabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MAX_PATTERN", "MAX_STATES", "MAX_TEXT", "Pattern", "PatternError"]

MAX_PATTERN = 200
"""The longest pattern, in characters."""
MAX_TEXT = 4_096
"""Characters of a text that are searched, from its beginning; `$` may match where it was cut."""
MAX_STATES = 500
"""The most states a pattern may need; each repeat's count multiplies what it repeats."""

_MAX_STEPS = 4 * MAX_STATES
_MAX_DEPTH = 30
_MAX_CACHE = 2_000  # sets of states kept; a hostile text makes new ones without end
_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_FLAT = re.compile(rf"(?:\\.|{_CLASS}|[^\\()*+?{{\[])*", re.DOTALL)
_ATOM = re.compile(
    rf"\\(?:x[0-9a-fA-F]{{2}}|u[0-9a-fA-F]{{4}}|U[0-9a-fA-F]{{8}}|[dDwWsSnrtfva]|[^0-9A-Za-z])|{_CLASS}|[^\\()*+?\[|^$]",
    re.DOTALL,
)
_REPEAT = re.compile(r"[*+?]|\{(?:(\d*),(\d*)|(\d+))\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([is]+)\)")
_OPEN = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")


class PatternError(WSLabError, ValueError):
    """What should be a regular expression is none, or asks for more than is allowed here."""


@dataclass(slots=True)
class _Node:
    """One state: with `matches` it reads a character, without it leads on at once."""

    after: list[int]
    matches: Callable[[str], object] | None = None
    anchor: str = ""


@dataclass(slots=True, eq=False)
class _Set:
    """A set of states that the automaton may be in at once, and the sets that follow it by character."""

    members: frozenset[int]
    moves: dict[str, _Set] = field(default_factory=dict)


_Tree = tuple[str, str, list["_Tree"], int, int]  # kind, text, children, least, most (-1: no bound)
_FOUND = 0  # the number of the state in which the pattern has matched


class Pattern:
    r"""A regular expression to be searched for, in time that grows with the text's length only.

    Args:
        text: the pattern, as `re` writes it.

    Raises:
        PatternError: not a pattern, too long, or beyond what the module's text allows.

    Example:
        >>> Pattern(r"(a+)+b").search("a" * 4_000), Pattern(r"^\d{2,3} \w+").search("125 bytes")
        (False, True)
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise PatternError(f"Expected a pattern of at most {MAX_PATTERN} characters, got {len(text)}.")
        compiled = _compile(text, 0)
        self.text = text
        self._automaton = None if _FLAT.fullmatch(text) else _Automaton(text)
        self._flat = compiled.search

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the first `MAX_TEXT` characters of `text`."""
        text = text[:MAX_TEXT]
        return self._automaton.search(text) if self._automaton else self._flat(text) is not None


def _compile(text: str, flags: int) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # `re` warns of what it may read differently one day
            return re.compile(text, flags)
    except (re.error, Warning, OverflowError, RecursionError, ValueError) as error:
        raise PatternError(f"Expected a regular expression, got {text!r}: {error}.") from None


class _Reader:
    """Reads a pattern into a tree, by the rules that `re` has already found kept."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position

    def alternatives(self, depth: int = 0) -> _Tree:
        if depth > _MAX_DEPTH:
            raise PatternError(f"Expected at most {_MAX_DEPTH} groups inside each other.")
        branches = [self.sequence(depth)]
        while self.text[self.position : self.position + 1] == "|":
            self.position += 1
            branches.append(self.sequence(depth))
        return ("or", "", branches, 1, 1)

    def sequence(self, depth: int) -> _Tree:
        items: list[_Tree] = []
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            item = self.item(depth)
            repeat = _REPEAT.match(self.text, self.position)
            if repeat:
                item = self.repeated(item, repeat)
            items.append(item)
        return ("then", "", items, 1, 1)

    def item(self, depth: int) -> _Tree:
        group = _OPEN.match(self.text, self.position)
        if group:
            self.position = group.end()
            inner = self.alternatives(depth + 1)
            self.position += 1  # the closing parenthesis, which `re` has seen
            return inner
        char = self.text[self.position]
        if char in "^$":
            self.position += 1
            return ("anchor", char, [], 1, 1)
        atom = _ATOM.match(self.text, self.position)
        if atom is None:
            shown = self.text[self.position : self.position + 3]
            raise PatternError(
                f"{shown!r} is not possible in a pattern with groups or repeats.",
                remedy="Do without backreferences, word boundaries, and looking ahead or behind.",
            )
        self.position = atom.end()
        return ("char", atom[0], [], 1, 1)

    def repeated(self, item: _Tree, repeat: re.Match[str]) -> _Tree:
        self.position = repeat.end()
        if self.text[self.position : self.position + 1] == "+":
            raise PatternError("A possessive repeat, such as 'a*+', is not possible here.")
        if self.text[self.position : self.position + 1] == "?":  # lazy: it matches where a greedy one does
            self.position += 1
        low, high = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}.get(repeat[0], (0, 0))
        if repeat[0][0] == "{":
            low = int(repeat[3] or repeat[1] or 0)
            high = int(repeat[3] or repeat[2] or -1)
        if max(low, high) > MAX_STATES:
            raise PatternError(f"Expected a repeat of at most {MAX_STATES}, got {repeat[0]}.")
        return ("repeat", "", [item], low, high)


class _Automaton:
    def __init__(self, text: str) -> None:
        flags = _FLAGS.match(text)
        self._flags = 0
        for letter in flags[1] if flags else "":
            self._flags |= {"i": re.IGNORECASE, "s": re.DOTALL}[letter]
        tree = _Reader(text, flags.end() if flags else 0).alternatives()
        self._nodes = [_Node([])]
        self._steps = 0
        self._start = self._build(tree, _FOUND)
        self._sets: dict[frozenset[int], _Set] = {}
        self._anywhere = self._closure([self._start])
        self._first = _Set(self._closure([self._start], start=True))

    def _build(self, tree: _Tree, after: int) -> int:
        """The state in which `tree` begins, where `after` is what follows it: built from the end on."""
        self._steps += 1
        if self._steps > _MAX_STEPS or len(self._nodes) > MAX_STATES:
            raise PatternError(f"The pattern needs more than {MAX_STATES} states: repeat less.")
        kind, text, children, low, high = tree
        if kind == "then":
            for child in reversed(children):
                after = self._build(child, after)
            return after
        if kind == "or":
            begins = [self._build(child, after) for child in children]
            return begins[0] if len(begins) == 1 else self._add(_Node(begins))
        if kind == "repeat":
            return self._repeat(children[0], low, high, after)
        if kind == "anchor":
            return self._add(_Node([after], anchor=text))
        return self._add(_Node([after], matches=_compile(text, self._flags).fullmatch))

    def _repeat(self, child: _Tree, low: int, high: int, after: int) -> int:
        end = after
        if high < 0:
            loop = _Node([after])
            after = self._add(loop)
            loop.after.append(self._build(child, after))
        for _ in range(high - low):
            after = self._add(_Node([self._build(child, after), end]))
        for _ in range(low):
            after = self._build(child, after)
        return after

    def _add(self, node: _Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _closure(self, begin: Iterable[int], *, start: bool = False, end: bool = False) -> frozenset[int]:
        """`begin`, and every state that is reached from there without a character."""
        seen: set[int] = set()
        waiting = list(begin)
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            node = self._nodes[number]
            open_here = {"": True, "^": start, "$": end}[node.anchor]
            if node.matches is None and open_here:
                waiting += node.after
        return frozenset(seen)

    def search(self, text: str) -> bool:
        """Whether the pattern matches somewhere in `text`."""
        now = before = self._first
        for char in text:
            if _FOUND in now.members:
                return True
            before = now
            now = now.moves.get(char) or self._move(now, char)
        if self._found_at_end(now, start=not text):
            return True
        return text.endswith("\n") and self._found_at_end(before, start=len(text) == 1)

    def _found_at_end(self, now: _Set, *, start: bool) -> bool:
        return _FOUND in self._closure(now.members, start=start, end=True)

    def _move(self, now: _Set, char: str) -> _Set:
        nodes = self._nodes
        reached: list[int] = []
        for number in now.members:
            node = nodes[number]
            if node.matches is not None and node.matches(char):
                reached += node.after
        members = self._closure(reached) | self._anywhere
        if len(self._sets) >= _MAX_CACHE:
            self._sets.clear()
            self._first.moves.clear()
        following = self._sets.setdefault(members, _Set(members))
        if len(now.moves) < _MAX_CACHE:
            now.moves[char] = following
        return following
