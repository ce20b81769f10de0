"""Mistakes in the use of a connection: how they are noticed and what is said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect, WebSocketState

from wslab.asgi.exceptions import ConnectionEndedError, ConnectionStateError, MessageTypeError

if TYPE_CHECKING:
    from starlette.types import Message

__all__ = ["check_may_send", "check_mode", "content_of", "disconnect_of", "not_open", "unexpected"]

_MAY_FOLLOW = {
    WebSocketState.CONNECTING: ("websocket.accept", "websocket.close", "websocket.http.response.start"),
    WebSocketState.CONNECTED: ("websocket.send", "websocket.close"),
    WebSocketState.RESPONSE: ("websocket.http.response.body",),
}
_REMEDIES = {
    (WebSocketState.CONNECTING, "websocket.send"): 'Call "await websocket.accept()" before sending.',
    (WebSocketState.CONNECTED, "websocket.accept"): (
        "Accept once: look whether a dependency, a manager's connect() or a decorator has done it already."
    ),
    (WebSocketState.CONNECTED, "websocket.http.response.start"): (
        "A denial response answers the handshake: send it instead of accept(), or close(code, reason) now."
    ),
}


def check_may_send(state: WebSocketState, kind: str) -> None:
    """Raise unless an application may send `kind` in `state`.

    Raises:
        ConnectionEndedError: nothing may be sent any more.
        ConnectionStateError: something else is to be sent now.
    """
    allowed = _MAY_FOLLOW.get(state)
    if allowed is None:
        raise ConnectionEndedError(
            f'Cannot call "send" once a close message has been sent: the connection is {state.name}, '
            f"and {kind} came.",
            remedy="Return from the endpoint after close(), and stop the tasks that send.",
        )
    if kind not in allowed:
        expected = " or ".join(f'"{one}"' for one in allowed)
        raise ConnectionStateError(
            f'Expected ASGI message {expected}, but got "{kind}": the connection is {state.name}.',
            remedy=_REMEDIES.get((state, kind), "Look at what has been sent before."),
        )


def unexpected(state: WebSocketState, kind: str) -> ConnectionStateError:
    """The error for a message `kind` that a server may not send in `state`."""
    connecting = state is WebSocketState.CONNECTING
    expected = '"websocket.connect"' if connecting else '"websocket.receive" or "websocket.disconnect"'
    return ConnectionStateError(
        f'Expected ASGI message {expected}, but got "{kind}".',
        remedy="The server or a middleware does not follow the ASGI specification here.",
    )


def check_mode(mode: object) -> None:
    """Raise `ConnectionStateError` unless `mode` is "text" or "binary"."""
    if mode not in {"text", "binary"}:
        raise ConnectionStateError(
            f'The "mode" argument should be "text" or "binary", got {mode!r}.',
            remedy='Leave it out for text, or pass mode="binary".',
        )


def content_of(message: Message, key: str) -> Any:
    """What `message` carries under `key`, "text" or "bytes".

    Raises:
        MessageTypeError: it carries the other kind.
    """
    content = message.get(key)
    if content is not None:
        return content
    if key == "text":
        came = f"a binary one of {len(message.get('bytes') or b'')} bytes"
        raise MessageTypeError(
            f"Expected a text message, got {came}.",
            remedy="Call receive_bytes() for binary messages, or receive() for either kind.",
        )
    came = f"a text one of {len(message.get('text') or '')} characters"
    raise MessageTypeError(
        f"Expected a binary message, got {came}.",
        remedy="Call receive_text() for text messages, or receive() for either kind.",
    )


def not_open(state: WebSocketState) -> ConnectionEndedError:
    """The error for a receive on a connection in `state`, which is not open."""
    return ConnectionEndedError(
        f"Expected an accepted connection, but it is {state.name}.",
        remedy='Call "await websocket.accept()" first, and receive nothing after "close".',
    )


def disconnect_of(message: Message) -> WebSocketDisconnect:
    """The exception that carries a disconnect message's code and reason; 1005 where it has no code."""
    return WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
