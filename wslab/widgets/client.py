"""A WebSocket client in the page: the browser's own `WebSocket`, or one through the widget's comm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from wslab.errors import WSLabError
from wslab.widgets.base import LiveView, Message
from wslab.widgets.tunnel import Tunnels
from wslab.wire.close_codes import CLOSE_CODES
from wslab.wire.shown import html_table, text_table
from wslab.wire.ways import WAYS, alterations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from wslab.client.memory import MemoryClient

__all__ = ["ClientView"]


class ClientView(LiveView):
    """A WebSocket client in the page, to talk to an endpoint without writing one.

    Theory of operation. The page takes the first way that works (`static/ways.js`): directly to the port,
    through Jupyter's proxy, or through this widget's comm, and shows which, what that way alters, and why
    the others were not taken; or the one that its reader chose. The address, with the token that
    lets a page in, is sent when Connect is pressed and is part of no trait: it reaches neither a saved
    notebook nor the transcript. Each rendering is a client of its own.

    Protocol, page → kernel: ``{"t": "address", "id": n}``, and a tunnel's (`wslab.widgets.tunnel`). Kernel →
    page: ``{"t": "setup", "paths", "codes", "altered"}``, ``{"t": "address", "id": n, …}`` with what
    `address` returned, or with ``"error"`` and ``"remedy"``, and a tunnel's.

    Args:
        address: where the lab is now: ``{"port": int, "token": str, "base_url": str | None, "direct":
            "ws://127.0.0.1:PORT", "probe": str, "answer": str}``; a `WSLabError` it raises is shown in the
            page. Port 0: there is none, and the tunnel alone leads in.
        paths: the paths to offer, such as ``["/echo", "/chat/{room}"]``.
        tunnel: opens a connection to a path with subprotocols, for a page that is let in.

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

    def __init__(
        self,
        address: Callable[[], dict[str, Any]],
        paths: Callable[[], list[str]],
        tunnel: Callable[[str, list[str]], Awaitable[MemoryClient]] | None = None,
    ) -> None:
        self._address = address
        self._paths = paths
        self._offered: list[str] | None = None
        self._tunnels = Tunnels(self._send_unnumbered, tunnel) if tunnel is not None else None
        super().__init__()

    def _send_unnumbered(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        """Send what has a flow control of its own, beside the view's numbered stream."""
        self.send(content, buffers=buffers)

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
            "altered": {way: " ".join(alterations(way)) for way in WAYS},
        }, []

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """Answer where the lab is, or pass on what belongs to a tunnel.

        Several pages may ask: the answer carries the question's number.
        """
        kind, asked = content.get("t"), content.get("id")
        if not isinstance(asked, int) or isinstance(asked, bool):
            return
        if kind == "tunnel":
            self._tunnel(asked, content, buffers)
        elif kind == "address":
            try:
                answer = dict(self._address())
            except WSLabError as error:
                answer = {"error": error.problem, "remedy": error.remedy}
            self.push({**answer, "t": "address", "id": asked})

    def _tunnel(self, number: int, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            tunnels = None  # the lab was never started: nothing could serve
        else:
            tunnels = self._tunnels
        if tunnels is not None:
            tunnels.handle(content, buffers)
        elif content.get("op") == "open":
            refusal = {"op": "refused", "status": 0, "reason": "The lab does not run. Call lab.start()."}
            self._send_unnumbered({**refusal, "t": "tunnel", "id": number}, [])

    def close(self) -> None:
        """End the view; the connections through its comm are cut."""
        if self._tunnels is not None:
            self._tunnels.abort()
        super().close()

    _TITLE = "A WebSocket client; it needs a page with a running kernel."

    def text(self) -> str:
        """What it is, and the paths it would offer."""
        return f"{self._TITLE}\n{text_table(('path',), [(path,) for path in self._paths()])}"

    def static_html(self) -> str:
        """The same as static HTML, every path escaped."""
        return html_table(self._TITLE, ("path",), [(path,) for path in self._paths()])
