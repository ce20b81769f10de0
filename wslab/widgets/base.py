"""What every live view shares: a coalesced, credit-controlled stream from the kernel to the page.

Theory of operation. A view is *pulled*: while at least one page has said ``hello``, a ticker of the
loop asks the view `rate` times a second what is new (`collect`), and sends at most one message. Frames
or events never send anything themselves, so a flood costs one message a tick, and a run without a
page (nbclient) costs nothing at all.

The page acknowledges each message on **receipt** (a hidden tab does not draw, but it receives). With
`WINDOW` messages unacknowledged the view waits; without any acknowledgement it sends one message a
second, so that a kernel or a page that was busy comes back by itself. Jupyter drops messages above
1000 a second without a word; this stays far below.

Messages from the page may arrive on another thread (ipykernel 7.0–7.3 runs comm callbacks on a
subshell's): they hop to the loop first. A view whose `collect` raises is reported to the loop's
exception handler once and left out until a page says ``hello`` again; the others go on.

Protocol, page → kernel: ``{"t": "hello"}``, ``{"t": "ack", "s": n}``, and what the view defines.
Kernel → page: what `collect` or `replay` returns, plus ``"s"``, the message's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

import anywidget
from traitlets import Unicode

from wslab.widgets.bundle import script, styles

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LiveView", "Message"]

Message = tuple[dict[str, Any], list[bytes]]
"""What goes to the page: JSON content and binary buffers."""

WINDOW = 4
"""Messages that may be unacknowledged at a time."""

_STALLED = 1.0  # seconds between messages to a page that does not acknowledge
_TICK = 1 / 30  # seconds between two looks at the views


class _Ticker:
    """One timer for all attached views of a loop; it ends when none is attached.

    Only its loop's thread touches it: a view that was closed, or bound to another loop, is dropped
    here at the next tick instead of being taken out from where that happened.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._views: WeakSet[LiveView] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, view: LiveView) -> None:
        self._views.add(view)
        if self._timer is None:
            self._timer = self._loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        for view in list(self._views):
            if not view.attached or view.loop is not self._loop:
                self._views.discard(view)
                continue
            try:
                view.tick(now)
            except Exception as error:  # noqa: BLE001 - one view's fault must not stop the others
                self._views.discard(view)
                message = f"{type(view).__name__} failed and is not updated until its page is reloaded."
                self._loop.call_exception_handler({"message": message, "exception": error})
        if self._views:
            self._timer = self._loop.call_later(_TICK, self._tick)
        else:
            self._timer = None
            _tickers.pop(id(self._loop), None)


_tickers: dict[int, _Ticker] = {}


class LiveView(anywidget.AnyWidget):
    """Base of the views.

    A subclass names its files (`SCRIPT`, `STYLES`, `VENDORED`), returns what is new from `collect`,
    starts over in `replay`, takes the page's own messages in `handle`, and says what it shows where no
    widget can be shown in `text` and `static_html`.
    """

    SCRIPT: ClassVar[str]
    STYLES: ClassVar[tuple[str, ...]] = ()
    VENDORED: ClassVar[tuple[str, ...]] = ()
    RATE: ClassVar[float] = 15.0
    """Messages a second at most."""

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)

    def __init__(self, **traits: object) -> None:
        super().__init__(
            _esm=script(self.SCRIPT, *self.VENDORED),
            _css=styles(
                *(f"vendor/{name.replace('.iife.min.js', '.min.css')}" for name in self.VENDORED),
                "common.css",
                *self.STYLES,
            ),
            **traits,
        )
        self.loop: asyncio.AbstractEventLoop | None = None
        self._sent = self._acknowledged = 0
        self._last_sent = 0.0
        self.attached = False
        with contextlib.suppress(RuntimeError):  # made outside a loop: `bind_loop` comes with the start
            self.bind_loop(asyncio.get_running_loop())
        self.on_msg(self._from_page)

    def bind_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver and collect on `loop` from now on; a page that is attached already stays so."""
        self.loop = loop
        if self.attached:
            loop.call_soon_threadsafe(self._join_ticker)

    def _join_ticker(self) -> None:
        if self.loop is not None:
            _tickers.setdefault(id(self.loop), _Ticker(self.loop)).add(self)

    # -- page -> kernel ----------------------------------------------------------------------------
    def _from_page(self, _widget: object, content: object, buffers: Sequence[memoryview]) -> None:
        if not isinstance(content, dict):
            return
        loop = self.loop
        if loop is None or loop.is_closed():
            self._dispatch(content, buffers)
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._dispatch(content, buffers)
        else:
            loop.call_soon_threadsafe(self._dispatch, content, buffers)

    def _dispatch(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        kind = content.get("t")
        if kind == "ack":
            number = content.get("s")
            if isinstance(number, int) and number <= self._sent:
                self._acknowledged = max(self._acknowledged, number)
        elif kind == "hello":
            self.attached = True
            self._acknowledged = self._sent
            self.replay()
            if self.loop is not None and not self.loop.is_closed():
                self._join_ticker()
        else:
            self.handle(content, buffers)

    # -- kernel -> page ----------------------------------------------------------------------------
    def tick(self, now: float) -> None:
        """Send what is new, if it is time and the page keeps up. `now` is `time.monotonic()`."""
        waiting = self._sent - self._acknowledged
        pause = _STALLED if waiting >= WINDOW else 1 / self.RATE
        if now - self._last_sent < pause * 0.999:
            return
        message = self.collect()
        if message is None:
            return
        self._last_sent = now
        self.push(*message)

    def push(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send one numbered message now; for answers to the page's own requests."""
        self._sent += 1
        self.send({**content, "s": self._sent}, buffers=list(buffers))

    def close(self) -> None:
        """End the view: its ticker forgets it, its comm closes."""
        self.attached = False
        super().close()

    # -- for subclasses ----------------------------------------------------------------------------
    def collect(self) -> Message | None:
        """What is new since the last call, or None. Called on the loop, up to `RATE` times a second."""
        return None

    def replay(self) -> None:
        """A page (re)appeared and knows nothing: make the next `collect` start from the beginning."""

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """A message of the view's own from the page. It is untrusted input."""

    def text(self) -> str:
        """What the view shows, as plain text."""
        raise NotImplementedError

    def static_html(self) -> str:
        """What the view shows, as static HTML; every value from outside must be escaped."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        made: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = made if isinstance(made, tuple) else (made, {})
        return {**data, "text/plain": self.text(), "text/html": self.static_html()}, metadata
