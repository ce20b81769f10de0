"""The plan of an endpoint: what a connection does to fill the endpoint's parameters.

Theory of operation. `wslab.asgi.compiler` reads signatures and annotations once, when a route is declared,
and writes down a flat list of steps in an order in which each step needs only what stands before it. Every
value has a slot, a place in a list that a connection brings along; slot 0 is the connection itself.
`Plan.run` walks through the steps:

    Read   takes a value from the path, the query, a header or a cookie, and validates it;
    Scopes hands over the security scopes that were asked for on the way to a dependency;
    Call   calls a dependency with values from slots, and keeps what it returns or yields.

A value that does not validate leaves INVALID in its slot, and a call that would need it is skipped and
leaves INVALID too. So one handshake reports everything that is wrong with it, and a dependency that refuses
(401) still has its say first. The endpoint runs only when nothing was wrong.

The exit stacks exist only where a dependency yields: an inner one for the scope "function", left when the
endpoint has ended, and an outer one for the scope "request". Teardown is shielded from cancellation by a
scope that was entered before any dependency: scopes that dependencies open must nest inside it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import CancelScope
from starlette.background import BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.websockets import WebSocket

from wslab.asgi.answers import end
from wslab.asgi.contexts import ShieldedExit, limited
from wslab.asgi.dependencies import SecurityScopes
from wslab.asgi.exceptions import RequestValidationError, WebSocketRequestValidationError
from wslab.asgi.params import INVALID
from wslab.asgi.signatures import CallKind, describe, location_of, name_of
from wslab.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import HTTPConnection

    from wslab.asgi.contexts import ConcurrencyLimit, ContextFactory
    from wslab.asgi.parameters import Parameter

__all__ = ["BACKGROUND", "CONNECTION", "Call", "Plan", "Read", "Result", "Scopes", "Step"]

# The slots that are filled before the first step.
CONNECTION = 0
BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Read:
    """Read `parameter` from the connection into `slot`."""

    parameter: Parameter
    slot: int


@dataclass(frozen=True, slots=True)
class Scopes:
    """Put `SecurityScopes(scopes)` into `slot`."""

    scopes: tuple[str, ...]
    slot: int


@dataclass(frozen=True, slots=True)
class Call:
    """Call `call` with values from slots and keep the result in `slot`.

    Attributes:
        arguments: names of parameters with the slots of their values.
        kind: how to call it.
        context: for a call that yields: what makes a context manager of it.
        early: whether its teardown belongs to the scope "function".
        scopes: the security scopes asked for on the way to it, its own included.
        limit: how many calls may run at the same time; None for any number.
    """

    call: Callable[..., Any]
    arguments: tuple[tuple[str, int], ...]
    slot: int
    kind: CallKind
    context: ContextFactory | None = None
    early: bool = False
    scopes: tuple[str, ...] = ()
    limit: ConcurrencyLimit | None = None


Step = Read | Scopes | Call


@dataclass(frozen=True, slots=True)
class Result:
    """What an endpoint came to.

    Attributes:
        value: what it returned.
        response: the `Response` whose headers and status the endpoint or a dependency may have set; None
            when nobody asked for one.
    """

    value: Any
    response: Response | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done, in order, before the endpoint can be called; and the call itself.

    Attributes:
        endpoint: the function of the route.
        arguments: names of the endpoint's parameters with the slots of their values.
        steps: in the order of execution.
        size: how many slots there are.
        yields: whether a dependency yields, and so needs a teardown.
        background: whether anyone asks for `BackgroundTasks`.
        kind: how to call the endpoint.
        response: the slot of the `Response` that an HTTP route lets its endpoint change, if one asks.
    """

    endpoint: Callable[..., Any]
    arguments: tuple[tuple[str, int], ...]
    steps: tuple[Step, ...]
    size: int
    yields: bool
    background: bool
    kind: CallKind = CallKind.COROUTINE
    response: int | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every value that is read from the handshake, the dependencies' included."""
        return tuple(step.parameter for step in self.steps if isinstance(step, Read))

    @property
    def dependencies(self) -> tuple[Callable[..., Any], ...]:
        """Every dependency, in the order in which they are called."""
        return tuple(step.call for step in self.steps if isinstance(step, Call))

    async def run(
        self, connection: HTTPConnection, respond: Callable[[Result], Awaitable[None]] | None = None
    ) -> Any:
        """Fill the endpoint's parameters from `connection`, call the endpoint, and tear down.

        The background tasks of a WebSocket run when everything else is done and the connection is closed;
        those of an HTTP request when the response is sent, before the teardown of the scope "request".

        Args:
            connection: a WebSocket, or a Request where the plan was compiled for HTTP.
            respond: sends the response to an HTTP request. It is awaited between the teardowns of the scopes
                "function" and "request", so that a response may stream what a dependency holds open.

        Returns:
            What the endpoint returned.

        Raises:
            WebSocketRequestValidationError: the handshake does not fit the parameters.
            RequestValidationError: an HTTP request does not.
            EndpointError: a dependency swallowed the endpoint's exception, so there is nothing to respond.
            Exception: whatever a dependency or the endpoint raises.
        """
        values: list[Any] = [None] * self.size
        values[CONNECTION] = connection
        if self.background:
            values[BACKGROUND] = BackgroundTasks()
        if self.response is not None:
            values[self.response] = _empty_response()
        if self.yields:
            value = await self._call_with_teardown(values, respond)
        else:
            value = await self._call_endpoint(values, _NO_STACKS)
            await self._finish(value, values, respond)
        if self.background and isinstance(connection, WebSocket) and values[BACKGROUND].tasks:
            await end(connection, 1000)  # they run after the connection
            await values[BACKGROUND]()
        return value

    async def _call_with_teardown(
        self, values: list[Any], respond: Callable[[Result], Awaitable[None]] | None
    ) -> Any:
        value: Any = None
        reached = finished = False
        # The parameter of the type says that leaving it may swallow an exception, as dependencies can.
        request_stack = AsyncExitStack[bool]()
        function_stack = AsyncExitStack[bool]()
        async with request_stack:
            shield = request_stack.enter_context(CancelScope())
            async with function_stack:
                value = await self._call_endpoint(values, _Stacks(request_stack, function_stack, shield))
                reached = True
            if reached:
                await self._finish(value, values, respond)
                finished = True
        if respond is not None and not finished:
            raise EndpointError(
                f"A dependency of {describe(self.endpoint)} swallowed an exception, so there is no response.",
                remedy="Raise it again, or another one, after the `except` around its `yield`.",
            )
        return value

    async def _call_endpoint(self, values: list[Any], stacks: _Stacks) -> Any:
        errors: list[dict[str, Any]] = []
        for step in self.steps:
            if isinstance(step, Read):
                values[step.slot] = step.parameter.read(values[CONNECTION], errors)
            elif isinstance(step, Call):
                arguments = {name: values[slot] for name, slot in step.arguments}
                blocked = errors and any(value is INVALID for value in arguments.values())
                values[step.slot] = INVALID if blocked else await _call(step, arguments, stacks)
            else:
                values[step.slot] = SecurityScopes(list(step.scopes))
        if errors:
            websocket = isinstance(values[CONNECTION], WebSocket)
            kind = WebSocketRequestValidationError if websocket else RequestValidationError
            context = {"function": name_of(self.endpoint)}
            raise kind(errors, where=location_of(self.endpoint), endpoint_ctx=context)
        arguments = {name: values[slot] for name, slot in self.arguments}
        if self.kind is CallKind.COROUTINE:
            return await self.endpoint(**arguments)
        return await run_in_threadpool(self.endpoint, **arguments)

    async def _finish(
        self, value: Any, values: list[Any], respond: Callable[[Result], Awaitable[None]] | None
    ) -> None:
        if respond is not None:
            await respond(Result(value, None if self.response is None else values[self.response]))
        if self.background and not isinstance(values[CONNECTION], WebSocket):
            await values[BACKGROUND]()

    def __repr__(self) -> str:
        reads = [f"{parameter.declared.source} {parameter.key}" for parameter in self.parameters]
        calls = [f"{name_of(call)}()" for call in self.dependencies]
        return f"<Plan of {name_of(self.endpoint)}: {', '.join([*reads, *calls]) or 'no parameters'}>"


@dataclass(frozen=True, slots=True)
class _Stacks:
    """Where the teardowns of one connection wait."""

    request: AsyncExitStack | None = None
    function: AsyncExitStack | None = None
    shield: CancelScope | None = None


_NO_STACKS = _Stacks()


async def _call(step: Call, arguments: dict[str, Any], stacks: _Stacks) -> Any:
    if step.context is not None:
        return await _enter(step, step.context(**arguments), stacks)
    if step.limit is None:
        return await _call_now(step, arguments)
    async with step.limit.semaphore():
        return await _call_now(step, arguments)


async def _call_now(step: Call, arguments: dict[str, Any]) -> Any:
    if step.kind is CallKind.COROUTINE:
        return await step.call(**arguments)
    return await run_in_threadpool(step.call, **arguments)


async def _enter(step: Call, context: AbstractAsyncContextManager[Any], stacks: _Stacks) -> Any:
    stack = stacks.function if step.early else stacks.request
    assert stack is not None, "a plan with a dependency that yields runs with stacks"
    assert stacks.shield is not None, "and with the scope that shields their teardown"
    if step.kind is CallKind.ASYNC_GENERATOR:  # one in a thread shields its teardown itself
        context = ShieldedExit(context, stacks.shield)
    if step.limit is not None:
        context = limited(context, step.limit)
    return await stack.enter_async_context(context)


def _empty_response() -> Response:
    """A response that says nothing yet, for endpoints to set headers, cookies and a status on."""
    response = Response()
    del response.headers["content-length"]
    response.status_code = None  # type: ignore[assignment]  # None until somebody decides, as in FastAPI
    return response
