"""Labs with options of a test's own, all on the lab's own engine, and checked to be at rest afterwards."""

from __future__ import annotations

import contextlib

import pytest

from tests.faults.harness import Rest, leave_all, new_client, open_all
from wslab import App, Lab


@pytest.fixture
async def serve():
    """``lab, rest = await serve(app, **options)``; ``await rest.again()`` waits for its rest."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(app: App | None = None, **options):
            lab = Lab(app or App(), ws="wslab", **options)
            await lab.start()
            stack.push_async_callback(lab.stop)
            return lab, Rest(lab)

        yield serve


@pytest.fixture
async def visitors():
    """``await visitors(lab, path, count)``: clients that are gone after the test."""
    everybody = []

    async def visitors(lab, path, count=1, **options):
        if options:
            clients = [new_client(lab, number, **options) for number in range(count)]
            for client in clients:
                await client.open(path)
        else:
            clients = await open_all(lab, path, count)
        everybody.extend(clients)
        return clients

    yield visitors
    await leave_all(everybody)
