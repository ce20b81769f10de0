"""Values that equal what they describe: for what differs between two runs of the same conversation.

A time or an id that a server makes up is another one each time. A test written from a recording expects its
kind instead, and reads so::

    assert await c1.receive_json() == {"type": "joined", "at": a_time(), "id": a_uuid()}

The `repr` of a matcher is the Python that makes it, and pytest shows it where a comparison fails. `captured`
remembers what came, for a client that sends it back.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, Literal, cast

from wslab.errors import WSLabError

__all__ = [
    "ISO_TIME",
    "TIME_UNITS",
    "Captured",
    "Matcher",
    "NotCapturedError",
    "TextLike",
    "TimeForm",
    "a_bool",
    "a_jwt",
    "a_list",
    "a_number",
    "a_text",
    "a_time",
    "a_token",
    "a_uuid",
    "an_id",
    "an_object",
    "anything",
    "captured",
    "text_like",
]

TimeForm = Literal["ISO 8601", "date", "seconds", "milliseconds", "microseconds", "nanoseconds"]
"""How a time is written; the last four count from the epoch."""

TIME_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""How many of a unit a second has."""

ISO_TIME = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?"
"""A date and a time of day, as ISO 8601 and RFC 3339 write them."""

_EARLIEST, _LATEST = 10**9, 2**32  # seconds since the epoch, 2001 to 2106: what may be a time of today
_NOT_YET: Any = object()


class NotCapturedError(WSLabError, LookupError):
    """A captured value was asked for before a message had it."""


class Matcher(ABC):
    """Equal to every value it accepts.

    Attributes:
        pattern: a regular expression of the texts it may accept, for `text_like`.
    """

    __hash__ = None  # type: ignore[assignment]  # what equals many values can have no one hash
    pattern = ".*"

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether `value` is of the kind described."""

    def accepts_text(self, text: str) -> bool:
        """Whether `text`, a part of a longer one, is of that kind."""
        return self.accepts(text)

    def __eq__(self, other: object) -> bool:
        return other is self or self.accepts(other)


class _Text(Matcher):
    """A text that a pattern describes whole."""

    def __init__(self, shown: str, pattern: str) -> None:
        self._shown = shown
        self.pattern = pattern
        self._fullmatch = re.compile(pattern, re.DOTALL).fullmatch

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and self._fullmatch(value) is not None

    def __repr__(self) -> str:
        return self._shown


class _Iso(_Text):
    """A time of day or a date that the calendar has."""

    def accepts(self, value: Any) -> bool:
        if not super().accepts(value):
            return False
        try:
            # its fraction of a second may have more digits, or a comma
            datetime.fromisoformat(re.sub(r"[.,]\d+", "", value))
        except ValueError:
            return False
        return True


class _Epoch(Matcher):
    """A count from the epoch, in one unit."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        digits = len(str(_EARLIEST * TIME_UNITS[unit]))
        self.pattern = rf"\d{{{digits}}}(?:\.\d+)?"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        unit = TIME_UNITS[self._unit]
        return _EARLIEST * unit <= value < _LATEST * unit

    def accepts_text(self, text: str) -> bool:
        return self.accepts(float(text))

    def __repr__(self) -> str:
        return f"a_time({_quoted(self._unit)})"


class _Kind(Matcher):
    """Any value of a kind that JSON has."""

    def __init__(self, shown: str, kinds: tuple[type, ...]) -> None:
        self._shown = shown
        self._kinds = kinds

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool):  # to Python it is an int, too
            return bool in self._kinds or object in self._kinds
        return isinstance(value, self._kinds)

    def __repr__(self) -> str:
        return self._shown


def a_time(form: TimeForm = "ISO 8601") -> Matcher:
    """A time: a text in ISO 8601, or a number that counts from the epoch.

    Args:
        form: how it is written; a number must lie in the years 2001 to 2106.

    Example:
        >>> a_time() == "2026-07-23T14:12:11.5Z", a_time() == "2026-13-23T14:12:11Z"
        (True, False)
        >>> a_time("seconds") == 1784815931.5, a_time("milliseconds") == 1784815931.5
        (True, False)
    """
    if form == "ISO 8601":
        return _Iso("a_time()", ISO_TIME)
    if form == "date":
        return _Iso('a_time("date")', r"\d{4}-\d{2}-\d{2}")
    if form not in TIME_UNITS:
        forms = ", ".join(map(_quoted, ("ISO 8601", "date", *TIME_UNITS)))
        raise WSLabError(f"Expected a time's form, one of {forms}, got {form!r}.")
    return _Epoch(form)


def a_uuid() -> Matcher:
    """A UUID (RFC 9562), as text with its hyphens.

    Example:
        >>> a_uuid() == "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", a_uuid() == "f81d4fae"
        (True, False)
    """
    return _Text("a_uuid()", r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def an_id(digits: int) -> Matcher:
    """An id in hexadecimal, as text.

    Args:
        digits: how many it has.

    Example:
        >>> an_id(16) == "00c0ffee00c0ffee", an_id(16) == "coffee"
        (True, False)
    """
    return _Text(f"an_id({int(digits)})", rf"[0-9a-fA-F]{{{int(digits)}}}")


def a_token() -> Matcher:
    """A random text of 16 characters or more, in an alphabet of Base64.

    Example:
        >>> a_token() == "Zm9vYmFyYmF6cXV4", a_token() == "two words"
        (True, False)
    """
    return _Text("a_token()", r"[A-Za-z0-9_+/-]{16,}={0,2}")


def a_jwt() -> Matcher:
    """A JSON Web Token (RFC 7519): three parts with dots between them.

    Example:
        >>> a_jwt() == "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ."
        True
    """
    return _Text("a_jwt()", r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def a_number() -> Matcher:
    """Any number of JSON's.

    Example:
        >>> a_number() == 1.5, a_number() == True
        (True, False)
    """
    return _Kind("a_number()", (int, float))


def a_text() -> Matcher:
    """Any text."""
    return _Kind("a_text()", (str,))


def a_bool() -> Matcher:
    """True or False."""
    return _Kind("a_bool()", (bool,))


def a_list() -> Matcher:
    """Any array of JSON's."""
    return _Kind("a_list()", (list,))


def an_object() -> Matcher:
    """Any object of JSON's."""
    return _Kind("an_object()", (dict,))


def anything() -> Matcher:
    """Any value at all."""
    return _Kind("anything()", (object,))


class TextLike(Matcher):
    """Made by `text_like`.

    Attributes:
        parts: the texts and matchers it was made of.
    """

    def __init__(self, *parts: str | Matcher) -> None:
        self.parts = parts
        groups = (re.escape(part) if isinstance(part, str) else f"({_plain(part.pattern)})" for part in parts)
        self.pattern = "".join(groups)
        self._fullmatch = re.compile(self.pattern, re.DOTALL).fullmatch

    def accepts(self, value: Any) -> bool:
        """Whether `value` is a text with those parts."""
        match = self._fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return False
        matchers = [part for part in self.parts if isinstance(part, Matcher)]
        return all(part.accepts_text(text) for part, text in zip(matchers, match.groups(), strict=True))

    @property
    def value(self) -> str:
        """The text, with what its captured parts have captured.

        Raises:
            NotCapturedError: one of them has nothing yet.
        """
        return "".join(part if isinstance(part, str) else str(cast("Any", part).value) for part in self.parts)

    def __repr__(self) -> str:
        return f"text_like({', '.join(map(repr, self.parts))})"


def _plain(pattern: str) -> str:
    """`pattern` without groups that count: a text's parts are told apart by theirs."""
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)


def text_like(*parts: str | Matcher) -> TextLike:
    """A text of which some parts differ from run to run.

    Args:
        *parts: in their order, texts and matchers.

    Example:
        >>> text_like("ada came at ", a_time(), ".") == "ada came at 2026-07-23 14:12."
        True
        >>> text_like("ada came at ", a_time(), ".") == "ada came at last."
        False
    """
    return TextLike(*parts)


class Captured(Matcher):
    """Made by `captured`."""

    def __init__(self, what: Matcher) -> None:
        self._what = what
        self._value = _NOT_YET
        self.pattern = what.pattern

    def accepts(self, value: Any) -> bool:
        """The first value of its kind, and from then on that value alone."""
        return self._take(value, accepted=self._what.accepts)

    def accepts_text(self, text: str) -> bool:
        """The same for a part of a longer text."""
        if self._value is not _NOT_YET:
            return text == str(self._value)
        return self._take(text, accepted=self._what.accepts_text)

    def _take(self, value: Any, accepted: Any) -> bool:
        if self._value is not _NOT_YET:
            return type(value) is type(self._value) and bool(value == self._value)
        if not accepted(value):
            return False
        self._value = value
        return True

    @property
    def what(self) -> Matcher:
        """The kind of value."""
        return self._what

    @property
    def value(self) -> Any:
        """What was captured.

        Raises:
            NotCapturedError: nothing yet.
        """
        if self._value is _NOT_YET:
            raise NotCapturedError(
                f"Expected a message that has {self._what!r} before this, none did.",
                remedy="Compare with the captured value first: it takes what it is compared with.",
            )
        return self._value

    def __repr__(self) -> str:
        return repr(self._what if self._value is _NOT_YET else self._value)


def captured(what: Matcher | None = None) -> Captured:
    """A value that the server makes up and the client sends back, or that comes again.

    It equals the first value of its kind that it is compared with, and from then on that one alone.

    Args:
        what: its kind; `anything()` by default.

    Example:
        >>> session = captured(an_id(16))
        >>> {"session": "00c0ffee00c0ffee"} == {"session": session}
        True
        >>> session.value, session == "1234567890abcdef"
        ('00c0ffee00c0ffee', False)
    """
    return Captured(what or anything())


def _quoted(text: str) -> str:
    return f'"{text}"'
