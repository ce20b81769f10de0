"""Text in a terminal's columns: what is safe to print, how wide it is, and its colours."""

from __future__ import annotations

import json
import re
import unicodedata

__all__ = ["Paint", "compact", "elided", "safe", "size"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "yellow": "33", "in": "36", "out": "32"}
_KIB, _LARGEST_UNIT = 1024, 3
_SPACE = re.compile(r'("(?:[^"\\]++|\\.)*+")|[ \t\r\n]+')  # of a JSON text: its strings stay as they are


class Paint:
    r"""Colours around text that is safe already, or nothing where there are none.

    Example:
        >>> Paint(on=True)("red", "no"), Paint(on=False)("red", "no")
        ('\x1b[31mno\x1b[0m', 'no')
    """

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, style: str, text: str) -> str:
        """`text` in one of the styles "bold", "dim", "red", "yellow", "in" and "out"."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.on and text else text


def safe(text: str) -> str:
    r"""`text` with all that a terminal would obey as escapes.

    Example:
        >>> safe("\x1b[2J")
        '\\x1b[2J'
    """
    from wslab.wire.shown import printable

    return printable(text)


def compact(text: str) -> str:
    r"""`text` without the spaces between its parts where it is an object or a list of JSON.

    Example:
        >>> compact('{"a b": [1, 2.50],\n "c": {}}'), compact("{ not JSON")
        ('{"a b":[1,2.50],"c":{}}', '{ not JSON')
    """
    if text[:1] not in {"{", "["}:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _SPACE.sub(lambda found: found[1] or "", text)


def size(number: int) -> str:
    """A number of bytes, in few characters.

    Example:
        >>> size(999), size(65536), size(3 * 2**20)
        ('999 B', '64.0 KiB', '3.0 MiB')
    """
    if number < _KIB:
        return f"{number} B"
    shown, power = float(number), 0
    while shown >= _KIB and power < _LARGEST_UNIT:
        shown, power = shown / _KIB, power + 1
    return f"{shown:.1f} {'KMG'[power - 1]}iB"


def _columns(char: str) -> int:
    """How many columns of a terminal `char` takes (UAX 11)."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def elided(text: str, columns: int) -> str:
    """`text` in at most so many columns, with an ellipsis where it was longer.

    Example:
        >>> elided("conversation", 6), elided("日本語", 6), elided("日本語!", 6)
        ('conve…', '日本語', '日本…')
    """
    if len(text) <= columns // 2:
        return text
    used = end = 0
    for index, char in enumerate(text):
        used += _columns(char)
        if used < columns:
            end = index + 1
        elif used > columns:
            return f"{text[:end]}…"
    return text
