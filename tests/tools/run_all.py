"""Run all tests but the soak tests, in parts: two at a time, each a pytest of its own.

    python -m tests.tools.run_all              what `make test` does after the checks
    python -m tests.tools.run_all kernel e2e   the parts of these names

`pytest -m "not soak"` runs the same tests one after the other. What a part's tests left for `--lf` is in
`.pytest_cache/NAME`: `pytest --lf -o cache_dir=.pytest_cache/kernel`.
"""

from __future__ import annotations

import sys
from functools import partial

from tests.tools.lanes import Job, Run, run_jobs

NO_SOAK = ("-m", "not soak")

# The longest first, and of much the same length. What is in none of them is the part "rest".
PARTS = {
    "e2e": ("tests/e2e", "tests/hosts", "tests/packaging"),
    "network": ("tests/client", "tests/faults", "tests/programs", "tests/server"),
    "kernel": ("tests/kernel",),
}
REST = "rest"
NAMES = (*PARTS, REST)


def selection(name: str) -> tuple[str, ...]:
    """The arguments by which pytest runs a part; what no other part names is the rest's."""
    if name == REST:
        return tuple(f"--ignore={folder}" for folders in PARTS.values() for folder in folders)
    return PARTS[name]


async def run_part(name: str, run: Run) -> bool:
    """Run a part's tests; True when all passed."""
    cache = ("-o", f"cache_dir=.pytest_cache/{name}")  # two at once would overwrite each other's
    return await run(sys.executable, "-m", "pytest", *NO_SOAK, *cache, *selection(name))


def main(names: list[str]) -> int:
    """Run the parts (all when none is named) and print one line for each."""
    unknown = set(names) - set(NAMES)
    if unknown:
        print(f"tests: expected names among {', '.join(NAMES)}; got {', '.join(sorted(unknown))}")
        return 2
    chosen = [name for name in NAMES if name in names or not names]
    outcomes = run_jobs("tests", [Job(name, partial(run_part, name)) for name in chosen])
    print("\n".join(f"tests: {outcome}" for outcome in outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
