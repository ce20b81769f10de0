from __future__ import annotations

import asyncio

import pytest

from wslab.journal import Journal
from wslab.session.driver import Driver, DriverSettings, State
from wslab.wire import Connection, ConnectionTable, Recorder
from wslab.wire.engine import Engine
from wslab.wire.frames import Opcode, encode_frame, parse_frame
from wslab.wire.opening import read_upgrade

HEAD = (
    b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Wire(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.reading = True
        self.closed = self.aborted = self.half_closed = False
        self.cut = asyncio.Event()

    def write(self, data):
        self.writes.append(bytes(data))

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = self.closed = True
        self.cut.set()

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.half_closed = True

    def get_write_buffer_size(self):
        return 0

    @property
    def frames(self):
        found, data = [], b"".join(self.writes)
        data = data.partition(b"\r\n\r\n")[2]
        while data:
            frame = parse_frame(data)
            found.append((frame.opcode, frame.payload))
            data = data[len(frame.raw) :]
        return found


class Observer:
    """Where a connection is recorded."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.connections = ConnectionTable(self.recorder)
        self.journal = Journal()


class Open:
    """An accepted connection, and its client's engine."""

    def __init__(self, **settings) -> None:
        self.driver = Driver(DriverSettings(**settings), asyncio.get_running_loop())
        self.wire = Wire()
        self.client = Engine(client=True)
        self.driver.open(self.wire, read_upgrade(HEAD), HEAD, peer="test", via="direct")

    async def accept(self, **message):
        assert (await self.driver.receive())["type"] == "websocket.connect"
        await self.driver.send({"type": "websocket.accept", **message})
        return self

    def say(self, *texts):
        self.driver.data_received(b"".join(map(self.client.text, texts)))

    async def texts(self, count):
        return [(await self.driver.receive())["text"] for _ in range(count)]


async def opened(**settings) -> Open:
    return await Open(**settings).accept()


async def test_messages_come_in_order_and_the_end_stays():
    it = await opened()
    it.say("a", "b", "c")
    it.driver.data_received(it.client.close(3000, "bye"))
    assert await it.texts(3) == ["a", "b", "c"]
    end = {"type": "websocket.disconnect", "code": 3000, "reason": "bye"}
    assert [await it.driver.receive(), await it.driver.receive()] == [end, end]
    assert it.wire.frames == [(Opcode.CLOSE, (3000).to_bytes(2))]
    assert it.wire.closed


async def test_a_receive_that_is_cancelled_loses_nothing():
    it = await opened()
    waiting = asyncio.create_task(it.driver.receive())
    await asyncio.sleep(0)
    it.say("kept")  # wakes the waiter in the very turn in which it is cancelled
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await it.texts(1) == ["kept"]


async def test_two_receivers_get_each_message_once_and_outlive_each_other():
    it = await opened()
    first, second, third = (asyncio.create_task(it.driver.receive()) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    it.say("1", "2")
    got = {(await second)["text"], (await third)["text"]}
    assert got == {"1", "2"}


async def test_reading_goes_on_until_the_inbox_is_full_and_again_when_it_is_half_empty():
    it = await opened(inbox_messages=4)
    it.say("1", "2", "3", "4")
    assert it.wire.reading  # one is the application's next, three wait
    it.say("5")
    assert not it.wire.reading
    assert await it.texts(1) == ["1"]
    assert not it.wire.reading
    assert await it.texts(1) == ["2"]
    assert it.wire.reading
    assert await it.texts(3) == ["3", "4", "5"]


async def test_the_inbox_is_bounded_in_bytes_as_well():
    it = await opened(inbox_bytes=10)
    it.say("x" * 8, "y" * 8)
    assert it.wire.reading
    it.say("z" * 8)
    assert not it.wire.reading
    assert await it.texts(2) == ["x" * 8, "y" * 8]
    assert it.wire.reading


async def test_a_ping_is_answered_although_the_application_reads_nothing():
    it = await opened()
    it.say("unread", "unread too")
    it.driver.data_received(it.client.ping(b"there?"))
    assert it.wire.frames == [(Opcode.PONG, b"there?")]


async def test_a_client_that_does_not_read_gets_the_last_pong_only():
    it = await opened()
    it.driver.pause_writing()
    for payload in (b"1", b"2", b"3"):
        it.driver.data_received(it.client.ping(payload))
    assert it.wire.frames == []
    it.driver.resume_writing()
    assert it.wire.frames == [(Opcode.PONG, b"3")]


async def test_a_pong_gives_the_round_trip_and_a_stray_one_does_not():
    observer = Observer()
    it = await opened(ping_interval=60.0, observer=observer)
    it.driver.ping()
    ((_, payload),) = it.wire.frames
    it.driver.data_received(it.client.pong(b"stray"))
    assert it.driver.rtt is None
    it.driver.data_received(it.client.pong(payload))
    assert it.driver.rtt is not None
    assert it.driver.rtt > 0
    assert observer.connections["c1"].to_dict()["rtt"] == it.driver.rtt


async def test_without_a_pong_the_connection_is_cut_and_the_application_sees_1006():
    it = await opened(ping_interval=0.01, ping_timeout=0.02)
    async with asyncio.timeout(5):
        await it.wire.cut.wait()
    it.driver.connection_lost(None)
    assert (await it.driver.receive())["code"] == 1006


async def test_while_reading_pauses_nobody_is_cut_for_a_pong():
    it = await opened(ping_interval=0.01, ping_timeout=0.01, inbox_messages=1)
    it.say("1", "2")
    assert not it.wire.reading
    await asyncio.sleep(0.1)  # ten time-outs: what must not happen has no event
    assert not it.wire.aborted
    await it.texts(2)
    async with asyncio.timeout(5):
        await it.wire.cut.wait()


async def test_frames_of_one_turn_leave_in_one_write_and_in_their_order():
    it = await opened()
    before = len(it.wire.writes)
    frames = [encode_frame(Opcode.TEXT, text) for text in (b"a", b"b")]
    assert all(it.driver.write_frame(frame) for frame in frames)
    assert len(it.wire.writes) == before
    assert it.driver.buffered == sum(map(len, frames))
    await asyncio.sleep(0)
    assert it.wire.writes[before:] == [b"".join(frames)]
    it.driver.write_frame(frames[0])
    await it.driver.send({"type": "websocket.send", "text": "after"})
    assert [payload for _, payload in it.wire.frames] == [b"a", b"b", b"a", b"after"]


async def test_a_frame_is_refused_while_the_client_does_not_keep_up():
    it = await opened()
    it.driver.pause_writing()
    assert not it.driver.write_frame(b"\x81\x01x")
    waiting = asyncio.create_task(it.driver.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    it.driver.resume_writing()
    await waiting
    assert it.driver.write_frame(b"\x81\x01x")


async def test_whoever_waits_to_send_is_told_of_the_end():
    it = await opened()
    it.driver.pause_writing()
    waiting = [
        asyncio.create_task(it.driver.send({"type": "websocket.send", "text": "x"})),
        asyncio.create_task(it.driver.drained()),
    ]
    await asyncio.sleep(0)
    it.driver.connection_lost(ConnectionResetError())
    for task in waiting:
        with pytest.raises(OSError, match="ended"):
            await task


async def test_frames_that_came_with_the_request_are_the_first_messages():
    it = Open()
    it.say("early")
    assert not it.wire.reading  # one read of them is kept, no more
    await it.accept()
    assert it.wire.reading
    assert await it.texts(1) == ["early"]


async def test_the_last_frames_are_on_the_record_in_their_order():
    observer = Observer()
    it = await opened(observer=observer)
    it.say("in")
    it.driver.write_frame(encode_frame(Opcode.TEXT, b"shared"))
    await it.driver.send({"type": "websocket.close", "code": 1000})
    it.driver.data_received(it.client.close(1000))
    it.driver.connection_lost(None)
    (connection,) = observer.connections
    assert isinstance(connection, Connection)
    assert (connection.state, connection.close.code, connection.close.by) == ("closed", 1000, "server")
    kept = [parse_frame(record.raw).name for record in observer.recorder.records(0, 100)]
    assert kept == ["TEXT", "TEXT", "CLOSE", "CLOSE"]
    assert b"101 Switching Protocols" in connection.response


@pytest.mark.parametrize("state", ["open", "closing"])
async def test_a_client_that_vanishes_is_1006_unless_it_had_said_something(state):
    it = await opened()
    if state == "closing":
        await it.driver.send({"type": "websocket.close", "code": 4000, "reason": "ours"})
    assert it.driver.eof_received() is False
    it.driver.connection_lost(None)
    message = await it.driver.receive()
    assert (message["code"], message["reason"]) == ((4000, "ours") if state == "closing" else (1006, ""))


async def test_a_closing_handshake_that_is_not_answered_is_cut():
    it = await opened(close_timeout=0.01)
    await it.driver.send({"type": "websocket.close", "code": 1000})
    assert not it.wire.closed
    async with asyncio.timeout(5):
        await it.wire.cut.wait()


async def test_messages_after_our_close_frame_are_not_the_applications_any_more():
    it = await opened()
    it.say("before")
    await it.driver.send({"type": "websocket.close", "code": 1000})
    it.say("after")
    assert await it.texts(1) == ["before"]
    assert (await it.driver.receive())["type"] == "websocket.disconnect"
    with pytest.raises(RuntimeError, match=r"Expected nothing after 'websocket\.close'"):
        await it.driver.send({"type": "websocket.send", "text": "x"})


async def test_sending_to_a_client_that_has_closed_is_an_oserror():
    it = await opened()
    it.driver.data_received(it.client.close(1000))
    assert not it.driver.ended  # the application has not been told yet
    with pytest.raises(OSError, match="closed"):
        await it.driver.send({"type": "websocket.send", "text": "x"})
    assert it.driver.ended  # and what it does with that is no fault of its own


async def test_a_violation_is_answered_with_its_code_and_the_rest_is_thrown_away():
    it = await opened()
    it.say("good")
    it.driver.data_received(b"\x83\x80abcd" + it.client.text("never read"))
    assert await it.texts(1) == ["good"]
    assert (await it.driver.receive())["code"] == 1002
    ((opcode, payload),) = it.wire.frames
    assert (opcode, payload[:2]) == (Opcode.CLOSE, (1002).to_bytes(2))
    assert it.wire.half_closed
    it.driver.data_received(b"whatever")
    assert len(it.wire.frames) == 1


async def test_a_violation_from_a_client_that_has_reset_the_connection_ends_the_application():
    it = await opened()

    def shut_down():
        raise OSError(107, "Transport endpoint is not connected")

    it.wire.write_eof = shut_down
    waiting = asyncio.create_task(it.driver.receive())
    await asyncio.sleep(0)
    it.driver.data_received(b"\x83\x80abcd")
    assert it.wire.aborted
    assert (await waiting)["code"] == 1002


async def test_whatever_went_wrong_the_end_of_the_transport_is_the_applications_end():
    it = await opened()
    it.driver.state = State.CLOSING  # as if an error had come between
    it.driver.connection_lost(None)
    assert (await it.driver.receive())["code"] == 1006


@pytest.mark.parametrize(
    ("message", "error", "match"),
    [
        ({"type": "websocket.send"}, TypeError, "'text' of type str"),
        ({"type": "websocket.send", "text": b"x"}, TypeError, "'text' of type str"),
        ({"type": "websocket.accept"}, RuntimeError, "Expected 'websocket.send' or 'websocket.close'"),
    ],
)
async def test_what_asgi_does_not_allow_is_refused(message, error, match):
    it = await opened()
    with pytest.raises(error, match=match):
        await it.driver.send(message)
    await it.driver.send({"type": "websocket.send", "text": "still open"})


async def test_before_the_accept_nothing_but_an_answer_can_be_sent():
    it = Open()
    with pytest.raises(RuntimeError, match=r"Expected 'websocket\.accept'"):
        await it.driver.send({"type": "websocket.send", "text": "x"})


async def test_a_refusal_is_an_http_response_in_as_many_pieces_as_wanted():
    it = Open()
    start = {"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]}
    await it.driver.send(start)
    await it.driver.send({"type": "websocket.http.response.body", "body": b"I'm ", "more_body": True})
    with pytest.raises(RuntimeError, match=r"websocket\.http\.response\.body"):
        await it.driver.send(start)
    await it.driver.send({"type": "websocket.http.response.body", "body": b"a teapot"})
    (answer,) = it.wire.writes
    assert answer.startswith(b"HTTP/1.1 418 ")
    assert b"x-why: tea\r\n" in answer
    assert answer.endswith(b"\r\n\r\nI'm a teapot")
    assert (await it.driver.receive())["type"] == "websocket.connect"
    assert (await it.driver.receive())["code"] == 1006


async def test_a_stop_says_1012_to_those_who_are_open_and_503_to_the_others():
    it, late = await opened(), Open()
    it.driver.shutdown()
    late.driver.shutdown()
    assert it.wire.frames == [(Opcode.CLOSE, (1012).to_bytes(2) + b"The server stops.")]
    assert late.wire.writes[0].startswith(b"HTTP/1.1 503 ")
    with pytest.raises(OSError, match="closed from the lab"):
        await it.driver.send({"type": "websocket.send", "text": "x"})
    assert it.driver.state == State.CLOSING


async def test_an_open_connection_keeps_no_request():
    it = await opened()
    assert it.driver.request is None
