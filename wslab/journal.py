"""The journal: a bounded ring of events with subscribers.

Theory of operation. Whoever sees something happen publishes an event; the ring keeps the newest
`capacity` of them; each subscriber is called at once, in the publisher's thread, in the order of
subscription. Several threads may publish and read. Publishing never waits for a reader and never raises:
a subscriber that raises is unsubscribed, and its error is an event itself. `published` counts all events
ever published, so a reader that comes back with an old count learns with `since` what it missed.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wslab.events import Event, Notice

__all__ = ["FrameSink", "Journal", "LabExtension", "lab_extension"]

Subscriber = Callable[[Event], None]


class Journal:
    """A bounded ring of events.

    Args:
        capacity: how many events are kept; the oldest goes first.

    Example:
        >>> from wslab.events import Notice
        >>> journal = Journal(capacity=2)
        >>> for text in "abc":
        ...     journal.publish(Notice(text=text))
        >>> [event.text for event in journal], journal.published
        (['b', 'c'], 3)
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._ring: deque[Event] = deque(maxlen=capacity)
        # The ring and its count belong together. A signal's handler may publish in the midst of it all.
        self._lock = threading.RLock()
        self._subscribers: tuple[Subscriber, ...] = ()  # replaced, never changed: a publisher may be at it
        self.published = 0

    def publish(self, event: Event) -> None:
        """Keep `event` and tell every subscriber. O(subscribers); never raises."""
        with self._lock:
            self._ring.append(event)
            self.published += 1
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as error:  # noqa: BLE001 - one reader's fault must not reach the publisher
                self.unsubscribe(subscriber)
                text = "".join(traceback.format_exception(error))
                name = getattr(subscriber, "__qualname__", repr(subscriber))
                self.publish(
                    Notice(level="error", text=f"The journal reader {name} failed and was removed:\n{text}")
                )

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(event)` for each event from now on; the result ends it (idempotent)."""
        self._subscribers += (subscriber,)
        return lambda: self.unsubscribe(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop calling `subscriber`; harmless when it is not subscribed."""
        self._subscribers = tuple(each for each in self._subscribers if each != subscriber)

    def since(self, count: int) -> list[Event]:
        """Events published after the first `count`, as far as the ring still has them."""
        with self._lock:
            fresh = self.published - count
            if fresh <= 0:
                return []
            events = list(self._ring)
        return events[-fresh:] if fresh < len(events) else events

    def __iter__(self) -> Iterator[Event]:
        return iter(list(self._ring))

    def __len__(self) -> int:
        return len(self._ring)

    def __getitem__(self, index: int) -> Event:
        return self._ring[index]

    def __repr__(self) -> str:
        lines = [repr(event) for event in list(self._ring)[-20:]]
        return "\n".join([f"<Journal: {self.published} events, the last {len(lines)} of them:", *lines]) + ">"


class FrameSink(Protocol):
    """A connection that takes frames as they go on the wire: encoded once, for however many members.

    Only for frames that are whole messages, not compressed, from a server (so not masked).
    """

    @property
    def buffered(self) -> int:
        """Bytes that were taken and are not with the operating system yet."""

    def write_frame(self, frame: bytes) -> bool:
        """Take `frame`, to go out with all others of this turn of the loop, in their order.

        Returns:
            False where it was not taken: the connection is not open, or its client does not keep up.
        """

    async def drained(self) -> None:
        """Wait until `write_frame` takes frames again.

        Raises:
            OSError: the connection has ended.
        """

    def abort(self) -> None:
        """Drop the connection at once, without a close frame; the client sees 1006."""


@dataclass(frozen=True, slots=True)
class LabExtension:
    """What a lab adds to a connection's ASGI scope, as ``scope["extensions"]["wslab"]``.

    Lower rooms use it when it is there and do without it elsewhere, so they run in any ASGI server.

    Attributes:
        journal: where to tell what happens.
        connection: the connection's id.
        meant: told the close code and reason of a refusal, which HTTP has no place for; or None.
        sink: takes frames that are encoded already; None where another server's protocol serves.
    """

    journal: Journal
    connection: str
    meant: Callable[[int, str], None] | None = None
    sink: FrameSink | None = None


def lab_extension(scope: Mapping[str, Any]) -> LabExtension | None:
    """The lab's extension of `scope`, or None where another server runs the application.

    Example:
        >>> lab_extension({"type": "websocket"}) is None
        True
    """
    found = scope.get("extensions", {}).get("wslab")
    return found if isinstance(found, LabExtension) else None
