"""The opening handshake explained, header by header (RFC 6455 sections 1.3, 4 and 9; RFC 7692)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from wslab.wire.explain.explanation import Explanation, Field
from wslab.wire.extensions import ExtensionSyntaxError, parse_extensions
from wslab.wire.handshake import GUID, Head, accept_key

if TYPE_CHECKING:
    from wslab.wire.connection import Connection

__all__ = ["explain_handshake"]

_REQUEST, _RESPONSE = "RFC 6455 section 4.2.1", "RFC 6455 section 4.2.2"
_EXTENSIONS = "RFC 6455 section 9.1"
_SWITCHING = 101
_KEY_BYTES = 16

_PROXY = "What a proxy says of the connection before it; anybody can write it: only a known proxy's counts."
_HEADERS = {
    "host": ("The host, and port, that the client connected to.", "RFC 9110 section 7.2"),
    "origin": ("The page whose script opened this. Browsers always tell; others may say anything.", "10.2"),
    "sec-websocket-protocol": (
        "Subprotocols that the client offers, of which the server takes one.",
        "1.9",
    ),
    "sec-websocket-key": ("16 random bytes in base64: no secret, it proves that the server heard.", "11.3.1"),
    "sec-websocket-accept": ("The server's proof that it read the key.", "11.3.3"),
    "cookie": ("The browser's cookies for this host; taken out before anything was recorded.", "10.5"),
    "authorization": ("Credentials; taken out before anything was recorded.", "10.5"),
    "user-agent": ("The client's software, as it says.", "RFC 9110 section 10.1.5"),
    "x-forwarded-for": (_PROXY, ""),
    "x-forwarded-host": (_PROXY, ""),
    "x-forwarded-port": (_PROXY, ""),
    "x-forwarded-proto": (_PROXY, ""),
    "x-forwarded-context": (_PROXY, ""),
    "x-proxycontextpath": (_PROXY, ""),
    "x-real-ip": (_PROXY, ""),
    "forwarded": (_PROXY, "RFC 7239"),
    "via": ("The proxies that passed this on.", "RFC 9110 section 7.6.3"),
}
_PARAMETERS = {
    "server_no_context_takeover": "the server forgets its window after each message",
    "client_no_context_takeover": "the client forgets its window after each message",
    "server_max_window_bits": "the server's window has at most 2 to the power of this many bytes",
    "client_max_window_bits": "the client's window has at most 2 to the power of this many bytes",
}
_NEEDED = ("host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version")
_ANSWERED = ("upgrade", "connection", "sec-websocket-accept")


def explain_handshake(connection: Connection) -> Explanation:
    r"""Request and response of `connection`, as they were on the wire.

    Example:
        >>> from wslab.wire import Connection, Recorder
        >>> connection = Connection(1, "", Recorder())
        >>> connection.request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        >>> explained = explain_handshake(connection)
        >>> [child.title for child in explained.children]
        ['Request', 'From key to accept']
        >>> explained.children[1].fields[-1].raw
        's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    if not connection.request:
        return Explanation("Handshake: no request was recorded")
    request, response = connection.request_head, connection.response_head
    key = request.get("sec-websocket-key")
    children = [Explanation("Request", tuple(_request(request)))]
    if key:
        children.append(_accepting(key))
    if connection.response:
        children.append(Explanation("Response", tuple(_response(connection, request, response))))
    status = response.status
    outcome = "not answered yet" if not status else "accepted" if status == _SWITCHING else "refused"
    return Explanation(f"Handshake of {connection.id}: {outcome}", (), tuple(children))


def _request(head: Head) -> list[Field]:
    good = head.start_line.startswith("GET ") and head.start_line.rpartition(" ")[2].startswith("HTTP/1.1")
    said = "A GET of HTTP/1.1" + ("." if good else " is what a handshake begins with, and this is not one.")
    fields = [Field("request line", None, head.start_line, said, _REQUEST)]
    for name, value in head.headers:
        field = _header(name, value)
        if name.lower() == "origin":
            field = replace(field, meaning=f"{field.meaning} {_compare(value, head.get('host'))}")
        fields.append(field)
    return fields + _missing(head, _NEEDED, _REQUEST)


def _compare(origin: str, host: str) -> str:
    """Whether a page's own host is the one it connects to: a server's first look at an Origin."""
    if origin.partition("://")[2].lower() == host.lower():
        return "It is of the host in Host."
    return "It is of another host than Host says: the server decides whether that may be."


def _missing(head: Head, names: tuple[str, ...], section: str) -> list[Field]:
    present = {name.lower() for name, _ in head.headers}
    said = "Required, and not there."
    return [Field(name, None, "", said, section) for name in names if name not in present]


def _header(name: str, value: str) -> Field:
    lowered = name.lower()
    if not name:
        return Field("", None, value, "Not a header: there is no colon.", "RFC 9112 section 5")
    words = {word.strip().lower() for word in value.split(",")}
    if lowered in {"upgrade", "connection"}:
        wanted = "websocket" if lowered == "upgrade" else "upgrade"
        said = "Asks for, or agrees to, another protocol on this connection."
        return Field(name, None, value, said if wanted in words else f"Must name '{wanted}'.", _REQUEST)
    if lowered == "sec-websocket-version":
        said = "The version of RFC 6455." if "13" in words else "Must be 13, the version of RFC 6455."
        return Field(name, None, value, said, "RFC 6455 section 4.4")
    if lowered == "sec-websocket-extensions":
        return Field(name, None, value, _extensions(value), _EXTENSIONS)
    meaning, section = _HEADERS.get(lowered, ("Not the handshake's own: for the application.", ""))
    if section and section[0].isdigit():
        section = f"RFC 6455 section {section}"
    return Field(name, None, value, meaning, section)


def _extensions(value: str) -> str:
    try:
        extensions = parse_extensions(value)
    except ExtensionSyntaxError as error:
        return error.problem
    said = []
    for name, parameters in extensions:
        known = name == "permessage-deflate"
        what = "compresses each message (RFC 7692)" if known else "an extension that is not known here"
        words = [_PARAMETERS.get(parameter, "not known here") for parameter, _ in parameters]
        details = [
            f"{parameter}{'' if given is None else f'={given}'}: {word}"
            for (parameter, given), word in zip(parameters, words, strict=True)
        ]
        said.append("; ".join([f"{name}: {what}", *details]))
    return ". ".join(said) + "."


def _accepting(key: str) -> Explanation:
    """`Sec-WebSocket-Accept` step by step (section 4.2.2)."""
    try:
        length = len(binascii.a2b_base64(key.encode("latin-1", "replace"), strict_mode=True))
        said = f"{length} bytes in base64" + ("." if length == _KEY_BYTES else f"; must be {_KEY_BYTES}.")
    except binascii.Error:
        said = f"Not base64; must be {_KEY_BYTES} bytes in base64."
    joined = key.encode("latin-1", "replace") + GUID
    digest = hashlib.sha1(joined, usedforsecurity=False).digest()
    guid = "The GUID of RFC 6455, which nobody who does not know WebSocket would append."
    sha1 = "SHA-1 of that, 20 bytes. Nothing is kept secret by it, so that SHA-1 is weak does not matter."
    return Explanation(
        "From key to accept",
        (
            Field("key", None, key, said, _REQUEST),
            Field("key + GUID", None, joined.decode("latin-1"), guid, "RFC 6455 section 1.3"),
            Field("SHA-1", None, digest.hex(" "), sha1, _RESPONSE),
            Field("base64", None, base64.b64encode(digest).decode(), "What Accept must be.", _RESPONSE),
        ),
    )


def _response(connection: Connection, request: Head, response: Head) -> list[Field]:
    status = response.status
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "not a registered status"
    if status == _SWITCHING:
        said = f"{phrase}: from here on, both sides speak WebSocket."
    else:
        said = f"{phrase}: the handshake is refused, and this stays HTTP."
    fields = [Field("status line", None, response.start_line, said, _RESPONSE)]
    if connection.refusal:
        fields.append(Field("refused because", None, "", connection.refusal))
    if connection.remedy:
        fields.append(Field("what would work", None, "", connection.remedy))
    for name, value in response.headers:
        lowered = name.lower()
        if lowered == "sec-websocket-accept":
            right = value == accept_key(request.get("sec-websocket-key").encode("latin-1", "replace"))
            said = "Fits the key." if right else "Does not fit the key: the client must fail the connection."
            fields.append(Field(name, None, value, said, "RFC 6455 section 4.1"))
        elif lowered == "sec-websocket-protocol":
            offers = [
                offer.strip()
                for key, offered in request.headers
                if key.lower() == lowered
                for offer in offered.split(",")
            ]
            said = "Chosen of those offered." if value in offers else "Was not offered: the client must fail."
            fields.append(Field(name, None, value, said, "RFC 6455 section 4.1"))
        else:
            fields.append(_header(name, value))
    return fields + (_missing(response, _ANSWERED, _RESPONSE) if status == _SWITCHING else [])
