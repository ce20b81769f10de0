"""Waiting for the right moment without drifting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

__all__ = ["Clock", "Pace", "Sleep"]

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Pace:
    """Waits until given distances from a start that the first wait sets.

    Each wait aims at a moment of the clock rather than at a span, so that a late one is followed by
    shorter ones and errors never add up. A wait for a moment that has passed still lets the event loop
    run other tasks.

    Args:
        clock: monotonic seconds, such as `time.monotonic`.
        sleep: waits for that many seconds, such as `asyncio.sleep`.
    """

    def __init__(self, clock: Clock, sleep: Sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._start: float | None = None

    async def until(self, seconds: float) -> None:
        """Wait until `seconds` after the first call."""
        now = self._clock()
        if self._start is None:
            self._start = now
        await self._sleep(max(0.0, self._start + seconds - now))
