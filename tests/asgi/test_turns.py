"""Who has the turn, and what becomes of it when those who wait are cancelled."""

import asyncio

import pytest

from wslab.asgi.turns import Turns


async def waiting_for(turns, count):
    tasks = [asyncio.ensure_future(turns.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


@pytest.fixture
async def turns():
    """With the turn taken."""
    turns = Turns()
    turns.taken = True
    return turns


async def test_the_turn_goes_to_whoever_asked_first(turns):
    tasks = await waiting_for(turns, 3)
    for position in range(3):
        turns.pass_on()
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [each <= position for each in range(3)]
        assert turns.taken
    turns.pass_on()
    assert not turns.taken


async def test_whoever_was_cancelled_before_is_not_asked(turns):
    first, second = await waiting_for(turns, 2)
    first.cancel()
    await asyncio.wait({first})
    turns.pass_on()
    await second
    assert first.cancelled()
    assert turns.taken


async def test_the_turn_passes_by_whoever_is_cancelled_in_the_same_moment(turns):
    first, second = await waiting_for(turns, 2)
    first.cancel()
    turns.pass_on()  # before the cancelled task has run
    await second
    await asyncio.wait({first})
    assert first.cancelled()
    assert turns.taken
    turns.pass_on()
    assert not turns.taken


async def test_the_turn_comes_back_when_nobody_else_waits(turns):
    (only,) = await waiting_for(turns, 1)
    only.cancel()
    turns.pass_on()
    assert not turns.taken
    await asyncio.wait({only})
    assert only.cancelled()


async def test_a_turn_that_comes_with_the_cancellation_is_passed_on(turns):
    first, second = await waiting_for(turns, 2)
    turns.pass_on()
    first.cancel()  # handed over already, and not run yet
    await second
    assert first.cancelled()
    assert turns.taken
