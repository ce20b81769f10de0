from __future__ import annotations

import ast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wslab.wire.conversation.matchers import a_time, an_id, anything, captured, text_like
from wslab.wire.conversation.source import WIDTH, call, encode_literal, lay_out, text_node, value_node

ANY_TEXT = st.text(st.characters(), max_size=300)  # lone surrogates, too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=5),
)


@given(ANY_TEXT)
@example("'\"\\\n\r\t\x00\x7f\x85\u2028\u202e\ud800\U000e0001\U0001f469‍")
def test_a_literal_says_what_was_said_in_one_visible_line(text):
    literal = encode_literal(text)
    assert ast.literal_eval(literal) == text
    assert literal.isprintable()


@pytest.mark.parametrize(
    "char", ["\u202e", "\u2066", "\u200f", "\u05d0", "\u0627", "\u200d", "\ufe0f", "\u0301", "\xad", "\u3164"]
)
def test_what_is_invisible_or_turns_a_line_around_is_an_escape(char):
    assert encode_literal(char) == f'"{ascii(char)[1:-1]}"'


@pytest.mark.parametrize("text", ["é", "Ж", "日本", "한", "😀", "→", "€", "—"])
def test_what_is_plainly_visible_stays(text):
    assert encode_literal(text) == f'"{text}"'


@given(JSON)
def test_a_value_says_what_was_said(value):
    lines = lay_out("value = ", value_node(value, {}), 4)
    tree = ast.parse("if 1:\n" + "\n".join(lines))
    assert eval(compile(ast.Expression(tree.body[0].body[0].value), "", "eval"), {}) == value


@given(st.binary(max_size=700) | st.integers(0, 255).map(lambda byte: bytes([byte]) * 90))
def test_bytes_are_what_was_sent(data):
    source = "\n".join(lay_out("", value_node(data, {}), 0))
    assert eval(source, {"base64": __import__("base64"), "bytes": bytes}) == data


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2_000), st.integers(0, 20))
def test_a_long_text_is_broken_between_characters(text, indent):
    for node, begin in ((text_node(text), "x = "), (call("x = str", text_node(text)), "")):
        lines = lay_out(begin, node, indent)
        assert all(len(line) <= WIDTH for line in lines)
        scope = {}
        exec("if 1:\n " + "\n".join(lines), scope)
        assert scope["x"] == text


def test_a_value_that_does_not_fit_has_an_item_a_line():
    value = {"type": "x" * 30, "rows": [{"id": an_id(16), "n": number} for number in range(5)]}
    assert lay_out("assert got == ", value_node(value, {}), 4) == [
        "    assert got == {",
        '        "type": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",',
        '        "rows": [',
        *(f'            {{"id": an_id(16), "n": {number}}},' for number in range(5)),
        "        ],",
        "    }",
    ]


def test_captured_values_are_named_where_they_come_and_put_in_where_they_go():
    user = captured(an_id(16))
    names = {id(user): "user"}
    value = {"id": user, "text": text_like("it's {\"", user, '"} at ', a_time())}
    [line] = lay_out("", value_node(value, names), 0)
    assert line == """{"id": user, "text": text_like("it's {\\"", user, '"} at ', a_time())}"""
    sent = {"id": user, "text": text_like("\ue000it's {\"", user, '"}')}
    [line] = lay_out("", value_node(sent, names, sent=True), 0)
    assert line == '{"id": user.value, "text": f\'\\ue000it\\\'s {{"{user.value}"}}\'}'
    assert user == "00c0ffee00c0ffee"
    assert eval(line, {"user": user}) == {"id": user.value, "text": f'\ue000it\'s {{"{user.value}"}}'}


def test_what_is_put_in_may_be_anything():
    value = captured(anything())
    [line] = lay_out("send(", value_node(value, {id(value): "value"}, sent=True), 0, ")")
    assert line == "send(value.value)"


def test_a_matcher_behind_a_long_key_is_broken_in_its_brackets():
    lines = lay_out("x = ", value_node({"k" * 95: a_time("seconds"), "b": a_time()}, {}), 0)
    assert lines == [
        "x = {",
        f'    "{"k" * 95}": a_time(',
        '        "seconds",',
        "    ),",
        '    "b": a_time(),',
        "}",
    ]
