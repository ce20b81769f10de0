"""`wslab lab`."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import pytest

from wslab import cli
from wslab.cli import lab
from wslab.errors import WSLabError

EMPTY_NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The package's folder as a wheel leaves it: with its notebooks inside."""
    package = tmp_path / "site-packages" / "wslab"
    (package / "notebooks" / "img").mkdir(parents=True)
    (package / "notebooks" / "00-start.ipynb").write_text(EMPTY_NOTEBOOK)
    (package / "notebooks" / "img" / "frame.svg").write_text("<svg/>")
    (package / "notebooks" / ".ipynb_checkpoints").mkdir()
    (package / "notebooks" / ".ipynb_checkpoints" / "00-start.ipynb").write_text("left behind")
    return package


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout's folder, with the package's real code in it and one notebook."""
    root = tmp_path / "check out"
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks" / "00-start.ipynb").write_text(EMPTY_NOTEBOOK)
    (root / "wslab").symlink_to(Path(cli.__file__).parents[1], target_is_directory=True)
    return root


def command(place: lab.Place, **changed) -> list[str]:
    given = {"port": None, "browser": True, "root_user": False, "jupyter_args": []}
    return lab.lab_command(place, **(given | changed))


def fetch_json(url: str, *, while_running: subprocess.Popen) -> dict:
    """Fetch `url`; Jupyter Server prints it some moments before it listens, and says nothing when it does."""
    while True:
        try:
            with urllib.request.urlopen(url) as response:
                return json.load(response)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            assert while_running.poll() is None, "JupyterLab ended before it listened"
            time.sleep(0.05)


@pytest.mark.parametrize("port", ["-1", "65536", "http", "٣"])
def test_a_port_that_is_none_is_refused(port, capsys):
    with pytest.raises(SystemExit):
        cli.main(["lab", f"--port={port}", "--dry-run"])
    assert "expected a TCP port from 0 to 65535" in capsys.readouterr().err


def test_a_checkout_opens_its_notebooks_in_place(checkout):
    place = lab.find_place(checkout / "wslab", None, checkout)
    assert place == lab.Place(root=checkout, folder=checkout / "notebooks", source=None)
    assert place.url_path == "/lab/tree/notebooks/00-start.ipynb"


def test_an_installation_copies_into_the_working_directory(installed, tmp_path):
    place = lab.find_place(installed, None, tmp_path)
    folder = tmp_path / "wslab-notebooks"
    assert place == lab.Place(root=folder, folder=folder, source=installed / "notebooks")
    assert place.url_path == "/lab/tree/00-start.ipynb"


def test_a_named_folder_gets_a_copy_in_a_checkout_too(checkout, tmp_path):
    place = lab.find_place(checkout / "wslab", Path("mine"), tmp_path)
    assert place.folder == tmp_path / "mine"
    assert place.source == checkout / "notebooks"


def test_naming_the_notebooks_own_folder_copies_nothing(checkout):
    place = lab.find_place(checkout / "wslab", Path("notebooks"), checkout)
    assert place.source is None


def test_a_file_where_the_folder_should_be_is_an_error(installed, tmp_path):
    (tmp_path / "wslab-notebooks").write_text("")
    with pytest.raises(WSLabError, match="is a file"):
        lab.find_place(installed, None, tmp_path)


def test_an_installation_without_notebooks_is_an_error(tmp_path):
    with pytest.raises(WSLabError, match=r"found no 00-start\.ipynb"):
        lab.find_place(tmp_path / "wslab", None, tmp_path)


def test_copy_takes_every_lesson_and_no_leftovers(installed, tmp_path):
    target = tmp_path / "copy"
    assert lab.copy_notebooks(installed / "notebooks", target) == []
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert files == {"00-start.ipynb", "img/frame.svg", lab.MANIFEST}


def test_copy_leaves_a_file_that_the_user_changed(installed, tmp_path):
    source, target = installed / "notebooks", tmp_path / "copy"
    lab.copy_notebooks(source, target)
    (target / "00-start.ipynb").write_text("mine")
    assert lab.copy_notebooks(source, target) == []  # no newer version stands behind it: nothing to say
    (source / "00-start.ipynb").write_text("next release")
    assert lab.copy_notebooks(source, target) == ["00-start.ipynb"]
    assert (target / "00-start.ipynb").read_text() == "mine"


def test_copy_renews_a_file_that_the_user_left_alone(installed, tmp_path):
    source, target = installed / "notebooks", tmp_path / "copy"
    lab.copy_notebooks(source, target)
    (source / "00-start.ipynb").write_text("next release")
    assert lab.copy_notebooks(source, target) == []
    assert (target / "00-start.ipynb").read_text() == "next release"


@pytest.mark.parametrize("manifest", [None, "not JSON", "[]"])
def test_copy_without_a_usable_manifest_takes_every_file_for_the_users(installed, tmp_path, manifest):
    source, target = installed / "notebooks", tmp_path / "copy"
    target.mkdir()
    (target / "00-start.ipynb").write_text("an older release's, or mine")
    if manifest is not None:
        (target / lab.MANIFEST).write_text(manifest)
    assert lab.copy_notebooks(source, target) == ["00-start.ipynb"]
    assert (target / "00-start.ipynb").read_text() == "an older release's, or mine"


def test_copy_into_a_place_that_cannot_be_written_names_it(installed, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(WSLabError, match=re.escape(str(blocked / "copy"))):
        lab.copy_notebooks(installed / "notebooks", blocked / "copy")


def test_command_passes_port_and_jupyters_own_arguments_last(checkout):
    place = lab.find_place(checkout / "wslab", None, checkout)
    built = command(place, port=9000, jupyter_args=["--debug"])
    assert built[0] == sys.executable
    assert "--ServerApp.port=9000" in built
    assert built[-1] == "--debug"
    assert "--no-browser" not in built
    assert "--allow-root" not in built


def test_the_superuser_serves_loopback_only_unless_an_address_is_given(checkout):
    place = lab.find_place(checkout / "wslab", None, checkout)
    assert command(place, root_user=True)[-2:] == ["--allow-root", "--ServerApp.ip=127.0.0.1"]
    given = command(place, root_user=True, jupyter_args=["--ip=0.0.0.0"])
    assert [argument for argument in given if "ip=" in argument] == ["--ip=0.0.0.0"]


@pytest.mark.parametrize(
    ("environment", "opens"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"BROWSER": "x"}, True),
    ],
)
def test_a_linux_machine_without_a_display_opens_no_browser(monkeypatch, environment, opens):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(webbrowser, "get", object)
    assert lab._browser_can_open() is opens


def test_a_machine_without_any_browser_opens_none(monkeypatch):
    def none():
        raise webbrowser.Error

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "get", none)
    assert lab._browser_can_open() is False


def test_without_jupyterlab_the_error_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert cli.main(["lab", "--dry-run"]) == 1
    assert 'pip install "wslab[lab]"' in capsys.readouterr().err


def test_dry_run_prints_the_plan_and_writes_nothing(installed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lab, "_PACKAGE", installed)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab", "--dry-run", "--port", "9000", "--", "--debug"]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "wslab-notebooks") in said
    assert "--ServerApp.port=9000" in said
    assert "-m jupyterlab" in said
    assert said.rstrip().endswith("--debug")
    assert not (tmp_path / "wslab-notebooks").exists()


def test_lab_serves_the_first_notebook_and_ends_with_its_process(checkout, tmp_path):
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    line = [sys.executable, "-m", "wslab", "lab", "--no-browser", "--port", "0"]
    with subprocess.Popen(
        line, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            lines = iter(process.stdout.readline, "")
            urls = (re.search(r"http://127\.0\.0\.1:\d+/\S*token=\w+", printed) for printed in lines)
            match = next(filter(None, urls), None)
            assert match, "JupyterLab ended without printing its URL"
            base, _, token = match[0].partition("/lab/tree/notebooks/00-start.ipynb?token=")
            assert token, match[0]
            contents = f"{base}/api/contents/notebooks/00-start.ipynb?token={token}"
            assert fetch_json(contents, while_running=process)["type"] == "notebook"
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0
