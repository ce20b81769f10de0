"""The dashboard's title bar: where the lab listens, what it serves, how much goes on."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, ClassVar

from wslab.widgets.base import LiveView, Message
from wslab.wire.tables import text_table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HeaderView"]

_KEYS = ("url", "state", "app", "open", "total", "frames")
_COUNTS = frozenset({"open", "total", "frames"})


class HeaderView(LiveView):
    """One line about the lab: state, address with a copy button, application, counts.

    Args:
        status: called at each look; gives `url` (str, "" while stopped), `state` ("serving" or
            "stopped"), `app` (str; its first line is shown), `open`, `total` and `frames` (int). Other keys
            never reach the page.
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
        cells = [line[key] for key in _KEYS]
        return text_table(_KEYS, [cells])

    def static_html(self) -> str:
        """The line as a paragraph."""
        line = {key: html.escape(str(value)) for key, value in self._line().items()}
        return (
            f"<p><b>wslab</b> {line['state']} <code>{line['url']}</code> {line['app']}: "
            f"{line['open']} open of {line['total']} connections, {line['frames']} frames</p>"
        )
