"""How a connection ends, on the wire: ours in a Lab, ours in plain uvicorn, and FastAPI in plain uvicorn.

Each row is one program; what it makes a client see is written down for all three, so that a row which says
that FastAPI differs is proved wrong as soon as it does not.
"""

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import fastapi
import pytest
import uvicorn
from starlette.responses import JSONResponse, PlainTextResponse

import wslab
import wslab.asgi
from wslab.events import EndpointFailed, HandshakeRefused, Notice


@dataclass(frozen=True)
class Refused:
    """The handshake was answered with `status` and a body."""

    status: int
    text: str = ""


@dataclass(frozen=True)
class Closed:
    """The connection was open, and ended with a close frame; 1006 when it ended without one."""

    code: int
    reason: str = ""


@asynccontextmanager
async def in_uvicorn(app):
    config = uvicorn.Config(app, ws="websockets-sansio", log_config=None, timeout_graceful_shutdown=1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        await server.startup(sockets=[sock])
        try:
            yield SimpleNamespace(url=f"ws://127.0.0.1:{sock.getsockname()[1]}")
        finally:
            await server.shutdown(sockets=[sock])


@asynccontextmanager
async def in_a_lab(app):
    lab = await wslab.Lab(app).start()
    try:
        yield SimpleNamespace(url=lab.url("/").rstrip("/"), lab=lab)
    finally:
        await lab.stop()


async def outcome(url):
    try:
        client = await wslab.connect(url)
    except wslab.ConnectionRefused as refusal:
        return Refused(refusal.status, refusal.body.strip())
    try:
        while True:
            await client.receive(5)
    except wslab.ConnectionClosed as end:
        return Closed(end.code, end.reason)


FRAMEWORKS = {
    "lab": (wslab.asgi, wslab.asgi.App, in_a_lab),
    "uvicorn": (wslab.asgi, wslab.asgi.App, in_uvicorn),
    "fastapi": (fastapi, fastapi.FastAPI, in_uvicorn),
}


class DomainError(Exception): ...


def ending(act, *, accept):
    """A program whose endpoint ends with `act(lib, ws)`, after `accept` or before."""

    def program(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket):
            if accept:
                await ws.accept()
            await act(lib, ws)

    return program


async def returns(lib, ws): ...


async def raises(lib, ws):
    raise ValueError("secret")


async def closes(lib, ws):
    await ws.close(4001, "not you")


async def raises_http(lib, ws):
    raise lib.HTTPException(409, "taken")


async def raises_websocket(lib, ws):
    raise lib.WebSocketException(4003, "not you")


async def raises_long(lib, ws):
    raise lib.WebSocketException(4003, "é" * 100)


async def raises_domain(lib, ws):
    raise DomainError("oh")


async def accepts_with_a_mapping(lib, ws):
    await ws.accept(headers={"x-room": "red"})
    await ws.close(4001, "not you")


def parameters(*, accepting):
    def program(app, lib):
        async def accept(ws: lib.WebSocket):
            if accepting:
                await ws.accept()

        @app.websocket("/")
        async def endpoint(number: int, accepted=lib.Depends(accept)): ...

    return program


def refusing_dependency(*, accepting):
    def program(app, lib):
        async def accept(ws: lib.WebSocket):
            if accepting:
                await ws.accept()
            raise lib.HTTPException(401, "who are you?")

        @app.websocket("/")
        async def endpoint(accepted=lib.Depends(accept)): ...

    return program


def handled(key, handler, act, *, accept):
    def program(app, lib):
        ending(act, accept=accept)(app, lib)
        app.add_exception_handler(key, handler)

    return program


async def close_4100(ws, error):
    await ws.close(4100, f"handled {type(error).__name__}")


async def respond(ws, error):
    return JSONResponse({"handled": type(error).__name__}, 418)


def respond_in_a_thread(ws, error):
    return PlainTextResponse(f"handled {type(error).__name__}", 418)


BARE_403 = Refused(403)
STOCK_500 = Refused(500, "Internal Server Error")
LAB_500 = "The lab's log has the traceback."
MISSING = "query.number: Field required"

# name: program, seen of ours in the lab, of ours in uvicorn, of FastAPI in uvicorn
ROWS = {
    "returns after accept": (ending(returns, accept=True), Closed(1000), Closed(1006), Closed(1006)),
    "returns before accept": (
        ending(returns, accept=False),
        Refused(
            500, "The endpoint returned without accepting the connection. Call `await ws.accept()` first."
        ),
        STOCK_500,
        STOCK_500,
    ),
    "raises after accept": (
        ending(raises, accept=True),
        Closed(1011, "Internal error: ValueError"),
        Closed(1006),
        Closed(1006),
    ),
    "raises before accept": (
        ending(raises, accept=False),
        Refused(500, f"Internal error: ValueError {LAB_500}"),
        STOCK_500,
        STOCK_500,
    ),
    "closes after accept": (ending(closes, accept=True), *[Closed(4001, "not you")] * 3),
    "closes before accept": (ending(closes, accept=False), *[BARE_403] * 3),
    "headers as a mapping": (
        ending(accepts_with_a_mapping, accept=False),
        Closed(4001, "not you"),
        Closed(4001, "not you"),
        STOCK_500,
    ),
    "HTTPException after accept": (
        ending(raises_http, accept=True),
        Closed(1008, "taken"),
        Closed(1008, "taken"),
        Closed(1006),
    ),
    "HTTPException before accept": (
        ending(raises_http, accept=False),
        Refused(409, "taken"),
        Refused(409, "taken"),
        Refused(409, '{"detail":"taken"}'),
    ),
    "WebSocketException after accept": (
        ending(raises_websocket, accept=True),
        *[Closed(4003, "not you")] * 3,
    ),
    "WebSocketException before accept": (
        ending(raises_websocket, accept=False),
        Refused(403, "not you"),
        Refused(403, "not you"),
        BARE_403,
    ),
    "reason too long": (
        ending(raises_long, accept=True),
        Closed(4003, "é" * 61),
        Closed(4003, "é" * 61),
        Closed(1006),
    ),
    "invalid parameters": (
        parameters(accepting=False),
        Refused(403, MISSING),
        Refused(403, MISSING),
        BARE_403,
    ),
    "invalid parameters after a dependency accepted": (
        parameters(accepting=True),
        Closed(1008, MISSING),
        Closed(1008, MISSING),
        Closed(1006),
    ),
    "a dependency refuses": (
        refusing_dependency(accepting=False),
        Refused(401, "who are you?"),
        Refused(401, "who are you?"),
        Refused(401, '{"detail":"who are you?"}'),
    ),
    "a dependency accepts and refuses": (
        refusing_dependency(accepting=True),
        Closed(1008, "who are you?"),
        Closed(1008, "who are you?"),
        Closed(1006),
    ),
    "handler by class after accept": (
        handled(DomainError, close_4100, raises_domain, accept=True),
        *[Closed(4100, "handled DomainError")] * 3,
    ),
    "handler by class before accept": (
        handled(DomainError, respond_in_a_thread, raises_domain, accept=False),
        *[Refused(418, "handled DomainError")] * 3,
    ),
    "handler by status after accept": (
        handled(409, close_4100, raises_http, accept=True),
        *[Closed(4100, "handled HTTPException")] * 3,
    ),
    "handler that responds after accept": (
        handled(409, respond, raises_http, accept=True),
        Closed(1008, "taken"),
        Closed(1008, "taken"),
        Closed(1006),
    ),
    "handler of Exception after accept": (
        handled(Exception, close_4100, raises, accept=True),
        Closed(4100, "handled ValueError"),
        Closed(4100, "handled ValueError"),
        Closed(1006),
    ),
    "handler of 500 after accept": (
        handled(500, close_4100, raises, accept=True),
        Closed(4100, "handled ValueError"),
        Closed(4100, "handled ValueError"),
        Closed(1006),
    ),
    "handler of Exception before accept": (
        handled(Exception, respond, raises, accept=False),
        Refused(418, '{"handled":"ValueError"}'),
        Refused(418, '{"handled":"ValueError"}'),
        STOCK_500,
    ),
    "handler of Exception that responds after accept": (
        handled(Exception, respond, raises, accept=True),
        Closed(1011),
        Closed(1011),
        Closed(1006),
    ),
}


@pytest.mark.parametrize("way", FRAMEWORKS)
@pytest.mark.parametrize("row", ROWS)
async def test_a_connection_ends_as_the_table_says(row, way):
    program, *seen = ROWS[row]
    lib, make, server = FRAMEWORKS[way]
    app = make()
    program(app, lib)
    async with server(app) as served:
        assert await outcome(f"{served.url}/") == seen[list(FRAMEWORKS).index(way)]


def only(kind, events):
    (event,) = [event for event in events if isinstance(event, kind)]
    return event


async def refused_event(lab):
    await lab.until(lambda: any(isinstance(event, HandshakeRefused) for event in lab.log))
    return only(HandshakeRefused, lab.log)


@pytest.mark.parametrize("accept", [True, False])
async def test_the_log_has_the_traceback_and_the_client_has_not(accept):
    app = wslab.asgi.App()
    ending(raises, accept=accept)(app, wslab.asgi)
    async with in_a_lab(app) as served:
        assert "secret" not in repr(await outcome(f"{served.url}/"))
        failure = only(EndpointFailed, served.lab.log)
        assert failure.error == "ValueError: secret"
        assert failure.connection == "c1"
        assert "test_outcomes.py" in failure.where
        assert "in raises" in failure.traceback


async def test_an_endpoint_that_fails_ends_only_its_own_connection():
    app = wslab.asgi.App()

    @app.websocket("/")
    async def endpoint(ws: wslab.asgi.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(str(1 / int(text)))

    async with in_a_lab(app) as served, wslab.connect(served.url) as one, wslab.connect(served.url) as other:
        await one.send("0")
        with pytest.raises(wslab.ConnectionClosed, match="ZeroDivisionError"):
            await one.receive(5)
        await other.send("2")
        assert await other.receive(5) == "0.5"


@pytest.mark.parametrize(
    ("row", "status", "shown"),
    [
        ("closes before accept", 403, "not you (meant as close code 4001)"),
        ("HTTPException before accept", 409, "taken"),
        ("WebSocketException before accept", 403, "not you (meant as close code 4003)"),
        ("invalid parameters", 403, MISSING),
        ("a dependency refuses", 401, "who are you?"),
        ("returns before accept", 500, "The endpoint returned without accepting the connection."),
        ("raises before accept", 500, "Internal error: ValueError"),
    ],
)
async def test_the_lab_shows_why_a_handshake_was_refused(row, status, shown):
    app = wslab.asgi.App()
    ROWS[row][0](app, wslab.asgi)
    async with in_a_lab(app) as served:
        await outcome(f"{served.url}/")
        event = await refused_event(served.lab)
        assert (event.status, event.reason) == (status, shown)
        assert served.lab.connections[0].refusal == shown


@pytest.mark.parametrize("key", [Exception, 500])
@pytest.mark.parametrize("accept", [True, False])
async def test_an_error_that_a_last_handler_saw_is_in_the_log_too(key, accept):
    app = wslab.asgi.App()
    handled(key, close_4100, raises, accept=accept)(app, wslab.asgi)
    async with in_a_lab(app) as served:
        assert await outcome(f"{served.url}/") == (Closed(4100, "handled ValueError") if accept else BARE_403)
        assert only(EndpointFailed, served.lab.log).error == "ValueError: secret"


@pytest.mark.parametrize(
    ("act", "accept", "seen"),
    [
        (returns, True, Closed(1000)),
        (raises, True, Closed(1011, "Internal error: ValueError")),
        (raises, False, Refused(500, f"Internal error: ValueError {LAB_500}")),
    ],
)
async def test_the_lab_ends_fastapis_connections_as_it_does_ours(act, accept, seen):
    app = fastapi.FastAPI()
    ending(act, accept=accept)(app, fastapi)
    async with in_a_lab(app) as served:
        assert await outcome(f"{served.url}/") == seen


@pytest.mark.parametrize(
    "row", ["handler by class after accept", "HTTPException after accept", "closes after accept"]
)
async def test_an_error_that_has_an_answer_is_no_failure(row):
    app = wslab.asgi.App()
    ROWS[row][0](app, wslab.asgi)
    async with in_a_lab(app) as served:
        await outcome(f"{served.url}/")
        assert [event for event in served.lab.log if isinstance(event, (EndpointFailed, Notice))] == []


# --- background tasks


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("way", ["lab", "uvicorn"])
async def test_background_tasks_run_after_the_connection_is_closed(way, close):
    lib, make, server = FRAMEWORKS[way]
    app, released, ran = make(), asyncio.Event(), asyncio.Event()

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, background: lib.BackgroundTasks):
        await ws.accept()
        background.add_task(released.wait)
        background.add_task(ran.set)
        if close:
            await ws.close(4000, "bye")

    async with server(app) as served:
        assert await outcome(served.url) == (Closed(4000, "bye") if close else Closed(1000))
        assert not ran.is_set()  # the client saw the end while the first task still waited
        released.set()
        await asyncio.wait_for(ran.wait(), 5)


async def test_fastapi_runs_no_background_tasks():
    app, ran = fastapi.FastAPI(), asyncio.Event()
    ended = asyncio.Event()

    @app.websocket("/")
    async def endpoint(ws: fastapi.WebSocket, background: fastapi.BackgroundTasks):
        await ws.accept()
        background.add_task(ran.set)

    async def watched(scope, receive, send):
        await app(scope, receive, send)
        if scope["type"] == "websocket":
            ended.set()

    async with in_uvicorn(watched) as served:
        await outcome(served.url)
        await asyncio.wait_for(ended.wait(), 5)
    assert not ran.is_set()
