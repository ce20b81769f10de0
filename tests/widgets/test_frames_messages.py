from __future__ import annotations

import asyncio
import json

import pytest

from tests.widgets.test_frames import Bench
from wslab.wire import Opcode, encode_frame
from wslab.wire.deflate import PerMessageDeflate


@pytest.fixture
def bench(page_of):
    return Bench(page_of)


def test_a_fragment_comes_with_its_message(bench):
    bench.connection.sent.feed(encode_frame(Opcode.TEXT, b"Hel", fin=False))
    bench.connection.sent.feed(encode_frame(Opcode.PING, b""))
    detail, _ = bench.ask(0)
    assert (detail["partial"], detail["more"]) == (True, True)
    ((begun, _),) = bench.more
    assert (begun["part"], begun["count"], begun["open"], begun["carried"]) == (1, 1, True, "3")
    bench.connection.sent.feed(encode_frame(Opcode.CONTINUATION, b"lo"))
    bench.ask(2)
    ((whole, (content,)),) = bench.more
    assert (whole["part"], whole["count"], whole["parts"], whole["open"]) == (2, 2, [0, 2], False)
    assert (whole["name"], whole["length"], content) == ("TEXT", 5, b"Hello")
    bench.ask(1)  # a ping belongs to no message
    assert [content for content, _ in bench.more] == [
        {"t": "message", "seq": 1, "control": True, "exchanges": [], "s": bench.more[0][0]["s"]}
    ]
    json.dumps(whole)


def test_a_frame_names_what_answered_it_and_what_it_answered(bench):
    bench.receive(b'{"id": 7, "method": "tea"}')
    bench.send(b"noise", b'{"id": 7, "result": "tea"}')
    bench.ask(0)
    ((message, _),) = bench.more
    (exchange,) = message["exchanges"]
    assert (exchange["answered"], exchange["seq"], exchange["rule"]) == (True, 2, "JSON id 7")
    bench.ask(2)
    ((message, _),) = bench.more
    assert [(one["answered"], one["seq"]) for one in message["exchanges"]] == [(False, 0)]
    bench.ask(1)
    assert bench.more[0][0]["exchanges"] == []


def test_a_compressed_message_is_inflated_and_at_most_4_kib_travel(bench):
    agreed = b"Sec-WebSocket-Extensions: permessage-deflate"
    bench.connection.response = b"HTTP/1.1 101 Switching Protocols\r\n" + agreed + b"\r\n\r\n"
    codec = PerMessageDeflate()
    for text in (b"first", b"first and last " * 1000):
        bench.connection.sent.feed(encode_frame(Opcode.TEXT, codec.compress(text), rsv=4))
    bench.ask(1)
    ((message, (content,)),) = bench.more
    assert (message["compressed"], message["length"], message["problem"]) == (True, 15_000, "")
    assert int(message["carried"]) < 200
    assert content == (b"first and last " * 1000)[:4096]


def test_a_message_whose_beginning_is_gone_says_so(page_of):
    bench = Bench(page_of, frames=2)
    bench.connection.sent.feed(encode_frame(Opcode.TEXT, b"Hel", fin=False))
    bench.send(b"lo", opcode=Opcode.CONTINUATION)
    bench.send(b"x")
    bench.ask(1)
    ((message, _),) = bench.more
    assert "not in the recorder any more" in message["problem"]


async def test_of_many_requests_at_once_the_first_and_the_last_message_are_told(bench):
    bench.view.bind_loop(asyncio.get_running_loop())
    bench.receive(*[b"x"] * 20)
    told, both = [], asyncio.Event()

    def send(content, buffers=()):
        if content["t"] == "message":
            told.append(content["seq"])
            if len(told) == 2:
                both.set()

    bench.view.send = send
    bench.view.attached = True
    for seq in range(20):
        bench.page.say(t="get", seq=seq)
    async with asyncio.timeout(10):
        await both.wait()
    assert told == [0, 19]
    bench.view.close()
