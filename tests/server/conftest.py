"""A lab over a real socket, and raw sockets to try it with."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import wslab


@pytest.fixture(params=["wslab", "websockets-sansio"])
async def lab(request):
    lab = wslab.Lab(ws=request.param)

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)

    await lab.start()
    yield lab
    await lab.stop()


class Raw:
    """A TCP connection with the bytes in the test's own hands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self, path="/echo", *, headers=(), host="127.0.0.1", version="13") -> bytes:
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Sec-WebSocket-Version: {version}",
            *headers,
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return await self.head()

    async def head(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(b"\r\n\r\n")

    def abort(self) -> None:
        """RST instead of FIN."""
        self.writer.transport.abort()


@pytest.fixture
async def raw(lab):
    async with contextlib.AsyncExitStack() as stack:

        async def connect() -> Raw:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            stack.callback(writer.close)
            return Raw(reader, writer)

        yield connect
