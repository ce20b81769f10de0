from __future__ import annotations

import asyncio

import pytest

import wslab


@pytest.fixture
async def program(serve):
    async with serve("robust") as served:
        yield served


async def enter(program):
    client = await program.connect("/ws/robust")
    info = await client.receive_json(5)
    assert info == {
        "type": "connection_info",
        "message": "Connected successfully",
        "heartbeat_interval": program.module.HEARTBEAT_INTERVAL,
    }
    return client


def endpoint_tasks():
    names = {"heartbeat", "answer_messages"}
    return [task for task in asyncio.all_tasks() if task.get_coro().__name__ in names]


async def ended_tasks():
    tasks = endpoint_tasks()
    if tasks:
        await asyncio.wait(tasks, timeout=5)
    assert endpoint_tasks() == []


async def test_messages_are_answered(program):
    client = await enter(program)
    await client.send_json({"type": "heartbeat_response"})
    await client.send_json({"type": "echo", "message": [1]})
    assert await client.receive_json(5) == {"type": "echo_response", "original_message": [1]}
    await client.send_json({"type": "dance"})
    assert await client.receive_json(5) == {"type": "error", "message": "Unknown message type: dance"}
    await client.close()
    await ended_tasks()


async def test_an_unexpected_error_is_told_and_the_connection_goes_on(program):
    client = await enter(program)
    await client.send_json({"type": "error_test"})
    assert await client.receive_json(5) == {"type": "error", "message": "An unexpected error occurred"}
    await client.send_json({"type": "echo"})
    assert await client.receive_json(5) == {"type": "echo_response", "original_message": ""}
    await client.close()


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ('{"type":"error_test","error_type":"protocol_error"}', 1002, "Test protocol error"),
        ('{"type":"error_test","error_type":"invalid_data"}', 1003, "Test invalid data"),
        ("{", 1002, "Protocol error"),
        ("[]", 1002, "Protocol error"),
        (b"{}", 1002, "Protocol error"),
    ],
)
async def test_the_close_code_reaches_the_client_and_no_task_is_left(program, message, code, reason):
    client = await enter(program)
    assert len(endpoint_tasks()) == 2
    await client.send(message)
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason, caught.value.by) == (code, reason, "server")
    await ended_tasks()


async def test_a_client_that_is_cut_off_leaves_no_task(program):
    client = await enter(program)
    assert len(endpoint_tasks()) == 2
    client._connection.transport.abort()
    await ended_tasks()


async def test_an_answered_heartbeat_goes_on_and_an_unanswered_one_ends(serve):
    async with serve("robust", HEARTBEAT_INTERVAL=0.2) as program:
        client = await enter(program)
        for _ in range(4):  # twice as long as silence is borne
            assert await client.receive_json(5) == {"type": "heartbeat"}
            await client.send_json({"type": "heartbeat_response"})
        for _ in range(2):  # the first may have been on its way
            assert await client.receive_json(5) == {"type": "heartbeat"}
        with pytest.raises(wslab.ConnectionClosed) as caught:
            await client.receive_json(5)
        assert (caught.value.code, caught.value.reason) == (1011, "No heartbeat response")
        await ended_tasks()


async def test_a_server_that_stops_leaves_no_task(serve):
    async with serve("robust") as program:
        client = await enter(program)
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert caught.value.code == 1012
    assert endpoint_tasks() == []
