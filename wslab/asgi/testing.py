"""What tests that were written from a recording stand on: a client, and matchers for what differs.

`lab.frames.to_pytest("test_chat.py")` writes such tests. They are plain ones, to be edited and added to; all
they import is here and in pytest. Needs `httpx2`, as `wslab.asgi.testclient` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from wslab.asgi.async_testclient import AsyncTestClient
from wslab.errors import WaitTimeoutError
from wslab.wire.conversation.matchers import (
    Matcher,
    a_bool,
    a_jwt,
    a_list,
    a_number,
    a_text,
    a_time,
    a_token,
    a_uuid,
    an_id,
    an_object,
    anything,
    captured,
    text_like,
)

if TYPE_CHECKING:
    from wslab.asgi.async_testclient import AsyncWebSocketTestSession

__all__ = [
    "AsyncTestClient",
    "Matcher",
    "a_bool",
    "a_jwt",
    "a_list",
    "a_number",
    "a_text",
    "a_time",
    "a_token",
    "a_uuid",
    "an_id",
    "an_object",
    "anything",
    "captured",
    "close_of",
    "more_from",
    "status_of",
    "text_like",
]

_FORBIDDEN = 403
_CONNECTED = 101


async def status_of(session: AsyncWebSocketTestSession) -> int:
    """With which HTTP status the application answers the handshake; 101 where it accepts.

    A close before the accept is 403: that is what servers make of it.

    Example:
        >>> import asyncio
        >>> from wslab.asgi import App, WebSocket
        >>> app = App()
        >>> @app.websocket("/")
        ... async def refuse(ws: WebSocket):
        ...     await ws.close(4001)
        >>> asyncio.run(status_of(AsyncTestClient(app).websocket_connect("/")))
        403
    """
    try:
        async with session:
            return _CONNECTED
    except WebSocketDenialResponse as denial:
        return int(denial.status_code)
    except WebSocketDisconnect:
        return _FORBIDDEN


async def close_of(session: AsyncWebSocketTestSession) -> tuple[int, str]:
    """The code and the reason with which the application closes, which must be what it does next.

    Raises:
        AssertionError: it says something more.
        WaitTimeoutError: it does neither within the session's `receive_timeout`.
    """
    message = await session.receive()
    if message["type"] != "websocket.close":
        raise AssertionError(f"Expected the application to close, got {_content(message)!r}.")
    return message.get("code", 1000), message.get("reason") or ""


async def more_from(session: AsyncWebSocketTestSession, timeout: float = 0) -> list[str | bytes]:
    """The messages that nobody has received.

    Args:
        session: an open one.
        timeout: seconds to wait for each; 0 for what is there.

    Raises:
        WebSocketDisconnect: the application closed.
    """
    found: list[str | bytes] = []
    while True:
        try:
            message = await session.receive(timeout=timeout)
        except WaitTimeoutError:
            return found
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message.get("code", 1000), message.get("reason"))
        found.append(_content(message))


def _content(message: Any) -> str | bytes:
    text = message.get("text")
    content: str | bytes = message.get("bytes", b"") if text is None else text
    return content
