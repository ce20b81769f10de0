"""The views' JavaScript that needs no page, under Node's own test runner."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "wslab" / "widgets" / "static"
TOOLS = HERE.parents[1] / ".venv" / "wslab-test-tools.json"


@pytest.fixture(scope="module")
def node():
    found = json.loads(TOOLS.read_text(encoding="utf-8")).get("node") if TOOLS.is_file() else None
    found = found or shutil.which("node")
    if found is None:
        missing = "no Node: install version 20 or later, and run tests/tools/prepare.py"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The modules and their tests as one package of ES modules: `static/` itself says nothing of Node."""
    folder = tmp_path_factory.mktemp("js")
    (folder / "package.json").write_text('{"type": "module"}')
    for source in [*STATIC.glob("*.js"), *HERE.glob("*.mjs")]:
        shutil.copy(source, folder)
    return folder


@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_the_modules_pass_their_own_tests(node, folder, file):
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", file],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "\n# pass 0\n" not in done.stdout, "There was no test in it."
