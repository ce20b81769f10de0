"""Minutes of clients that come, talk, flood, stall, break the rules and vanish; then nothing may be left.

`make soak` runs it. ``WSLAB_SOAK_SECONDS`` (120) is its length, ``WSLAB_SOAK_SEED`` (0) chooses what the
clients do; when they do it is the machine's choice. The run is cut into waves. After each, all clients
have gone, and the lab has to be as it was before the first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import Counter

import pytest

from tests.soak.clients import MANNERS, Run, visit
from tests.soak.measures import descriptors, living, resident
from wslab import App, Lab, WebSocket
from wslab.events import ConnectionEnded, EndpointFailed, Notice
from wslab.feeds import Feed, simulate
from wslab.rooms import RoomManager
from wslab.rooms.outbox import Outbox
from wslab.server.tap import Tap
from wslab.session import Session

SECONDS = float(os.environ.get("WSLAB_SOAK_SECONDS", "120"))
SEED = int(os.environ.get("WSLAB_SOAK_SEED", "0"))
WAVE = 8.0  # seconds
CLIENTS = 40  # at a time
SETTLING = 15.0  # seconds that everything gets to end after a wave
BUDGET = 8 * 2**20  # of the recorder: small, so that it is reached
GROWTH = 24 * 2**20  # bytes of memory that a run may add once every ring is full

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS * 2 + 180)]


class Venue:
    """The application under load: rooms of both policies, and a feed."""

    def __init__(self) -> None:
        self.app = App()
        self.rooms = {
            "chat": RoomManager("disconnect", limit=64, close_timeout=0.5),
            "loose": RoomManager("drop_oldest", limit=16),
        }
        self.feed = Feed(lambda: simulate(seed=SEED, interval=0.002))
        self.app.websocket("/stocks")(self.stocks)
        for kind, manager in self.rooms.items():
            self.app.websocket(f"/{kind}/{{room_id}}")(self.endpoint(manager))

    @staticmethod
    def endpoint(manager):
        async def member(ws: WebSocket, room_id: str):
            await manager.join_room(ws, room_id)
            try:
                async for text in ws.iter_text():
                    if text == "boom":
                        raise ArithmeticError(text)
                    await manager.broadcast_to_room(room_id, text)
            finally:
                manager.leave_room(ws)

        return member

    async def stocks(self, ws: WebSocket):
        await ws.accept()
        async with self.feed.subscribe() as ticks:
            async for tick in ticks:
                await ws.send_json(tick.to_message())


async def empty(lab):
    """Wait until every connection has ended, from one event to the next."""
    ended = asyncio.Event()
    unsubscribe = lab.journal.subscribe(lambda event: isinstance(event, ConnectionEnded) and ended.set())
    try:
        async with asyncio.timeout(SETTLING):
            while lab.connections.alive:
                ended.clear()
                await ended.wait()
    except TimeoutError:
        pytest.fail(f"These connections did not end:\n{lab.connections!r}")
    finally:
        unsubscribe()


async def wave(run, number):
    """`CLIENTS` clients at a time for `WAVE` seconds; the first that fails ends the run."""
    run.over.clear()
    timer = asyncio.get_running_loop().call_later(WAVE, run.over.set)

    async def seat(place):
        rng = random.Random(f"{SEED} {number} {place}")
        while not run.over.is_set():
            await visit(run, rng)

    try:
        async with asyncio.TaskGroup() as seats:
            for place in range(CLIENTS):
                seats.create_task(seat(place))
    finally:
        timer.cancel()


class Watch:
    """What the journal and the loop tell, and what should not have been told."""

    def __init__(self, lab):
        self.seen: Counter[str] = Counter()
        self.surprises: list[str] = []
        lab.journal.subscribe(self.event)
        asyncio.get_running_loop().set_exception_handler(self.unhandled)

    def event(self, event):
        self.seen[type(event).__name__] += 1
        if isinstance(event, EndpointFailed) and event.error != "ArithmeticError: boom":
            self.surprises.append(event.traceback)
        elif isinstance(event, Notice) and event.level == "error" and "Invalid UTF-8" not in event.text:
            self.surprises.append(event.text)

    def unhandled(self, _, context):
        self.surprises.append(repr(context))


async def settle(lab, tasks):
    """Wait until everything that a wave began has ended."""
    await empty(lab)
    # Sockets that never finished their handshake are in no table, and no event tells of their end.
    await lab.until(lambda: not lab._core.server._server.server_state.connections, SETTLING)
    left = asyncio.all_tasks() - tasks
    if left:
        _, left = await asyncio.wait(left, timeout=SETTLING)
    assert not left, f"tasks that did not end: {left}"


def check_empty(lab, venue):
    """No connection, no member and no subscriber; and the recorder within its budget."""
    assert lab.connections.alive == []
    assert not lab._core.app_host.sessions
    assert not lab._core.server.tasks
    assert len(lab.rooms) == 0, lab.rooms
    for manager in venue.rooms.values():
        assert (dict(manager.rooms), manager._rooms_of, manager._outboxes) == ({}, {}, {})
    assert venue.feed.subscribers == 0
    kept = lab.recorder.records(lab.recorder.begin, lab.recorder.end)
    assert lab.recorder.held == sum(len(record.raw) for record in kept) <= BUDGET


def without_frames(record):
    """pytest keeps log records, and those of exceptions would keep the connections they came from."""
    record.exc_info = None
    return True


@pytest.fixture
def venue():
    return Venue()


@pytest.fixture
async def lab(venue):
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(without_frames)
    lab = Lab(venue.app)
    lab.recorder.budget = BUDGET
    await lab.start()
    yield lab
    await lab.stop()
    logger.removeFilter(without_frames)


async def test_after_every_wave_nothing_is_left(venue, lab):
    watch = Watch(lab)
    run = Run(lab.port, asyncio.Event())
    kinds = (Session, Tap, Outbox, WebSocket)
    tasks, files, objects = asyncio.all_tasks(), descriptors(), living(*kinds)
    memory: list[int] = []
    started = time.monotonic()
    while not memory or time.monotonic() - started < SECONDS:
        await wave(run, len(memory))
        await settle(lab, tasks)
        check_empty(lab, venue)
        assert watch.surprises == []
        assert living(*kinds) == objects
        assert descriptors() == files
        memory.append(resident())

    seen, tally = watch.seen, run.tally
    print(f"\n{len(memory)} waves, {lab.connections.ever} connections, {lab.recorder.end} frames")
    print("clients:", dict(tally.most_common()))
    print("events: ", dict(seen.most_common()))
    print("memory: ", [f"{size / 2**20:.0f} MiB" for size in memory])
    # The run was worth something: each manner was shown, and each remedy was needed.
    assert set(tally) >= {manner.__name__ for manner in MANNERS}
    assert seen["EndpointFailed"] == tally["crashing"]
    assert seen["MessageDropped"] > 0
    assert lab.recorder.begin > 0
    warm = memory[len(memory) // 3 :]
    assert max(warm) - warm[0] < GROWTH, memory
