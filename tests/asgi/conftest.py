"""Fixtures of the framework's tests.

No file in this folder imports annotations from the future, except where strings are what is tested: the
endpoints' annotations name classes and functions of the test they stand in.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect


@dataclass(frozen=True)
class Outcome:
    """What a client sees of one connection: JSON messages, and how it was refused or closed."""

    messages: tuple[Any, ...] = ()
    status: int = 101
    code: int | None = None
    reason: Any = ""
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@pytest.fixture
def attempt():
    """A function that connects to an application, reads JSON messages until it closes, and says what it saw.

    `messages` is how many are read at most; the client closes after them. Without `denial` the server does
    not speak the extension for denial responses.
    """

    def connect(app, url="/", *, messages=1, denial=True, headers=None, cookies=None) -> Outcome:
        async def bare(scope, receive, send):
            scope["extensions"].pop("websocket.http.response", None)
            await app(scope, receive, send)

        client = TestClient(app if denial else bare, cookies=cookies)
        seen = []
        try:
            with client.websocket_connect(url, headers=dict(headers or {})) as session:
                seen.extend(session.receive_json() for _ in range(messages))
        except WebSocketDenialResponse as refusal:
            return Outcome(
                status=refusal.status_code, text=refusal.text, headers=tuple(refusal.headers.items())
            )
        except WebSocketDisconnect as closing:
            return Outcome(messages=tuple(seen), code=closing.code, reason=closing.reason)
        return Outcome(messages=tuple(seen))

    return connect
