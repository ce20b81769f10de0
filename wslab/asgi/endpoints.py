"""Endpoints that are classes, and what makes a function of them.

A class handles the three events of a connection in three methods. Each of them, and the constructor, may
declare parameters as an endpoint does, after those it is called with anyway:

    class Chat(WebSocketEndpoint):
        encoding = "json"

        def __init__(self, room: str):            # path, query, headers, cookies, Depends(...)
            self.room = room

        async def on_connect(self, websocket, user: User = Depends(current_user)):
            await websocket.accept()

        async def on_receive(self, websocket, data): ...

        async def on_disconnect(self, websocket, close_code): ...

All of them are filled once, before the constructor runs; dependencies are shared among the methods. One
that yields is torn down when the connection has ended, after `on_disconnect`. A constructor that takes
`scope, receive, send`, as Starlette's does, is called with these.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, cast

import starlette.endpoints
from starlette.endpoints import HTTPEndpoint

from wslab.asgi.dependencies import Depends
from wslab.asgi.signatures import EMPTY, read_signature
from wslab.asgi.websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["HTTPEndpoint", "WebSocketEndpoint", "as_function", "as_session"]

_ASGI_NAMES = ("scope", "receive", "send")
# What each method is called with anyway.
_GIVEN = {"__init__": 1, "on_connect": 2, "on_receive": 3, "on_disconnect": 3}
_NORMAL_CLOSURE = 1000
_INTERNAL_ERROR = 1011


class WebSocketEndpoint(starlette.endpoints.WebSocketEndpoint):
    """A WebSocket endpoint as a class; also an ASGI application, as Starlette's class is.

    Attributes:
        encoding: "text", "bytes" or "json": what `on_receive` gets; None for whatever came.

    Example:
        >>> class Echo(WebSocketEndpoint):
        ...     encoding = "text"
        ...
        ...     async def on_receive(self, websocket, data):
        ...         await websocket.send_text(data)
    """

    async def dispatch(self) -> None:
        """Serve the connection that the instance was made for."""
        await _converse(self, WebSocket(self.scope, self.receive, self.send), {})


_OWN_DISPATCH = (starlette.endpoints.WebSocketEndpoint.dispatch, WebSocketEndpoint.dispatch)


def as_function(endpoint: Any) -> Callable[..., Any]:
    """A coroutine function that does what the class `endpoint` does; any other endpoint unchanged."""
    if not (inspect.isclass(endpoint) and issubclass(endpoint, starlette.endpoints.WebSocketEndpoint)):
        return cast("Callable[..., Any]", endpoint)
    methods = {name: getattr(endpoint, name) for name in _GIVEN}
    takes_asgi = tuple(inspect.signature(endpoint).parameters)[:3] == _ASGI_NAMES
    collected = {
        name: Annotated[Any, Depends(_collector(method, _GIVEN[name]))]
        for name, method in methods.items()
        if not (name == "__init__" and takes_asgi) and _beyond(method, _GIVEN[name])
    }

    async def serve(**values: Any) -> None:
        websocket: WebSocket = values.pop("websocket")
        own = values.pop("__init__", {})
        triple = (websocket.scope, websocket.receive, websocket.send)
        instance = endpoint(*triple) if takes_asgi else endpoint(**own)
        instance.scope, instance.receive, instance.send = triple
        if type(instance).dispatch in _OWN_DISPATCH:
            await _converse(instance, websocket, values)
        else:
            await instance.dispatch()

    annotations = {"websocket": WebSocket, **collected}
    return _declare(serve, annotations, endpoint.__qualname__, _first_of_the_users(methods))


def as_session(endpoint: Any) -> Callable[..., Any]:
    """`endpoint` as `websocket_route` takes it: a function of the connection, a class or an ASGI application.

    A function with one parameter is called with the connection, whatever the parameter is called, as in
    Starlette; one with more declares them as usual.
    """
    if inspect.isclass(endpoint) and issubclass(endpoint, starlette.endpoints.WebSocketEndpoint):
        return cast("Callable[..., Any]", endpoint)
    if inspect.iscoroutinefunction(inspect.unwrap(endpoint)):
        parameters = list(inspect.signature(endpoint).parameters.values())
        if len(parameters) != 1 or parameters[0].kind is parameters[0].VAR_KEYWORD:
            return cast("Callable[..., Any]", endpoint)

        async def call(websocket: WebSocket) -> None:
            await endpoint(websocket)

        return _declare(call, {"websocket": WebSocket}, endpoint.__qualname__, endpoint)
    if inspect.isroutine(endpoint) or not callable(endpoint):
        return cast("Callable[..., Any]", endpoint)  # the compiler says what is wrong with it

    async def run(websocket: WebSocket) -> None:
        await endpoint(websocket.scope, websocket.receive, websocket.send)

    kind = endpoint if inspect.isclass(endpoint) else type(endpoint)
    return _declare(run, {"websocket": WebSocket}, kind.__qualname__, None)


async def _converse(
    instance: starlette.endpoints.WebSocketEndpoint,
    websocket: WebSocket,
    values: Mapping[str, Mapping[str, Any]],
) -> None:
    """Call the methods of `instance` as Starlette does, with `values` beside what they always get."""
    on_connect: Any = instance.on_connect
    on_receive: Any = instance.on_receive
    on_disconnect: Any = instance.on_disconnect
    await on_connect(websocket, **values.get("on_connect", {}))
    close_code = _NORMAL_CLOSURE
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                close_code = int(message.get("code") or _NORMAL_CLOSURE)
                break
            data = await instance.decode(websocket, message)
            await on_receive(websocket, data, **values.get("on_receive", {}))
    except Exception:
        close_code = _INTERNAL_ERROR
        raise
    finally:
        await on_disconnect(websocket, close_code, **values.get("on_disconnect", {}))


def _beyond(method: Callable[..., Any], given: int) -> list[inspect.Parameter]:
    """The parameters of `method` that a connection has to fill, annotations resolved."""
    kinds = {
        name: parameter.kind
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    }
    if len(kinds) <= given:
        return []
    return [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=argument.default,
            annotation=_joined(argument.annotation, argument.metadata),
        )
        for argument in read_signature(method)[given:]
    ]


def _joined(annotation: Any, metadata: Sequence[Any]) -> Any:
    if not metadata:
        return annotation
    return Annotated[(Any if annotation is EMPTY else annotation, *metadata)]


def _collector(method: Callable[..., Any], given: int) -> Callable[..., Any]:
    """A dependency whose value is what `method` declared, by name."""

    async def collect(**values: Any) -> dict[str, Any]:
        return values

    collect.__qualname__ = method.__qualname__
    collect.__wrapped__ = method  # type: ignore[attr-defined] # where the source is
    collect.__signature__ = inspect.Signature(_beyond(method, given))  # type: ignore[attr-defined]
    return collect


def _declare(
    function: Callable[..., Any], annotations: Mapping[str, Any], name: str, source: Any
) -> Callable[..., Any]:
    """Give `function` a signature that the compiler reads, and the name and place of what it stands for."""
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for key, annotation in annotations.items()
    ]
    stand_in: Any = function
    stand_in.__signature__ = inspect.Signature(parameters)
    stand_in.__qualname__ = name
    if source is not None:
        stand_in.__wrapped__ = source
    return function


def _first_of_the_users(methods: Mapping[str, Any]) -> Any:
    """A method that the user wrote: its place in the source is the class's."""
    of_starlette = vars(starlette.endpoints.WebSocketEndpoint)
    written = (method for name, method in methods.items() if method is not of_starlette.get(name))
    return next(written, WebSocketEndpoint)
