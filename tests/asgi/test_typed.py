import enum
import json
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

from wslab.asgi import App, WebSocket, typed
from wslab.asgi.typed import InvalidMessageError, iter_model, receive_model, send_model
from wslab.errors import EndpointError


class Join(BaseModel):
    type: Literal["join"]
    room: str


class Say(BaseModel):
    type: Literal["say"]
    text: str = Field(max_length=5, alias="Text")


ClientMessage = Annotated[Join | Say, Field(discriminator="type")]


def app_receiving(model, **options):
    app = App()
    app.state.seen = []

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        async for message in iter_model(ws, model, **options):
            app.state.seen.append(message)
            await ws.send_json("ok")
        app.state.seen.append("end")

    return app


def closing_after(app, message):
    """The close frame that `app` answers `message` with."""
    with TestClient(app).websocket_connect("/") as session:
        (session.send_bytes if isinstance(message, bytes) else session.send_text)(message)
        return session.receive()


def test_valid_messages_are_yielded():
    app = app_receiving(ClientMessage)
    with TestClient(app).websocket_connect("/") as session:
        session.send_text('{"type": "join", "room": "a"}')
        session.send_bytes(b'{"type": "say", "Text": "\xc3\xa9"}')
        assert [session.receive_json(), session.receive_json()] == ["ok", "ok"]
    assert app.state.seen == [Join(type="join", room="a"), Say(type="say", Text="é"), "end"]


@dataclass
class Point:
    x: int


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("model", "text", "value"),
    [
        (int, "5", 5),
        (list[Point], '[{"x": 1}]', [Point(1)]),
        (Colour | None, "null", None),
        (dict[str, Colour], '{"a": "red"}', {"a": Colour.RED}),
    ],
)
def test_any_type_that_pydantic_knows_will_do(model, text, value):
    app = app_receiving(model)
    with TestClient(app).websocket_connect("/") as session:
        session.send_text(text)
        session.receive_json()
    assert app.state.seen == [value, "end"]


def replied(model, *messages, **options):
    with TestClient(app_receiving(model, **options)).websocket_connect("/") as session:
        for message in messages:
            (session.send_bytes if isinstance(message, bytes) else session.send_text)(message)
        return [session.receive_json() for _ in messages]


def test_a_bad_message_is_answered_and_the_conversation_goes_on():
    assert replied(
        ClientMessage,
        '{"type": "join"}',
        '{"type": "say", "Text": "much too long"}',
        '{"type":"join","room":"a"}',
    ) == [
        {"type": "error", "errors": [{"type": "missing", "loc": ["join", "room"], "msg": "Field required"}]},
        {
            "type": "error",
            "errors": [
                {
                    "type": "string_too_long",
                    "loc": ["say", "Text"],
                    "msg": "String should have at most 5 characters",
                }
            ],
        },
        "ok",
    ]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("{", "json_invalid"),
        ("", "json_invalid"),
        (b"\xff", "json_invalid"),
        ("[" * 5000, "json_invalid"),
        ('{"type": "leave"}', "union_tag_invalid"),
        ("{}", "union_tag_not_found"),
        ("5", "dict_type"),
    ],
)
def test_what_is_wrong_is_said(message, kind):
    (reply,) = replied(ClientMessage, message)
    assert reply["errors"][0]["type"] == kind


def test_a_reply_is_bounded_and_says_nothing_back():
    secret = "s3cret" * 1000
    (reply,) = replied(ClientMessage, json.dumps({"type": "say", "Text": secret}))
    assert "s3cret" not in json.dumps(reply)
    (reply,) = replied(ClientMessage, json.dumps({"type": "x" * 10_000}))
    assert len(json.dumps(reply)) < 500
    (reply,) = replied(list[int], json.dumps(["x"] * 1000))
    assert len(reply["errors"]) == 10
    assert reply["omitted"] == 990
    (reply,) = replied(dict[str, int], json.dumps({"k" * 10_000: "x"}))
    assert len(json.dumps(reply)) < 500


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("{", 1007, "Invalid JSON"),
        (b"\xff", 1007, "Invalid JSON"),
        ('{"type": "join"}', 1008, "join.room: Field required"),
    ],
)
def test_a_bad_message_can_end_the_connection(message, code, reason):
    app = app_receiving(ClientMessage, on_error="close")
    closing = closing_after(app, message)
    assert closing["code"] == code
    assert closing["reason"].startswith(reason)
    assert app.state.seen == ["end"]


def test_a_bad_message_can_be_raised_and_the_next_one_received():
    app = App()

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        for _ in range(2):
            try:
                async for message in iter_model(ws, ClientMessage, on_error="raise"):
                    await ws.send_json(message.room)
            except InvalidMessageError as error:
                await ws.send_json([error.code, error.reason, error.errors()[0]["type"]])

    with TestClient(app).websocket_connect("/") as session:
        session.send_text("{}")
        assert session.receive_json()[::2] == [1008, "union_tag_not_found"]
        session.send_text('{"type": "join", "room": "a"}')
        assert session.receive_json() == "a"
        session.send_text("x")
        assert session.receive_json()[0] == 1007


@pytest.mark.parametrize(("text", "code"), [("x", 1007), ("{}", 1008)])
def test_one_that_is_not_caught_ends_the_connection_with_its_code(text, code):
    app = app_receiving(ClientMessage, on_error="raise")
    assert closing_after(app, text)["code"] == code


def test_binary_messages_can_be_refused():
    (reply, after) = replied(int, b"55", "7", binary=False)
    assert reply["errors"] == [
        {"type": "binary", "loc": [], "msg": "Expected a text message, got a binary one of 2 bytes"}
    ]
    assert after == "ok"
    app = app_receiving(int, binary=False, on_error="close")
    assert closing_after(app, b"5")["code"] == 1003


async def test_the_client_may_leave_while_it_is_answered():
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "x"}])

    async def receive():
        return next(messages)

    async def send(message):
        if message["type"] == "websocket.send":
            raise OSError

    websocket = WebSocket({"type": "websocket", "path": "/", "headers": []}, receive, send)
    await websocket.accept()
    assert [message async for message in iter_model(websocket, int)] == []


async def test_an_unaccepted_connection_is_said_to_be_one():
    websocket = WebSocket({"type": "websocket", "path": "/", "headers": []}, None, None)
    with pytest.raises(WebSocketDisconnected, match="accept"):
        await receive_model(websocket, int)


def test_one_message_can_be_received_and_sent():
    app = App()

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        message = await receive_model(ws, ClientMessage)
        await send_model(ws, message)
        await send_model(ws, [message], list[Say], mode="binary")
        await send_model(ws, {"colour": Colour.RED})
        with pytest.raises(EndpointError, match='"text" or "binary"'):
            await send_model(ws, message, mode="hex")
        with pytest.raises(WebSocketDisconnect):
            await receive_model(ws, ClientMessage)

    with TestClient(app).websocket_connect("/") as session:
        session.send_json({"type": "say", "Text": "é"})
        assert session.receive_text() == '{"type":"say","Text":"é"}'
        assert session.receive_bytes() == '[{"type":"say","Text":"é"}]'.encode()
        assert session.receive_json() == {"colour": "red"}


@pytest.mark.parametrize("model", [object(), "Nothing", 5])
def test_what_pydantic_cannot_validate_is_refused_at_once(model):
    with pytest.raises(EndpointError, match="Expected a type that pydantic can validate"):
        iter_model(None, model)


def test_the_choice_is_checked_at_once():
    with pytest.raises(EndpointError, match='"reply", "close" or "raise", got \'ignore\''):
        iter_model(None, int, on_error="ignore")


def test_adapters_are_made_once_and_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(typed, "_adapters", {})
    monkeypatch.setattr(typed, "_MOST_ADAPTERS", 3)
    first = typed._adapter(Join)
    assert typed._adapter(Join) is first
    for kind in (int, str, float):
        typed._adapter(kind)
    assert len(typed._adapters) <= 3
    unhashable = Annotated[int, Field(json_schema_extra={"a": []}), []]
    assert typed._adapter(unhashable).validate_json("5") == 5


def test_an_error_without_details_is_an_error_still():
    assert InvalidMessageError([]).reason == "Invalid message"
