"""What endpoints print: in the log with its connection, and in the lab's own cell.

Theory of operation. While a lab serves, `sys.stdout` and `sys.stderr` are thin streams in front of those
that were there. They look at the context variables of `wslab.session.current`: what no endpoint writes goes
straight through. What an endpoint writes, or a task or thread that it started, goes to `Prints` of its lab,
which passes it on in the context of the lab's own cell (`wslab.server.cells`), not of whatever cell runs,
and publishes it as `Printed`.

A line to standard output is published at once, so that it stands before whatever comes after it. What goes
to standard error within one turn of the loop is one event, since a traceback comes line by line; so is what
other threads write. Above `EVENTS` a second and connection, text is gathered and published each second; above
`CHARACTERS` it is left out and counted. A program without a notebook still prints all of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from wslab.events import EndpointFailed, Event, Printed
from wslab.session.current import current_connection, current_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wslab.journal import Journal
    from wslab.server.cells import Cells

__all__ = ["CHARACTERS", "EVENTS", "Prints"]

EVENTS = 20
"""Events a second and connection; what is more is gathered into one."""

CHARACTERS = 64 * 1024
"""Characters a second and connection; a lab's connections together may print four times that."""

_EVENT = 4096  # characters of one event: ten thousand of them must fit into memory
_WINDOW = 1.0  # seconds

_serving: WeakValueDictionary[int, Prints] = WeakValueDictionary()
"""By the journal's `id`, which is its own as long as the value holds it."""


@dataclass(slots=True)
class _Source:
    """One connection's prints in the present second."""

    characters: int = 0
    events: int = 0
    left_out: int = 0
    pending: list[tuple[str, str]] = field(default_factory=list)  # stream, text


class _Stream:
    """A text stream in front of `inner`, which it is taken for in everything but writing.

    IPython listens to what a cell prints by giving the stream another ``write`` for as long as the cell
    runs. That is kept here, apart from `inner`, and hears all but the endpoints, which are not the cell.
    """

    __slots__ = ("_busy", "_inner", "_listening", "_name")

    def __init__(self, inner: Any, name: str) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_listening", None)
        object.__setattr__(self, "_busy", threading.local())

    def write(self, text: str) -> Any:
        journal = current_journal.get()
        prints = _serving.get(id(journal)) if journal is not None else None
        if prints is not None and isinstance(text, str):
            return prints.write(self._name, self._inner, text)
        listening, busy = self._listening, self._busy
        if listening is None or getattr(busy, "now", False):
            return self._inner.write(text)
        busy.now = True  # what listens calls this very method in turn
        try:
            return listening(text)
        finally:
            busy.now = False

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property  # type: ignore[misc]  # `object` lets it be assigned as well
    def __class__(self) -> Any:
        # ipykernel and others ask whether a stream is of their own class before they use it as such.
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "write":
            given_back = getattr(value, "__self__", None) is self
            object.__setattr__(self, "_listening", None if given_back else value)
        else:
            setattr(self._inner, name, value)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *exc: object) -> Any:
        return self._inner.__exit__(*exc)

    def __repr__(self) -> str:
        return f"<wslab's stream in front of {self._inner!r}>"


def _runs_here(loop: asyncio.AbstractEventLoop | None) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class Prints:
    """Takes what the endpoints of one lab print.

    Args:
        journal: where it is published; each endpoint's context names it.
        cells: the lab's own cell.
    """

    def __init__(self, journal: Journal, cells: Cells) -> None:
        self._journal = journal
        self._cells = cells
        self._loop: asyncio.AbstractEventLoop | None = None
        self._plain = contextvars.Context()
        self._lock = threading.RLock()  # a signal's handler may print while its own thread does
        self._sources: dict[str, _Source] = {}
        self._characters = 0
        self._window = 0.0  # when the present second ends
        self._waking = False  # `_turned` is on its way
        self._waits = False  # `_second_ended` is
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take prints until `stop`, for endpoints that run in `loop`. Harmless when repeated."""
        if self._loop is loop:
            return
        self._loop = loop
        _serving[id(self._journal)] = self
        self._unsubscribe()
        self._unsubscribe = self._journal.subscribe(self._noted)
        self.install()

    def install(self) -> None:
        """Put the streams in front, where something else took their place."""
        if self._loop is None:
            return
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            # `type`, since isinstance takes our stream for the one behind it; None: a program without any
            if stream is not None and type(stream) is not _Stream:
                setattr(sys, name, _Stream(stream, name))

    @property
    def serves(self) -> bool:
        """Whether an endpoint may still print: a lab that nobody stopped ends with its loop."""
        return self._loop is not None and not self._loop.is_closed()

    def stop(self) -> None:
        """Publish what is left, and put back what was there."""
        if self._loop is None:
            return
        self._loop = None
        self._unsubscribe()
        with self._lock:
            self._waking = self._waits = False
            events = self._settle()
        self._publish(events)
        _serving.pop(id(self._journal), None)
        if any(each.serves for each in _serving.values()):
            return  # another lab still needs them
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if type(stream) is _Stream:
                setattr(sys, name, stream._inner)  # noqa: SLF001 - the stream and its maker are one concept

    # -- writing, in any thread --------------------------------------------------------------------
    def write(self, stream: str, inner: Any, text: str) -> int:
        """What an endpoint writes to `stream`, which stands in front of `inner`."""
        connection = current_connection.get()
        in_notebook = hasattr(inner, "set_parent")
        kept, events = self._take(connection, stream, text)
        if not in_notebook:
            inner.write(text)
        elif kept:
            self._cells.own.copy().run(inner.write, kept)
        self._publish(events)
        return len(text)

    def _take(self, connection: str, stream: str, text: str) -> tuple[str, list[Event]]:
        events: list[Event] = []
        with self._lock:
            if time.monotonic() >= self._window:
                events = self._settle()
            source = self._sources.setdefault(connection, _Source())
            room = min(CHARACTERS - source.characters, 4 * CHARACTERS - self._characters)
            kept = text[: max(0, room)]
            source.left_out += len(text) - len(kept)
            source.characters += len(kept)
            self._characters += len(kept)
            if kept:
                source.pending.append((stream, kept))
            at_once = stream == "stdout" and _runs_here(self._loop)
            if at_once and kept.endswith("\n") and source.events < EVENTS:
                events += self._gathered(connection, source)
            elif not self._waking:
                self._waking = True
                self._wake()
        return kept, events

    def _wake(self) -> None:
        """Have the loop publish what is pending, at its next turn."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._turned, context=self._plain)

    # -- on the loop -------------------------------------------------------------------------------
    def _turned(self) -> None:
        with self._lock:
            self._waking = False
            events: list[Event] = []
            for connection, source in self._sources.items():
                if source.events < EVENTS:
                    events += self._gathered(connection, source)
            waits = any(source.pending or source.left_out for source in self._sources.values())
            if waits and not self._waits and self._loop is not None:
                self._waits = True
                left = max(0.0, self._window - time.monotonic())
                self._loop.call_later(left, self._second_ended, context=self._plain)
        self._publish(events)

    def _second_ended(self) -> None:
        with self._lock:
            self._waits = False
            events = self._settle()
        self._publish(events)

    # -- both, under the lock ----------------------------------------------------------------------
    def _settle(self) -> list[Event]:
        """A new second begins: everything that is left of the old one."""
        events: list[Event] = []
        for connection, source in self._sources.items():
            events += self._gathered(connection, source, ends=True)
            if source.left_out:
                self._say_left_out(connection, source.left_out)
        self._sources.clear()
        self._characters = 0
        self._waking = False  # should an interrupt have come between this and its wake
        self._window = time.monotonic() + _WINDOW
        return events

    def _gathered(self, connection: str, source: _Source, *, ends: bool = False) -> list[Event]:
        """What is pending, as events: one for each run of writes to the same stream."""
        runs: list[tuple[str, list[str]]] = []
        for stream, text in source.pending:
            if not runs or runs[-1][0] != stream:
                runs.append((stream, []))
            runs[-1][1].append(text)
        source.pending.clear()
        events: list[Event] = []
        for stream, texts in runs:
            text = "".join(texts).removesuffix("\n")
            if text:  # the end of a line that another thread's write was cut from says nothing
                cut = max(0, len(text) - _EVENT)
                printed = Printed(connection=connection, stream=stream, text=text[:_EVENT], left_out=cut)
                events.append(printed)
        if ends and source.left_out:
            events.append(Printed(connection=connection, stream="stdout", text="", left_out=source.left_out))
        source.events += len(events)
        return events

    # -- elsewhere ---------------------------------------------------------------------------------
    def _publish(self, events: list[Event]) -> None:
        if not events:
            return
        # Not as the endpoint: a reader of the journal that prints would answer its own print for ever.
        context = self._plain.copy()
        for event in events:
            context.run(self._journal.publish, event)

    def _say_left_out(self, connection: str, count: int) -> None:
        self._tell_cell(
            f"[wslab: {count:,} characters that {connection or 'an endpoint'} printed are left out]"
        )

    def _noted(self, event: Event) -> None:
        """An endpoint's traceback belongs into the lab's own cell as well."""
        if isinstance(event, EndpointFailed):
            self._tell_cell(f"wslab: the endpoint of {event.connection} raised\n{event.traceback.rstrip()}")

    def _tell_cell(self, text: str) -> None:
        stream = sys.stderr
        if hasattr(stream, "set_parent"):  # a notebook's: elsewhere the journal is read, or asked to print

            def write() -> None:
                print(text, file=stream)

            # Not as an endpoint, whatever context that cell had: this is the lab's own word.
            self._cells.own.copy().run(write)
