"""The opening handshake as it was on the wire (RFC 6455 section 4), with its secrets taken out.

Heads are kept as bytes, in the order and spelling that came, because a tidied handshake teaches
nothing. `redact_head` replaces secrets **before** a head is stored: there is no second copy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

__all__ = ["GUID", "Head", "accept_key", "parse_head", "redact_head", "redact_target"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""The constant that both sides append to the key (RFC 6455 section 1.3)."""

_SECRET_HEADERS = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"x-api-key", b"x-xsrftoken"}
)
_SECRET_PARAMETER = re.compile(
    rb"(?i)([?&;](?:[\w.-]*(?:token|secret|password|passwd|api_?key|jwt|credential|signature)|auth|key|sig|code)=)"
    rb"([^&;#\s]*)"
)
_SECRET_SUBPROTOCOL = re.compile(rb"(?i)^(wslab\.token\.|bearer\.|base64url\.bearer\.authorization\.)")


def accept_key(key: str | bytes) -> str:
    """The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 section 4.2.2).

    Example:
        >>> accept_key("dGhlIHNhbXBsZSBub25jZQ==")
        's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    raw = key.encode("latin-1") if isinstance(key, str) else key
    return base64.b64encode(hashlib.sha1(raw + GUID, usedforsecurity=False).digest()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Head:
    """A request or response head: its first line and its header fields in their order."""

    start_line: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str = "") -> str:
        """The first value of header `name`, whatever its case."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), default)

    @property
    def target(self) -> str:
        """The request target, such as ``/echo/ada?shout=1``; "" in a response."""
        parts = self.start_line.split(" ")
        return parts[1] if len(parts) >= 2 and not self.start_line.startswith("HTTP/") else ""  # noqa: PLR2004

    @property
    def status(self) -> int:
        """The response's status code; 0 in a request or where it is no number."""
        parts = self.start_line.split(" ", 2)
        is_response = len(parts) >= 2 and self.start_line.startswith("HTTP/")  # noqa: PLR2004
        return int(parts[1]) if is_response and parts[1].isascii() and parts[1].isdigit() else 0


def parse_head(raw: bytes) -> Head:
    r"""Read a head's lines; what is not ``name: value`` is kept under an empty name.

    Example:
        >>> head = parse_head(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        >>> head.target, head.get("host")
        ('/a', 'x')
    """
    lines = raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        fields.append((name.strip(), value.strip()) if colon else ("", line))
    return Head(lines[0], tuple(fields))


def _hidden(value: bytes) -> bytes:
    return b"[redacted-%d-bytes]" % len(value)  # no space: a target must stay one word


def redact_target(target: bytes) -> bytes:
    """Take the values of token-like query parameters out of a request target or URL.

    Example:
        >>> redact_target(b"/ws?room=a&lab_token=abc")
        b'/ws?room=a&lab_token=[redacted-3-bytes]'
    """
    return _SECRET_PARAMETER.sub(lambda match: match[1] + _hidden(match[2]), target)


def _redact_protocols(value: bytes) -> bytes:
    offers = [offer.strip() for offer in value.split(b",")]
    after_bearer = False
    shown = []
    for offer in offers:
        prefix = _SECRET_SUBPROTOCOL.match(offer)
        if prefix:
            shown.append(prefix[0] + _hidden(offer[prefix.end() :]))
        elif after_bearer:
            shown.append(_hidden(offer))
        else:
            shown.append(offer)
        after_bearer = offer.lower() == b"bearer"
    return b", ".join(shown)


def redact_head(raw: bytes) -> bytes:
    r"""`raw` without its secrets: credentials, cookies, tokens in the target, referrer or subprotocols.

    Each secret's place and length stay visible, so that a reader sees that one was sent.

    Example:
        >>> redact_head(b"GET /?token=abc HTTP/1.1\r\nCookie: a=b\r\n\r\n")
        b'GET /?token=[redacted-3-bytes] HTTP/1.1\r\nCookie: [redacted-3-bytes]\r\n\r\n'
    """
    head, end, _ = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    lines[0] = redact_target(lines[0])
    for number, line in enumerate(lines[1:], 1):
        name, colon, rest = line.partition(b":")
        lowered = name.strip().lower()
        value = rest.strip()
        if not colon:
            continue
        if lowered in _SECRET_HEADERS:
            value = _hidden(value)
        elif lowered == b"sec-websocket-protocol":
            value = _redact_protocols(value)
        elif lowered in {b"referer", b"location"}:
            value = redact_target(value)
        else:
            continue
        lines[number] = name + b": " + value
    return b"\r\n".join(lines) + end
