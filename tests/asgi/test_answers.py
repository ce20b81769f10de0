import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from wslab.asgi import (
    App,
    Depends,
    HTTPException,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    WebSocketRequestValidationError,
)


def app_raising(error, *, accept=False, close=False, **options):
    app = App(**options)

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        if accept:
            await ws.accept()
        if close:
            await ws.close(4001, "bye")
        raise error

    return app


# --- invalid parameters


def app_with_parameter(*, accepting=False):
    app = App()

    async def accept(ws: WebSocket):
        await ws.accept()

    async def nothing(): ...

    @app.websocket("/")
    async def endpoint(shout: bool, x=Depends(accept if accepting else nothing)): ...

    return app


REASON = "query.shout: Input should be a valid boolean, unable to interpret input"


def test_invalid_parameters_are_answered_with_403_that_says_why(attempt):
    outcome = attempt(app_with_parameter(), "/?shout=perhaps")
    assert (outcome.status, outcome.text) == (403, REASON)
    assert dict(outcome.headers)["content-type"] == "text/plain; charset=utf-8"


def test_without_the_extension_they_are_answered_with_1008(attempt):
    outcome = attempt(app_with_parameter(), "/?shout=perhaps", denial=False)
    assert (outcome.code, outcome.reason) == (1008, REASON)


@pytest.mark.parametrize("denial", [True, False])
def test_after_an_accept_they_are_answered_with_1008(attempt, denial):
    outcome = attempt(app_with_parameter(accepting=True), "/?shout=perhaps", denial=denial)
    assert (outcome.status, outcome.code, outcome.reason) == (101, 1008, REASON)


def test_a_long_reason_is_clipped_and_is_a_string(attempt):
    errors = [{"type": "x", "loc": ("query", "é" * 200), "msg": "m", "input": None}]
    app = app_raising(WebSocketRequestValidationError(errors))
    assert attempt(app, denial=False).reason == "query." + "é" * 58
    assert attempt(app).text == "query." + "é" * 58


# --- HTTPException


def test_an_http_exception_before_accept_is_the_response(attempt):
    app = app_raising(HTTPException(401, "Who are you?", headers={"WWW-Authenticate": "Bearer"}))
    outcome = attempt(app)
    assert (outcome.status, outcome.text) == (401, "Who are you?")
    assert dict(outcome.headers)["www-authenticate"] == "Bearer"
    assert dict(outcome.headers)["content-type"] == "text/plain; charset=utf-8"


def test_an_http_exception_without_the_extension_is_a_close(attempt):
    outcome = attempt(app_raising(HTTPException(401, "Who are you?")), denial=False)
    assert (outcome.code, outcome.reason) == (1008, "Who are you?")


def test_an_http_exception_after_accept_is_a_close_with_its_detail(attempt):
    outcome = attempt(app_raising(HTTPException(409, "é" * 100), accept=True))
    assert (outcome.status, outcome.code, outcome.reason) == (101, 1008, "é" * 61)


def test_a_structured_detail_stays_structured(attempt):
    error = HTTPException(422, {"field": "größe"})
    assert attempt(app_raising(error)).text == '{"detail":{"field":"größe"}}'
    assert attempt(app_raising(error, accept=True)).reason == '{"field": "größe"}'


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(attempt, status):
    outcome = attempt(app_raising(HTTPException(status, "ignored")))
    assert (outcome.status, outcome.text) == (status, "")


# --- WebSocketException


def test_a_websocket_exception_before_accept_is_403(attempt):
    outcome = attempt(app_raising(WebSocketException(4003, "not you")))
    assert (outcome.status, outcome.text) == (403, "not you")


@pytest.mark.parametrize(("accept", "denial"), [(True, True), (True, False), (False, False)])
def test_a_websocket_exception_is_a_close_with_code_and_reason(attempt, accept, denial):
    app = app_raising(WebSocketException(4003, "x" * 200), accept=accept)
    outcome = attempt(app, denial=denial)
    assert (outcome.code, outcome.reason) == (4003, "x" * 123)


# --- connections that are over


@pytest.mark.parametrize("error", [HTTPException(409, "late"), WebSocketException(4003, "late")])
def test_after_a_close_there_is_nothing_left_to_answer(attempt, error):
    outcome = attempt(app_raising(error, accept=True, close=True))
    assert (outcome.code, outcome.reason) == (4001, "bye")


@pytest.mark.parametrize("error", [HTTPException(409, "late"), WebSocketException(4003, "late")])
async def test_a_client_that_has_left_is_not_answered(error):
    sent = []

    async def endpoint(ws: WebSocket):
        await ws.accept()
        try:
            await ws.receive_text()
        except WebSocketDisconnect:
            raise error from None

    app = App()
    app.add_websocket("/", endpoint)
    await app(scope(), messages("websocket.connect", "websocket.disconnect"), collect(sent))
    assert [message["type"] for message in sent] == ["websocket.accept"]


async def test_a_client_that_leaves_while_it_is_answered_is_no_error():
    async def send(message):
        if message["type"] == "websocket.close":
            raise OSError

    app = app_raising(WebSocketException(4003), accept=True)
    await app(scope(), messages("websocket.connect"), send)


def scope():
    return {"type": "websocket", "path": "/", "headers": [], "query_string": b"", "extensions": None}


def messages(*types):
    queue = [{"type": kind, "code": 1001, "reason": ""} for kind in types]

    async def receive():
        return queue.pop(0)

    return receive


def collect(sent):
    async def send(message):
        sent.append(message)

    return send


# --- everything else


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("error", [ValueError("x"), WebSocketDisconnect(1001), KeyError("x")])
async def test_other_exceptions_are_left_to_the_server(error, accept):
    sent = []
    app = app_raising(error, accept=accept)
    with pytest.raises(type(error)) as caught:
        await app(scope(), messages("websocket.connect"), collect(sent))
    assert caught.value is error
    assert [message["type"] for message in sent] == ["websocket.accept"] * accept


# --- the application's own handlers


class DomainError(Exception): ...


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_handler_sees_the_connection_and_may_answer_itself(attempt, asynchronous):
    async def handler(websocket, error):
        await websocket.send_json({"error": str(error)})
        await websocket.close(4000, "handled")

    def synchronous(websocket, error):
        return PlainTextResponse(str(error), 418)

    app = app_raising(
        DomainError("oh"),
        accept=asynchronous,
        exception_handlers={DomainError: handler if asynchronous else synchronous},
    )
    outcome = attempt(app, messages=2)
    if asynchronous:
        assert (outcome.messages, outcome.code, outcome.reason) == (({"error": "oh"},), 4000, "handled")
    else:
        assert (outcome.status, outcome.text) == (418, "oh")


@pytest.mark.parametrize("key", [HTTPException, 409])
def test_a_handler_for_http_serves_websockets_as_far_as_it_can(attempt, key):
    async def handler(connection, error):
        return JSONResponse({"error": error.detail}, error.status_code)

    handlers = {key: handler}
    error = HTTPException(409, "taken")
    assert attempt(app_raising(error, exception_handlers=handlers)).text == '{"error":"taken"}'
    after = attempt(app_raising(error, accept=True, exception_handlers=handlers))
    assert (after.code, after.reason) == (1008, "taken")


def test_a_handler_of_validation_errors_replaces_the_answer(attempt):
    app = app_with_parameter()

    async def handler(websocket, error):
        await websocket.close(4022, error.errors()[0]["type"])

    app.add_exception_handler(WebSocketRequestValidationError, handler)
    outcome = attempt(app, "/?shout=perhaps")
    assert (outcome.code, outcome.reason) == (4022, "bool_parsing")


async def serve_into(sent, app):
    """Serve one connection without a client, which would lose what was sent when the application raises."""

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await app({"type": "websocket", "path": "/", "headers": [], "query_string": b""}, receive, send)


@pytest.mark.parametrize("key", [Exception, 500])
async def test_a_handler_of_last_resort_runs_and_the_error_still_reaches_the_log(key):
    async def handler(websocket, error):
        await websocket.close(1011, "sorry")

    app = app_raising(ValueError("x"), accept=True, exception_handlers={key: handler})
    sent = []
    with pytest.raises(ValueError, match="x"):
        await serve_into(sent, app)
    assert sent[1:] == [{"type": "websocket.close", "code": 1011, "reason": "sorry"}]


async def test_a_handler_of_last_resort_that_returns_a_response_closes_with_1011():
    async def handler(websocket, error):
        return PlainTextResponse("secret", 500)

    app = app_raising(ValueError("x"), accept=True, exception_handlers={Exception: handler})
    sent = []
    with pytest.raises(ValueError, match="x"):
        await serve_into(sent, app)
    assert sent[1:] == [{"type": "websocket.close", "code": 1011, "reason": ""}]


def test_a_handler_of_last_resort_is_not_asked_for_what_has_an_answer(attempt):
    async def handler(websocket, error):
        raise AssertionError

    handlers = {Exception: handler}
    assert attempt(app_raising(HTTPException(401), exception_handlers=handlers)).status == 401
    assert attempt(app_raising(WebSocketException(4000), exception_handlers=handlers)).status == 403
    assert attempt(app_raising(WebSocketDisconnect(1001), exception_handlers=handlers)).code == 1001
