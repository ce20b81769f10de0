"""What is told of the old patch; what lab.run() makes of it is tried in real kernels."""

from __future__ import annotations

import asyncio
import sys
import types

import pytest

from wslab.journal import Journal
from wslab.server import nesting
from wslab.server.nesting import has_old_patch, nests, running_loop, warn_of_old_patch


@pytest.fixture
def loop(monkeypatch):
    """A loop that `nest_asyncio` has patched, in an ipykernel 7."""
    monkeypatch.setattr(nesting, "_warned", [])
    monkeypatch.setitem(sys.modules, "nest_asyncio", types.ModuleType("nest_asyncio"))
    ipykernel = types.SimpleNamespace(version_info=(7, 0, 1), __version__="7.0.1")
    monkeypatch.setitem(sys.modules, "ipykernel", ipykernel)
    return types.SimpleNamespace(_nest_patched=True)


def test_it_is_told_once_in_the_log_and_in_the_cell(loop, capsys):
    journal = Journal()
    warn_of_old_patch(loop, journal)
    warn_of_old_patch(loop, journal)
    (notice,) = journal
    assert notice.level == "warning"
    assert "With ipykernel 7.0.1 it loses messages" in notice.text
    assert "nest_asyncio2, which has the same apply()" in notice.text
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"wslab: {notice.text}\n")


def test_where_it_does_no_harm_nothing_is_told(loop, monkeypatch, capsys):
    journal = Journal()
    plain = asyncio.new_event_loop()
    warn_of_old_patch(plain, journal)  # imported, but not applied
    plain.close()
    with monkeypatch.context() as changed:
        changed.setattr(asyncio, "_nest_asyncio2", object(), raising=False)
        warn_of_old_patch(loop, journal)  # the fork's patch
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "ipykernel", types.SimpleNamespace(version_info=(6, 31, 0)))
        warn_of_old_patch(loop, journal)
    with monkeypatch.context() as changed:
        changed.delitem(sys.modules, "ipykernel")
        warn_of_old_patch(loop, journal)  # no kernel at all
    assert len(journal) == 0
    assert capsys.readouterr().err == ""


def test_the_old_patch_is_known_by_its_marks(loop, monkeypatch):
    assert nests(loop)
    assert has_old_patch(loop)
    monkeypatch.delitem(sys.modules, "nest_asyncio")
    assert not has_old_patch(loop)


async def test_the_running_loop_is_found():
    assert running_loop() is asyncio.get_running_loop()
    assert await asyncio.to_thread(running_loop) is None
