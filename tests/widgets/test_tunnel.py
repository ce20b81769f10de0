"""The kernel's half of the tunnel, against a real lab; the page's half is in tests/js and tests/e2e."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files

import pytest

import wslab
from wslab.widgets import tunnel
from wslab.widgets.client import ClientView
from wslab.widgets.tunnel import MOST, WINDOW, Pace, Tunnels
from wslab.wire import Close


class Page:
    """A page's half: keeps what comes, and acknowledges it as long as `acknowledging`."""

    def __init__(self, connect):
        self.tunnels = Tunnels(self.take, connect)
        self.came = []
        self.changed = asyncio.Event()
        self.acknowledging = True
        self.sent = {}

    def take(self, content, buffers):
        assert content["t"] == "tunnel"
        self.came.append((content, buffers))
        self.changed.set()
        if content["op"] == "data" and self.acknowledging:
            self.say("got", content["id"], n=content["n"])

    def say(self, op, number=1, buffers=(), **more):
        self.tunnels.handle({"t": "tunnel", "id": number, "op": op, **more}, buffers)

    def open(self, path, number=1, protocols=()):
        self.say("open", number, path=path, protocols=list(protocols))

    def send(self, data, number=1):
        self.sent[number] = n = self.sent.get(number, 0) + 1
        if isinstance(data, str):
            self.say("send", number, n=n, text=data)
        else:
            self.say("send", number, n=n, buffers=[memoryview(data)])

    def all(self, op, number=1):
        return [content for content, _ in self.came if (content["op"], content["id"]) == (op, number)]

    def messages(self, number=1):
        found = []
        for content, buffers in self.came:
            if content["op"] == "data" and content["id"] == number:
                binary = iter(buffers)
                found += [next(binary) if text is None else text for text in content["messages"]]
        return found

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not (found := condition()):
                self.changed.clear()
                await self.changed.wait()
        return found

    async def one(self, op, number=1):
        return (await self.until(lambda: self.all(op, number)))[0]


@pytest.fixture(params=["wslab", "websockets-sansio"])
async def lab(request):
    lab = wslab.Lab(ws=request.param)

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            await ws.send({**message, "type": "websocket.send"})

    @lab.websocket("/close")
    async def close(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text("last words")
        await ws.close(4001, "because")

    lab._core.start(lab.app, listen=False)
    yield lab
    await lab.stop()


@pytest.fixture
async def page(lab):
    page = Page(lab._core.tunnel)
    yield page
    page.tunnels.abort()
    await lab.until(lambda: not len(page.tunnels))


async def test_text_and_bytes_keep_their_kind_and_order(lab, page):
    page.open("/echo?x=1", protocols=["v2", "chat"])
    assert (await page.one("open"))["protocol"] == "chat"
    sent = ["text ä", b"\x00\xff", "", b"", "end"]
    for message in sent:
        page.send(message)
    await page.until(lambda: len(page.messages()) == len(sent))
    assert page.messages() == sent
    [row] = lab.connections
    assert (row.via, row.peer, row.path, row.state) == ("tunnel", "tunnel", "/echo?x=1", "open")
    counts = [
        sum((frame.direction, frame.name) == each for frame in lab.frames)
        for each in (("in", "TEXT"), ("in", "BINARY"), ("out", "TEXT"), ("out", "BINARY"))
    ]
    assert counts == [3, 2, 3, 2]


async def test_the_servers_close_comes_after_its_last_message(lab, page):
    page.open("/close")
    end = await page.one("close")
    assert page.messages() == ["last words"]
    assert (end["code"], end["reason"], end["n"]) == (4001, "because", 1)
    await lab.until(lambda: not len(page.tunnels))


async def test_the_pages_close_waits_for_its_messages_and_arrives_as_it_is(lab, page):
    page.open("/echo")
    await page.one("open")
    page.send("first")
    page.say("close", code=4002, reason="bye")
    end = await page.one("close")
    assert end["code"] == 4002  # whether the answer repeats the reason is the engine's choice
    await lab.until(lambda: lab.connections[0].close == Close(4002, "bye", "client"))
    assert lab.connections[0].received.messages == 1


async def test_a_close_without_a_code_is_1005_as_a_browsers(lab, page):
    page.open("/echo")
    await page.one("open")
    page.say("close", code=None, reason="")
    assert (await page.one("close"))["code"] == 1005
    await lab.until(lambda: lab.connections[0].close == Close(1005, "", "client"))


async def test_a_refusal_says_why(page):
    page.open("/nowhere")
    refused = await page.one("refused")
    assert refused["status"] == 404
    assert "No WebSocket endpoint" in refused["reason"]


async def test_a_lab_that_is_stopped_refuses_in_words(lab):
    await lab.stop()
    page = Page(lab._core.tunnel)
    page.open("/echo")
    refused = await page.one("refused")
    assert refused["status"] == 0
    assert "lab.start()" in refused["reason"]


async def test_stopping_the_lab_is_1012(lab, page):
    page.open("/echo")
    await page.one("open")
    await lab.stop()
    assert (await page.one("close"))["code"] == 1012


async def test_a_lab_that_asks_for_its_token_lets_the_page_in_without_one():
    lab = wslab.Lab(auth="token", token="s3cret")

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text(ws.url.query)

    lab._core.start(lab.app, listen=False)
    page = Page(lab._core.tunnel)
    page.open("/echo?x=1")
    await page.until(page.messages)
    assert page.messages() == ["x=1"]
    assert "s3cret" not in repr([page.came, lab.connections[0].request])
    await lab.stop()


async def test_two_tunnels_of_one_comm_are_two_connections(lab, page):
    for number in (1, 2):
        page.open("/echo", number)
        await page.one("open", number)
        page.send(f"from {number}", number)
        await page.until(lambda number=number: page.messages(number))
    assert (page.messages(1), page.messages(2)) == (["from 1"], ["from 2"])
    assert len(lab.connections.alive) == len(page.tunnels) == 2


async def test_what_a_page_does_not_take_is_bounded_and_the_endpoint_feels_it(lab, page):
    sent = 0

    @lab.websocket("/push")
    async def push(ws: wslab.WebSocket):
        nonlocal sent
        await ws.accept()
        for _ in range(400):
            await ws.send_bytes(b"x" * 2**15)
            sent += 1

    page.acknowledging = False
    page.open("/push")
    await page.until(lambda: sum(map(len, page.messages())) >= WINDOW)
    for _ in range(300):
        await asyncio.sleep(0)
    assert sum(map(len, page.messages())) < WINDOW + 2**17
    assert sent < 200
    page.acknowledging = True
    page.say("got", n=page.all("data")[-1]["n"])
    await page.one("close")
    assert (len(page.messages()), sent) == (400, 400)


async def test_what_the_page_sends_is_acknowledged_by_number_and_by_size(lab, page):
    page.open("/echo")
    await page.one("open")
    for _ in range(16):
        page.send("x")
    await page.until(lambda: page.all("got"))
    assert page.all("got")[-1]["n"] == 16
    page.send("y" * tunnel.ACK_BYTES)
    await page.until(lambda: page.all("got")[-1]["n"] == 17)


async def test_a_page_that_does_not_keep_to_the_window_is_cut(lab, page):
    reading = asyncio.Event()

    @lab.websocket("/mute")
    async def mute(ws: wslab.WebSocket):
        await ws.accept()
        await reading.wait()

    page.open("/mute")
    await page.one("open")
    for _ in range(100):
        page.send(b"x" * 2**16)
    assert (await page.one("close"))["code"] == 1006
    reading.set()


async def test_messages_that_are_ready_together_go_together(lab, page):
    @lab.websocket("/many")
    async def many(ws: wslab.WebSocket):
        await ws.accept()
        for number in range(2000):
            await ws.send_text(str(number))
        await ws.close()

    page.open("/many")
    await page.one("close")
    assert page.messages() == [str(number) for number in range(2000)]
    assert len(page.all("data")) < 500
    assert [content["n"] for content in page.all("data")] == list(range(1, len(page.all("data")) + 1))


async def test_a_page_that_says_nothing_for_three_beats_is_gone(lab, page, monkeypatch):
    monkeypatch.setattr(tunnel, "BEAT", 0.01)
    page.open("/echo")
    assert (await page.one("close"))["code"] == 1006
    assert len(page.all("beat")) == 3
    await lab.until(lambda: lab.connections[0].close == Close(1006))


async def test_a_page_that_answers_beats_stays(lab, page, monkeypatch):
    monkeypatch.setattr(tunnel, "BEAT", 0.005)
    page.open("/echo")
    for beat in range(1, 8):
        await page.until(lambda beat=beat: len(page.all("beat")) >= beat)
        page.say("beat")
    assert page.all("close") == []


@pytest.mark.parametrize(
    "content",
    [
        {"op": "send", "n": 2, "text": "one was lost"},
        {"op": "send", "n": 1, "text": 7},
        {"op": "send", "n": 1},
        {"op": "send", "n": True, "text": "x"},
        {"op": "send", "n": 1, "text": "\ud800"},
        {"op": "close", "code": 1006, "reason": ""},
        {"op": "close", "code": "1000", "reason": ""},
        {"op": "close", "code": 1000, "reason": "é" * 62},
        {"op": "abort"},
    ],
)
async def test_what_breaks_the_rules_costs_that_connection(lab, page, content):
    page.open("/echo", 1)
    page.open("/echo", 2)
    await page.one("open", 1)
    await page.one("open", 2)
    page.tunnels.handle({"t": "tunnel", "id": 1, **content}, [])
    assert (await page.one("close"))["code"] == 1006
    await lab.until(lambda: lab.connections[0].close == Close(1006))
    page.send("still here", 2)
    await page.until(lambda: page.messages(2))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"id": "1", "op": "open", "path": "/echo", "protocols": []},
        {"id": True, "op": "open", "path": "/echo", "protocols": []},
        {"id": 1, "op": ["open"]},
        {"id": 1, "op": "got", "n": 1},
        {"id": 1, "op": "beat"},
    ],
)
async def test_nonsense_is_not_answered(page, content):
    page.tunnels.handle({"t": "tunnel", **content}, [])
    assert page.came == []


@pytest.mark.parametrize("wrong", [{"n": "x"}, {"n": None}, {"n": True}, {"n": 10**9}, {}])
async def test_a_strange_acknowledgement_does_no_harm(page, wrong):
    page.open("/echo")
    await page.one("open")
    page.say("got", **wrong)
    page.send("hi")
    await page.until(page.messages)


@pytest.mark.parametrize(
    ("path", "protocols"),
    [
        ("echo", []),
        (None, []),
        (7, []),
        ("/a b", "chat"),
        ("/", [1]),
        ("/", ["a", "a"]),
        ("/#x", []),
        ("/", ["a b"]),
    ],
)
async def test_an_opening_that_cannot_be_is_refused_in_words(page, path, protocols):
    page.say("open", path=path, protocols=protocols)
    refused = await page.one("refused")
    assert refused["status"] in {0, 400, 404}
    assert refused["reason"]


async def test_there_is_a_limit_to_tunnels(page):
    for number in range(MOST + 1):
        page.open("/echo", number)
    assert f"{MOST} tunnels" in (await page.one("refused", MOST))["reason"]


async def test_a_tunnel_the_kernel_does_not_know_is_ended(page):
    page.send("after a restart", 77)
    assert page.all("close", 77) == [
        {"t": "tunnel", "id": 77, "op": "close", "n": None, "code": 1006, "reason": ""}
    ]


async def test_giving_up_before_it_is_open_ends_it(lab, page):
    page.open("/echo")
    page.say("abort")
    await lab.until(lambda: not len(page.tunnels))
    assert page.all("open") == []


async def test_it_is_the_views_own_comm_and_closing_the_view_cuts(lab):
    view = ClientView(dict, list, lab._core.tunnel)
    came = []
    view.send = lambda content, buffers=(): came.append((content, list(buffers)))
    view._from_page(view, {"t": "tunnel", "id": 5, "op": "open", "path": "/echo", "protocols": []}, [])
    await lab.until(lambda: [content for content, _ in came if content["op"] == "open"])
    view._from_page(view, {"t": "tunnel", "id": 5, "op": "send", "n": 1}, [memoryview(b"\x01\x02")])
    await lab.until(
        lambda: [buffers for content, buffers in came if content["op"] == "data"] == [[b"\x01\x02"]]
    )
    assert all("s" not in content for content, _ in came)
    view.close()
    await lab.until(lambda: lab.connections[0].close == Close(1006))


async def test_messages_that_come_on_another_thread_are_carried_to_the_loop(lab):
    view = ClientView(dict, list, lab._core.tunnel)
    came = []
    view.send = lambda content, buffers=(): came.append(content["op"])  # noqa: ARG005 - the signature
    content = {"t": "tunnel", "id": 5, "op": "open", "path": "/echo", "protocols": []}
    await asyncio.to_thread(view._from_page, view, content, [])
    await lab.until(lambda: "open" in came)
    view.close()


def test_a_view_without_a_loop_refuses():
    view = ClientView(dict, list, lambda *_: None)
    came = []
    view.send = lambda content, buffers=(): came.append(content)  # noqa: ARG005 - the signature
    view._dispatch({"t": "tunnel", "id": 5, "op": "open", "path": "/echo", "protocols": []}, [])
    assert [(content["op"], content["id"]) for content in came] == [("refused", 5)]


async def test_the_pace_lets_a_burst_through_and_then_waits(monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = Pace(rate=10.0, burst=3)
    for _ in range(5):
        await pace.turn()
    assert len(waits) == 2
    assert 0 < waits[0] < waits[1] <= 0.2


def test_both_halves_agree_on_the_window():
    source = (files("wslab.widgets") / "static" / "tunnel.js").read_text("utf-8")
    numbers = dict(re.findall(r"const TUNNEL_(\w+) = ([\d* ]+);", source))
    kernel = {
        "WINDOW": WINDOW,
        "ACK_EVERY": tunnel.ACK_EVERY,
        "ACK_BYTES": tunnel.ACK_BYTES,
        "EACH": tunnel._EACH,
    }
    assert {name: eval(numbers[name]) for name in kernel} == kernel


async def test_a_lab_in_a_thread_of_its_own_is_reached_the_same_way():
    lab = wslab.Lab(ws="wslab", loop="thread")

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)

    lab._core.start(lab.app, listen=False)
    page = Page(lab._core.tunnel)
    page.open("/echo")
    await page.one("open")
    for number in range(200):
        page.send(f"{number} {'x' * 500}")
    await page.until(lambda: len(page.messages()) == 200)
    assert [int(text.split()[0]) for text in page.messages()] == list(range(200))
    page.say("close", code=4002, reason="bye")
    assert (await page.one("close"))["code"] == 4002
    assert lab.connections[0].via == "tunnel"
    await lab.stop()
