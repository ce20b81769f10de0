"""What an explanation is made of, and how it is shown: as text, and as HTML with everything escaped."""

from __future__ import annotations

import html
from dataclasses import dataclass

from wslab.wire.shown import html_table, printable, text_table

__all__ = ["Explanation", "Field"]

_LONGEST = 400
_COLUMNS = ("field", "bits", "raw", "meaning", "section")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that was on the wire, and what it means.

    Attributes:
        name: as the RFC calls it.
        bits: the first and the last of its bits, counted from the frame's first one; None where bits
            are not how it is read.
        raw: as it was on the wire: binary digits, hexadecimal bytes, or a header's text.
        meaning: what it says and what follows from that.
        section: where that is written, such as ``"RFC 6455 section 5.2"``; "" for what no RFC says.
    """

    name: str
    bits: tuple[int, int] | None
    raw: str
    meaning: str
    section: str = ""

    def cells(self) -> tuple[str, ...]:
        """Its row in a table; what is longer than a reader would read is cut there, and only there."""
        first, last = self.bits or (None, None)
        bits = "" if first is None else f"{first}" if first == last else f"{first}–{last}"
        return (_cut(self.name), bits, _cut(self.raw), _cut(self.meaning), self.section)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … {len(text) - _LONGEST} more characters"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Fields under a title, and further explanations below them.

    Example:
        >>> print(Explanation("A byte", (Field("FIN", (0, 0), "1", "The last frame."),)))
        A byte
          field  bits  raw  meaning          section
          FIN    0     1    The last frame.
    """

    title: str
    fields: tuple[Field, ...] = ()
    children: tuple[Explanation, ...] = ()

    def text(self) -> str:
        """All of it as plain text, without anything that a terminal would obey."""
        lines = [printable(self.title)]
        if self.fields:
            lines += text_table(_COLUMNS, [field.cells() for field in self.fields]).split("\n")
        for child in self.children:
            lines += child.text().split("\n")
        return "\n".join([lines[0], *(f"  {line}" for line in lines[1:])])

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        plain = printable(self.title)
        title = html.escape(plain)
        if self.fields:
            shown = html_table(plain, _COLUMNS, [field.cells() for field in self.fields])
        else:
            shown = f"<p>{title}</p>"
        below = "".join(child._repr_html_() for child in self.children)
        return f'<section aria-label="{title}">{shown}{below}</section>'
