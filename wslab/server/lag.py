"""How long the lab's loop is held, and by whom.

Theory of operation. A heartbeat on the loop notes how late it runs; a daemon thread looks at the time the
next beat is due. While a beat is more than `HELD` seconds late the thread looks at the stack of the loop's
thread now and then, each time more seldom, and finds the endpoint or the cell at work; when the loop turns
again, the beat publishes one `LoopHeld`, however long it took. Both together take 0.15 % of one core while
nothing happens, and neither exists before `start` or after `stop`.

Two kinds of lateness are nobody's doing and are left out: a loop that does not run at all (a script between
two `asyncio.run`, a kernel that ends), and a process that did not run at all (a laptop asleep, a debugger's
stop, a machine with too much to do): then the thread has overslept as well, and no processor time was used
meanwhile. Code that holds Python's lock makes it oversleep, too, but uses the processor; that counts.

The figures are of the last minute. A loop held for a second would be one late beat among six hundred
punctual ones; so the beats that were due meanwhile count as well, each as late as it would have been.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from wslab.events import LoopHeld
from wslab.server.stacks import Holder, find_holder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from wslab.journal import Journal
    from wslab.server.cells import Cells

__all__ = ["HELD", "LagMeter", "LoopLag"]

HELD = 0.1
"""Seconds that a beat is late before the loop counts as held."""

NOTABLE = 0.005
"""Seconds that a beat is late before the record of frames says so."""

_BEAT = 0.1  # seconds between two beats; at half of that the cost is twice as much
_MINUTE = 60.0
_SELDOM = 1.0  # seconds between two looks at a loop that stays held
_OVERSLEPT = 0.05  # seconds; a thread of a process that runs is not later than that, the lock aside
_AT_WORK = 0.2  # share of the time that a process which ran has used of a processor, at the least


class LoopLag:
    """Lateness of the loop over the last minute; all figures in seconds.

    Attributes:
        held: how many times the loop was held since the lab was made.
        last: the last time, or None.

    Example:
        >>> lag = LoopLag()
        >>> lag.add(0.002); lag.add(0.004)
        >>> lag.worst, lag.p99
        (0.004, 0.004)
        >>> lag
        <LoopLag: 4.0 ms now; in the last minute median 4.0 ms, p99 4.0 ms, worst 4.0 ms; never held>
    """

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=round(_MINUTE / _BEAT))
        self._pending: Callable[[], float] = float
        self.held = 0
        self.last: LoopHeld | None = None

    def add(self, late: float) -> None:
        """Note a beat `late` seconds late, and those that it kept from coming."""
        missed = min(int(late / _BEAT), self._late.maxlen or 0)
        self._late.extend(late - i * _BEAT for i in range(missed, 0, -1))
        self._late.append(late)

    @property
    def now(self) -> float:
        """The lateness just now: of the beat that is overdue, or else of the last one."""
        return max(self._pending(), self._late[-1] if self._late else 0.0)

    @property
    def worst(self) -> float:
        """The longest in the last minute."""
        return max(list(self._late), default=0.0)

    @property
    def p50(self) -> float:
        """The median of the last minute."""
        return self.percentile(50)

    @property
    def p99(self) -> float:
        """The lateness that 99 of 100 moments of the last minute stayed below."""
        return self.percentile(99)

    def percentile(self, percent: float) -> float:
        """The lateness that `percent` of 100 moments of the last minute stayed below; 0.0 without any."""
        late = sorted(self._late)
        return late[min(len(late) - 1, int(len(late) * percent / 100))] if late else 0.0

    def __repr__(self) -> str:
        if not self._late:
            return "<LoopLag: not measured yet>"
        figures = f"median {_ms(self.p50)}, p99 {_ms(self.p99)}, worst {_ms(self.worst)}"
        if self.last is None:
            story = "never held"
        else:
            by = f" by {self.last.by}" if self.last.by else ""
            who = f" ({self.last.connection})" if self.last.connection else ""
            times = "once," if self.held == 1 else f"{self.held:,} times, the last"
            story = f"held {times} {_ms(self.last.seconds)}{by}{who}"
        return f"<LoopLag: {_ms(self.now)} now; in the last minute {figures}; {story}>"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


class LagMeter:
    """Measures the lag of one loop at a time.

    Args:
        journal: told each time the loop was held.
        cells: the notebook's cells.
        stuck: called by the watching thread with the held thread's innermost frame, who is at work, and
            the seconds so far, at each look.
        late: told by how many seconds a beat was late, when that is more than `NOTABLE`.

    Attributes:
        lag: the figures; they are kept over a stop.
    """

    def __init__(
        self,
        journal: Journal,
        cells: Cells,
        stuck: Callable[[FrameType, Holder, float], None] | None = None,
        late: Callable[[float], None] | None = None,
    ) -> None:
        self.lag = LoopLag()
        self._journal = journal
        self._cells = cells
        self._stuck = stuck
        self._late = late
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._due = 0.0
        self._thread = 0
        self._seen: Counter[tuple[str, str]] = Counter()  # looks at who held the loop
        self._where: dict[tuple[str, str], str] = {}
        self._elsewhere = ""  # where code was that is not the user's
        self._paused = False  # the loop itself was not running at some look
        self._stood_still = 0.0  # seconds of the present lateness in which the process did not run
        self._asleep_until = 0.0
        self._cpu = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure `loop`, from any thread. Harmless when it is measured already."""
        if self._loop is loop:
            return
        self.stop()
        self._loop = loop
        self._ended = ended = threading.Event()
        self._forget()
        loop.call_soon_threadsafe(self._first_beat, loop, ended)

    def stop(self) -> None:
        """Measure no longer, from any thread; the watching one has ended when this returns."""
        watcher, self._watcher = self._watcher, None
        self._loop = None
        self.lag._pending = float  # noqa: SLF001 - see start
        self._ended.set()
        if watcher is not None:
            watcher.join(1.0)  # it is asleep, and the event wakes it

    # -- on the loop -------------------------------------------------------------------------------
    def _first_beat(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        if ended.is_set():
            return
        self._next_beat(loop, ended)
        self._fall_asleep(time.monotonic(), _BEAT + HELD)
        self.lag._pending = self._overdue  # noqa: SLF001 - the figures and their meter are one concept
        watcher = threading.Thread(target=self._watch, args=(loop, ended), name="wslab lag", daemon=True)
        watcher.start()
        self._watcher = watcher  # now that it may be joined: `stop` is called from other threads

    def _next_beat(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        self._thread = threading.get_ident()
        self._due = time.monotonic() + _BEAT
        loop.call_later(_BEAT, self._beat, loop, ended)

    def _beat(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        if ended.is_set():
            return  # not cancelled by `stop`, which may be called in another thread
        late = max(0.0, time.monotonic() - self._due)
        held = None
        if late > HELD:
            held = self._take(late)
            late = held.seconds if held is not None else 0.0
        self.lag.add(late)
        if self._late is not None and late > NOTABLE:
            self._late(late)
        self._next_beat(loop, ended)
        if held is not None:
            self.lag.held += 1
            self.lag.last = held
            self._journal.publish(held)

    def _take(self, late: float) -> LoopHeld | None:
        """What to tell of a beat that was `late`, if anybody is to blame."""
        now = time.monotonic()
        with self._lock:
            self._count_standing(now)
            seconds = 0.0 if self._paused else late - self._stood_still
            seen, where, elsewhere = self._seen, self._where, self._elsewhere
            self._forget()
        if seconds <= HELD:
            return None
        if seen:
            ((by, connection), _), *_ = seen.most_common(1)
            return LoopHeld(seconds=seconds, by=by, connection=connection, where=where[by, connection])
        # Never seen at work: code that kept Python's lock from the watching thread all the time, or nobody's.
        cell = self._cells.during(now - late, now)
        if cell is not None:
            return LoopHeld(seconds=seconds, by=f"cell {cell.name}")
        return LoopHeld(seconds=seconds, where=elsewhere)

    def _forget(self) -> None:
        self._seen, self._where, self._elsewhere = Counter(), {}, ""
        self._paused = False
        self._stood_still = 0.0

    def _overdue(self) -> float:
        return max(0.0, time.monotonic() - self._due)

    # -- on the watching thread --------------------------------------------------------------------
    def _watch(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        pause = _BEAT + HELD
        while not ended.wait(pause) and not loop.is_closed():
            now = time.monotonic()
            with self._lock:
                self._count_standing(now)
            late = now - self._due
            if late <= HELD:
                pause = self._due + HELD - now + 0.001
            else:
                self._look(loop, late)
                pause = min(max(HELD, late / 4), _SELDOM)
            with self._lock:
                self._fall_asleep(time.monotonic(), pause)

    def _look(self, loop: asyncio.AbstractEventLoop, late: float) -> None:
        due = self._due
        if not loop.is_running():
            self._paused = True
            return
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - documented in spite of its name
        if frame is None:
            return
        holder = find_holder(frame, loop)
        with self._lock:
            if self._due != due:
                return  # the loop has turned in the meantime: this is not who held it
            if not holder.by:
                self._elsewhere = holder.where
                return
            key = (holder.by, holder.connection)
            self._seen[key] += 1
            self._where[key] = holder.where
        if self._stuck is not None:
            self._stuck(frame, holder, late)

    def _fall_asleep(self, now: float, seconds: float) -> None:
        self._asleep_until = now + seconds
        self._cpu = time.process_time()

    def _count_standing(self, now: float) -> None:
        """Note how long the process did not run at all; for whoever comes first, the thread or the beat."""
        overslept = now - self._asleep_until
        if overslept > _OVERSLEPT and time.process_time() - self._cpu < _AT_WORK * overslept:
            self._stood_still += overslept
        if overslept > 0:
            self._asleep_until = now
            self._cpu = time.process_time()
