"""One server in a process of its own, for `run.py`.

`python servers.py KIND CORE` prints the port it serves as its first line. Each line on its standard
input is a question, answered with one line of JSON, and the end of the input ends the process:

==========  =========================================================================================
``cpu``     CPU seconds this process has used so far: [in Python, in the kernel]
``memory``  bytes of this process's memory, after a collection: [resident, of it shared with nobody]
==========  =========================================================================================

The server's loop takes no part in that: a thread that sleeps in a read costs nothing.

All kinds serve the same paths, as far as they have them:

==============  =====================================================================================
``/echo``       sends each text message back
``/deps/4``     accepts after resolving four dependencies, then reads until the client closes
``/room``       a member: reads until it closes
``/say``        each message that comes is answered by one broadcast of `MESSAGE` to all members
==============  =====================================================================================
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket  # noqa: TC002 - the frameworks resolve the endpoints' annotations

import wslab
from wslab.rooms import RoomManager
from wslab.server import Tap, WebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from wslab.wire import ConnectionTable, Recorder

__all__ = ["KINDS", "MEMORY", "MESSAGE"]

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

PING = 20.0
"""Seconds between two pings, and until one must be answered: uvicorn's defaults, and everybody's here."""

# What `Lab` sets as well. permessage-deflate is off everywhere: no shared frame could be measured else.
OPTIONS: dict[str, Any] = {
    "loop": "none",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "ws_max_size": 2**20,
    "ws_ping_interval": PING,
    "ws_ping_timeout": PING,
    "ws_per_message_deflate": False,
}

MEMORY = Path("/proc/self/smaps_rollup")
"""Where Linux tells what memory a process has; no other system is asked."""


async def echo(ws: WebSocket) -> None:
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


async def listen(ws: WebSocket) -> None:
    async for _ in ws.iter_text():
        pass


def add_dependencies(app: Any, depends: Callable[..., Any]) -> None:
    """The ``/deps/4`` endpoint, declared with the framework's own `Depends`."""

    # ruff: noqa: ARG001 - dependencies are declared to be resolved, not to be used
    async def one(page: int = 1) -> int:
        return page

    async def two(word: str = "a") -> str:
        return word

    async def three(ws: WebSocket, first: int = depends(one)) -> int:
        return first

    async def four(second: str = depends(two)) -> str:
        return second

    async def deps_4(
        ws: WebSocket,
        a: int = depends(one),
        b: str = depends(two),
        c: int = depends(three),
        d: str = depends(four),
    ) -> None:
        await ws.accept()
        await listen(ws)

    app.websocket("/deps/4")(deps_4)


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


async def serve_uvicorn(app: ASGIApp, http: Any = "h11", ws: Any = "websockets-sansio") -> int:
    """uvicorn as it comes, with the HTTP parser that it has without extras."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=http, ws=ws, **OPTIONS)
    server = uvicorn.Server(config)  # it binds by itself, as it is meant to: sockets handed over may differ
    serving.add(asyncio.create_task(server.serve()))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


async def serve_lab(app: ASGIApp, *, ws: Any = "wslab", capture: bool = True, lines: bool = True) -> int:
    # Every default but one: idle connections are counted by thousands.
    lab = wslab.Lab(
        app,
        ws=ws,
        capture=capture,
        lines=lines,
        limits="connections=off",
        ping_interval=PING,
        ping_timeout=PING,
    )
    if capture:
        fill(lab.recorder, lab.connections)
    await lab.start()
    serving.add(lab)
    return lab.port


def fill(recorder: Recorder, table: ConnectionTable) -> None:
    """Fill the ring, so that each frame evicts one from the start: as in a lab that has run a while."""
    flow = table.open("127.0.0.1:1").received
    while recorder.begin == 0:
        flow.feed(b"\x81\x40" + b"x" * 64)
    table["c1"].note_end()


async def serve_picows() -> int:
    """No ASGI, no framework, no record: frames in and out in compiled code, on asyncio's own transports."""
    import picows

    class Echo(picows.WSListener):  # type: ignore[misc] # compiled
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is picows.WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_bytes())

    server = await picows.ws_create_server(
        lambda _: Echo(),
        "127.0.0.1",
        0,
        enable_auto_ping=True,
        auto_ping_idle_timeout=PING,
        auto_ping_reply_timeout=PING,
        max_frame_size=2**20,
        use_aiofastnet=False,
    )
    serving.add(server)
    port: int = server.sockets[0].getsockname()[1]
    return port


KINDS: dict[str, tuple[str, Callable[[], Any]]] = {
    "stock": ("uvicorn + Starlette", lambda: serve_uvicorn(starlette_app())),
    "pair": ("uvicorn + our classes", lambda: serve_uvicorn(starlette_app(), Tap, WebSocketProtocol)),
    "lab": ("Lab, capture on", lambda: serve_lab(starlette_app())),
    "lab-off": ("Lab, capture off", lambda: serve_lab(starlette_app(), capture=False)),
    "lab-lines-off": ("Lab, lines off", lambda: serve_lab(starlette_app(), lines=False)),
    "lab-sansio": ("Lab, sansio", lambda: serve_lab(starlette_app(), ws="websockets-sansio")),
    "picows": ("picows", serve_picows),
    "fastapi": ("uvicorn + FastAPI", lambda: serve_uvicorn(fastapi_app())),
    "app": ("uvicorn + wslab.App", lambda: serve_uvicorn(wslab_app())),
    "lab-app": ("Lab + wslab.App", lambda: serve_lab(wslab_app())),
    "lab-app-off": ("the same, capture off", lambda: serve_lab(wslab_app(), capture=False)),
}
"""Name: title, and what serves it and returns the port. Those without `App` or FastAPI serve Starlette."""

serving: set[Any] = set()  # asyncio itself keeps only weak references to tasks


def cpu() -> list[float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [used.ru_utime, used.ru_stime]


def memory() -> list[int]:
    gc.collect()
    sizes = re.findall(r"^(Rss|Private)\w*: +(\d+) kB$", MEMORY.read_text(), re.MULTILINE)
    return [1024 * sum(int(size) for name, size in sizes if name == wanted) for wanted in ("Rss", "Private")]


def answer(ended: Callable[[], object]) -> None:
    for question in sys.stdin:
        print(json.dumps({"cpu": cpu, "memory": memory}[question.strip()]()), flush=True)
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
