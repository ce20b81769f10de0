"""The opening handshake's client side: the request written, the answer checked (RFC 6455 section 4.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from wslab.wire.handshake import accept_key
from wslab.wire.heads import (
    HANDSHAKE_HEADERS,
    HOST,
    TOKEN_TEXT,
    VISIBLE,
    HandshakeError,
    ResponseError,
    check_extensions,
    encode_fields,
    read_fields,
    read_words,
    show_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["UpgradeResponse", "client_request", "read_response"]


@dataclass(frozen=True, slots=True)
class UpgradeResponse:
    """What a server answers.

    Attributes:
        status: 101 where it agrees; only then the other rules of the handshake were checked.
        phrase: the words after the status.
        headers: all fields in their order; names in lower case, values without the space around them.
        subprotocol: the one chosen, or None.
        extensions: what was agreed on, as the server wrote it; "" for none.
    """

    status: int
    phrase: str
    headers: list[tuple[bytes, bytes]]
    subprotocol: str | None
    extensions: str


def read_response(head: bytes, key: bytes, *, subprotocols: Sequence[str] = ()) -> UpgradeResponse:
    r"""Read a server's answer to `client_request` (section 4.1, second half).

    Args:
        head: the response's head, whole.
        key: the one sent.
        subprotocols: those offered.

    Returns:
        The answer, also one that refuses: look at its status. Whether the extensions in it were
        offered is for `wslab.wire.deflate.agree` to say.

    Raises:
        HandshakeError: it is no HTTP response, or a 101 that a client must not take.

    Example:
        >>> key = b"dGhlIHNhbXBsZSBub25jZQ=="
        >>> read_response(b"HTTP/1.1 403 Forbidden\r\n\r\n", key).status
        403
        >>> answer = read_response(
        ...     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        ...     b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ...     key,
        ... )
        >>> answer.status, answer.phrase
        (101, 'Switching Protocols')
    """
    line, _, _ = head.partition(b"\r\n")
    first = re.fullmatch(rb"HTTP/1\.[0-9] ([1-9][0-9][0-9])(?: ([^\0\r\n]*))?", line)
    if not first:
        raise HandshakeError(
            0, f"Expected 'HTTP/1.1 101 …' as an answer, got {show_line(line)}.", "Is this an HTTP server?"
        )
    status = int(first[1])
    phrase = (first[2] or b"").decode("latin-1")
    _, headers, fields = read_fields(head, status)
    if status != HTTPStatus.SWITCHING_PROTOCOLS:
        return UpgradeResponse(status, phrase, headers, None, "")
    if read_words(fields, b"upgrade") != [b"websocket"] or b"upgrade" not in read_words(
        fields, b"connection"
    ):
        raise HandshakeError(status, "Expected 'Upgrade: websocket' and 'Connection: Upgrade' beside 101.")
    if fields.get(b"sec-websocket-accept") != accept_key(key).encode("ascii"):
        raise HandshakeError(
            status,
            "Expected Sec-WebSocket-Accept to answer the key sent, got another.",
            "Something between you and the server answered for it (RFC 6455 section 4.1).",
        )
    chosen = fields.get(b"sec-websocket-protocol")
    subprotocol = None if chosen is None else chosen.decode("latin-1")
    if subprotocol is not None and subprotocol not in subprotocols:
        raise HandshakeError(
            status,
            f"Expected one of the subprotocols offered, got {subprotocol!r:.80}.",
            "Offer it, or none.",
        )
    extensions = fields.get(b"sec-websocket-extensions", b"").decode("latin-1")
    return UpgradeResponse(status, phrase, headers, subprotocol, check_extensions(extensions, status))


def client_request(
    host: str,
    target: str,
    key: bytes,
    *,
    subprotocols: Sequence[str] = (),
    headers: Iterable[tuple[bytes, bytes]] = (),
    extensions: str = "",
) -> bytes:
    r"""The request that opens a WebSocket (section 4.1).

    Args:
        host: ``host`` or ``host:port``.
        target: path and query, percent-encoded.
        key: 16 random bytes in base64.
        subprotocols: offers, the preferred one first.
        headers: further fields, such as ``cookie``.
        extensions: what `wslab.wire.deflate.offer` says.

    Raises:
        ResponseError: a part that would break the request.

    Example:
        >>> request = client_request("localhost:8000", "/chat", b"dGhlIHNhbXBsZSBub25jZQ==")
        >>> request.split(b"\r\n")[:2]
        [b'GET /chat HTTP/1.1', b'Host: localhost:8000']
    """
    raw_host, raw_target = host.encode("utf-8", "replace"), target.encode("utf-8", "replace")
    if not host or raw_host.translate(None, HOST):
        raise ResponseError(
            f"Expected 'host' or 'host:port', got {host!r:.80}.", remedy="Leave scheme and path out."
        )
    if not target.startswith("/") or raw_target.translate(None, VISIBLE) or b"#" in raw_target:
        raise ResponseError(
            f"Expected a path of ASCII that begins with '/', got {target!r:.80}.", remedy="Percent-encode it."
        )
    if len(set(subprotocols)) != len(subprotocols) or any(
        not name or name.strip(TOKEN_TEXT) for name in subprotocols
    ):
        raise ResponseError(
            f"Expected different tokens as subprotocols, got {list(subprotocols)!r:.80}.",
            remedy="Use letters, digits, dots and hyphens, and each name once.",
        )
    own = [
        (b"Host", raw_host),
        *((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")),
        *((b"Sec-WebSocket-Key", key), (b"Sec-WebSocket-Version", b"13")),
    ]
    if subprotocols:
        own.append((b"Sec-WebSocket-Protocol", ", ".join(subprotocols).encode("ascii")))
    if extensions:
        own.append((b"Sec-WebSocket-Extensions", extensions.encode("latin-1")))
    fields = encode_fields(own, frozenset()) + encode_fields(headers, HANDSHAKE_HEADERS)
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (raw_target, fields)
