from __future__ import annotations

import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.errors import OptionError
from wslab.wire.conversation.volatile import Fields, find_volatile, volatile_number

AT = 1784815931.25
NOW = datetime.fromtimestamp(AT, UTC)


def names(text):
    return [(text[start:end], repr(what)) for start, end, what in find_volatile(text, AT)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (NOW.isoformat(), "a_time()"),
        (NOW.isoformat(sep=" ", timespec="minutes"), "a_time()"),
        (NOW.astimezone(timezone(timedelta(hours=13))).isoformat(), "a_time()"),
        (NOW.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "a_time()"),
        ((NOW - timedelta(hours=20)).replace(tzinfo=None).isoformat(), "a_time()"),
        (NOW.date().isoformat(), 'a_time("date")'),
        (str(int(AT)), 'a_time("seconds")'),
        (str(AT), 'a_time("seconds")'),
        (str(int(AT * 1000)), 'a_time("milliseconds")'),
        (str(uuid.UUID(int=7)), "a_uuid()"),
        (str(uuid.uuid4()).upper(), "a_uuid()"),
        (uuid.UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6").hex, "an_id(32)"),
        ("00c0ffee00c0ffee", "an_id(16)"),
        ("1184391283912839123", "an_id(19)"),
        ("EakCKwZsjkhfUos_oKBOQg", "a_token()"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "a_token()"),
        ("eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.", "a_jwt()"),
    ],
)
def test_what_a_server_makes_up_is_recognised_alone_and_in_a_text(text, what):
    assert names(text) == [(text, what)]
    if not text.endswith(("=", ".")):  # base64 with its padding is looked for alone
        assert names(f"it's ({text}), and {text};") == [(text, what)] * 2
        assert names(f"user-{text}")[-1][0].endswith(text[-8:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello world, how are you today?",
        "1815-12-10",
        "1815-12-10T00:00:00Z",
        "2026-13-23T14:12:11Z",
        (NOW + timedelta(days=30)).isoformat(),
        "14.5",
        "4242424242424242",
        "1234567890",
        "deadbeef",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "permessage-deflate",
        "client_no_context_takeover",
        "WebSocketRequestValidationError",
        "application/vnd.api+json",
        "https://example.org/some/long-path/with_words",
        "x" * 1000,
        "a1" * 500,
    ],
)
def test_what_is_meant_stays(text):
    assert names(text) == []


def test_nearly_every_token_is_recognised():
    drawn = [secrets.token_urlsafe(24) for _ in range(500)]
    assert sum(names(token) == [(token, "a_token()")] for token in drawn) > 490


def test_a_number_is_a_time_in_the_unit_that_brings_it_near():
    for unit, scale in (("seconds", 1), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
        assert repr(volatile_number(AT * scale, AT)) == f'a_time("{unit}")'
    for number in (0, -AT, 1.5, AT + 10 * 86400, 10**400, float("inf")):
        assert volatile_number(number, AT) is None


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    for start, end, what in find_volatile(text, AT):
        assert what.accepts_text(text[start:end])


@pytest.mark.parametrize(
    "text", ["a-" * 30_000, "aB1-" * 15_000, "eyJ" * 20_000, "1234567890." * 6_000, "2026-07-23T" * 6_000]
)
def test_a_hostile_text_takes_time_that_grows_with_its_length(text):
    before = time.process_time()
    find_volatile(text, AT)
    assert time.process_time() - before < 20  # quadratic, it would be minutes


def test_fields_are_named_by_key_or_path():
    fields = Fields(["ts", "$.a.b", "$.rows[*].id", "$.rows[0].n", "$"])
    for path in [("ts",), ("x", 3, "ts"), ("a", "b"), ("rows", 7, "id"), ("rows", 0, "n"), ()]:
        assert path in fields
    for path in [("a",), ("b",), ("a", "b", "c"), ("rows", 1, "n"), ("rows", "id"), (0,)]:
        assert path not in fields
    assert Fields("a.b").cover(("a.b", 1))  # a key may be anything, and one name is enough
    assert Fields(["$.a"]).cover(("a", "b", 0))
    assert not Fields(["$.a.b"]).cover(("a",))


@pytest.mark.parametrize("name", ["$a", "$.", "$.a[", "$.a[x]", "$..a", "$.a[1"])
def test_a_path_that_cannot_be_read_is_refused(name):
    with pytest.raises(OptionError, match="nothing is understood from"):
        Fields([name])
