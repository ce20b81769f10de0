"""environment.yml and its copy for mybinder.org: the same runs from conda as from pip."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[2]
TEST_TOOLS = ("pytest", "playwright", "mypy", "ruff", "hypothesis", "repo2docker", "import-linter")


def conda_specs() -> list[str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    return [spec for spec in environment["dependencies"] if isinstance(spec, str)]


def pip_requirements() -> list[str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (section,) = (spec for spec in environment["dependencies"] if isinstance(spec, dict))
    return section["pip"]


def packages() -> list[Requirement]:
    """What the file installs beside Python itself; each conda name here is also the PyPI name."""
    own = [spec for spec in conda_specs() if spec != "pip" and not spec.startswith("python=")]
    return [Requirement(line) for line in own + pip_requirements()]


def test_binder_reads_an_equal_copy():
    assert (ROOT / "binder" / "environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()


def test_its_shape_is_condas():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment.keys() == {"name", "channels", "dependencies"}
    assert environment["name"] == "wslab"
    assert environment["channels"][0] == "conda-forge"


@pytest.mark.parametrize("spec", conda_specs())
def test_conda_reads_every_spec(spec):
    assert MatchSpec(spec, strict=True).name is not None


def test_python_is_written_the_way_repo2docker_recognises():
    assert "python=3.12" in conda_specs()


def test_the_bounds_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["lab"]
    assert {str(requirement) for requirement in packages()} == {str(Requirement(line)) for line in declared}


def test_no_test_tool_and_no_checkout_is_installed():
    text = (ROOT / "environment.yml").read_text()
    installed = [str(requirement) for requirement in packages()]
    assert not [line for line in installed if line.startswith(("-e", ".", *TEST_TOOLS))]
    assert not [tool for tool in TEST_TOOLS if f"- {tool}" in text]


@pytest.mark.packaging
def test_the_same_names_and_bounds_resolve_together_for_its_python(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("\n".join(str(requirement) for requirement in packages()))
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--python-version", "3.12", "--only-binary=:all:", "--target", str(tmp_path / "target")]
    done = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
