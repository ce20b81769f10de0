"""Dependencies that yield, as context managers: how they are entered and left, and how many at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter, Semaphore
from anyio.lowlevel import RunVar, checkpoint_if_cancelled
from starlette.concurrency import run_in_threadpool

from wslab.asgi.signatures import CallKind, kind_of
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ConcurrencyLimit", "ContextFactory", "ShieldedExit", "context_factory", "limited"]

ContextFactory = Callable[..., AbstractAsyncContextManager[Any]]


class ConcurrencyLimit:
    """How many calls of a dependency may run at the same time in one event loop.

    Args:
        size: at least 1.

    Raises:
        EndpointError: `size` is no positive number.
    """

    def __init__(self, size: int) -> None:
        if type(size) is not int or size < 1:
            raise EndpointError(
                f"Expected a positive number as max_concurrency, got {size!r}.",
                remedy="Leave it out where any number of calls may run at the same time.",
            )
        self.size = size

    def semaphore(self) -> Semaphore:
        """The semaphore of the running event loop."""
        semaphores = _semaphores.get(None)
        if semaphores is None:
            semaphores = WeakKeyDictionary()
            _semaphores.set(semaphores)
        if self not in semaphores:
            semaphores[self] = Semaphore(self.size)
        return semaphores[self]


_semaphores: RunVar[WeakKeyDictionary[ConcurrencyLimit, Semaphore]] = RunVar("wslab_dependency_semaphores")


@asynccontextmanager
async def limited(
    context: AbstractAsyncContextManager[Any], limit: ConcurrencyLimit
) -> AsyncGenerator[Any, None]:
    """Enter `context` when `limit` allows it; it counts until it has been left."""
    async with limit.semaphore(), context as value:
        yield value


def context_factory(call: Callable[..., Any]) -> ContextFactory | None:
    """What makes an asynchronous context manager of a `call` that yields; None for any other callable."""
    kind = kind_of(call)
    if kind is CallKind.ASYNC_GENERATOR:
        return asynccontextmanager(_plain(call))
    if kind is CallKind.GENERATOR:
        make = contextmanager(_plain(call))
        return lambda **values: _in_threadpool(make(**values))
    return None


def _plain(call: Callable[..., Any]) -> Callable[..., Any]:
    # contextlib copies the attributes of what it decorates: those of an instance may be anything.
    def generate(**values: Any) -> Any:
        return call(**values)

    return generate


@asynccontextmanager
async def _in_threadpool(context: AbstractContextManager[Any]) -> AsyncGenerator[Any, None]:
    value = await run_in_threadpool(context.__enter__)
    try:
        yield value
    except BaseException as error:
        if not await _leave(context, error):
            raise
    else:
        await _leave(context, None)


async def _leave(context: AbstractContextManager[Any], error: BaseException | None) -> bool:
    # A limiter of its own: were every thread of the pool waiting for what this teardown gives back,
    # the shared one would never let it run.
    exc_info = (None, None, None) if error is None else (type(error), error, error.__traceback__)
    with CancelScope(shield=True):
        swallowed = await anyio.to_thread.run_sync(context.__exit__, *exc_info, limiter=CapacityLimiter(1))
    return bool(swallowed)


class ShieldedExit(AbstractAsyncContextManager[Any]):
    """An asynchronous context manager whose exit is not cancelled.

    Args:
        context: what is entered and left.
        shield: a scope that was entered before `context`. A scope opened around the exit alone would not
            nest with those that the context itself has opened, a task group's for one.
    """

    def __init__(self, context: AbstractAsyncContextManager[Any], shield: CancelScope) -> None:
        self._context = context
        self._shield = shield

    async def __aenter__(self) -> Any:
        return await self._context.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._shield.shield = True
        try:
            swallowed = bool(await self._context.__aexit__(kind, error, trace))
        finally:
            self._shield.shield = False
        if error is None or swallowed:
            # Whoever is next must hear of a cancellation that this one has slept through or swallowed.
            await checkpoint_if_cancelled()
        return swallowed
