"""Which line sent or received what, and the other things a record knows, with every implementation."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import fastapi
import pytest
from starlette.websockets import WebSocketDisconnect

from wslab import App, Lab, RoomManager

ENGINES = ("wslab", "websockets-sansio", "wsproto")
HERE = Path(__file__).name


def line_here() -> int:
    return sys._getframe(1).f_lineno


@pytest.fixture(params=ENGINES)
def ws(request):
    return request.param


@pytest.fixture(params=[App, fastapi.FastAPI], ids=["App", "FastAPI"])
def make_app(request):
    return request.param


def lines_of(lab, direction):
    messages = [message for message in lab.frames.messages() if message.direction == direction]
    return [(message.text, message.site and message.site.line) for message in messages]


async def test_every_message_has_its_line(ws, make_app):
    app = make_app()
    lines = {}

    @app.websocket("/talk")
    async def talk(websocket: fastapi.WebSocket):
        await websocket.accept()
        lines["hello"] = line_here() + 1
        await websocket.send_text("hello")
        for _ in range(3):
            lines["in"] = line_here() + 1
            text = await websocket.receive_text()
            lines["a"] = line_here() + 1
            await websocket.send_text(text + "a")
            lines["b"] = line_here() + 1
            await websocket.send_json(text + "b")
        lines["last"] = line_here() + 1
        await websocket.receive_text()

    lab = Lab(app, ws=ws)
    await lab.start()
    async with lab.connect("/talk") as client:
        assert await client.receive() == "hello"
        for number in range(3):
            await client.send(str(number))
            await client.receive()
            await client.receive()
        await client.send("last")
    await lab.stop()
    assert lines_of(lab, "in") == [(str(number), lines["in"]) for number in range(3)] + [
        ("last", lines["last"])
    ]
    expected = [("hello", lines["hello"])]
    for number in range(3):
        expected += [(f"{number}a", lines["a"]), (f'"{number}b"', lines["b"])]
    assert lines_of(lab, "out") == expected
    assert {message.site.file for message in lab.frames.messages()} == {HERE} or all(
        message.site.file.endswith(HERE) for message in lab.frames.messages()
    )


async def test_a_room_is_recorded_once_with_the_line_that_broadcast():
    app, rooms, lines = App(), RoomManager(announce=False), {}

    @app.websocket("/room")
    async def room(websocket: fastapi.WebSocket):
        await rooms.join_room(websocket, "lobby")
        try:
            async for text in websocket.iter_text():
                lines["broadcast"] = line_here() + 1
                await rooms.broadcast_to_room("lobby", text)
        except WebSocketDisconnect:
            rooms.leave_room(websocket)

    lab = Lab(app)
    await lab.start()
    clients = [await lab.connect("/room") for _ in range(5)]
    await clients[0].send("to all")
    assert [await client.receive(5) for client in clients] == ["to all"] * 5
    [frame] = lab.frames.where('dir==out && text=="to all"')
    assert sorted(connection.id for connection in frame.connections) == ["c1", "c2", "c3", "c4", "c5"]
    assert frame.site.line == lines["broadcast"]
    [message] = [message for message in lab.frames.messages() if message.direction == "out"]
    assert (message.connections, message.site) == (frame.connections, frame.site)
    assert [frame.text for frame in lab.frames.of("c4")] == ["to all"]
    assert [row.sent.messages for row in lab.connections] == [1] * 5
    for client in clients:
        await client.close()
    await lab.stop()


@pytest.mark.parametrize("options", [{"lines": False}, {"capture": False}])
async def test_lines_can_be_switched_off(ws, options):
    lab = Lab(ws=ws, **options)

    @lab.websocket("/echo")
    async def echo(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    await lab.start()
    async with lab.connect("/echo") as client:
        await client.send("hi")
        assert await client.receive() == "hi"
    await lab.stop()
    assert lab.connections[0].received.readers is None
    assert all(message.site is None for message in lab.frames.messages())
    assert (len(lab.frames) > 0) is options.get("capture", True)


@pytest.mark.parametrize("via", ["direct", "memory"])
async def test_our_own_clients_say_when_they_sent(ws, via):
    lab = Lab(ws=ws)

    @lab.websocket("/slow")
    async def slow(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    await lab.start()
    before = time.time()
    async with lab.connect("/slow", via=via) as client:
        await client.ping()
        for text in ("first", "x" * 50_000, "last"):
            await client.send(text)
            await client.receive()
    sent = [message for message in lab.frames.messages() if message.direction == "in"]
    assert [message.text for message in sent] == ["first", "x" * 50_000, "last"]
    for message in sent:
        assert before <= message.sent_at <= message.at
    assert all(message.sent_at is None for message in lab.frames.messages() if message.direction == "out")
    await lab.stop()


async def test_a_client_of_a_lab_in_a_thread_says_when_it_sent():
    lab = Lab(loop="thread")

    @lab.websocket("/echo")
    async def echo(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    await lab.start()
    async with lab.connect("/echo", via="memory") as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    await lab.stop()
    [message] = [message for message in lab.frames.messages() if message.direction == "in"]
    assert message.sent_at <= message.at


async def test_a_frame_that_waited_for_a_held_loop_says_so():
    lab = Lab()

    @lab.websocket("/echo")
    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    await lab.start()
    async with lab.connect("/echo") as client:
        held = asyncio.Event()
        stop = lab.log.subscribe(lambda event: held.set() if type(event).__name__ == "LoopHeld" else None)
        await client.send("before")
        await client.receive()
        while not held.is_set():
            await client.send("late")
            end = time.monotonic() + 0.4
            while time.monotonic() < end:  # a cell that keeps the loop
                pass
            await client.receive()
            await asyncio.sleep(0)
        stop()
    await lab.stop()
    late = [
        message for message in lab.frames.messages() if message.text == "late" and message.direction == "in"
    ]
    assert max(message.lag for message in late) > 0.1
    slowest = max(late, key=lambda message: message.lag).explain()
    names = {field.name: field.raw for field in slowest.fields}
    assert names["event"] == "websocket.receive"
    assert HERE in names["line"]
    assert float(names["loop lag"].removesuffix(" ms")) > 100
    assert float(names["under way"].removesuffix(" ms")) > 300
    assert min(message.at - message.sent_at for message in late) > 0.3
