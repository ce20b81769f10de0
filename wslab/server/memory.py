"""Connections within this process: the protocol classes that serve sockets, at the end of a pipe.

What stands between a client and the application is the same as behind a listening socket: the tap, the
WebSocket implementation, the host with its policy. Only the bytes come from `wslab.session.pipe`. So
it works where no socket can be opened, and what is on the record is what a socket would have carried.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wslab.client.memory import MemoryClient
from wslab.server.protocol import VIA
from wslab.server.threads import carry
from wslab.session.pipe import connect_pipe

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Coroutine

    from uvicorn import Config
    from uvicorn.server import ServerState

    from wslab.errors import ConnectionClosed

__all__ = ["CarriedClient", "attach", "close_all"]

T = TypeVar("T")

_GRACE = 1.0  # seconds for close handshakes, then for cancelled endpoints: both ends are in this process


def attach(
    config: Config, state: ServerState, client: asyncio.Protocol, address: tuple[str, int], via: str
) -> None:
    """Serve `client` with what serves the sockets of a uvicorn server, in the running loop.

    Args:
        config: the server's, loaded.
        state: the server's.
        client: the client's protocol.
        address: host and port that the application is told it serves at.
        via: what the connection is labelled with: "memory" or "tunnel".
    """
    protocol: Any = cast("Any", config.http_protocol_class)(config=config, server_state=state, app_state={})
    # It is a client on this machine; a port it has not.
    extra = {"peername": ("127.0.0.1", 0), "sockname": address, VIA: via}
    connect_pipe(client, protocol, server_extra=extra)


async def close_all(state: ServerState) -> None:
    """Close every connection with 1012 (service restart), and end within about two seconds."""
    for connection in list(state.connections):
        connection.shutdown()
    await _settle(state.tasks)
    for task in list(state.tasks):
        task.cancel()
    await _settle(state.tasks)


async def _settle(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(list(tasks), timeout=_GRACE)


class CarriedClient(MemoryClient):
    """A client that lives in the lab's loop, for code that runs in another one.

    Args:
        client: the client itself.
        loop: where it lives.
    """

    def __init__(self, client: MemoryClient, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(client.url, client.subprotocol, client.key)
        self._client = client
        self._loop = loop
        self._turn = asyncio.Lock()
        self._receiving: concurrent.futures.Future[str | bytes] | None = None

    async def _there(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await `call()` in the client's loop; when it has ended that may be closed, and is not needed."""
        if self._client.closed is not None:
            return await call()
        return await carry(self._loop, call())

    async def send(self, message: str | bytes) -> None:
        """Send one message; see `Client.send`."""
        if isinstance(message, str | bytes | bytearray | memoryview):
            self._stamp()
        await self._there(lambda: self._client.send(message))

    async def _next(self) -> str | bytes:
        # A call that is given up must not take a message with it: what it asked for is the next call's.
        async with self._turn:
            if self._receiving is None or self._receiving.cancelled():
                if self._client.closed is not None:
                    return await self._client.receive()
                self._receiving = asyncio.run_coroutine_threadsafe(self._client.receive(), self._loop)
            try:
                message = await asyncio.shield(asyncio.wrap_future(self._receiving))
            except asyncio.CancelledError:
                raise
            except BaseException:
                self._receiving = None
                raise
            self._receiving = None
            return message

    async def _ping(self) -> float:
        return await self._there(lambda: self._client.ping(None))

    async def _close(self, code: int | None, reason: str) -> None:
        await self._there(lambda: self._client.close(code, reason))

    @property
    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, or None while it is open."""
        return self._client.closed

    @property
    def pending(self) -> int:
        """How many messages `receive` has at hand."""
        return self._client.pending

    def abort(self) -> None:
        """Cut the connection without a close frame: the server sees 1006."""
        if self._client.closed is None:
            self._loop.call_soon_threadsafe(self._client.abort)
