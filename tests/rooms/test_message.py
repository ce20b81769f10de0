from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.errors import RoomError
from wslab.rooms.message import encode

ANY_TEXT = st.text(st.characters())  # halves of surrogate pairs included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


@given(st.lists(JSON) | st.dictionaries(ANY_TEXT, JSON) | st.integers() | st.booleans() | st.none())
def test_whatever_json_holds_is_sent_as_utf8_that_means_the_same(value):
    kind, text = encode(value)
    assert kind == "text"
    assert json.loads(text.encode("utf-8")) == value


def test_json_is_compact_and_readable():
    assert (
        encode({"type": "chat", "n": [1, 2], "name": "Zoë"}).payload
        == '{"type":"chat","n":[1,2],"name":"Zoë"}'
    )


def test_text_and_bytes_go_as_they_are():
    assert encode("héllo") == ("text", "héllo")
    assert encode("") == ("text", "")
    for data in (b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")):
        assert encode(data) == ("bytes", b"\x00\xff")


def test_a_buffer_may_be_changed_afterwards():
    buffer = bytearray(b"one")
    message = encode(buffer)
    buffer[:] = b"two"
    assert message.payload == b"one"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (object(), "got object"),
        ({"price": float("nan")}, "got dict"),
        ([float("inf")], "got list"),
        ({1, 2}, "got set"),
        ("half \ud83d", "surrogate"),
    ],
)
def test_what_no_client_could_take_is_refused(message, why):
    with pytest.raises(RoomError, match=why):
        encode(message)


def test_a_message_that_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(RoomError, match="got list"):
        encode(loop)
