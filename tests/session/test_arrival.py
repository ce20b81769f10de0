from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar

import pytest

from wslab.session.arrival import Arrival

name: ContextVar[str] = ContextVar("name", default="nobody")


def waiting(arrival, seen, label="resumed"):
    async def wait():
        name.set(label)
        try:
            await arrival
        finally:
            seen.append((label, name.get(), asyncio.current_task().get_name()))

    return asyncio.create_task(wait(), name=label)


async def from_a_callback(call):
    """Call `call` as a transport would: in a callback, where no task runs."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: (call(), done.set_result(None)))
    await done


async def test_from_a_callback_the_task_goes_on_at_once_as_itself():
    arrival, seen = Arrival(asyncio.get_running_loop()), []
    task = waiting(arrival, seen)
    await asyncio.sleep(0)

    def call():
        arrival.wake()
        assert seen == [("resumed", "resumed", "resumed")]
        assert asyncio.current_task() is None
        assert name.get() == "nobody"

    await from_a_callback(call)
    await task


async def test_from_a_task_it_goes_on_in_the_next_turn():
    arrival, seen = Arrival(asyncio.get_running_loop()), []
    task = waiting(arrival, seen)
    await asyncio.sleep(0)
    arrival.wake()
    assert seen == []
    await task
    assert len(seen) == 1


async def test_once_woken_nobody_waits():
    arrival = Arrival(asyncio.get_running_loop())
    arrival.wake()
    arrival.wake()
    await arrival
    assert (arrival.done(), arrival.cancelled(), arrival.result(), arrival.exception()) == (
        True,
        False,
        None,
        None,
    )


async def test_a_task_that_is_cancelled_ends_and_a_wake_after_it_is_nothing():
    arrival, seen = Arrival(asyncio.get_running_loop()), []
    task = waiting(arrival, seen)
    await asyncio.sleep(0)
    assert task.cancel("enough")
    await from_a_callback(arrival.wake)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert arrival.cancelled()
    assert not arrival.cancel()
    assert len(seen) == 1


async def test_a_time_out_works():
    arrival = Arrival(asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await arrival


async def test_several_can_wait_through_asyncios_own_means():
    arrival, seen = Arrival(asyncio.get_running_loop()), []
    first = waiting(arrival, seen, "first")
    second = asyncio.create_task(asyncio.wait((arrival,)))
    third = asyncio.ensure_future(arrival)
    assert third is arrival
    await asyncio.sleep(0)
    await from_a_callback(arrival.wake)
    assert [label for label, *_ in seen] == ["first"]
    assert await second == ({arrival}, set())
    await first


async def test_what_the_task_raises_is_the_tasks_own():
    arrival = Arrival(asyncio.get_running_loop())

    async def fail():
        await arrival
        raise ValueError("mine")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await from_a_callback(arrival.wake)
    with pytest.raises(ValueError, match="mine"):
        await task


async def test_callbacks_can_be_taken_back():
    arrival, called = Arrival(asyncio.get_running_loop()), []
    arrival.add_done_callback(called.append)
    arrival.add_done_callback(called.append)
    assert arrival.remove_done_callback(called.append) == 2
    assert arrival.remove_done_callback(print) == 0
    arrival.wake()
    arrival.add_done_callback(called.append)
    await asyncio.sleep(0)
    assert called == [arrival]
    with pytest.raises(asyncio.InvalidStateError, match="still waited for"):
        Arrival(asyncio.get_running_loop()).result()


@pytest.mark.parametrize("task", [asyncio.Task, sys.modules["asyncio.tasks"]._PyTask])
async def test_both_of_asyncios_tasks_take_it_for_a_future(task):
    """nest-asyncio2 puts the one written in Python in place."""
    arrival, order = Arrival(asyncio.get_running_loop()), []

    async def wait():
        await arrival
        order.append("resumed")

    waiter = task(wait(), loop=asyncio.get_running_loop())
    await asyncio.sleep(0)
    await from_a_callback(lambda: (arrival.wake(), order.append("woken")))
    await waiter
    assert order == ["resumed", "woken"]
