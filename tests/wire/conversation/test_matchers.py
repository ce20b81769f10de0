from __future__ import annotations

import uuid

import pytest

from wslab.errors import WSLabError
from wslab.wire.conversation import matchers
from wslab.wire.conversation.matchers import (
    NotCapturedError,
    a_bool,
    a_jwt,
    a_list,
    a_number,
    a_text,
    a_time,
    a_token,
    a_uuid,
    an_id,
    an_object,
    anything,
    captured,
    text_like,
)

ACCEPTED = [
    (a_time(), "2026-07-23T14:12:11.123456789+00:00", "2026-07-23"),
    (a_time(), "2026-07-23 14:12", "2026-02-30T00:00:00Z"),
    (a_time(), "2026-07-23T14:12:11,5-0330", 1784815931),
    (a_time("date"), "2024-02-29", "2023-02-29"),
    (a_time("seconds"), 1784815931, True),
    (a_time("seconds"), 1784815931.25, "1784815931"),
    (a_time("seconds"), 1e9, 10**400),
    (a_time("milliseconds"), 1784815931254, 1784815931),
    (a_time("microseconds"), 1784815931254 * 10**3, -5),
    (a_time("nanoseconds"), 1784815931254 * 10**6, float("nan")),
    (a_uuid(), str(uuid.uuid4()), uuid.uuid4().hex),
    (an_id(4), "c0DE", "c0dee"),
    (a_token(), "abcdefghijklmno-_A==", "short"),
    (a_jwt(), "eyJh.eyJi.c", "eyJh.eyJi"),
    (a_number(), -1.5, False),
    (a_number(), 0, "0"),
    (a_text(), "", None),
    (a_text(), "a\nb", b""),
    (a_bool(), False, 0),
    (a_list(), [1], {}),
    (an_object(), {}, []),
    (text_like("a", an_id(2), "b"), "affb", "affb\n"),
    (text_like(a_time("seconds")), "1784815931", "9784815931"),
    (text_like("(", a_time(), ") ", a_token()), "(2026-07-23T14:12Z) abcdefghijklmnopq", 1),
    (captured(an_id(2)), "ff", "fff"),
]


@pytest.mark.parametrize(("matcher", "good", "bad"), ACCEPTED)
def test_a_matcher_equals_what_it_describes(matcher, good, bad):
    assert matcher != bad
    assert bad != matcher
    assert good == matcher
    assert {"a": [good]} == {"a": [matcher]}
    assert matcher == matcher  # noqa: PLR0124 - pytest compares a value with itself


@pytest.mark.parametrize("value", [None, True, 1, "a", b"a", [], {}])
def test_anything_is_anything(value):
    assert anything() == value


@pytest.mark.parametrize("matcher", [*(matcher for matcher, _, _ in ACCEPTED[:-1]), anything()])
def test_the_repr_is_the_python_that_makes_it(matcher):
    again = eval(repr(matcher), vars(matchers))
    assert repr(again) == repr(matcher)
    assert type(again) is type(matcher)


def test_no_matcher_can_be_a_key():
    with pytest.raises(TypeError, match="unhashable"):
        {a_text(): 1}


def test_an_unknown_form_of_a_time_is_refused():
    with pytest.raises(WSLabError, match='one of "ISO 8601", "date", "seconds"'):
        a_time("weeks")


def test_a_captured_value_is_the_first_one_from_then_on():
    name = captured(an_id(4))
    with pytest.raises(NotCapturedError, match=r"a message that has an_id\(4\)"):
        _ = name.value
    assert name != "no"
    assert repr(name) == "an_id(4)"
    assert name == "c0de"
    assert name == "c0de"
    assert name != "c0df"
    assert (name.value, repr(name)) == ("c0de", "'c0de'")


def test_a_captured_number_is_not_its_text_and_true_is_not_one():
    number = captured(a_number())
    assert number == 1
    assert number != True  # noqa: E712 - what is said of JSON's true
    assert number != 1.5
    assert number != "1"
    assert text_like("n=", number) == "n=1"
    assert text_like("n=", number) != "n=2"


def test_a_captured_part_of_a_text_is_put_into_another_one():
    user = captured(a_uuid())
    ours, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert text_like("you are ", user, "!") == f"you are {ours}!"
    assert text_like("you are ", user, "!") != f"you are {other}!"
    assert text_like("bye ", user).value == f"bye {ours}"


def test_a_pattern_with_groups_does_not_shift_the_parts():
    found = captured(an_id(2))
    assert text_like(a_time(), " ", a_uuid(), " ", found) == f"2026-07-23T14:12:11.5Z {uuid.uuid4()} ab"
    assert found.value == "ab"
