"""What one client may ask for, and what it gets above it."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wslab
from wslab.errors import ConnectionClosed, ConnectionRefused, OptionError
from wslab.events import LimitReached, Notice
from wslab.journal import Journal
from wslab.server.limits import OFF, Admission, Limits, RateLimiter
from wslab.session import Channel

ENGINES = ["wslab", "websockets-sansio", "wsproto"]


# -- the values ----------------------------------------------------------------------------------------
def test_the_defaults():
    limits = Limits()
    assert (limits.message, limits.connections, limits.per_client, limits.rate) == (2**20, 200, None, None)
    assert limits.max_message == 2**20
    assert limits.limiter() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("message=4MiB,rate=off", {"message": 4 * 2**20, "rate": OFF}),
        (" message = 1.5 kb , connections=7 ", {"message": 1500, "connections": 7}),
        ("message=1GiB", {"message": 2**30}),
        ("message=100", {"message": 100}),
        ("rate=0.5,handshake=2.5", {"rate": 0.5, "handshake": 2.5}),
        ("per_client=off", {"per_client": OFF}),
    ],
)
def test_text_is_read(text, expected):
    assert Limits.parse(text) == Limits(**expected)


def test_off_switches_all_off():
    limits = Limits.parse("OFF")
    assert limits.none
    assert limits.max_message is None
    assert limits.limiter() is None
    assert not Limits(message=OFF).none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conections=3", "did you mean 'connections'"),
        ("rate", "name=value"),
        ("", "name=value"),
        ("rate=fast", "number or off"),
        ("rate=1MiB", "number or off"),
        ("message=4 parsecs", "number or off"),
        ("rate=-1", "number or off"),
        ("rate=0", "above 0"),
        ("rate=1,,message=2", "name=value"),
        ("connections=1.5", "whole number"),
        ("rate=٣x", "number or off"),
    ],
)
def test_text_that_cannot_be_meant_is_refused(text, said):
    with pytest.raises(OptionError, match=said):
        Limits.parse(text)


@pytest.mark.parametrize(
    "given",
    [
        *({"message": 0}, {"message": -1}, {"message": None}, {"message": 1.5}),
        *({"rate": "1"}, {"rate": True}, {"rate": math.nan}),
    ],
)
def test_values_that_cannot_be_meant_are_refused(given):
    with pytest.raises(OptionError, match="above 0"):
        Limits(**given)


amounts = st.integers(1, 2**40) | st.just(OFF)


@given(message=amounts, connections=amounts, per_client=amounts, rate=amounts, handshake=amounts)
def test_what_is_shown_is_read_back(**values):
    limits = Limits(**values)
    assert Limits.parse(str(limits)) == limits


# -- the rate ------------------------------------------------------------------------------------------
def test_a_burst_passes_and_then_the_rate_holds():
    limiter = RateLimiter(10)
    assert sum(limiter.take(0.0) for _ in range(100)) == 20
    assert sum(limiter.take(1.0) for _ in range(100)) == 10
    assert sum(limiter.take(100.0) for _ in range(100)) == 20


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 0.5), max_size=200))
def test_never_more_than_the_burst_and_the_rate(rate, pauses):
    limiter, now, taken = RateLimiter(rate), 0.0, 0
    for pause in pauses:
        now += pause
        taken += limiter.take(now)
    assert taken <= max(2 * rate, 1) + rate * now + 1


@given(st.floats(0.1, 1000), st.integers(1, 100))
def test_who_keeps_to_the_rate_is_never_stopped(rate, count):
    limiter = RateLimiter(rate)
    assert all(limiter.take(number / rate * 1.001) for number in range(count))


# -- the count -----------------------------------------------------------------------------------------
def entered(admission, host):
    """Why a connection from `host` may not open, or None; and the way to end it."""
    client = admission.client({"client": (host, 1)})
    return admission.admit(client, "c1"), lambda: admission.release(client, Channel(None))


def test_connections_are_counted_while_they_last():
    journal = Journal()
    admission = Admission(Limits(connections=2), journal)
    (one, end), (two, _) = entered(admission, "a"), entered(admission, "b")
    refused, _ = entered(admission, "c")
    assert (one, two) == (None, None)
    assert (refused.status, dict(refused.headers)[b"retry-after"]) == (503, b"5")
    end()
    assert entered(admission, "c")[0] is None
    assert admission.open == 2
    assert [(event.limit, event.value, event.answer) for event in journal] == [("connections", 2, 503)]


def test_what_has_ended_leaves_no_count_behind():
    admission = Admission(Limits(per_client=1), Journal())
    for _ in range(3):
        refusal, end = entered(admission, "192.0.2.1")
        assert refusal is None
        end()
    assert (admission.open, dict(admission._clients)) == (0, {})


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::2", True),  # one provider's customer has at least a /64
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("127.0.0.1", "127.0.0.1", False),  # a proxy on this machine: everybody
        ("::1", "::1", False),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", False),
        ("testclient", "testclient", False),
    ],
)
def test_clients_are_told_apart_by_their_address(first, second, same):
    admission = Admission(Limits(per_client=1), Journal())
    assert entered(admission, first)[0] is None
    refusal, _ = entered(admission, second)
    assert (refusal is not None) == same
    if refusal is not None:
        assert refusal.status == 429


def test_a_client_without_an_address_is_let_in():
    admission = Admission(Limits(per_client=1), Journal())
    assert {admission.admit(admission.client({"client": None}), "") for _ in range(3)} == {None}


# -- over real sockets ---------------------------------------------------------------------------------
def echoing(**options):
    lab = wslab.Lab(**options)

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)

    return lab


def reached(lab, limit):
    return [event for event in lab.journal if isinstance(event, LimitReached) and event.limit == limit]


@pytest.mark.parametrize("ws", ENGINES)
async def test_a_message_too_large_is_1009_and_one_line_in_the_log(ws):
    lab = await echoing(ws=ws, limits="message=1000").start()
    async with lab.connect("/echo") as other:
        async with lab.connect("/echo") as client:
            await client.send("x" * 1000)
            assert await client.receive(5) == "x" * 1000
            await client.send("x" * 1001)
            with pytest.raises(ConnectionClosed) as caught:
                await client.receive(5)
        assert (caught.value.code, caught.value.by) == (1009, "server")
        (event,) = await lab.until(lambda: reached(lab, "message"))
        assert (event.connection, event.value, event.answer) == ("c2", 1000, 1009)
        await other.send("still here")
        assert await other.receive(5) == "still here"
    await lab.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_an_endpoints_own_1009_is_no_limit_of_the_labs(ws):
    lab = wslab.Lab(ws=ws)

    @lab.websocket("/")
    async def picky(ws: wslab.WebSocket):
        await ws.accept()
        await ws.close(1009, "too long for me")

    await lab.start()
    async with lab.connect("/") as client:
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(5)
    assert caught.value.code == 1009
    await lab.until(lambda: not lab.connections.alive)
    assert not reached(lab, "message")
    await lab.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_too_many_messages_are_1008_and_those_before_arrive(ws):
    lab = await echoing(ws=ws, limits="rate=5").start()
    async with lab.connect("/echo") as other, lab.connect("/echo") as client:
        for number in range(30):
            await client.send(str(number))
        arrived = []

        async def read_all():
            while True:
                arrived.append(await client.receive(5))

        with pytest.raises(ConnectionClosed) as caught:
            await read_all()
        assert caught.value.code == 1008
        assert arrived == [str(number) for number in range(len(arrived))]
        assert len(arrived) <= 12
        (event,) = await lab.until(lambda: reached(lab, "rate"))
        assert (event.connection, event.value, event.answer) == ("c2", 5, 1008)
        await other.send("still here")
        assert await other.receive(5) == "still here"
    await lab.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_above_the_connections_it_is_503_and_a_time_to_come_back(ws, raw_to):
    lab = await echoing(ws=ws, limits="connections=2").start()
    async with lab.connect("/echo"):
        async with lab.connect("/echo"):
            head, body = await raw_to(lab)
            assert head.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 5" in head.lower()
            assert b"2 connections" in body
            assert b"Try again later" in body
            (event,) = reached(lab, "connections")
            assert (event.connection, event.value, event.answer) == ("c3", 2, 503)
        await lab.until(lambda: len(lab.connections.alive) == 1)
        async with lab.connect("/echo") as client:
            await client.send("room again")
            assert await client.receive(5) == "room again"
    await lab.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_above_one_clients_share_it_is_429(ws, raw_to, monkeypatch):
    # Every client of a test comes from loopback, which is exempt: here it counts as an address like any.
    monkeypatch.setattr("wslab.server.limits._client", lambda scope: scope["client"][0])
    lab = await echoing(ws=ws, limits="per_client=1").start()
    async with lab.connect("/echo"):
        # No header makes another client of somebody.
        head, body = await raw_to(lab, b"X-Forwarded-For: 192.0.2.1\r\n")
        assert head.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 5" in head.lower()
        assert b"1 connections from one address" in body
        assert [event.answer for event in reached(lab, "per_client")] == [429]
    await lab.stop()


@pytest.mark.parametrize("ws", ENGINES)
async def test_half_a_handshake_is_408_when_its_time_is_over(ws):
    lab = await echoing(ws=ws, limits="handshake=0.2").start()
    async with lab.connect("/echo") as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr")
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"within 0.2 s" in answer
        writer.close()
        await other.send("still here")
        assert await other.receive(5) == "still here"
    await lab.stop()


async def test_loopback_clients_are_not_limited_each(raw_to):
    lab = await echoing(limits="per_client=1").start()
    async with lab.connect("/echo"), lab.connect("/echo") as client:
        await client.send("a class behind one proxy")
        assert await client.receive(5) == "a class behind one proxy"
    await lab.stop()


async def test_refused_connections_are_not_counted():
    lab = await echoing(limits="connections=1").start()
    for _ in range(3):
        with pytest.raises(ConnectionRefused) as caught:
            await lab.connect("/echo", headers={"Origin": "https://evil.example"})
        assert caught.value.status == 403
    async with lab.connect("/echo") as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    await lab.stop()


async def test_no_limits_at_all_is_said():
    lab = await echoing(limits="off").start()
    notices = [event for event in lab.journal if isinstance(event, Notice)]
    assert any("Every limit is off" in event.text and event.level == "warning" for event in notices)
    async with lab.connect("/echo") as client:
        await client.send("x" * (2**20 + 1))
        assert len(await client.receive(10)) == 2**20 + 1
    await lab.stop()


@pytest.fixture
def raw_to():
    """Ask a lab for an upgrade with bytes of our own; give back the answer's head and body."""

    async def ask(lab, header=b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        try:
            writer.write(
                b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                + header
                + b"\r\n"
            )
            async with asyncio.timeout(10):
                return await reader.readuntil(b"\r\n\r\n"), await reader.read(4096)
        finally:
            writer.close()

    return ask
