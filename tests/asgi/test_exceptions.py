import fastapi
import pytest

import wslab.asgi.exceptions
from wslab.asgi import HTTPException, MessageTypeError, WebSocketException, WebSocketRequestValidationError
from wslab.asgi.exceptions import UnusedPathVariableWarning
from wslab.errors import WSLabError

ERRORS = [
    {"type": "int_parsing", "loc": ("query", "ids", 1), "msg": "Not an int", "input": "x"},
    {"type": "missing", "loc": ("path", "room"), "msg": "Field required", "input": None},
]


def test_a_message_type_error_reads_as_a_sentence_and_is_a_key_error():
    error = MessageTypeError("Expected text.", remedy="Call receive_bytes().")
    assert str(error) == "Expected text. Call receive_bytes()."
    assert isinstance(error, KeyError)
    assert isinstance(error, WSLabError)
    assert error.remedy == "Call receive_bytes()."


def test_a_validation_error_carries_the_errors_and_the_place():
    error = WebSocketRequestValidationError(ERRORS, where="chat.py:3")
    assert error.errors() == ERRORS
    assert error.where == "chat.py:3"
    assert error.reason == "query.ids.1: Not an int"
    assert "chat.py:3" in str(error)
    assert "path.room: Field required" in str(error)


def test_a_validation_error_without_errors_still_has_a_reason():
    assert WebSocketRequestValidationError([]).reason == "Invalid parameters"


def test_fastapis_exceptions_are_ours_too():
    assert issubclass(fastapi.HTTPException, HTTPException)
    assert issubclass(fastapi.WebSocketException, WebSocketException)


def test_the_warning_is_shown_by_default():
    # Python hides DeprecationWarning and its like outside of __main__.
    assert issubclass(UnusedPathVariableWarning, UserWarning)
    assert not issubclass(UnusedPathVariableWarning, (DeprecationWarning, PendingDeprecationWarning))


@pytest.mark.parametrize(
    ("cls", "carrier"),
    [
        (wslab.asgi.exceptions.RequestValidationError, "request"),
        (wslab.asgi.exceptions.WebSocketRequestValidationError, "handshake"),
    ],
)
def test_a_validation_error_takes_fastapis_context(cls, carrier):
    context = {"file": "/app.py", "line": 7, "function": "echo", "path": "WS /echo"}
    error = cls(["odd"], endpoint_ctx=context)
    assert (error.endpoint_file, error.endpoint_line) == ("/app.py", 7)
    assert (error.endpoint_function, error.endpoint_path) == ("echo", "WS /echo")
    assert error.where == "/app.py:7"
    assert error.reason == "odd"
    assert str(error).startswith(
        f"The {carrier} does not fit the parameters of the endpoint at /app.py:7: odd."
    )
    assert cls([], where="/a.py:3").endpoint_line == 3
    assert getattr(cls([]), "body", None) is None
