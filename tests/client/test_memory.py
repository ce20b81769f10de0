"""What is special about connections within the process; the client's face is tested in test_client.py."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

import wslab
from wslab.client import memory
from wslab.client.memory import EngineClient, connect_memory
from wslab.errors import (
    ConnectionClosed,
    ConnectionRefused,
    NotRunningError,
    StartupError,
    WaitTimeoutError,
    WSLabError,
)
from wslab.session.pipe import connect_pipe
from wslab.wire import Close
from wslab.wire.engine import Engine
from wslab.wire.heads import HandshakeError
from wslab.wire.opening import accept_response, denial_response, read_upgrade

ENGINES = ["wslab", "websockets-sansio", "wsproto"]


def echo_lab(**options):
    lab = wslab.Lab(**options)

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)

    return lab


@pytest.fixture(params=ENGINES)
async def lab(request):
    lab = echo_lab(ws=request.param)
    yield lab
    await lab.stop()


# -- a lab that was not started --------------------------------------------------------------------
async def test_no_socket_is_opened(lab, monkeypatch):
    opened = []
    for name in ("bind", "connect", "listen"):
        monkeypatch.setattr(socket.socket, name, lambda *given, name=name: opened.append((name, given)))
    async with lab.connect("/echo", via="memory") as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    assert opened == []
    assert "without a port" in repr(lab)


async def test_it_is_labelled_and_recorded_like_any_other(lab):
    async with lab.connect("/echo?x=1", via="memory") as client:
        await client.send("hi")
        await client.receive(5)
    [row] = lab.connections
    assert (row.via, row.peer, row.path, row.state) == ("memory", "memory", "/echo?x=1", "closed")
    assert row.close == Close(1000, "", "client")
    assert row.request.startswith(b"GET /echo?x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert row.response.startswith(b"HTTP/1.1 101 ")
    assert [frame.name for frame in lab.frames] == ["TEXT", "TEXT", "CLOSE", "CLOSE"]


@pytest.mark.parametrize("ws", ENGINES)
async def test_the_record_is_what_a_socket_would_have_carried(ws):
    """All bytes: the heads but for what is random or the port, the frames but for the mask's key."""
    seen = {}
    for via in ("direct", "memory"):
        lab = echo_lab(ws=ws)
        await lab.start()
        client = await lab.connect("/echo", via=via)
        for text in ("", "hi", "x" * 200, "ü" * 70_000):
            await client.send(text)
            await client.receive(5)
        await client.close(4000, "bye")
        await lab.stop()
        frames = [(frame.direction, frame.name, frame.wire_length, frame.payload) for frame in lab.frames]
        [row] = lab.connections
        head = sorted(name.lower() for name, _ in row.response_head.headers)
        seen[via] = frames, head, row.received.bytes, row.sent.bytes
    assert seen["direct"] == seen["memory"]
    assert len(seen["memory"][0]) == 10


async def test_the_application_is_started_once_and_ended_by_stop():
    told = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        told.append("up")
        yield
        told.append("down")

    lab = wslab.Lab(wslab.App(lifespan=lifespan))
    lab.websocket("/")(_accept)
    async with lab.connect("/", via="memory"):
        pass
    async with lab.connect("/", via="memory"):
        assert told == ["up"]
    await lab.start()
    assert lab.port
    async with lab.connect("/"), lab.connect("/", via="memory"):
        assert told == ["up"]
    await lab.stop()
    assert told == ["up", "down"]


async def _accept(ws: wslab.WebSocket):
    await ws.accept()
    await ws.receive()


async def test_a_port_can_be_added_while_connections_go_on(lab):
    async with lab.connect("/echo", via="memory") as inside:
        with pytest.raises(NotRunningError, match="within this process only"):
            lab.url("/echo")
        await lab.start()
        async with lab.connect("/echo") as outside:
            for client in (inside, outside):
                await client.send("still here")
                assert await client.receive(5) == "still here"
    assert [row.via for row in lab.connections] == ["memory", "direct"]


async def test_a_stopped_lab_can_be_connected_to_again(lab):
    for _ in range(2):
        async with lab.connect("/echo", via="memory") as client:
            await client.send("hi")
            assert await client.receive(5) == "hi"
        await lab.stop()
        assert not lab.running


async def test_an_application_that_does_not_start_says_so():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise RuntimeError("no database")
        yield

    lab = wslab.Lab(wslab.App(lifespan=lifespan))
    with pytest.raises(StartupError, match="no database"):
        await lab.connect("/", via="memory")
    assert not lab.running


async def test_stopping_tells_clients_1012_and_leaves_no_task(lab):
    before = asyncio.all_tasks()
    clients = [await lab.connect("/echo", via="memory") for _ in range(20)]
    await lab.stop()
    for client in clients:
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(5)
        assert (caught.value.code, caught.value.by) == (1012, "server")
    assert not lab.connections.alive
    await lab.until(lambda: asyncio.all_tasks() == before)


async def test_an_endpoint_that_does_not_end_cannot_hold_the_stop(lab):
    @lab.websocket("/stuck")
    async def stuck(ws: wslab.WebSocket):
        await ws.accept()
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    released = asyncio.Event()
    client = await lab.connect("/stuck", via="memory")
    async with asyncio.timeout(10):
        await lab.stop()
    assert any("abandoned" in str(event) for event in lab.log)
    released.set()
    with pytest.raises(ConnectionClosed):
        await client.receive(5)


# -- the same door, the same endings ---------------------------------------------------------------
async def test_the_door_is_the_same_and_the_token_is_shown_where_it_is_asked_for():
    lab = echo_lab(auth="token", token="s3cret")
    async with lab.connect("/echo", via="memory") as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    assert "s3cret" not in repr([row.request for row in lab.connections])
    assert "s3cret" not in repr(client)
    await lab.stop()


async def test_a_page_of_another_origin_is_refused_as_on_a_socket(lab):
    with pytest.raises(ConnectionRefused, match="A page from") as caught:
        await lab.connect("/echo", via="memory", headers={"Origin": "https://evil.example"})
    assert caught.value.status == 403
    await lab.until(lambda: lab.connections[0].state == "refused")


async def test_a_client_that_is_cut_is_1006_at_once(lab):
    ended = asyncio.get_running_loop().create_future()

    @lab.websocket("/watch")
    async def watch(ws: wslab.WebSocket):
        await ws.accept()
        ended.set_result(await ws.receive())

    client = await lab.connect("/watch", via="memory")
    client.abort()
    async with asyncio.timeout(5):
        assert (await ended)["code"] == 1006
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.by) == (1006, "")
    await lab.until(lambda: lab.connections[0].close == Close(1006))


async def test_an_endpoint_that_raises_is_1011(lab):
    @lab.websocket("/fail")
    async def fail(ws: wslab.WebSocket):
        await ws.accept()
        raise ZeroDivisionError

    client = await lab.connect("/fail", via="memory")
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert caught.value.code == 1011


async def test_a_close_without_a_code_is_1005(lab):
    client = await lab.connect("/echo", via="memory")
    await client.close(None)
    assert (client.closed.code, client.closed.by) == (1005, "client")
    await lab.until(lambda: lab.connections[0].close == Close(1005, "", "client"))


async def test_a_slow_reader_stops_the_endpoint_and_not_the_memory(lab):
    """Flow control through the pipe: what is kept is bounded, whatever an endpoint would send."""
    sent = 0

    @lab.websocket("/push")
    async def push(ws: wslab.WebSocket):
        nonlocal sent
        await ws.accept()
        for _ in range(500):
            await ws.send_bytes(b"x" * 2**16)
            sent += 1

    client = await lab.connect("/push", via="memory")
    await lab.until(lambda: client.pending >= memory.INBOX // 2**16)
    for _ in range(200):  # turns of the loop, in which an unbounded endpoint would have ended
        await asyncio.sleep(0)
    assert sent < 100
    received = [message async for message in client]
    assert (len(received), sent) == (500, 500)


async def test_a_server_that_is_slow_stops_the_sender():
    class Mute(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(accept_response(read_upgrade(data)))
            self.transport.pause_reading()

    mute = Mute()
    client = await connect_memory(lambda client: connect_pipe(client, mute), "/")
    sending = asyncio.create_task(client.send(b"x" * 2**20))
    done, _ = await asyncio.wait([sending], timeout=0.05)
    assert not done
    mute.transport.abort()
    await sending  # it was given to the transport: the end is the next one's to tell
    with pytest.raises(ConnectionClosed):
        await client.send(b"")


# -- servers that break the rules ------------------------------------------------------------------
class Server(asyncio.Protocol):
    """Answers the request with what a test says."""

    def __init__(self, answer):
        self.answer = answer
        self.received = b""
        self.head = b""
        self.asked, self.told, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.head:
            self.received += data
            self.told.set()
            return
        self.head = data
        self.asked.set()
        for piece in self.answer(read_upgrade(data)):
            if piece is None:
                self.transport.close()
            else:
                self.transport.write(piece)

    def connection_lost(self, _):
        self.lost.set()


def connect_to(answer, **options):
    server = Server(answer)
    return server, connect_memory(lambda client: connect_pipe(client, server), "/", **options)


async def test_frames_that_came_with_the_answer_are_received():
    _, connecting = connect_to(lambda request: [accept_response(request) + Engine().text("at once")])
    client = await connecting
    assert await client.receive(5) == "at once"
    client.abort()


async def test_an_answer_in_pieces_is_read():
    server, connecting = connect_to(lambda _: [])
    opening = asyncio.create_task(connecting.open())
    await server.asked.wait()
    for byte in accept_response(read_upgrade(server.head)):
        server.transport.write(bytes([byte]))
        await asyncio.sleep(0)
    client = await opening
    client.abort()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"x" * 70_000,
    ],
)
async def test_an_answer_that_is_no_websockets_is_refused(answer):
    server, connecting = connect_to(lambda _: [answer])
    with pytest.raises(HandshakeError):
        await connecting
    await server.lost.wait()


async def test_extensions_that_were_not_offered_are_refused():
    _, connecting = connect_to(lambda request: [accept_response(request, extensions="permessage-deflate")])
    with pytest.raises(HandshakeError, match="extension"):
        await connecting


@pytest.mark.parametrize("last", [[], [None]], ids=["by length", "by its end"])
async def test_a_refusal_has_its_whole_body(last):
    text = b"because of this"
    whole = denial_response(403, [], text)
    if last:
        whole = whole.replace(b"content-length: 15\r\n", b"")
    _, connecting = connect_to(lambda _: [whole[:-5], whole[-5:], *last])
    with pytest.raises(ConnectionRefused, match="because of this") as caught:
        await connecting
    assert caught.value.status == 403


async def test_a_server_that_ends_without_an_answer_is_an_os_error():
    _, connecting = connect_to(lambda _: [None])
    with pytest.raises((ConnectionRefused, OSError)):
        await connecting


async def test_a_server_that_does_not_answer_times_out_and_is_cut():
    server, connecting = connect_to(lambda _: [], timeout=0.02)
    with pytest.raises(WaitTimeoutError, match="opening handshake"):
        await connecting
    await server.lost.wait()


async def test_giving_up_the_opening_cuts_it():
    server, connecting = connect_to(lambda _: [])
    opening = asyncio.create_task(connecting.open())
    await server.asked.wait()
    opening.cancel()
    await asyncio.wait([opening])
    await server.lost.wait()


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"\x81\x82\0\0\0\0hi", 1002), (b"\x81\x02\xff\xff", 1007), (b"\x83\x00", 1002)],
    ids=["masked", "not UTF-8", "reserved opcode"],
)
async def test_a_frame_that_breaks_the_rules_fails_the_connection(frame, code):
    server, connecting = connect_to(
        lambda request: [accept_response(request), Engine().text("before") + frame]
    )
    client = await connecting
    assert await client.receive(5) == "before"
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.by) == (1006, "client")
    await server.lost.wait()
    assert Engine().receive(server.received)[0][1][0] == code


async def test_pings_are_answered_and_a_late_pong_is_nobodys():
    engine = Engine()
    server, connecting = connect_to(
        lambda request: [accept_response(request), engine.ping(b"are you there") + engine.pong(b"unasked")]
    )
    client = await connecting
    await server.told.wait()
    assert engine.receive(server.received) == [(10, b"are you there")]
    client.abort()


async def test_a_server_that_never_ends_is_left_after_our_close(monkeypatch):
    monkeypatch.setattr(memory, "CLOSE_TIMEOUT", 0.02)
    server, connecting = connect_to(lambda request: [accept_response(request)])
    client = await connecting
    await client.close(1000)
    assert (client.closed.code, client.closed.by) == (1006, "client")
    await server.lost.wait()


async def test_a_server_that_closes_and_does_not_end_is_left_too(monkeypatch):
    monkeypatch.setattr(memory, "CLOSE_TIMEOUT", 0.02)
    server, connecting = connect_to(lambda request: [accept_response(request), Engine().close(1001, "bye")])
    client = await connecting
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason, caught.value.by) == (1001, "bye", "server")
    assert Engine().receive(server.received) == [(8, (1001, "bye"))]


async def test_a_request_that_cannot_be_written_is_refused_before_anything_is_sent():
    with pytest.raises(WSLabError, match="header"):
        EngineClient("memory:/", "/", "localhost", headers={"X": "a\r\nEvil: 1"})


async def test_two_who_receive_get_a_message_each(lab):
    async with lab.connect("/echo", via="memory") as client:
        receivers = [asyncio.create_task(client.receive(5)) for _ in range(2)]
        await asyncio.sleep(0)
        await client.send("one")
        await client.send("two")
        assert await asyncio.gather(*receivers) == ["one", "two"]


async def test_all_who_wait_are_told_of_the_end(lab):
    client = await lab.connect("/echo", via="memory")
    waiting = [asyncio.create_task(client.receive()) for _ in range(3)]
    waiting.append(asyncio.create_task(client.ping(None)))
    await asyncio.sleep(0)
    client.abort()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [ConnectionClosed] * 4


@pytest.mark.parametrize("via", ["memory", "tunnel"])
async def test_a_way_without_an_address_has_no_url(lab, via):
    with pytest.raises(WSLabError, match="opens no port"):
        lab.url("/echo", via=via)


async def test_a_caller_in_another_loop_gets_a_client_that_loses_nothing():
    """With a thread of its own the lab's loop is another one than the caller's."""
    lab = echo_lab(loop="thread")
    async with lab.connect("/echo", via="memory") as client:
        received = []
        for number in range(50):
            with contextlib.suppress(WaitTimeoutError):
                received.append(await client.receive(timeout=0))  # given up at whatever moment
            await client.send(str(number))
        while len(received) < 50:
            received.append(await client.receive(5))
        assert received == [str(number) for number in range(50)]
    await lab.stop()


async def test_an_endpoint_that_holds_the_labs_thread_cannot_hold_the_stop():
    lab = echo_lab(loop="thread", ws="wslab")
    held, let_go = threading.Event(), threading.Event()

    @lab.websocket("/hold")
    async def hold(ws: wslab.WebSocket):
        await ws.accept()
        await ws.receive()
        held.set()
        let_go.wait(30)

    client = await lab.connect("/hold", via="memory")
    # The client lives in the loop that is held: what it sent arrives, and is told to be sent only afterwards.
    sending = asyncio.create_task(client.send("hold"))
    assert await asyncio.to_thread(held.wait, 20)
    async with asyncio.timeout(10):
        await lab.stop()
    assert not lab.running
    assert any("abandoned" in str(event) for event in lab.log)
    let_go.set()
    await asyncio.wait([sending])
    await lab.until(lambda: not lab.connections.alive)


async def test_a_close_that_is_cancelled_while_the_connection_is_cut_harms_nothing(monkeypatch):
    monkeypatch.setattr(memory, "CLOSE_TIMEOUT", 0)  # the server never answers a close frame
    raised = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    server, connecting = connect_to(lambda request: [accept_response(request)])
    client = await connecting
    closing = asyncio.create_task(client.close())
    while not client._transport.is_closing():  # noqa: ASYNC110 - the very turn in which it is cut
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    while client.closed is None:  # noqa: ASYNC110 - a transport has no event; pytest's time-out ends it
        await asyncio.sleep(0)
    assert (client._gone.cancelled(), raised) == (False, [])
    assert server.head
