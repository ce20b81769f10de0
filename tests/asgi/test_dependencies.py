import threading

import anyio
import anyio.to_thread
import pytest

from wslab.asgi.dependencies import Dependency, Depends, Security, SecurityScopes, context_factory
from wslab.errors import EndpointError


def test_depends_keeps_what_was_said():
    assert Depends(len) == Dependency(len, use_cache=True)
    assert Depends(len, use_cache=False) == Dependency(len, use_cache=False)
    assert Depends() == Dependency(None)


def test_a_dependency_has_fastapis_name_for_what_it_calls():
    assert Depends(len).dependency is len
    assert Depends().dependency is None


def test_security_keeps_the_scopes():
    assert Security(len, scopes=["a", "b"]) == Dependency(len, scopes=("a", "b"))
    assert Security(len, use_cache=False) == Dependency(len, use_cache=False)
    with pytest.raises(EndpointError, match=r"Security\(get_user\), not"):
        Security(5)


def test_scopes_can_be_read():
    assert repr(SecurityScopes(["a", "b"])) == "SecurityScopes(['a', 'b'])"
    assert (SecurityScopes().scopes, SecurityScopes().scope_str) == ([], "")


@pytest.mark.parametrize("mistake", ["websocket", "app", 5, ""])
def test_a_scope_is_one_of_two(mistake):
    assert Depends(len, scope="function").scope == "function"
    with pytest.raises(EndpointError, match='Expected "function" or "request"'):
        Depends(len, scope=mistake)


def test_each_declaration_has_a_limit_of_its_own():
    limited = Depends(len, max_concurrency=2)
    assert limited == limited.__class__(len, limit=limited.limit)
    assert limited != Depends(len, max_concurrency=2)


async def test_a_limit_is_of_the_loop_it_is_used_in():
    limit = Depends(len, max_concurrency=2).limit
    assert limit.semaphore() is limit.semaphore()
    elsewhere = await anyio.to_thread.run_sync(lambda: anyio.run(_semaphore_of, limit))
    assert elsewhere is not limit.semaphore()


async def _semaphore_of(limit):
    return limit.semaphore()


@pytest.mark.parametrize("mistake", [5, "get_user", object()])
def test_depends_on_something_that_cannot_be_called(mistake):
    with pytest.raises(EndpointError, match="without calling it"):
        Depends(mistake)


def test_only_what_yields_needs_a_context():
    async def coroutine(): ...

    assert context_factory(coroutine) is None
    assert context_factory(len) is None
    assert context_factory(dict) is None


async def test_a_generator_runs_in_threads_around_its_value():
    threads = []

    def generator(size):
        threads.append(threading.get_ident())
        yield size
        threads.append(threading.get_ident())

    async with context_factory(generator)(size=3) as value:
        assert value == 3
        assert len(threads) == 1
    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_generator_sees_the_error_and_may_answer_with_another(asynchronous):
    def generator():
        try:
            yield
        except KeyError as error:
            raise LookupError("translated") from error

    async def async_generator():
        try:
            yield
        except KeyError as error:
            raise LookupError("translated") from error

    factory = context_factory(async_generator if asynchronous else generator)
    with pytest.raises(LookupError, match="translated"):
        async with factory():
            raise KeyError("x")
    with pytest.raises(ZeroDivisionError):
        async with factory():
            raise ZeroDivisionError


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_generator_may_swallow_the_error(asynchronous):
    seen = []

    def generator():
        try:
            yield
        except KeyError as error:
            seen.append(error)

    async def async_generator():
        try:
            yield
        except KeyError as error:
            seen.append(error)

    async with context_factory(async_generator if asynchronous else generator)():
        raise KeyError("x")
    assert len(seen) == 1


async def test_the_teardown_of_a_generator_outlives_cancellation():
    ended = []

    def generator():
        yield
        ended.append("never")

    def careful():
        try:
            yield
        finally:
            ended.append("done")

    for function in (generator, careful):
        with anyio.CancelScope() as scope:
            async with context_factory(function)():
                scope.cancel()
                await anyio.sleep_forever()
    assert ended == ["done"]


async def test_teardown_does_not_wait_for_the_pool_whose_threads_wait_for_it():
    free = threading.Event()
    freed = []

    def generator():
        yield
        free.set()

    async def use():
        # A broken teardown would wait for these threads: they give up, so that the test fails and ends.
        freed.append(await anyio.to_thread.run_sync(free.wait, 10))

    limiter = anyio.to_thread.current_default_thread_limiter()
    context = context_factory(generator)()
    await context.__aenter__()
    async with anyio.create_task_group() as tasks:
        for _ in range(int(limiter.total_tokens)):
            tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        assert limiter.available_tokens == 0
        await context.__aexit__(None, None, None)
    assert freed
    assert all(freed)


async def test_an_instance_that_yields_keeps_its_attributes_to_itself():
    class Pool:
        def __init__(self):
            self.__name__ = 5  # would upset functools.wraps, were it asked to copy it

        async def __call__(self):
            yield "connection"

    async with context_factory(Pool())() as value:
        assert value == "connection"
