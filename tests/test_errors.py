from __future__ import annotations

import pytest

from wslab import errors


def test_every_error_is_in_the_tree_and_listed():
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(classes) == set(errors.__all__)
    assert all(issubclass(value, errors.WSLabError) for value in classes.values())


def test_the_message_ends_with_the_remedy():
    error = errors.PortInUseError("Taken.", remedy="Take another.")
    assert (str(error), error.problem, error.remedy) == ("Taken. Take another.", "Taken.", "Take another.")


@pytest.mark.parametrize(
    ("ours", "pythons"),
    [
        (errors.PortInUseError, OSError),
        (errors.WaitTimeoutError, TimeoutError),
        (errors.NotAnAppError, TypeError),
        (errors.ConnectionClosed, ConnectionError),
    ],
)
def test_code_that_catches_pythons_own_class_goes_on(ours, pythons):
    assert issubclass(ours, pythons)


def test_a_close_says_who_with_what():
    assert str(errors.ConnectionClosed(1008, "no", "server")) == (
        "The connection was closed by the server with code 1008 (no)."
    )
    assert "ended without a close frame with code 1006" in str(errors.ConnectionClosed(1006))


def test_a_refusal_says_status_and_body():
    error = errors.ConnectionRefused(403, "Not here.\n")
    assert str(error) == "Expected HTTP 101 (Switching Protocols), got 403: Not here."
    assert (error.status, error.body) == (403, "Not here.\n")
