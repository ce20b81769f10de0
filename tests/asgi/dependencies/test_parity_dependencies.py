"""Dependencies are called and shared as FastAPI does it, with the same scopes and in the same contexts."""

import contextvars
import functools

import anyio
import fastapi
import pytest

import wslab.asgi
from wslab.asgi.compiler import compile_plan
from wslab.asgi.dependencies import Security
from wslab.errors import EndpointError

# --- calling and sharing


class Instance:
    def __init__(self, log):
        self.log = log

    def __call__(self, n: int = 0):
        self.log.append(f"instance {n}")
        return n

    async def method(self, n: int = 0):
        self.log.append(f"method {n}")
        return n


class AsyncInstance(Instance):
    async def __call__(self, n: int = 0):
        self.log.append(f"async instance {n}")
        return n


class YieldingInstance(Instance):
    async def __call__(self, n: int = 0):
        self.log.append(f"+instance {n}")
        yield n
        self.log.append("-instance")


def kinds_of_callables(log):
    def wrapper(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            log.append("wrapped")
            return function(*args, **kwargs)

        return inner

    async def coroutine(n: int = 0, m: int = 1):
        log.append(f"coroutine {n} {m}")
        return n

    def plain(n: int = 0, m: int = 1):
        log.append(f"plain {n} {m}")
        return n

    async def agen(n: int = 0):
        log.append(f"+agen {n}")
        yield n
        log.append("-agen")

    def gen(n: int = 0):
        log.append(f"+gen {n}")
        yield n
        log.append("-gen")

    return {
        "instance": Instance(log),
        "method": Instance(log).method,
        "async instance": AsyncInstance(log),
        "yielding instance": YieldingInstance(log),
        "partial": functools.partial(plain, m=5),
        "partial of coroutine": functools.partial(coroutine, m=5),
        "partial of agen": functools.partial(agen),
        "partial of partial": functools.partial(functools.partial(gen)),
        "partial of instance": functools.partial(AsyncInstance(log)),
        "wrapped coroutine": wrapper(coroutine),
        "wrapped agen": wrapper(agen),
        "wrapped gen": wrapper(gen),
        "wrapped twice": wrapper(wrapper(plain)),
        "lambda": lambda n=0: log.append(f"lambda {n}"),
    }


@pytest.mark.parametrize("kind", kinds_of_callables([]))
async def test_every_kind_of_callable(compare, kind):
    def program(app, lib, log):
        call = kinds_of_callables(log)[kind]

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, value=lib.Depends(call)):
            await ws.accept()
            await ws.send_text(str(value))

    await compare(program, "n=3")


async def test_what_is_shared_depends_on_the_scope_too(compare):
    def program(app, lib, log):
        async def agen():
            log.append("agen")
            yield len(log)

        async def plain():
            log.append("plain")
            return len(log)

        def chain(x=lib.Depends(agen), y=lib.Depends(plain)):
            log.append("chain")

        @app.websocket("/")
        async def endpoint(
            ws: lib.WebSocket,
            *,
            a=lib.Depends(agen),
            b=lib.Depends(agen, scope="request"),
            c=lib.Depends(agen, scope="function"),
            d=lib.Depends(plain),
            e=lib.Depends(plain, scope="function"),
            f=lib.Depends(plain, use_cache=False),
            g=lib.Depends(chain, use_cache=False),
            h=lib.Depends(plain),
        ):
            await ws.accept()
            await ws.send_text(str([a, b, c, d, e, f, h]))

    log, *_ = await compare(program)
    assert (log.count("agen"), log.count("plain")) == (2, 3)


async def test_dependencies_of_the_route_come_first(compare):
    def program(app, lib, log):
        def named(name):
            def dependency():
                log.append(name)

            return dependency

        one, two = named("one"), named("two")

        async def around(two=lib.Depends(two)):
            log.append("+around")
            yield
            log.append("-around")

        @app.websocket("/", dependencies=[lib.Depends(one), lib.Depends(around, scope="function")])
        async def endpoint(ws: lib.WebSocket, three=lib.Depends(named("three")), two=lib.Depends(two)):
            log.append("endpoint")

    log, *_ = await compare(program)
    assert log == ["one", "two", "+around", "three", "endpoint", "-around"]


async def test_a_dependency_of_the_route_can_refuse_and_its_parameters_count(compare):
    def program(app, lib, log):
        def check(token: str):
            log.append(f"check {token}")
            if token != "good":
                raise lib.WebSocketException(4001, "bad token")

        @app.websocket("/", dependencies=[lib.Depends(check)])
        async def endpoint(ws: lib.WebSocket):
            log.append("endpoint")

    assert (await compare(program, "token=good"))[0] == ["check good", "endpoint"]
    assert (await compare(program, "token=bad"))[0] == ["check bad"]


def test_what_is_no_dependency_is_refused_as_a_dependency_of_the_route():
    async def endpoint(ws): ...

    for mistake, message in ((len, "expected Depends"), (fastapi.Depends(len), "FastAPI's Depends")):
        with pytest.raises(EndpointError, match=message):
            compile_plan(endpoint, dependencies=[mistake])
    with pytest.raises(EndpointError, match="nothing says what to call"):
        compile_plan(endpoint, dependencies=[wslab.asgi.Depends()])


# --- security scopes


async def test_scopes_add_up_on_the_way_and_are_part_of_what_is_shared(compare):
    def program(app, lib, log):
        def plain():
            log.append("plain")

        def scheme(scopes: lib.SecurityScopes, plain=lib.Depends(plain)):
            log.append(f"scheme {scopes.scopes} {scopes.scope_str!r}")
            return scopes.scopes

        def user(seen: lib.SecurityScopes, scheme=lib.Security(scheme, scopes=["me", "a"])):
            log.append(f"user {seen.scopes}")
            return seen.scope_str

        def through(user=lib.Depends(user)):
            log.append("through")
            return user

        @app.websocket("/", dependencies=[lib.Security(scheme, scopes=["route"])])
        async def endpoint(
            ws: lib.WebSocket,
            none: lib.SecurityScopes,
            *,
            a=lib.Security(user, scopes=["a", "b"]),
            b=lib.Security(user, scopes=["b", "a"]),
            c=lib.Security(through, scopes=["b", "a", "a"]),
            d=lib.Depends(user),
            e=lib.Security(plain, scopes=["x"]),
            f=lib.Depends(through),
            g=lib.Security(user, scopes=["a"], use_cache=False),
        ):
            log.append(f"endpoint {none.scopes} {[a, b, c, d, e, f, g]}")

    log, *_ = await compare(program)
    # Asked for with scopes, with itself in the key: once for ["x"], once for those that hand nothing down.
    assert log.count("plain") == 2


async def test_a_scope_asked_for_twice_and_scopes_below_a_dependency_that_asks_for_none(compare):
    def program(app, lib, log):
        def deepest(scopes: lib.SecurityScopes):
            log.append(f"deepest {scopes.scopes}")

        def scheme(scopes: lib.SecurityScopes, x=lib.Depends(deepest)):
            log.append(f"scheme {scopes.scopes}")

        def deaf():
            log.append("deaf")

        def user(scopes: lib.SecurityScopes, x=lib.Security(scheme, scopes=["a"])):
            log.append(f"user {scopes.scopes}")

        def over_scopes(x=lib.Security(deaf, scopes=["s"])):
            log.append("over scopes")

        def further(x=lib.Depends(over_scopes)): ...

        @app.websocket("/")
        async def endpoint(
            ws: lib.WebSocket,
            *,
            a=lib.Security(user, scopes=["a"]),
            b=lib.Security(over_scopes, scopes=["b"]),
            c=lib.Depends(over_scopes),
            d=lib.Security(further, scopes=["d"]),
        ): ...

    await compare(program)


async def test_an_override_starts_from_the_scopes_of_what_it_replaces(compare):
    def program(app, lib, log):
        def inner(scopes: lib.SecurityScopes):
            log.append(f"inner {scopes.scopes}")

        def real(): ...

        async def instead(scopes: lib.SecurityScopes, x=lib.Security(inner, scopes=["more", "b"])):
            log.append(f"instead {scopes.scopes}")
            yield "instead"
            log.append("-instead")

        def outer(x=lib.Security(real, scopes=["b", "c"])):
            log.append(f"outer {x}")

        app.dependency_overrides[real] = instead

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, a=lib.Security(outer, scopes=["a", "b"]), b=lib.Depends(real)):
            log.append(f"endpoint {a} {b}")

    await compare(program)


@pytest.mark.parametrize("scopes", ["read", [1], 5])
def test_scopes_are_a_list_of_texts(scopes):
    with pytest.raises((EndpointError, TypeError), match=r"list of scopes|not iterable"):
        Security(len, scopes=scopes)


# --- contexts


async def test_context_variables(compare):
    variable = contextvars.ContextVar("variable", default="unset")

    def program(app, lib, log):
        async def coroutine():
            variable.set("coroutine")

        async def agen(_=lib.Depends(coroutine)):
            log.append(variable.get())
            token = variable.set("agen")
            yield
            log.append(f"teardown {variable.get()}")
            variable.reset(token)

        def in_a_thread(_=lib.Depends(agen)):
            log.append(f"thread sees {variable.get()}")
            variable.set("lost")

        def gen_in_a_thread(_=lib.Depends(in_a_thread)):
            log.append(f"gen sees {variable.get()}")
            yield
            log.append(f"gen sees {variable.get()} at its end")

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, _=lib.Depends(gen_in_a_thread)):
            log.append(f"endpoint sees {variable.get()}")
            variable.set("endpoint")

    log, *_ = await compare(program)
    assert "endpoint sees agen" in log
    variable.set("unset")


# --- how many at a time


@pytest.mark.parametrize("kind", ["coroutine", "plain", "agen", "gen"])
async def test_max_concurrency(libraries, connect, kind):
    async def peak(lib):
        app, running, peaks = lib.FastAPI(), [], []

        def enter():
            running.append(1)
            peaks.append(len(running))

        async def coroutine():
            enter()
            await anyio.lowlevel.checkpoint()
            running.pop()

        def plain():
            enter()
            running.pop()

        async def agen():
            enter()
            yield
            running.pop()

        def gen():
            enter()
            yield
            running.pop()

        call = {"coroutine": coroutine, "plain": plain, "agen": agen, "gen": gen}[kind]

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, x=lib.Depends(call, max_concurrency=2)):
            await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(connect, app)
        assert len(peaks) == 8
        return max(peaks) <= 2

    assert [await peak(lib) for lib in libraries] == [True, True]


@pytest.mark.parametrize("mistake", [0, -1, 1.5, True, "2"])
def test_a_limit_is_a_positive_number(lib, mistake):
    with pytest.raises((ValueError, EndpointError), match="max_concurrency"):
        lib.Depends(len, max_concurrency=mistake)


# --- where this framework does otherwise, on purpose


async def test_what_is_already_there_is_not_asked_for_again(logs_of):
    """FastAPI solves the sub-dependencies of a shared dependency each time, and discards the result."""

    def program(app, lib, log):
        def count():
            log.append("count")

        def shared(x=lib.Depends(count, use_cache=False)): ...

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, a=lib.Depends(shared), b=lib.Depends(shared)): ...

    assert await logs_of(program) == [["count", "count"], ["count"]]


async def test_a_dependency_of_the_route_may_refuse_to_be_shared(logs_of):
    """FastAPI ignores `use_cache=False` there."""

    def program(app, lib, log):
        def count():
            log.append("count")

        again = lib.Depends(count, use_cache=False)

        @app.websocket("/", dependencies=[again, again])
        async def endpoint(ws: lib.WebSocket): ...

    assert await logs_of(program) == [["count"], ["count", "count"]]
