"""Thousands of clients in a process of their own: ``python crowd.py PORT COUNT``.

It says ``open`` when all are connected and ``heard`` when each has had its frame; it goes when input ends.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys

AT_ONCE = 500  # handshakes under way
PATIENCE = 60.0  # seconds without anything happening


def gather(port: int, count: int) -> list[socket.socket]:
    """Open all connections, some hundreds at a time."""
    request = (
        f"GET /crowd HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    crowd: list[socket.socket] = []
    while len(crowd) < count:
        batch = [
            socket.create_connection(("127.0.0.1", port)) for _ in range(min(AT_ONCE, count - len(crowd)))
        ]
        for sock in batch:
            sock.settimeout(PATIENCE)
            sock.sendall(request)
        for sock in batch:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(4096)
            assert head.startswith(b"HTTP/1.1 101 "), head
        crowd += batch
    return crowd


def listen(crowd: list[socket.socket], expected: bytes) -> None:
    """Read until each connection has had just `expected`."""
    heard = dict.fromkeys(crowd, b"")
    with selectors.DefaultSelector() as selector:
        for sock in crowd:
            selector.register(sock, selectors.EVENT_READ)
        missing = len(crowd)
        while missing:
            ready = selector.select(PATIENCE)
            assert ready, f"{missing} of {len(crowd)} heard nothing"
            for key, _ in ready:
                sock = key.fileobj
                data = sock.recv(65536)
                assert data, "a connection ended"
                heard[sock] += data
                assert expected.startswith(heard[sock]), heard[sock][:100]
                missing -= heard[sock] == expected


def main() -> None:
    port, count = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = gather(port, count)
    print("open", flush=True)
    expected = bytes.fromhex(sys.stdin.readline())
    listen(crowd, expected)
    print("heard", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
