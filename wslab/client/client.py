"""A WebSocket client for cells, awaited in the same loop that serves.

`Client` is the face, with what a lesson needs: `receive` that never loses a message to its time-out, and
an end that says who closed first and with which code. `SocketClient` is one over a real socket and stands
on the `websockets` library; `wslab.client.memory` has one without a socket.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar, overload

import websockets.asyncio.client
from websockets import exceptions

from wslab.errors import ConnectionClosed, ConnectionRefused, OptionError, WaitTimeoutError, WSLabError
from wslab.wire.close_codes import check_close

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
    from types import TracebackType

    from wslab.client.raw import RawClient

__all__ = [
    "BODY_SHOWN",
    "CLOSE_TIMEOUT",
    "Client",
    "Connecting",
    "SocketClient",
    "check_raw",
    "connect",
    "too_slow",
]

BODY_SHOWN = 2000
"""Bytes of a refusal's body that are kept."""

CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the answer to our close frame; then the connection is cut."""

_STAMPS = 65_536
"""Messages that may be under way to the server before their times are noted no longer."""

_NORMAL_ENDS = frozenset({1000, 1001})


class Client(ABC):
    """An open connection, seen from the client. Made by `connect` or `lab.connect`.

    Attributes:
        url: where it is connected to.
        subprotocol: what the server chose; "" for none.
        key: the handshake's ``Sec-WebSocket-Key``, by which a server knows this client among others.
        stamps: where each message's time of sending is put, in nanoseconds since the epoch, for a recorder
            that takes them out as the messages arrive; None where nobody asks.
    """

    def __init__(self, url: str, subprotocol: str, key: str = "") -> None:
        self.url = url
        self.subprotocol = subprotocol
        self.key = key
        self.stamps: deque[int] | None = None

    def _stamp(self) -> None:
        """A message is about to be sent."""
        if self.stamps is not None:
            self.stamps.append(time.time_ns())
            if len(self.stamps) > _STAMPS:  # nobody reads them: those that wait stay right, no more come
                self.stamps = None

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Send one message: str as text, bytes as binary.

        Returning means that the bytes were taken to be sent, not that they arrived.

        Raises:
            ConnectionClosed: the connection has ended.
        """

    async def send_json(self, value: Any) -> None:
        """Send `value` as JSON text."""
        await self.send(json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    async def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Args:
            timeout: seconds to wait at most; the message that comes later is not lost, it is what the
                next call returns.

        Raises:
            ConnectionClosed: the connection has ended, and every message before that was received.
            WaitTimeoutError: nothing came in time.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._next()
        except TimeoutError:
            raise WaitTimeoutError(
                f"Expected a message within {timeout} s, none came.",
                remedy="Look at lab.frames for what was sent, and at the endpoint for what it waits for.",
            ) from None

    async def receive_json(self, timeout: float | None = None) -> Any:
        """The next message, parsed as JSON.

        Raises:
            json.JSONDecodeError: it is not JSON.
        """
        return json.loads(await self.receive(timeout))

    async def ping(self, timeout: float | None = 5.0) -> float:
        """Send a ping and wait for its pong (RFC 6455 section 5.5.2); the round trip in seconds.

        Raises:
            ConnectionClosed: the connection has ended.
            WaitTimeoutError: no pong came in time.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._ping()
        except TimeoutError:
            raise WaitTimeoutError(f"Expected a pong within {timeout} s, none came.") from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame and wait for the answer. Harmless when the connection has ended.

        Args:
            code: 1000, 1001, 1003, 1007–1014 or 3000–4999 (RFC 6455 section 7.4).
            reason: at most 123 bytes of UTF-8.

        Raises:
            WSLabError: a close frame cannot carry that.
        """
        problem = check_close(code, reason)
        if problem:
            raise WSLabError(problem)
        await self._close(code, reason)

    @property
    @abstractmethod
    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, or None while it is open."""

    # -- for the two kinds of clients --------------------------------------------------------------
    @abstractmethod
    async def _next(self) -> str | bytes:
        """The next message; one that is waited for in vain must not be lost.

        Raises:
            ConnectionClosed: there is none any more.
        """

    @abstractmethod
    async def _ping(self) -> float:
        """The round trip of a ping, in seconds.

        Raises:
            ConnectionClosed: the connection has ended.
        """

    @abstractmethod
    async def _close(self, code: int, reason: str) -> None:
        """Close, with a code and a reason that were checked."""

    # -- conveniences ------------------------------------------------------------------------------
    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[str | bytes]:
        while True:
            try:
                message = await self.receive()
            except ConnectionClosed as error:
                if error.code in _NORMAL_ENDS:
                    return
                raise
            yield message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        closed = self.closed
        state = f"closed {closed.code} by {closed.by or 'nobody'}" if closed else "open"
        return f"<Client {self.url.partition('?')[0]} {state}>"


class _Closing(Protocol):
    """What `Connecting` needs of a client."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closing)


class SocketClient(Client):
    """A client over a real socket."""

    def __init__(self, url: str, connection: websockets.asyncio.client.ClientConnection) -> None:
        request = connection.request
        key = request.headers.get("Sec-WebSocket-Key", "") if request is not None else ""
        super().__init__(url, str(connection.subprotocol or ""), key)
        self._connection = connection

    async def send(self, message: str | bytes) -> None:
        """Send one message; see `Client.send`."""
        # encoded here: websockets gives up the connection over a lone surrogate
        data = message.encode() if isinstance(message, str) else message
        if isinstance(data, bytes | bytearray | memoryview):
            self._stamp()
        try:
            await self._connection.send(data, text=isinstance(message, str))
        except exceptions.ConnectionClosed as error:
            raise _closed(error) from None

    async def _next(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except exceptions.ConnectionClosed as error:
            raise _closed(error) from None

    async def _ping(self) -> float:
        try:
            return float(await (await self._connection.ping()))
        except exceptions.ConnectionClosed as error:
            raise _closed(error) from None

    async def _close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    @property
    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, or None while it is open."""
        connection = self._connection
        if connection.close_code is None:
            return None
        protocol = connection.protocol
        return _closed(protocol.close_exc)


class Connecting(Generic[C]):
    """What `connect` returns: ``await`` it, or use it with ``async with``."""

    def __init__(self, make: Callable[[], Awaitable[C]]) -> None:
        self._make = make
        self._client: C | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._make().__await__()

    async def open(self) -> C:
        """The same as a coroutine, for whoever needs one."""
        return await self._make()

    async def __aenter__(self) -> C:
        self._client = await self._make()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.close()


@overload
def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = ...,
    headers: Mapping[str, str] | None = ...,
    timeout: float = ...,
    raw: Literal[False] = ...,
) -> Connecting[Client]: ...


@overload
def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = ...,
    headers: Mapping[str, str] | None = ...,
    timeout: float = ...,
    raw: Literal[True],
    request: bytes | Callable[[bytes], bytes] | None = ...,
    auto_pong: bool = ...,
) -> Connecting[RawClient]: ...


def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    raw: bool = False,
    request: bytes | Callable[[bytes], bytes] | None = None,
    auto_pong: bool = False,
) -> Connecting[Client] | Connecting[RawClient]:
    """Open a connection to `url`.

    Args:
        url: ``ws://…`` or ``wss://…``.
        subprotocols: offered, most wanted first.
        headers: further request headers, which a browser could not set.
        timeout: seconds the opening handshake may take.
        raw: give a `wslab.client.raw.RawClient`, which sends exactly the bytes it is told.
        request: with `raw`, what to send instead of the opening request; see
            `wslab.client.raw_opening.connect_raw`.
        auto_pong: with `raw`, answer pings all the same.

    Raises:
        ConnectionRefused: (when awaited) the server answered with another status than 101.
        OptionError: `request` or `auto_pong` without `raw`.
        WaitTimeoutError: (when awaited) the handshake took too long.
        OSError: (when awaited) nothing listens there.
    """
    check_raw(raw=raw, request=request, auto_pong=auto_pong)
    if raw:
        from wslab.client.raw_opening import connect_raw  # it stands on this module

        return connect_raw(
            url,
            subprotocols=subprotocols,
            headers=headers,
            timeout=timeout,
            request=request,
            auto_pong=auto_pong,
        )
    return Connecting(lambda: _open(url, subprotocols, headers, timeout))


def check_raw(*, raw: bool, request: object, auto_pong: bool) -> None:
    """Refuse what only a raw client can do of one that is none.

    Raises:
        OptionError: naming the option.
    """
    if not raw and (request is not None or auto_pong):
        name = "auto_pong" if request is None else "request"
        raise OptionError(f"Expected {name}= with raw=True, got it without.", remedy="Add raw=True.")


async def _open(
    url: str, subprotocols: Sequence[str], headers: Mapping[str, str] | None, timeout: float
) -> Client:
    offered = [websockets.Subprotocol(name) for name in subprotocols] or None
    try:
        connection = await websockets.asyncio.client.connect(
            url,
            subprotocols=offered,
            additional_headers=headers,
            compression=None,  # a lesson's frames should be readable; deflate is a lesson of its own
            proxy=None,  # HTTP_PROXY must not carry a connection to this machine elsewhere
            ping_interval=None,  # the server pings; a second heartbeat would clutter the record
            open_timeout=timeout,
            close_timeout=CLOSE_TIMEOUT,
            max_size=None,
        )
    except exceptions.InvalidStatus as error:
        body = (error.response.body or b"")[:BODY_SHOWN].decode("utf-8", "replace")
        raise ConnectionRefused(error.response.status_code, body) from None
    except TimeoutError:
        raise too_slow(timeout) from None
    return SocketClient(url, connection)


def too_slow(timeout: float) -> WaitTimeoutError:
    """The error for a handshake that took longer than `timeout` seconds."""
    return WaitTimeoutError(
        f"Expected the opening handshake within {timeout} s, it did not end.",
        remedy="A blocked cell or endpoint holds the loop that should answer.",
    )


def _closed(error: exceptions.ConnectionClosed) -> ConnectionClosed:
    received, sent = error.rcvd, error.sent
    if received is None:
        return ConnectionClosed(1006, "", "client" if sent is not None else "")
    by = "server" if sent is None or error.rcvd_then_sent else "client"
    return ConnectionClosed(received.code, received.reason, by)
