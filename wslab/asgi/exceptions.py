"""What the framework raises and warns about, beside Starlette's own exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException, WebSocketException

from wslab.errors import WSLabError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "HTTPException",
    "InvalidHeaderError",
    "MessageTypeError",
    "UnusedPathVariableWarning",
    "WebSocketException",
    "WebSocketRequestValidationError",
]


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


class InvalidHeaderError(WSLabError, ValueError):
    """A header cannot be sent as it was given (RFC 9110 section 5.5)."""


class UnusedPathVariableWarning(UserWarning):
    """A variable of the path reaches no parameter, while a parameter is read from the query."""


class WebSocketRequestValidationError(WSLabError, ValueError):
    """The opening handshake carries values that the endpoint's parameters do not allow.

    Args:
        errors: pydantic's errors; each has `type`, `loc`, `msg` and `input`. `loc` starts with the
            place the value was read from: "path", "query", "header" or "cookie".
        where: ``file:line`` of the endpoint, for the reader of the log; never sent to the client.

    Example:
        >>> error = WebSocketRequestValidationError(
        ...     [{"type": "missing", "loc": ("query", "token"), "msg": "Field required", "input": None}]
        ... )
        >>> error.reason
        'query.token: Field required'
    """

    def __init__(self, errors: Sequence[dict[str, Any]], *, where: str = "") -> None:
        self._errors = list(errors)
        self.where = where
        listed = "; ".join(_as_text(error) for error in self._errors)
        at = f" of the endpoint at {where}" if where else ""
        super().__init__(
            f"The handshake does not fit the parameters{at}: {listed}.",
            remedy="Connect again with values that fit, or declare the parameters differently.",
        )

    def errors(self) -> list[dict[str, Any]]:
        """Every error found, in the order in which the parameters were read."""
        return self._errors

    @property
    def reason(self) -> str:
        """The first error as one line, for the client."""
        return _as_text(self._errors[0]) if self._errors else "Invalid parameters"


def _as_text(error: dict[str, Any]) -> str:
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
