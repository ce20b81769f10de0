"""Opening a raw client's connection, with the right handshake or a wrong one."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from wslab.client.client import BODY_SHOWN, Connecting, too_slow
from wslab.client.raw import RawClient
from wslab.client.raw_handshake import SWITCHING_PROTOCOLS
from wslab.errors import ConnectionRefused, OptionError
from wslab.wire.heads import HandshakeError
from wslab.wire.opening_client import client_request, read_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from wslab.client.raw_handshake import RawResponse

__all__ = ["connect_raw", "open_raw"]

_PORTS = {"ws": 80, "wss": 443}
_TARGET_SAFE = "/?%:@!$&'()*+,;=-._~"


def connect_raw(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    request: bytes | Callable[[bytes], bytes] | None = None,
    auto_pong: bool = False,
) -> Connecting[RawClient]:
    """Open a connection to `url` that carries what it is told; what ``connect(url, raw=True)`` does.

    Args:
        url: ``ws://…`` or ``wss://…``.
        subprotocols: offered, most wanted first.
        headers: further request headers.
        timeout: seconds until the handshake must be answered.
        request: bytes to send instead of the opening request, or what makes them from the right ones. The
            answer is not checked then, and a refusal is no exception: look at `RawClient.response`.
        auto_pong: answer pings, so that a server does not take the client for dead.

    Raises:
        ConnectionRefused: (when awaited) the server answered with another status than 101.
        HandshakeError: (when awaited) its answer was no WebSocket's.
        OptionError: (when awaited) that is no WebSocket's address.
        ResponseError: (when awaited) the request cannot be written that way; `request` can.
        WaitTimeoutError: (when awaited) no answer came in time.
        OSError: (when awaited) nothing listens there.
    """

    async def make() -> RawClient:
        host, port, authority, target = _read_url(url)

        async def attach(client: RawClient) -> None:
            loop = asyncio.get_running_loop()
            secure = True if urlsplit(url).scheme == "wss" else None
            await loop.create_connection(lambda: client, host, port, ssl=secure)

        return await open_raw(
            attach,
            url,
            authority,
            target,
            subprotocols=subprotocols,
            headers=headers,
            timeout=timeout,
            request=request,
            auto_pong=auto_pong,
        )

    return Connecting(make)


def _read_url(url: str) -> tuple[str, int, str, str]:
    """Host, port, the ``Host`` field and the request's target."""
    try:
        parts = urlsplit(url)
        usual = _PORTS.get(parts.scheme, 0)
        host, port = parts.hostname or "", parts.port or usual
    except ValueError:
        parts, usual, host, port = urlsplit(""), 0, "", 0
    if not host or not usual:
        raise OptionError(
            f"Expected an address such as 'ws://127.0.0.1:8000/path', got {url.partition('?')[0]!r:.80}.",
            remedy="Begin with ws:// or wss://; lab.url(path) has a lab's.",
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, port, parts.netloc.rpartition("@")[2], quote(target, safe=_TARGET_SAFE)


async def open_raw(
    attach: Callable[[RawClient], Awaitable[None]],
    url: str,
    authority: str,
    target: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    request: bytes | Callable[[bytes], bytes] | None = None,
    auto_pong: bool = False,
) -> RawClient:
    """Open a connection over the transport that `attach` gives the client; see `connect_raw`.

    Args:
        attach: connects the client to a server, in the running loop.
        url: what the client shows as its address.
        authority: the ``Host`` field.
        target: path and query of the request.
        subprotocols: as in `connect_raw`, like all that follow.
        headers: see there.
        timeout: see there.
        request: see there.
        auto_pong: see there.
    """
    key = base64.b64encode(secrets.token_bytes(16))
    offered = list(subprotocols)
    if isinstance(request, bytes):
        sent = request
    else:
        fields = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()
        ]
        right = client_request(authority, target, key, subprotocols=offered, headers=fields)
        sent = right if request is None else request(right)
    client = RawClient(url, sent, auto_pong=auto_pong)
    attached = False
    try:
        async with asyncio.timeout(timeout):
            await attach(client)
            attached = True
            await asyncio.shield(client.answered)  # what comes later is still to be read
    except TimeoutError:
        if request is None or not client.answer_so_far():
            if attached:
                client.abort()
            raise too_slow(timeout) from None
    except asyncio.CancelledError:
        if attached:
            client.abort()
        raise
    if request is None:
        try:
            _check(client.response, key, offered)
        except Exception:
            client.abort()
            raise
    return client


def _check(response: RawResponse, key: bytes, offered: list[str]) -> None:
    if not response.raw:
        raise HandshakeError(0, "Expected an answer to the opening request, the server ended without one.")
    if response.status and response.status != SWITCHING_PROTOCOLS:
        raise ConnectionRefused(
            response.status,
            response.text[:BODY_SHOWN],
            remedy="With request= a refusal is no error: look at client.response.",
        )
    read_response(response.raw, key, subprotocols=offered)
