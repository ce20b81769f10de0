"""The `Sec-WebSocket-Extensions` header: its grammar (RFC 6455 section 9.1), without a meaning."""

from __future__ import annotations

import re

from wslab.errors import WSLabError

__all__ = ["Extension", "ExtensionSyntaxError", "parse_extensions"]

Extension = tuple[str, list[tuple[str, str | None]]]
"""A name and its parameters in their order; None for a parameter without a value."""

# Possessive, so that no hostile value takes more than one pass. A quoted value must be a token, too.
_WORD = r"[\w!#$%&'*+.^`|~-]++"
_PART = re.compile(
    rf"""[ \t]*+({_WORD})"""
    rf"""(?:[ \t]*+=[ \t]*+(?:({_WORD})|"((?:\\?[\w!#$%&'*+.^`|~-])++)"))?"""
    r"""[ \t]*+(;|(?:,[ \t]*+)++|\Z)""",
    re.ASCII,
)
_EMPTY = re.compile(r"(?:[ \t]*+,)*+")


class ExtensionSyntaxError(WSLabError, ValueError):
    """A `Sec-WebSocket-Extensions` value that does not follow the grammar."""


def parse_extensions(value: str) -> list[Extension]:
    """The extensions that a header's value names, in their order.

    Raises:
        ExtensionSyntaxError: the value is empty, or breaks the grammar of RFC 6455 section 9.1.

    Example:
        >>> parse_extensions('permessage-deflate; server_max_window_bits="10", x; y')
        [('permessage-deflate', [('server_max_window_bits', '10')]), ('x', [('y', None)])]
    """
    extensions: list[Extension] = []
    empty = _EMPTY.match(value)
    position = empty.end() if empty else 0
    inside = False  # a parameter is next, not a name
    while True:
        part = _PART.match(value, position)
        if part is None or (not inside and (part[2] or part[3])):
            raise ExtensionSyntaxError(
                f"Expected 'name; parameter=value' in Sec-WebSocket-Extensions, "
                f"got {value[position : position + 40]!a}.",
                remedy="Leave the header out, or follow RFC 6455 section 9.1.",
            )
        name, bare, quoted, end = part.groups()
        if inside:
            extensions[-1][1].append((name, bare if quoted is None else quoted.replace("\\", "")))
        else:
            extensions.append((name, []))
        position = part.end()
        if end != ";" and position == len(value):
            return extensions
        inside = end == ";"
