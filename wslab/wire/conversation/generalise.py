"""A conversation's steps, made to hold for another run: what the server made up may be another value then.

Who says a value first decides about it. What a client says is said again, so the server's repeating it is
compared as it is. What the server makes up becomes a matcher (`wslab.wire.conversation.matchers`), and where
it comes again, or the client sends it back, a captured one: then the new value is sent. Times are captured
only where a client sends them back, because two may be equal by chance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wslab.wire.conversation.matchers import (
    TIME_UNITS,
    Captured,
    Matcher,
    TextLike,
    a_bool,
    a_list,
    a_number,
    a_text,
    an_object,
    anything,
    captured,
    text_like,
)
from wslab.wire.conversation.steps import Opening, Said, Step
from wslab.wire.conversation.volatile import Fields, Path, find_volatile, volatile_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["fill", "generalise"]

_SHORTEST_NAMED = 6  # characters of a value that a client is believed to have from a field of another name


def generalise(
    steps: Sequence[Step], *, volatile: Iterable[str] = (), exact: Iterable[str] = ()
) -> tuple[Step, ...]:
    """`steps` with matchers where the server made something up, and captured values where it is sent back.

    Args:
        steps: of a `wslab.wire.conversation.steps.Conversation`.
        volatile: more fields of the server's messages that are not compared, but for their type.
        exact: fields in which nothing is recognised.

    Returns:
        The same steps. In the server's messages a value may be a `Matcher`; in the client's, and in
        paths and headers, a `Captured` or a `TextLike` of texts and captured ones, for `fill`.

    Raises:
        OptionError: a field's path cannot be read.
    """
    plan = _Plan(Fields(volatile), Fields(exact))
    for step in steps:
        plan.look(step)
    return tuple(plan.apply(step) for step in steps)


@dataclass(slots=True)
class _Seen:
    """What is known of one value, by its text."""

    made_by_server: bool
    time: bool
    times: int = 0  # how often the server said it
    sent_back: bool = False
    capture: Captured | None = None
    bound: bool = False


_Key = tuple[str, str]
"""("", the text) of what is recognised; (key, type and text) of a field that was named."""


@dataclass(slots=True)
class _Plan:
    """What becomes of each value: looked at in one pass, put in place in the next."""

    volatile: Fields
    exact: Fields
    seen: dict[_Key, _Seen] = field(default_factory=dict)

    # -- the first pass ----------------------------------------------------------------------------
    def look(self, step: Step) -> None:
        """Note the values of one step."""
        if isinstance(step, Opening):
            for text in (step.path, *(value for _, value in step.headers)):
                self._look_client((), text, step.at)
        elif isinstance(step, Said) and step.kind != "binary":
            look = self._look_client if step.by == "client" else self._look_server
            for path, leaf in _leaves((), step.content):
                look(path, leaf, step.at)

    def _look_client(self, path: Path, leaf: Any, at: float) -> None:
        for key in _named_keys(path, leaf):
            if key in self.seen:
                self.seen[key].sent_back = True
        for _, _, text, matcher in _parts(leaf, at):
            known = self.seen.setdefault(("", text), _Seen(made_by_server=False, time=_is_time(matcher)))
            known.sent_back = True

    def _look_server(self, path: Path, leaf: Any, at: float) -> None:
        if path in self.volatile:
            key = _named_key(path, leaf)
            self.seen.setdefault(key, _Seen(made_by_server=True, time=True)).times += 1
            if isinstance(leaf, str) and len(leaf) >= _SHORTEST_NAMED:
                self.seen.setdefault(("*", key[1]), self.seen[key])
        elif not self.exact.cover(path):
            for _, _, text, matcher in _parts(leaf, at):
                known = self.seen.setdefault(("", text), _Seen(made_by_server=True, time=_is_time(matcher)))
                known.times += 1

    # -- the second pass ---------------------------------------------------------------------------
    def apply(self, step: Step) -> Step:
        """The step with matchers and captured values in place."""
        if isinstance(step, Opening):
            headers = tuple((name, self._send((), value, step.at)) for name, value in step.headers)
            return replace(step, path=self._send((), step.path, step.at), headers=headers)
        if not isinstance(step, Said) or step.kind == "binary":
            return step
        put = self._send if step.by == "client" else self._expect
        return replace(step, content=_rebuilt((), step.content, lambda path, leaf: put(path, leaf, step.at)))

    def _send(self, path: Path, leaf: Any, at: float) -> Any:
        for key in _named_keys(path, leaf):
            known = self.seen.get(key)
            if known is not None and known.bound:
                return known.capture
        return _assembled(leaf, at, self._sent_part)

    def _sent_part(self, text: str, _: Matcher) -> Matcher | None:
        known = self.seen.get(("", text))
        return known.capture if known is not None and known.bound else None

    def _expect(self, path: Path, leaf: Any, at: float) -> Any:
        if path in self.volatile:
            what = _kind_of(leaf)
            return self._expected(self.seen[_named_key(path, leaf)], what)
        if self.exact.cover(path) or isinstance(leaf, dict | list):
            return leaf
        return _assembled(leaf, at, self._expected_part)

    def _expected_part(self, text: str, matcher: Matcher) -> Matcher | None:
        known = self.seen[("", text)]
        return self._expected(known, matcher) if known.made_by_server else None

    def _expected(self, known: _Seen, what: Matcher) -> Matcher:
        again = known.times > 1 and not known.time
        if not again and not known.sent_back:
            return what
        if known.time and known.bound:
            return what  # a second one that was equal, perhaps by chance
        if known.capture is None:
            known.capture = captured(what)
        known.bound = True
        return known.capture


def _is_time(matcher: Matcher) -> bool:
    return repr(matcher).startswith("a_time")


def _kind_of(value: Any) -> Matcher:
    """The matcher of any value of that type."""
    if isinstance(value, bool):
        return a_bool()
    kinds: list[tuple[type | tuple[type, ...], Callable[[], Matcher]]] = [
        ((int, float), a_number),
        (str, a_text),
        (list, a_list),
        (dict, an_object),
    ]
    return next((make() for kind, make in kinds if isinstance(value, kind)), anything())


def _named_key(path: Path, leaf: Any) -> _Key:
    return str(path[-1]) if path else "$", f"{type(leaf).__name__} {leaf}"


def _named_keys(path: Path, leaf: Any) -> Iterator[_Key]:
    """Under which keys a named field's value may be known, where a client says it."""
    key = _named_key(path, leaf)
    yield key
    yield "*", key[1]


def _parts(leaf: Any, at: float) -> list[tuple[int, int, str, Matcher]]:
    """What is recognised in one value: where, its text, and what it is."""
    if isinstance(leaf, str):
        return [(start, end, leaf[start:end], what) for start, end, what in find_volatile(leaf, at)]
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return []
    number = volatile_number(leaf, at)
    return [] if number is None else [(0, 0, str(leaf), number)]


def _assembled(leaf: Any, at: float, place: Callable[[str, Matcher], Matcher | None]) -> Any:
    """`leaf`, with what `place` puts for the parts of it that are recognised."""
    parts: list[str | Matcher] = []
    position = 0
    for start, end, text, what in _parts(leaf, at):
        matcher = place(text, what)
        if matcher is None:
            continue
        if not isinstance(leaf, str):
            return matcher
        parts += [leaf[position:start], matcher]
        position = end
    if not parts:
        return leaf
    parts.append(leaf[position:])
    kept = [part for part in parts if not isinstance(part, str) or part]
    whole = len(kept) == 1 and not _counts(kept[0])
    return kept[0] if whole else text_like(*kept)


def _counts(part: str | Matcher) -> bool:
    """Whether `part` stands for a number, which in a text is written in digits."""
    what = part.what if isinstance(part, Captured) else part
    return isinstance(what, Matcher) and any(f'"{unit}"' in repr(what) for unit in TIME_UNITS)


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Every value of a message with its path; arrays and objects come, too, for they may be named."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _leaves((*path, key), item)


def _rebuilt(path: Path, value: Any, put: Callable[[Path, Any], Any]) -> Any:
    new = put(path, value)
    if new is not value:
        return new
    if isinstance(value, dict):
        return {key: _rebuilt((*path, key), item, put) for key, item in value.items()}
    if isinstance(value, list):
        return [_rebuilt((*path, index), item, put) for index, item in enumerate(value)]
    return value


def fill(content: Any) -> Any:
    """What a client sends now: `content` with captured values where they belong.

    Raises:
        NotCapturedError: the server has not said one of them yet.

    Example:
        >>> from wslab.wire.conversation.matchers import an_id
        >>> token = captured(an_id(16))
        >>> token == "00c0ffee00c0ffee"
        True
        >>> fill({"token": token, "note": text_like("for ", token)})
        {'token': '00c0ffee00c0ffee', 'note': 'for 00c0ffee00c0ffee'}
    """
    if isinstance(content, Captured | TextLike):
        return content.value
    if isinstance(content, dict):
        return {key: fill(value) for key, value in content.items()}
    if isinstance(content, list):
        return [fill(value) for value in content]
    return content
