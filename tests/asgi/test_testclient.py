"""Both test clients: Starlette's with time-outs, and its twin in the caller's loop."""

import asyncio
import contextlib
import threading

import anyio
import pytest
import starlette.testclient
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse

from wslab.asgi import App, HTTPException, WebSocket, WebSocketDisconnect
from wslab.asgi.exceptions import MessageTypeError
from wslab.asgi.testclient import AsyncTestClient, TestClient, WebSocketDenialResponse
from wslab.errors import StartupError, WaitTimeoutError


def program():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        app.state.log.append("up")
        yield {"shared": "from lifespan"}
        app.state.log.append("down")

    app = App(lifespan=lifespan)
    app.state.log = []

    @app.websocket("/echo/{name}")
    async def echo(ws: WebSocket, name: str, q: str = ""):
        await ws.accept(ws.scope["subprotocols"][-1] if ws.scope["subprotocols"] else None, {"x-a": "b"})
        await ws.send_json(
            [name, q, ws.headers.get("x-h"), ws.cookies.get("c"), ws.headers["user-agent"], str(ws.url),
             getattr(ws.state, "shared", None), list(ws.client)]
        )  # fmt: skip
        async for message in ws.iter_text():
            await ws.send_text(message)
        app.state.log.append("left")

    @app.websocket("/denied")
    async def denied(ws: WebSocket):
        raise HTTPException(401, "who are you?", headers={"www-authenticate": "Bearer"})

    @app.websocket("/streamed")
    async def streamed(ws: WebSocket):
        await ws.send_denial_response(StreamingResponse(iter(["a", "b"]), 418))

    @app.websocket("/closed")
    async def closed(ws: WebSocket):
        await ws.close(3000, "no")

    @app.websocket("/bye")
    async def bye(ws: WebSocket):
        await ws.accept()
        await ws.send_bytes(b"[1]")
        await ws.close(4000, "bye")
        app.state.log.append((await ws.receive())["code"])

    @app.websocket("/fails")
    async def fails(ws: WebSocket):
        await ws.accept()
        await ws.receive_text()
        raise LookupError("broken")

    @app.websocket("/silent")
    async def silent(ws: WebSocket):
        await ws.accept()
        await anyio.sleep_forever()

    return app


# --- the synchronous client


def test_a_session_is_starlettes():
    with TestClient(program(), cookies={"c": "d"}) as client:
        assert isinstance(client, starlette.testclient.TestClient)
        options = {"params": {"q": "1"}, "headers": {"x-h": "h"}}
        session = client.websocket_connect("/echo/ada", ["x", "y"], **options)
        assert isinstance(session, starlette.testclient.WebSocketTestSession)
        with session:
            assert session.accepted_subprotocol == "y"
            assert session.extra_headers == [(b"x-a", b"b")]
            assert session.receive_json()[:4] == ["ada", "1", "h", "d"]
            session.send_text("hi")
            assert session.receive_text(timeout=60) == "hi"


def test_the_headers_of_the_caller_stay_as_they_are():
    headers = {"x-h": "h"}
    with TestClient(program()).websocket_connect("/echo/ada", headers=headers) as session:
        assert session.receive_json()[2] == "h"
    assert headers == {"x-h": "h"}


def test_a_receive_that_gets_nothing_raises_instead_of_hanging():
    client = TestClient(program())
    with client.websocket_connect("/silent") as session:
        with pytest.raises(WaitTimeoutError, match="Expected a message from the application within 0 s"):
            session.receive(timeout=0)
        for receive in (session.receive_text, session.receive_bytes, session.receive_json):
            with pytest.raises(TimeoutError):
                receive(timeout=0)


def test_the_client_may_say_how_long_for_all():
    client = TestClient(program(), receive_timeout=0)
    session = client.websocket_connect("/silent")
    session.receive_timeout = 60  # entering waits for the answer to the handshake
    with session:
        session.receive_timeout = client.receive_timeout
        with pytest.raises(WaitTimeoutError):
            session.receive_text()


def test_what_came_late_is_there_the_next_time():
    with TestClient(program()).websocket_connect("/echo/ada") as session:
        session.receive_json(timeout=60)
        with pytest.raises(WaitTimeoutError):
            session.receive_text(timeout=0)
        session.send_text("late")
        assert session.receive_text(timeout=60) == "late"


def test_denials_and_closes_are_starlettes():
    client = TestClient(program())
    with pytest.raises(WebSocketDenialResponse) as denial, client.websocket_connect("/denied"):
        pass
    assert (denial.value.status_code, denial.value.text) == (401, "who are you?")
    with client.websocket_connect("/bye") as session:
        assert session.receive_json("binary", timeout=60) == [1]
        with pytest.raises(WebSocketDisconnect) as closing:
            session.receive_bytes(timeout=60)
    assert (closing.value.code, closing.value.reason) == (4000, "bye")


# --- the asynchronous client


async def test_the_twin_runs_in_the_callers_loop():
    app = App()
    loops = []

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        loops.append((asyncio.get_running_loop(), threading.current_thread()))
        await ws.accept()
        await ws.send_text("hi")

    async with AsyncTestClient(app).websocket_connect("/") as session:
        assert await session.receive_text(timeout=60) == "hi"
    assert loops == [(asyncio.get_running_loop(), threading.current_thread())]


async def test_the_twin_sends_the_same_handshake():
    options = {"params": {"q": "1"}, "headers": {"x-h": "h"}}
    with (
        TestClient(program(), cookies={"c": "d"}) as client,
        client.websocket_connect("/echo/ad%C3%A9", ["x", "y"], **options) as session,
    ):
        expected = session.receive_json()
        chosen = session.accepted_subprotocol
    app = program()
    async with AsyncTestClient(app, cookies={"c": "d"}) as client:
        async with client.websocket_connect("/echo/ad%C3%A9", ["x", "y"], **options) as session:
            assert await session.receive_json(timeout=60) == expected
            assert session.accepted_subprotocol == chosen == "y"
            assert session.extra_headers == [(b"x-a", b"b")]
            await session.send_text("hi")
            assert await session.receive_text(timeout=60) == "hi"
        assert app.state.log == ["up", "left"]
    assert app.state.log == ["up", "left", "down"]


async def test_the_twins_receives_never_hang():
    async with AsyncTestClient(program(), close_timeout=0).websocket_connect("/silent") as session:
        for receive in (session.receive, session.receive_text, session.receive_bytes, session.receive_json):
            with pytest.raises(WaitTimeoutError, match="within 0 s"):
                await receive(timeout=0)
        session.receive_timeout = 0
        with pytest.raises(WaitTimeoutError):
            await session.receive_text()


@pytest.mark.parametrize(
    ("path", "status", "text"), [("/denied", 401, "who are you?"), ("/streamed", 418, "ab")]
)
async def test_the_twin_reads_denials(path, status, text):
    with pytest.raises(WebSocketDenialResponse) as denial:
        async with AsyncTestClient(program()).websocket_connect(path):
            pytest.fail("refused")
    assert (denial.value.status_code, denial.value.text) == (status, text)


async def test_the_twin_sees_a_close_before_and_after_accept():
    app = program()
    client = AsyncTestClient(app)
    with pytest.raises(WebSocketDisconnect) as closing:
        async with client.websocket_connect("/closed"):
            pytest.fail("refused")
    assert (closing.value.code, closing.value.reason) == (3000, "no")
    async with client.websocket_connect("/bye") as session:
        with pytest.raises(MessageTypeError):
            await session.receive_text(timeout=60)
        with pytest.raises(WebSocketDisconnect) as closing:
            await session.receive_json(timeout=60)
    assert (closing.value.code, closing.value.reason) == (4000, "bye")
    assert app.state.log == [4000]  # the endpoint heard the client's answer


async def test_what_the_application_raises_is_raised_in_the_test():
    client = AsyncTestClient(program())
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(client.websocket_connect("/fails"))
        await session.send_text("x")
        with pytest.raises(LookupError, match="broken") as caught:
            await session.receive_text(timeout=60)
        stack.pop_all()  # left with the error under way, as an `async with` would
        assert not await session.__aexit__(LookupError, caught.value, None)
    with pytest.raises(LookupError, match="broken"):
        async with client.websocket_connect("/fails") as session:
            await session.send_text("x")


async def test_or_it_is_a_close_as_on_the_wire():
    client = AsyncTestClient(program(), raise_server_exceptions=False)
    async with client.websocket_connect("/fails") as session:
        await session.send_bytes(b"x")
        with pytest.raises(WebSocketDisconnect) as closing:
            await session.receive_text(timeout=60)
    assert closing.value.code == 1011


async def bare(scope, receive, send):
    """Ends without an answer, after what the path says."""
    path = scope.get("path")  # the lifespan has none
    if path in {"/accepts", "/leaves"}:
        await send({"type": "websocket.accept"})
    if path == "/leaves":
        raise WebSocketDisconnect(1001)
    if path == "/raises":
        raise LookupError("before")


@pytest.mark.parametrize(("path", "code"), [("/accepts", 1000), ("/leaves", 1006)])
async def test_an_application_that_ends_without_closing_is_seen_to_end(path, code):
    async with AsyncTestClient(bare) as client, client.websocket_connect(path) as session:
        with pytest.raises(WebSocketDisconnect) as closing:
            await session.receive_text(timeout=60)
        assert closing.value.code == code


@pytest.mark.parametrize("path", ["/returns", "/raises"])
async def test_an_application_that_answers_nothing_is_a_500(path):
    client = AsyncTestClient(bare, raise_server_exceptions=False)
    with pytest.raises(WebSocketDenialResponse) as denial:
        async with client.websocket_connect(path):
            pytest.fail("never accepted")
    assert denial.value.status_code == 500


async def test_an_endpoint_that_does_not_listen_is_cancelled_in_the_end():
    ended = []

    async def deaf(scope, receive, send):
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async with AsyncTestClient(deaf, close_timeout=0).websocket_connect("/"):
        pass
    assert ended == ["cancelled"]


async def test_both_kinds_of_json_are_sent():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(2):
            message = await receive()
            await send({**message, "type": "websocket.send"})

    async with AsyncTestClient(app).websocket_connect("/") as session:
        await session.send_json({"a": "é"})
        await session.send_json([1], "binary")
        assert await session.receive_text(timeout=60) == '{"a":"é"}'
        assert await session.receive_json("binary", timeout=60) == [1]
        await session.close()
        await session.close()  # harmless


async def test_a_client_that_was_never_entered_can_be_left():
    app = program()
    client = AsyncTestClient(app)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(client)
        assert (await client.get("/nowhere")).status_code == 404
    assert client.is_closed
    assert app.state.log == []  # no lifespan began, so none ends


async def test_requests_share_the_lifespans_state():
    app = program()

    async def page(request):
        return JSONResponse([request.state.shared, request.headers["user-agent"]])

    app.add_route("/page", page)
    async with AsyncTestClient(app) as client:
        assert (await client.get("/page")).json() == ["from lifespan", "testclient"]


async def test_a_lifespan_that_fails_fails_the_test():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise LookupError("no database")
        yield

    with pytest.raises(LookupError, match="no database"):
        async with AsyncTestClient(App(lifespan=lifespan)):
            pytest.fail("not started")


async def test_a_lifespan_that_only_reports_its_failure_does_too():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartupError, match="no database"):
        async with AsyncTestClient(app):
            pytest.fail("not started")


async def test_plain_applications_are_served_too():
    async with AsyncTestClient(PlainTextResponse("hi"), "https://example.org") as client:
        assert (await client.get("/")).text == "hi"
