from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_extension

from wslab.wire.extensions import ExtensionSyntaxError, parse_extensions


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("a", [("a", [])]),
        ("a,b", [("a", []), ("b", [])]),
        (" a ; b = c ,\td;e ", [("a", [("b", "c")]), ("d", [("e", None)])]),
        ('a; b="c"; d="\\e\\f"', [("a", [("b", "c"), ("d", "ef")])]),
        (", ,a,, b,", [("a", []), ("b", [])]),
        ("a; b; b", [("a", [("b", None), ("b", None)])]),
    ],
)
def test_the_grammar_of_extensions(value, parsed):
    assert parse_extensions(value) == parsed


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        ";",
        "a;",
        "a;;b",
        "a=b",
        "a b",
        "a; b c",
        "a; =b",
        "a; b=",
        'a; b=""',
        'a; b="c',
        "a; b='c' d",
        "é",
        "a/b",
    ],
)
def test_what_is_no_list_of_extensions(value):
    with pytest.raises(ExtensionSyntaxError):
        parse_extensions(value)


@settings(deadline=None)
@given(st.text('ab1 \t,;="\\-é', max_size=25))
def test_the_oracle_reads_the_same(value):
    value = value.strip(" \t")  # as a header's value is, when it is read
    try:
        expected = [(name, list(parameters)) for name, parameters in parse_extension(value)]
    except InvalidHeaderFormat:
        expected = []
    try:
        parsed = parse_extensions(value)
    except ExtensionSyntaxError:
        parsed = []
    assert parsed == expected
