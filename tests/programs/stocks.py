"""The specification's stock stream, mended.

What was wrong in it:

* One generator for each client: every client saw other prices, and each cost its own work.
* The poll with a time-out of 1 ms cancelled a receive at each price, and saw a client leave only then.
* A generator that a `break` leaves is closed whenever the garbage collector comes to it.
* The time stamp had no time zone.
* `json` was imported and never used.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

from wslab.asgi import App, WebSocket, WebSocketDisconnect

INTERVAL = 1.0  # seconds between two rounds of prices
BACKLOG = 100  # prices kept for a client that reads slowly; then it loses the oldest
STOCKS = ["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA"]


async def generate_stock_data() -> AsyncIterator[dict]:
    """Generate mock stock price data."""
    while True:
        for stock in STOCKS:
            yield {
                "symbol": stock,
                "price": round(random.uniform(100, 1000), 2),
                "change": round(random.uniform(-5, 5), 2),
                "timestamp": datetime.now(UTC).isoformat(),
            }
        await asyncio.sleep(INTERVAL)


class Ticker:
    """Hands one stream of prices to every subscriber."""

    def __init__(self):
        self.subscribers: set[asyncio.Queue] = set()

    @contextmanager
    def subscribe(self):
        prices: asyncio.Queue = asyncio.Queue(BACKLOG)
        self.subscribers.add(prices)
        try:
            yield prices
        finally:
            self.subscribers.discard(prices)

    async def run(self):
        async for stock_data in generate_stock_data():
            for prices in self.subscribers:
                if prices.full():
                    prices.get_nowait()
                prices.put_nowait(stock_data)


ticker = Ticker()


@asynccontextmanager
async def lifespan(app: App):
    running = asyncio.create_task(ticker.run())
    yield
    running.cancel()
    await asyncio.wait([running])


app = App(lifespan=lifespan)


async def send_prices(websocket: WebSocket, prices: asyncio.Queue):
    await websocket.send_json({"type": "connected", "message": "Stock price stream connected"})
    while True:
        await websocket.send_json({"type": "stock_update", "data": await prices.get()})


@app.websocket("/ws/stocks")
async def stock_stream(websocket: WebSocket):
    await websocket.accept()
    try:
        with ticker.subscribe() as prices:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(send_prices(websocket, prices))
                # What the client sends is read and ignored: so its leaving is seen at once.
                while (await websocket.receive())["type"] != "websocket.disconnect":
                    pass
                sending.cancel()
    except* WebSocketDisconnect:
        pass
    print("Stock stream client disconnected")
