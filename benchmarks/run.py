"""Measure wslab beside what it stands on, in one interleaved run; see README.md in this folder.

Each server runs in a process of its own, pinned to the first core; this process is the client and
pinned to the last. A round measures every server once, one after another, the next round starts with
the next server, and ratios are taken within a round: what else the machine does at that moment meets
both sides of a ratio. Memory is taken from processes started for it. The bars of `report.BARS` are printed
with what was reached; nothing is asserted.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework import MALLOC
from load import CHUNK, Idle, Sample, broadcast, churn, echo, idle, pipelined
from report import bar_table, bars, case_table, figures, idle_figures, idle_table, stalls
from servers import KINDS, MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

HERE = Path(__file__).resolve().parent
PACKAGES = ("wslab", "uvicorn", "starlette", "fastapi", "websockets", "h11", "picows")


@dataclass(frozen=True)
class Case:
    """One load, and the servers that get it; the first of them is what the others are compared with."""

    name: str
    unit: str
    kinds: tuple[str, ...]
    load: Callable[..., Sample]
    share: float = 1.0  # of the seconds given to each sample
    warm_up: float = 0.1  # seconds that are not counted: first calls, first allocations, CPU clocks
    apart: bool = False  # in processes of its own: what other cases leave in the recorder is not its to clear


ALL = ("stock", "lab", "lab-off", "lab-lines-off", "pair", "lab-sansio", "picows")
FEW = ("stock", "lab", "lab-off", "picows")
IDLERS = ("stock", "lab", "lab-lines-off", "lab-off", "picows")
APPS = ("fastapi", "app", "lab-app")
CASES = (
    Case("Echo, 64 B × 1 connection", "echo", ALL, partial(echo, size=64, connections=1)),
    Case(
        "Echo, 1 KiB × 1 connection",
        "echo",
        ("stock", "lab", "lab-off"),
        partial(echo, size=1024, connections=1),
    ),
    Case("Echo, 1 KiB × 10 connections", "echo", ALL, partial(echo, size=1024, connections=10)),
    Case(f"Pipelined, 64 B × 1 connection, {2 * CHUNK} under way", "echo", FEW, partial(pipelined, size=64)),
    Case(
        "Echo, 64 KiB × 1 connection",
        "echo",
        FEW,
        partial(echo, size=2**16, connections=1),
        warm_up=1.5,  # the recorder holds 64 MiB of such frames then: for each that comes, one goes
        apart=True,
    ),
    Case("Set-up and close", "connection", ALL, partial(churn, path="/echo")),
    Case("Set-up and close, 4 dependencies", "connection", APPS, partial(churn, path="/deps/4"), 0.7),
    Case(
        "Broadcast of 170 B JSON to 100 members",
        "delivery",
        (*APPS, "lab-app-off"),
        partial(broadcast, members=100),
    ),
)
IDLE = "Idle connection memory"


class Server:
    """A process that serves one of `KINDS`; it starts here, and `port` waits until it serves."""

    def __init__(self, kind: str, core: int) -> None:
        self.kind = kind
        command = [sys.executable, str(HERE / "servers.py"), kind, str(core)]
        environment = {**os.environ, **MALLOC}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdin
        assert self._process.stdout
        self._questions, self._answers = self._process.stdin, self._process.stdout

    @cached_property
    def port(self) -> int:
        port = int(self._answers.readline() or 0)
        if not port:
            raise RuntimeError(f"The server {self.kind!r} did not start; its error stands above.")
        return port

    def usage(self) -> list[float]:
        """CPU seconds the process has used: [user, system]."""
        return self._ask("cpu")

    def memory(self) -> list[int]:
        """Bytes of the process's memory: [resident, private]."""
        return self._ask("memory")

    def _ask(self, question: str) -> Any:
        self._questions.write(f"{question}\n")
        self._questions.flush()
        return json.loads(self._answers.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._questions.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        # Above 0 before the run, somebody else was measured as well.
        **({"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {}),
    }


def cores() -> tuple[int, int]:
    """The core for the servers and the one for the client; -1 where processes cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return -1, -1
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def measure(cases: tuple[Case, ...], rounds: int, seconds: float, limit: float) -> dict[str, Any]:
    """Samples by case and kind, one for each round; no round is begun after `limit` seconds."""
    server_core, client_core = cores()
    if client_core >= 0:
        os.sched_setaffinity(0, {client_core})
    gc.disable()  # a collection here would be a pause of the client
    samples: dict[str, dict[str, list[Sample]]] = {
        case.name: {kind: [] for kind in case.kinds} for case in cases
    }
    with ExitStack() as stack:
        # They all start at once; in a dictionary, for most serve several cases.
        wanted = dict.fromkeys((kind, case.apart) for case in cases for kind in case.kinds)
        servers = {key: stack.enter_context(Server(key[0], server_core)) for key in wanted}
        for case in cases:
            for kind in case.kinds:
                server = servers[kind, case.apart]
                case.load(server.port, server.usage, case.warm_up)
        deadline = time.monotonic() + limit
        for number in range(rounds):
            if time.monotonic() > deadline:
                print(f"{limit:.0f} seconds are over: {number} of {rounds} rounds.", file=sys.stderr)
                break
            for case in cases:
                turn = number % len(case.kinds)
                for kind in case.kinds[turn:] + case.kinds[:turn]:
                    server = servers[kind, case.apart]
                    sample = case.load(server.port, server.usage, seconds * case.share)
                    samples[case.name][kind].append(sample)
            gc.collect()
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return samples


def measure_idle(kinds: tuple[str, ...], rounds: int, connections: int) -> dict[str, list[Idle]]:
    """What idle connections hold, each time in a process that has served nothing before."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the servers inherit it
    if hard != resource.RLIM_INFINITY:
        connections = min(connections, hard - 200)
    server_core, _ = cores()
    found: dict[str, list[Idle]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        turn = number % len(kinds)
        for kind in kinds[turn:] + kinds[:turn]:
            with Server(kind, server_core) as server:
                found[kind].append(idle(server.port, server.memory, connections=connections))
        print(f"memory, round {number + 1} of {rounds}", file=sys.stderr)
    return found


def chosen(
    parser: argparse.ArgumentParser, only: str, kinds: str
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases asked for, with the servers asked for, and the servers whose memory is asked for."""
    names = kinds.split(",") if kinds else list(KINDS)
    if unknown := [name for name in names if name not in KINDS]:
        parser.error(f"--kinds {unknown[0]!r} is none of: {', '.join(KINDS)}")
    wanted = only.lower()
    cases = [
        replace(case, kinds=tuple(kind for kind in case.kinds if kind in names))
        for case in CASES
        if wanted in case.name.lower()
    ]
    cases = [case for case in cases if case.kinds]
    of_memory = tuple(kind for kind in IDLERS if kind in names) if wanted in IDLE.lower() else ()
    if not cases and not of_memory:
        known = "; ".join([*(case.name for case in CASES), IDLE])
        parser.error(f"--only {only!r} with --kinds {kinds!r} leaves nothing of: {known}")
    return tuple(cases), of_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about half a minute instead of four")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and every sample there")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the cases whose names contain TEXT")
    parser.add_argument("--kinds", default="", metavar="KIND,KIND", help=f"only these of {', '.join(KINDS)}")
    options = parser.parse_args()
    rounds, seconds, limit = (5, 0.08, 18.0) if options.quick else (24, 0.2, 180.0)
    idle_rounds, connections = (1, 1000) if options.quick else (3, 2000)
    cases, idle_kinds = chosen(parser, options.only, options.kinds)
    about = machine()
    samples = measure(cases, rounds, seconds, limit) if cases else {}
    memory = measure_idle(idle_kinds, idle_rounds, connections) if idle_kinds and MEMORY.exists() else {}

    print(", ".join(f"{name} {value}" for name, value in about.items()))
    titles = {kind: title for kind, (title, _) in KINDS.items()}
    result = {case.name: figures(samples[case.name]) for case in cases}
    for case in cases:
        print(f"\n### {case.name}\n\n{case_table(case.unit, titles, result[case.name])}")
    if memory:
        result[IDLE] = idle_figures(memory)
        print(f"\n### {IDLE}\n\n{idle_table(titles, result[IDLE])}")
    elif idle_kinds:
        print(f"\nMemory is not measured here: there is no {MEMORY}.", file=sys.stderr)
    reached = bars({**samples, IDLE: memory})
    if reached:
        print(f"\n### The bars\n\n{bar_table(reached)}")
    for stall in stalls(samples):
        print(f"\n{stall}")
    if options.json:
        raw = {
            name: {
                kind: [{k: v for k, v in asdict(sample).items() if k != "round_trips"} for sample in taken]
                for kind, taken in kinds.items()
            }
            for name, kinds in {**samples, IDLE: memory}.items()
        }
        everything = {"about": about, "bars": reached, "figures": result, "samples": raw}
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
