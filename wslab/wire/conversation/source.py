"""Values as Python source: literals that say exactly what was recorded, laid out as `ruff format` does.

What was recorded is hostile text. Each literal is made character by character: what is not plainly visible,
or would turn the direction of a line around, is an escape. So nothing ends a literal but its own quote.

A `Node` is either one piece of a line or a bracket with items. One that does not fit in a line gets an item a
line, with a comma behind the last, which formatters keep.
"""

from __future__ import annotations

import base64
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wslab.wire.conversation.matchers import Captured, Matcher, TextLike

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["WIDTH", "Group", "Node", "call", "encode_literal", "lay_out", "text_node", "value_node"]

WIDTH = 110
"""Columns of a line, where it can be broken at all."""

_INDENT = 4
_SHORT_BYTES, _HEX_BYTES = 60, 256  # up to which bytes are a literal of characters, or written in hexadecimal
_WORD = 20  # characters of a word that is not broken between two lines
_REPEATED = 40  # characters of one kind from which a literal is a product
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN = (
    (0x20, 0x7F),  # ASCII
    (0xA1, 0x300),  # Latin, with what is spaced
    (0x370, 0x483),  # Greek and Cyrillic
    (0x48A, 0x530),
    (0x2010, 0x2028),  # dashes, quotes
    (0x2030, 0x205F),
    (0x20A0, 0x20C0),  # currencies
    (0x2190, 0x2200),  # arrows
    (0x3041, 0x3097),  # Japanese
    (0x30A1, 0x30FB),
    (0x4E00, 0x9FFD),  # Chinese
    (0xAC00, 0xD7A4),  # Korean
    (0x1F300, 0x1F3FB),  # pictures, but for those that join to another one
    (0x1F400, 0x1F64F),
)
"""Characters that stand for themselves: visible, from left to right, of a width that everybody agrees on."""


@dataclass(frozen=True, slots=True)
class Group:
    """A bracket with items.

    Attributes:
        opening: what is before the first item, such as ``"text_like("``.
        items: each with what is before it, such as a key and a colon.
        closing: what is after the last.
        comma: whether items are separated by commas; without, they are pieces of one literal.
    """

    opening: str
    items: tuple[tuple[str, Node], ...]
    closing: str
    comma: bool = True


@dataclass(frozen=True, slots=True)
class _Long:
    """A literal of text that may be broken anywhere between its characters."""

    text: str


Node = str | Group | _Long


def encode_literal(text: str, *, fields: Mapping[str, str] | None = None) -> str:
    r"""`text` as a literal of Python's.

    Args:
        text: anything, lone surrogates included.
        fields: for an f-string: what is put in for each of these characters of `text`.

    Example:
        >>> print(encode_literal("it's \"so\"\n\u202e"))
        'it\'s "so"\n\u202e'
        >>> print(encode_literal("{a}: \ue000", fields={"\ue000": "name.value"}))
        f"{{a}}: {name.value}"
    """
    quote = "'" if text.count('"') > text.count("'") else '"'
    if fields is None:
        return f"{quote}{''.join(_char(char, quote) for char in text)}{quote}"
    doubled = {"{": "{{", "}": "}}"}
    pieces = (
        f"{{{fields[char]}}}" if char in fields else doubled.get(char) or _char(char, quote) for char in text
    )
    return f"f{quote}{''.join(pieces)}{quote}"


def _char(char: str, quote: str) -> str:
    if char == quote:
        return f"\\{char}"
    number = ord(char)
    if any(low <= number < high for low, high in _PLAIN) and char.isprintable():
        return _ESCAPES.get(char, char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    size, letter = (2, "x") if number < 0x100 else (4, "u") if number < 0x10000 else (8, "U")  # noqa: PLR2004 - what the escapes hold
    return f"\\{letter}{number:0{size}x}"


def _columns(source: str) -> int:
    """How many columns a line of source takes."""
    if source.isascii():
        return len(source)
    return sum(2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1 for char in source)


def call(name: str, *items: Node) -> Group:
    """A call of `name`."""
    return Group(f"{name}(", tuple(("", item) for item in items), ")")


def text_node(text: str) -> Node:
    """A literal of text that may be broken over lines; only where it stands alone in brackets."""
    return _repeated(text) or _Long(text)


def _repeated(text: str) -> str:
    if len(text) >= _REPEATED and text == text[0] * len(text):
        return f"{encode_literal(text[0])} * {len(text)}"
    return ""


def _bytes_node(data: bytes) -> Node:
    if len(data) >= _REPEATED and data == data[:1] * len(data):
        return f"bytes({len(data)})" if not data[0] else f'b"\\x{data[0]:02x}" * {len(data)}'
    if data.isascii() and data.decode().isprintable() and len(data) <= _SHORT_BYTES:
        return f"b{encode_literal(data.decode())}"
    if len(data) <= _HEX_BYTES:
        return call("bytes.fromhex", _Long(data.hex()))
    return call("base64.b64decode", _Long(base64.b64encode(data).decode()))


def value_node(value: Any, names: Mapping[int, str], *, sent: bool = False) -> Node:
    """A value of a message: of JSON's, bytes, or with matchers in it.

    Args:
        value: the value.
        names: of the variables that hold captured values, by the `id` of the `Captured`.
        sent: it is what a client sends: captured values are put in.
    """
    if isinstance(value, dict):
        items = (
            (f"{encode_literal(key)}: ", value_node(item, names, sent=sent)) for key, item in value.items()
        )
        return Group("{", tuple(items), "}")
    if isinstance(value, list):
        return Group("[", tuple(("", value_node(item, names, sent=sent)) for item in value), "]")
    if isinstance(value, Matcher):
        return _sent_node(value, names) if sent else _matcher_node(value, names)
    if isinstance(value, bytes):
        return _bytes_node(value)
    if isinstance(value, str):
        return encode_literal(value)
    return repr(value).replace("e+", "e")


def _matcher_node(matcher: Matcher, names: Mapping[int, str]) -> Node:
    if isinstance(matcher, Captured):
        return names[id(matcher)]
    if isinstance(matcher, TextLike):
        parts = (
            encode_literal(part) if isinstance(part, str) else _matcher_node(part, names)
            for part in matcher.parts
        )
        return call("text_like", *parts)
    name, _, given = repr(matcher).removesuffix(")").partition("(")
    return call(name, given) if given else f"{name}()"


def _sent_node(matcher: Matcher, names: Mapping[int, str]) -> str:
    if not isinstance(matcher, TextLike):
        return f"{names[id(matcher)]}.value"
    # Characters for private use stand for the fields until the literal is made: none of them is the text's.
    used = {char for part in matcher.parts if isinstance(part, str) for char in part}
    free = (chr(number) for number in range(0xE000, 0xF900) if chr(number) not in used)
    fields, text = {}, ""
    for part in matcher.parts:
        if isinstance(part, str):
            text += part
        else:
            mark = next(free)
            fields[mark] = f"{names[id(part)]}.value"
            text += mark
    return encode_literal(text, fields=fields)


def lay_out(before: str, node: Node, indent: int, after: str = "") -> list[str]:
    """The lines of a statement that ends in `node`.

    Args:
        before: what is before it, without the indentation.
        node: the value.
        indent: columns.
        after: what is behind it.

    Example:
        >>> print(*lay_out("x = ", value_node([1, {"a": None}], {}), 0), sep="")
        x = [1, {"a": None}]
    """
    start = f"{' ' * indent}{before}"
    flat = f"{start}{_flat(node)}{after}"
    if isinstance(node, str) or (_columns(flat) <= WIDTH and "\n" not in flat):
        return [flat]
    if isinstance(node, _Long):
        # only as the whole right side of a statement: parentheses hold its pieces together
        return lay_out(before, Group("(", (("", node),), ")", comma=False), indent, after)
    if not node.items:
        return [flat]
    lines = [f"{start}{node.opening}"]
    comma = "," if node.comma else ""
    for prefix, item in node.items:
        if isinstance(item, _Long):
            lines += _pieces(item.text, indent + _INDENT, comma)
        else:
            lines += lay_out(prefix, item, indent + _INDENT, comma)
    return [*lines, f"{' ' * indent}{node.closing}{after}"]


def _flat(node: Node) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, _Long):
        return encode_literal(node.text)
    return f"{node.opening}{', '.join(prefix + _flat(item) for prefix, item in node.items)}{node.closing}"


def _pieces(text: str, indent: int, comma: str) -> list[str]:
    """A literal in one line, or in as many as it takes."""
    start, room = " " * indent, WIDTH - indent - len(comma)
    whole = encode_literal(text)
    if _columns(whole) <= room:
        return [f"{start}{whole}{comma}"]
    lines = [f"{start}{encode_literal(piece)}" for piece in _cut(text, room - 2)]
    lines[-1] += comma
    return lines


def _cut(text: str, room: int) -> Iterable[str]:
    piece, size = "", 0
    for char in text:
        width = _most_columns(char)
        if size + width > room:
            kept, space, word = piece.rpartition(" ")
            if not space or len(word) > _WORD:
                kept, space, word = piece, "", ""
            yield kept + space
            piece, size = word, sum(map(_most_columns, word))
        piece += char
        size += width
    yield piece


def _most_columns(char: str) -> int:
    """What a character takes at most, whichever the quotes."""
    return max(_columns(_char(char, quote)) for quote in "\"'")
