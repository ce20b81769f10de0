"""Tables as text and as HTML: what is shown came from the network, and must stay text."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["html_table", "printable", "text_table"]


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text, aligned, for a terminal."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    lines = [list(columns), *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def html_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same as an HTML table, every cell escaped: frames and names are hostile text."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line([printable(str(cell)) for cell in row], "td") for row in rows)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{line(columns, 'th')}</thead>"
        f"<tbody>{body}</tbody></table>"
    )


def printable(text: str) -> str:
    """`text` with controls and bidirectional overrides shown as escapes: a terminal must not obey them."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
