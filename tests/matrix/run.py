"""Run the tests on other Pythons, ipykernels and notebook hosts, each row in its own environment.

    python -m tests.matrix.run                every row
    python -m tests.matrix.run py312 voila    the rows whose names contain one of these

Two rows run at a time, and what each of them said is printed when it ends.
A host's row needs Chromium, which its tests find as those of `tests/e2e` do. An interpreter that is not on
this machine is a skip, named at the end. Under `CI=true` it is an error when no Python from 3.12 up was
found at all.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.tools.lanes import Job, Run, run_jobs

ROOT = Path(__file__).resolve().parents[2]
UNIT_TESTS = ("asgi", "wire", "session", "client", "server", "rooms", "feeds", "programs")  # no kernel
NEITHER_SLOW_NOR_KERNEL = "not kernel and not e2e and not soak and not packaging"
TEST_TOOLS = {
    "fastapi",
    "httpx2",
    "hypothesis",
    "jsonschema",
    "nbclient",
    "pandas",
    "pyjwt",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "wsproto",
}
HOST_TOOLS = {"playwright", "pytest", "pytest-asyncio", "pytest-timeout"}


class Row(NamedTuple):
    """One environment.

    Attributes:
        name: names the environment's folder, `.venv-matrix-NAME`.
        python: the interpreter's major and minor version.
        requirements: what is installed beside the checkout.
        kernel_tests: folders run with `-m kernel`.
        unit_tests: folders run without kernels and browsers.
        host_tests: folders and modules run with `-m e2e`. A row that has any gets JupyterLab and Playwright
            instead of the other tests' tools.
    """

    name: str
    python: tuple[int, int]
    requirements: tuple[str, ...]
    kernel_tests: tuple[str, ...] = ("tests/kernel",)
    unit_tests: tuple[str, ...] = tuple(f"tests/{name}" for name in UNIT_TESTS)
    host_tests: tuple[str, ...] = ()


def host(name: str, requirement: str, module: str) -> Row:
    """A row for another application that shows the views: its own tests, and no others."""
    return Row(name, (3, 11), (requirement,), (), (), (f"tests/hosts/{module}",))


# The longest first, so that two at a time end together.
ROWS = (
    # What changed in asyncio after 3.11 changed in 3.12, and 3.13 has all of it: kernels are tried with the
    # one, the unit tests with the other, which keeps the whole run short.
    Row("py313", (3, 13), ("ipykernel",), kernel_tests=()),
    Row("py312", (3, 12), ("ipykernel",), unit_tests=()),
    # An older ipykernel changes nothing that the unit tests see: these rows run the kernel tests alone.
    Row("py311-ipykernel701", (3, 11), ("ipykernel==7.0.1",), unit_tests=()),  # mybinder.org's base image
    Row("py311-ipykernel6", (3, 11), ("ipykernel==6.31.0",), unit_tests=()),  # the last without subshells
    host("notebook7", "notebook>=7.4", "test_notebook7.py"),
    host("voila", "voila>=0.5", "test_voila.py"),
)


def find_interpreter(version: tuple[int, int]) -> str | None:
    """An interpreter of that version with venv: this one, on PATH, or among pyenv's."""
    name = "python{}.{}".format(*version)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(pyenv.glob("versions/{}.{}*/bin/python".format(*version)), reverse=True)
    for candidate in (sys.executable, shutil.which(name), *map(str, installed)):
        # A pyenv shim of a version that is not selected is on PATH and does not run: each one is tried.
        if candidate is None:
            continue
        code = "import sys, venv, ensurepip; print(sys.version_info[:2])"
        tried = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if tried.stdout.strip() == str(version):
            return candidate
    return None


def tool_requirements(tools: set[str]) -> list[str]:
    """The part of the test group that is named in `tools`, with its bounds."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        group = tomllib.load(file)["dependency-groups"]["test"]
    return [line for line in group if re.split(r"[^\w-]", line)[0] in tools]


async def environment(row: Row, interpreter: str, run: Run) -> Path | None:
    """Make the row's environment, or find it as an earlier run left it; returns its Python, if it worked."""
    folder = ROOT / f".venv-matrix-{row.name}"
    python = folder / "bin" / "python"
    if row.host_tests:
        requirements = ["-e", f"{ROOT}[lab]", *tool_requirements(HOST_TOOLS)]
    else:
        # jupyter-server is what a kernel's own server is found with; the rest of JupyterLab is not needed.
        requirements = ["-e", f"{ROOT}[nats]", "jupyter-server", *tool_requirements(TEST_TOOLS)]
    requirements += row.requirements
    project = (ROOT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(project + "\n".join([interpreter, *requirements]).encode()).hexdigest()
    stamp = folder / ".requirements"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"matrix: installing into {folder.name}: wslab, its test tools, {', '.join(row.requirements)}")
        sys.stdout.flush()
        if not await run(interpreter, "-m", "venv", "--clear", folder):
            return None
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if not await run(*pip, *requirements):
            return None
        stamp.write_text(wanted)
    return python


async def run_row(row: Row, interpreter: str, run: Run) -> bool:
    """Run the row's tests; True when all passed."""
    python = await environment(row, interpreter, run)
    if python is None:
        return False
    runs = (
        (row.kernel_tests, "kernel"),
        (row.unit_tests, NEITHER_SLOW_NOR_KERNEL),
        (row.host_tests, "e2e"),
    )
    passed = True
    for folders, marker in runs:
        present = [folder for folder in folders if (ROOT / folder).exists()]
        if present:
            command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marker)
            passed &= await run(*command, *present)
    return passed


def main(names: list[str]) -> int:
    """Run the rows whose names contain one of `names` (all without any) and print one line for each."""
    jobs, skipped, newer = [], [], False
    for row in ROWS:
        if names and not any(name in row.name for name in names):
            continue
        interpreter = find_interpreter(row.python)
        if interpreter is None:
            skipped.append("{}: skipped, no Python {}.{} on PATH or in pyenv".format(row.name, *row.python))
            continue
        newer |= row.python >= (3, 12)
        jobs.append(Job(row.name, partial(run_row, row, interpreter)))
    outcomes = run_jobs("matrix", jobs)
    failed = not all(outcome.passed for outcome in outcomes)
    lines = [*map(str, outcomes), *skipped]
    if os.environ.get("CI", "").lower() in {"1", "true"} and not names and not newer:
        lines.append("no Python from 3.12 up is here, and CI=true asks for one: install python3.12 or later")
        failed = True
    print("\n".join(f"matrix: {line}" for line in lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
