from __future__ import annotations

from contextlib import AsyncExitStack

CONNECTED = {"type": "connected", "message": "Stock price stream connected"}
SETTINGS = {"INTERVAL": 0.02}


async def prices_seen(client, count):
    seen = []
    for _ in range(count):
        message = await client.receive_json(5)
        assert message["type"] == "stock_update"
        assert message["data"].keys() == {"symbol", "price", "change", "timestamp"}
        seen.append(message["data"])
    return seen


async def test_every_client_sees_the_same_prices(serve):
    async with serve("stocks", **SETTINGS) as program, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(program.connect("/ws/stocks")) for _ in range(3)]
        for client in clients:
            assert await client.receive_json(5) == CONNECTED
        seen = [await prices_seen(client, 15) for client in clients]
        assert {price["symbol"] for price in seen[0]} == set(program.module.STOCKS)
        begin = max(prices[0]["timestamp"] for prices in seen)  # all three had come
        end = max(prices[-1]["timestamp"] for prices in seen)
        for client, prices in zip(clients, seen, strict=True):
            while prices[-1]["timestamp"] < end:
                prices.extend(await prices_seen(client, 1))
        first, *others = [between(prices, begin, end) for prices in seen]
        assert len(first) >= 15
        assert others == [first, first]


def between(prices, begin, end):
    return [price for price in prices if begin <= price["timestamp"] <= end]


async def test_a_client_that_leaves_is_seen_to_leave_without_a_price(serve, until, capsys):
    async with serve("stocks", INTERVAL=600) as program:
        subscribers = program.module.ticker.subscribers
        async with program.connect("/ws/stocks") as client:
            assert await client.receive_json(5) == CONNECTED
            assert len(subscribers) == 1
        await until(lambda: not subscribers)
    assert capsys.readouterr().out == "Stock stream client disconnected\n"


async def test_what_a_client_sends_does_not_disturb_the_stream(serve):
    async with serve("stocks", **SETTINGS) as program, program.connect("/ws/stocks") as client:
        assert await client.receive_json(5) == CONNECTED
        for message in ("hello", b"\x00", "again"):
            await client.send(message)
            await prices_seen(client, 6)
        assert await client.ping(5) >= 0  # reading goes on: a pong would be read as well


async def test_a_client_that_is_cut_off_is_forgotten(serve, until):
    async with serve("stocks", **SETTINGS) as program:
        client = await program.connect("/ws/stocks")
        assert await client.receive_json(5) == CONNECTED
        client._connection.transport.abort()
        await until(lambda: not program.module.ticker.subscribers)


async def test_a_slow_subscriber_loses_the_oldest_prices_and_holds_nobody(serve, until):
    async with serve("stocks", INTERVAL=0.001, BACKLOG=10) as program:
        ticker = program.module.ticker
        with ticker.subscribe() as slow, ticker.subscribe() as quick:
            await until(slow.full)
            newest = slow._queue[-1]
            while await quick.get() != newest:
                pass
            for _ in range(30):
                later = await quick.get()
            kept = [slow.get_nowait() for _ in range(slow.qsize())]
            assert newest not in kept
            assert later in kept
            assert len(kept) == 10
        assert not ticker.subscribers
