"""A client by hand, over a real lab: what it sends is on the wire as it is, and so is what comes back."""

from __future__ import annotations

import asyncio
import functools

import pytest

import wslab
from wslab.client import raw
from wslab.client.raw import INBOX
from wslab.errors import ConnectionClosed, ConnectionRefused, OptionError, WaitTimeoutError
from wslab.wire import Opcode, encode_frame
from wslab.wire.frames import close_fields

KEY = bytes.fromhex("37fa213d")


@pytest.fixture(params=["direct", "memory"])
async def lab(request, monkeypatch):
    lab = wslab.Lab()

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
        async for text in ws.iter_text():
            await ws.send_text(text)

    @lab.websocket("/close")
    async def close(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text("last words")
        await ws.close(4001, "because")

    @lab.websocket("/much")
    async def much(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_bytes(bytes(3 * INBOX))
        await ws.send_text("after it")
        await ws.receive_text()

    await lab.start()
    monkeypatch.setattr(lab, "connect", functools.partial(lab.connect, via=request.param, raw=True))
    yield lab
    await lab.stop()


async def closed_with(client):
    """The close frame that comes next; then nothing does."""
    frame = await client.receive_frame(5)
    assert frame.name == "CLOSE"
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive_frame(5)
    assert caught.value.code == close_fields(frame.payload)[0]
    assert caught.value.by == "server"
    return close_fields(frame.payload)


# -- what a server must not take -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "opcode", "payload", "options"),
    [
        (1002, Opcode.TEXT, b"no mask", {"mask": False}),
        (1002, Opcode.TEXT, b"a bit", {"rsv": 1}),
        (1002, Opcode.TEXT, b"compressed?", {"rsv": 4}),
        (1007, Opcode.TEXT, b"\xff\xfe", {}),
        (1002, Opcode.PING, b"x" * 126, {}),
        (1002, Opcode.PING, b"in parts", {"fin": False}),
        (1002, Opcode.TEXT, b"long form", {"length_form": 16}),
        (1002, Opcode.TEXT, b"longest form", {"length_form": 64}),
        (1002, 0x3, b"reserved", {}),
        (1002, Opcode.CONTINUATION, b"of nothing", {}),
        (1002, Opcode.CLOSE, b"\x03\xee", {}),  # 1006 never travels
    ],
)
async def test_a_bad_frame_is_sent_as_told_and_answered_with_its_code(lab, code, opcode, payload, options):
    async with lab.connect("/echo") as client:
        sent = await client.send_frame(opcode, payload, **options)
        frame = await client.receive_frame(5)
        assert close_fields(frame.payload)[0] == code
    first, *_ = lab.frames
    assert (first.frame.raw, first.direction) == (sent, "in")
    assert first.frame.payload == payload
    assert [row.name for row in lab.frames][1:2] == ["CLOSE"]


async def test_who_closed_is_the_server_where_our_frame_was_a_bad_one(lab):
    client = await lab.connect("/echo")
    await client.send_frame(Opcode.CLOSE, b"\x03\xe8", mask=False)
    assert (await closed_with(client))[0] == 1002
    assert "closed 1002 by server, 1 frames sent, 1 came, 0 bytes unread" in repr(client)
    with pytest.raises(ConnectionClosed, match="1002"):
        await client.send_frame(Opcode.TEXT)
    await client.close()


@pytest.mark.parametrize("length_form", [7, 16, 64])
async def test_only_the_shortest_form_of_a_length_is_taken(lab, length_form):
    async with lab.connect("/echo") as client:
        await client.send_frame(Opcode.TEXT, b"Hello", length_form=length_form, mask=KEY)
        frame = await client.receive_frame(5)
        assert frame.name == ("TEXT" if length_form == 7 else "CLOSE")
    problem = next(iter(lab.frames)).frame.problem
    assert ("shortest form" in problem) == (length_form != 7)


# -- what it must take -----------------------------------------------------------------------------
@pytest.mark.parametrize("split", [1, [1], [1, 2, 3], [5, 1], 1000, None])
async def test_a_frame_may_be_split_anywhere_its_header_as_well(lab, split):
    raw = encode_frame(Opcode.TEXT, b"x" * 200, mask=KEY)
    async with lab.connect("/echo") as client:
        await client.send_bytes(raw, split=split)
        frame = await client.receive_frame(5)
        assert (frame.text, frame.mask_key, frame.header_length) == ("x" * 200, None, 4)
    assert next(iter(lab.frames)).frame.raw == raw


async def test_a_ping_is_answered_by_the_server_with_the_same_payload(lab):
    async with lab.connect("/echo") as client:
        await client.send_frame(Opcode.PING, b"\x00same\xff")
        frame = await client.receive_frame(5)
        assert (frame.name, frame.payload) == ("PONG", b"\x00same\xff")
    assert [(row.direction, row.name) for row in lab.frames][:2] == [("in", "PING"), ("out", "PONG")]


async def test_a_message_in_fragments_with_a_ping_between(lab):
    async with lab.connect("/echo") as client:
        await client.send_frame(Opcode.TEXT, b"one ", fin=False)
        await client.send_frame(Opcode.PING, b"?")
        await client.send_frame(Opcode.CONTINUATION, b"message")
        assert [(await client.receive_frame(5)).text for _ in range(2)] == ["?", "one message"]


# -- receiving -------------------------------------------------------------------------------------
async def test_a_receive_that_times_out_loses_nothing(lab):
    async with lab.connect("/echo") as client:
        for receive in (client.receive_frame, client.receive_bytes):
            with pytest.raises(WaitTimeoutError, match=r"within 0\.01 s, got 0 bytes"):
                await receive(timeout=0.01)
        await client.send_frame(Opcode.TEXT, b"later")
        assert (await client.receive_frame(5)).text == "later"


async def test_bytes_come_as_they_are(lab):
    async with lab.connect("/echo") as client:
        await client.send_frame(Opcode.TEXT, b"Hello")
        assert await client.receive_bytes(5) == b"\x81\x05Hello"


async def test_a_close_frame_is_shown_and_not_answered(lab):
    client = await lab.connect("/close")
    assert (await client.receive_frame(5)).text == "last words"
    assert (await client.receive_frame(5)).text == "4001 because"
    assert client.closed is None
    await client.close(4001)
    assert (client.closed.code, client.closed.reason, client.closed.by) == (4001, "because", "server")
    [row] = lab.connections
    assert row.close.code == 4001


async def test_frames_before_the_end_are_kept_for_whoever_receives_them_later(lab):
    client = await lab.connect("/close")
    await client.close()
    assert "bytes unread" in repr(client)
    assert [(await client.receive_frame(5)).name for _ in range(2)] == ["TEXT", "CLOSE"]
    with pytest.raises(ConnectionClosed, match="4001"):
        await client.receive_frame(5)


async def test_reading_pauses_and_a_frame_longer_than_that_comes_whole(lab):
    async with lab.connect("/much") as client:
        await lab.until(lambda: client.unread > INBOX)
        assert client.unread < 3 * INBOX
        assert len((await client.receive_frame(10)).payload) == 3 * INBOX
        assert (await client.receive_frame(5)).text == "after it"


# -- the handshake ---------------------------------------------------------------------------------
async def test_the_handshake_is_shown_as_it_was(lab):
    async with lab.connect("/echo?token=hush", subprotocols=["chat"], headers={"X-Given": "1"}) as client:
        head, answer = client.handshake.request_head, client.handshake.response_head
        assert (head.target, head.get("x-given")) == ("/echo?token=hush", "1")
        assert (answer.status, answer.get("sec-websocket-protocol")) == (101, "chat")
        assert client.response.raw.endswith(b"\r\n\r\n")
        assert "101 Switching Protocols" in repr(client.handshake)
        assert "hush" not in repr(client.handshake) + repr(client)


@pytest.mark.parametrize(
    ("old", "new", "status", "said"),
    [
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 12", 426, "13"),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: x", 400, "key"),
        (b"Host: ", b"Nost: ", 400, "host"),
    ],
)
async def test_a_wrong_handshake_has_its_status_and_text_and_is_no_exception(lab, old, new, status, said):
    async with lab.connect("/echo", request=lambda right: right.replace(old, new)) as client:
        assert client.response.status == status
        assert said in client.response.text.lower()
        assert f"refused with 'HTTP/1.1 {status}" in repr(client)
        with pytest.raises(ConnectionRefused, match=str(status)):
            await client.receive_frame(5)
    [row] = lab.connections
    assert row.response.startswith(f"HTTP/1.1 {status} ".encode())


async def test_the_right_handshake_refused_is_an_exception(lab):
    with pytest.raises(ConnectionRefused) as caught:
        await lab.connect("/nothing/here")
    assert caught.value.status in {403, 404}


async def test_a_request_may_have_frames_behind_it(lab):
    first = encode_frame(Opcode.TEXT, b"early", mask=True)
    async with lab.connect("/echo", request=lambda right: right + first) as client:
        assert client.response.status == 101
        assert (await client.receive_frame(5)).text == "early"


async def test_half_a_request_is_not_answered(lab):
    with pytest.raises(WaitTimeoutError, match="opening handshake"):
        await lab.connect("/echo", request=b"GET /echo HT", timeout=0.05)


# -- ending ----------------------------------------------------------------------------------------
async def test_closing_by_hand_is_by_the_client(lab):
    client = await lab.connect("/echo")
    await client.close(4002, "bye")
    await client.close()
    assert (client.closed.code, client.closed.by) == (4002, "client")
    with pytest.raises(OptionError, match="65536"):
        await client.close(65536)


async def test_an_aborted_connection_is_1006_on_both_sides(lab):
    client = await lab.connect("/echo")
    client.abort()
    with pytest.raises(ConnectionClosed, match="1006"):
        await client.receive_frame(5)
    [row] = lab.connections
    await lab.until(lambda: row.close)
    assert row.close.code == 1006


async def test_waiting_for_the_end_may_be_cancelled(lab):
    client = await lab.connect("/echo")
    waiting = asyncio.create_task(client.receive_frame())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await client.close()
    assert client.closed.code == 1000


async def test_pings_are_left_alone_unless_asked():
    lab = wslab.Lab(ping_interval=0.02, ping_timeout=None)

    @lab.websocket("/quiet")
    async def quiet(ws: wslab.WebSocket):
        await ws.accept()
        await ws.receive_text()

    def answered():
        return [row for row in lab.frames if (row.direction, row.name) == ("in", "PONG")]

    async with lab.connect("/quiet", via="memory", raw=True) as client:
        ping = await client.receive_frame(5)
        await client.send_frame(Opcode.PING, b"ours")
        assert [ping.name, (await client.receive_frame(5)).payload] == ["PING", b"ours"]
    assert not answered()
    async with lab.connect("/quiet", via="memory", raw=True, auto_pong=True) as client:
        ping, _ = [await client.receive_frame(5) for _ in range(2)]  # the second comes after the pong
        assert answered()[0].frame.payload == ping.payload
    await lab.stop()


# -- what cannot be --------------------------------------------------------------------------------
async def test_what_cannot_be_sent_is_refused_and_the_connection_goes_on(lab):
    async with lab.connect("/echo") as client:
        for wrong in ({"opcode": 16}, {"opcode": 1, "mask": b"123"}, {"opcode": 1, "length_form": 8}):
            with pytest.raises(OptionError, match="Expected"):
                await client.send_frame(**wrong)
        with pytest.raises(OptionError, match="holds 126"):
            await client.send_frame(1, b"x" * 126, length_form=7)
        for split in (0, -1, [0], [3, 3]):
            with pytest.raises(OptionError, match="at most 5"):
                await client.send_bytes(b"12345", split=split)
        await client.send_frame(1, b"still there")
        assert (await client.receive_frame(5)).text == "still there"


async def test_an_option_of_a_raw_client_needs_one():
    with pytest.raises(OptionError, match="request= with raw=True"):
        wslab.connect("ws://127.0.0.1:1/", request=b"x")
    with pytest.raises(OptionError, match="auto_pong= with raw=True"):
        wslab.Lab().connect("/", auto_pong=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "ws://", "ws://x:port/", "echo"])
async def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(OptionError, match="such as 'ws://"):
        await wslab.connect(url, raw=True)


async def test_a_thread_of_the_labs_own_is_reached_over_a_socket():
    lab = wslab.Lab(loop="thread")
    await lab.start()
    try:
        with pytest.raises(OptionError, match='loop="thread"'):
            await lab.connect("/", via="memory", raw=True)
        with pytest.raises(ConnectionRefused):
            await lab.connect("/", raw=True)
    finally:
        await lab.stop()


@pytest.mark.parametrize(
    ("answer", "status", "body", "left"),
    [
        (b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nnomore", 400, b"no", b"more"),
        (b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 400, None, b""),
        (b"HTTP/1.1 400 No\r\n\r\nuntil the end", 400, b"until the end", b""),
        (b"garbage", 0, b"", b""),
        (b"", 0, b"", b""),
    ],
)
async def test_any_answer_is_shown(answer, status, body, left):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/ä?x=1"
        async with wslab.connect(url, raw=True, request=lambda right: right) as client:
            assert client.handshake.request_head.target == "/%C3%A4?x=1"
            assert client.response.status == status
            if body is not None:
                assert client.response.body == body
            if left:
                assert await client.receive_bytes(5) == left
            with pytest.raises(ConnectionClosed, match="1006"):
                await client.receive_bytes(5)
        with pytest.raises(wslab.WSLabError):
            await wslab.connect(url, raw=True)


async def test_a_frame_that_the_end_cuts_short_is_shown_with_its_problem():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05Hel")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with wslab.connect(url, raw=True, request=lambda right: right) as client:
            frame = await client.receive_frame(5)
            assert frame.payload == b"Hel"
            assert "5 of 7 bytes came" in frame.problem
            with pytest.raises(ConnectionClosed, match="1006"):
                await client.receive_frame(5)


# -- servers that misbehave ------------------------------------------------------------------------
@pytest.fixture
async def mute():
    """Serves what a test puts into `handle`; its address."""
    handlers = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        try:
            await handlers[0](reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

        def connect(handle, **options):
            handlers[:] = [handle]
            return wslab.connect(url, raw=True, request=lambda right: right, **options)

        yield connect


async def test_a_refusal_that_does_not_end_is_shown_as_far_as_it_came(mute):
    done = asyncio.Event()

    async def never_ends(reader, writer):
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nbecause")
        await done.wait()

    async with mute(never_ends, timeout=1) as client:
        assert (client.response.status, client.response.text) == (403, "because")
        done.set()


async def test_an_abort_resets_the_connection(mute):
    ended = asyncio.get_running_loop().create_future()

    async def watch(reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        try:
            ended.set_result(await reader.read())
        except ConnectionResetError as error:
            ended.set_result(error)

    client = await mute(watch)
    client.abort()
    async with asyncio.timeout(5):
        assert isinstance(await ended, ConnectionResetError)


async def test_a_server_that_does_not_read_cannot_keep_the_client(mute, monkeypatch):
    monkeypatch.setattr(raw, "CLOSE_TIMEOUT", 0.05)
    done = asyncio.Event()

    async def deaf(reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await done.wait()

    client = await mute(deaf)
    sending = asyncio.create_task(client.send_bytes(encode_frame(Opcode.BINARY, bytes(2**25))))
    await asyncio.sleep(0)
    assert not sending.done()
    async with asyncio.timeout(5):
        await client.close()
        await sending
    assert client.closed.code == 1006
    done.set()
