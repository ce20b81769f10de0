"""uvicorn inside a loop that already runs, without its process manners.

As uvicorn is meant to be run, a busy port ends the process, SIGINT and SIGTERM become its own, and a
handler that does not return holds the stop for ever. In a kernel each of these costs the user's work.
So: the socket is bound here (an error is raised in the caller), `startup` and `main_loop` are called
instead of `serve` (no signal handler), the lifespan is ours (`wslab.session.Lifespan`), and `stop`
ends within its limits whatever the handlers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import uvicorn

from wslab.errors import PortInUseError, WSLabError
from wslab.events import Notice
from wslab.server.limits import OFF
from wslab.server.memory import attach, close_all
from wslab.server.tap import protocol_classes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from wslab.journal import Journal
    from wslab.server.options import Options
    from wslab.session.records import Observer

__all__ = ["IMPLEMENTATIONS", "EmbeddedServer", "bind"]

IMPLEMENTATIONS = {"wslab": "wslab", "websockets-sansio": "websockets", "wsproto": "wsproto"}
"""The WebSocket implementations that can serve, and the package each needs; ``wslab`` is our own."""

GRACE = 1.0
"""Seconds that connections get to finish their close handshake before their endpoints are cancelled."""

_STOP_LIMIT = 2.0  # seconds for uvicorn's whole shutdown, its own waits included
_LAST_TURNS = 0.25  # seconds that cancelled endpoints have before they are said to be abandoned
_BACKLOG = 2048


def bind(host: str, port: int, *, prefer: int = 0) -> socket.socket:
    """A listening-ready TCP socket.

    Args:
        host: address to bind.
        port: port to bind; 0 takes `prefer` if it is free, else any free port.
        prefer: the port this lab had before.

    Raises:
        PortInUseError: the address is taken or not ours to bind.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in dict.fromkeys([port or prefer, port]):
        # asyncio switches off Nagle's algorithm where the protocol is TCP by name, and not where it is 0:
        # a second small message would wait for the acknowledgement of the first, 40 ms.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if sys.platform != "win32":
            # A port whose last connections are in TIME_WAIT may be bound again; on Windows the same
            # option would let two programs share one port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, candidate))
            sock.listen(_BACKLOG)  # SO_REUSEADDR lets a bind succeed that only listening finds taken
        except OSError as error:
            sock.close()
            if candidate != port:
                continue
            raise PortInUseError(
                f"Expected {host}:{port} to be free, but binding it failed: {error.strerror or error}.",
                remedy="Leave out `port` to get a free one, or stop the program that holds it.",
            ) from error
        sock.setblocking(False)
        return sock
    raise AssertionError("unreachable: the last candidate returns or raises")


_TOLD_BETTER = (
    "returned without completing handshake",  # said after every denial too; the session tells the real cases
    "running task(s), timeout graceful shutdown exceeded",  # the log names each endpoint that did not end
)


class _JournalHandler(logging.Handler):
    """uvicorn's warnings, told in the journal instead of on whatever cell's stderr."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        if any(said in record.msg for said in _TOLD_BETTER):
            return
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._journal.publish(Notice(level=level, text=f"uvicorn: {record.getMessage()}"))


class EmbeddedServer:
    """One uvicorn server on one socket in the running loop.

    Args:
        app: the ASGI application, lifespan not included.
        sock: a bound socket (`bind`); None to serve within this process only (`attach`).
        observer: where connections are recorded, and the server's own warnings told.
        options: the lab's; their ``ws`` is a name from `IMPLEMENTATIONS`.
        on_limit: told ``(limit, connection, close code)`` when a client reaches one.

    Raises:
        WSLabError: `ws` names no implementation, or one that is not installed.
    """

    def __init__(
        self,
        app: ASGIApp,
        sock: socket.socket | None,
        *,
        observer: Observer,
        options: Options,
        on_limit: Callable[[str, str, int], None] | None = None,
    ) -> None:
        ws = options.ws
        if ws not in IMPLEMENTATIONS:
            names = " or ".join(map(repr, IMPLEMENTATIONS))
            raise WSLabError(f"Expected ws={names}, got {ws!r}.")
        if find_spec(IMPLEMENTATIONS[ws]) is None:
            raise WSLabError(
                f"Expected the package {IMPLEMENTATIONS[ws]!r} for ws={ws!r}, it is not installed.",
                remedy=f"Run: pip install {IMPLEMENTATIONS[ws]}",
            )
        self._socket = sock
        self._host = options.host
        self._journal = observer.journal
        self._handler = _JournalHandler(observer.journal)
        access = logging.getLogger("uvicorn.access")
        self._access_before = (list(access.handlers), access.propagate)
        limits, deflate = options.limits, options.deflate
        http, own = protocol_classes(
            observer,
            handshake_limit=None if limits.handshake == OFF else limits.handshake,
            limiter=limits.limiter,
            on_limit=on_limit,
            deflate=None if isinstance(deflate, bool) else deflate,
        )
        config = uvicorn.Config(
            app,
            http=http,
            ws=own if ws == "wslab" else ws,
            interface="asgi3",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # a client is who the socket says: what a header says, any client can write
            ws_max_size=limits.max_message or sys.maxsize,
            ws_ping_interval=options.ping_interval,
            ws_ping_timeout=options.ping_timeout,
            ws_per_message_deflate=bool(deflate),
            timeout_graceful_shutdown=int(GRACE),
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port bound; 0 without a socket."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    def listen(self, sock: socket.socket) -> None:
        """Serve `sock` as well, from the next `start` on."""
        self._socket = sock

    def attach(self, client: asyncio.Protocol, via: str = "memory") -> None:
        """Serve `client` over an in-process pipe, in the running loop; see `wslab.server.memory`."""
        config = self._server.config
        attach(config, self._server.server_state, client, (self._host, self.port), via)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that serve connections now."""
        return set(self._server.server_state.tasks)

    async def start(self) -> None:
        """Accept connections; returns when the socket, if there is one, is served."""
        logging.getLogger("uvicorn.error").addHandler(self._handler)
        if self._socket is None:
            return
        config = self._server.config
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._socket])
        self._loop_task = asyncio.create_task(self._server.main_loop(), name="wslab uvicorn")

    async def stop(self) -> int:
        """Close every connection with 1012 (service restart) and end, within about two seconds.

        Returns:
            How many endpoints did not end and were abandoned.
        """
        server = self._server
        server.should_exit = True
        if self._loop_task is None or self._socket is None:
            await close_all(server.server_state)
        else:
            await asyncio.wait([self._loop_task])
            try:
                async with asyncio.timeout(_STOP_LIMIT):
                    await server.shutdown(sockets=[self._socket])
            except TimeoutError:
                self._journal.publish(Notice(level="warning", text="uvicorn's shutdown took too long."))
        if self._socket is not None:
            self._socket.close()
        self._abort()
        cancelled = server.server_state.tasks - {asyncio.current_task()}
        if cancelled:  # not a turn of the loop has passed since: most of them end when it does
            await asyncio.wait(cancelled, timeout=_LAST_TURNS)
        left = [task for task in server.server_state.tasks if not task.done()]
        self._restore_logging()
        return len(left)

    def close_now(self) -> None:
        """Tell every client 1012 at once, without a loop that runs (the interpreter ends)."""
        for connection in list(self._server.server_state.connections):
            connection.shutdown()
        if self._socket is not None:
            self._socket.close()

    def give_up(self) -> None:
        """Free the port and tell every client 1012, from another thread, while the loop is held.

        What belongs to a loop is not another thread's to touch; but this one does not turn, and when it
        does again, it finds its connections ended and stops.
        """
        for connection in list(self._server.server_state.connections):
            sock = connection.transport.get_extra_info("socket")
            try:
                connection.shutdown()
            except Exception as error:  # noqa: BLE001 - one that is closing already; the others are told, too
                text = f"A connection of the thread that is abandoned could not be told 1012: {error!r}"
                self._journal.publish(Notice(level="warning", text=text))
            if sock is not None:  # else it is a pipe within this process
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
        if self._socket is None:
            return
        if sys.platform == "win32":
            self._socket.close()
            return
        # The loop goes on watching this file descriptor: it stays ours, with another socket behind it, for
        # otherwise the next listener could get its number.
        unbound = socket.socket(self._socket.family, socket.SOCK_STREAM)
        with unbound, contextlib.suppress(OSError):  # the loop may close its own just now
            os.dup2(unbound.fileno(), self._socket.fileno(), inheritable=False)

    def _abort(self) -> None:
        for connection in list(self._server.server_state.connections):
            transport = connection.transport
            if transport is not None:
                transport.abort()

    def _restore_logging(self) -> None:
        logging.getLogger("uvicorn.error").removeHandler(self._handler)
        access = logging.getLogger("uvicorn.access")
        access.handlers, access.propagate = self._access_before
