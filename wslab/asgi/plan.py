"""The plan of an endpoint: what a connection does to fill the endpoint's parameters.

Theory of operation. `wslab.asgi.compiler` reads signatures and annotations once, when a route is declared,
and writes down a flat list of steps in an order in which each step needs only what stands before it. Every
value has a slot, a place in a list that a connection brings along; slot 0 is the connection itself.
`Plan.run` walks through the steps:

    Read   takes a value from the path, the query, a header or a cookie, and validates it;
    Call   calls a dependency with values from slots, and keeps what it returns or yields.

A value that does not validate leaves INVALID in its slot, and a call that would need it is skipped and
leaves INVALID too. So one handshake reports everything that is wrong with it, and a dependency that refuses
(401) still has its say first. The endpoint runs only when nothing was wrong.

The exit stack exists only where a dependency yields. Teardown is shielded from cancellation by a scope that
was entered before any dependency: scopes that dependencies open must nest inside it.
"""

from __future__ import annotations

import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import CancelScope
from starlette.background import BackgroundTasks
from starlette.concurrency import run_in_threadpool

from wslab.asgi.exceptions import WebSocketRequestValidationError
from wslab.asgi.params import INVALID
from wslab.asgi.signatures import CallKind, location_of, name_of
from wslab.asgi.websocket import WebSocketDisconnect, WebSocketState

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.asgi.dependencies import ContextFactory
    from wslab.asgi.parameters import Parameter
    from wslab.asgi.websocket import WebSocket

__all__ = ["BACKGROUND", "CONNECTION", "Call", "Plan", "Read", "Step"]

# The slots that are filled before the first step.
CONNECTION = 0
BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Read:
    """Read `parameter` from the connection into `slot`."""

    parameter: Parameter
    slot: int


@dataclass(frozen=True, slots=True)
class Call:
    """Call `call` with values from slots and keep the result in `slot`.

    Attributes:
        arguments: names of parameters with the slots of their values.
        kind: how to call it.
        context: for a call that yields: what makes a context manager of it.
    """

    call: Callable[..., Any]
    arguments: tuple[tuple[str, int], ...]
    slot: int
    kind: CallKind
    context: ContextFactory | None = None


Step = Read | Call


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done, in order, before the endpoint can be called; and the call itself.

    Attributes:
        endpoint: the coroutine function of the route.
        arguments: names of the endpoint's parameters with the slots of their values.
        steps: in the order of execution.
        size: how many slots there are.
        yields: whether a dependency yields, and so needs a teardown.
        background: whether anyone asks for `BackgroundTasks`.
    """

    endpoint: Callable[..., Any]
    arguments: tuple[tuple[str, int], ...]
    steps: tuple[Step, ...]
    size: int
    yields: bool
    background: bool

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every value that is read from the handshake, the dependencies' included."""
        return tuple(step.parameter for step in self.steps if isinstance(step, Read))

    @property
    def dependencies(self) -> tuple[Callable[..., Any], ...]:
        """Every dependency, in the order in which they are called."""
        return tuple(step.call for step in self.steps if isinstance(step, Call))

    async def run(self, websocket: WebSocket) -> None:
        """Fill the endpoint's parameters from `websocket`, call the endpoint, and tear down.

        Raises:
            WebSocketRequestValidationError: the handshake does not fit the parameters.
            Exception: whatever a dependency or the endpoint raises.
        """
        values: list[Any] = [None] * self.size
        values[CONNECTION] = websocket
        if self.background:
            values[BACKGROUND] = BackgroundTasks()
        if self.yields:
            with CancelScope() as teardown:
                async with AsyncExitStack() as stack:
                    try:
                        await self._call_endpoint(websocket, values, stack)
                    finally:
                        teardown.shield = True
        else:
            await self._call_endpoint(websocket, values, None)
        if self.background and values[BACKGROUND].tasks:
            await _close(websocket)
            await values[BACKGROUND]()

    async def _call_endpoint(
        self, websocket: WebSocket, values: list[Any], stack: AsyncExitStack | None
    ) -> None:
        errors: list[dict[str, Any]] = []
        for step in self.steps:
            if isinstance(step, Read):
                values[step.slot] = step.parameter.read(websocket, errors)
            else:
                arguments = {name: values[slot] for name, slot in step.arguments}
                blocked = errors and any(value is INVALID for value in arguments.values())
                values[step.slot] = INVALID if blocked else await _call(step, arguments, stack)
        if errors:
            raise WebSocketRequestValidationError(errors, where=location_of(self.endpoint))
        await self.endpoint(**{name: values[slot] for name, slot in self.arguments})

    def __repr__(self) -> str:
        reads = [f"{parameter.declared.source} {parameter.key}" for parameter in self.parameters]
        calls = [f"{name_of(call)}()" for call in self.dependencies]
        return f"<Plan of {name_of(self.endpoint)}: {', '.join([*reads, *calls]) or 'no parameters'}>"


async def _call(step: Call, arguments: dict[str, Any], stack: AsyncExitStack | None) -> Any:
    if step.kind is CallKind.COROUTINE:
        return await step.call(**arguments)
    if step.context is not None:
        assert stack is not None, "a plan with a dependency that yields runs with a stack"
        return await stack.enter_async_context(step.context(**arguments))
    return await run_in_threadpool(step.call, **arguments)


async def _close(websocket: WebSocket) -> None:
    """Close with 1000, unless the connection is closed already: background tasks run after it."""
    states = (websocket.application_state, websocket.client_state)
    if states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED):
        with contextlib.suppress(WebSocketDisconnect):  # the client was faster: closed is closed
            await websocket.close()
