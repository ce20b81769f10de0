"""Checks that a feed's arguments make sense, where they are passed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wslab.errors import FeedError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_number", "symbol_names"]


def symbol_names(symbols: Iterable[str] | str) -> tuple[str, ...]:
    """`symbols` without repeats, in order; a single string is one symbol, not its letters.

    Raises:
        FeedError: nothing was named, or something that is not a non-empty string.

    Example:
        >>> symbol_names("AAPL"), symbol_names(["IBM", "FB", "IBM"])
        (('AAPL',), ('IBM', 'FB'))
    """
    names = (symbols,) if isinstance(symbols, str) else tuple(dict.fromkeys(symbols))
    given: tuple[object, ...] = names  # callers without a type checker pass anything
    wrong = [name for name in given if not isinstance(name, str) or not name]
    if wrong or not names:
        raise FeedError(
            f"Expected one or more ticker symbols, got {wrong[0] if wrong else symbols!r}.",
            remedy='Name them as strings, such as ["AAPL", "IBM"], or leave `symbols` out for all.',
        )
    return names


def check_number(
    name: str, value: object, *, above: float = -math.inf, least: float = -math.inf, finite: bool = True
) -> None:
    """Accept `value` as the argument `name` when it is a number in its range.

    Args:
        name: of the argument, for the message.
        value: what was passed.
        above: it must be greater than this,
        least: and not smaller than this.
        finite: whether infinity is refused; not-a-number always is.

    Raises:
        FeedError: it is not.

    Example:
        >>> check_number("speed", math.inf, above=0.0, finite=False)
        >>> check_number("gap", -1, above=0.0)
        Traceback (most recent call last):
        wslab.errors.FeedError: Expected a finite number above 0 as `gap`, got -1. Change it, or leave it out.
    """
    if isinstance(value, (int, float)):
        usable = math.isfinite(value) or (value == math.inf and not finite)
        if usable and value > above and value >= least:
            return
    bound = ""
    if math.isfinite(above):
        bound = f" above {above:g}"
    elif math.isfinite(least):
        bound = f" of at least {least:g}"
    raise FeedError(
        f"Expected a{' finite' if finite else ''} number{bound} as `{name}`, got {value!r}.",
        remedy="Change it, or leave it out.",
    )
