from __future__ import annotations

import time
import types
from datetime import UTC, datetime
from urllib.parse import urlencode

import jwt
import pytest

import wslab

SECRET = "k" * 32


def address(*, key=SECRET, lifetime=60.0, **claims):
    payload = {"user_id": 7, "username": "ada", "exp": time.time() + lifetime, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return "/ws?" + urlencode({"token": jwt.encode(payload, key, algorithm="HS256")})


@pytest.fixture
async def program(serve):
    async with serve("authentication", SECRET=SECRET) as served:
        yield served


async def test_a_user_with_a_good_token_talks_json(program):
    async with program.connect(address()) as client:
        welcome = await client.receive_json(5)
        assert welcome == {"type": "welcome", "message": "Welcome ada!", "user_id": 7}
        await client.send_json({"type": "ping"})
        assert await client.receive_json(5) == {"type": "pong"}
        await client.send_json({"type": "message", "content": "hi"})
        received = await client.receive_json(5)
        age = datetime.now(UTC) - datetime.fromisoformat(received.pop("timestamp"))
        assert received == {"type": "message_received", "content": "hi", "from_user": "ada"}
        assert abs(age.total_seconds()) < 60


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("{", "Message must be JSON"),
        (b"{}", "Message must be JSON"),
        ("5", "Message must include 'type' field"),
        ('["type"]', "Message must include 'type' field"),
        ("{}", "Message must include 'type' field"),
        ('{"type":"message"}', "Message content is required"),
        ('{"type":"dance"}', "Unknown message type: dance"),
    ],
)
async def test_a_bad_message_is_answered_and_the_connection_goes_on(program, message, answer):
    async with program.connect(address()) as client:
        await client.receive(5)
        await client.send(message)
        assert await client.receive_json(5) == {"type": "error", "message": answer}
        await client.send_json({"type": "ping"})
        assert await client.receive_json(5) == {"type": "pong"}


@pytest.mark.parametrize(
    "path",
    [
        address(lifetime=-1),
        address(key="w" * 32),
        address(exp=None),
        address(username=None),
        address(user_id=None),
        "/ws?token=nonsense",
        "/ws?token=",
    ],
    ids=["expired", "wrong key", "no expiry", "no name", "no id", "nonsense", "empty"],
)
async def test_a_bad_token_is_refused_with_401_before_accept(program, path):
    with pytest.raises(wslab.ConnectionRefused, match="Invalid token") as caught:
        await program.connect(path)
    assert caught.value.status == 401


async def test_without_a_token_the_handshake_is_refused(program):
    with pytest.raises(wslab.ConnectionRefused) as caught:
        await program.connect("/ws")
    assert caught.value.status == 403


async def test_a_connection_ends_with_its_token(serve):
    # The endpoint's clock is a minute ahead of the one that the token is verified with.
    clock = types.SimpleNamespace(time=lambda: time.time() + 59.7)
    async with serve("authentication", SECRET=SECRET, time=clock) as program:
        client = await program.connect(address(lifetime=60))
        assert (await client.receive_json(5))["type"] == "welcome"
        with pytest.raises(wslab.ConnectionClosed) as caught:
            await client.receive(5)
    assert (caught.value.code, caught.value.reason, caught.value.by) == (1008, "Token expired", "server")
