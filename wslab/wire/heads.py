"""Heads of HTTP/1.1 messages, strictly: their fields as bytes, and bytes as fields (RFC 9112, RFC 9110)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wslab.errors import WSLabError
from wslab.wire.extensions import ExtensionSyntaxError, parse_extensions
from wslab.wire.handshake import redact_target

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "HANDSHAKE_HEADERS",
    "HOST",
    "TOKEN",
    "TOKEN_TEXT",
    "VISIBLE",
    "HandshakeError",
    "RawHeaders",
    "ResponseError",
    "check_extensions",
    "encode_fields",
    "read_fields",
    "read_words",
    "show_line",
]

RawHeaders = list[tuple[bytes, bytes]]

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The bytes of a token (RFC 9110 section 5.6.2); `bytes.translate(None, TOKEN)` leaves what is none."""

TOKEN_TEXT = TOKEN.decode("ascii")
"""The same as text."""

HOST = TOKEN.translate(None, b"#^`|") + b"(),;=:[]"
"""The bytes of a host and its port (RFC 3986 section 3.2.2)."""

VISIBLE = bytes(range(0x21, 0x7F))
"""Visible ASCII."""

HANDSHAKE_HEADERS = frozenset(
    {
        *(b"connection", b"upgrade", b"content-length", b"transfer-encoding", b"host"),
        *(b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key"),
        *(b"sec-websocket-protocol", b"sec-websocket-version"),
    }
)
"""What the handshake itself writes, and nobody else."""

_NO_CONTROL = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 section 5.5
_ONCE = frozenset(
    {
        *(b"host", b"origin", b"content-length", b"transfer-encoding"),
        *(b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-accept"),
    }
)


_COMMON = {
    word: word
    for word in (
        *(b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version", b"origin"),
        *(b"sec-websocket-extensions", b"sec-websocket-protocol", b"user-agent", b"pragma", b"cookie"),
        *(b"cache-control", b"accept-encoding", b"accept-language", b"Upgrade", b"websocket", b"13"),
        *(b"permessage-deflate; client_max_window_bits", b"gzip, deflate, br, zstd", b"no-cache"),
    )
}
"""Names and values that nearly every request has: kept once, not once for every open connection."""


class HandshakeError(WSLabError):
    """A head that breaks the rules of the opening handshake.

    Attributes:
        status: what a server answers; in a response that a client reads, the status it had, 0 for none.
        reason: what was expected, what came, and what to do, as sentences for the answer's body.
        headers: fields that the answer must have, such as ``Sec-WebSocket-Version`` beside 426.

    Example:
        >>> error = HandshakeError(405, "Expected GET, got 'PUT'.", headers=[(b"allow", b"GET")])
        >>> error.status, error.reason
        (405, "Expected GET, got 'PUT'.")
    """

    def __init__(
        self, status: int, problem: str, remedy: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.status = status
        self.reason = str(self)
        self.headers = list(headers)


class ResponseError(WSLabError, ValueError):
    """An answer or a request that must not be written: it would break the handshake or become another."""


def read_fields(head: bytes, status: int) -> tuple[bytes, RawHeaders, dict[bytes, bytes]]:
    """First line, fields, and fields by name: lists joined with a comma (RFC 9110 section 5.3)."""
    lines = head.split(b"\r\n")
    if head.translate(None, _NO_CONTROL) != b"\r\n" * (len(lines) - 1):
        raise HandshakeError(
            status,
            f"Expected lines that end with CR LF, without control characters, got {_first_control(lines)}.",
            "End lines with CR LF, and percent-encode control characters (RFC 9112 section 2.2).",
        )
    if lines[-2:] != [b"", b""]:
        raise HandshakeError(
            status, "Expected a head that ends with an empty line.", "Send CR LF CR LF last."
        )
    headers: RawHeaders = []
    names = []
    for line in lines[1:-2]:
        name, colon, value = line.partition(b":")
        if not colon or not name:
            raise _bad_field(status, lines, line)
        name = name.lower()
        name = _COMMON.get(name, name)
        value = value.strip(b" \t")
        names.append(name)
        headers.append((name, _COMMON.get(value, value)))
    if b"".join(names).translate(None, TOKEN):
        bad = next(line for line in lines[1:-2] if line.partition(b":")[0].translate(None, TOKEN))
        raise _bad_field(status, lines, bad)
    fields = dict(headers)
    if len(fields) != len(headers):
        fields = _join_fields(headers, status)
    return lines[0], headers, fields


def _join_fields(headers: RawHeaders, status: int) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in fields:
            fields[name] = value
        elif name in _ONCE:
            shown = name.decode("ascii")
            raise HandshakeError(status, f"Expected the header {shown} once, got it again.", "Send it once.")
        else:
            fields[name] += b", " + value
    return fields


def _first_control(lines: list[bytes]) -> str:
    for line in lines:
        controls = line.translate(None, _NO_CONTROL)
        if controls:
            return f"{controls[:1]!r} in {_place(lines, line)}"
    return "none"


def _bad_field(status: int, lines: list[bytes], line: bytes) -> HandshakeError:
    place = _place(lines, line)
    if line[:1] in {b" ", b"\t"}:
        problem = f"Expected each header on one line, got a folded one: {place} begins with a space."
        return HandshakeError(status, problem, "Write the value on one line (RFC 9112 section 5.2).")
    name, colon, _ = line.partition(b":")
    if not colon or not name:
        problem = f"Expected 'name: value' in each header, got no {'name' if colon else 'colon'} in {place}."
        return HandshakeError(status, problem, "Write a name, a colon and the value on one line.")
    wrong = name.rstrip(b" \t").translate(None, TOKEN)
    if wrong:
        problem = f"Expected a token before the colon of a header, got {wrong[:1]!r} in {place}."
        return HandshakeError(status, problem, "Use letters, digits and hyphens (RFC 9110 section 5.1).")
    problem = f"Expected the colon right after a header's name, got a space in {place}."
    return HandshakeError(status, problem, "Take the space away (RFC 9112 section 5.1).")


def _place(lines: list[bytes], line: bytes) -> str:
    """Where `line` is. It is not shown itself: a header that is malformed may be a secret all the same."""
    return f"line {lines.index(line) + 1}"


def show_line(raw: bytes) -> str:
    """A first line, or a part of one, as a short piece of ASCII without the secrets in its target.

    Example:
        >>> show_line(b"GET /?token=abc HTTP/1.0")
        "'GET /?token=[redacted-3-bytes] HTTP/1.0'"
    """
    return repr(redact_target(raw)[:80])[1:]


def read_words(fields: dict[bytes, bytes], name: bytes) -> list[bytes]:
    """The words of a header that is a list, in lower case; ``[b""]`` where there is none."""
    return [word.strip(b" \t") for word in fields.get(name, b"").lower().split(b",")]


def check_extensions(value: str, status: int) -> str:
    """`value`, the extensions in a head, after a look at its grammar.

    Raises:
        HandshakeError: it breaks the grammar: section 9.1 of RFC 6455 has the handshake fail then.
    """
    if value:
        try:
            parse_extensions(value)
        except ExtensionSyntaxError as error:
            raise HandshakeError(status, error.problem, error.remedy) from None
    return value


def encode_fields(headers: Iterable[tuple[bytes, bytes]], refused: frozenset[bytes]) -> bytes:
    r"""`headers` as the lines of a head.

    Args:
        headers: names and values.
        refused: names, in lower case, that may not be among them.

    Raises:
        ResponseError: naming the header that is refused, or that could become another one.

    Example:
        >>> encode_fields([(b"X-Room", b"blue")], frozenset())
        b'X-Room: blue\r\n'
    """
    lines = []
    for name, value in headers:
        if not name or name.translate(None, TOKEN):
            raise ResponseError(
                f"Expected a token as a header's name, got {name!r:.80}.", remedy="Rename it."
            )
        if value.translate(None, _NO_CONTROL):
            raise ResponseError(
                f"Expected the header {name.decode('ascii')} without line breaks and control characters.",
                remedy="Percent-encode its value: a line break would begin another header.",
            )
        if name.lower() in refused:
            raise ResponseError(
                f"Expected headers beside those of the handshake, got {name.decode('ascii')}.",
                remedy="Leave it out; a subprotocol is chosen with accept(subprotocol=…).",
            )
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)
