from __future__ import annotations

import pytest

from wslab.wire import parse_head, redact_head
from wslab.wire.conversation.reopening import Reopening, reopening


def opened(target, *lines, secrets=None, origin=False):
    raw = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")
    return reopening(parse_head(redact_head(raw)), secrets or {}, origin=origin)


def test_what_a_program_set_is_kept():
    found = opened(
        "/a?b=c",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: abc",
        "Sec-WebSocket-Protocol: one, two",
        "sec-websocket-protocol: three",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "User-Agent: x",
        "X-Forwarded-For: 10.0.0.1",
        "X-Room: blue",
        "x-room: red",
        "Origin: https://example.org",
    )
    headers = (("x-room", "blue, red"), ("origin", "https://example.org"))
    assert found == Reopening("/a?b=c", ("one", "two", "three"), headers, ())


@pytest.mark.parametrize("origin", [False, True])
def test_the_origin_of_a_browser_is_that_days(origin):
    found = opened("/", "User-Agent: Mozilla/5.0", "Origin: http://localhost:8888", origin=origin)
    assert bool(found.headers) == origin


def test_secrets_are_named_or_put_back():
    lines = ("Cookie: a=b", "Authorization: Bearer abc", "Sec-WebSocket-Protocol: chat, bearer.abc")
    found = opened("/?api_key=1&room=a&toKen=x", *lines)
    assert found.path == "/?api_key=redacted&room=a&toKen=redacted"
    assert found.redacted == ("api_key", "toKen", "sec-websocket-protocol", "cookie", "authorization")
    assert (found.headers, found.subprotocols) == ((), ("chat",))
    secrets = {
        "API_KEY": "a b&c",
        "token": "t",
        "cookie": "c=d",
        "Authorization": "Basic x",
        "Sec-WebSocket-Protocol": "chat, bearer.new",
    }
    found = opened("/?api_key=1&room=a&toKen=x", *lines, secrets=secrets)
    headers = (("cookie", "c=d"), ("authorization", "Basic x"))
    assert found == Reopening("/?api_key=a%20b%26c&room=a&toKen=t", ("chat", "bearer.new"), headers, ())


def test_the_key_to_the_lab_is_left_out():
    found = opened("/a?lab_token=x&b=1&lab_token=y", "Sec-WebSocket-Protocol: wslab.token.abc, v1")
    assert (found.path, found.subprotocols, found.redacted) == ("/a?b=1", ("v1",), ())
    assert opened("/a?lab_token=x").path == "/a"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://x:1/a?b", "/a?b"),
        ("ws://x", "/"),
        ("", "/"),
        ("/\xe9\"'`<>", "/%E9%22'%60%3C%3E"),
        ("/a%2Fb?x=%20", "/a%2Fb?x=%20"),
        ("//other/a", "//other/a"),
        ("/a?", "/a?"),
        ("/a?b&&c", "/a?b&&c"),
    ],
)
def test_a_target_becomes_a_path(target, path):
    assert opened(target).path == path
