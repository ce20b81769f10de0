"""The notebook's cells; real ones are in tests/kernel."""

from __future__ import annotations

import contextvars
import sys
import threading
import types

import pytest

from wslab.server.cells import Cells, cell_name, find_shell


class Shell:
    """What is used of IPython's."""

    def __init__(self):
        self.registered = []
        self.events = self
        self.history_manager = types.SimpleNamespace(input_hist_parsed=["", "first", "second"])
        self.compile = types.SimpleNamespace(
            format_code_name=lambda name: ("Cell", "In[3]") if name == "<three>" else None
        )

    def register(self, name, function):
        self.registered.append((name, function))

    def unregister(self, name, function):
        self.registered.remove((name, function))

    def trigger(self, name, *arguments):
        for event, function in self.registered:
            if event == name:
                function(*arguments)


@pytest.fixture
def shell(monkeypatch):
    shell = Shell()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    return shell


def test_a_cell_is_followed_from_its_beginning_to_its_end(shell):
    cells, before = Cells(), []
    cells.install(lambda: before.append(cells.running.name))
    cells.install(lambda: before.append(cells.running.name))
    shell.trigger("pre_run_cell", types.SimpleNamespace(raw_cell="\nx = 1\ny = 2"))
    assert before == ["In[3] (x = 1)"]
    assert cells.during(cells.running.since, cells.running.since + 1) is cells.running
    shell.trigger("post_run_cell", None)
    assert (cells.running, cells.last.name) == (None, "In[3] (x = 1)")
    cells.remove()
    cells.remove()
    assert shell.registered == []


def test_a_subshells_cell_is_none_of_ours(shell):
    cells = Cells()
    cells.install(lambda: None)
    thread = threading.Thread(target=shell.trigger, args=("pre_run_cell", None))
    thread.start()
    thread.join()
    assert cells.running is None


def test_code_of_a_cell_is_known_by_its_name(shell):
    assert cell_name(compile("1", "<three>", "eval")) == "In[3]"
    assert cell_name(compile("1", "<other>", "eval")) == ""


def test_telling_prints_into_the_cell_that_runs_or_else_the_labs_own(shell, capsys, monkeypatch):
    parent = contextvars.ContextVar("parent", default="nobody")
    heard = []

    class Stderr:
        def write(self, text):
            heard.append((parent.get(), text))

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stderr", Stderr())
    cells = Cells()
    cells.install(lambda: None)
    parent.set("own")
    cells.adopt()
    parent.set("running")
    shell.trigger("pre_run_cell", None)
    parent.set("another")
    cells.tell("now")
    shell.trigger("post_run_cell", None)
    cells.tell("later")
    assert [(who, text) for who, text in heard if text.strip()] == [("running", "now"), ("own", "later")]


def test_a_module_that_is_still_being_imported_is_no_shell(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))  # as another thread sees it
    assert find_shell() is None
    assert cell_name(find_shell.__code__) == ""
