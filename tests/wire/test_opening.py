from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from wslab.errors import WSLabError
from wslab.wire.opening import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_LINE,
    HandshakeError,
    ResponseError,
    accept_response,
    check_head,
    denial_response,
    is_upgrade,
    read_upgrade,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
GOOD = (
    b"Host: localhost:8000",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Version: 13",
)


def a_head(*extra, line=b"GET /chat HTTP/1.1", without=b"", good=GOOD):
    """A good request, less the header `without`, and with the lines `extra`."""
    kept = [field for field in good if not without or not field.lower().startswith(without.lower() + b":")]
    return b"\r\n".join([line, *kept, *extra]) + b"\r\n\r\n"


def refusal(head):
    with pytest.raises(HandshakeError) as caught:
        read_upgrade(head)
    return caught.value


# -- requests that are taken -----------------------------------------------------------------------
def test_a_browsers_request_is_read_as_it_came():
    head = a_head(
        b"Origin: http://localhost:8888",
        b"Cookie: a=b",
        b"COOKIE:c=d \t",
        b"X-Empty:",
        b"Sec-WebSocket-Protocol: chat, v2.chat",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        line=b"GET /caf%C3%A9/a%2Fb?x=1&y=%20?z HTTP/1.1",
    )
    request = read_upgrade(head)
    assert request.target == b"/caf%C3%A9/a%2Fb?x=1&y=%20?z"
    assert (request.raw_path, request.path) == (b"/caf%C3%A9/a%2Fb", "/café/a/b")
    assert request.query_string == b"x=1&y=%20?z"
    assert request.key == KEY
    assert request.subprotocols == ["chat", "v2.chat"]
    assert request.extensions == "permessage-deflate; client_max_window_bits"
    assert request.headers == [
        (b"host", b"localhost:8000"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-version", b"13"),
        (b"origin", b"http://localhost:8888"),
        (b"cookie", b"a=b"),
        (b"cookie", b"c=d"),
        (b"x-empty", b""),
        (b"sec-websocket-protocol", b"chat, v2.chat"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    ]


def test_a_request_without_offers_has_none():
    request = read_upgrade(a_head())
    assert (request.subprotocols, request.extensions, request.query_string) == ([], "", b"")


@pytest.mark.parametrize(
    "head",
    [
        a_head(b"Connection: keep-alive, UPGRADE", without=b"Connection"),
        a_head(b"Connection: keep-alive", b"Connection: upgrade", without=b"Connection"),
        a_head(b"Upgrade: WebSocket", without=b"Upgrade"),
        a_head(b"Upgrade: h2c, websocket", without=b"Upgrade"),
        a_head(b"Upgrade: h2c", b"Upgrade: websocket", without=b"Upgrade"),
        a_head(b"Content-Length: 0"),
        a_head(b"host: [::1]:8000", without=b"Host"),
        a_head(b"Host:", without=b"Host"),
        a_head(b"X: caf\xe9", b"X:\ttab\tinside\t"),
        a_head(line=b"GET /chat HTTP/1.2"),
        a_head(b'Sec-WebSocket-Extensions: x; a="1", , y;b;c=2,'),
    ],
)
def test_what_the_rules_allow_is_taken(head):
    assert is_upgrade(head)
    assert read_upgrade(head).path == "/chat"


def test_several_fields_of_offers_are_one_list():
    request = read_upgrade(
        a_head(
            b"Sec-WebSocket-Protocol: a, b,",
            b"Sec-WebSocket-Protocol:c",
            b"Sec-WebSocket-Extensions: x; p=1",
            b"Sec-WebSocket-Extensions: y",
        )
    )
    assert request.subprotocols == ["a", "b", "c"]
    assert request.extensions == "x; p=1, y"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", "/", b"", b"localhost:8000"),
        (b"//evil.example/x", "//evil.example/x", b"", b"localhost:8000"),
        (b"/%ff", "/\ufffd", b"", b"localhost:8000"),
        (b"/%zz%4", "/%zz%4", b"", b"localhost:8000"),
        (b"/?", "/", b"", b"localhost:8000"),
        (b"http://other:1/p?q", "/p", b"q", b"other:1"),
        (b"WSS://other", "/", b"", b"other"),
        (b"ws://other?q", "/", b"q", b"other"),
    ],
)
def test_the_target_in_its_forms(target, path, query, host):
    request = read_upgrade(a_head(line=b"GET " + target + b" HTTP/1.1"))
    assert (request.target, request.path, request.query_string) == (target, path, query)
    assert dict(request.headers)[b"host"] == host, "RFC 9112 section 3.2.2: an absolute target's host counts"


# -- requests that are refused ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("head", "status", "word"),
    [
        (a_head(line=b"POST /chat HTTP/1.1"), 405, "method GET"),
        (a_head(line=b"get /chat HTTP/1.1"), 405, "method GET"),
        (a_head(line=b"GET /chat HTTP/1.0"), 505, "HTTP/1.1"),
        (a_head(line=b"GET /chat HTTP/2.0"), 505, "HTTP/1.1"),
        (a_head(line=b"GET /chat http/1.1"), 505, "HTTP/1.1"),
        (a_head(line=b"GET /chat HTTP/1.1x"), 505, "HTTP/1.1"),
        (a_head(line=b"GET /a b HTTP/1.1"), 400, "request line"),
        (a_head(line=b"GET  HTTP/1.1"), 400, "request line"),
        (a_head(line=b"GET /chat"), 400, "request line"),
        (a_head(line=b"GET chat HTTP/1.1"), 400, "request target"),
        (a_head(line=b"GET * HTTP/1.1"), 400, "request target"),
        (a_head(line=b"GET localhost:80 HTTP/1.1"), 400, "request target"),
        (a_head(line=b"GET http:///x HTTP/1.1"), 400, "request target"),
        (a_head(line=b"GET http://user@localhost/x HTTP/1.1"), 400, "request target"),
        (a_head(line=b"GET ftp://localhost/x HTTP/1.1"), 400, "request target"),
        (a_head(line=b"GET /chat#top HTTP/1.1"), 400, "'#'"),
        (a_head(line=b"GET /caf\xc3\xa9 HTTP/1.1"), 400, "ASCII"),
        (a_head(without=b"Host"), 400, "Host header, got none"),
        (a_head(b"Host: other"), 400, "host once"),
        (a_head(b"Host: user@localhost", without=b"Host"), 400, "host:port"),
        (a_head(b"Host: localhost/x", without=b"Host"), 400, "host:port"),
        (a_head(b"Host: a b", without=b"Host"), 400, "host:port"),
        (a_head(b"Host: caf\xe9", without=b"Host"), 400, "host:port"),
        (a_head(without=b"Upgrade"), 400, "Upgrade: websocket"),
        (a_head(b"Upgrade: h2c", without=b"Upgrade"), 400, "Upgrade: websocket"),
        (a_head(b"Upgrade: websockets", without=b"Upgrade"), 400, "Upgrade: websocket"),
        (a_head(without=b"Connection"), 400, "Connection: Upgrade"),
        (a_head(b"Connection: keep-alive", without=b"Connection"), 400, "Connection: Upgrade"),
        (a_head(b"Connection: upgrades", without=b"Connection"), 400, "Connection: Upgrade"),
        (a_head(b"Connection: keep alive, Upgrade", without=b"Connection"), 400, "Connection: Upgrade"),
        (a_head(without=b"Sec-WebSocket-Key"), 400, "Key header, got none"),
        (a_head(b"Sec-WebSocket-Key: " + KEY), 400, "sec-websocket-key once"),
        (a_head(b"Sec-WebSocket-Key: " + KEY[:-1], without=b"Sec-WebSocket-Key"), 400, "no base64"),
        (a_head(b"Sec-WebSocket-Key: " + KEY + b"=", without=b"Sec-WebSocket-Key"), 400, "no base64"),
        (
            a_head(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBu-25jZQ==", without=b"Sec-WebSocket-Key"),
            400,
            "no base64",
        ),
        (a_head(b"Sec-WebSocket-Key: AAAA", without=b"Sec-WebSocket-Key"), 400, "got 3 bytes"),
        (a_head(b"Sec-WebSocket-Key:", without=b"Sec-WebSocket-Key"), 400, "got 0 bytes"),
        (a_head(b"Content-Length: 5"), 400, "body"),
        (a_head(b"Content-Length: -0"), 400, "body"),
        (a_head(b"Content-Length: 0", b"Content-Length: 0"), 400, "content-length once"),
        (a_head(b"Transfer-Encoding: chunked"), 400, "body"),
        (a_head(b"Sec-WebSocket-Version: 13"), 400, "sec-websocket-version once"),
        (a_head(b"Origin: http://a", b"Origin: http://b"), 400, "origin once"),
        (a_head(b"Sec-WebSocket-Protocol: a, b, a"), 400, "offered once"),
        (a_head(b"Sec-WebSocket-Protocol: a b"), 400, "tokens"),
        (a_head(b"Sec-WebSocket-Protocol: a/b"), 400, "tokens"),
        (a_head(b"Sec-WebSocket-Protocol: caf\xe9"), 400, "tokens"),
        (a_head(b"Sec-WebSocket-Protocol:"), 400, "Leave the header out"),
        (a_head(b"Sec-WebSocket-Extensions: ;"), 400, "Sec-WebSocket-Extensions"),
        (a_head(b"Sec-WebSocket-Extensions: a=1"), 400, "Sec-WebSocket-Extensions"),
        (a_head(b'Sec-WebSocket-Extensions: a; b="'), 400, "Sec-WebSocket-Extensions"),
        (a_head(b'Sec-WebSocket-Extensions: a; b="c d"'), 400, "Sec-WebSocket-Extensions"),
        (a_head(b"Sec-WebSocket-Extensions: a;"), 400, "Sec-WebSocket-Extensions"),
        (a_head(b"X: a", b" folded"), 400, "folded"),
        (a_head(b"X: a", b"\tfolded: b"), 400, "folded"),
        (a_head(b"X : a"), 400, "colon right after"),
        (a_head(b"X\t: a"), 400, "colon right after"),
        (a_head(b"X Y: a"), 400, "token"),
        (a_head(b"X(: a"), 400, "token"),
        (a_head(b"caf\xe9: a"), 400, "token"),
        (a_head(b": a"), 400, "'name: value'"),
        (a_head(b"Xa"), 400, "'name: value'"),
        (a_head(b"X: a\nY: b"), 400, r"b'\n'"),
        (a_head(b"X: a\rY: b"), 400, r"b'\r'"),
        (a_head(b"X: a\0b"), 400, r"b'\x00'"),
        (a_head(b"X: a\x7fb"), 400, r"b'\x7f'"),
        (a_head(b"X\0: a"), 400, r"b'\x00'"),
        (a_head().replace(b"\r\n", b"\n"), 400, r"b'\n'"),
        (a_head()[:-2], 400, "empty line"),
        (a_head()[:-4], 400, "empty line"),
        (a_head() + b"\x81\x80\0\0\0\0", 400, "CR LF"),
        (b"\r\n\r\n", 400, "request line"),
        (b"", 400, "empty line"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "CR LF"),
    ],
)
def test_each_broken_rule_has_its_refusal(head, status, word):
    error = refusal(head)
    assert (error.status, word in error.reason) == (status, True), error.reason
    assert isinstance(error, WSLabError)
    assert denial_response(error.status, error.headers, error.reason.encode())


@pytest.mark.parametrize("version", [b"12", b"8", b"14", b"1", b"013", b"13, 13", b"", b"x", None])
def test_another_version_is_told_which_one_is_spoken(version):
    extra = [] if version is None else [b"Sec-WebSocket-Version: " + version]
    error = refusal(a_head(*extra, without=b"Sec-WebSocket-Version"))
    assert error.status == 426
    assert (b"sec-websocket-version", b"13") in error.headers
    answer = denial_response(error.status, error.headers, error.reason.encode())
    assert b"\r\nupgrade: websocket\r\n" in answer, "RFC 9110 section 15.5.22"
    assert b"\r\nconnection: upgrade, close\r\n" in answer, "RFC 9110 section 7.8"


def test_a_method_that_is_refused_is_told_the_allowed_one():
    assert refusal(a_head(line=b"PUT / HTTP/1.1")).headers == [(b"allow", b"GET")]


@pytest.mark.parametrize(
    "head",
    [
        a_head(b"Cookie: password=hunter2\0"),
        a_head(b"Cookie\0 password=hunter2"),
        a_head(b"Authorization : hunter2"),
        a_head(b"Authorization:", b" Bearer hunter2"),
        a_head(b"Authorization Bearer hunter2"),
        a_head(b"Authorization Bearer hunter2: x"),
        a_head(b"Sec-WebSocket-Protocol: wslab.token.hunter2/"),
        a_head(b"Sec-WebSocket-Protocol: bearer, hunter2, hunter2"),
        a_head(line=b"GET /?token=hunter2 x HTTP/1.1"),
        a_head(line=b"GET chat?lab_token=hunter2 HTTP/1.1"),
        a_head(line=b"GET /?token=hunter2 HTTP/1.0"),
        a_head(line=b"GET /?token=hunter2#x HTTP/1.1"),
    ],
)
def test_a_refusal_repeats_no_secret(head):
    assert "hunter2" not in refusal(head).reason


def test_a_refusal_says_where():
    assert "line 8" in refusal(a_head(b"X: a", b" folded")).reason
    assert "b'(' in line 7" in refusal(a_head(b"X(: a")).reason
    assert "line 7" in refusal(a_head(b"X : a")).reason
    assert "line 7" in refusal(a_head(b"X")).reason
    assert r"b'\x00' in line 1" in refusal(a_head(line=b"GET /\0 HTTP/1.1")).reason


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw):
    for head in (raw, raw + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + raw + b"\r\n\r\n", a_head(raw)):
        is_upgrade(head)
        check_head(head)
        try:
            read_upgrade(head)
        except HandshakeError as error:
            denial_response(error.status, error.headers, error.reason.encode())


@settings(deadline=None)
@given(st.integers(0, len(a_head()) + 40), st.integers(0, 255))
def test_what_we_take_the_oracle_takes_too(position, byte):
    """One byte of a good request changed: whatever we still take, `websockets` does not refuse."""
    head = bytearray(a_head(b"Connection: keep-alive", b"Sec-WebSocket-Protocol: a, b"))
    head[position] = byte
    try:
        request = read_upgrade(bytes(head))
    except HandshakeError:
        return
    headers = Headers()
    for name, value in request.headers:
        headers[name.decode("latin-1")] = value.decode("latin-1")
    assert ServerProtocol().accept(Request(request.path, headers)).status_code == 101


# -- size and routing ------------------------------------------------------------------------------
def test_a_head_at_each_limit_passes():
    check_head(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_HEADERS + b"\r\n")
    check_head(b"GET / HTTP/1.1\r\na:" + b"b" * (MAX_LINE - 2) + b"\r\n\r\n")
    full = b"GET / HTTP/1.1\r\n" + (b"a:" + b"b" * 1020 + b"\r\n") * 63
    check_head(full + b"b" * (MAX_HEAD - len(full)))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1),
        b"GET / HTTP/1.1\n" + b"a: b\n" * (MAX_HEADERS + 1),
        b"GET / HTTP/1.1\r\na:" + b"b" * (MAX_LINE - 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\na:" + b"b" * (MAX_LINE - 1),
        b"GET /" + b"a" * MAX_LINE,
        (b"GET / HTTP/1.1\r\n" + (b"a:" + b"b" * 1020 + b"\r\n") * 70)[: MAX_HEAD + 1],
    ],
)
def test_a_head_above_a_limit_is_431(head):
    with pytest.raises(HandshakeError) as caught:
        check_head(head)
    assert caught.value.status == 431


@pytest.mark.parametrize(
    ("field", "asks"),
    [
        (b"Upgrade: websocket", True),
        (b"upgrade:WEBSOCKET", True),
        (b"UPGRADE : websocket", True),  # malformed, and for read_upgrade to say so
        (b"Upgrade: h2c, websocket", True),
        (b"Upgrade: h2c\r\nUpgrade: websocket", True),
        (b"Upgrade-Insecure-Requests: 1\r\nUpgrade: websocket", True),
        (b"Upgrade: h2c", False),
        (b"Upgrade-Insecure-Requests: websocket", False),
        (b"X-Upgrade: websocket", False),
        (b"Referer: http://x/upgrade:websocket", False),
    ],
)
def test_who_asks_for_a_websocket(field, asks):
    assert is_upgrade(b"GET / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n") is asks


def test_a_hostile_list_of_extensions_takes_one_pass():
    # A grammar that backtracks needs minutes for these; the test's own time limit would end it.
    for value in (
        b"a" + b"," * 60_000 + b'"',
        b"a" + b" ," * 30_000 + b";",
        b"a;b" * 20_000,
        b"a" + b" " * 60_000,
    ):
        with pytest.raises(HandshakeError):
            read_upgrade(a_head(b"Sec-WebSocket-Extensions: x; " + value + b'; "'))


# -- answers ---------------------------------------------------------------------------------------
def test_the_oracle_takes_our_acceptance():
    client = ClientProtocol(parse_uri("ws://localhost:8000/chat"), subprotocols=["a", "b"])
    client.send_request(client.connect())
    request = read_upgrade(b"".join(client.data_to_send()))
    assert request.subprotocols == ["a", "b"]
    answer = accept_response(request, subprotocol="b", headers=[(b"X-Room", b"blue")])
    client.receive_data(answer)
    assert client.handshake_exc is None
    assert client.state.name == "OPEN"
    assert (client.subprotocol, client.events_received()[0].headers["x-room"]) == ("b", "blue")


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ([(b"X-A", b"1\r\nSet-Cookie: a=b")], "X-A"),
        ([(b"X-A", b"1\n")], "X-A"),
        ([(b"X-A", b"1\0")], "X-A"),
        ([(b"X-A\r\nX-B", b"1")], "X-A"),
        ([(b"X A", b"1")], "X A"),
        ([(b"X:", b"1")], "X:"),
        ([(b"", b"1")], "name"),
        ([(b"Upgrade", b"h2c")], "Upgrade"),
        ([(b"connection", b"close")], "connection"),
        ([(b"Sec-WebSocket-Accept", b"x")], "Sec-WebSocket-Accept"),
        ([(b"sec-websocket-protocol", b"x")], "subprotocol="),
        ([(b"sec-websocket-extensions", b"x")], "sec-websocket-extensions"),
        ([(b"content-length", b"0")], "content-length"),
    ],
)
def test_a_header_that_would_break_the_acceptance_is_refused_by_name(headers, word):
    with pytest.raises(ResponseError, match=re.escape(word)) as caught:
        accept_response(read_upgrade(a_head()), headers=headers)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("offered", [(), (b"Sec-WebSocket-Protocol: a, b",)])
def test_a_subprotocol_nobody_offered_is_refused(offered):
    with pytest.raises(ResponseError, match="offered"):
        accept_response(read_upgrade(a_head(*offered)), subprotocol="c")


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4))
def test_no_header_ever_becomes_two(headers):
    try:
        denial = denial_response(400, headers, b"x")
        accepted = accept_response(read_upgrade(a_head()), headers=headers)
    except ResponseError:
        return
    assert accepted.count(b"\r\n") == 5 + len(headers)
    assert denial.endswith(b"\r\n\r\nx")
    assert denial.count(b"\n") == denial.count(b"\r\n") <= 5 + len(headers)


def split(response):
    head, _, body = response.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, [tuple(line.split(b": ", 1)) for line in lines], body


def test_a_denial_says_all_that_http_asks_for():
    first, headers, body = split(denial_response(403, [(b"X-Why", b"token")], b"Forbidden"))
    assert (first, body) == (b"HTTP/1.1 403 Forbidden", b"Forbidden")
    assert headers == [
        (b"X-Why", b"token"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"9"),
        (b"connection", b"close"),
    ]


def test_a_denials_length_is_its_bodys_and_stands_once():
    given_headers = [
        (b"Content-Length", b"99"),
        (b"content-length", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"keep-alive"),
        (b"Content-Type", b"application/json"),
    ]
    _, headers, body = split(denial_response(500, given_headers, b"{}"))
    assert headers == [
        (b"Content-Type", b"application/json"),
        (b"content-length", b"2"),
        (b"connection", b"close"),
    ]
    assert body == b"{}"


def test_an_empty_denial_has_the_length_0_and_no_type():
    _, headers, _ = split(denial_response(403))
    assert headers == [(b"content-length", b"0"), (b"connection", b"close")]


@pytest.mark.parametrize(("status", "length"), [(204, []), (304, []), (205, [(b"content-length", b"0")])])
def test_a_status_without_body_gets_none(status, length):
    _, headers, body = split(denial_response(status, [(b"content-length", b"4"), (b"etag", b'"a"')], b"body"))
    assert body == b""
    assert headers == [(b"etag", b'"a"'), *length, (b"connection", b"close")]


def test_a_status_that_is_not_registered_has_an_empty_phrase():
    assert split(denial_response(599))[0] == b"HTTP/1.1 599 "


@pytest.mark.parametrize("status", [101, 100, 199, 600, 0, -1])
def test_a_status_that_ends_nothing_is_no_denial(status):
    with pytest.raises(ResponseError, match="200–599"):
        denial_response(status)
