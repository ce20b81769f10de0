"""The connection object that endpoints hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import starlette.websockets
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected, WebSocketState

from wslab.asgi.exceptions import InvalidHeaderError, MessageTypeError

if TYPE_CHECKING:
    from starlette.types import Message

__all__ = ["HeadersLike", "WebSocket", "WebSocketDisconnect", "WebSocketDisconnected", "WebSocketState"]

HeadersLike = Mapping[str, str] | Iterable[tuple[bytes | str, bytes | str]]

# RFC 9110 section 5.6.2 (token) and 5.5 (no CR, LF or NUL): anything else could start another header.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE_VALUE = re.compile(rb"[\r\n\0]")


class WebSocket(starlette.websockets.WebSocket):
    """A WebSocket connection, seen from the endpoint.

    Everything of `starlette.websockets.WebSocket`, with two differences: `accept` also takes headers
    as a mapping of strings, and a message of the other kind raises an error that says so.
    """

    async def accept(self, subprotocol: str | None = None, headers: HeadersLike | None = None) -> None:
        """Answer the opening handshake with 101 (RFC 6455 section 4.2.2).

        Args:
            subprotocol: one of those the client offered (`scope["subprotocols"]`), or None.
            headers: more headers for the answer: a mapping, or pairs of str or bytes when a name occurs
                more than once.

        Raises:
            InvalidHeaderError: a name or a value that cannot stand in a header.
        """
        await super().accept(subprotocol, _encoded(headers))

    async def receive_text(self) -> str:
        """The next message, which must be text.

        Raises:
            WebSocketDisconnect: the connection is closed.
            MessageTypeError: the message is binary.
        """
        return cast("str", _content(await self._receive_message(), "text"))

    async def receive_bytes(self) -> bytes:
        """The next message, which must be binary.

        Raises:
            WebSocketDisconnect: the connection is closed.
            MessageTypeError: the message is text.
        """
        return cast("bytes", _content(await self._receive_message(), "bytes"))

    async def receive_json(self, mode: str = "text") -> Any:
        """The next message, parsed as JSON.

        Args:
            mode: "text" or "binary", the kind of message that is expected.

        Raises:
            WebSocketDisconnect: the connection is closed.
            MessageTypeError: the message is of the other kind.
            json.JSONDecodeError: the message is not JSON.
            UnicodeDecodeError: a binary message is not UTF-8.
        """
        if mode not in {"text", "binary"}:
            raise RuntimeError(f'Expected mode "text" or "binary", got {mode!r}.')
        message = await self._receive_message()
        if mode == "text":
            return json.loads(_content(message, "text"))
        return json.loads(_content(message, "bytes").decode("utf-8"))

    async def _receive_message(self) -> Message:
        if self.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnected(
                f"Expected an accepted connection, but it is {self.application_state.name}. "
                'Call "await websocket.accept()" first, and receive nothing after "close".'
            )
        message = await self.receive()
        self._raise_on_disconnect(message)
        return message

    def __repr__(self) -> str:
        path = self.scope.get("path", "")
        return f"<WebSocket {path!r}: {self.application_state.name}>"


def _content(message: Message, key: str) -> Any:
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


def _encoded(headers: HeadersLike | None) -> list[tuple[bytes, bytes]]:
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [_encoded_pair(name, value) for name, value in pairs]


def _encoded_pair(name: bytes | str, value: bytes | str) -> tuple[bytes, bytes]:
    try:
        # ASGI asks for lower-case names; Latin-1 is what HTTP header fields are read as.
        raw_name = (name.encode("latin-1") if isinstance(name, str) else bytes(name)).lower()
        raw_value = value.encode("latin-1") if isinstance(value, str) else bytes(value)
    except (TypeError, UnicodeEncodeError):
        valid = False
        raw_name = raw_value = b""
    else:
        valid = bool(_NAME.fullmatch(raw_name)) and not _UNSAFE_VALUE.search(raw_value)
    if not valid:
        raise InvalidHeaderError(
            f"Expected a header of Latin-1 text without line breaks, got {name!r}: {value!r}.",
            remedy="Quote or percent-encode the value before it goes into a header.",
        )
    return raw_name, raw_value
