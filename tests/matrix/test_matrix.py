"""The matrix script itself; its rows run with `make test-matrix`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.matrix import run as matrix


def test_its_test_tools_are_all_in_the_test_group():
    assert {Requirement(line).name for line in matrix.tool_requirements()} == matrix.TEST_TOOLS


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


def test_every_folder_of_a_row_is_one_the_repository_has():
    folders = {folder for row in matrix.ROWS for folder in (*row.kernel_tests, *row.unit_tests)}
    assert sorted(folder for folder in folders if not Path(matrix.ROOT, folder).is_dir()) == []
