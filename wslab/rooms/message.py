"""A message as it goes on the wire, made once for all who get it."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

from wslab.errors import RoomError
from wslab.wire import Opcode, encode_frame

__all__ = ["Encoded", "encode"]


class Encoded(NamedTuple):
    """`kind` names the field of the ASGI ``websocket.send`` event that takes `payload`."""

    kind: Literal["text", "bytes"]
    payload: str | bytes

    def frame(self) -> bytes:
        r"""The message as one frame from a server (RFC 6455 section 5.2).

        Example:
            >>> encode("Hello").frame()
            b'\x81\x05Hello'
        """
        if isinstance(self.payload, str):
            return encode_frame(Opcode.TEXT, self.payload.encode())
        return encode_frame(Opcode.BINARY, self.payload)


def encode(message: Any) -> Encoded:
    r"""Encode `message`: str as text, bytes as binary, anything else as JSON text.

    A message that no client could take is refused here, before it is queued: in the queues it would
    end every member's connection.

    Args:
        message: str, a bytes-like object, or what JSON can hold.

    Raises:
        RoomError: a str that is not valid UTF-8 (RFC 6455 section 5.6), or something JSON has no
            notation for, NaN and infinities included (RFC 8259 section 6).

    Example:
        >>> encode({"type": "user_joined", "name": "Zoë"})
        Encoded(kind='text', payload='{"type":"user_joined","name":"Zoë"}')
        >>> encode(b"\x00").kind
        'bytes'
    """
    if isinstance(message, str):
        if not _is_unicode(message):
            raise RoomError(
                "Expected text that UTF-8 can hold (RFC 6455 section 5.6), got half of a surrogate pair.",
                remedy='Clean it first: text.encode("utf-8", "replace").decode().',
            )
        return Encoded("text", message)
    if isinstance(message, (bytes, bytearray, memoryview)):
        return Encoded("bytes", bytes(message))
    try:
        text = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        if not _is_unicode(text):
            # JSON can write half a surrogate pair as an escape, and a hostile client can send us one.
            text = json.dumps(message, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RoomError(
            f"Expected str, bytes or what JSON can hold, got {type(message).__name__}: {error}.",
            remedy="Convert it first, for example to a dict of strings and finite numbers.",
        ) from error
    return Encoded("text", text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
