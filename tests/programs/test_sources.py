"""What a person who opens one of the programs relies on."""

from __future__ import annotations

import ast
import re

import pytest

NAMES = ["authentication", "chat", "client", "echo", "robust", "rooms", "stocks"]


def test_the_seven_programs_are_there(programs):
    assert programs == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_program_needs_nothing_of_ours_but_what_fastapi_has_at_the_same_place(name, source_of):
    ours, theirs = (ast.parse(source_of(name, framework)) for framework in ("wslab.asgi", "fastapi"))
    imported = [imports(tree) for tree in (ours, theirs)]
    assert any(module.startswith("wslab.asgi") for module in imported[0])
    assert not any("wslab" in module for module in imported[1])
    assert "wslab" not in source_of(name, "fastapi")


def imports(tree):
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [getattr(node, "module", None) or node.names[0].name for node in nodes]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "echo"])
def test_a_mended_program_says_what_was_wrong_in_one_line_each(name, source_of):
    doc = ast.get_docstring(ast.parse(source_of(name)))
    _, _, listed = doc.partition("What was wrong in it:\n\n")
    defects = re.findall(r"^\* .+", listed, re.MULTILINE)
    assert len(defects) >= 4
