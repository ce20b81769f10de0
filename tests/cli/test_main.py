"""The `wslab` command: what all its commands have in common."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from wslab import cli


def refused(line, capsys):
    """What is said of a command line that is refused as such."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(line)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_version_is_the_installed_distributions(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.split()[0:2] == ["wslab", cli._version().split()[0]]


def test_version_without_an_installation_says_so(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert "not installed" in cli._version()


def test_unknown_command_is_refused_with_the_names_known(capsys):
    said = refused(["sreve"], capsys)
    assert "sreve" in said
    for name in ("lab", "serve", "show", "doctor"):
        assert name in said


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        (["lab", "--prot", "80"], "--port"),
        (["lab", "--nobrowser"], "--no-browser"),
        (["serve", "main:app", "--limit=off"], "--limits"),
        (["serve", "main:app", "--hots", "::1"], "--host"),
        (["doctor", "--jsn"], "--json"),
        (["show", "x.har", "--laddr"], "--ladder"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest(line, nearest, capsys):
    said = refused(line, capsys)
    assert f"(did you mean {nearest}?)" in said
    assert f"usage: wslab {line[0]}" in said


def test_what_resembles_no_option_gets_them_all(capsys):
    said = refused(["doctor", "--zzz"], capsys)
    assert "did you mean" not in said
    assert "--json" in said


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_only_lab_passes_arguments_on(command, capsys):
    line = [command, "main:app", "--", "--debug"] if command == "serve" else [command, "--", "--debug"]
    assert "'--debug'" in refused(line, capsys)


def test_the_command_line_itself_imports_only_the_standard_library():
    code = "import sys, wslab.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "wslab" in loaded
    assert not loaded & {"starlette", "pydantic", "uvicorn", "websockets", "ipywidgets", "anywidget"}
