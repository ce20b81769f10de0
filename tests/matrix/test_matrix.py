"""The matrix script itself; its rows run with `make test-matrix`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.matrix import run as matrix


@pytest.mark.parametrize("tools", [matrix.TEST_TOOLS, matrix.HOST_TOOLS])
def test_its_test_tools_are_all_in_the_test_group(tools):
    assert {Requirement(line).name for line in matrix.tool_requirements(tools)} == tools


def test_its_rows_have_names_of_their_own():
    assert len({row.name for row in matrix.ROWS}) == len(matrix.ROWS)


def test_this_interpreter_is_found_by_its_version():
    assert matrix.find_interpreter(sys.version_info[:2]) == sys.executable


def test_a_program_on_path_that_does_not_run_is_passed_over(tmp_path, monkeypatch):
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert matrix.find_interpreter((3, 99)) is None


@pytest.fixture
def without_newer_python(monkeypatch):
    monkeypatch.setattr(matrix, "ROWS", (matrix.Row("newer", (3, 99), ()),))
    monkeypatch.setattr(matrix, "find_interpreter", lambda _version: None)


def test_a_missing_interpreter_is_a_named_skip(without_newer_python, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    assert matrix.main([]) == 0
    assert "newer: skipped, no Python 3.99" in capsys.readouterr().out


def test_in_ci_some_newer_python_must_be_there(without_newer_python, monkeypatch, capsys):
    monkeypatch.setenv("CI", "true")
    assert matrix.main([]) == 1
    assert "CI=true asks for one" in capsys.readouterr().out


def test_every_folder_and_module_of_a_row_is_one_the_repository_has():
    folders = {name for row in matrix.ROWS for name in (*row.kernel_tests, *row.unit_tests)}
    assert sorted(name for name in folders if not Path(matrix.ROOT, name).is_dir()) == []
    modules = {name for row in matrix.ROWS for name in row.host_tests}
    assert sorted(name for name in modules if not Path(matrix.ROOT, name).is_file()) == []


def test_every_module_of_a_host_is_run_by_a_row():
    there = {f"tests/hosts/{path.name}" for path in Path(matrix.ROOT, "tests/hosts").glob("test_*.py")}
    assert {name for row in matrix.ROWS for name in row.host_tests} == there
