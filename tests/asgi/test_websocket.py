import json

import pytest
from starlette.datastructures import MutableHeaders
from starlette.testclient import TestClient

from wslab.asgi import App, MessageTypeError, WebSocket, WebSocketDisconnect
from wslab.asgi.exceptions import InvalidHeaderError
from wslab.asgi.websocket import WebSocketDisconnected
from wslab.errors import WSLabError

SCOPE = {"type": "websocket", "path": "/x", "headers": [], "query_string": b""}


def connection(*incoming):
    """A connection that receives `incoming` after the connect message, and the list of what it sends."""
    queue = [{"type": "websocket.connect"}, *incoming]
    sent = []

    async def receive():
        return queue.pop(0)

    async def send(message):
        sent.append(message)

    return WebSocket(SCOPE, receive, send), sent


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Room": "café"},
        [("X-Room", "café")],
        [(b"x-room", "café".encode("latin-1"))],
        [("X-Room", "café".encode("latin-1"))],
        MutableHeaders({"X-Room": "café"}),
        iter([("X-Room", "café")]),
    ],
    ids=["mapping", "str pairs", "byte pairs", "mixed pairs", "Headers", "iterator"],
)
async def test_accept_takes_headers_in_every_common_form(headers):
    websocket, sent = connection()
    await websocket.accept("chat", headers)
    assert sent == [{"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-room", b"caf\xe9")]}]


async def test_accept_keeps_a_header_that_occurs_twice():
    websocket, sent = connection()
    await websocket.accept(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    assert sent[0]["headers"] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@pytest.mark.parametrize("headers", [None, {}, []])
async def test_accept_without_headers_sends_none(headers):
    websocket, sent = connection()
    await websocket.accept(headers=headers)
    assert sent[0]["headers"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nSet-Cookie: stolen=1"),
        ("X-A", b"1\n2"),
        ("X-A", "nul\0"),
        ("X A", "1"),
        ("", "1"),
        ("X-A:", "1"),
        ("X-A", "日本"),
        ("X-A", 7),
    ],
)
async def test_accept_refuses_a_header_that_would_become_another(name, value):
    websocket, sent = connection()
    with pytest.raises(InvalidHeaderError, match="Expected a header") as caught:
        await websocket.accept(headers=[(name, value)])
    assert isinstance(caught.value, WSLabError)
    assert isinstance(caught.value, ValueError)
    assert sent == []


TEXT = {"type": "websocket.receive", "text": "[1]"}
BYTES = {"type": "websocket.receive", "bytes": b"[1]"}
# Some servers fill in both keys (the ASGI specification allows it), and one of them is None.
TEXT_OF_TWO = {"type": "websocket.receive", "text": "[1]", "bytes": None}
BYTES_OF_TWO = {"type": "websocket.receive", "text": None, "bytes": b"[1]"}


@pytest.mark.parametrize("message", [TEXT, TEXT_OF_TWO])
async def test_a_text_message_is_received_as_text_and_json(message):
    websocket, _ = connection(message, message)
    await websocket.accept()
    assert await websocket.receive_text() == "[1]"
    assert await websocket.receive_json() == [1]


@pytest.mark.parametrize("message", [BYTES, BYTES_OF_TWO])
async def test_a_binary_message_is_received_as_bytes_and_json(message):
    websocket, _ = connection(message, message)
    await websocket.accept()
    assert await websocket.receive_bytes() == b"[1]"
    assert await websocket.receive_json(mode="binary") == [1]


@pytest.mark.parametrize(
    ("message", "method", "options", "expected"),
    [
        (
            BYTES,
            "receive_text",
            {},
            "Expected a text message, got a binary one of 3 bytes. Call receive_bytes",
        ),
        (BYTES_OF_TWO, "receive_text", {}, "Expected a text message"),
        (BYTES, "receive_json", {}, "Expected a text message"),
        (TEXT, "receive_bytes", {}, "Expected a binary message, got a text one of 3 characters."),
        (TEXT_OF_TWO, "receive_bytes", {}, "Expected a binary message"),
        (TEXT, "receive_json", {"mode": "binary"}, "Expected a binary message"),
    ],
)
async def test_a_message_of_the_other_kind_says_so(message, method, options, expected):
    websocket, _ = connection(message, TEXT)
    await websocket.accept()
    with pytest.raises(KeyError) as caught:
        await getattr(websocket, method)(**options)
    assert isinstance(caught.value, MessageTypeError)
    assert str(caught.value).startswith(expected)
    assert await websocket.receive_text() == "[1]"  # the connection is still usable


async def test_an_empty_message_is_a_message():
    websocket, _ = connection(
        {"type": "websocket.receive", "text": ""}, {"type": "websocket.receive", "bytes": b""}
    )
    await websocket.accept()
    assert await websocket.receive_text() == ""
    assert await websocket.receive_bytes() == b""


async def test_a_message_that_is_no_json_is_a_json_error():
    websocket, _ = connection({"type": "websocket.receive", "text": "{"})
    await websocket.accept()
    with pytest.raises(json.JSONDecodeError):
        await websocket.receive_json()


async def test_json_has_two_modes():
    websocket, _ = connection()
    await websocket.accept()
    with pytest.raises(RuntimeError, match="'bytes'"):
        await websocket.receive_json(mode="bytes")


async def test_a_disconnect_carries_code_and_reason():
    websocket, _ = connection({"type": "websocket.disconnect", "code": 1001, "reason": "away"})
    await websocket.accept()
    with pytest.raises(WebSocketDisconnect) as caught:
        await websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (1001, "away")


@pytest.mark.parametrize("method", ["receive_text", "receive_bytes", "receive_json"])
async def test_receiving_before_accept_says_what_is_missing(method):
    websocket, _ = connection(TEXT)
    with pytest.raises(WebSocketDisconnected, match="accept"):
        await getattr(websocket, method)()


async def test_the_repr_names_path_and_state():
    websocket, _ = connection()
    assert repr(websocket) == "<WebSocket '/x': CONNECTING>"


def test_iteration_ends_with_the_connection_and_headers_arrive():
    app = App()
    seen = []

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        await ws.accept(headers={"X-Room": "blue"})
        async for text in ws.iter_text():
            await ws.send_text(text)
        seen.append("ended")

    with TestClient(app).websocket_connect("/") as session:
        assert session.extra_headers == [(b"x-room", b"blue")]
        session.send_text("hi")
        assert session.receive_text() == "hi"
    assert seen == ["ended"]


@pytest.mark.parametrize("method", ["receive_text", "receive_bytes", "receive_json"])
async def test_every_receive_raises_the_disconnect(method):
    websocket, _ = connection({"type": "websocket.disconnect", "code": 4001})
    await websocket.accept()
    with pytest.raises(WebSocketDisconnect) as caught:
        await getattr(websocket, method)()
    assert caught.value.code == 4001
