from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wslab.wire.query import Query, QueryError, complete, word_start
from wslab.wire.query.fields import FIELDS

KNOWN = {"conn": ["c1", "c2"], "path": ["/chat", "/a b", 'quote"']}
JOINERS = ["&&", "||", "and", "or"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [*FIELDS, "json", "not", "("]),
        ("co", ["conn", "compressed", "code"]),
        ("CO", ["conn", "compressed", "code"]),
        ("msg", ["msg.len"]),
        ("len>5 && (no", ["not"]),
        ("!js", ["json"]),
        ("opcode==", ["continuation", "text", "binary", "close", "ping", "pong"]),
        ("opcode == p", ["ping", "pong"]),
        ("opcode in ", ["{"]),
        ("opcode in {pi", ["ping"]),
        ("opcode in {ping", ["ping"]),
        ("opcode in {ping ", [",", "}"]),
        ("opcode in {ping, po", ["pong"]),
        ("opcode in {ping} ", JOINERS),
        ("(opcode==ping ", [*JOINERS, ")"]),
        ("((fin) ", [*JOINERS, ")"]),
        ("fin ", ["==", "!=", "in", *JOINERS]),
        ("text co", ["contains"]),
        ("text m", ["matches"]),
        ("json.a.b ", ["==", "!=", "in", "<", "<=", ">", ">=", "contains", "matches", *JOINERS]),
        ("json.ok==t", ["true"]),
        ("json.ok < ", []),
        ("len==ping ", []),
        ("text matches '(' ", []),
        ("dir==", ["in", "out"]),
        ("fin==", ["true", "false"]),
        ("conn==", ["c1", "c2"]),
        ("conn ne c2", ["c2"]),
        ("path==", ["/chat", '"/a b"', '"quote\\""']),
        ("code==101", ["1010", "1011", "1012", "1013", "1014"]),
        ("len==5 a", ["and"]),
        ("len==5 and not f", ["fin"]),
        ("len==", []),
        ('text=="op', []),
        ("nonsense==", []),
        ("jsonx==", []),
        ("len len ", []),
        ("opcode=", []),
        ("fin) && ", []),
    ],
)
def test_what_may_come_next(text, found):
    assert complete(text, len(text), KNOWN) == found


def test_what_follows_the_cursor_and_places_outside_do_not_matter():
    assert complete("opc==ping", 3) == ["opcode"]
    assert word_start("fin && opc==ping", 10) == 7
    assert complete("opc", 99) == ["opcode"]
    assert complete("opc", -1) == complete("", 0)
    assert (word_start("opc", -1), word_start("opc", 99), word_start("len>5", 4)) == (0, 0, 4)


PIECES = (
    "len json.a opcode fin text conn code == != < in { } , ( ) ! && || and not ping 5 'a' c3 contains [ ~"
)
pieces = st.sampled_from(PIECES.split(" "))


def place_of_mistake(text):
    """Where a filter is wrong; None where it is right, or nothing but a closing parenthesis is missing."""
    try:
        Query(text)
    except QueryError as error:
        return None if "Expected ')'" in str(error) else error.position
    return None


@settings(max_examples=500)
@given(text=st.lists(pieces, max_size=10).map(" ".join), typed=st.sampled_from(["", " ", "c", " t", " &"]))
def test_a_completion_is_never_itself_the_mistake(text, typed):
    text += typed
    start = word_start(text, len(text))
    for each in complete(text, len(text), KNOWN):
        completed = text[:start] + each
        position = place_of_mistake(completed)
        assert position is None or position >= len(completed), completed


@given(text=st.text(max_size=30), position=st.integers(-3, 33))
def test_any_text_can_be_completed(text, position):
    assert 0 <= word_start(text, position) <= max(0, position)
    for each in complete(text, position):
        assert each
