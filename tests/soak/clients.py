"""Clients of every manner, on raw streams: what a browser would never send has to be sent as well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wslab.wire import Frame, Opcode, encode_frame, frame_length, parse_frame
from wslab.wire.frames import close_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

__all__ = ["MANNERS", "Run", "visit"]

PATIENCE = 30.0
"""Seconds after which a client that waits for the server gives up and fails the test."""


class EarlyEnd(Exception):  # noqa: N818 - an ordinary event here, not an error
    """The server ended the connection; `code` is of its close frame, 1006 where there was none."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Run:
    """What all clients of a run share."""

    port: int
    over: asyncio.Event
    tally: Counter[str] = field(default_factory=Counter)


class Client:
    """One connection, frame by frame."""

    def __init__(self, run: Run, rng: Random, *, small: bool = False) -> None:
        self.run, self.rng, self.small = run, rng, small
        self._buffer = b""

    async def connect(self) -> None:
        sock = socket.socket()
        if self.small:
            # Little room between the two, so that not reading is felt soon; but room for one whole segment
            # of the loopback (64 KiB), below which TCP sends only when its timer runs out.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**17)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.run.port))
            self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=4096)
        except BaseException:
            sock.close()
            raise

    def ask(self, path: str) -> None:
        """Send the opening handshake's request."""
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.run.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    async def open(self, path: str) -> None:
        await self.connect()
        self.ask(path)
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def frame(self, payload: str | bytes, opcode: int = Opcode.TEXT, **options: int) -> bytes:
        raw = payload.encode() if isinstance(payload, str) else payload
        return encode_frame(opcode, raw, mask=self.rng.randbytes(4), **options)

    async def send(self, payload: str | bytes, opcode: int = Opcode.TEXT) -> None:
        self.writer.write(self.frame(payload, opcode))
        await self.writer.drain()

    async def receive(self) -> Frame:
        """The next data frame.

        Raises:
            EarlyEnd: a close frame, or the end of the stream, came instead.
        """
        while True:
            size = frame_length(self._buffer)
            if size and len(self._buffer) >= size:
                raw, self._buffer = self._buffer[:size], self._buffer[size:]
                frame = parse_frame(raw)
                assert frame is not None
                assert not frame.problem, frame
                if frame.opcode == Opcode.CLOSE:
                    raise EarlyEnd(close_fields(frame.payload)[0])
                if frame.opcode == Opcode.PING:
                    await self.send(frame.payload, Opcode.PONG)
                    continue
                return frame
            data = await self.reader.read(65536)
            if not data:
                raise EarlyEnd(1006)
            self._buffer += data

    async def end(self) -> int:
        """The code of the server's close frame, after whatever it still had to say."""
        try:
            while True:
                await self.receive()
        except EarlyEnd as end:
            return end.code

    async def close(self) -> int:
        """The closing handshake; the code that came back."""
        await self.send((1000).to_bytes(2), Opcode.CLOSE)
        return await self.end()

    async def reset(self) -> None:
        """End with an RST, as a program that is killed may."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def leave(self) -> None:
        """Free what this end holds."""
        if hasattr(self, "writer"):
            self.writer.transport.abort()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    async def wait(self, longest: float) -> None:
        """Do nothing, not even read, for a while that ends with the wave."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.rng.uniform(0, longest)):
                await self.run.over.wait()


async def talk(client: Client, kind: str) -> None:
    """Say something, hear it back, and check the order of all that is heard."""
    me = f"{client.rng.getrandbits(64):x}"
    heard: dict[str, int] = {}
    await client.open(f"/{kind}/{client.rng.randrange(4)}")
    for number in range(client.rng.randint(5, 60)):
        await client.send(f"{me} {number} {'x' * client.rng.randrange(300)}")
        while heard.get(me, -1) < number:
            text = (await client.receive()).payload.decode()
            if text.startswith("{"):
                assert json.loads(text)["type"] in {"user_joined", "user_left"}
                continue
            author, said, _ = text.split(" ", 2)
            last = heard.get(author)
            if last is not None:
                # What is dropped for a slow member leaves gaps; nothing may ever be repeated or overtaken.
                assert int(said) == last + 1 if kind == "chat" else int(said) > last, (author, last, said)
            heard[author] = int(said)
            if kind == "loose" and author == me and int(said) > number:
                raise AssertionError(f"{said} came back before it was sent")
        if client.run.over.is_set():
            break
    assert await client.close() in {1000, 1013}


async def chatter(client: Client) -> None:
    await talk(client, "chat")


async def loose_chatter(client: Client) -> None:
    # An own message may be among those dropped, and then nothing comes back: one that is patient only
    # until the wave ends.
    over = asyncio.ensure_future(client.run.over.wait())
    talking = asyncio.ensure_future(talk(client, "loose"))
    try:
        await asyncio.wait({over, talking}, return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            await talking
    finally:
        over.cancel()
        talking.cancel()
        await asyncio.wait({over, talking})


async def killed(client: Client) -> None:
    """Talks, and is gone in the middle of a frame."""
    await client.open(f"/{client.rng.choice(['chat', 'loose'])}/{client.rng.randrange(4)}")
    me = f"{client.rng.getrandbits(64):x}"
    for number in range(client.rng.randint(0, 10)):
        await client.send(f"{me} {number} bye")
    half = client.frame("x" * 200)
    client.writer.write(half[: client.rng.randrange(len(half))])
    await client.reset()


async def vanishing(client: Client) -> None:
    """Is gone in the middle of the opening handshake, or right after it."""
    await client.connect()
    if client.rng.random() < 0.5:
        client.writer.write(b"GET /chat/0 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr")
    else:
        client.ask(client.rng.choice(["/chat/0", "/stocks", "/nowhere"]))
        if client.rng.random() < 0.5:
            await client.reader.read(1)
    await client.reset()


async def flooding(client: Client) -> None:
    """Says far more than it hears, and is gone without having read anything."""
    await client.open(f"/{client.rng.choice(['chat', 'loose'])}/{client.rng.randrange(4)}")
    me, padding = f"{client.rng.getrandbits(64):x}", "x" * client.rng.randint(1000, 4000)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            for number in range(client.rng.randint(200, 1500)):
                await client.send(f"{me} {number} {padding}")
            await client.wait(3)
    await client.reset()


async def deaf(client: Client) -> None:
    """Joins and does not listen; then goes, or hears what is left for it."""
    await client.open(f"/{client.rng.choice(['chat', 'loose'])}/{client.rng.randrange(4)}")
    await client.wait(6)
    if client.rng.random() < 0.5:
        await client.reset()
    else:
        assert await client.close() in {1000, 1006, 1013}


async def fast_subscriber(client: Client) -> None:
    """Reads prices as fast as they come."""
    await client.open("/stocks")
    newest: dict[str, str] = {}
    for _ in range(client.rng.randint(20, 400)):
        data = json.loads((await client.receive()).payload)["data"]
        assert newest.get(data["symbol"], "") < data["timestamp"]
        newest[data["symbol"]] = data["timestamp"]
    assert await client.close() == 1000


async def slow_subscriber(client: Client) -> None:
    """Reads no prices for a while; then goes in peace, or does not."""
    await client.open("/stocks")
    await client.wait(4)
    if client.rng.random() < 0.5:
        await client.reset()
    else:
        await client.receive()
        assert await client.close() in {1000, 1006}  # 1006: its close frame waits behind what it did not read


async def rude(client: Client) -> None:
    """Breaks a rule of the protocol, and is told which."""
    await client.open("/chat/rude")
    what, code = client.rng.choice(
        [
            (encode_frame(Opcode.TEXT, b"not masked"), 1002),
            (client.frame("reserved opcode", 3), 1002),
            (client.frame("reserved bit", rsv=2), 1002),
            (client.frame(b"\xff\xfe not UTF-8"), 1007),
            (client.frame(b"x" * (2**20 + 1)), 1009),
        ]
    )
    client.writer.write(what)
    assert await client.end() == code


async def crashing(client: Client) -> None:
    """Makes its endpoint raise."""
    await client.open("/chat/crash")
    await client.send("boom")
    assert await client.end() == 1011


MANNERS: dict[Callable[[Client], Awaitable[None]], int] = {
    chatter: 8,
    loose_chatter: 6,
    killed: 4,
    vanishing: 3,
    flooding: 2,
    deaf: 3,
    fast_subscriber: 4,
    slow_subscriber: 4,
    rude: 1,
    crashing: 1,
}
"""What clients do, and how often of all."""

_SMALL = {flooding, deaf, slow_subscriber}


async def visit(run: Run, rng: Random) -> None:
    """One client from its coming to its going."""
    (manner,) = rng.choices(list(MANNERS), list(MANNERS.values()))
    client = Client(run, rng, small=manner in _SMALL)
    try:
        async with asyncio.timeout(PATIENCE):
            await manner(client)
    except EarlyEnd as end:
        if end.code != 1013:  # only a member that could not keep up may be sent away
            raise
        run.tally["sent away"] += 1
    finally:
        await client.leave()
    run.tally[manner.__name__] += 1
