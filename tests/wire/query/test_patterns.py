"""Patterns, with `re` as the oracle where it ends in time."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.wire.query.patterns import MAX_PATTERN, MAX_TEXT, Pattern, PatternError

atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", r"\n", "^", "$", r"\.", "(?:)"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(pattern=patterns, text=st.text(alphabet="ab.1\n ", max_size=8))
def test_it_finds_what_re_finds(pattern, text):
    assert Pattern(pattern).search(text) == (re.search(pattern, text) is not None)


@given(
    pattern=st.text(alphabet=r"ab()[]{}*+?|^$\.,12:=!<>P-&~", max_size=24), text=st.text("ab12", max_size=6)
)
def test_any_text_is_a_pattern_or_refused(pattern, text):
    try:
        found = Pattern(pattern).search(text)
    except PatternError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found == (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a|a)*b", "(a|aa)+$|b", "a*a*a*a*a*a*b", "(.*)*b", "(a?){60}a{60}b", "((){20}){20}b"],
)
def test_a_hostile_pattern_ends(pattern):
    assert not Pattern(pattern).search("a" * (MAX_TEXT - 1) + "c")


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "[",
        "*a",
        "a{9999}",
        "(a{400}){400}",
        "(((){400}){400}){400}",
        r"(a)\1",
        "(?=a)",
        r"(a)\b",
        "a++",
        "[[a]b]",
        "a" * (MAX_PATTERN + 1),
        "(" * 60 + ")" * 60,
    ],
)
def test_what_is_no_pattern_or_unbounded_is_refused(pattern):
    with pytest.raises(PatternError):
        Pattern(pattern)


def test_flags_and_named_groups_are_read():
    assert Pattern("(?i)(?P<word>PING)+").search("pingping")
    assert Pattern("(?s)a.*b").search("a\nb")
    assert Pattern(r"\bping\b").search("a ping")


def test_text_beyond_the_bound_is_not_searched():
    assert not Pattern("x").search("a" * MAX_TEXT + "x")
    assert not Pattern("(x)").search("a" * MAX_TEXT + "x")


def test_a_text_of_many_states_stays_right_when_the_cache_is_emptied():
    import random

    text = "".join(random.Random(1).choices("ab", k=MAX_TEXT))
    assert Pattern("(a|b)*a(a|b){12}c").search(text) is False
    assert Pattern("(a|b)*a(a|b){12}c").search(text[:-1] + "c") is (text[-14] == "a")
