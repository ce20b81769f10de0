"""Which values of a conversation will be others next time, and what stands in their place.

Recognised are times near the recording's own, UUIDs, ids of 16 hexadecimal digits and more, tokens and JSON
Web Tokens, alone or within a text. Not recognised is what one sample cannot tell: a price, a counter, a short
name. Fields are named for that, by key (``"price"``, at any depth) or by path (``"$.data.ts"``,
``"$.rows[*].id"``; ``"$"`` is the message itself, also one that is plain text).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from wslab.errors import OptionError
from wslab.wire.conversation.matchers import (
    ISO_TIME,
    TIME_UNITS,
    Matcher,
    a_jwt,
    a_time,
    a_token,
    a_uuid,
    an_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEAR", "Fields", "Path", "find_volatile", "volatile_number"]

NEAR = 24 * 3600
"""Seconds by which a time may differ from the recording's to be one of its own: time zones, and some room."""

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value in a message of JSON."""

_LONGEST = 256  # characters of a word that is looked at; a JSON Web Token may be longer
_TURNS = 0.35  # a random word changes between capitals, small letters and digits more often than this
_LARGEST = 1e20  # beyond what counts nanoseconds; an integer of JSON may be larger than any float
_LONG = 20  # characters from which a random word may well have no digit
_KNOWN = (
    r"(?P<jwt>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
    r"|(?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
    rf"|(?P<iso>{ISO_TIME})"
    r"|(?P<date>\d{4}-\d{2}-\d{2})"
    r"|(?P<count>\d{10}(?:\.\d{1,9})?|\d{13}|\d{16}|\d{19})"
    rf"|(?P<hex>[0-9a-f]{{16,{_LONGEST}}}+|[0-9A-F]{{16,{_LONGEST}}}+)"
)
_BEGIN, _END = r"(?<![A-Za-z0-9])(?:", r")(?![A-Za-z0-9])"
_PART = re.compile(_BEGIN + _KNOWN + _END)
_VOLATILE = re.compile(rf"{_BEGIN}{_KNOWN}|(?P<word>[A-Za-z0-9_-]{{16,{_LONGEST}}}+){_END}")
_REST = 40  # characters of a time behind its last hyphen
_DIGITS = 17  # from which digits alone are an id: shorter ones may be a card's
_PADDED = re.compile(r"[A-Za-z0-9+/]{22,}={1,2}")  # Base64 as it ends for 16 bytes: nothing else looks so
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]")


def find_volatile(text: str, at: float) -> list[tuple[int, int, Matcher]]:
    """Where `text` has what will be another one next time: (start, end, what).

    Args:
        text: what somebody said.
        at: when, in seconds since the epoch.

    Example:
        >>> find_volatile("ada came at 2026-07-23T14:12:11Z.", 1784815931.0)
        [(12, 32, a_time())]
        >>> find_volatile("ada was born on 1815-12-10.", 1784815931.0)
        []
    """
    if _PADDED.fullmatch(text) and len(text) % 4 == 0 and _random(text):
        return [(0, len(text), a_token())]
    found = []
    position = 0
    while match := _VOLATILE.search(text, position):
        if match.lastgroup == "word":  # user-00c0ffee… has an id in it, and is no token itself
            parts = _PART.finditer(text, match.start(), match.end() + _REST)
            inner = (part for part in parts if part.start() < match.end() and _judge(part, at))
            match = next(inner, match)
        matcher = _judge(match, at)
        position = match.end()
        if matcher is not None:
            found.append((match.start(), position, matcher))
    return found


def _judge(match: re.Match[str], at: float) -> Matcher | None:
    kind, text = match.lastgroup, match[0]
    if kind == "jwt":
        return a_jwt()
    if kind == "uuid":
        return a_uuid()
    if kind in {"iso", "date"}:
        return a_time("ISO 8601" if kind == "iso" else "date") if _is_near(text, at) else None
    if kind == "count":
        time = volatile_number(float(text) if "." in text else int(text), at)
        return an_id(len(text)) if time is None and len(text) >= _DIGITS and text.isdigit() else time
    if kind == "hex":
        digits = sum(map(str.isdigit, text))
        return an_id(len(text)) if 0 < digits < len(text) or digits >= _DIGITS else None
    return a_token() if _random(text) else None


def volatile_number(value: float, at: float) -> Matcher | None:
    """A time's matcher where `value` counts from the epoch to near `at`, in one of the usual units.

    Example:
        >>> volatile_number(1784815932254, at=1784815931.0), volatile_number(14.5, at=1784815931.0)
        (a_time("milliseconds"), None)
    """
    if abs(value) > _LARGEST:
        return None
    for unit, scale in TIME_UNITS.items():
        if abs(value / scale - at) <= NEAR:
            return a_time(unit)  # type: ignore[arg-type]  # its keys are forms
    return None


def _is_near(text: str, at: float) -> bool:
    try:
        moment = datetime.fromisoformat(re.sub(r"[.,]\d+", "", text))
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return abs(aware.timestamp() - at) <= NEAR
    except (ValueError, OverflowError):
        return False


def _random(word: str) -> bool:
    """Whether `word` looks drawn rather than named: capitals, small letters and digits, well mixed."""
    if word.islower() or word.isupper() or word.isdigit():
        return False
    kinds = [(char.isupper(), char.islower(), char.isdigit()) for char in word]
    upper, lower, digit = map(any, zip(*kinds, strict=True))
    if not (upper and lower and (digit or len(word) >= _LONG)):
        return False
    turns = sum(one != other for one, other in pairwise(kinds))
    return turns >= _TURNS * (len(word) - 1)


class Fields:
    """Fields of JSON messages, by key or by path.

    Args:
        names: ``"price"``: every key of that name; ``"$.data.ts"``, ``"$.rows[*].id"``: from the root.

    Raises:
        OptionError: a path that cannot be read.

    Example:
        >>> fields = Fields(["price", "$.rows[*].id"])
        >>> ("a", "price") in fields, ("rows", 3, "id") in fields, ("id",) in fields
        (True, True, False)
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        given = [names] if isinstance(names, str) else list(names)
        self._keys = {name for name in given if not name.startswith("$")}
        self._paths = [_read_path(name) for name in given if name.startswith("$")]

    def cover(self, path: Path) -> bool:
        """Whether the field at `path`, or one it is in, is among them."""
        return any(path[:length] in self for length in range(len(path) + 1))

    def __contains__(self, path: Path) -> bool:
        if path and path[-1] in self._keys:
            return True
        return any(
            len(wanted) == len(path)
            and all(step in {None, here} for step, here in zip(wanted, path, strict=True))
            for wanted in self._paths
        )


def _read_path(name: str) -> tuple[str | int | None, ...]:
    """The steps of a path; None for any index."""
    steps: list[str | int | None] = []
    position = 1
    while position < len(name):
        match = _STEP.match(name, position)
        if match is None:
            raise OptionError(
                f"Expected a field's key or path, got {name!r}: nothing is understood from"
                f" {name[position:]!r} on.",
                remedy='Write "price" for every key of that name, or a path such as "$.rows[*].id".',
            )
        key, index = match.groups()
        steps.append(key if key is not None else None if index == "*" else int(index))
        position = match.end()
    return tuple(steps)
