"""One set of names, in Python and on the command line, checked where it is written."""

from __future__ import annotations

import asyncio
import contextlib
import inspect

import pytest

import wslab
from wslab.errors import OptionError
from wslab.events import LimitReached
from wslab.server.limits import Limits
from wslab.server.options import NAMES, Options, is_loopback
from wslab.serving import SERVE_OPTIONS
from wslab.wire.deflate import DeflateOptions


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def test_lab_serve_and_options_have_the_same_names_and_defaults():
    options = {name: getattr(Options(), name) for name in NAMES}
    options["limits"] = None  # stands for the host's
    lab, serve = defaults(wslab.Lab), defaults(wslab.serve)
    assert lab.pop("name") == ""
    assert lab == {name: value for name, value in options.items() if name not in {"reload", "save"}}
    assert serve.pop("port") == 8000
    assert serve == {name: value for name, value in options.items() if name not in {"loop", "port"}}
    assert set(SERVE_OPTIONS) == {*serve, "port"}


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ({"prot": 1}, "'port'"),
        ({"limit": "off"}, "'limits'"),
        ({"pubic": True}, "'public'"),
        ({"WS": "x"}, "'ws'"),
    ],
)
@pytest.mark.parametrize(
    "call", [Options.of, lambda given: wslab.Lab(**given), lambda given: wslab.serve("m:a", **given)]
)
def test_an_unknown_name_is_refused_with_the_nearest(call, given, nearest):
    with pytest.raises(OptionError, match=f"did you mean {nearest}"):
        call(given)


@pytest.mark.parametrize("name", ["workers", "bus"])
def test_what_comes_later_is_not_there_yet(name):
    with pytest.raises(TypeError, match=f"no option '{name}'"):
        wslab.Lab(**{name: 1})
    with pytest.raises(OptionError, match=f"no option '{name}'"):
        wslab.serve("m:a", **{name: 1})


def test_reload_and_save_are_for_programs_and_loop_for_notebooks():
    for given in ({"reload": True}, {"save": "x.har"}):
        with pytest.raises(OptionError, match=f"no option '{next(iter(given))}'"):
            wslab.Lab(**given)
    with pytest.raises(OptionError, match="no option 'loop'"):
        wslab.serve("m:a", loop="thread")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": ""}, "host to be an address"),
        ({"host": None}, "host to be an address"),
        ({"port": -1}, "TCP port from 0 to 65535"),
        ({"port": 65536}, "TCP port"),
        ({"port": "8000"}, "TCP port"),
        ({"port": True}, "TCP port"),
        ({"token": 1}, "token to be text"),
        ({"auth": "tokens"}, r"did you mean 'token'"),
        ({"auth": None}, "'auto', 'token', 'off'"),
        ({"ws": "wsprot"}, "did you mean 'wsproto'"),
        ({"ws": "websockets"}, "did you mean 'websockets-sansio'"),
        ({"loop": "threads"}, "did you mean 'thread'"),
        ({"capture": "off"}, "capture to be True or False"),
        ({"public": 1}, "public to be True or False"),
        ({"deflate": "yes"}, "True, False or a DeflateOptions"),
        ({"ping_interval": 0}, "seconds above 0, or None"),
        ({"ping_timeout": "20"}, "seconds above 0, or None"),
        ({"ping_timeout": True}, "seconds above 0, or None"),
        ({"limits": 5}, "limits as a Limits, text or 'off'"),
        ({"limits": "rat=5"}, "did you mean 'rate'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(given, said):
    with pytest.raises(OptionError, match=said) as caught:
        Options.of(given)
    assert isinstance(caught.value, (TypeError, ValueError))
    assert isinstance(caught.value, wslab.WSLabError)
    with pytest.raises(OptionError, match=said):
        wslab.Lab(**given)


def test_values_that_can_be_meant():
    options = Options(ping_interval=None, ping_timeout=0.5, deflate=DeflateOptions(), limits=Limits(rate=3))
    assert options.limits.rate == 3
    assert Options.of({"limits": None}).limits == Limits()
    assert Options.of({"limits": "off"}).limits.none


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "lab.example.org", "127.0.0.1.evil.example"]
)
def test_a_host_that_others_reach_has_to_be_meant(host):
    with pytest.raises(OptionError, match=r"Pass public=True \(--public\)"):
        Options(host=host)
    assert Options(host=host, public=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_a_host_of_this_machine_alone(host):
    assert is_loopback(host)
    assert not Options(host=host).public


def test_a_public_lab_cannot_do_without_its_token():
    with pytest.raises(OptionError, match="public lab to ask for its token"):
        Options(host="0.0.0.0", public=True, auth="off")


def test_a_public_host_begins_with_limits_of_its_own():
    local, public = Options().limits, Options(host="0.0.0.0", public=True).limits
    assert (local.per_client, local.rate) == (None, None)
    assert (public.per_client, public.rate) == (20, 100)
    named = Options(host="0.0.0.0", public=True, limits="rate=off,per_client=5").limits
    assert (named.per_client, named.limiter()) == (5, None)
    assert Options(host="0.0.0.0", public=True, limits="off").limits.none


@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio", "wsproto"])
@pytest.mark.parametrize("capture", [True, False])
async def test_without_capture_connections_are_told_but_no_frames(ws, capture):
    lab = wslab.Lab(ws=ws, capture=capture, limits="message=100")

    @lab.websocket("/")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text(await ws.receive_text())
        await ws.receive_text()

    await lab.start()
    async with lab.connect("/") as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
        await client.send("x" * 101)
        with pytest.raises(wslab.ConnectionClosed) as caught:
            await client.receive(5)
    assert caught.value.code == 1009
    await lab.until(lambda: not lab.connections.alive)
    (connection,) = lab.connections
    assert (connection.close.code, connection.close.by) == (1009, "server")
    assert [event.limit for event in lab.journal if isinstance(event, LimitReached)] == ["message"]
    assert bool(len(lab.frames)) is capture
    await lab.stop()


@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio"])
@pytest.mark.parametrize("deflate", [False, True])
async def test_deflate_is_agreed_only_where_it_is_switched_on(ws, deflate):
    lab = await wslab.Lab(ws=ws, deflate=deflate).start()
    lab.websocket("/")(accepting)
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert (b"permessage-deflate" in head) is deflate
    await lab.stop()


async def accepting(ws: wslab.WebSocket):
    await ws.accept()
    await ws.receive_text()


@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio", "wsproto"])
async def test_pings_come_when_they_are_asked_for(ws):
    lab = wslab.Lab(ws=ws, ping_interval=0.05, ping_timeout=0.2)
    lab.websocket("/")(accepting)
    await lab.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with asyncio.timeout(10):
        await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readexactly(1))[0] == 0x89
        with contextlib.suppress(ConnectionError):
            await reader.read()  # mute: cut off in the end
    writer.close()
    await lab.stop()


async def test_a_public_lab_lets_in_who_has_the_token():
    lab = wslab.Lab(host="0.0.0.0", public=True)

    @lab.websocket("/")
    async def hello(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text("hello")

    await lab.start()
    assert lab.url("/").startswith("ws://127.0.0.1:")
    assert "lab_token=" in lab.url("/")
    async with lab.connect("/") as client:
        assert await client.receive(5) == "hello"
    with pytest.raises(wslab.ConnectionRefused) as caught:
        await wslab.connect(lab.url("/", token=False))
    assert caught.value.status == 403
    await lab.stop()
