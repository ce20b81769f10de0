"""A lab's manners towards the kernel around it: prints, lag and deadlocks, as one thing to start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wslab.server.cells import Cells
from wslab.server.deadlock import DeadlockGuard
from wslab.server.lag import HELD, LagMeter
from wslab.server.prints import Prints

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from wslab.journal import Journal
    from wslab.server.lag import LoopLag

__all__ = ["Manners"]


class Manners:
    """What a lab does for the notebook around it while it serves.

    Args:
        journal: the lab's.
        late: told, on the loop, by how many seconds that was late, whenever it is worth noting.

    Attributes:
        cells: the notebook's cells; the lab's own one is `cells.own`.

    Example:
        >>> from wslab.journal import Journal
        >>> Manners(Journal()).lag
        <LoopLag: not measured yet>
    """

    def __init__(self, journal: Journal, late: Callable[[float], None] | None = None) -> None:
        self.cells = Cells()
        self._address = ("", 0)
        self._prints = Prints(journal, self.cells)
        guard = DeadlockGuard(journal, self.cells, lambda: self._address)
        self._meter = LagMeter(journal, self.cells, guard.look, late)

    @property
    def lag(self) -> LoopLag:
        """How late the lab's loop is."""
        return self._meter.lag

    def adopt(self) -> None:
        """Make the cell that calls this the lab's own: endpoints print there."""
        self.cells.adopt()

    def start(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """Begin, for a server in `loop` that listens at `host` and `port`. Harmless when repeated."""
        self._address = (host, port)
        self.cells.install(self._prints.install)
        self._prints.start(loop)
        self._meter.start(loop)

    def stop(self) -> None:
        """End, and put back what was touched."""
        self._address = ("", 0)
        self._meter.stop()
        self._prints.stop()
        self.cells.remove()

    def status(self) -> dict[str, Any]:
        """For the dashboard's header: the last minute's longest hold in milliseconds (0: none), and whose."""
        lag = self.lag
        held = lag.last if lag.worst > HELD else None
        return {
            "lag": round(lag.worst * 1000) if held is not None else 0,
            "lag_by": " ".join(filter(None, (held.by, held.connection))) if held is not None else "",
        }
