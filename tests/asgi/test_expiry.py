"""A JWT's life: refused when it is wrong, and the connection ended when its time is over."""

import asyncio
import datetime as dt
import time

import jwt
import pytest

from wslab.asgi import App, Depends, HTTPException, WebSocket, WebSocketDisconnect
from wslab.asgi.security import WebSocketBearer, expires
from wslab.asgi.testclient import AsyncTestClient, WebSocketDenialResponse
from wslab.errors import EndpointError

KEY = "a key of this test alone, long enough for every algorithm used"


def token(key=KEY, algorithm="HS256", **claims):
    return jwt.encode({"username": "ada", "user_id": 7, "exp": time.time() + 600, **claims}, key, algorithm)


def claims_of(token: str = Depends(WebSocketBearer(bearerFormat="JWT"))):
    try:
        return jwt.decode(token, KEY, algorithms=["HS256"], options={"require": ["exp"]})
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "Invalid token") from error


@pytest.fixture
def app():
    app = App()
    app.state.log = []

    @app.websocket("/ws")
    async def endpoint(ws: WebSocket, claims: dict = Depends(claims_of)):
        await ws.accept()
        await ws.send_json({"type": "welcome", "user": claims["username"]})
        async with expires(ws, at=claims["exp"]) as expiry:
            try:
                async for text in ws.iter_text():
                    await ws.send_text(text)
            finally:
                app.state.log.append("left")
        app.state.log.append(expiry.expired)

    return app


async def test_a_token_opens_the_connection(app):
    client = AsyncTestClient(app)
    async with client.websocket_connect("/ws", ["bearer", token()]) as session:
        assert session.accepted_subprotocol == "bearer"
        assert await session.receive_json(timeout=60) == {"type": "welcome", "user": "ada"}
        await session.send_text("hi")
        assert await session.receive_text(timeout=60) == "hi"
    assert app.state.log == ["left", False]


@pytest.mark.parametrize(
    "wrong",
    [
        token(exp=time.time() - 1),
        token(key="another key, which is as long as the first one of this test is"),
        token(algorithm="HS384"),
        jwt.encode({"username": "ada"}, KEY, "HS256"),
        jwt.encode({"username": "ada", "exp": time.time() + 600}, "", "none"),
        token()[:-2],
        "no.token.atall",
    ],
    ids=["expired", "other key", "other algorithm", "no end", "unsigned", "cut", "nonsense"],
)
async def test_a_wrong_token_is_401_before_accept(app, wrong):
    with pytest.raises(WebSocketDenialResponse) as denial:
        async with AsyncTestClient(app).websocket_connect("/ws", ["bearer", wrong]):
            pytest.fail("accepted")
    assert (denial.value.status_code, denial.value.text) == (401, "Invalid token")


async def test_the_end_of_the_token_ends_the_connection(app):
    app.dependency_overrides[claims_of] = lambda: {"username": "ada", "exp": time.time() + 0.01}
    async with AsyncTestClient(app).websocket_connect("/ws") as session:
        assert (await session.receive_json(timeout=60))["user"] == "ada"
        with pytest.raises(WebSocketDisconnect) as closing:
            await session.receive_text(timeout=60)
    assert (closing.value.code, closing.value.reason) == (3000, "Token expired")
    assert app.state.log == ["left", True]


class Recorder:
    """A connection that records what is sent."""

    def __init__(self, *, gone=False):
        self.sent = []
        self.gone = gone
        self.socket = WebSocket({"type": "websocket"}, self.receive, self.send)

    async def receive(self):
        return {"type": "websocket.connect"}

    async def send(self, message):
        self.sent.append(message)
        if self.gone and message["type"] == "websocket.close":
            raise BrokenPipeError


PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("at", [PAST, PAST.timestamp(), 0, float("-inf")])
async def test_what_is_over_ends_the_block_at_its_first_wait(at):
    recorder = Recorder()
    await recorder.socket.accept()
    async with expires(recorder.socket, at=at, code=1008, reason="over") as expiry:
        assert repr(expiry).endswith("s left>")
        await asyncio.Event().wait()
        pytest.fail("went on")
    assert expiry.expired
    assert expiry.remaining < 0
    assert repr(expiry) == "<Expiry: over>"
    assert recorder.sent[1] == {"type": "websocket.close", "code": 1008, "reason": "over"}


async def test_a_connection_that_was_not_accepted_is_refused():
    recorder = Recorder()
    async with expires(recorder.socket, at=PAST):
        await asyncio.Event().wait()
    assert [message["type"] for message in recorder.sent] == ["websocket.close"]


@pytest.mark.parametrize("gone", [True, False])
async def test_a_connection_that_is_closed_already_stays_so(gone):
    recorder = Recorder(gone=gone)
    await recorder.socket.accept()
    async with expires(recorder.socket, at=PAST):
        try:
            await asyncio.Event().wait()
        finally:
            if not gone:
                await recorder.socket.close(1000)
    assert [message["type"] for message in recorder.sent] == ["websocket.accept", "websocket.close"]


async def test_other_time_outs_and_errors_pass_through():
    recorder = Recorder()
    await recorder.socket.accept()
    for error in (TimeoutError("mine"), LookupError("mine")):
        with pytest.raises(type(error), match="mine"):
            async with expires(recorder.socket, at=time.time() + 600):
                raise error
    assert len(recorder.sent) == 1


@pytest.mark.parametrize("at", [None, "2026", True, float("nan"), dt.datetime(2026, 1, 1)])  # noqa: DTZ001
async def test_what_is_no_time_is_refused(at):
    with pytest.raises(EndpointError, match="seconds since 1970 or as a datetime with a time zone"):
        async with expires(Recorder().socket, at=at):
            pytest.fail("began")
