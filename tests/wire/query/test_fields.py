from __future__ import annotations

import re
from pathlib import Path

import pytest

from wslab.wire.query import Query
from wslab.wire.query.fields import FIELDS, VALUES
from wslab.wire.query.words import NAMED, OPERATORS

PAGE = (Path(__file__).parents[3] / "docs" / "filters.md").read_text("utf-8")


def rows_of(heading):
    """The rows of the table in a section of the page, without its head."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


def test_the_page_lists_every_field_with_its_type_and_meaning():
    *own, json_row = rows_of("Fields")
    assert own == [[f"`{name}`", field.kind, field.meaning] for name, field in FIELDS.items()]
    assert json_row[1] == "json"


def test_the_page_lists_every_operator_and_type():
    written = " ".join(row[0] for row in rows_of("Operators")).replace("\\|", "|")
    for operator in {*NAMED, *NAMED.values(), *(each for signs in OPERATORS.values() for each in signs)}:
        assert f"`{operator}" in written, operator
    assert [row[0] for row in rows_of("Values")] == list(VALUES)


@pytest.mark.parametrize("text", re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)[0].splitlines())
def test_filters_on_the_page_can_be_read(text):
    Query(text)


@pytest.mark.parametrize("kind", VALUES)
def test_values_on_the_page_can_be_read(kind):
    names = {field.kind: name for name, field in FIELDS.items()} | {"json": "json.a"}
    [written] = [row[1] for row in rows_of("Values") if row[0] == kind]
    values = re.findall(r"`([^`]+)`", written)
    assert values or kind == "text"
    for value in values:
        Query(f"{names[kind]} == {value}")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_programs_on_the_page_run(block):
    exec(compile(block, "filters.md", "exec"), {})
