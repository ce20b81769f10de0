"""The image that mybinder.org builds, as far as its recipe tells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "conda environment for python=3.12" in done.stderr
    return done.stdout


@pytest.mark.packaging
def test_the_dependencies_stand_in_a_layer_of_their_own_before_the_checkout(dockerfile):
    update = re.search(r"env update [^\n]*--file \"binder/environment\.yml\"", dockerfile)
    assert update, dockerfile
    assert dockerfile.index("binder/environment.yml ${REPO_DIR}") < update.start()
    copies_of_everything = re.search(r"COPY [^\n]* src/ \$\{REPO_DIR\}", dockerfile)
    assert copies_of_everything
    assert update.start() < copies_of_everything.start()


@pytest.mark.packaging
def test_post_build_runs_after_the_checkout_is_there(dockerfile):
    copies_of_everything = re.search(r"COPY [^\n]* src/ \$\{REPO_DIR\}", dockerfile)
    assert copies_of_everything
    assert dockerfile.index("RUN ./binder/postBuild") > copies_of_everything.start()


@pytest.mark.packaging
def test_no_test_tool_goes_into_the_image(dockerfile):
    assert not re.search(r"pytest|playwright|mypy|ruff", dockerfile + post_build(), re.IGNORECASE)


def post_build() -> str:
    return (ROOT / "binder" / "postBuild").read_text()


def test_post_build_stops_at_the_first_error_and_installs_only_the_checkout():
    lines = [line for line in post_build().splitlines() if line and not line.startswith("#")]
    assert lines[0].startswith("set -e")
    assert [line for line in lines if "pip install" in line] == ["pip install --no-deps -e ."]


def test_what_must_be_executable_is():
    for name in ("binder/postBuild", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name
