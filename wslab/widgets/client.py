"""A WebSocket client in the page: the browser's own `WebSocket`, connected to the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from wslab.errors import WSLabError
from wslab.widgets.base import LiveView, Message
from wslab.wire.close_codes import CLOSE_CODES
from wslab.wire.tables import html_table, text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ClientView"]


class ClientView(LiveView):
    """A WebSocket client in the page, to talk to an endpoint without writing one.

    Theory of operation. The socket is the browser's, so what a page experiences is what is shown: the
    kernel only answers where the lab is. The address, with the token that lets a page in, is sent when
    Connect is pressed and is part of no trait: it reaches neither a saved notebook nor the transcript.
    Where a Jupyter server is known the page goes through its proxy, since the browser may be on another
    machine than the kernel; elsewhere it connects directly. Each rendering is a client of its own.

    Protocol, page → kernel: ``{"t": "address", "id": n}``. Kernel → page: ``{"t": "setup", "paths",
    "codes"}``, and ``{"t": "address", "id": n, …}`` with what `address` returned, or with ``"error"`` and
    ``"remedy"``.

    Args:
        address: where the lab is now: ``{"port": int, "token": str, "base_url": str | None, "direct":
            "ws://127.0.0.1:PORT"}``; a `WSLabError` it raises is shown in the page.
        paths: the paths to offer, such as ``["/echo", "/chat/{room}"]``.

    Example:
        >>> view = ClientView(dict, lambda: ["/echo"])
        >>> print(view.text())
        A WebSocket client; it needs a page with a running kernel.
        path
        /echo
    """

    SCRIPT = "client.js"
    STYLES: ClassVar[tuple[str, ...]] = ("client.css",)
    RATE = 2.0  # paths change when a cell is run

    def __init__(self, address: Callable[[], dict[str, Any]], paths: Callable[[], list[str]]) -> None:
        self._address = address
        self._paths = paths
        self._offered: list[str] | None = None
        super().__init__()

    def replay(self) -> None:
        """A new page needs the paths."""
        self._offered = None

    def collect(self) -> Message | None:
        """The paths, when they changed."""
        paths = list(self._paths())
        if paths == self._offered:
            return None
        self._offered = paths
        return {
            "t": "setup",
            "paths": paths,
            "codes": {str(code): CLOSE_CODES[code] for code in CLOSE_CODES},
        }, []

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:  # noqa: ARG002 - LiveView's
        """Answer where the lab is. Several pages may ask: the answer carries the question's number."""
        if content.get("t") != "address":
            return
        asked = content.get("id")
        if not isinstance(asked, int) or isinstance(asked, bool):
            return
        try:
            answer = dict(self._address())
        except WSLabError as error:
            answer = {"error": error.problem, "remedy": error.remedy}
        self.push({**answer, "t": "address", "id": asked})

    _TITLE = "A WebSocket client; it needs a page with a running kernel."

    def text(self) -> str:
        """What it is, and the paths it would offer."""
        return f"{self._TITLE}\n{text_table(('path',), [(path,) for path in self._paths()])}"

    def static_html(self) -> str:
        """The same as static HTML, every path escaped."""
        return html_table(self._TITLE, ("path",), [(path,) for path in self._paths()])
