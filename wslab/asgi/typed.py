"""Typed messages: what a client sends, validated by pydantic, and what is sent, written by it.

A message type is anything that `pydantic.TypeAdapter` takes; usually a union that is told apart by a field:

    ClientMessage = Annotated[Join | Say, Field(discriminator="type")]

    @app.websocket("/chat", receives=ClientMessage, sends=Event)
    async def chat(ws: WebSocket):
        await ws.accept()
        async for message in ws.iter_model(ClientMessage):
            ...

What is wrong with a message is one of these: it is not JSON (1007: the payload is not what its kind of
message is to be, RFC 6455 section 7.4.1), it is JSON of another shape (1008: it violates the endpoint's
policy), or it is binary where the endpoint wants text (1003: a kind of data it cannot accept).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from starlette.websockets import WebSocketDisconnect, WebSocketState

from wslab.asgi.exceptions import ConnectionEndedError
from wslab.errors import EndpointError, WSLabError
from wslab.wire.close_codes import cut_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pydantic import TypeAdapter
    from starlette.websockets import WebSocket

__all__ = ["InvalidMessageError", "OnError", "iter_model", "receive_model", "send_model"]

Model = TypeVar("Model")
OnError = Literal["reply", "close", "raise"]

_INVALID_PAYLOAD = 1007
_POLICY_VIOLATION = 1008
_UNSUPPORTED_DATA = 1003
# A reply must not be larger than what it answers by much: a client chooses what is wrong, and how often.
_MOST_ERRORS = 10
_LONGEST_TEXT = 200
_adapters: dict[Any, TypeAdapter[Any]] = {}
_MOST_ADAPTERS = 256


class InvalidMessageError(WSLabError, ValueError):
    """A message is not what the endpoint receives.

    An endpoint that does not catch it ends its connection with `code`.

    Args:
        errors: `type`, `loc` and `msg` each; at most ten, their texts cut to 200 characters.
        code: the close code that fits (RFC 6455 section 7.4.1): 1007, 1008 or 1003.
        omitted: how many more errors there were.

    Example:
        >>> error = InvalidMessageError([{"type": "missing", "loc": ["text"], "msg": "Field required"}])
        >>> error.reason, error.code
        ('text: Field required', 1008)
    """

    def __init__(
        self, errors: Sequence[dict[str, Any]], *, code: int = _POLICY_VIOLATION, omitted: int = 0
    ) -> None:
        self._errors = list(errors)
        self.code = code
        self.omitted = omitted
        super().__init__(
            f"A message does not fit what the endpoint receives: {self.reason}.",
            remedy='Send what the message type describes, or let iter_model answer with on_error="reply".',
        )

    def errors(self) -> list[dict[str, Any]]:
        """What is wrong, in the order in which it was found."""
        return self._errors

    @property
    def reason(self) -> str:
        """The first error as one line that fits into a close frame."""
        if not self._errors:
            return "Invalid message"
        first = self._errors[0]
        where = ".".join(map(str, first["loc"]))
        return cut_reason(f"{where}: {first['msg']}" if where else str(first["msg"]))

    @property
    def reply(self) -> dict[str, Any]:
        """What `iter_model` replies with."""
        more = {"omitted": self.omitted} if self.omitted else {}
        return {"type": "error", "errors": self._errors, **more}


@overload
def iter_model(
    websocket: WebSocket, model: type[Model], *, on_error: OnError = ..., binary: bool = ...
) -> AsyncIterator[Model]: ...
@overload
def iter_model(
    websocket: WebSocket, model: Any, *, on_error: OnError = ..., binary: bool = ...
) -> AsyncIterator[Any]: ...
def iter_model(
    websocket: WebSocket, model: Any, *, on_error: OnError = "reply", binary: bool = True
) -> AsyncIterator[Any]:
    """Receive messages, validated, until the connection closes.

    Args:
        websocket: an accepted connection.
        model: what a message is: a pydantic model, a union told apart by a field, or any other type that
            `pydantic.TypeAdapter` takes.
        on_error: what a bad message gets: "reply", an answer ``{"type": "error", "errors": [...]}``;
            "close", the end of the connection with 1007, 1008 or 1003; "raise", an `InvalidMessageError`
            in the endpoint, after which a new iteration goes on with the next message.
        binary: whether a binary message is taken as JSON in UTF-8; otherwise it is a bad message.

    Yields:
        What pydantic makes of each message.

    Raises:
        EndpointError: `on_error` is none of the three, or pydantic cannot validate `model`.
        InvalidMessageError: a message is bad, with ``on_error="raise"``.

    Example:
        >>> async def total(ws):
        ...     await ws.accept()
        ...     async for numbers in iter_model(ws, list[int], on_error="close"):
        ...         await ws.send_json(sum(numbers))
    """
    if on_error not in {"reply", "close", "raise"}:
        raise EndpointError(
            f'Expected on_error to be "reply", "close" or "raise", got {on_error!r}.',
            remedy='Leave it out for "reply".',
        )
    return _messages(websocket, _adapter(model), on_error, binary=binary)


async def _messages(
    websocket: WebSocket, adapter: TypeAdapter[Any], on_error: OnError, *, binary: bool
) -> AsyncIterator[Any]:
    try:
        while True:
            try:
                message = await _receive(websocket, adapter, binary=binary)
            except InvalidMessageError as error:
                if on_error == "raise":
                    raise
                if on_error == "close":
                    await websocket.close(error.code, error.reason)
                    return
                await websocket.send_json(error.reply)
            else:
                yield message
    except WebSocketDisconnect:
        return


async def receive_model(websocket: WebSocket, model: Any, *, binary: bool = True) -> Any:
    """The next message, validated.

    Args:
        websocket: an accepted connection.
        model: what the message is, as for `iter_model`.
        binary: whether a binary message is taken as JSON in UTF-8.

    Raises:
        InvalidMessageError: the message is not what `model` describes.
        WebSocketDisconnect: the connection is closed.
        EndpointError: pydantic cannot validate `model`.

    Example:
        >>> async def double(ws):
        ...     await ws.accept()
        ...     await ws.send_json(2 * await receive_model(ws, int))
    """
    return await _receive(websocket, _adapter(model), binary=binary)


async def send_model(websocket: WebSocket, message: Any, model: Any = None, *, mode: str = "text") -> None:
    """Send `message` as the JSON that pydantic writes of it, with the aliases of its fields.

    Args:
        websocket: an accepted connection.
        message: an instance of a pydantic model, or of any type that `pydantic.TypeAdapter` takes.
        model: the type to write it as, where the instance's own does not say enough, such as `list[Item]`.
        mode: "text" or "binary", the kind of message.

    Raises:
        EndpointError: `mode` is neither, or pydantic cannot write `message`.
        WebSocketDisconnect: the connection is closed.

    Example:
        >>> from datetime import UTC, datetime
        >>> async def clock(ws):
        ...     await ws.accept()
        ...     await send_model(ws, {"now": datetime.now(UTC)})
    """
    if mode not in {"text", "binary"}:
        raise EndpointError(
            f'Expected mode "text" or "binary", got {mode!r}.', remedy='Leave it out for "text".'
        )
    written = _adapter(type(message) if model is None else model).dump_json(message, by_alias=True)
    if mode == "binary":
        await websocket.send_bytes(written)
    else:
        await websocket.send_text(written.decode())


async def _receive(websocket: WebSocket, adapter: TypeAdapter[Any], *, binary: bool) -> Any:
    from pydantic import ValidationError

    if websocket.application_state is not WebSocketState.CONNECTED:
        raise ConnectionEndedError(
            f"Expected an accepted connection, but it is {websocket.application_state.name}.",
            remedy='Call "await websocket.accept()" first, and receive nothing after "close".',
        )
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    text = message.get("text")
    if text is None and not binary:
        size = len(message.get("bytes") or b"")
        said = f"Expected a text message, got a binary one of {size} bytes"
        raise InvalidMessageError([{"type": "binary", "loc": [], "msg": said}], code=_UNSUPPORTED_DATA)
    try:
        return adapter.validate_json(message["bytes"] if text is None else text)
    except ValidationError as error:
        raise _as_message_error(error) from error


def _as_message_error(error: Any) -> InvalidMessageError:
    # Without the input: a client need not be sent back what it sent, and it may hold secrets.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    not_json = found[0]["type"] == "json_invalid" and not found[0]["loc"]
    shown = [
        {"type": each["type"], "loc": [_cut(part) for part in each["loc"]], "msg": _cut(each["msg"])}
        for each in found[:_MOST_ERRORS]
    ]
    code = _INVALID_PAYLOAD if not_json else _POLICY_VIOLATION
    return InvalidMessageError(shown, code=code, omitted=max(0, len(found) - _MOST_ERRORS))


def _cut(part: Any) -> Any:
    return f"{part[:_LONGEST_TEXT]}…" if isinstance(part, str) and len(part) > _LONGEST_TEXT else part


def _adapter(model: Any) -> TypeAdapter[Any]:
    """The adapter of `model`; made once, as long as not too many are in use."""
    from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter
    from pydantic_core import SchemaError

    try:
        known = _adapters.get(model)
    except TypeError:  # not hashable: a list in Literal's place, for one
        known, hashable = None, False
    else:
        hashable = True
    if known is not None:
        return known
    try:
        made = TypeAdapter[Any](model)
        if not made.pydantic_complete:  # something in it is only named, and not defined yet
            made.rebuild(force=True)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        raise EndpointError(
            f"Expected a type that pydantic can validate, got {model!r}: {str(error).partition(chr(10))[0]}",
            remedy="Pass a pydantic model, or a union of several with Field(discriminator=...).",
        ) from error
    if hashable:
        if len(_adapters) >= _MOST_ADAPTERS:  # a cell that is run again defines its models again
            _adapters.clear()
        _adapters[model] = made
    return made
