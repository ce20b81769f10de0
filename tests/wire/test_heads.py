from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wslab.wire.heads import HandshakeError, ResponseError, encode_fields, read_fields, read_words, show_line


def test_fields_keep_their_order_and_lists_are_joined():
    head = b"GET / HTTP/1.1\r\nVia: a\r\nHost: x\r\nVIA:  b, c \r\n\r\n"
    line, headers, fields = read_fields(head, 400)
    assert line == b"GET / HTTP/1.1"
    assert headers == [(b"via", b"a"), (b"host", b"x"), (b"via", b"b, c")]
    assert fields == {b"via": b"a, b, c", b"host": b"x"}
    assert read_words(fields, b"via") == [b"a", b"b", b"c"]
    assert read_words(fields, b"upgrade") == [b""]


def test_a_refusal_has_the_status_that_it_is_given():
    with pytest.raises(HandshakeError) as caught:
        read_fields(b"HTTP/1.1 101 X\r\nX\r\n\r\n", 101)
    assert (caught.value.status, "no colon in line 2" in caught.value.reason) == (101, True)


def test_what_is_shown_is_short_ascii_without_secrets():
    assert show_line(b"GET /caf\xc3\xa9?password=hunter2&b=1\x1b[2J") == (
        r"'GET /caf\xc3\xa9?password=[redacted-7-bytes]&b=1\x1b[2J'"
    )
    assert len(show_line(b"x" * 10_000)) == 82


NAMES = st.text("abcXYZ019-_!~", min_size=1, max_size=6).map(str.encode)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=5))
def test_what_is_written_is_read_back(headers):
    try:
        lines = encode_fields(headers, frozenset())
    except ResponseError:
        assert any(set(value) & {*range(9), *range(10, 32), 127} for _, value in headers)
        return
    _, read, _ = read_fields(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n", 200)
    assert read == [(name.lower(), value.strip(b" \t")) for name, value in headers]
