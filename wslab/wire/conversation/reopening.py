"""What a recorded opening request says once more, to another server.

Most of a request's head belongs to the day it was sent: the key, the host, what a browser and the proxies on
the way add. What is kept is what a program set on purpose. Secrets were taken out before the head was stored;
who replays it gives them again, and what is not given is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wslab.wire.handshake import Head

__all__ = ["LAB_PARAMETER", "Reopening", "reopening"]

LAB_PARAMETER = "lab_token"
"""The query parameter with a lab's own token: a replay has its own key to its own lab."""

_LAB_OFFER = "wslab.token."
_REDACTED = "[redacted-"  # how `wslab.wire.handshake` begins what stands for a secret
_NOT_KEPT = frozenset(
    {
        *(
            "host",
            "upgrade",
            "connection",
            "user-agent",
            "content-length",
            "content-type",
            "date",
            "te",
            "via",
        ),
        *("accept", "accept-encoding", "accept-language", "accept-charset", "cache-control", "pragma", "dnt"),
        *("priority", "referer", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"),
        *("x-forwarded-proto", "x-forwarded-context", "x-proxycontextpath", "x-real-ip", "x-scheme"),
        *("transfer-encoding", "trailer", "keep-alive", "proxy-connection", "expect"),
    }
)
"""Header fields that the client's library and the proxies on the way write."""


@dataclass(frozen=True, slots=True)
class Reopening:
    """A request to send again.

    Attributes:
        path: the target, query included, percent-encoded.
        subprotocols: offered.
        headers: names in lower case, and values.
        redacted: names of the headers and parameters whose values were not recorded, and not given.
    """

    path: str
    subprotocols: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    redacted: tuple[str, ...]


def reopening(request: Head, secrets: Mapping[str, str], *, origin: bool = False) -> Reopening:
    r"""What `request` says once more.

    Args:
        request: its head, redacted.
        secrets: values for what was taken out, by the name of the header or query parameter.
        origin: keep a browser's ``Origin``, too: the address of a page of that day. A program's stays.

    Example:
        >>> from wslab.wire import parse_head
        >>> head = parse_head(
        ...     b"GET /a?token=[redacted-3-bytes] HTTP/1.1\r\nHost: x\r\nX-Room: blue\r\n\r\n"
        ... )
        >>> reopening(head, {"token": "new"})
        Reopening(path='/a?token=new', subprotocols=(), headers=(('x-room', 'blue'),), redacted=())
    """
    given = {name.lower(): value for name, value in secrets.items()}
    redacted: list[str] = []
    path = _path(request.target, given, redacted)
    offers = _offers(request, given, redacted)
    headers = _headers(request, origin, given, redacted)
    return Reopening(path, offers, headers, tuple(dict.fromkeys(redacted)))


def _headers(
    request: Head, origin: bool, given: dict[str, str], redacted: list[str]
) -> tuple[tuple[str, str], ...]:
    kept: dict[str, str] = {}
    in_browser = request.get("user-agent").startswith("Mozilla/")
    for spelled, value in request.headers:
        name = spelled.lower()
        if not name or name in _NOT_KEPT or name.startswith("sec-"):
            continue
        if name == "origin" and in_browser and not origin:
            continue  # the page's address then: the application's rule for it belongs to that one
        if _REDACTED in value:
            if name not in given:
                redacted.append(name)
                continue
            value = given[name]  # noqa: PLW2901 - what was taken out is put back
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return tuple(kept.items())


def _offers(request: Head, given: dict[str, str], redacted: list[str]) -> tuple[str, ...]:
    name = "sec-websocket-protocol"
    value = ", ".join(value for key, value in request.headers if key.lower() == name)
    if _REDACTED in value and name in given:
        value = given[name]
    offers = [offer.strip() for offer in value.split(",") if offer.strip()]
    offers = [offer for offer in offers if not offer.startswith(_LAB_OFFER)]
    if any(_REDACTED in offer for offer in offers):
        redacted.append(name)
    return tuple(offer for offer in offers if _REDACTED not in offer)


def _path(target: str, given: dict[str, str], redacted: list[str]) -> str:
    if not target.startswith("/"):  # an absolute form, as to a proxy (RFC 9112 section 3.2.2)
        parts = urlsplit(target)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path, mark, query = target.partition("?")
    pairs = []
    for pair in query.split("&"):
        spelled, equals, value = pair.partition("=")
        name = unquote_plus(spelled)
        if name == LAB_PARAMETER:
            continue
        if _REDACTED in value:
            if name.lower() in given:
                value = quote(given[name.lower()], safe="")
            else:
                redacted.append(name)
                value = "redacted"
        pairs.append(f"{spelled}{equals}{value}")
    shown = path + (f"{mark}{'&'.join(pairs)}" if pairs and mark else "")
    return quote(shown, safe="%/:?&=+,;@!$'()*[]~", encoding="latin-1", errors="replace")
