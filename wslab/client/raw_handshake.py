"""The opening handshake of a raw client: both heads as they were on the wire, and where an answer ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wslab.wire.handshake import Head, parse_head
from wslab.wire.heads import show_line

__all__ = ["SWITCHING_PROTOCOLS", "RawHandshake", "RawResponse", "body_length", "first_line"]

SWITCHING_PROTOCOLS = 101
"""The status that agrees to a WebSocket; frames follow its head (RFC 6455 section 4.2.2)."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RawResponse:
    r"""The answer to the opening request.

    Attributes:
        raw: its head as it came, with the empty line; what came instead where the server ended without one.
        body: the bytes after it that belong to it; b"" where it is 101.

    Example:
        >>> response = RawResponse(b"HTTP/1.1 403 Forbidden\r\n\r\n", b"No.")
        >>> response
        <RawResponse 'HTTP/1.1 403 Forbidden', 3 bytes of body>
        >>> response.status, response.text
        (403, 'No.')
    """

    raw: bytes
    body: bytes = b""

    @property
    def head(self) -> Head:
        """The first line and the header fields."""
        return parse_head(self.raw)

    @property
    def status(self) -> int:
        """The HTTP status; 0 where the server gave none."""
        return self.head.status

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 show as the replacement character."""
        return self.body.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"<RawResponse {first_line(self.raw)}, {len(self.body)} bytes of body>"


@dataclass(frozen=True, slots=True)
class RawHandshake:
    """Both halves of the opening handshake (RFC 6455 section 4).

    Attributes:
        request: the bytes that were sent, secrets included.
        response: what was answered.
    """

    request: bytes
    response: RawResponse

    @property
    def request_head(self) -> Head:
        """The request's first line and header fields."""
        return parse_head(self.request)

    @property
    def response_head(self) -> Head:
        """The response's first line and header fields."""
        return self.response.head

    def __repr__(self) -> str:
        return f"<RawHandshake {first_line(self.request)} answered {first_line(self.response.raw)}>"


def first_line(raw: bytes) -> str:
    """The first line of a head, as a short piece of ASCII without the secrets in it."""
    return show_line(raw.partition(b"\r\n")[0])


def body_length(head: bytes, rest: bytes) -> int:
    """How long the body of the answer with `head` is; more than `rest` where that is not known yet."""
    match = _LENGTH.search(head)
    if match:
        return int(match[1])
    last = rest.find(b"0\r\n\r\n") if _CHUNKED.search(head) else -1
    return last + 5 if last >= 0 else len(rest) + 1
