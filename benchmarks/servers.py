"""One server in a process of its own, for `run.py`.

`python servers.py KIND CORE` prints the port it serves as its first line. Each line on its standard
input is then answered with the CPU seconds this process has used so far, and the end of the input
ends it. The server's loop takes no part in that: a thread that sleeps in a read costs nothing.

All kinds serve the same paths, as far as they have them:

==============  =====================================================================================
``/echo``       sends each text message back
``/deps/N``     accepts after resolving N dependencies (0, 1 or 4), then reads until the client closes
``/room``       a member: reads until it closes
``/say``        each message that comes is answered by one broadcast of `MESSAGE` to all members
==============  =====================================================================================
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket  # noqa: TC002 - the frameworks resolve the endpoints' annotations

import wslab
from wslab.journal import Journal
from wslab.rooms import RoomManager
from wslab.server import bind, tap_class
from wslab.wire import ConnectionTable, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

__all__ = ["KINDS", "MESSAGE"]

MESSAGE: dict[str, Any] = {
    "type": "stock_update",
    "data": {
        "symbol": "AAPL",
        "price": 187.44,
        "open": 186.02,
        "high": 188.11,
        "low": 185.83,
        "volume": 5841446,
        "change": 0.76,
        "timestamp": "2025-01-02T14:30:00Z",
    },
}
"""What is broadcast: 170 bytes of JSON without spaces."""

# What `Lab` sets as well. permessage-deflate is off on both sides: no shared frame could be measured else.
OPTIONS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "loop": "none",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "ws_max_size": 2**20,
    "ws_per_message_deflate": False,
}


async def echo(ws: WebSocket) -> None:
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


async def listen(ws: WebSocket) -> None:
    async for _ in ws.iter_text():
        pass


def add_dependencies(app: Any, depends: Callable[..., Any]) -> None:
    """The ``/deps/N`` endpoints, declared with the framework's own `Depends`."""

    # ruff: noqa: ARG001 - dependencies are declared to be resolved, not to be used
    async def one(page: int = 1) -> int:
        return page

    async def two(word: str = "a") -> str:
        return word

    async def three(ws: WebSocket, first: int = depends(one)) -> int:
        return first

    async def four(second: str = depends(two)) -> str:
        return second

    async def deps_0(ws: WebSocket) -> None:
        await ws.accept()
        await listen(ws)

    async def deps_1(ws: WebSocket, a: int = depends(one)) -> None:
        await ws.accept()
        await listen(ws)

    async def deps_4(
        ws: WebSocket,
        a: int = depends(one),
        b: str = depends(two),
        c: int = depends(three),
        d: str = depends(four),
    ) -> None:
        await ws.accept()
        await listen(ws)

    for path, endpoint in (("/deps/0", deps_0), ("/deps/1", deps_1), ("/deps/4", deps_4)):
        app.websocket(path)(endpoint)


def starlette_app() -> ASGIApp:
    return Starlette(routes=[WebSocketRoute("/echo", echo)])


def fastapi_app() -> ASGIApp:
    """The chat of the FastAPI documentation: a list of connections, and a loop that sends to each."""
    app = FastAPI()
    active: list[WebSocket] = []

    @app.websocket("/room")
    async def room(ws: WebSocket) -> None:
        await ws.accept()
        active.append(ws)
        try:
            await listen(ws)
        finally:
            active.remove(ws)

    @app.websocket("/say")
    async def say(ws: WebSocket) -> None:
        await ws.accept()
        async for _ in ws.iter_text():
            for connection in active:
                await connection.send_json(MESSAGE)

    add_dependencies(app, Depends)
    return app


def wslab_app() -> ASGIApp:
    app = wslab.App()
    rooms = RoomManager(announce=False)
    app.websocket("/echo")(echo)

    @app.websocket("/room")
    async def room(ws: WebSocket) -> None:
        await rooms.join_room(ws, "all")
        try:
            await listen(ws)
        finally:
            rooms.leave_room(ws)

    @app.websocket("/say")
    async def say(ws: WebSocket) -> None:
        await ws.accept()
        async for _ in ws.iter_text():
            await rooms.broadcast_to_room("all", MESSAGE)

    add_dependencies(app, wslab.Depends)
    return app


async def serve_uvicorn(app: ASGIApp, http: Any = "h11") -> int:
    """uvicorn as it comes; with h11, the HTTP parser it has without extras and the one under our tap."""
    sock = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http=http, **OPTIONS))
    serving.add(asyncio.create_task(server.serve(sockets=[sock])))
    port: int = sock.getsockname()[1]
    return port


async def serve_tap() -> int:
    recorder = Recorder()
    table = ConnectionTable(recorder)
    fill(recorder, table)
    return await serve_uvicorn(
        starlette_app(), tap_class(SimpleNamespace(connections=table, journal=Journal()))
    )


async def serve_lab(*, capture: bool) -> int:
    lab = wslab.Lab(wslab_app())
    if capture:
        fill(lab.recorder, lab.connections)
    lab.recorder.enabled = capture
    await lab.start()
    serving.add(lab)
    return lab.port


def fill(recorder: Recorder, table: ConnectionTable) -> None:
    """Fill the ring, so that each frame evicts one from the start: as in a lab that has run a while."""
    flow = table.open("127.0.0.1:1").received
    while recorder.begin == 0:
        flow.feed(b"\x81\x40" + b"x" * 64)
    table["c1"].note_end()


KINDS: dict[str, tuple[str, Callable[[], Any]]] = {
    "starlette": ("uvicorn + Starlette", lambda: serve_uvicorn(starlette_app())),
    "tap": ("uvicorn + tap + Starlette", serve_tap),
    "fastapi": ("uvicorn + FastAPI", lambda: serve_uvicorn(fastapi_app())),
    "app": ("uvicorn + wslab.App", lambda: serve_uvicorn(wslab_app())),
    "lab": ("Lab, capture on", lambda: serve_lab(capture=True)),
    "lab-off": ("Lab, recorder off", lambda: serve_lab(capture=False)),
}
"""Name: title, and what serves it and returns the port."""

serving: set[Any] = set()  # asyncio itself keeps only weak references to tasks


def answer(ended: Callable[[], object]) -> None:
    for _ in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps([used.ru_utime, used.ru_stime]), flush=True)
    ended()


async def main() -> None:
    _, kind, core = sys.argv
    if hasattr(os, "sched_setaffinity") and int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    port = await KINDS[kind][1]()
    print(port, flush=True)
    threading.Thread(target=answer, args=(lambda: loop.call_soon_threadsafe(ended.set),)).start()
    await ended.wait()
    os._exit(0)  # nothing here needs an orderly end, and a hundred open members would wait for one


if __name__ == "__main__":
    asyncio.run(main())
