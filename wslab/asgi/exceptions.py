"""What the framework raises and warns about, beside Starlette's own exceptions.

Where Starlette raises something for the same mistake, ours is one of those too: code that catches
`RuntimeError`, `KeyError` or `WebSocketDisconnected` keeps working.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnected

from wslab.errors import DependencyScopeError, WSLabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ConnectionEndedError",
    "ConnectionStateError",
    "DependencyScopeError",
    "HTTPException",
    "InvalidHeaderError",
    "MessageTypeError",
    "NotForWebSocketsError",
    "RequestValidationError",
    "UnusedPathVariableWarning",
    "ValidationException",
    "WSLabError",
    "WebSocketException",
    "WebSocketRequestValidationError",
    "WrongContentError",
]


class ConnectionStateError(WSLabError, RuntimeError):
    """The connection is used in a way that its state, or its server, does not allow.

    Starlette raises a bare `RuntimeError` here.

    Example:
        >>> raise ConnectionStateError("Expected accept() once.", remedy="Leave the second one out.")
        Traceback (most recent call last):
        ...
        wslab.asgi.exceptions.ConnectionStateError: Expected accept() once. Leave the second one out.
    """


class ConnectionEndedError(ConnectionStateError, WebSocketDisconnected):
    """The connection is used before `accept` where it must be open, or after its end."""


class MessageTypeError(WSLabError, KeyError):
    """A text message came where a binary one was expected, or the other way round.

    Starlette raises a bare `KeyError` here, so this is one too. The message that came has been
    received, and is lost: `WebSocket.receive` takes either kind.

    Example:
        >>> str(MessageTypeError("Expected text, got bytes.", remedy="Call receive_bytes()."))
        'Expected text, got bytes. Call receive_bytes().'
    """

    # KeyError shows the repr of its argument; a sentence should be read as one.
    __str__ = Exception.__str__


class WrongContentError(WSLabError, TypeError):
    """A message is to be sent whose content has the wrong type."""


class InvalidHeaderError(WSLabError, ValueError):
    """A header cannot be sent as it was given (RFC 9110 section 5.5)."""


class NotForWebSocketsError(WSLabError, ImportError):
    """A name of FastAPI's is asked for that reads an HTTP request's body.

    Example:
        >>> from wslab.asgi import Form
        Traceback (most recent call last):
        ...
        wslab.asgi.exceptions.NotForWebSocketsError: Form declares the body of an HTTP request, which a
        WebSocket does not have. Use FastAPI for such routes, or read `await request.json()` in @app.post.
    """


class UnusedPathVariableWarning(UserWarning):
    """A variable of the path reaches no parameter, while a parameter is read from the query.

    Example:
        >>> import warnings
        >>> from wslab.asgi import App, WebSocket
        >>> app = App()
        >>> async def talk(ws: WebSocket, name: str): ...
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     talk = app.websocket("/rooms/{room}")(talk)
        >>> caught[0].category.__name__
        'UnusedPathVariableWarning'
    """


class ValidationException(WSLabError, ValueError):  # noqa: N818 - the name that FastAPI's users catch
    """A connection carries values that the endpoint's parameters do not allow.

    Args:
        errors: pydantic's errors; each has `type`, `loc`, `msg` and `input`. `loc` starts with the
            place the value was read from: "path", "query", "header" or "cookie".
        where: ``file:line`` of the endpoint, for the reader of the log; never sent to the client.
        endpoint_ctx: the same as FastAPI passes it: a mapping of `function`, `path`, `file`, `line`.

    Attributes:
        where: as passed, or put together from `endpoint_ctx`.
        endpoint_function: the endpoint's name, where it is known.
        endpoint_path: the route's path, where it is known.
        endpoint_file: the file the endpoint stands in, where it is known.
        endpoint_line: its line there, where it is known.
    """

    def __init__(
        self,
        errors: Sequence[Any],
        *,
        where: str = "",
        endpoint_ctx: Mapping[str, Any] | None = None,
    ) -> None:
        self._errors = list(errors)
        context = dict(endpoint_ctx or {})
        if where:
            file, colon, line = where.rpartition(":")
            known = {"file": file, "line": int(line)} if colon and line.isdecimal() else {"file": where}
            context = {**known, **context}
        elif context.get("file"):
            where = f"{context['file']}:{context['line']}" if context.get("line") else str(context["file"])
        self.where = where
        self.endpoint_ctx = context or None
        self.endpoint_function: str | None = context.get("function")
        self.endpoint_path: str | None = context.get("path")
        self.endpoint_file: str | None = context.get("file")
        self.endpoint_line: int | None = context.get("line")
        listed = "; ".join(_as_text(error) for error in self._errors)
        at = f" of the endpoint at {where}" if where else ""
        super().__init__(
            f"The {self._carrier} does not fit the parameters{at}: {listed}.",
            remedy=self._advice,
        )

    _carrier = "connection"
    _advice = "Send values that fit, or declare the parameters differently."

    def errors(self) -> list[Any]:
        """Every error found, in the order in which the parameters were read."""
        return self._errors

    @property
    def reason(self) -> str:
        """The first error as one line, for the client."""
        return _as_text(self._errors[0]) if self._errors else "Invalid parameters"


class RequestValidationError(ValidationException):
    """An HTTP request carries values that the endpoint's parameters do not allow.

    Args:
        errors: as of `ValidationException`; so is what follows `body`.
        body: the request's body, where it was read.
        where: ``file:line`` of the endpoint.
        endpoint_ctx: a mapping of `function`, `path`, `file`, `line`.

    Example:
        >>> error = RequestValidationError(
        ...     [{"type": "missing", "loc": ("query", "page"), "msg": "Field required", "input": None}]
        ... )
        >>> error.reason
        'query.page: Field required'
    """

    _carrier = "request"

    def __init__(
        self,
        errors: Sequence[Any],
        *,
        body: Any = None,
        where: str = "",
        endpoint_ctx: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(errors, where=where, endpoint_ctx=endpoint_ctx)
        self.body = body


class WebSocketRequestValidationError(ValidationException):
    """The opening handshake carries values that the endpoint's parameters do not allow.

    Example:
        >>> error = WebSocketRequestValidationError(
        ...     [{"type": "missing", "loc": ("query", "token"), "msg": "Field required", "input": None}]
        ... )
        >>> error.reason
        'query.token: Field required'
    """

    _carrier = "handshake"
    _advice = "Connect again with values that fit, or declare the parameters differently."


def _as_text(error: Any) -> str:
    if isinstance(error, dict) and "loc" in error and "msg" in error:
        return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
    return str(error)
