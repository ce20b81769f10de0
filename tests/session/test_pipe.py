"""What a pipe promises; where a socket makes the same promise, both are held to it."""

from __future__ import annotations

import asyncio
import contextvars
import socket

import pytest

from wslab.session.pipe import CHUNK, HIGH_WATER, connect_pipe


class End(asyncio.Protocol):
    """Keeps what it is told, in order, with how deep in `data_received` it was."""

    def __init__(self):
        self.told = []
        self.received = b""
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self.half_open = False
        self.depth = 0

    def note(self, *what):
        self.told.append(what)
        self.changed.set()

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def data_received(self, data):
        self.depth += 1
        assert self.depth == 1, "re-entered"
        self.received += data
        self.got(data)
        self.changed.set()
        self.depth -= 1

    def got(self, data):
        self.note("data", len(data))

    def eof_received(self):
        self.note("eof")
        return self.half_open

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    def connection_lost(self, exc):
        self.note("lost", type(exc).__name__ if exc else None)
        self.lost.set_result(exc)

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()

    async def ended(self):
        async with asyncio.timeout(10):
            return await self.lost

    def kinds(self):
        return [what[0] for what in self.told]


async def over_pipe(ours, theirs):
    connect_pipe(ours, theirs)


async def over_socket(ours, theirs):
    one, other = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: theirs, sock=other)
    await loop.create_connection(lambda: ours, sock=one)


@pytest.fixture(params=[over_pipe, over_socket], ids=["pipe", "socket"])
async def pair(request):
    ours, theirs = End(), End()
    await request.param(ours, theirs)
    await ours.until(lambda end: end.transport)
    await theirs.until(lambda end: end.transport)
    yield ours, theirs
    for end in (ours, theirs):
        if not end.lost.done():
            end.transport.abort()
    await asyncio.gather(ours.ended(), theirs.ended())


@pytest.fixture
async def pipe():
    ours, theirs = End(), End()
    connect_pipe(ours, theirs)
    await ours.until(lambda end: end.transport)
    return ours, theirs


# -- what sockets promise, too ---------------------------------------------------------------------
async def test_bytes_arrive_in_order_and_whole(pair):
    ours, theirs = pair
    pieces = [bytes([n % 256]) * (n * 37 % 5000) for n in range(200)]
    for piece in pieces:
        ours.transport.write(piece)
    ours.transport.writelines([b"the ", bytearray(b"last "), memoryview(b"words")])
    whole = b"".join(pieces) + b"the last words"
    await theirs.until(lambda end: len(end.received) >= len(whole))
    assert theirs.received == whole
    assert ours.received == b""


async def test_both_directions_at_a_time(pair):
    for end in pair:
        end.transport.write(b"x" * 100_000)
    for end in pair:
        await end.until(lambda end: len(end.received) == 100_000)


async def test_close_delivers_what_was_written_and_then_ends_both(pair):
    ours, theirs = pair
    ours.transport.write(b"y" * 300_000)
    ours.transport.close()
    assert ours.transport.is_closing()
    assert await theirs.ended() is None
    assert theirs.received == b"y" * 300_000
    assert theirs.kinds()[-2:] == ["eof", "lost"]
    assert await ours.ended() is None


async def test_a_reader_that_pauses_stops_the_writer_and_resuming_starts_it(pair):
    ours, theirs = pair
    theirs.transport.pause_reading()
    assert not theirs.transport.is_reading()
    while "pause" not in ours.kinds():
        ours.transport.write(b"z" * 10_000)
    assert ours.transport.get_write_buffer_size() > HIGH_WATER
    theirs.transport.resume_reading()
    await ours.until(lambda end: "resume" in end.kinds())
    assert ours.transport.get_write_buffer_size() <= HIGH_WATER // 4


async def test_pause_and_resume_alternate(pair):
    ours, theirs = pair
    for turn in range(3):
        theirs.transport.pause_reading()
        while ours.kinds().count("pause") == turn:
            ours.transport.write(b"z" * 10_000)
        theirs.transport.resume_reading()
        await ours.until(lambda end, turn=turn: end.kinds().count("resume") == turn + 1)
    assert [kind for kind in ours.kinds() if kind in {"pause", "resume"}] == ["pause", "resume"] * 3


async def test_a_direction_can_be_closed_by_itself(pair):
    ours, theirs = pair
    theirs.half_open = True
    assert ours.transport.can_write_eof()
    ours.transport.write(b"question")
    ours.transport.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        ours.transport.write(b"more")
    await theirs.until(lambda end: "eof" in end.kinds())
    assert theirs.received == b"question"
    theirs.transport.write(b"answer")
    theirs.transport.close()
    assert await ours.ended() is None
    assert ours.received == b"answer"


async def test_a_protocol_that_raises_loses_its_connection_and_the_loop_is_told(pair):
    ours, theirs = pair
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def fail(data):
        theirs.depth = 0
        raise ZeroDivisionError

    theirs.got = fail
    ours.transport.write(b"boom")
    assert isinstance(await theirs.ended(), ZeroDivisionError)
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
    await ours.ended()


async def test_the_protocol_may_be_changed(pair):
    ours, theirs = pair
    other = End()
    other.transport = theirs.transport
    theirs.transport.set_protocol(other)
    assert theirs.transport.get_protocol() is other
    ours.transport.write(b"for the other")
    await other.until(lambda end: end.received == b"for the other")
    assert theirs.received == b""
    theirs.transport.set_protocol(theirs)


async def test_water_marks_can_be_set(pair):
    ours, theirs = pair
    theirs.transport.pause_reading()
    ours.transport.set_write_buffer_limits(high=1000)
    assert ours.transport.get_write_buffer_limits() == (250, 1000)
    ours.transport.set_write_buffer_limits(low=10)
    assert ours.transport.get_write_buffer_limits() == (10, 40)
    with pytest.raises(ValueError, match="low"):
        ours.transport.set_write_buffer_limits(high=1, low=2)


# -- what only a pipe can promise ------------------------------------------------------------------
async def test_nothing_is_delivered_from_within_write(pipe):
    ours, theirs = pipe
    ours.transport.write(b"x")
    assert theirs.received == b""
    await asyncio.sleep(0)
    assert theirs.received == b"x"


async def test_two_that_answer_each_other_at_once_do_not_nest(pipe):
    ours, theirs = pipe
    ours.got = ours.transport.write
    theirs.got = lambda data: theirs.transport.write(data) if len(theirs.received) < 500 else None
    ours.transport.write(b"p")  # `End` fails when it is re-entered
    await theirs.until(lambda end: len(end.received) == 500)


async def test_a_delivery_is_one_chunk_at_most_and_joins_small_writes(pipe):
    ours, theirs = pipe
    for _ in range(10):
        ours.transport.write(b"abc")
    ours.transport.write(b"d" * (2 * CHUNK))
    await theirs.until(lambda end: len(end.received) == 30 + 2 * CHUNK)
    assert [what[1] for what in theirs.told if what[0] == "data"] == [CHUNK, CHUNK, 30]


async def test_writing_on_is_remembered_as_what_it_was(pipe):
    ours, theirs = pipe
    data = bytearray(b"before")
    ours.transport.write(data)
    data[:] = b"after."
    await theirs.until(lambda end: end.received)
    assert theirs.received == b"before"


async def test_the_server_is_connected_first_and_both_before_any_byte():
    order = []
    ours, theirs = End(), End()
    ours.note = lambda *what: order.append(("ours", *what)) or ours.changed.set()
    theirs.note = lambda *what: order.append(("theirs", *what)) or theirs.changed.set()
    mine, _ = connect_pipe(ours, theirs)
    mine.write(b"before the connection is made")
    await theirs.until(lambda end: end.received)
    assert order == [("theirs", "made"), ("ours", "made"), ("theirs", "data", 29)]


async def test_abort_drops_what_was_not_delivered_and_resets_the_other(pipe):
    ours, theirs = pipe
    ours.transport.write(b"never seen")
    ours.transport.abort()
    assert isinstance(await theirs.ended(), ConnectionResetError)
    assert await ours.ended() is None
    assert theirs.received == b""
    assert ours.transport.get_write_buffer_size() == 0


async def test_closing_with_unread_bytes_resets_the_writer(pipe):
    ours, theirs = pipe
    theirs.transport.pause_reading()
    ours.transport.write(b"unread")
    theirs.transport.close()
    assert isinstance(await ours.ended(), ConnectionResetError)


async def test_both_closing_with_unread_bytes_end(pipe):
    for end in pipe:
        end.transport.pause_reading()
        end.transport.write(b"unread")
    for end in pipe:
        end.transport.close()
    for end in pipe:
        await end.ended()


async def test_writing_to_an_end_that_has_gone_breaks_the_pipe(pipe):
    ours, theirs = pipe
    ours.half_open = True
    theirs.transport.close()
    await theirs.ended()
    await ours.until(lambda end: "eof" in end.kinds())
    assert not ours.transport.is_closing()
    ours.transport.write(b"x")
    assert isinstance(await ours.ended(), BrokenPipeError)


async def test_a_paused_reader_learns_of_the_end_when_it_reads_on(pipe):
    ours, theirs = pipe
    theirs.transport.pause_reading()
    ours.transport.write(b"last words")
    ours.transport.close()
    await asyncio.sleep(0)
    assert theirs.told == [("made",)]
    theirs.transport.resume_reading()
    assert await theirs.ended() is None
    assert theirs.received == b"last words"


async def test_pausing_within_a_delivery_holds_the_rest(pipe):
    ours, theirs = pipe
    theirs.got = lambda _: theirs.transport.pause_reading()
    ours.transport.write(b"x" * (2 * CHUNK))
    await theirs.until(lambda end: end.received)
    await asyncio.sleep(0)
    assert len(theirs.received) == CHUNK
    assert ours.transport.get_write_buffer_size() == CHUNK


async def test_closing_within_a_delivery_ends_it(pipe):
    ours, theirs = pipe
    theirs.got = lambda _: theirs.transport.close()
    ours.transport.write(b"x")
    assert await theirs.ended() is None
    assert await ours.ended() is None
    assert theirs.kinds().count("lost") == ours.kinds().count("lost") == 1


async def test_an_end_that_is_aborted_at_once_is_connected_before_it_is_lost():
    ours, theirs = End(), End()
    mine, _ = connect_pipe(ours, theirs)
    mine.abort()
    assert await ours.ended() is None
    await theirs.ended()
    assert ours.told == [("made",), ("lost", None)]
    assert theirs.told == [("made",), ("lost", "ConnectionResetError")]


async def test_what_is_written_after_close_is_dropped(pipe):
    ours, theirs = pipe
    ours.transport.write(b"in time")
    ours.transport.close()
    ours.transport.write(b"too late")
    await theirs.ended()
    assert theirs.received == b"in time"


async def test_extra_info_tells_what_was_given():
    mine, other = connect_pipe(End(), End(), client_extra={"a": 1}, server_extra={"peername": ("memory", 0)})
    assert (mine.get_extra_info("a"), mine.get_extra_info("b", 7)) == (1, 7)
    assert other.get_extra_info("peername") == ("memory", 0)
    assert mine.get_extra_info("socket") is None
    assert "open" in repr(mine)
    mine.abort()
    assert "closed" in repr(mine)
    assert "closed" in repr(other)


async def test_the_server_does_not_inherit_the_clients_context():
    seen = {}

    class Looks(End):
        def data_received(self, data):
            seen[self.name, data] = variable.get("nothing")
            super().data_received(data)

    variable = contextvars.ContextVar("variable")
    ours, theirs = Looks(), Looks()
    ours.name, theirs.name = "client", "server"
    variable.set("when it was connected")
    mine, other = connect_pipe(ours, theirs)
    variable.set("when it was written")
    mine.write(b"q")
    await theirs.until(lambda end: end.received)
    other.write(b"a")
    await ours.until(lambda end: end.received)
    assert seen == {("server", b"q"): "nothing", ("client", b"a"): "when it was connected"}


def test_a_pipe_needs_a_running_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        connect_pipe(asyncio.Protocol(), asyncio.Protocol())
