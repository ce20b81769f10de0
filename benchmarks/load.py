"""The load: raw sockets and frames that were encoded before, so that the client costs little.

Each function opens its connections, asks the server for its CPU seconds, measures for a given time,
asks again and returns a `Sample`. What comes back is compared with what has to come back: a fast
server that answers something else would be no result.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from servers import MESSAGE

from wslab.wire import Opcode, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    Usage = Callable[[], list[float]]
    Memory = Callable[[], list[int]]

__all__ = ["CHUNK", "Idle", "Sample", "broadcast", "churn", "echo", "idle", "pipelined"]

TIMEOUT = 20.0
"""Seconds after which a socket that says nothing ends the run with an error."""

WINDOW = 8
"""Broadcasts under way at a time: enough that the server never waits for the client."""

CHUNK = 32
"""Messages in one write of `pipelined`; two such chunks are under way at a time."""

_WARM_UP = 100  # connections before memory is first read: what is made once is there then

_TIMEVAL = struct.pack("@ll", int(TIMEOUT), 0)  # as SO_RCVTIMEO takes it
_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MASK = b"\x37\xfa\x21\x3d"
_CLOSE = encode_frame(Opcode.CLOSE, (1000).to_bytes(2), mask=_MASK)


@dataclass
class Sample:
    """What one server did in one round.

    Attributes:
        count: echoes, connections or deliveries.
        wall: seconds they took.
        user, system: CPU seconds of the server's process, in Python and in the kernel.
        client: CPU seconds of this process.
        round_trips: seconds of each echo; where it is pipelined, of each `CHUNK`; empty elsewhere.
    """

    count: int
    wall: float
    user: float
    system: float
    client: float
    round_trips: list[float] = field(default_factory=list, repr=False)

    @property
    def rate(self) -> float:
        """Per second."""
        return self.count / self.wall

    @property
    def cpu(self) -> float:
        """The server's CPU microseconds for each."""
        return (self.user + self.system) / self.count * 1e6


@dataclass(frozen=True)
class Idle:
    """Memory of one server's idle connections, in bytes for each.

    Attributes:
        connections: how many there were.
        rss: growth of the resident memory.
        private: growth of what is shared with no other process.
    """

    connections: int
    rss: float
    private: float


class _Meter:
    """Clocks around what is measured."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._user, self._system = usage()
        self._client = time.process_time()
        self.start = time.perf_counter()

    def sample(self, count: int) -> Sample:
        wall = time.perf_counter() - self.start
        client = time.process_time() - self._client
        user, system = self._usage()
        return Sample(count, wall, user - self._user, system - self._system, client)


def _open(port: int, path: str) -> socket.socket:
    """A WebSocket connection as a blocking socket.

    Its time limit is the kernel's (SO_RCVTIMEO): Python's own would cost the client a poll() each time.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(_REQUEST.format(path=path, port=port).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        data = sock.recv(4096)
        answer += data
        if not data:
            break
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"Expected 101 for {path}, got {answer[:200]!r}.")
    return sock


def _close(sock: socket.socket) -> None:
    """The closing handshake, up to the end of the stream."""
    sock.sendall(_CLOSE)
    answer = b""
    while data := sock.recv(65536):
        answer += data
    if not answer.endswith(b"\x88\x02\x03\xe8"):
        raise RuntimeError(f"Expected a close frame with 1000, got {answer[-20:]!r}.")
    sock.close()


def _expect(sock: socket.socket, buffer: bytearray, expected: bytes) -> None:
    """Receive `expected` into `buffer`, which is as long."""
    received = sock.recv_into(buffer, 0, socket.MSG_WAITALL)
    if received != len(expected) or buffer != expected:
        raise RuntimeError(f"Expected {len(expected)} bytes of echo, got {received}: {bytes(buffer[:40])!r}.")


def echo(port: int, usage: Usage, seconds: float, *, size: int, connections: int) -> Sample:
    """Echoes of `size` bytes of text; each connection sends its next when the last has come back.

    The connections are asked in turn, without a selector: one receives while the others are under way, so
    that the client has least to do and waits only where the server is behind.
    """
    text = b"x" * size
    frame, expected = encode_frame(Opcode.TEXT, text, mask=_MASK), encode_frame(Opcode.TEXT, text)
    socks = [_open(port, "/echo") for _ in range(connections)]
    clock, buffer = time.perf_counter, bytearray(len(expected))
    times: list[float] = []
    sent = []
    meter = _Meter(usage)
    now, deadline = meter.start, meter.start + seconds
    for sock in socks:
        sent.append(clock())
        sock.sendall(frame)
    while now < deadline:
        for number, sock in enumerate(socks):
            _expect(sock, buffer, expected)
            now = clock()
            times.append(now - sent[number])
            sent[number] = now
            sock.sendall(frame)
    for sock in socks:
        _expect(sock, buffer, expected)
    sample = meter.sample(len(times) + connections)
    sample.round_trips = times
    for sock in socks:
        _close(sock)
    return sample


def pipelined(port: int, usage: Usage, seconds: float, *, size: int) -> Sample:
    """Echoes of `size` bytes of text on one connection, between one and two `CHUNK` under way at a time."""
    text = b"x" * size
    frames = encode_frame(Opcode.TEXT, text, mask=_MASK) * CHUNK
    expected = encode_frame(Opcode.TEXT, text) * CHUNK
    sock = _open(port, "/echo")
    clock, buffer = time.perf_counter, bytearray(len(expected))
    times: list[float] = []
    meter = _Meter(usage)
    now, deadline = meter.start, meter.start + seconds
    sock.sendall(frames)
    while now < deadline:
        sock.sendall(frames)
        _expect(sock, buffer, expected)
        before, now = now, clock()
        times.append(now - before)
    _expect(sock, buffer, expected)
    sample = meter.sample((len(times) + 1) * CHUNK)
    sample.round_trips = times
    _close(sock)
    return sample


def idle(port: int, memory: Memory, *, connections: int) -> Idle:
    """Open `connections`, exchange a message of 64 bytes on each, and see what memory they hold.

    What the kernel keeps for a socket belongs to no process and is not counted.
    """
    text = b"x" * 64
    frame, expected = encode_frame(Opcode.TEXT, text, mask=_MASK), encode_frame(Opcode.TEXT, text)
    buffer = bytearray(len(expected))

    def used() -> socket.socket:
        sock = _open(port, "/echo")
        sock.sendall(frame)
        _expect(sock, buffer, expected)
        return sock

    for sock in [used() for _ in range(_WARM_UP)]:
        _close(sock)
    rss, private = memory()
    socks = [used() for _ in range(connections)]
    more_rss, more_private = memory()
    for sock in socks:
        sock.close()
    return Idle(connections, (more_rss - rss) / connections, (more_private - private) / connections)


def churn(port: int, usage: Usage, seconds: float, *, path: str) -> Sample:
    """Connections one after another: TCP, opening handshake, closing handshake, end of the stream."""
    count = 0
    meter = _Meter(usage)
    deadline = meter.start + seconds
    while time.perf_counter() < deadline:
        _close(_open(port, path))
        count += 1
    return meter.sample(count)


def broadcast(port: int, usage: Usage, seconds: float, *, members: int) -> Sample:
    """One connection speaks, `members` others hear `MESSAGE`; at most `WINDOW` broadcasts are under way."""
    frame = encode_frame(Opcode.TEXT, json.dumps(MESSAGE, separators=(",", ":")).encode())
    trigger = encode_frame(Opcode.TEXT, b"go", mask=_MASK)
    room = [_open(port, "/room") for _ in range(members)]
    speaker = _open(port, "/say")
    heard = dict.fromkeys(room, 0)
    total, size = 0, len(frame)
    with selectors.DefaultSelector() as selector:
        for sock in room:
            selector.register(sock, selectors.EVENT_READ, sock)
        meter = _Meter(usage)
        deadline = meter.start + seconds
        spoken = WINDOW
        speaker.sendall(trigger * WINDOW)
        while total < spoken * members * size:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise RuntimeError(f"{spoken} broadcasts: members heard {total // size}, then nothing.")
            for key, _ in ready:
                member = key.data
                data = member.recv(65536)
                if not data:
                    raise RuntimeError(f"A member was sent away after {heard[member] // size} messages.")
                heard[member] += len(data)
                total += len(data)
            done = total // (members * size)
            if time.perf_counter() < deadline and done > spoken - WINDOW:
                speaker.sendall(trigger * (done + WINDOW - spoken))
                spoken = done + WINDOW
        sample = meter.sample(spoken * members)
    if set(heard.values()) != {spoken * size}:
        raise RuntimeError(f"Expected {spoken * size} bytes for each member, got {sorted(heard.values())}.")
    for sock in [*room, speaker]:
        _close(sock)
    return sample
