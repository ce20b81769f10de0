"""The dashboard's title bar: where the lab listens, what it serves, how much goes on."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, ClassVar

from wslab.widgets.base import LiveView, Message
from wslab.wire.shown import text_table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HeaderView"]

_KEYS = ("url", "state", "app", "open", "total", "frames", "lag", "lag_by")
_COUNTS = frozenset({"open", "total", "frames", "lag"})


class HeaderView(LiveView):
    """One line about the lab: state, address with a copy button, application, counts.

    Args:
        status: called at each look; gives `url` (str, "" while stopped), `state` ("serving" or
            "stopped"), `app` (str; its first line is shown), `open`, `total` and `frames` (int), `lag` (int,
            the longest the loop was held in the last minute, in milliseconds, 0 for not at all) and `lag_by`
            (str, who held it). Other keys never reach the page.
    """

    SCRIPT: ClassVar[str] = "header.js"
    STYLES: ClassVar[tuple[str, ...]] = ("header.css",)
    RATE: ClassVar[float] = 4.0

    def __init__(self, status: Callable[[], dict[str, Any]], **traits: object) -> None:
        super().__init__(**traits)
        self._status = status
        self._shown: dict[str, object] | None = None

    def replay(self) -> None:
        """Send the line again."""
        self._shown = None

    def collect(self) -> Message | None:
        """The whole line, where anything in it changed."""
        status = self._line()
        if status == self._shown:
            return None
        self._shown = status
        return {"t": "status", **status}, []

    def _line(self) -> dict[str, object]:
        status = self._status()
        line: dict[str, object] = {
            key: int(status[key]) if key in _COUNTS else str(status[key] or "") for key in _KEYS
        }
        line["app"] = str(line["app"]).partition("\n")[0].strip("<>: ")
        return line

    def text(self) -> str:
        """The line as plain text."""
        line = self._line()
        line["loop"] = _loop(line)
        keys = [*_KEYS[:6], "loop"]
        return text_table(keys, [[line[key] for key in keys]])

    def static_html(self) -> str:
        """The line as a paragraph."""
        known = self._line()
        line = {key: html.escape(str(value)) for key, value in {**known, "loop": _loop(known)}.items()}
        return (
            f"<p><b>wslab</b> {line['state']} <code>{line['url']}</code> {line['app']}: "
            f"{line['open']} open of {line['total']} connections, {line['frames']} frames; {line['loop']}</p>"
        )


def _loop(line: dict[str, object]) -> str:
    """What `lag` and `lag_by` say, in words."""
    if not line["lag"]:
        return "loop free"
    by = f" by {line['lag_by']}" if line["lag_by"] else ""
    return f"loop held {int(str(line['lag'])) / 1000:.1f} s{by}"
