"""Measure wslab beside what it stands on, in one interleaved run; see README.md in this folder.

Each server runs in a process of its own, pinned to the first core; this process is the client and
pinned to the last. A round measures every server once, one after another, the next round starts with
the next server, and ratios are taken within a round: what else the machine does at that moment meets
both sides of a ratio. The figures are what they are; nothing is asserted about them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework import MALLOC
from load import Sample, broadcast, churn, echo
from report import case_table, client_share, figures
from servers import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

HERE = Path(__file__).resolve().parent
PACKAGES = ("wslab", "uvicorn", "starlette", "fastapi", "websockets", "h11")


@dataclass(frozen=True)
class Case:
    """One load, and the servers that get it; the first of them is what the others are compared with."""

    name: str
    unit: str
    kinds: tuple[str, ...]
    load: Callable[..., Sample]
    share: float = 1.0  # of the seconds given to each sample


ECHO = ("starlette", "tap", "lab", "lab-off")
CASES = (
    Case("Echo, 64 B × 1 connection", "echo", ECHO, partial(echo, size=64, connections=1)),
    Case("Echo, 1 KiB × 10 connections", "echo", ECHO, partial(echo, size=1024, connections=10)),
    *(
        Case(
            f"Connection set-up and close, dependencies: {count}",
            "connection",
            ("fastapi", "app", "lab"),
            partial(churn, path=f"/deps/{count}"),
            0.7,
        )
        for count in (0, 1, 4)
    ),
    Case(
        "Broadcast of 170 B JSON to 100 members",
        "delivery",
        ("fastapi", "app", "lab", "lab-off"),
        partial(broadcast, members=100),
    ),
)


class Server:
    """A process that serves one of `KINDS`."""

    def __init__(self, kind: str, core: int) -> None:
        command = [sys.executable, str(HERE / "servers.py"), kind, str(core)]
        environment = {**os.environ, **MALLOC}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdin
        assert self._process.stdout
        self._ask, self._answers = self._process.stdin, self._process.stdout
        self.port = int(self._answers.readline() or 0)
        if not self.port:
            raise RuntimeError(f"The server {kind!r} did not start; its error stands above.")

    def usage(self) -> list[float]:
        """CPU seconds the process has used: [user, system]."""
        self._ask.write("\n")
        self._ask.flush()
        answer: list[float] = json.loads(self._answers.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask.close()
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
    deadline = time.monotonic() + limit
    samples: dict[str, dict[str, list[Sample]]] = {
        case.name: {kind: [] for kind in case.kinds} for case in cases
    }
    with ExitStack() as stack:
        kinds = dict.fromkeys(kind for case in cases for kind in case.kinds)
        servers = {kind: stack.enter_context(Server(kind, server_core)) for kind in kinds}
        for case in cases:
            for kind in case.kinds:  # not counted: first calls, first allocations, CPU clocks
                case.load(servers[kind].port, servers[kind].usage, 0.1)
        for number in range(rounds):
            if time.monotonic() > deadline:
                print(f"{limit:.0f} seconds are over: {number} of {rounds} rounds.", file=sys.stderr)
                break
            for case in cases:
                turn = number % len(case.kinds)
                for kind in case.kinds[turn:] + case.kinds[:turn]:
                    server = servers[kind]
                    sample = case.load(server.port, server.usage, seconds * case.share)
                    samples[case.name][kind].append(sample)
            gc.collect()
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about half a minute instead of two and a half")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and every sample there")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the cases whose names contain TEXT")
    options = parser.parse_args()
    rounds, seconds, limit = (5, 0.2, 25.0) if options.quick else (15, 0.4, 150.0)
    cases = tuple(case for case in CASES if options.only.lower() in case.name.lower())
    if not cases:
        parser.error(f"--only {options.only!r} fits none of: {'; '.join(case.name for case in CASES)}")
    about = machine()
    samples = measure(cases, rounds, seconds, limit)

    print(", ".join(f"{name} {value}" for name, value in about.items()))
    titles = {kind: title for kind, (title, _) in KINDS.items()}
    result = {case.name: figures(samples[case.name]) for case in cases}
    for case in cases:
        print(f"\n### {case.name}\n\n{case_table(case.unit, titles, result[case.name])}")
    everything = [sample for kinds in samples.values() for taken in kinds.values() for sample in taken]
    print(f"\nThe client used {client_share(everything):.0%} of its core in the median sample.")
    if options.json:
        raw = {
            name: {
                kind: [{k: v for k, v in asdict(sample).items() if k != "round_trips"} for sample in taken]
                for kind, taken in kinds.items()
            }
            for name, kinds in samples.items()
        }
        options.json.write_text(json.dumps({"about": about, "figures": result, "samples": raw}, indent=1))


if __name__ == "__main__":
    main()
