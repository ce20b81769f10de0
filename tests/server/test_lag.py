"""How long a loop was held, by whom, and what is nobody's doing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from wslab.events import LoopHeld
from wslab.journal import Journal
from wslab.server import lag
from wslab.server.cells import Cell, Cells
from wslab.server.lag import LagMeter, LoopLag


class Held:
    """A meter of the running loop; `next()` is its next report."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.events: asyncio.Queue[LoopHeld] = asyncio.Queue()
        self.looks: list[float] = []
        self.cells = Cells()
        self.meter = LagMeter(self.journal, self.cells, lambda *at_work: self.looks.append(at_work[-1]))
        self.journal.subscribe(self.events.put_nowait)
        self._beat = asyncio.Event()
        self._add, self.meter.lag.add = self.meter.lag.add, self._noted

    def _noted(self, late: float) -> None:
        self._add(late)
        self._beat.set()

    async def next(self) -> LoopHeld:
        return await asyncio.wait_for(self.events.get(), 10)

    async def beats(self, count: int) -> None:
        for _ in range(count):
            self._beat.clear()
            await asyncio.wait_for(self._beat.wait(), 10)


@pytest.fixture
async def held():
    made = Held()
    made.meter.start(asyncio.get_running_loop())
    await made.beats(1)
    yield made
    made.meter.stop()


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "wslab lag"]


async def test_a_held_loop_is_one_event_however_long(held):
    time.sleep(1.0)  # noqa: ASYNC251 - holding the loop is what is tried
    event = await held.next()
    assert event.seconds > 0.5
    assert "test_a_held_loop" in event.by
    assert event.where.startswith(__file__)
    await held.beats(2)
    assert held.events.empty()
    assert (held.meter.lag.held, held.meter.lag.last) == (1, event)


async def test_the_watcher_calls_whoever_wants_to_look(held):
    time.sleep(1.0)  # noqa: ASYNC251 - holding the loop is what is tried
    await held.next()
    assert held.looks
    assert held.looks == sorted(held.looks)


async def test_a_loop_that_turns_is_not_held(held):
    await held.beats(5)
    assert held.events.empty()
    assert held.meter.lag.last is None


async def test_nothing_runs_before_the_start_and_after_the_stop():
    assert watchers() == []
    meter = LagMeter(Journal(), Cells())
    meter.start(asyncio.get_running_loop())
    meter.start(asyncio.get_running_loop())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(watchers()) == 1
    meter.stop()
    meter.stop()
    assert watchers() == []
    assert meter.lag.now == 0.0


async def test_a_stop_before_the_first_beat_starts_nothing():
    meter = LagMeter(Journal(), Cells())
    meter.start(asyncio.get_running_loop())
    meter.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert watchers() == []


def test_a_loop_that_is_closed_ends_the_watcher_by_itself():
    meter = LagMeter(Journal(), Cells())

    async def begin():
        meter.start(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return watchers()

    (watcher,) = asyncio.run(begin())
    watcher.join(10)
    assert not watcher.is_alive()


def test_a_loop_that_does_not_run_is_not_held():
    journal = Journal()
    meter = LagMeter(journal, Cells())
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        meter.start(loop)
        loop.run_until_complete(asyncio.sleep(0.2))
        looked = threading.Event()
        look = meter._look
        meter._look = lambda *arguments: (look(*arguments), looked.set())
        assert looked.wait(10)  # the script does something else than running its loop
        loop.run_until_complete(asyncio.sleep(0.3))
        meter.stop()
    assert list(journal) == []


STOPPED = """
import asyncio, sys
from wslab.journal import Journal
from wslab.server.cells import Cells
from wslab.server.lag import LagMeter

async def main():
    journal = Journal()
    meter = LagMeter(journal, Cells())
    meter.start(asyncio.get_running_loop())
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    before = len(journal)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.sleep(0.5)
    print([event.seconds for event in list(journal)[before:] if event.seconds > 0.9], meter.lag.worst < 0.9)
    meter.stop()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs job control")
def test_a_process_that_stood_still_was_not_held():
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGSTOP)
        time.sleep(1.0)  # as a laptop does, only shorter
        program.send_signal(signal.SIGCONT)
        said, _ = program.communicate("\n", timeout=20)
    assert said == "[] True\n"


async def test_who_keeps_pythons_lock_is_the_cell_that_was_at_work_meanwhile(held, monkeypatch):
    monkeypatch.setattr(held.meter, "_look", lambda *_: None)  # as if it never got to run
    begin = time.monotonic()
    time.sleep(0.5)  # noqa: ASYNC251 - holding the loop is what is tried
    held.cells.last = Cell("In[7] (sorted(numbers))", None, begin, time.monotonic())
    event = await held.next()
    assert event.by == "cell In[7] (sorted(numbers))"


async def test_a_cell_that_was_over_before_is_not_to_blame(held, monkeypatch):
    monkeypatch.setattr(held.meter, "_look", lambda *_: None)
    held.cells.last = Cell("In[7]", None, time.monotonic() - 1, time.monotonic())
    time.sleep(0.5)  # noqa: ASYNC251 - holding the loop is what is tried
    assert (await held.next()).by == ""


def test_a_held_loop_weighs_as_long_as_it_was_held():
    lag = LoopLag()
    for _ in range(300):
        lag.add(0.001)
    lag.add(30.0)
    assert lag.worst == 30.0
    assert 0.001 < lag.p50 < 0.3  # it was half of that minute
    assert lag.p99 > 29


def test_the_figures_are_of_the_last_minute_and_bounded():
    figures = LoopLag()
    figures.add(100_000.0)
    assert len(figures._late) == 600
    for _ in range(600):
        figures.add(0.002)
    assert (figures.worst, figures.p50, len(figures._late)) == (0.002, 0.002, 600)


def test_the_figures_are_worth_reading():
    figures = LoopLag()
    assert repr(figures) == "<LoopLag: not measured yet>"
    figures.add(0.0004)
    figures.held = 3
    figures.last = LoopHeld(seconds=2.1, by="endpoint chat", connection="c3")
    assert repr(figures) == textwrap.dedent(
        """\
        <LoopLag: 0.4 ms now; in the last minute median 0.4 ms, p99 0.4 ms, worst 0.4 ms; \
        held 3 times, the last 2,100.0 ms by endpoint chat (c3)>"""
    ).replace("        ", "")
    assert lag.HELD == 0.1
