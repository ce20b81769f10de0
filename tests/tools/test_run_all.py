"""The parts of `make test`."""

from __future__ import annotations

from tests.tools import run_all
from tests.tools.lanes import ROOT


def test_every_folder_of_a_part_is_there_and_in_no_other_part():
    named = [folder for folders in run_all.PARTS.values() for folder in folders]
    assert [folder for folder in named if not (ROOT / folder).is_dir()] == []
    assert len(set(named)) == len(named)


def test_the_rest_leaves_out_what_the_parts_run_and_nothing_else():
    named = {folder for name in run_all.PARTS for folder in run_all.selection(name)}
    assert set(run_all.selection(run_all.REST)) == {f"--ignore={folder}" for folder in named}


def test_a_part_that_does_not_exist_is_named_with_those_that_do(capsys):
    assert run_all.main(["kernels"]) == 2
    said = capsys.readouterr().out
    assert "got kernels" in said
    assert all(name in said for name in run_all.NAMES)
