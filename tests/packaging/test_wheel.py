"""The wheel: what is in it, and that it works away from the checkout, beside FastAPI."""

from __future__ import annotations

import email.parser
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from email.message import Message

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("wslab-*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode("utf-8"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """A fresh environment's Python: the wheel installed in it, its dependencies borrowed from this one.

    The borrowed folder stands in a .pth file, whose own .pth files Python does not follow: a checkout that
    is installed there in editable mode stays out of reach, and only the wheel can be imported.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    fresh = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", fresh, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    purelib = run(fresh, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    (Path(purelib) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return fresh


def test_it_holds_every_file_of_the_package_and_nothing_else(names):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "wslab", "notebooks"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    expected = {name.replace("notebooks/", "wslab/notebooks/", 1) if name.startswith("notebooks/") else name
                for name in listed if name and (ROOT / name).is_file()}  # fmt: skip
    assert {name for name in names if ".dist-info/" not in name} == expected


@pytest.mark.parametrize(
    "name",
    [
        "wslab/py.typed",
        "wslab/cli/__init__.py",
        "wslab/feeds/data/stocks.csv.gz",
        "wslab/notebooks/00-start.ipynb",
    ],
)
def test_it_holds(names, name):
    assert name in names


def test_it_holds_the_views_and_the_licence_of_what_is_vendored(names):
    static = {Path(name).name for name in names if name.startswith("wslab/widgets/static/")}
    assert {"common.js", "common.css", "uPlot.LICENSE"} <= static


def test_its_licence_is_named_and_included(metadata, names):
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert "LICENSE" in metadata.get_all("License-File")
    assert f"wslab-{PROJECT['version']}.dist-info/licenses/LICENSE" in names


def test_it_is_imported_from_the_environment_and_not_from_the_checkout(python, tmp_path):
    imported = run(python, "-c", "import wslab; print(wslab.__file__)", cwd=tmp_path).strip()
    assert Path(imported).is_relative_to(python.parents[1])
    assert not Path(imported).is_relative_to(ROOT)


def test_it_works_beside_fastapi(python, tmp_path):
    program = (
        "import fastapi, wslab\n"
        "app = fastapi.FastAPI()\n"
        "@app.websocket('/echo')\n"
        "async def echo(ws: fastapi.WebSocket): ...\n"
        "print(type(wslab.Lab(app)).__name__, wslab.App.__name__)\n"
    )
    assert run(python, "-c", program, cwd=tmp_path).split() == ["Lab", "App"]


def test_its_requirements_agree_with_what_is_installed(python, tmp_path):
    command = [sys.executable, "-m", "pip", "--python", str(python), "check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not [line for line in done.stdout.splitlines() if line.startswith("wslab ")]


def test_the_command_line_knows_its_version(python, tmp_path):
    assert run(python, "-m", "wslab", "--version", cwd=tmp_path) == f"wslab {PROJECT['version']}\n"


def test_the_command_finds_the_bundled_notebooks(python, tmp_path):
    said = run(python.with_name("wslab"), "lab", "--dry-run", cwd=tmp_path)
    first_line = said.splitlines()[0]
    assert str(tmp_path / "wslab-notebooks") in first_line
    assert str(python.parents[1]) in first_line
    assert "wslab/notebooks" in first_line
