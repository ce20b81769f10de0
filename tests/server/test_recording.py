"""What a lab recorded of real clients, saved, and read by tshark: the same frames, and nothing wrong."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
import websockets.asyncio.client as stock
from websockets.exceptions import InvalidStatus

import wslab
from tests.wire.tshark import complaints, content, header, ours, runner, websocket_frames
from wslab.rooms import RoomManager
from wslab.wire import Opcode


def talking_lab():
    lab, rooms = wslab.Lab(deflate=True), RoomManager()

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)

    @lab.websocket("/chat/{room}")
    async def chat(ws: wslab.WebSocket, room: str):
        await rooms.join_room(ws, room)
        try:
            async for text in ws.iter_text():
                await rooms.broadcast_to_room(room, text)
        finally:
            rooms.leave_room(ws)

    return lab


async def heard(member, text):
    """Read on to `text`: a room tells who comes and goes as well."""
    while await member.recv() != text:
        pass


async def talk(lab):
    """A client that echoes compressed, one that does not compress, three in a room, one that is refused."""
    url = f"ws://127.0.0.1:{lab.port}"
    async with AsyncExitStack() as stack:
        for compression in ("deflate", None):
            client = await stack.enter_async_context(stock.connect(f"{url}/echo", compression=compression))
            for text in ("hello", "hello", "grüße " * 2000, "x" * 60_000, ""):
                await client.send(text)
                assert await client.recv() == text
            await client.send(["in ", "three ", "parts"])
            assert await client.recv() == "in three parts"
            await (await client.ping(b"are you there"))
        # A broadcast is one frame to several members, which must not be compressed for each.
        members = [
            await stack.enter_async_context(stock.connect(f"{url}/chat/one", compression=compression))
            for compression in ("deflate", None, None)
        ]
        for text in ("to all", "to all again"):
            await members[1].send(text)
            for member in members:
                await heard(member, text)
        await members[2].close(4001, "genug")
    with pytest.raises(InvalidStatus):
        await stock.connect(f"{url}/nowhere")
    await lab.until(lambda: not lab.connections.alive)


async def test_tshark_sees_what_a_lab_recorded(tmp_path):
    tshark = runner()
    lab = talking_lab()
    await lab.start()
    try:
        async with asyncio.timeout(30):
            await talk(lab)
    finally:
        await lab.stop()
    path = tmp_path / "lab.pcapng"
    lab.save(path)
    assert complaints(tshark, path) == ""
    seen = websocket_frames(tshark, path)
    wanted = 0
    for row in lab.connections:
        mine = lab.frames.of(row)
        theirs = [found for found in seen if found[0] == f"10.0.0.{row.number}"]
        assert [header(*found) for found in theirs] == ours(mine)
        wanted += len(theirs)
        whole = {
            message.frames[-1].seq: message for message in lab.frames.messages() if message.connection is row
        }
        for frame, (_, _, fields) in zip(mine, theirs, strict=True):
            message = whole.get(frame.seq)
            # What tshark does not put together is in tests/wire/test_tshark_oracle.py.
            if message and message.content and len(message.frames) == 1:
                assert content(fields) == message.content
    assert wanted == len(seen)
    texts = {message.text for message in lab.frames.messages() if message.opcode == Opcode.TEXT}
    assert {"hello", "grüße " * 2000, "x" * 60_000, "", "in three parts", "to all"} <= texts
    assert not [message.problem for message in lab.frames.messages() if message.problem]
