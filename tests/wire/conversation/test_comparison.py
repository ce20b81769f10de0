from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.wire.conversation.comparison import first_difference, show_value
from wslab.wire.conversation.matchers import a_number, a_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("expected", "got", "found"),
    [
        (1, 1.0, None),
        (1, True, ("$", 1, True)),
        (False, 0, ("$", False, 0)),
        (None, False, ("$", None, False)),
        ("1", 1, ("$", "1", 1)),
        ({}, [], ("$", {}, [])),
        ({"a": {"b c": [1, 2]}}, {"a": {"b c": [1, 3]}}, ('$.a["b c"][1]', 2, 3)),
        ({"a": 1, "b": 2}, {"a": 2, "c": 1}, ("$.b", 2, "nothing")),
        ({"a": 1}, {"a": 2, "c": 1}, ("$.c", "nothing", 1)),
        ([1, 2], [1], ("$[1]", 2, "nothing")),
        ([1], [1, 2], ("$[1]", "nothing", 2)),
        ([1, 2], [0], ("$[0]", 1, 0)),
        ({"a": a_number()}, {"a": 5}, None),
        ([a_text()], [5], ("$[0]", a_text(), 5)),
    ],
)
def test_the_first_difference_is_found(expected, got, found):
    found_now = first_difference(expected, got)
    if found is None:
        assert found_now is None
    else:
        assert [found_now[0], *map(repr, found_now[1:])] == [
            found[0],
            *(value if value == "nothing" and isinstance(value, str) else repr(value) for value in found[1:]),
        ]


@given(JSON, JSON)
def test_two_values_differ_where_their_json_does(one, other):
    """Numbers by their value; an object's members in any order."""

    def canonical(value):
        return json.dumps(value, sort_keys=True)

    assert first_difference(one, json.loads(json.dumps(one))) is None
    if canonical(one) == canonical(other):
        assert first_difference(one, other) is None
    elif first_difference(one, other) is None:
        assert one == other  # 1 and 1.0, 0.0 and -0.0


def test_a_long_value_is_cut():
    assert show_value([1]) == "[1]"
    assert show_value("x" * 1000).endswith("… (1002 characters)")
