"""Receiving with a time-out, and the end of a connection: no message is lost."""

import asyncio
import threading

import pytest
from starlette.websockets import WebSocketState

from wslab.asgi import WebSocket, WebSocketDisconnect
from wslab.asgi.inbox import MAX_BYTES, MAX_MESSAGES
from wslab.errors import WaitTimeoutError, WSLabError


def text(value):
    return {"type": "websocket.receive", "text": value}


GONE = {"type": "websocket.disconnect", "code": 1001, "reason": "away"}


class Server:
    """A server whose `receive` loses a message when it is cancelled while one arrives: the worst allowed."""

    def __init__(self):
        self.queue = [{"type": "websocket.connect"}]
        self.waiting = None
        self.reads = 0
        self.sent = []
        self.broken = False

    def give(self, *messages):
        for message in messages:
            if self.waiting is not None:
                self.waiting.set_result(message)
                self.waiting = None
            else:
                self.queue.append(message)

    async def receive(self):
        assert self.waiting is None, "two receives at once"
        self.reads += 1
        if self.queue:
            message = self.queue.pop(0)
            if isinstance(message, Exception):
                raise message
            return message
        self.waiting = asyncio.get_running_loop().create_future()
        return await self.waiting

    async def send(self, message):
        if self.broken:
            raise BrokenPipeError
        self.sent.append(message)


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def ws(server):
    websocket = WebSocket({"type": "websocket", "path": "/"}, server.receive, server.send)
    await websocket.accept()
    return websocket


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


RECEIVES = {
    "receive": (lambda ws, timeout: ws.receive(timeout=timeout), text("[1]"), text("[1]")),
    "receive_text": (lambda ws, timeout: ws.receive_text(timeout=timeout), text("[1]"), "[1]"),
    "receive_json": (lambda ws, timeout: ws.receive_json(timeout=timeout), text("[1]"), [1]),
    "receive_bytes": (
        lambda ws, timeout: ws.receive_bytes(timeout=timeout),
        {"type": "websocket.receive", "bytes": b"[1]"},
        b"[1]",
    ),
    "binary json": (
        lambda ws, timeout: ws.receive_json("binary", timeout=timeout),
        {"type": "websocket.receive", "bytes": b"[1]"},
        [1],
    ),
}


@pytest.mark.parametrize("name", RECEIVES)
async def test_a_message_that_comes_too_late_is_there_the_next_time(ws, server, name):
    receive, message, expected = RECEIVES[name]
    with pytest.raises(TimeoutError, match="Expected a message within 0 s, but none came") as caught:
        await receive(ws, 0)
    assert isinstance(caught.value, WaitTimeoutError)
    assert isinstance(caught.value, WSLabError)
    server.give(message, message)
    assert await receive(ws, 60) == expected
    assert await receive(ws, None) == expected


async def test_what_has_arrived_is_taken_without_waiting(ws, server):
    server.give(text("a"), text("b"))
    assert await ws.receive_text(timeout=0) == "a"
    assert await ws.receive_text(timeout=0) == "b"
    with pytest.raises(WaitTimeoutError):
        await ws.receive_text(timeout=0)


async def test_a_time_out_reads_no_further_than_asked(ws, server):
    server.give(text("a"), text("b"), text("c"))
    before = server.reads
    assert await ws.receive_text(timeout=60) == "a"
    await turns()
    assert server.reads == before + 1  # the rest stays with the server, whose backpressure it is


async def test_a_cancelled_receive_loses_nothing_once_there_is_an_inbox(ws, server):
    with pytest.raises(WaitTimeoutError):
        await ws.receive_text(timeout=0)
    reader = asyncio.ensure_future(ws.receive_text())
    await turns()
    server.give(text("a"))
    reader.cancel()
    await asyncio.wait({reader})
    assert await ws.receive_text() == "a"


async def test_order_is_kept_over_many_time_outs(ws, server):
    got = []

    async def give():
        for number in range(200):
            server.give(text(str(number)))
            if number % 7 == 0:
                await asyncio.sleep(0)
        server.give(GONE)

    giver = asyncio.ensure_future(give())
    while True:
        try:
            got.append(int(await ws.receive_text(timeout=0)))
        except WaitTimeoutError:
            await asyncio.sleep(0)
        except WebSocketDisconnect as closing:
            end = (closing.code, closing.reason)
            break
    await giver
    assert got == list(range(200))
    assert end == (1001, "away")
    assert ws.client_state is WebSocketState.DISCONNECTED


async def test_a_receive_that_began_without_an_inbox_is_not_overtaken(ws, server):
    first = asyncio.ensure_future(ws.receive_text())
    await turns()
    second = asyncio.ensure_future(ws.receive_text(timeout=60))
    await turns()
    server.give(text("a"))
    await turns()
    server.give(text("b"))
    assert await first == "a"
    assert await second == "b"


async def test_what_waits_with_a_time_out_waits_for_every_receive_that_began_without():
    messages = asyncio.Queue()
    reads = 0

    async def receive():
        nonlocal reads
        reads += 1
        return await messages.get()

    async def send(message): ...

    ws = WebSocket({"type": "websocket", "path": "/"}, receive, send)
    messages.put_nowait({"type": "websocket.connect"})
    await ws.accept()
    first, second = (asyncio.ensure_future(ws.receive_text()) for _ in range(2))
    await turns()
    third = asyncio.ensure_future(ws.receive_text(timeout=60))
    await turns()
    messages.put_nowait(text("a"))
    assert await first == "a"
    await turns()
    assert reads == 3  # the handshake and the two: the second is under way still
    messages.put_nowait(text("b"))
    assert await second == "b"
    messages.put_nowait(text("c"))
    assert await third == "c"


async def test_what_the_server_raises_is_raised_where_the_endpoint_asks(ws, server):
    server.give(text("a"), LookupError("broken"))
    assert not ws.disconnected
    await turns()
    assert ws.disconnected
    assert await ws.receive_text() == "a"
    with pytest.raises(LookupError, match="broken"):
        await ws.receive_text(timeout=60)
    assert (await ws.disconnected).code == 1006


async def test_a_subclass_may_override_receive_as_starlette_has_it(server):
    class Shouting(WebSocket):
        async def receive(self):
            message = await super().receive()
            return {**message, "text": message["text"].upper()} if message.get("text") else message

    ws = Shouting({"type": "websocket"}, server.receive, server.send)
    await ws.accept()
    server.give(text("a"))
    assert await ws.receive_text() == "A"


# --- the end


async def test_the_end_can_be_awaited_while_messages_wait(ws, server):
    waits = [asyncio.ensure_future(ws.disconnected.wait()) for _ in range(2)]
    server.give(text("a"), text("b"), GONE)
    closing = await ws.disconnected
    assert (closing.code, closing.reason) == (1001, "away")
    assert await asyncio.gather(*waits) == [closing, closing]
    assert ws.client_state is WebSocketState.CONNECTED  # not told yet: two messages come first
    assert [await ws.receive_text(), await ws.receive_text(timeout=60)] == ["a", "b"]
    with pytest.raises(WebSocketDisconnect):
        await ws.receive_text()
    assert repr(ws.disconnected) == "<Disconnection 1001 'away'>"


async def test_a_loop_that_only_sends_ends_with_the_connection(ws, server):
    ticks = 0
    while not ws.disconnected:
        await ws.send_text("tick")
        ticks += 1
        if ticks == 3:
            server.give(GONE)
        await asyncio.sleep(0)
    assert 3 <= ticks <= 6
    assert repr(ws.disconnected).startswith("<Disconnection 1001")


async def test_before_the_end_it_is_false_and_says_so(ws):
    assert not ws.disconnected
    assert repr(ws.disconnected) == "<Disconnection: not yet>"


async def test_a_cancelled_wait_is_forgotten(ws, server):
    waiting = asyncio.ensure_future(ws.disconnected.wait())
    await turns()
    waiting.cancel()
    await asyncio.wait({waiting})
    server.give(GONE)
    assert (await ws.disconnected).code == 1001


async def test_a_wait_that_is_cancelled_as_the_end_comes_harms_no_other(ws):
    cancelled, waiting = (asyncio.ensure_future(ws.disconnected.wait()) for _ in range(2))
    await turns()
    cancelled.cancel()
    await ws.close(3000, "enough")  # notes the end before the cancelled task has run
    assert (await waiting).code == 3000
    await asyncio.wait({cancelled})
    assert cancelled.cancelled()


async def test_a_receive_under_way_notices_the_end_for_all(ws, server):
    reader = asyncio.ensure_future(ws.receive_text())
    await turns()
    waiting = asyncio.ensure_future(ws.disconnected.wait())
    await turns()
    server.give(GONE)
    with pytest.raises(WebSocketDisconnect):
        await reader
    assert (await waiting).code == 1001


async def test_the_own_close_is_an_end(ws, server):
    waiting = asyncio.ensure_future(ws.disconnected.wait())
    await turns()
    await ws.close(3000, "enough")
    assert ws.disconnected
    assert ((await waiting).code, (await ws.disconnected).reason) == (3000, "enough")


async def test_a_failed_send_is_an_end_with_the_code_that_is_known(ws, server):
    server.broken = True
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.send_text("a")
    assert caught.value.code == 1006
    assert ws.disconnected
    assert (await ws.disconnected).code == 1006


async def test_a_failed_send_after_a_noticed_end_carries_its_code(ws, server):
    server.give(GONE)
    await ws.disconnected
    server.broken = True
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.send_text("a")
    assert (caught.value.code, caught.value.reason) == (1001, "away")


async def test_a_watched_connection_reads_ahead_within_limits(ws, server):
    server.give(*[text("x")] * (MAX_MESSAGES * 2), GONE)
    before = server.reads
    assert not ws.disconnected
    await turns(10)
    assert server.reads == before + MAX_MESSAGES
    for _ in range(MAX_MESSAGES * 2):
        assert await ws.receive_text() == "x"
        await turns(2)
    assert ws.disconnected


async def test_a_watched_connection_counts_bytes_too(ws, server):
    half = {"type": "websocket.receive", "bytes": bytes(MAX_BYTES // 2)}
    server.give(half, half, half, half)
    before = server.reads
    assert not ws.disconnected
    await turns(10)
    assert server.reads == before + 2


async def test_a_thread_may_look_but_does_not_begin_to_read(ws, server):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(bool(ws.disconnected)))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert seen == [False]
    server.give(GONE)
    assert (await ws.disconnected).code == 1001


async def test_typed_messages_are_validated(ws, server):
    server.give(text("1"), text('"x"'), text("2"), GONE)
    assert [number async for number in ws.iter_model(int)] == [1, 2]
    assert len(server.sent) == 2  # the accept, and the reply to the bad message
