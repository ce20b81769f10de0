"""A lab's cell, and clients that run in the test's own process: real sockets from outside the kernel."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.frames import Close

    from tests.kernel.harness import Kernel

__all__ = [
    "ECHO_LAB",
    "Echo",
    "close_of",
    "connection_rows",
    "cut_client",
    "echo_client",
    "serve",
    "wait_until",
]

TIMEOUT = 20.0

ECHO_LAB = """
import asyncio, wslab
app = wslab.App()

@app.websocket("/echo")
async def echo(ws: wslab.WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text("first " + text)

lab = wslab.Lab(app)
lab.start()
print(lab.port)
"""


def serve(kernel: Kernel, code: str = ECHO_LAB) -> int:
    """Run a cell that ends by printing the lab's port; the port."""
    return int(kernel.run(code).ok().stdout.split()[-1])


class Echo:
    """A client that says which text came back."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def ask(self, text: str) -> str:
        """Send `text` and return the answer."""
        self.connection.send(text)
        return str(self.connection.recv(timeout=TIMEOUT))


@contextmanager
def echo_client(port: int, path: str = "/echo") -> Iterator[Echo]:
    """A client of the websockets library, in threads of its own."""
    with connect(
        f"ws://127.0.0.1:{port}{path}", proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT
    ) as connection:
        yield Echo(connection)


def close_of(client: Echo) -> Close:
    """Read to the connection's end, which must come with a close frame; what that said."""
    with suppress(ConnectionClosed):
        while True:
            client.connection.recv(timeout=TIMEOUT)
    received = client.connection.protocol.close_rcvd
    assert received is not None, "The connection ended without a close frame."
    return received


def cut_client(port: int, *, reset: bool, path: str = "/echo") -> None:
    """Open a connection by hand and let go of its socket: with RST as a crash does, or FIN as an exit."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as sock:
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            got = sock.recv(4096)
            assert got, f"The server hung up during the handshake, after {head!r}"
            head += got
        assert head.startswith(b"HTTP/1.1 101 "), head
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wait_until(kernel: Kernel, condition: str) -> None:
    """Wait, in a cell, until `condition` is true of the lab."""
    kernel.run(f"await lab.until(lambda: {condition}, timeout={TIMEOUT})").ok()


def connection_rows(kernel: Kernel) -> list[dict[str, Any]]:
    """`lab.connections`, as plain values."""
    said = kernel.run("import json; print(json.dumps(lab.connections.to_dicts()))").ok().stdout
    rows: list[dict[str, Any]] = json.loads(said)
    return rows
