"""What the framework costs: opening a connection beside FastAPI's, a message beside bare Starlette's.

    python benchmarks/framework.py            # a table, in less than a minute
    python benchmarks/framework.py --json     # the same as JSON

Each application is served by uvicorn (websockets-sansio) in a process of its own, and measured by that
process's own CPU time, so neither the client nor the machine's other work counts. The applications take
turns in short rounds: a round gives one ratio, and what is printed is the median of the rounds' ratios with
the least and the greatest. One connection at a time, one message under way at a time. The last row compares
Starlette with itself: what it shows beside 1.00 is noise, in the other rows as well.

Every server gets the same fixed malloc threshold. asyncio receives into 256 KiB at a time, and glibc maps and
unmaps that for each message until something large has been freed: a program that imports more may be spared
25 µs a message by chance, and would look 0.6 times as expensive as bare Starlette.

`measure` and `table` are for a program that prints more tables than this one.
"""

# ruff: noqa: ARG001 - an endpoint takes what the framework passes
from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

DEPENDENCIES = (0, 1, 4)
MESSAGE = b"x" * 64
SECONDS = 45.0  # the rounds end after this time at the latest

# glibc's; other allocators ignore them. Set, they also stop adapting to what the process did before.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(1 << 24), "MALLOC_TRIM_THRESHOLD_": str(1 << 26)}

_MASK = b"\x00\x00\x00\x00"
_CLOSE = b"\x88\x80" + _MASK
_CPU_WIDTH = 20
_CPU = b"GET /cpu HTTP/1.1\r\nHost: bench\r\n\r\n"


# --- the applications


def dependent(app: Any, lib: Any, count: int) -> None:
    """Declare ``/0``, ``/1`` or ``/4``: `count` dependencies, each with a query parameter."""

    async def first(a: int = 1):
        return a

    async def second(b: str = "b"):
        return b

    on_first, on_second = lib.Depends(first), lib.Depends(second)

    async def third(c: float = 0.5, d=on_second):
        return c, d

    on_third = lib.Depends(third)

    async def fourth(e: bool = False, f=on_third):
        return e, f

    on_fourth = lib.Depends(fourth)

    async def with_0(ws):
        await ws.accept()
        await ws.receive()

    async def with_1(ws, one=on_first):
        await with_0(ws)

    async def with_4(ws, one=on_first, four=on_fourth):
        await with_0(ws)

    endpoint: Any = {0: with_0, 1: with_1, 4: with_4}[count]
    # Annotations are strings here, and `lib` is no global name that a framework could resolve them by.
    endpoint.__annotations__["ws"] = lib.WebSocket
    app.websocket(f"/{count}")(endpoint)


async def echo(ws: Any) -> None:
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


def make_app(name: str) -> Any:
    if name == "starlette":
        from starlette.applications import Starlette
        from starlette.routing import WebSocketRoute

        return Starlette(routes=[WebSocketRoute("/echo", echo)])
    if name == "fastapi":
        import fastapi as lib

        app: Any = lib.FastAPI()
    else:
        import wslab.asgi as lib

        app = lib.App()
        echo.__annotations__["ws"] = lib.WebSocket
        app.websocket("/echo")(echo)
    for count in DEPENDENCIES:
        dependent(app, lib, count)
    return app


def with_cpu(app: Any) -> Any:
    """`app`, with the process's CPU time at ``/cpu``."""

    async def asgi(scope, receive, send):
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        body = b"%*d" % (_CPU_WIDTH, time.process_time_ns())
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return asgi


def serve(name: str) -> None:
    """Serve one application until the standard input ends; the port is printed first."""
    import uvicorn

    app = with_cpu(make_app(name))
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    sock = socket.create_server(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)

    async def main():
        async def until_input_ends():
            await asyncio.to_thread(sys.stdin.read)
            server.should_exit = True

        watching = asyncio.create_task(until_input_ends())
        await server.serve(sockets=[sock])
        await watching

    asyncio.run(main())


# --- the client: as little as a server accepts


class Server:
    """An application in a process of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **MALLOC},
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self._cpu = self._socket()

    def _socket(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def cpu(self) -> int:
        """The process's CPU time in nanoseconds."""
        self._cpu.sendall(_CPU)
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < _CPU_WIDTH:
            data = self._cpu.recv(4096)
            if not data:
                raise RuntimeError(f"Expected {self.name}'s CPU time, but it closed the connection.")
            answer += data
        return int(answer[-_CPU_WIDTH:])

    def open(self, path: str) -> socket.socket:
        """Shake hands."""
        key = base64.b64encode(os.urandom(16)).decode()
        connection = self._socket()
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = connection.recv(4096)
            if not data:
                break
            answer += data
        if not answer.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"Expected {self.name} to accept {path}, got {answer[:200]!r}.")
        return connection

    @staticmethod
    def close(connection: socket.socket) -> None:
        """Close, and wait until the server has closed as well."""
        with connection:
            connection.sendall(_CLOSE)
            while connection.recv(4096):
                pass

    def connections(self, path: str, count: int) -> float:
        """Microseconds of CPU for each of `count` connections, from the handshake to the end."""
        before = self.cpu()
        for _ in range(count):
            self.close(self.open(path))
        return (self.cpu() - before) / count / 1000

    def messages(self, count: int) -> float:
        """Microseconds of CPU for each of `count` echoes of 64 bytes."""
        connection = self.open("/echo")
        frame = b"\x81" + bytes([0x80 | len(MESSAGE)]) + _MASK + MESSAGE
        expected = b"\x81" + bytes([len(MESSAGE)]) + MESSAGE
        before = self.cpu()
        for _ in range(count):
            connection.sendall(frame)
            answer = connection.recv(4096)
            if answer != expected:
                raise RuntimeError(f"Expected {self.name}'s echo, got {answer!r}.")
        used = (self.cpu() - before) / count / 1000
        self.close(connection)
        return used

    def stop(self) -> None:
        self._cpu.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# --- the measurement


@dataclass(frozen=True)
class Row:
    """One comparison; in the control, `ours` is Starlette as well.

    Times are the rounds' medians in microseconds of CPU; ratios are ours : theirs.
    """

    what: str
    against: str
    ours: float
    theirs: float
    ratio: float
    least: float
    greatest: float
    rounds: int


def measure(
    *, rounds: int = 40, connections: int = 60, messages: int = 1000, seconds: float = SECONDS
) -> list[Row]:
    """Run every comparison, interleaved.

    Args:
        rounds: how often each application takes its turn; the first is a warm-up more.
        connections: opened in a turn.
        messages: echoed in a turn.
        seconds: no round begins after this time.
    """
    deadline = time.monotonic() + seconds
    comparisons = [
        (f"connection, {_dependencies(count)}", "wslab", "fastapi", f"/{count}") for count in DEPENDENCIES
    ]
    comparisons += [
        ("message of 64 bytes", "wslab", "starlette", ""),
        ("the same, Starlette twice", "control", "starlette", ""),
    ]
    seen: dict[str, list[tuple[float, float]]] = {what: [] for what, *_ in comparisons}
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in ("wslab", "fastapi", "starlette", "control"):
            servers[name] = Server("starlette" if name == "control" else name)
            stack.callback(servers[name].stop)
        for number in range(rounds + 1):
            if number > 1 and time.monotonic() > deadline:
                break
            for what, one, other, path in comparisons:
                # Who begins alternates: what a turn leaves behind in the machine is then nobody's.
                pair = [one, other] if number % 2 else [other, one]
                used = {
                    name: servers[name].connections(path, connections)
                    if path
                    else servers[name].messages(messages)
                    for name in pair
                }
                if number:
                    seen[what].append((used[one], used[other]))
    return [_row(what, other, seen[what]) for what, _, other, _ in comparisons]


def _dependencies(count: int) -> str:
    return f"{count} dependenc{'y' if count == 1 else 'ies'}"


def _row(what: str, against: str, pairs: list[tuple[float, float]]) -> Row:
    ratios = [ours / theirs for ours, theirs in pairs]
    return Row(
        what=what,
        against=against,
        ours=median(ours for ours, _ in pairs),
        theirs=median(theirs for _, theirs in pairs),
        ratio=median(ratios),
        least=min(ratios),
        greatest=max(ratios),
        rounds=len(pairs),
    )


def table(rows: list[Row]) -> str:
    """`rows` as text."""
    lines = [f"{'server CPU, µs':<28} {'wslab':>8} {'theirs':>8}  {'':<10} {'ratio':>6}  min–max"]
    lines += [
        f"{row.what:<28} {row.ours:>8.1f} {row.theirs:>8.1f}  {row.against:<10} {row.ratio:>6.2f}"
        f"  {row.least:.2f}–{row.greatest:.2f} of {row.rounds}"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="begin no round after this time")
    parser.add_argument("--serve", choices=["wslab", "fastapi", "starlette"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
        return
    rows = measure(seconds=options.seconds)
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
