"""Run jobs side by side, and print what each of them said in one piece.

Tests mostly wait: for a kernel to start, for a page to draw, for a limit to pass. Two jobs at once take
little more than half the time of one after the other, and hold no test up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Job", "Outcome", "Run", "run_jobs"]

ROOT = Path(__file__).resolve().parents[2]
LANES = 2
GRACE = 30.0  # seconds that interrupted tests have for taking down their kernels and browsers


class Run(Protocol):
    """Runs a command of a job in the checkout's folder; True when it succeeded."""

    def __call__(self, *command: str | Path) -> Awaitable[bool]: ...


class Job(NamedTuple):
    """One thing to do.

    Attributes:
        name: what it is called in the output.
        work: runs the job's commands; True when all went well.
    """

    name: str
    work: Callable[[Run], Awaitable[bool]]


class Outcome(NamedTuple):
    """How a job ended, and after how many seconds."""

    name: str
    passed: bool
    seconds: float

    def __str__(self) -> str:
        return f"{self.name}: {'passed' if self.passed else 'FAILED'} in {self.seconds:.0f} s"


def run_jobs(title: str, jobs: Iterable[Job], lanes: int = LANES) -> list[Outcome]:
    """Run the jobs, `lanes` at a time, and return their outcomes in the order given.

    A job begins when a lane is free, in the order given: the longest first, and the lanes end together.
    What a job said is printed when it ends; that of a failed job once more at the end, where it is found.

    Raises:
        SystemExit: Ctrl+C or SIGTERM. The commands were interrupted as well and have ended, and what they
            said was printed.
    """
    try:
        return asyncio.run(_run_jobs(title, list(jobs), lanes))
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


async def _run_jobs(title: str, jobs: list[Job], lanes: int) -> list[Outcome]:
    main = asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    outcomes: dict[Job, Outcome] = {}
    failed: list[tuple[Job, str]] = []
    waiting = iter(jobs)

    async def lane() -> None:
        for job in waiting:
            with TemporaryFile() as output:
                print(f"{title}: {job.name} begins", flush=True)
                started = time.monotonic()
                try:
                    passed = await job.work(_runner(output))
                finally:
                    output.seek(0)
                    said = output.read().decode(errors="replace").strip()
                    _show(title, job, said)
            outcomes[job] = outcome = Outcome(job.name, passed, time.monotonic() - started)
            print(f"{title}: {outcome}", flush=True)
            if not passed:
                failed.append((job, said))

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    for job, said in failed:
        _show(title, job, said)
    return [outcomes[job] for job in jobs]


def _runner(output: IO[bytes]) -> Run:
    async def run(*command: str | Path) -> bool:
        # Not a pipe: a process that a test left behind would keep it open, and the end from being seen.
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl+C is passed on once, whether it came from a terminal or not
        )
        try:
            return await process.wait() == 0
        except asyncio.CancelledError:
            await _interrupt(process)
            raise

    return run


async def _interrupt(process: asyncio.subprocess.Process) -> None:
    """End the process and those that it started, as Ctrl+C in a terminal does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        async with asyncio.timeout(GRACE):
            await process.wait()
    except TimeoutError:
        print(f"{process.pid} did not end within {GRACE:g} s of its interrupt: killed", flush=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _show(title: str, job: Job, said: str) -> None:
    print(f"{title}: {job.name} said:\n{said or '(nothing)'}\n", flush=True)
