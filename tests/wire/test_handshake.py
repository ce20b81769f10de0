from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import accept_key as oracle_accept_key

from wslab.wire import accept_key, parse_head, redact_head
from wslab.wire.handshake import _redact_lines, redact_target


@given(st.binary(min_size=16, max_size=16))
def test_accept_key_agrees_with_the_oracle(nonce):
    assert accept_key(nonce.hex()) == oracle_accept_key(nonce.hex())


def test_a_head_keeps_order_and_spelling():
    head = parse_head(b"GET /a?b=1 HTTP/1.1\r\nHOST: x\r\nAccept: 1\r\naccept: 2\r\nno colon\r\n\r\nrest")
    assert head.headers == (("HOST", "x"), ("Accept", "1"), ("accept", "2"), ("", "no colon"))
    assert (head.target, head.get("ACCEPT"), head.get("none", "-"), head.status) == ("/a?b=1", "1", "-", 0)


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"HTTP/1.1 101 X", 101), (b"HTTP/1.1 \xb2\xb2\xb2 X", 0), (b"HTTP/1.1", 0), (b"", 0)],
)
def test_the_status_of_a_response(line, status):
    assert parse_head(line + b"\r\n\r\n").status == status
    assert parse_head(line + b"\r\n\r\n").target == ""


SECRET = b"s3cr3t-v4lu3"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /?lab_token=%s HTTP/1.1\r\nHost: x",
        b"GET /?a=1&TOKEN=%s&b=2 HTTP/1.1\r\nHost: x",
        b"GET /?access_token=%s HTTP/1.1",
        b"GET /?api_key=%s HTTP/1.1",
        b"GET /?apikey=%s HTTP/1.1",
        b"GET /?user.password=%s HTTP/1.1",
        b"GET /?jwt=%s HTTP/1.1",
        b"GET /?code=%s HTTP/1.1",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer %s",
        b"GET / HTTP/1.1\r\nauthorization:Basic %s",
        b"GET / HTTP/1.1\r\nCookie: session=%s; b=c",
        b"GET / HTTP/1.1\r\nX-Api-Key: %s",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: wslab.token.%s",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: chat, wslab.token.%s, v2",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: bearer, %s",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: chat,Bearer,%s,v2",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: bearer.%s",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: Authorization, %s",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: chat, jwt, %s",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: access_token,%s",
        b"GET /?auth=%s HTTP/1.1",
        b"GET /?client_secret=%s HTTP/1.1",
        b"GET / HTTP/1.1\r\nReferer: http://x/lab?token=%s",
        b"HTTP/1.1 101 X\r\nSet-Cookie: id=%s; Path=/",
        b"HTTP/1.1 302 X\r\nLocation: /?token=%s",
        b"GET / HTTP/1.1\r\nX-Auth-Token: %s",
        b"GET / HTTP/1.1\r\nX-CSRF-Token: %s",
        b"GET /?a=1&t%%6Fken=%s HTTP/1.1\r\nHost: x",
        b"GET /?filter[token]=%s HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1\r\nCookie: a=b;\r\n c=%s",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie : c=%s",
    ],
)
def test_secrets_are_taken_out_and_their_place_stays(head):
    redacted = redact_head((head % SECRET) + b"\r\n\r\n")
    assert SECRET not in redacted
    assert b"[redacted-" in redacted
    assert redacted.endswith(b"\r\n\r\n")
    assert redacted.count(b"\r\n") == (head + b"\r\n\r\n").count(b"\r\n")


def test_what_is_no_secret_stays_as_it_was():
    head = b"GET /room?name=ada&tokens=3 HTTP/1.1\r\nHost:  x\r\nSec-WebSocket-Protocol: chat,v2\r\n\r\n"
    assert redact_head(head) == head
    odd = head[:-2] + b"Referer:\t http://x/?a=b \r\nX-Y:1\r\nno colon\r\n\r\n"
    assert redact_head(odd) == odd


def test_a_head_with_bare_line_feeds_keeps_no_secret_either():
    raw = b"GET /?token=%s HTTP/1.1\nHost: x\nCookie: %s\n\r\n\r\n" % (SECRET, SECRET)
    assert SECRET not in redact_head(raw)


NAMES = [
    *(
        "Host",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "sec-websocket-protocol",
    ),
    *("Origin", "Cookie", "Authorization", "Referer", "Location", "X-Forwarded-For", "X-Forwarded-Token"),
    *(
        "Accept-Encoding",
        "Accept-Token",
        "Content-Secret",
        "Host ",
        " Host",
        "X-Api-Key",
        "Sec-Fetch-Mode",
        "Via",
    ),
]
VALUES = [
    *(
        "x",
        "",
        "chat, v2",
        "bearer, s",
        "jwt,s",
        "Authorization,s",
        "wslab.token.s",
        "Token",
        "http://x/?token=s",
        "http://x/?a=b",
        "a=b",
    ),
    *("gzip;q=0.9", "a\nCookie: s", "a\r\n\r\nCookie: s", "a\r\n folded", "s: t"),
]
TARGETS = [
    "/",
    "/echo",
    "/?a=b",
    "/?token=s",
    "/?a=b&lab_token=s",
    "/?t%6Fken=s",
    "/a=b?code=s",
    "/?q=?auth=s",
]


@given(
    st.sampled_from(TARGETS),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([": ", ":", " : "]), st.sampled_from(VALUES))),
    st.sampled_from(["\r\n\r\n", "\r\n", "", "\n\n", "\r\n\r\nrest"]),
)
def test_the_short_way_and_the_long_way_agree(target, fields, end):
    lines = [f"GET {target} HTTP/1.1", *("".join(field) for field in fields)]
    raw = ("\r\n".join(lines) + end).encode()
    assert redact_head(raw) == _redact_lines(raw)


@pytest.mark.parametrize("name", NAMES)
def test_they_agree_on_every_field_alone(name):
    for target in TARGETS:
        for value in VALUES:
            raw = f"GET {target} HTTP/1.1\r\n{name}: {value}\r\n\r\n".encode()
            assert redact_head(raw) == _redact_lines(raw)


@pytest.mark.parametrize("target", ["/", "/?room=a"])
def test_a_harmless_head_is_not_even_copied(target):
    raw = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-WebSocket-Protocol: chat\r\n\r\n".encode()
    assert redact_head(raw) is raw


def test_a_redacted_target_is_still_one_word():
    assert b" " not in redact_target(b"/?token=abc")


@given(st.binary(max_size=200))
def test_any_bytes_can_be_redacted_and_parsed(raw):
    parse_head(redact_head(raw))
