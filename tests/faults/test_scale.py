"""Much of one thing: ten thousand connections, and messages that inflate a thousandfold."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.conformance.harness import Peer, binary, cont, text
from tests.faults.harness import many_files
from tests.soak.measures import resident
from wslab import App, Limits, WebSocket
from wslab.rooms import RoomManager
from wslab.wire import encode_frame

HERE = Path(__file__).parent
CROWD = 10_000
MIB = 2**20


@pytest.mark.skipif(sys.platform == "win32", reason="one process cannot wait for so many sockets there")
async def test_ten_thousand_connections_hear_one_broadcast(serve):
    if many_files(CROWD + 500) < CROWD + 500:
        pytest.skip(f"this system lets a process open fewer than {CROWD + 500} files")
    app, rooms = App(), RoomManager(announce=False)

    @app.websocket("/crowd")
    async def crowd(ws: WebSocket):
        await rooms.join_room(ws, "crowd")
        try:
            async for _ in ws.iter_text():
                pass
        finally:
            rooms.leave_room(ws)

    lab, rest = await serve(app, limits=Limits(connections=CROWD + 10), ping_interval=None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "crowd.py"), str(lab.port), str(CROWD)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(100):
            assert await process.stdout.readline() == b"open\n"
            await lab.until(lambda: len(rooms.members("crowd")) == CROWD, 20)
            assert len(lab.connections.alive) == CROWD
            message = '{"price":101.25}'
            process.stdin.write(encode_frame(1, message.encode()).hex().encode() + b"\n")
            assert await rooms.broadcast_to_room("crowd", message) == CROWD
            assert await process.stdout.readline() == b"heard\n"
            assert len(rooms.members("crowd")) == CROWD
    finally:
        process.stdin.close()
        await process.wait()
    await rest.again()
    assert rooms.members("crowd") == ()


@pytest.fixture
def inflating():
    process = subprocess.Popen(
        [sys.executable, str(HERE / "inflating.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline())
        yield process.pid, port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


OFFER = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]


@pytest.mark.parametrize("fragments", [1, 16])
def test_a_message_that_inflates_to_64_mib_is_1009_and_costs_little(inflating, fragments):
    process, port = inflating
    bomb = zlib.compressobj(9, zlib.DEFLATED, -12)
    packed = bomb.compress(bytes(64 * MIB)) + bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert len(packed) < 100_000
    size = len(packed) // fragments + 1
    parts = [packed[start : start + size] for start in range(0, len(packed), size)]
    frames = [binary(parts[0], fin=len(parts) == 1, rsv=4)]
    frames += [cont(part, fin=part is parts[-1]) for part in parts[1:]]
    with Peer(port) as bystander:
        bystander.open()
        before = resident(process)
        for _ in range(20):
            with Peer(port) as peer:
                assert "permessage-deflate" in peer.open(headers=OFFER).headers["sec-websocket-extensions"]
                peer.send(*frames).fails(1009)
        assert resident(process) - before < 16 * MIB
        bystander.send(text("still here")).expect(encode_frame(1, b"still here")).closes()
