"""Mistakes: ours raises what Starlette raises, in the same situations, and says what to do."""

import asyncio

import pytest
import starlette.websockets
from starlette.responses import PlainTextResponse

from wslab.asgi import WebSocket, WebSocketDisconnect, WebSocketState
from wslab.asgi.exceptions import ConnectionEndedError, ConnectionStateError, WrongContentError
from wslab.errors import WSLabError

CONNECT = {"type": "websocket.connect"}
TEXT = {"type": "websocket.receive", "text": "hi"}
GONE = {"type": "websocket.disconnect", "code": 1001, "reason": "away"}


def make(cls, *incoming, extensions=(), fail=None):
    queue = [*incoming]
    sent = []

    async def receive():
        return queue.pop(0)

    async def send(message):
        if fail is not None and message["type"] == fail:
            raise ConnectionResetError("gone")
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "extensions": {name: {} for name in extensions}}
    return cls(scope, receive, send), sent


STORIES = {
    "send before accept": lambda ws: [ws.send_text("x")],
    "send bytes before accept": lambda ws: [ws.send_bytes(b"x")],
    "receive text before accept": lambda ws: [ws.receive_text()],
    "accept twice": lambda ws: [ws.accept(), ws.accept()],
    "accept after close": lambda ws: [ws.close(), ws.accept()],
    "send after close": lambda ws: [ws.accept(), ws.close(), ws.send_text("x")],
    "close twice": lambda ws: [ws.accept(), ws.close(), ws.close()],
    "receive after close": lambda ws: [ws.accept(), ws.close(), ws.receive_bytes()],
    "receive after disconnect": lambda ws: [ws.accept(), ws.receive(), ws.receive(), ws.receive()],
    "receive text after disconnect": lambda ws: [ws.accept(), ws.receive(), ws.receive_text(), ws.receive()],
    "send mode": lambda ws: [ws.accept(), ws.send_json(1, mode="bytes")],
    "receive mode": lambda ws: [ws.accept(), ws.receive_json(mode="bytes")],
    "denial without extension": lambda ws: [ws.send_denial_response(PlainTextResponse("no"))],
    "unknown message": lambda ws: [ws.accept(), ws.send({"type": "websocket.accept"})],
    "response start after accept": lambda ws: [
        ws.accept(),
        ws.send({"type": "websocket.http.response.start", "status": 403, "headers": []}),
    ],
    "body first": lambda ws: [ws.send({"type": "websocket.http.response.body", "body": b""})],
    "send within a denial": lambda ws: [
        ws.send({"type": "websocket.http.response.start", "status": 403, "headers": []}),
        ws.send_text("x"),
    ],
    "all well": lambda ws: [
        ws.accept("a"),
        ws.receive_text(),
        ws.send_json([1], "binary"),
        ws.close(3000, "x"),
    ],
    "denial by hand": lambda ws: [
        ws.send({"type": "websocket.http.response.start", "status": 403, "headers": []}),
        ws.send({"type": "websocket.http.response.body", "body": b"a", "more_body": True}),
        ws.send({"type": "websocket.http.response.body", "body": b"b"}),
        ws.send({"type": "websocket.http.response.body", "body": b"c"}),
    ],
}


async def tell(cls, story, **options):
    """What became of each call, and of the connection."""
    ws, sent = make(cls, CONNECT, TEXT, GONE, **options)
    outcomes = []
    for call in STORIES[story](ws):
        try:
            outcomes.append(await call)
        except Exception as error:  # noqa: BLE001 - compared below
            outcomes.append(error)
    return outcomes, sent, ws


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("fail", [None, "websocket.send", "websocket.close", "websocket.accept"])
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
async def test_mistakes_raise_what_starlettes_class_raises(story, fail):
    theirs, their_sent, their_ws = await tell(starlette.websockets.WebSocket, story, fail=fail)
    ours, our_sent, our_ws = await tell(WebSocket, story, fail=fail)
    assert our_sent == their_sent
    assert our_ws.application_state is their_ws.application_state
    assert our_ws.client_state is their_ws.client_state
    for expected, got in zip(theirs, ours, strict=True):
        if not isinstance(expected, Exception):
            assert got == expected
            continue
        assert isinstance(got, type(expected))
        if isinstance(expected, WebSocketDisconnect):
            assert (got.code, got.reason) == (expected.code, expected.reason)
        elif isinstance(expected, RuntimeError):
            assert isinstance(got, ConnectionStateError)
            assert got.remedy


@pytest.mark.parametrize(
    ("story", "says"),
    [
        ("send before accept", r'but got "websocket.send": the connection is CONNECTING\. Call "await webs'),
        (
            "accept twice",
            r'Expected ASGI message "websocket.send" or "websocket.close".*whether a dependency',
        ),
        (
            "send after close",
            r"once a close message has been sent: .* DISCONNECTED.*Return from the endpoint",
        ),
        ("receive after disconnect", "once a disconnect message has been received"),
        ("send mode", r'"text" or "binary", got \'bytes\''),
        ("denial without extension", "support Websocket Denial Response"),
        ("response start after accept", "A denial response answers the handshake"),
    ],
)
async def test_the_message_says_what_came_and_what_to_do(story, says):
    outcomes, _, _ = await tell(WebSocket, story)
    with pytest.raises(WSLabError, match=says):
        raise outcomes[-1]


@pytest.mark.parametrize(
    ("incoming", "says"),
    [((TEXT,), "websocket.connect"), ((CONNECT, CONNECT), 'websocket.receive" or')],
    ids=["no connect", "two connects"],
)
async def test_a_server_that_breaks_the_protocol_is_named(incoming, says):
    ws, _ = make(WebSocket, *incoming)
    if incoming[0] == CONNECT:
        await ws.receive()
    with pytest.raises(RuntimeError, match=says):
        await ws.receive()


@pytest.mark.parametrize(
    ("method", "value", "says"),
    [
        ("send_text", b"x", "Expected the text as str, got bytes. Call send_json"),
        ("send_text", {"a": 1}, "got dict"),
        ("send_bytes", "x", "Expected the data as bytes, got str. Call send_text"),
    ],
)
async def test_content_of_the_wrong_type_is_refused_before_it_reaches_the_server(method, value, says):
    ws, sent = make(WebSocket, CONNECT)
    await ws.accept()
    with pytest.raises(TypeError, match=says) as caught:
        await getattr(ws, method)(value)
    assert isinstance(caught.value, WrongContentError)
    assert [message["type"] for message in sent] == ["websocket.accept"]


@pytest.mark.parametrize("value", [b"a", bytearray(b"a"), memoryview(b"a")])
async def test_whatever_holds_bytes_can_be_sent(value):
    ws, sent = make(WebSocket, CONNECT)
    await ws.accept()
    await ws.send_bytes(value)
    assert bytes(sent[-1]["bytes"]) == b"a"


async def test_json_that_does_not_exist_names_the_encoder():
    ws, _ = make(WebSocket, CONNECT)
    await ws.accept()
    with pytest.raises(TypeError, match="not JSON serializable") as caught:
        await ws.send_json({1, 2})
    assert "jsonable_encoder" in caught.value.__notes__[0]


async def test_both_modes_of_json_send_the_same_text():
    ws, sent = make(WebSocket, CONNECT)
    await ws.accept()
    await ws.send_json({"a": "é"})
    await ws.send_json({"a": "é"}, mode="binary")
    assert sent[1:] == [
        {"type": "websocket.send", "text": '{"a":"é"}'},
        {"type": "websocket.send", "bytes": '{"a":"é"}'.encode()},
    ]


async def test_a_denial_response_is_sent_where_the_server_can():
    ws, sent = make(WebSocket, CONNECT, extensions=["websocket.http.response"])
    await ws.send_denial_response(PlainTextResponse("no", 418))
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert ws.application_state is WebSocketState.DISCONNECTED
    with pytest.raises(ConnectionEndedError):
        await ws.accept()


def opened(cls, gate):
    """An accepted connection whose server takes messages only while `gate` is open."""
    sent = []

    async def receive():
        return CONNECT

    async def send(message):
        await gate.wait()
        sent.append(message.get("text") or message["type"])

    scope = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    return cls(scope, receive, send), sent


async def test_messages_of_several_tasks_leave_in_the_order_of_the_calls():
    gate = asyncio.Event()
    gate.set()
    ws, sent = opened(WebSocket, gate)
    await ws.accept()
    gate.clear()
    tasks = [asyncio.ensure_future(ws.send_text(str(number))) for number in range(5)]
    tasks.append(asyncio.ensure_future(ws.close()))
    await asyncio.sleep(0)
    tasks[2].cancel()  # one that waits
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sent == ["websocket.accept", "0", "1", "3", "4", "websocket.close"]
    assert [type(result) for result in results if result is not None] == [asyncio.CancelledError]


async def test_nothing_comes_between_the_parts_of_a_denial():
    gate = asyncio.Event()
    ws, sent = opened(WebSocket, gate)
    denial = asyncio.ensure_future(ws.send_denial_response(PlainTextResponse("no")))
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(call) for call in (ws.accept(), ws.close(), ws.send_text("x"))]
    await asyncio.sleep(0)
    gate.set()
    await denial
    results = await asyncio.gather(*others, return_exceptions=True)
    assert sent == ["websocket.http.response.start", "websocket.http.response.body"]
    assert {type(result) for result in results} == {ConnectionEndedError}


async def test_a_denial_waits_for_what_is_being_sent():
    gate = asyncio.Event()
    ws, sent = opened(WebSocket, gate)
    start = {"type": "websocket.close"}
    first = asyncio.ensure_future(ws.send(start))
    await asyncio.sleep(0)
    denial = asyncio.ensure_future(ws.send_denial_response(PlainTextResponse("no")))
    await asyncio.sleep(0)
    gate.set()
    await first
    with pytest.raises(ConnectionEndedError):
        await denial
    assert sent == ["websocket.close"]


async def test_a_sender_cancelled_with_the_turn_in_hand_passes_it_on():
    gate = asyncio.Event()
    gate.set()
    ws, sent = opened(WebSocket, gate)
    await ws.accept()
    gate.clear()
    first, second, third = (asyncio.ensure_future(ws.send_text(name)) for name in "abc")
    await asyncio.sleep(0)
    first.cancel()
    # Runs right after the first has ended and handed its turn over, before the second wakes up with it.
    asyncio.get_running_loop().call_soon(second.cancel)
    await asyncio.wait({first, second})
    gate.set()
    await third
    assert sent == ["websocket.accept", "c"]
