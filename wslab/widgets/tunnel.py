"""WebSocket connections through a widget's own comm, for pages that can reach no port of the kernel.

Theory of operation. A comm carries messages and no frames. So the page's half (`static/tunnel.js`)
sends the messages of its socket, and the kernel's half opens a connection with the lab's own engine over
an in-process pipe, as ``lab.connect(via="memory")`` does, and hands messages from one to the other.
The server sees frames, a handshake, a subprotocol and close codes as on any socket, and records them; the
connection is labelled "tunnel". Two things differ from a socket of the page's own, and
`wslab.wire.ways.alterations` says so: the frames are made in the kernel, and pings are answered there.

The page is trusted: what it sends comes through Jupyter's own, authenticated channel, and whoever may
send there may run code in the kernel. Policy is decided on the same header fields as for a program on
this machine, with the lab's token where every client needs one.

Flow control goes both ways, and each way is bounded. At most `WINDOW` bytes are on their way
unacknowledged: the page queues what is more (its ``bufferedAmount``), and the kernel stops receiving from
the pipe, which the endpoint feels. Jupyter's server drops messages above 1000 a second without a word:
so messages that are ready at the same time go in one batch, batches are paced (`Pace`), and they are
numbered; a page that misses one ends the connection with 1006. A page that says nothing for three
beats is taken for gone, and its connection is cut.

Protocol; all have ``"t": "tunnel"`` and ``"id"``, a number the page draws at random:

==================  ===========================================================================
page → kernel
==================  ===========================================================================
``open``            ``path`` with query, ``protocols``
``send``            ``n`` counts from 1; ``text``, or one buffer
``close``           ``code`` (or null) and ``reason``
``got``             batches up to ``n`` have arrived
``beat``            answers a beat
``abort``           the page lost something: cut the connection
------------------  ---------------------------------------------------------------------------
kernel → page
``open``            the handshake is done; ``protocol``
``refused``         it was answered with ``status`` (0: with nothing); ``reason``
``data``            ``n`` counts from 1; ``messages``: text, or null for the next buffer
``got``             messages up to ``n`` were sent on
``beat``            to be answered
``close``           the end, after batch ``n``: ``code``, ``reason``
==================  ===========================================================================
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from wslab.errors import ConnectionClosed, ConnectionRefused, WSLabError
from wslab.wire.close_codes import check_close

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from wslab.client.memory import MemoryClient

__all__ = ["ACK_BYTES", "ACK_EVERY", "WINDOW", "Pace", "Tunnels"]

WINDOW = 2**18
"""Bytes that may be unacknowledged, each way; a message counts `_EACH` more than its length."""

ACK_EVERY, ACK_BYTES = 16, 2**16
"""An acknowledgement is due after so many messages or batches, or bytes."""

MOST = 32
"""Open tunnels of one view."""

BEAT = 20.0
"""Seconds between two beats; a page is gone when it has let three pass."""

_EACH = 64
_BATCH = 2**16  # bytes of messages that go together
_BEATS_MISSED = 3


class Pace:
    """Lets through `burst` at once and `rate` a second from then on, on one loop.

    Example:
        >>> async def main():
        ...     pace = Pace(rate=1000.0, burst=2)
        ...     for _ in range(4):
        ...         await pace.turn()
        >>> asyncio.run(main())
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left = burst
        self._last = 0.0

    async def turn(self) -> None:
        """Wait until it is time for the next one."""
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + (now - self._last) * self._rate)
        self._last = now
        self._left -= 1  # before the wait: those that come meanwhile queue behind it
        if self._left < 0:
            await asyncio.sleep(-self._left / self._rate)


class Tunnels:
    """The tunnels of one comm; everything is called on the lab's loop.

    Args:
        send: sends content and buffers to the page.
        connect: opens a connection to a path with the subprotocols offered.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any], list[bytes]], None],
        connect: Callable[[str, list[str]], Awaitable[MemoryClient]],
    ) -> None:
        self._send = send
        self._connect = connect
        self._open: dict[int, _Tunnel] = {}
        self._pace = Pace(rate=250.0, burst=100.0)  # a quarter of what Jupyter lets through

    def __len__(self) -> int:
        return len(self._open)

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """A message of a page's. It is untrusted input."""
        number, op = content.get("id"), content.get("op")
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(op, str):
            return
        tunnel = self._open.get(number)
        if tunnel is not None:
            tunnel.handle(op, content, buffers)
        elif op == "open":
            self._begin(number, content)
        elif op in {"send", "close"}:
            self.tell(number, {"op": "close", "n": None, "code": 1006, "reason": ""})

    def _begin(self, number: int, content: dict[str, Any]) -> None:
        path, protocols = content.get("path"), content.get("protocols")
        problem = ""
        if not isinstance(path, str) or not path.startswith("/"):
            problem = f"Expected a path that begins with '/', got {path!r:.80}."
        elif not isinstance(protocols, list) or not all(isinstance(name, str) for name in protocols):
            problem = f"Expected a list of subprotocols, got {protocols!r:.80}."
        elif len(self._open) >= MOST:
            problem = f"This view has {MOST} tunnels open already. Close one of them."
        if problem:
            self.tell(number, {"op": "refused", "status": 0, "reason": problem})
            return
        tunnel = _Tunnel(lambda message, buffers=(): self.tell(number, message, buffers), self._pace)
        self._open[number] = tunnel
        opening = partial(self._connect, str(path), list(protocols or []))
        tunnel.start(opening, lambda: self._open.pop(number, None))

    def tell(self, number: int, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send one message of the tunnel `number` to the page."""
        self._send({**message, "t": "tunnel", "id": number}, list(buffers))

    def abort(self) -> None:
        """The comm is gone: cut every connection; the server sees 1006."""
        for tunnel in list(self._open.values()):
            tunnel.abort()


class _Tunnel:
    """One connection: a task that opens it and takes what the server sends, and one that takes the page's."""

    def __init__(self, tell: Callable[..., None], pace: Pace) -> None:
        self._tell = tell
        self._pace = pace
        self._client: MemoryClient | None = None
        self._task: asyncio.Task[None] | None = None
        # page -> server
        self._outbox: deque[tuple[str | bytes | tuple[int | None, str], int]] = deque()
        self._waiting = 0  # bytes in it
        self._more = asyncio.Event()
        self._expected = 1
        # server -> page
        self._batches = 0
        self._unacknowledged: deque[tuple[int, int]] = deque()  # batch, weight
        self._in_flight = 0
        self._credit = asyncio.Event()
        self._heard = True
        self._silent = 0

    # -- life --------------------------------------------------------------------------------------
    def start(self, connect: Callable[[], Awaitable[MemoryClient]], ended: Callable[[], object]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(connect), name="wslab tunnel")
        self._task.add_done_callback(lambda _: ended())

    async def _run(self, connect: Callable[[], Awaitable[MemoryClient]]) -> None:
        try:
            client = self._client = await connect()
        except ConnectionRefused as error:
            self._tell({"op": "refused", "status": error.status, "reason": error.body.strip() or str(error)})
            return
        except (WSLabError, OSError) as error:
            self._tell({"op": "refused", "status": 0, "reason": str(error)})
            return
        self._tell({"op": "open", "protocol": client.subprotocol})
        loop = asyncio.get_running_loop()
        sender = loop.create_task(self._to_server(client), name="wslab tunnel, page to server")
        beat = loop.create_task(self._beat(client), name="wslab tunnel, beat")
        try:
            end = await self._to_page(client)
            self._tell({"op": "close", "n": self._batches, "code": end.code, "reason": end.reason})
        finally:
            sender.cancel()
            beat.cancel()
            client.abort()
            await asyncio.wait([sender, beat])

    def abort(self) -> None:
        if self._client is not None:
            self._client.abort()
            self._credit.set()
        elif self._task is not None:
            self._task.cancel()

    async def _beat(self, client: MemoryClient) -> None:
        """Cut the connection of a page that is gone: a page that is reloaded does not say so."""
        while self._silent < _BEATS_MISSED:
            self._heard = False
            self._tell({"op": "beat"})
            await asyncio.sleep(BEAT)
            self._silent = 0 if self._heard else self._silent + 1
        client.abort()
        self._credit.set()

    # -- server -> page ----------------------------------------------------------------------------
    async def _to_page(self, client: MemoryClient) -> ConnectionClosed:
        while True:
            try:
                messages = [await client.receive()]
                weight = _weight(messages[0])
                while client.pending and weight < _BATCH:
                    messages.append(await client.receive())
                    weight += _weight(messages[-1])
            except ConnectionClosed as end:
                return end
            await self._pace.turn()
            self._batches += 1
            self._unacknowledged.append((self._batches, weight))
            self._in_flight += weight
            texts = [message if isinstance(message, str) else None for message in messages]
            binary = [message for message in messages if isinstance(message, bytes)]
            self._tell({"op": "data", "n": self._batches, "messages": texts}, binary)
            while self._in_flight >= WINDOW and client.closed is None:
                self._credit.clear()
                await self._credit.wait()

    def _got(self, upto: object) -> None:
        if not isinstance(upto, int) or isinstance(upto, bool):
            return
        while self._unacknowledged and self._unacknowledged[0][0] <= upto:
            self._in_flight -= self._unacknowledged.popleft()[1]
        self._credit.set()

    # -- page -> server ----------------------------------------------------------------------------
    def handle(self, op: str, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """A message of the page's; see the module's table."""
        self._heard = True
        if op == "got":
            self._got(content.get("n"))
        elif op == "send":
            data = bytes(buffers[0]) if buffers else content.get("text")
            number = content.get("n")
            if number is True or number != self._expected or not isinstance(data, str | bytes):
                self.abort()  # a message was lost on the way, or was never one
                return
            self._expected += 1
            self._put(data, _weight(data))
        elif op == "close":
            code, reason = content.get("code"), content.get("reason")
            if code is None:
                self._put((None, ""), 0)
            elif check_close(code, reason):
                self.abort()
            else:
                self._put((int(code), str(reason)), 0)
        elif op == "abort":
            self.abort()

    def _put(self, entry: str | bytes | tuple[int | None, str], weight: int) -> None:
        if weight and self._waiting >= WINDOW:
            self.abort()  # the page does not keep to the window
            return
        self._outbox.append((entry, weight))
        self._waiting += weight
        self._more.set()

    async def _to_server(self, client: MemoryClient) -> None:
        sent = told = unsaid = 0
        try:
            while True:
                while not self._outbox:
                    self._more.clear()
                    await self._more.wait()
                entry, weight = self._outbox.popleft()
                if isinstance(entry, tuple):
                    await client.close(*entry)
                    return
                await client.send(entry)
                self._waiting -= weight
                sent += 1
                unsaid += weight
                if sent - told >= ACK_EVERY or unsaid >= ACK_BYTES:
                    self._tell({"op": "got", "n": sent})
                    told, unsaid = sent, 0
        except ConnectionClosed:
            return  # the other task tells the page
        except UnicodeEncodeError:
            client.abort()  # a lone surrogate: the page's half never lets one through


def _weight(message: str | bytes) -> int:
    return len(message) + _EACH
