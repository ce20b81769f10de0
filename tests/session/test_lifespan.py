from __future__ import annotations

import asyncio
import contextlib

import pytest
from starlette.applications import Starlette

from wslab.errors import StartupError
from wslab.session import Lifespan


def starlette(before=None, after=None):
    @contextlib.asynccontextmanager
    async def lifespan(app):
        if before is not None:
            await before()
        yield {"database": "open"}
        if after is not None:
            await after()

    return Starlette(lifespan=lifespan)


async def fails():
    raise ValueError("no database")


async def test_startup_gives_state_and_shutdown_runs():
    ended = asyncio.Event()

    async def after():
        ended.set()

    lifespan = Lifespan(starlette(after=after))
    await lifespan.startup()
    assert lifespan.state == {"database": "open"}
    assert not ended.is_set()
    assert await lifespan.shutdown() == ""
    assert ended.is_set()
    assert await lifespan.shutdown() == ""


async def test_a_failing_startup_is_our_error_with_the_cause():
    lifespan = Lifespan(starlette(before=fails))
    with pytest.raises(StartupError, match="ValueError: no database") as caught:
        await lifespan.startup()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_an_app_that_does_not_know_the_protocol_is_taken_without():
    async def raises(scope, receive, send):
        assert scope["type"] == "websocket"

    async def returns(scope, receive, send):
        return

    for app in (raises, returns):
        lifespan = Lifespan(app)
        await lifespan.startup()
        assert not lifespan.supported
        assert await lifespan.shutdown() == ""


async def test_a_failing_shutdown_is_told():
    lifespan = Lifespan(starlette(after=fails))
    await lifespan.startup()
    assert "no database" in await lifespan.shutdown()


async def test_a_shutdown_that_hangs_is_abandoned():
    lifespan = Lifespan(starlette(after=asyncio.Event().wait))
    await lifespan.startup()
    assert "abandoned" in await lifespan.shutdown(timeout=0.05)
