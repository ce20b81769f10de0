"""`Depends`: a parameter whose value another callable makes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter
from starlette.concurrency import run_in_threadpool

from wslab.asgi.signatures import CallKind, kind_of
from wslab.errors import EndpointError

__all__ = ["Dependency", "Depends", "context_factory"]

ContextFactory = Callable[..., AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Dependency:
    """What `Depends` declares. `call` is None where the annotation itself is to be called."""

    call: Callable[..., Any] | None = None
    use_cache: bool = True


def Depends(  # noqa: N802 - the name that FastAPI's users know
    dependency: Callable[..., Any] | None = None, *, use_cache: bool = True
) -> Any:
    """Declare that a parameter's value is what `dependency` returns, or yields.

    `dependency` may be a function, a class or any callable, synchronous (it runs in a thread) or
    asynchronous. Its own parameters are filled like an endpoint's. What follows a ``yield`` runs after
    the endpoint has ended, the last dependency first, also when the endpoint raised.

    Args:
        dependency: what to call; left out, the parameter's annotation is called.
        use_cache: whether a connection calls it once and shares the value.

    Raises:
        EndpointError: `dependency` is not callable.

    Example:
        >>> def page(number: int = 1) -> int:
        ...     return number
        >>> async def feed(ws, page: int = Depends(page)): ...
    """
    if dependency is not None and not callable(dependency):
        raise EndpointError(
            f"Expected a callable in Depends(), got {dependency!r}.",
            remedy="Pass the function without calling it: Depends(get_user), not Depends(get_user()).",
        )
    return Dependency(dependency, use_cache)


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
