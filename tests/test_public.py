"""The public face: what is importable, and that importing it is cheap."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import wslab

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(wslab.__path__, "wslab.")
    if not module.name.endswith("__main__")
)


def test_every_public_name_is_there():
    assert sorted(wslab.__all__) == wslab.__all__
    for name in wslab.__all__:
        assert getattr(wslab, name) is not None
    assert set(wslab.__all__) <= set(dir(wslab))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = wslab.nonsense


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_is_public_and_has_it(name):
    module = importlib.import_module(name)
    assert module.__doc__
    if name.rpartition(".")[2] == "notebooks":
        return
    for public in module.__all__:
        assert hasattr(module, public), public


@pytest.mark.parametrize("name", ["wslab", *MODULES])
def test_examples_in_docstrings_run(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


LOADED = "import sys, {}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("wslab", {"starlette", "pydantic", "uvicorn", "ipywidgets", "anywidget", "websockets"}),
        ("wslab.asgi", {"uvicorn", "ipywidgets", "anywidget", "websockets", "IPython", "fastapi"}),
        ("wslab.rooms", {"uvicorn", "ipywidgets", "anywidget", "websockets", "IPython"}),
        ("wslab.feeds", {"uvicorn", "ipywidgets", "anywidget", "websockets", "IPython", "pandas"}),
        ("wslab.session", {"uvicorn", "ipywidgets", "anywidget", "websockets", "IPython"}),
        ("wslab.lab", {"ipywidgets", "anywidget", "IPython", "nest_asyncio2", "fastapi", "pandas"}),
    ],
)
def test_importing_one_room_leaves_the_heavy_ones_out(module, absent):
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(module)], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) & absent == set()


def test_a_lab_starts_without_what_only_reads_its_record():
    reading = ("conversation", "dataframes", "explain", "files", "ladder", "query", "replies")
    code = "import sys, wslab.lab, wslab.serving; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name for name in done.stdout.split() if name.startswith("wslab.")}
    assert "wslab.wire.tables" in loaded
    assert not loaded & {"wslab.client.replay", *(f"wslab.wire.{name}" for name in reading)}
