"""What the comparisons of dependencies with FastAPI share.

A program is a function `program(app, lib, log)`; it declares an endpoint, and the log says what ran, and in
which order.
"""

import anyio
import fastapi
import fastapi.exceptions
import fastapi.security
import pytest

import wslab.asgi
import wslab.asgi.exceptions
from wslab.asgi.dependencies import Security, SecurityScopes


class Ours:
    """`wslab.asgi` with the names of this module's subject, wherever they are imported from."""

    FastAPI = wslab.asgi.App
    Security = staticmethod(Security)
    SecurityScopes = SecurityScopes
    DependencyScopeError = wslab.asgi.exceptions.DependencyScopeError

    def __getattr__(self, name):
        return getattr(wslab.asgi, name)


class Theirs:
    SecurityScopes = fastapi.security.SecurityScopes
    DependencyScopeError = fastapi.exceptions.DependencyScopeError

    def __getattr__(self, name):
        return getattr(fastapi, name)


LIBRARIES = (Theirs(), Ours())


async def connect(app, query="", *, cancel_when=None):
    """Serve one connection; the result is what was sent, or the error that reached the server.

    With `cancel_when`, an event, the connection is cancelled once it is set.
    """
    incoming = [{"type": "websocket.connect"}]
    sent = []

    async def receive():
        return incoming.pop(0) if incoming else await anyio.sleep_forever()

    async def send(message):
        sent.append((message["type"], message.get("text"), message.get("code")))

    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [],
        "query_string": query.encode(),
        "subprotocols": [],
    }
    outcome = "done"
    try:
        if cancel_when is None:
            await app(scope, receive, send)
        else:
            async with anyio.create_task_group() as tasks:

                async def serve():
                    await app(scope, receive, send)

                tasks.start_soon(serve)
                await cancel_when.wait()
                tasks.cancel_scope.cancel()
    except* Exception as errors:  # noqa: BLE001 - whatever it is, it must be the same for both
        outcome = repr(errors.exceptions[0])
    return sent, outcome


async def compare(program, query="", *, cancel=False):
    """What both libraries logged and did with `program`; the test goes on with it."""
    seen = []
    for lib in LIBRARIES:
        app, log = lib.FastAPI(), []
        cancel_when = anyio.Event() if cancel else None
        program(app, lib, log, *([cancel_when] if cancel else []))
        seen.append((log, *(await connect(app, query, cancel_when=cancel_when))))
    theirs, ours = seen
    assert ours == theirs
    assert ours[0], "a program that logs nothing compares nothing"
    return ours


async def logs_of(program):
    logs = []
    for lib in LIBRARIES:
        app, log = lib.FastAPI(), []
        program(app, lib, log)
        await connect(app)
        logs.append(log)
    return logs


def yielding(log, name, *, asynchronous, catch=None, then=None):
    """A dependency that logs; an exception of class `catch` is swallowed, or answered by raising `then`."""

    def caught(error):
        log.append(f"{name} saw {type(error).__name__}")
        if catch is None or not isinstance(error, catch):
            raise error
        if then is not None:
            raise then

    def generator():
        log.append(f"+{name}")
        try:
            yield name
        except BaseException as error:  # noqa: BLE001 - cancellation too
            caught(error)
        finally:
            log.append(f"-{name}")

    async def async_generator():
        log.append(f"+{name}")
        try:
            yield name
        except BaseException as error:  # noqa: BLE001 - cancellation too
            await anyio.lowlevel.checkpoint()
            caught(error)
        finally:
            await anyio.lowlevel.checkpoint()
            log.append(f"-{name}")

    return async_generator if asynchronous else generator


@pytest.fixture(params=LIBRARIES, ids=["theirs", "ours"])
def lib(request):
    """FastAPI, and then this framework."""
    return request.param


@pytest.fixture(name="libraries")
def both_libraries():
    """FastAPI and this framework."""
    return LIBRARIES


@pytest.fixture(name="connect")
def connect_function():
    return connect


@pytest.fixture(name="compare")
def compare_function():
    return compare


@pytest.fixture(name="logs_of")
def logs_of_function():
    return logs_of


@pytest.fixture(name="yielding")
def yielding_function():
    return yielding
