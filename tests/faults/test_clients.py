"""Clients that die, fall silent, flood or never finish; afterwards the lab is as it was."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from tests.faults.harness import Rest, leave_all, many_files, new_client
from tests.soak.measures import resident
from wslab import App, Limits, WebSocket
from wslab.rooms import RoomManager
from wslab.server.protocol import WebSocketProtocol
from wslab.wire import Opcode, encode_frame

MASK = b"\0\0\0\0"


class Venue:
    """An application with a room, an endpoint that pushes, and one that echoes."""

    def __init__(self) -> None:
        self.app = App()
        self.rooms = RoomManager("drop_oldest", limit=16, announce=False)
        self.codes: list[int] = []
        self.pushing = 0
        self.app.websocket("/room/{name}")(self.room)
        self.app.websocket("/push")(self.push)
        self.app.websocket("/echo")(self.echo)

    async def room(self, ws: WebSocket, name: str):
        await self.rooms.join_room(ws, name)
        try:
            async for text in ws.iter_text():
                await self.rooms.broadcast_to_room(name, text)
        finally:
            self.rooms.leave_room(ws)

    async def push(self, ws: WebSocket):
        await ws.accept()
        self.pushing += 1
        try:
            while True:
                await ws.send_bytes(bytes(16384))
        finally:
            self.pushing -= 1

    async def echo(self, ws: WebSocket):
        await ws.accept()
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                self.codes.append(message["code"])
                return
            await ws.send_text(message["text"])


@pytest.fixture
def venue():
    return Venue()


async def answered(client, words=20):
    """Another connection is served meanwhile."""
    for number in range(words):
        await client.send(str(number))
        async with asyncio.timeout(20):
            assert (await client.receive()).payload == str(number).encode()


def empty(venue):
    manager = venue.rooms
    return (dict(manager.rooms), manager._rooms_of, manager._outboxes) == ({}, {}, {})


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("path", ["/echo", "/room/a", "/push"])
async def test_thirty_clients_killed_leave_nothing(serve, visitors, venue, path, how):
    lab, _ = await serve(venue.app)
    (bystander,) = await visitors(lab, "/echo")
    rest = Rest(lab)
    clients = await visitors(lab, path, 30)
    half = clients[0].frame("x" * 200)
    for number, client in enumerate(clients):
        if path != "/push":
            client.writer.write(half[: number * 6])  # in the middle of a frame, each elsewhere
        if how == "RST":
            await client.reset()
        else:
            client.writer.close()
    await answered(bystander)
    await leave_all(clients)
    await rest.again()
    assert empty(venue)
    assert venue.pushing == 0
    ended = [row.close.code for row in lab.connections if row.ended_at]
    assert ended == [1006] * 30
    if path == "/echo":
        assert venue.codes == [1006] * 30


async def test_a_client_that_shuts_its_side_only_is_1006(serve, visitors, venue):
    lab, rest = await serve(venue.app)
    clients = [*await visitors(lab, "/echo", 5), *await visitors(lab, "/room/half", 5)]
    for client in clients:
        client.writer.write_eof()
    for client in clients:
        assert await client.end() == 1006
    await leave_all(clients)
    await rest.again()
    assert empty(venue)
    assert venue.codes == [1006] * 5


async def test_a_stalled_client_that_shuts_its_side_is_released(serve, visitors, venue, monkeypatch):
    monkeypatch.setattr(WebSocketProtocol, "close_timeout", 0.3)
    # Its end has come, but what it has not read stands before ours.
    lab, rest = await serve(venue.app)
    clients = await visitors(lab, "/push", 5, small=True)
    await lab.until(lambda: venue.pushing == 5)
    for client in clients:
        client.writer.write_eof()
    await rest_of_server(rest)
    await leave_all(clients)
    await rest.again()
    assert venue.pushing == 0


async def rest_of_server(rest):
    """Wait until the server has let go, whatever the clients' ends still hold."""
    lab = rest.lab
    state = lab._core.server._server.server_state
    await lab.until(lambda: not (state.connections or state.tasks or lab.connections.alive), 20)


async def test_mute_clients_are_cut_and_talking_ones_are_not(serve, visitors, venue):
    lab, _ = await serve(venue.app, ping_interval=0.15, ping_timeout=0.3)
    (bystander,) = await visitors(lab, "/echo")
    listening = asyncio.ensure_future(bystander.receive())  # it answers pings
    await asyncio.sleep(0)
    before = len(lab.connections.alive)
    clients = [*await visitors(lab, "/echo", 10), *await visitors(lab, "/room/mute", 10)]
    await lab.until(lambda: len(lab.connections.alive) == before, 20)
    assert {row.close.code for row in lab.connections if row.ended_at} == {1006}
    assert venue.codes == [1006] * 10
    assert empty(venue)
    assert not listening.done()
    await bystander.send("still here")
    assert (await listening).payload == b"still here"
    await leave_all(clients)


async def test_stalled_readers_cost_bounded_memory_and_are_released(serve, visitors, venue):
    lab, _ = await serve(venue.app, ping_interval=0.5, ping_timeout=1.5)
    lab.recorder.budget = 2**20
    rest = Rest(lab)
    before = resident()
    stalled = await visitors(lab, "/push", 20, small=True)
    members = await visitors(lab, "/room/stalled", 5, small=True)
    (quick,) = await visitors(lab, "/room/stalled")
    await lab.until(lambda: venue.pushing == 20)
    for number in range(200):
        await venue.rooms.broadcast_to_room("stalled", f"{number} {'x' * 20_000}")
        async with asyncio.timeout(20):
            assert (await quick.receive()).payload.startswith(b"%d " % number)
    buffered = [session.channel.buffered for session in lab._core.app_host.sessions.values()]
    assert max(buffered) < 2**20
    await quick.close()
    await rest_of_server(rest)  # none of them has read a byte: each was cut for its silence
    assert resident() - before < 64 * 2**20
    await leave_all([*stalled, *members, quick])
    await rest.again()
    assert empty(venue)


async def test_a_flood_into_a_slow_endpoint_is_held_back_and_lost_nowhere(serve, visitors):
    count = 400_000
    app, go, done = App(), asyncio.Event(), asyncio.get_running_loop().create_future()

    @app.websocket("/slow")
    async def slow(ws: WebSocket):
        await ws.accept()
        await go.wait()
        expected = 0
        async for text in ws.iter_text():
            if text != str(expected):
                break
            expected += 1
            if expected % 1000 == 0:
                await asyncio.sleep(0)
        done.set_result(expected)

    venue = Venue()
    app.websocket("/echo")(venue.echo)
    lab, rest = await serve(app)
    lab.recorder.budget = 2**20
    (bystander,) = await visitors(lab, "/echo")
    (client,) = await visitors(lab, "/slow")
    before = resident()
    frames = b"".join(encode_frame(Opcode.TEXT, b"%d" % number, mask=MASK) for number in range(count))
    frames += encode_frame(Opcode.CLOSE, (1000).to_bytes(2), mask=MASK)
    sock = client.writer.get_extra_info("socket").dup()
    sock.setblocking(True)
    flood = threading.Thread(target=sock.sendall, args=(frames,))
    flood.start()
    session = lab._core.app_host.sessions["c2"]
    await lab.until(lambda: session.channel._paused, 20)
    waiting = len(session.channel._backlog)
    assert waiting < 70_000  # what one read can bring, and no second one
    await answered(bystander)
    assert session.channel._paused
    assert len(session.channel._backlog) == waiting
    go.set()
    while not done.done():
        await answered(bystander, 5)
    assert done.result() == count
    flood.join()
    assert resident() - before < 128 * 2**20
    sock.close()
    assert await client.end() == 1000
    await leave_all([client, bystander])
    await rest.again()


async def test_pings_that_nobody_reads_the_answers_of_cost_bounded_memory(serve, visitors, venue):
    lab, _ = await serve(venue.app)
    lab.recorder.budget = 2**20
    (bystander,) = await visitors(lab, "/echo")
    (client,) = await visitors(lab, "/echo", small=True)
    before = resident()
    pings = encode_frame(Opcode.PING, b"p" * 125, mask=MASK) * 1000
    sock = client.writer.get_extra_info("socket").dup()
    sock.setblocking(True)
    flood = threading.Thread(target=sock.sendall, args=(pings * 300,))  # 39 MB
    flood.start()
    while flood.is_alive():
        await answered(bystander, 5)
    session = lab._core.app_host.sessions["c2"]
    assert session.channel.buffered < 2**20
    assert resident() - before < 64 * 2**20
    sock.close()
    await client.send("and this?")
    found = b""
    async with asyncio.timeout(20):
        while not found.endswith(b"and this?"):
            found = (found + await client.reader.read(65536))[-100:]
    await leave_all([client, bystander])


async def test_a_client_that_does_not_answer_a_close_frame_is_cut(serve, visitors, monkeypatch):
    monkeypatch.setattr(WebSocketProtocol, "close_timeout", 0.3)
    app = App()

    @app.websocket("/returns")
    async def returns(ws: WebSocket):
        await ws.accept()

    lab, rest = await serve(app)
    clients = await visitors(lab, "/returns", 5)
    for client in clients:
        assert await client.end() == 1000  # read, and left without an answer
    for client in clients:
        async with asyncio.timeout(20):
            assert await client.reader.read() == b""
    await leave_all(clients)
    await rest.again()


async def test_a_thousand_half_done_handshakes_are_ended(serve, visitors, venue):
    assert many_files(2200) >= 2200
    lab, rest = await serve(venue.app, limits=Limits(handshake=1.0, connections=50))
    request = b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    clients = [new_client(lab, number) for number in range(1000)]
    for number, client in enumerate(clients):
        await client.connect()
        client.writer.write(request[: number % len(request)])
    (bystander,) = await visitors(lab, "/echo")
    await answered(bystander)
    for client in clients:
        async with asyncio.timeout(20):
            said = await client.reader.read()
        assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
    await answered(bystander)
    await leave_all([*clients, bystander])
    await rest.again()


async def test_connections_that_say_nothing_at_all_are_ended(serve, venue):
    lab, rest = await serve(venue.app, limits=Limits(handshake=0.3))
    clients = [new_client(lab, number) for number in range(20)]
    for client in clients:
        await client.connect()
    for client in clients:
        async with asyncio.timeout(20):
            await client.reader.read()
    await leave_all(clients)
    await rest.again()


async def test_a_client_killed_between_its_request_and_the_answer_leaves_nothing(serve):
    app, arrived, go = App(), asyncio.Semaphore(0), asyncio.Event()

    @app.websocket("/late")
    async def late(ws: WebSocket):
        arrived.release()
        await go.wait()
        await ws.accept()
        await ws.send_text("too late")
        await ws.receive_text()

    lab, rest = await serve(app)
    clients = [new_client(lab, number) for number in range(10)]
    for client in clients:
        await client.connect()
        client.ask("/late")
        await arrived.acquire()
    for number, client in enumerate(clients):
        if number % 2:
            await client.reset()
        else:
            client.writer.close()
    await leave_all(clients)
    go.set()
    await rest.again()


def test_a_reset_is_what_it_says():
    """The harness's own: SO_LINGER of 0 makes the other end see a reset, and not an end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
        with other:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
            with pytest.raises(ConnectionResetError):
                other.recv(1)
