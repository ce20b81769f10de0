"""The opening handshake as it was on the wire (RFC 6455 section 4), with its secrets taken out.

Heads are kept as bytes, in the order and spelling that came, because a tidied handshake teaches
nothing. `redact_head` replaces secrets **before** a head is stored: there is no second copy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GUID", "Head", "accept_key", "parse_head", "redact_head", "redact_target"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""The constant that both sides append to the key (RFC 6455 section 1.3)."""

_END = b"\r\n\r\n"
_SECRET_HEADER = re.compile(rb"(?i)authorization|cookie|token|secret|passw|api[-_]?key|credential|jwt")
_PARAMETER = re.compile(rb"([?&;])([^=&;#\s?]*)=([^&;#\s]*)")
_SECRET_PARAMETER = re.compile(
    rb"(?is).*(?:token|secret|password|passwd|api_?key|jwt|credential|signature)\]?|auth|key|sig|code"
)
_SECRET_SUBPROTOCOL = re.compile(rb"(?i)^(wslab\.token\.|bearer\.|base64url\.bearer\.authorization\.)")
_ANNOUNCING = frozenset({b"bearer", b"authorization", b"token", b"access_token", b"jwt"})
"""Subprotocols that mean: the next one is a credential, for a browser can send no other header."""

_LINE_END = re.compile(rb"(\r?\n)")
_HARMLESS = re.compile(
    rb"[^\r\n=]*+(=[^\r\n]*+)?\r\n"
    rb"(?:(?:sec-(?:websocket-(?:key|version|extensions|accept)|fetch-(?:dest|mode|site|user)|gpc)|host|upgrade"
    rb"|connection|user-agent|origin|accept(?:-(?:encoding|language|charset))?|cache-control|pragma|date|server"
    rb"|content-(?:length|type)|x-forwarded-(?:for|host|port|proto|context)|x-proxycontextpath|x-real-ip|via|dnt"
    rb"|priority|sec-websocket-protocol(?!:[^\r\n]*(?:token|bearer|authorization|jwt))):[^\r\n]*+\r\n)*+\r\n",
    re.IGNORECASE,
)
"""A whole head without a place for a secret but, in group 1, its first line behind an equals sign."""


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


def redact_target(target: bytes) -> bytes:
    """Take the values of token-like query parameters out of a request target or URL.

    Example:
        >>> redact_target(b"/ws?room=a&lab_token=abc")
        b'/ws?room=a&lab_token=[redacted-3-bytes]'
    """
    return _PARAMETER.sub(_redact_parameter, target)


def _redact_parameter(match: re.Match[bytes]) -> bytes:
    start, name, value = match.groups()
    if not _SECRET_PARAMETER.fullmatch(unquote_to_bytes(name)):  # a name may be percent-encoded, too
        return match[0]
    return start + name + b"=" + _hidden(value)


def _redact_protocols(value: bytes) -> bytes:
    offers = [offer.strip() for offer in value.split(b",")]
    announced = False
    shown = []
    for offer in offers:
        prefix = _SECRET_SUBPROTOCOL.match(offer)
        if prefix:
            shown.append(prefix[0] + _hidden(offer[prefix.end() :]))
        elif announced:
            shown.append(_hidden(offer))
        else:
            shown.append(offer)
        announced = offer.lower() in _ANNOUNCING
    return value if shown == offers else b", ".join(shown)


def redact_head(raw: bytes) -> bytes:
    r"""`raw` without its secrets: credentials, cookies, tokens in the target, referrer or subprotocols.

    Each secret's place and length stay visible, so that a reader sees that one was sent; every line
    without one stays as it came.

    Example:
        >>> redact_head(b"GET /?token=abc HTTP/1.1\r\nCookie: a=b\r\n\r\n")
        b'GET /?token=[redacted-3-bytes] HTTP/1.1\r\nCookie: [redacted-3-bytes]\r\n\r\n'
    """
    harmless = _HARMLESS.fullmatch(raw)
    if harmless is not None:  # nearly every head: proved by one pass instead of a look at each line
        if harmless[1] is None:
            return raw
        target = raw[: harmless.end(1)]
        if redact_target(target) == target:
            return raw
    return _redact_lines(raw)


def _redact_lines(raw: bytes) -> bytes:
    """`redact_head`, whatever the head."""
    head, end, _ = raw.partition(_END)
    if head.count(b"\n") == head.count(b"\r\n"):
        lines = head.split(b"\r\n")
        _redact_in(lines)
        return b"\r\n".join(lines) + end
    # Servers take a bare LF for a line's end as well (RFC 9112 section 2.2).
    parts = _LINE_END.split(head)
    lines = parts[::2]
    _redact_in(lines)
    parts[::2] = lines
    return b"".join(parts) + end


def _redact_in(lines: list[bytes]) -> None:
    lines[0] = redact_target(lines[0])
    redaction: Callable[[bytes], bytes] = _keep
    for number in range(1, len(lines)):
        line = lines[number]
        if line.startswith((b" ", b"\t")):  # folded: it belongs to the field before it
            lines[number] = _apply(redaction, line)
            continue
        name, colon, value = line.partition(b":")
        redaction = _redaction(name if colon else b"")
        if redaction is not _keep:
            lines[number] = name + colon + _apply(redaction, value)


@lru_cache(maxsize=128)
def _redaction(name: bytes) -> Callable[[bytes], bytes]:
    """What takes the secrets out of a value of header `name`."""
    name = name.strip().lower()
    if name == b"sec-websocket-protocol":
        return _redact_protocols
    if name in {b"referer", b"location"}:
        return redact_target
    return _hidden if _SECRET_HEADER.search(name) else _keep


def _apply(redaction: Callable[[bytes], bytes], value: bytes) -> bytes:
    stripped = value.strip()
    redacted = redaction(stripped)
    return value if redacted == stripped else value[: len(value) - len(value.lstrip())] + redacted


def _keep(value: bytes) -> bytes:
    return value


def _hidden(value: bytes) -> bytes:
    return b"[redacted-%d-bytes]" % len(value)  # no space: a target must stay one word
