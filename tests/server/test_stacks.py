"""Who is at work on a stack of frames."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from wslab.journal import Journal, LabExtension
from wslab.server.stacks import Holder, find_holder, in_library, walk
from wslab.session.current import work_for
from wslab.session.session import run_endpoint

HERE = __file__


def look():
    return find_holder(sys._getframe(1), asyncio.get_running_loop())


async def test_an_endpoint_is_named_with_its_connection_and_the_line_at_work():
    seen = []

    def helper():
        seen.append(look())

    async def chat(scope, receive, send):
        helper()

    scope = {"extensions": {"wslab": LabExtension(Journal(), "c3")}}
    await run_endpoint(chat, scope, None, None)
    ((by, connection, where),) = seen
    assert (by.rpartition(".")[2], connection) == ("chat", "c3")
    assert where == f"{HERE}:{helper.__code__.co_firstlineno + 1}"


async def test_an_application_without_a_line_of_the_users_is_named_all_the_same():
    seen = []
    code = "async def app(scope, receive, send): look()"
    installed = {"look": lambda: seen.append(find_holder(sys._getframe(1), asyncio.get_running_loop()))}
    exec(compile(code, json.__file__, "exec"), installed)
    await run_endpoint(installed["app"], {}, None, None)
    assert seen == [Holder("endpoint of the application", "", f"{json.__file__}:1")]


async def test_a_task_and_a_callback_are_named_by_their_function():
    seen = []

    async def child():
        seen.append(look())

    await asyncio.create_task(child())
    asyncio.get_running_loop().call_soon(lambda: seen.append(look()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task, callback = seen
    assert task.by.startswith("task ")
    assert task.by.endswith("child")
    assert callback.by.startswith("callback ")
    assert callback.by.endswith("<lambda>")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 does not tell a task's context")
async def test_a_task_of_an_endpoint_has_its_connection():
    seen = []

    async def child():
        seen.append(look())

    async def endpoint():
        work_for("c9", Journal())
        await asyncio.create_task(child())

    await asyncio.create_task(endpoint())
    assert seen[0].connection == "c9"


async def test_what_is_not_the_users_is_nobody():
    frame = None

    def peek(_):
        nonlocal frame
        frame = sys._getframe(1)
        return []

    json.dumps(object(), default=peek)
    assert in_library(frame)
    library = [each for each in walk(frame) if in_library(each)]
    assert library
    assert not in_library(sys._getframe())
    assert find_holder(None, asyncio.get_running_loop()) == Holder()


async def test_the_loops_own_frames_are_not_walked():
    names = [frame.f_globals["__name__"] for frame in walk(sys._getframe())]
    assert names[0] == __name__
    assert "asyncio.events" not in names
