"""The load: raw sockets and frames that were encoded before, so that the client costs little.

Each function opens its connections, asks the server for its CPU seconds, measures for a given time,
asks again and returns a `Sample`. What comes back is compared with what has to come back: a fast
server that answers something else would be no result.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from servers import MESSAGE

from wslab.wire import Opcode, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    Usage = Callable[[], list[float]]

__all__ = ["Sample", "broadcast", "churn", "echo"]

TIMEOUT = 20.0
"""Seconds after which a socket that says nothing ends the run with an error."""

WINDOW = 8
"""Broadcasts under way at a time: enough that the server never waits for the client."""

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
        round_trips: seconds of each echo; empty elsewhere.
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
    """A WebSocket connection as a blocking socket."""
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
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


def echo(port: int, usage: Usage, seconds: float, *, size: int, connections: int) -> Sample:
    """Echoes of `size` bytes of text; each connection sends its next when the last has come back."""
    text = b"x" * size
    frame, expected = encode_frame(Opcode.TEXT, text, mask=_MASK), encode_frame(Opcode.TEXT, text)
    socks = [_open(port, "/echo") for _ in range(connections)]
    measure = _echo_one if connections == 1 else _echo_many
    sample = measure(socks, usage, seconds, frame, expected)
    for sock in socks:
        _close(sock)
    return sample


def _echo_one(
    socks: list[socket.socket], usage: Usage, seconds: float, frame: bytes, expected: bytes
) -> Sample:
    (sock,) = socks
    clock, send, receive, size = time.perf_counter, sock.sendall, sock.recv, len(expected)
    times = []
    meter = _Meter(usage)
    sent, deadline = meter.start, meter.start + seconds
    while sent < deadline:
        send(frame)
        answer = receive(65536)
        while len(answer) < size:
            answer += receive(65536)
        if answer != expected:
            raise RuntimeError(f"Expected the echo, got {answer[:40]!r}.")
        now = clock()
        times.append(now - sent)
        sent = now
    sample = meter.sample(len(times))
    sample.round_trips = times
    return sample


def _echo_many(
    socks: list[socket.socket], usage: Usage, seconds: float, frame: bytes, expected: bytes
) -> Sample:
    clock, size = time.perf_counter, len(expected)
    times: list[float] = []
    sent, partial = {}, dict.fromkeys(socks, b"")
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ, sock)
        meter = _Meter(usage)
        deadline = meter.start + seconds
        for sock in socks:
            sent[sock] = clock()
            sock.sendall(frame)
        while sent:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise RuntimeError(f"Nothing came for {TIMEOUT} s.")
            for key, _ in ready:
                sock = key.data
                answer = partial[sock] + sock.recv(65536)
                if len(answer) < size:
                    partial[sock] = answer
                    continue
                if answer != expected:
                    raise RuntimeError(f"Expected the echo, got {answer[:40]!r}.")
                partial[sock] = b""
                now = clock()
                times.append(now - sent[sock])
                if now < deadline:
                    sent[sock] = now
                    sock.sendall(frame)
                else:
                    del sent[sock]
        sample = meter.sample(len(times))
    sample.round_trips = times
    return sample


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
