import threading
from typing import Annotated

import anyio
import pytest
from starlette.websockets import WebSocketDisconnect

from wslab.asgi import BackgroundTasks, Depends, Query, WebSocket, WebSocketRequestValidationError
from wslab.asgi.compiler import compile_plan


class Wire:
    """The two channels of an ASGI server, in memory."""

    def __init__(self, query=""):
        self.incoming = [{"type": "websocket.connect"}]
        self.sent = []
        scope = {"type": "websocket", "path": "/", "headers": [], "query_string": query.encode()}
        self.websocket = WebSocket(scope, self.receive, self.send)

    async def receive(self):
        if self.incoming:
            return self.incoming.pop(0)
        return await anyio.sleep_forever()

    async def send(self, message):
        self.sent.append(message)


async def run(endpoint, query="", **options):
    wire = Wire(query)
    await compile_plan(endpoint, **options).run(wire.websocket)
    return wire


# --- values


async def test_values_of_every_kind_of_dependency_arrive():
    def function(x: int = 0):
        return ("function", x)

    async def coroutine(x: int = 0):
        return ("coroutine", x)

    def generator(x: int = 0):
        yield ("generator", x)

    async def async_generator(x: int = 0):
        yield ("async generator", x)

    class Made:
        def __init__(self, x: int = 0):
            self.x = x

    class Instance:
        def __call__(self, x: int = 0):
            return ("instance", x)

    seen = []

    async def endpoint(
        *,
        a=Depends(function),
        b=Depends(coroutine),
        c=Depends(generator),
        d=Depends(async_generator),
        e=Depends(Made),
        f=Depends(Instance()),
        g: Annotated[Made, Depends()] = None,
    ):
        seen.append((a, b, c, d, e.x, f, g is e))

    await run(endpoint, "x=7")
    assert seen == [
        (
            ("function", 7),
            ("coroutine", 7),
            ("generator", 7),
            ("async generator", 7),
            7,
            ("instance", 7),
            True,
        )
    ]


async def test_synchronous_dependencies_run_in_a_thread_and_others_in_the_loop():
    here = threading.get_ident()
    seen = {}

    def function():
        seen["function"] = threading.get_ident() == here

    async def coroutine():
        seen["coroutine"] = threading.get_ident() == here

    async def endpoint(a=Depends(function), b=Depends(coroutine)):
        seen["endpoint"] = threading.get_ident() == here

    await run(endpoint)
    assert seen == {"function": False, "coroutine": True, "endpoint": True}


async def test_a_dependency_is_called_once_for_a_connection_and_again_for_the_next():
    calls = []

    async def dependency():
        calls.append(len(calls))
        return calls[-1]

    async def sub(d=Depends(dependency)):
        return d

    seen = []

    async def endpoint(a=Depends(dependency), b=Depends(sub), c=Depends(dependency, use_cache=False)):
        seen.append((a, b, c))

    plan = compile_plan(endpoint)
    await plan.run(Wire().websocket)
    await plan.run(Wire().websocket)
    assert seen == [(0, 0, 1), (2, 2, 3)]


async def test_connections_at_the_same_time_do_not_share_values():
    both = anyio.Event()
    seen = []

    async def endpoint(x: int):
        seen.append(x)
        if len(seen) == 2:
            both.set()
        await both.wait()
        seen.append(x)

    plan = compile_plan(endpoint)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(plan.run, Wire("x=1").websocket)
        tasks.start_soon(plan.run, Wire("x=2").websocket)
    assert sorted(seen) == [1, 1, 2, 2]


async def test_a_dependency_that_returns_none_is_still_cached_and_valid():
    calls = []

    async def nothing():
        calls.append(1)

    async def endpoint(a=Depends(nothing), b=Depends(nothing), c: int | None = None):
        assert (a, b, c) == (None, None, None)

    await run(endpoint)
    assert calls == [1]


# --- invalid values


async def test_all_errors_are_reported_and_the_endpoint_does_not_run():
    ran = []

    async def invalid(n: int):
        ran.append("invalid")

    async def upon(x=Depends(invalid)):
        ran.append("upon")

    async def valid():
        ran.append("valid")

    async def endpoint(b: bool, x=Depends(upon), y=Depends(valid)):
        ran.append("endpoint")

    with pytest.raises(WebSocketRequestValidationError) as caught:
        await run(endpoint, "n=x")
    assert [error["loc"] for error in caught.value.errors()] == [("query", "n"), ("query", "b")]
    assert ran == ["valid"]
    assert caught.value.where.startswith(f"{__file__}:")


async def test_a_dependency_that_refuses_speaks_before_the_validation_of_the_endpoint():
    async def refuse():
        raise PermissionError

    async def endpoint(n: int, x=Depends(refuse)): ...

    with pytest.raises(PermissionError):
        await run(endpoint, "n=x")


# --- teardown


def logged(log, name, *, asynchronous):
    def generator():
        log.append(f"+{name}")
        try:
            yield name
        finally:
            log.append(f"-{name}")

    async def async_generator():
        log.append(f"+{name}")
        try:
            yield name
        finally:
            await anyio.lowlevel.checkpoint()
            log.append(f"-{name}")

    return async_generator if asynchronous else generator


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_teardown_follows_the_endpoint_in_reverse_order(asynchronous):
    log = []
    one, two = (logged(log, name, asynchronous=asynchronous) for name in ("one", "two"))

    async def endpoint(a=Depends(one), b=Depends(two)):
        log.append("endpoint")

    await run(endpoint)
    assert log == ["+one", "+two", "endpoint", "-two", "-one"]


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("error", [ValueError, WebSocketDisconnect])
async def test_teardown_happens_also_when_the_endpoint_raises(asynchronous, error):
    log = []
    one = logged(log, "one", asynchronous=asynchronous)

    async def endpoint(a=Depends(one)):
        raise error

    with pytest.raises(error):
        await run(endpoint)
    assert log == ["+one", "-one"]


async def test_teardown_happens_also_when_a_later_dependency_raises_or_a_value_is_invalid():
    log = []
    one = logged(log, "one", asynchronous=True)

    async def fail():
        raise ValueError

    async def endpoint(a=Depends(one), b=Depends(fail)): ...
    async def invalid(n: int, a=Depends(one)): ...

    with pytest.raises(ValueError):
        await run(endpoint)
    with pytest.raises(WebSocketRequestValidationError):
        await run(invalid)
    assert log == ["+one", "-one"] * 2


async def test_a_dependency_can_translate_the_endpoints_error():
    async def translate():
        try:
            yield
        except KeyError as error:
            raise LookupError("translated") from error

    async def endpoint(a=Depends(translate)):
        raise KeyError("x")

    with pytest.raises(LookupError, match="translated"):
        await run(endpoint)


async def test_teardown_finishes_although_the_connection_was_cancelled():
    log = []
    one, two = (logged(log, name, asynchronous=True) for name in ("one", "two"))

    async def endpoint(a=Depends(one), b=Depends(two)):
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        await run(endpoint)
    assert scope.cancelled_caught
    assert log == ["+one", "+two", "-two", "-one"]


async def test_a_dependency_may_hold_a_task_group_open_around_the_endpoint():
    log = []

    async def helpers():
        async with anyio.create_task_group() as tasks:
            yield tasks
            tasks.cancel_scope.cancel()

    async def endpoint(tasks=Depends(helpers)):
        async def helper():
            log.append("helping")
            await anyio.sleep_forever()

        tasks.start_soon(helper)
        await anyio.lowlevel.checkpoint()

    await run(endpoint)
    assert log == ["helping"]


# --- background tasks


async def test_background_tasks_run_after_the_connection_has_closed():
    wire = Wire()
    log = []

    def note(tasks: BackgroundTasks):
        tasks.add_task(lambda: log.append("first"))

    async def endpoint(ws: WebSocket, tasks: BackgroundTasks, x=Depends(note)):
        await ws.accept()
        tasks.add_task(lambda: log.append([message["type"] for message in wire.sent]))

    await compile_plan(endpoint).run(wire.websocket)
    assert log == ["first", ["websocket.accept", "websocket.close"]]
    assert wire.sent[-1]["code"] == 1000


async def test_background_tasks_do_not_close_twice():
    ran = []

    async def endpoint(ws: WebSocket, tasks: BackgroundTasks):
        await ws.accept()
        await ws.close(4000)
        tasks.add_task(lambda: ran.append("task"))

    wire = await run(endpoint)
    assert [message.get("code") for message in wire.sent] == [None, 4000]
    assert ran == ["task"]


async def test_without_a_task_the_connection_is_left_as_it_is():
    async def endpoint(ws: WebSocket, tasks: BackgroundTasks):
        await ws.accept()

    wire = await run(endpoint)
    assert [message["type"] for message in wire.sent] == ["websocket.accept"]


async def test_background_tasks_do_not_run_when_the_endpoint_raised():
    ran = []

    async def endpoint(ws: WebSocket, tasks: BackgroundTasks):
        tasks.add_task(lambda: ran.append("task"))
        raise ValueError

    with pytest.raises(ValueError):
        await run(endpoint)
    assert ran == []


async def test_a_client_that_left_before_the_close_does_not_stop_the_tasks():
    ran = []

    async def endpoint(ws: WebSocket, tasks: BackgroundTasks, q: str = Query("")):
        await ws.accept()
        tasks.add_task(lambda: ran.append("task"))
        wire.send = gone
        ws._send = gone

    async def gone(message):
        raise OSError

    wire = Wire()
    await compile_plan(endpoint).run(wire.websocket)
    assert ran == ["task"]
