"""The time in which an application serves: its own lifespan, and those of the routers it includes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from wslab.asgi.inclusion import IncludedRouter
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.routing import BaseRoute
    from starlette.types import Lifespan

__all__ = ["Lifespans"]

Function = TypeVar("Function", bound=Callable[..., Any])
Handler = Callable[[], Any]


class Lifespans:
    """What a router has to do with starting and stopping.

    Attributes:
        on_startup: called when the application starts, after the router's own lifespan has.
        on_shutdown: called when it stops, before the lifespan does.
    """

    on_startup: list[Handler]
    on_shutdown: list[Handler]
    routes: list[BaseRoute]
    _own_lifespan: Lifespan[Any]

    @asynccontextmanager
    async def _lifespans(self, app: Any) -> AsyncGenerator[Any, None]:
        """The router's own lifespan, and within it those of the routers it includes."""
        async with AsyncExitStack() as stack:
            state = await stack.enter_async_context(self._own_lifespan(app))
            for handler in self.on_startup:
                await _finish(handler())
            for handler in reversed(self.on_shutdown):
                stack.push_async_callback(_call, handler)
            for route in self.routes:
                if isinstance(route, IncludedRouter):
                    nested = await stack.enter_async_context(route.router.lifespan_context(app))
                    state = state if nested is None else {**nested, **(state or {})}
            yield state

    def add_event_handler(self, event_type: Literal["startup", "shutdown"], func: Handler) -> None:
        """Call `func` when the application starts or stops; a `lifespan` is the better way."""
        handlers = {"startup": self.on_startup, "shutdown": self.on_shutdown}
        if event_type not in handlers:
            raise EndpointError(
                f'Expected the event "startup" or "shutdown", got {event_type!r}.',
                remedy="Write a lifespan for anything else.",
            )
        handlers[event_type].append(func)

    def on_event(self, event_type: Literal["startup", "shutdown"]) -> Callable[[Function], Function]:
        """Do what `add_event_handler` does, as a decorator."""

        def declare(function: Function) -> Function:
            self.add_event_handler(event_type, function)
            return function

        return declare


async def _finish(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


async def _call(handler: Handler) -> None:
    await _finish(handler())
