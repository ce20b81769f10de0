"""Dependencies are torn down as FastAPI does it: in this order, shielded like this, with these errors."""

import asyncio
from typing import Annotated

import anyio
import pytest

import wslab.asgi
from wslab.asgi import App
from wslab.errors import DependencyScopeError

MIXES = [
    [("function", True), ("request", True), (None, True), ("function", False)],
    [("request", False), ("function", True), ("function", False), (None, False)],
    [(None, False), ("function", True), (None, True)],
    [("function", True), ("function", True)],
]
ENDINGS = ["return", "ValueError", "WebSocketException", "invalid"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mix", MIXES, ids=str)
async def test_the_order_of_teardown(yielding, compare, mix, ending):
    def program(app, lib, log):
        a, b, c, d = (
            lib.Depends(yielding(log, f"{number}{scope}", asynchronous=asynchronous), scope=scope)
            for number, (scope, asynchronous) in enumerate([*mix, *mix][:4])
        )

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, *, a=a, b=b, c=c, d=d, n: int = 0):
            await ws.accept()
            log.append("endpoint")
            if ending == "ValueError":
                raise ValueError("x")
            if ending == "WebSocketException":
                raise lib.WebSocketException(4000, "x")

    log, *_ = await compare(program, "n=x" if ending == "invalid" else "")
    ended = [entry for entry in log if entry.startswith("-")]
    early = [entry for entry in ended if "function" in entry]
    assert ended[: len(early)] == early


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("scope", ["function", "request"])
@pytest.mark.parametrize("then", [None, LookupError("translated")])
async def test_what_a_teardown_makes_of_the_error(yielding, compare, *, outer, inner, scope, then):
    def program(app, lib, log):
        first = yielding(log, "first", asynchronous=outer)
        second = yielding(log, "second", asynchronous=inner, catch=ValueError, then=then)

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, a=lib.Depends(first), b=lib.Depends(second, scope=scope)):
            raise ValueError("x")

    log, _, outcome = await compare(program)
    assert ("first saw LookupError" in log) == (then is not None)
    assert outcome == (repr(then) if then else "done")


@pytest.mark.parametrize("failing", ["before", "after"])
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_dependency_that_fails_around_its_yield(yielding, compare, failing, asynchronous):
    def program(app, lib, log):
        outer = yielding(log, "outer", asynchronous=True)
        last = yielding(log, "last", asynchronous=False)

        def generator():
            if failing == "before":
                raise OSError("before")
            yield 1
            raise OSError("after")

        async def async_generator():
            if failing == "before":
                raise OSError("before")
            yield 1
            raise OSError("after")

        broken = async_generator if asynchronous else generator

        @app.websocket("/")
        async def endpoint(
            ws: lib.WebSocket, a=lib.Depends(outer), b=lib.Depends(broken), c=lib.Depends(last)
        ):
            log.append("endpoint")

    log, _, outcome = await compare(program)
    assert "outer saw OSError" in log
    assert failing in outcome


@pytest.mark.parametrize(
    "scopes", [("request", "request"), ("request", "function"), ("function", "function")]
)
@pytest.mark.parametrize("kinds", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("swallowed", [False, True])
async def test_teardown_when_the_connection_is_cancelled(yielding, compare, scopes, kinds, swallowed):
    def program(app, lib, log, started):
        catch = asyncio.CancelledError if swallowed else None
        first = yielding(log, "first", asynchronous=kinds[0])
        second = yielding(log, "second", asynchronous=kinds[1], catch=catch)

        @app.websocket("/")
        async def endpoint(
            ws: lib.WebSocket,
            a=lib.Depends(first, scope=scopes[0]),
            b=lib.Depends(second, scope=scopes[1]),
        ):
            started.set()
            await anyio.sleep_forever()

    log, *_ = await compare(program, cancel=True)
    # Even if the inner one swallowed it, the outer one hears of the cancellation.
    if kinds[1]:
        assert "first saw CancelledError" in log
    assert log[-1] == "-first"


async def test_a_teardown_that_waits_is_not_cancelled_and_a_task_group_may_be_open(libraries, compare):
    def program(app, lib, log, started):
        async def group():
            async with anyio.create_task_group() as tasks:
                yield tasks
                log.append("never: the cancellation is raised at the yield")

        async def patient():
            try:
                yield
            finally:
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                log.append("patient")

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, p=lib.Depends(patient), tasks=lib.Depends(group)):
            async def helper():
                try:
                    await anyio.sleep_forever()
                finally:
                    log.append("helper")

            tasks.start_soon(helper)
            await anyio.lowlevel.checkpoint()
            started.set()
            await anyio.sleep_forever()

    log, *_ = await compare(program, cancel=True)
    assert log == ["helper", "patient"]


def scopes_that_do_not_fit(lib, outer_scope, *, asynchronous):
    def inner():
        yield

    def outer(inner=lib.Depends(inner, scope="function")):
        yield

    async def async_outer(inner: Annotated[None, lib.Depends(inner, scope="function")]):
        yield

    async def endpoint(
        ws: lib.WebSocket, x=lib.Depends(async_outer if asynchronous else outer, scope=outer_scope)
    ): ...

    return endpoint


@pytest.mark.parametrize("asynchronous", [True, False])
def test_what_outlives_its_dependency_is_refused_when_it_is_declared(lib, asynchronous):
    app = lib.FastAPI()
    for scope in (None, "request"):
        with pytest.raises(lib.DependencyScopeError, match="outer"):
            app.websocket("/")(scopes_that_do_not_fit(lib, scope, asynchronous=asynchronous))
    app.websocket("/")(scopes_that_do_not_fit(lib, "function", asynchronous=asynchronous))


def test_the_error_names_the_parameter_and_both_ways_out():
    with pytest.raises(DependencyScopeError, match=r"`inner`.*Declare `inner`.*or"):
        App().websocket("/")(scopes_that_do_not_fit(wslab.asgi, None, asynchronous=True))
