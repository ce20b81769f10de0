from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.server import ServerProtocol

from wslab.wire.opening import (
    HandshakeError,
    ResponseError,
    accept_response,
    client_request,
    denial_response,
    read_response,
    read_upgrade,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def test_the_oracle_takes_our_request():
    request = client_request(
        "localhost:8000",
        "/chat?a=b",
        KEY,
        subprotocols=["chat", "v2"],
        headers=[(b"Cookie", b"a=b")],
        extensions="permessage-deflate",
    )
    server = ServerProtocol(subprotocols=["v2"])
    server.receive_data(request)
    (event,) = server.events_received()
    assert (event.path, event.headers["Cookie"]) == ("/chat?a=b", "a=b")
    server.send_response(server.accept(event))
    answer = read_response(b"".join(server.data_to_send()), KEY, subprotocols=["chat", "v2"])
    assert (answer.status, answer.subprotocol, answer.extensions) == (101, "v2", "")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"host": "a b"}, "host"),
        ({"host": "http://a"}, "host"),
        ({"host": "a\r\nX: b"}, "host"),
        ({"host": ""}, "host"),
        ({"host": "café"}, "host"),
        ({"target": "chat"}, "path"),
        ({"target": "/a b"}, "path"),
        ({"target": "/a#b"}, "path"),
        ({"target": "/é"}, "path"),
        ({"target": "/a\r\nX: b"}, "path"),
        ({"subprotocols": ["a", "a"]}, "subprotocols"),
        ({"subprotocols": ["a b"]}, "subprotocols"),
        ({"subprotocols": [""]}, "subprotocols"),
        ({"headers": [(b"Host", b"x")]}, "Host"),
        ({"headers": [(b"X", b"a\nb")]}, "X"),
        ({"extensions": "a\r\nX: b"}, "Sec-WebSocket-Extensions"),
        ({"key": b"a\r\nX: b"}, "Sec-WebSocket-Key"),
    ],
)
def test_a_request_that_would_break_is_refused(change, word):
    with pytest.raises(ResponseError, match=word):
        client_request(**({"host": "localhost", "target": "/", "key": KEY} | change))


ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"HTTP/1.1 101", b"HTTP/2 101", 0),
        (b"HTTP/1.1 101", b"SSH-2.0", 0),
        (b"101", b"099", 0),
        (b"Upgrade: websocket", b"Upgrade: h2c", 101),
        (b"Upgrade: websocket", b"Upgrade: h2c, websocket", 101),
        (b"Connection: Upgrade", b"Connection: close", 101),
        (b"s3pPL", b"S3pPL", 101),
        (b"Sec-WebSocket-Accept", b"X", 101),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", 101),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: nobody\r\n\r\n", 101),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n\r\n", 101),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: ;\r\n\r\n", 101),
        (b"\r\n\r\n", b"\r\n folded\r\n\r\n", 101),
        (b"\r\n\r\n", b"\r\n", 101),
    ],
)
def test_an_answer_that_a_client_must_not_take(old, new, status):
    assert old in ANSWER
    with pytest.raises(HandshakeError) as caught:
        read_response(ANSWER.replace(old, new, 1), KEY, subprotocols=["a"])
    assert caught.value.status == status


def test_a_refusal_is_an_answer_too():
    answer = read_response(denial_response(403, [(b"X-Why", b"token")], b"no").partition(b"no")[0], KEY)
    assert (answer.status, answer.phrase, dict(answer.headers)[b"x-why"]) == (403, "Forbidden", b"token")


def test_an_answer_without_phrase_is_read():
    assert read_response(ANSWER.replace(b" Switching Protocols", b""), KEY).status == 101


@settings(deadline=None)
@given(
    st.binary(min_size=16, max_size=16),
    st.lists(st.text("abcXYZ019.-_", min_size=1, max_size=5), unique=True, max_size=3),
    st.lists(st.tuples(st.sampled_from([b"x-a", b"cookie"]), st.binary(max_size=8)), max_size=3),
)
def test_what_one_side_writes_the_other_reads(nonce, offers, headers):
    key = base64.b64encode(nonce)
    try:
        raw = client_request("h:1", "/p?q", key, subprotocols=offers, headers=headers)
    except ResponseError:
        return
    request = read_upgrade(raw)
    assert (request.subprotocols, request.key, request.path) == (offers, key, "/p")
    assert (
        request.headers[-len(headers) :] == [(name, value.strip(b" \t")) for name, value in headers]
        or not headers
    )
    chosen = offers[-1] if offers else None
    answer = read_response(accept_response(request, subprotocol=chosen), key, subprotocols=offers)
    assert (answer.status, answer.subprotocol) == (101, chosen)
