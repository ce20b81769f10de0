"""The opening handshake of both sides: read strictly, written safely (RFC 6455 section 4, RFC 9112).

A server asks `check_head` while a head arrives, `is_upgrade` once it has, and `read_upgrade` for what
the client wants; it answers with `accept_response` or `denial_response`. A client writes
`client_request` and reads the answer with `read_response`. A head is whole: from its first line up to
and including the empty one.

A good head is split once and its bytes are checked in bulk; which rule a bad one breaks is looked for
only after something did not fit, because nearly every head is good.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from wslab.wire.handshake import accept_key
from wslab.wire.heads import (
    HANDSHAKE_HEADERS,
    HOST,
    TOKEN,
    TOKEN_TEXT,
    VISIBLE,
    HandshakeError,
    RawHeaders,
    ResponseError,
    check_extensions,
    encode_fields,
    read_fields,
    read_words,
    show_line,
)
from wslab.wire.opening_client import UpgradeResponse, client_request, read_response

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_HEAD",
    "MAX_HEADERS",
    "MAX_LINE",
    "HandshakeError",
    "ResponseError",
    "UpgradeRequest",
    "UpgradeResponse",
    "accept_response",
    "check_head",
    "client_request",
    "denial_response",
    "is_upgrade",
    "read_response",
    "read_upgrade",
]

MAX_LINE = 8192
"""Bytes in one line of a head."""

MAX_HEADERS = 128
"""Header fields in a head."""

MAX_HEAD = 65536
"""Bytes in a head."""

_ABSOLUTE = re.compile(rb"(?:https?|wss?)://([^/?]*)(.*)", re.IGNORECASE)
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """What a client asks for.

    Attributes:
        target: the request target as it came, with its query.
        raw_path: the path of `target`, still percent-encoded.
        path: `raw_path` decoded as UTF-8; bytes that are not become U+FFFD.
        query_string: what follows the first ``?``, or ``b""``.
        headers: all fields in their order; names in lower case, values without the space around them.
        key: the ``Sec-WebSocket-Key`` as it came, 24 bytes of base64.
        subprotocols: what is offered, the preferred one first.
        extensions: all ``Sec-WebSocket-Extensions`` fields joined with ``, ``; "" for none.
    """

    target: bytes
    raw_path: bytes
    path: str
    query_string: bytes
    headers: list[tuple[bytes, bytes]]
    key: bytes
    subprotocols: list[str]
    extensions: str


# -- limits and routing ----------------------------------------------------------------------------
def check_head(head: bytes) -> None:
    r"""Refuse a head, complete or still arriving, that is larger than a server should have to hold.

    Raises:
        HandshakeError: 431, with more than `MAX_HEAD` bytes, `MAX_LINE` in a line, or `MAX_HEADERS` fields.

    Example:
        >>> check_head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        >>> try:
        ...     check_head(b"GET /" + b"a" * MAX_LINE)  # its end has not come, and need not
        ... except HandshakeError as error:
        ...     print(error.status, error.problem)
        431 Expected lines of at most 8192 bytes in a head, got 8197 or more.
    """
    size = len(head)
    if size > MAX_HEAD:
        raise HandshakeError(
            431, f"Expected a head of at most {MAX_HEAD} bytes, got {size} or more.", "Send less in headers."
        )
    # Two ends of line are no field's: the first line's and the empty one's.
    fields = head.count(b"\n") - 1 - head.endswith(b"\r\n\r\n")
    if fields > MAX_HEADERS:
        raise HandshakeError(
            431, f"Expected at most {MAX_HEADERS} header fields, got {fields} or more.", "Send fewer headers."
        )
    if size > MAX_LINE:
        longest = max(map(len, head.split(b"\r\n")))
        if longest > MAX_LINE:
            raise HandshakeError(
                431,
                f"Expected lines of at most {MAX_LINE} bytes in a head, got {longest} or more.",
                "Send less in the address or in cookies.",
            )


def is_upgrade(head: bytes) -> bool:
    r"""Whether a request asks to become a WebSocket, well formed or not: `read_upgrade` says which.

    Example:
        >>> is_upgrade(b"GET / HTTP/1.1\r\nHost: x\r\nUPGRADE: WebSocket\r\n\r\n")
        True
        >>> is_upgrade(b"GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\nX: websocket\r\n\r\n")
        False
    """
    lowered = head.lower()
    found = lowered.find(b"\nupgrade")
    while found >= 0:
        end = lowered.find(b"\n", found + 8)
        name, _, value = lowered[found : end if end >= 0 else None].partition(b":")
        if name.strip() == b"upgrade" and b"websocket" in [word.strip() for word in value.split(b",")]:
            return True
        found = lowered.find(b"\nupgrade", found + 8)
    return False


# -- reading ---------------------------------------------------------------------------------------
def _split_target(target: bytes, fields: dict[bytes, bytes], headers: RawHeaders) -> tuple[bytes, bytes]:
    """Path and query of a target in origin or absolute form (RFC 9112 section 3.2)."""
    if target.translate(None, VISIBLE) or b"#" in target:
        raise HandshakeError(
            400,
            "Expected a request target of visible ASCII characters without a '#'.",
            "Percent-encode what is not ASCII, and leave the fragment out (RFC 6455 section 3).",
        )
    path = target
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if not absolute or not absolute[1] or absolute[1].translate(None, HOST):
            raise HandshakeError(
                400,
                f"Expected a request target such as '/chat' or 'ws://host/chat', got {show_line(target)}.",
                "Begin it with a slash.",
            )
        # RFC 9112 section 3.2.2: its authority counts, whatever Host says, so that there is one truth.
        host, path = absolute[1], absolute[2]
        headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
        fields[b"host"] = host
        if not path.startswith(b"/"):
            path = b"/" + path
    raw_path, _, query = path.partition(b"?")
    return raw_path, query


def _check_request_line(line: bytes) -> bytes:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[1]:  # noqa: PLR2004 - method, target, version
        raise HandshakeError(
            400, f"Expected a request line such as 'GET /chat HTTP/1.1', got {show_line(line)}."
        )
    method, target, version = parts
    if method != b"GET":
        problem = f"Expected the method GET, got {show_line(method)}."
        raise HandshakeError(405, problem, "Open a WebSocket with GET.", [(b"allow", b"GET")])
    if version != b"HTTP/1.1" and not re.fullmatch(rb"HTTP/1\.[1-9]", version):
        problem = f"Expected HTTP/1.1, got {show_line(version)}."
        raise HandshakeError(505, problem, "Use HTTP/1.1 (RFC 6455 section 4.1).")
    return target


def _check_fields(fields: dict[bytes, bytes]) -> bytes:
    """The rules of RFC 6455 section 4.2.1; returns the key."""
    host = fields.get(b"host")
    if host is None:
        raise HandshakeError(400, "Expected a Host header, got none.", "Send the host that you connect to.")
    if host.translate(None, HOST):
        raise HandshakeError(400, "Expected 'host' or 'host:port' in the Host header, got something else.")
    if fields.get(b"upgrade", b"").lower() != b"websocket" and b"websocket" not in read_words(
        fields, b"upgrade"
    ):
        raise HandshakeError(400, "Expected the header 'Upgrade: websocket'.", "Use a WebSocket client.")
    options = read_words(fields, b"connection")
    if b"upgrade" not in options or b"".join(options).translate(None, TOKEN):
        raise HandshakeError(
            400,
            "Expected the header 'Connection: Upgrade'.",
            "Use a WebSocket client, or a proxy that passes it on.",
        )
    version = fields.get(b"sec-websocket-version")
    if version != b"13":
        came = "none" if version is None else show_line(version)
        answer = [(b"sec-websocket-version", b"13"), (b"upgrade", b"websocket")]
        raise HandshakeError(
            426, f"Expected Sec-WebSocket-Version 13, got {came}.", "Use version 13.", answer
        )
    if b"transfer-encoding" in fields or fields.get(b"content-length", b"0").strip(b"0"):
        raise HandshakeError(
            400, "Expected a request without a body.", "Send no Content-Length, and data as messages."
        )
    key = fields.get(b"sec-websocket-key")
    if key is None:
        raise HandshakeError(
            400, "Expected a Sec-WebSocket-Key header, got none.", "Send 16 random bytes as base64."
        )
    try:
        length = len(binascii.a2b_base64(key, strict_mode=True))
    except binascii.Error:
        length = -1
    if length != _KEY_BYTES:
        came = "no base64" if length < 0 else f"{length} bytes"
        raise HandshakeError(
            400,
            f"Expected a Sec-WebSocket-Key of 16 bytes in base64, got {came}.",
            "Send 24 characters, ending in '=='.",
        )
    return key


def _read_offers(value: bytes) -> list[str]:
    """The subprotocols offered; RFC 6455 section 4.1 has each a token, and none twice."""
    offers = [offer for offer in (raw.strip(" \t") for raw in value.decode("latin-1").split(",")) if offer]
    for offer in offers:
        if offer.strip(TOKEN_TEXT):
            raise HandshakeError(
                400,
                "Expected tokens, separated by commas, as the subprotocols offered, got another character.",
                "Use letters, digits, dots and hyphens.",
            )
    if not offers:
        raise HandshakeError(
            400, "Expected a name in Sec-WebSocket-Protocol, got none.", "Leave the header out."
        )
    if len(set(offers)) != len(offers):
        # Which of the two is meant decides nothing, but a client that repeats itself has a bug worth seeing.
        raise HandshakeError(
            400, "Expected each subprotocol to be offered once, got one twice.", "Offer it once."
        )
    return offers


def read_upgrade(head: bytes) -> UpgradeRequest:
    r"""Read a client's opening handshake (section 4.2.1).

    Args:
        head: a request that passed `check_head`, whole.

    Raises:
        HandshakeError: the rule that is broken, with the status to answer.

    Example:
        >>> request = read_upgrade(
        ...     b"GET /chat?room=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        ...     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ... )
        >>> request.path, request.query_string, request.headers[0]
        ('/chat', b'room=a', (b'host', b'x'))
    """
    line, headers, fields = read_fields(head, 400)
    target = _check_request_line(line)
    raw_path, query = _split_target(target, fields, headers)
    key = _check_fields(fields)
    path = raw_path.decode("ascii")
    offers = fields.get(b"sec-websocket-protocol")
    extensions = fields.get(b"sec-websocket-extensions", b"").decode("latin-1")
    return UpgradeRequest(
        target,
        raw_path,
        unquote(path) if "%" in path else path,
        query,
        headers,
        key,
        [] if offers is None else _read_offers(offers),
        check_extensions(extensions, 400) if extensions else "",
    )


# -- writing ---------------------------------------------------------------------------------------
def accept_response(
    request: UpgradeRequest,
    *,
    subprotocol: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    extensions: str = "",
) -> bytes:
    r"""The 101 that accepts `request` (section 4.2.2).

    Args:
        request: what `read_upgrade` returned.
        subprotocol: one of those offered, or None.
        headers: further fields, such as ``set-cookie``.
        extensions: what `wslab.wire.deflate.negotiate` says to answer.

    Raises:
        ResponseError: a field that is the handshake's own, or could become another one; a subprotocol
            that was not offered, which makes browsers fail the connection.

    Example:
        >>> request = UpgradeRequest(b"/", b"/", "/", b"", [], b"dGhlIHNhbXBsZSBub25jZQ==", [], "")
        >>> print(accept_response(request).decode().replace("\r", ""), end="")
        HTTP/1.1 101 Switching Protocols
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        <BLANKLINE>
    """
    accept = accept_key(request.key)
    response = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n"
    )
    if subprotocol:
        if subprotocol not in request.subprotocols:
            offered = ", ".join(request.subprotocols) or "none"
            raise ResponseError(
                f"Expected a subprotocol that the client offered ({offered}), got {subprotocol!r:.80}.",
                remedy="Choose one of scope['subprotocols'], or none (RFC 6455 section 4.2.2).",
            )
        response += f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
    if extensions:
        response += f"Sec-WebSocket-Extensions: {extensions}\r\n"
    return (
        response.encode("ascii") + (encode_fields(headers, HANDSHAKE_HEADERS) if headers else b"") + b"\r\n"
    )


def denial_response(status: int, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b"") -> bytes:
    r"""A whole HTTP response in place of the 101; the connection ends with it.

    ``Content-Length`` is the body's, whatever `headers` say, and ``Connection: close`` is added; so is
    ``Content-Type: text/plain`` where there is a body of no stated type. Statuses 204, 205 and 304 have
    no body (RFC 9110 section 15): one that is given is left out.

    Raises:
        ResponseError: a status outside 200–599, or a header that could become another one.

    Example:
        >>> print(denial_response(403, [], b"no").decode().replace("\r", ""))
        HTTP/1.1 403 Forbidden
        content-type: text/plain; charset=utf-8
        content-length: 2
        connection: close
        <BLANKLINE>
        no
    """
    if not 200 <= status <= 599:  # noqa: PLR2004 - the final statuses
        raise ResponseError(
            f"Expected a status of 200–599 for a denial, got {status}.", remedy="Use 403, for one."
        )
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""  # not a registered status: the phrase may be empty (RFC 9112 section 4)
    kept = []
    names = set()
    for name, value in headers:
        lowered = name.lower()
        if lowered not in {b"content-length", b"transfer-encoding", b"connection"}:
            kept.append((name, value))
            names.add(lowered)
    bodiless = status in {204, 205, 304}
    if bodiless:
        body = b""
    elif body and b"content-type" not in names:
        kept.append((b"content-type", b"text/plain; charset=utf-8"))
    if not bodiless or status == HTTPStatus.RESET_CONTENT:
        kept.append((b"content-length", b"%d" % len(body)))
    # RFC 9110 section 7.8: who sends Upgrade, as 426 must, names it as a connection option.
    kept.append((b"connection", b"upgrade, close" if b"upgrade" in names else b"close"))
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (
        status,
        phrase.encode("ascii"),
        encode_fields(kept, frozenset()),
        body,
    )
