"""A server's life: started, handed another application, stopped, in the kernel's loop or a thread's.

Theory of operation. The server's loop (`Lifecycle.loop`) is the one that runs where the lab is started, or
with ``loop="thread"`` one of the lab's own (`wslab.server.threads`). Then two threads meet here: what
belongs to connections is done in the server's loop, what belongs to pages in the kernel's, and all the
rest is read by both. What is begun on the server's loop is begun in order, from whichever thread.

Whoever stops takes the server first, so that it is stopped once. A thread whose loop does not turn any more
is given up, with its loop: its port is free, its clients are told, and the next start makes another.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from wslab.errors import NotRunningError, WSLabError
from wslab.events import LabStarted, LabStopped, Notice
from wslab.journal import Journal
from wslab.server.addresses import direct_url
from wslab.server.cells import cell_name
from wslab.server.embed import EmbeddedServer, bind
from wslab.server.host import Host
from wslab.server.interrupt import InterruptGuard
from wslab.server.manners import Manners
from wslab.server.nesting import nests, run_nested, running_loop, warn_of_old_patch
from wslab.server.policy import Policy
from wslab.server.stacks import find_holder
from wslab.server.threads import Ferry, LoopThread, check_not_here, ended, ended_here, run_in
from wslab.wire import ConnectionTable, Recorder
from wslab.wire.sites import Sites

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import ASGIApp

    from wslab.server.options import Options

__all__ = ["Lifecycle", "Started"]

T = TypeVar("T")
Started = asyncio.Task[None] | concurrent.futures.Future[None]

_STILL = 1.8  # seconds without a turn, after which a thread's loop counts as held when it has to stop
_STOP_LIMIT = (
    2.4  # seconds that a thread gets for its stop; one that an endpoint holds now and then needs more
)


class Lifecycle:
    """What serves a lab, with its records; found again when the lab is made again.

    Args:
        options: how to serve.

    Attributes:
        server: None while nothing is served.
        loop: the server's, also after a stop.
        page_loop: the kernel's, where pages are served; None before a start in a running loop.
        thread: the lab's own, with ``loop="thread"``.
        started: the start or the change of application begun last.
        last_port: the port bound last, kept for the next start.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.journal = Journal()
        looks_for_lines = options.capture and options.lines
        sites = Sites(cell_name) if looks_for_lines else None
        self.recorder = Recorder(sites=sites, enabled=options.capture)
        self.connections = ConnectionTable(self.recorder)
        self.policy = Policy(options.auth, options.token, public=options.public)
        self.manners = Manners(self.journal, self.recorder.note_lag)
        self.server: EmbeddedServer | None = None
        self.app_host: Host | None = None
        self.app: ASGIApp | None = None
        self.started: Started | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.page_loop: asyncio.AbstractEventLoop | None = None
        self.thread = self._new_thread() if options.loop == "thread" else None
        self.last_port = 0
        self._guard = InterruptGuard(self.journal, self._freed_task)
        self._actions: set[Started] = set()
        self._starting: asyncio.Task[Any] | None = None
        self._given_up: WeakSet[EmbeddedServer] = WeakSet()

    def bind_pages(self, loop: asyncio.AbstractEventLoop) -> None:
        """The lab was started where `loop` runs: pages are served there."""
        self.page_loop = loop

    def start(self, app: ASGIApp, *, listen: bool = True) -> None:
        """Serve `app`; hand it over where a server runs already.

        Args:
            app: the application.
            listen: bind a port; without one, connections come from within this process (`connect`) and
                through the tunnel only.

        Raises:
            RuntimeError: no loop runs in this thread, and the lab has none of its own.
        """
        thread, here = self.thread, running_loop()
        if self.server is not None and self.app_host is not None and (thread or self.loop is here):
            if app is not self.app:
                self.app = app
                self.started = self._spawn(self._hand_over(self.app_host, app), "wslab hand over")
            if listen and not self.server.port:
                self._listen(self.server)
            return
        sock = bind(self.options.host, self.options.port, prefer=self.last_port) if listen else None
        if self.options.limits.none:
            text = "Every limit is off: one client can take all of this kernel's memory. For load tests only."
            self.journal.publish(Notice(level="warning", text=text))
        app_host = Host(self.journal, self.policy, self.options.limits)
        try:
            server = EmbeddedServer(
                app_host, sock, observer=self, options=self.options, on_limit=app_host.admission.tell
            )
            loop = thread.enter() if thread else asyncio.get_running_loop()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        self.loop = loop
        self.app, self.app_host, self.server = app, app_host, server
        self.last_port = server.port or self.last_port
        self.started = self._spawn(self._serve(server, app_host, app), "wslab start")
        if isinstance(self.started, asyncio.Task):
            self._starting = self.started
            self._guard.install()
        self.manners.start(loop, self.options.host, server.port)
        atexit.register(self._at_exit)
        if here is not None and (thread is None or here is not loop):
            warn_of_old_patch(here, self.journal)
            self.bind_pages(here)

    def _new_thread(self) -> LoopThread:
        def report(text: str) -> None:
            self.journal.publish(Notice(level="error", text=text))

        return LoopThread("wslab lab", report)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> Started:
        """Run `coroutine` on the server's loop; those begun earlier take their first step earlier."""
        assert self.loop is not None
        spawned: Started
        if self.thread is None:
            spawned = self.loop.create_task(coroutine, name=name)
        else:
            spawned = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        # What fails is told by the journal, whether or not somebody waits; asyncio need not tell it again.
        spawned.add_done_callback(lambda done: done.cancelled() or done.exception())
        return spawned

    async def _hand_over(self, app_host: Host, app: ASGIApp) -> None:
        assert self.loop is not None
        await app_host.hand_over(Ferry(app, self.loop) if self.thread else app).ready

    async def _serve(self, server: EmbeddedServer, app_host: Host, app: ASGIApp) -> None:
        self._starting = asyncio.current_task()
        ready = asyncio.ensure_future(self._hand_over(app_host, app))
        await server.start()
        try:
            await ready
        except WSLabError as error:
            self.journal.publish(Notice(level="error", text=str(error)))
            self._starting = None  # or the stop would wait for this
            await self.stop()
            raise
        if server.port:
            self.journal.publish(LabStarted(url=direct_url(self.options.host, server.port, "/")))
        else:
            text = "The application was started without a port, for clients within this process."
            self.journal.publish(Notice(text=text))

    def _listen(self, server: EmbeddedServer) -> None:
        """Give a port to a server that has served this process only."""
        assert self.loop is not None
        server.listen(bind(self.options.host, self.options.port, prefer=self.last_port))
        self.last_port = server.port
        self.manners.start(self.loop, self.options.host, server.port)
        before, url = self.started, direct_url(self.options.host, server.port, "/")

        async def open_port() -> None:
            if isinstance(before, concurrent.futures.Future):
                await asyncio.wrap_future(before)
            elif before is not None:
                await asyncio.shield(before)
            await server.start()
            self.journal.publish(LabStarted(url=url))

        self.started = self._spawn(open_port(), "wslab listen")

    async def ready(self) -> None:
        """Wait until the application given last has started, in whichever loop.

        Raises:
            NotRunningError: the lab was never started.
            StartupError: the application's lifespan failed.
        """
        started = self.started
        if started is None:
            raise NotRunningError("Expected a started lab.", remedy="Call lab.start() first.")
        if isinstance(started, concurrent.futures.Future):
            await asyncio.shield(asyncio.wrap_future(started))
        else:
            await asyncio.shield(started)

    async def stop(self) -> None:
        """End the server and the application. Harmless when nothing runs."""
        taken = self._take()
        if taken is None:
            return
        thread, loop = self.thread, self.loop
        if thread is None or loop is None or asyncio.get_running_loop() is loop:
            # A task of its own: an endpoint may ask for the stop that cancels it.
            await asyncio.shield(asyncio.ensure_future(self._shut_down(*taken, thread)))
            return
        stopping = self._shut_down_from_outside(*taken, thread)
        if await ended(stopping, loop, still=_STILL, limit=_STOP_LIMIT):
            stopping.result()  # raises what went wrong there
        else:
            self._give_up(*taken, thread)

    def stop_thread(self) -> None:
        """The same from synchronous code, for a lab with a thread of its own. Waits for the end."""
        taken, thread, loop = self._take(), self.thread, self.loop
        if taken is None or thread is None or loop is None:
            return
        stopping = self._shut_down_from_outside(*taken, thread)
        if ended_here(stopping, loop, still=_STILL, limit=_STOP_LIMIT):
            stopping.result()
        else:
            self._give_up(*taken, thread)

    def _take(self) -> tuple[EmbeddedServer, Host] | None:
        """What has to be stopped, to one caller only."""
        server, self.server = self.server, None
        app_host, self.app_host = self.app_host, None
        atexit.unregister(self._at_exit)
        self._guard.remove()
        self.manners.stop()
        return (server, app_host) if server is not None and app_host is not None else None

    def _shut_down_from_outside(
        self, server: EmbeddedServer, app_host: Host, thread: LoopThread
    ) -> concurrent.futures.Future[None]:
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(self._shut_down(server, app_host, thread), self.loop)

    async def _shut_down(self, server: EmbeddedServer, app_host: Host, thread: LoopThread | None) -> None:
        starting, self._starting = self._starting, None
        try:
            if starting is not None and not starting.done():
                await asyncio.wait([starting], timeout=0.5)
            abandoned = await server.stop()
            for name in [session.id for session in app_host.sessions.values()]:
                text = "This endpoint did not end when it was cancelled, and was abandoned."
                self.journal.publish(Notice(connection=name, level="warning", text=text))
            await app_host.shutdown()
        finally:
            if thread is not None:
                thread.leave()
        if server in self._given_up:
            self.journal.publish(Notice(text="The thread that was abandoned has been let go, and has ended."))
        else:
            self.journal.publish(LabStopped(abandoned=abandoned))

    def _give_up(self, server: EmbeddedServer, app_host: Host, thread: LoopThread) -> None:
        """Part with a thread that an endpoint holds: nobody can end it, but nobody has to wait for it."""
        assert self.loop is not None
        self._given_up.add(server)
        self.thread = self._new_thread()
        holder = find_holder(thread.frame, self.loop)
        server.give_up()
        where = f" at {holder.where}" if holder.where else ""
        state = f"is held by {holder.by}{where}" if holder.by else "did not end in time"
        text = (
            f"The lab's thread {state}, and was abandoned; its port is free, and its clients were told 1012. "
            "For what blocks there is `await asyncio.to_thread(…)`."
        )
        self.journal.publish(Notice(connection=holder.connection, level="warning", text=text))
        self.journal.publish(LabStopped(abandoned=len(app_host.sessions)))

    def _at_exit(self) -> None:
        """The interpreter ends: tell every client 1012, with the loop if it can still run."""
        server, loop = self.server, self.loop
        if server is None or loop is None:
            return
        if self.thread is not None:
            self.stop_thread()
            return
        if not loop.is_closed() and not loop.is_running():
            stopping = loop.create_task(self.stop())
            # The first run may end early: a kernel leaves its loop with a stop already requested.
            for _ in range(2):
                with contextlib.suppress(RuntimeError):
                    loop.run_until_complete(stopping)
                    return
        server.close_now()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Lab.run`."""
        thread, here = self.thread, running_loop()
        if thread is not None:
            check_not_here(thread, coroutine)
            loop = thread.enter()
            try:
                return run_in(loop, coroutine)
            finally:
                thread.leave()
        if here is None:
            return asyncio.run(coroutine)
        if not nests(here):
            text = "lab.run() let asyncio nest for the rest of this kernel's life (nest-asyncio2)."
            self.journal.publish(Notice(text=text))
        return run_nested(here, coroutine)

    def close_connection(self, connection: str, code: int, reason: str) -> None:
        """Close one connection from the dashboard; a failure is told in the journal."""
        session = self.app_host.sessions.get(connection) if self.app_host else None
        if session is None or self.loop is None:
            text = f"{connection} cannot be closed: it is not open any more."
            self.journal.publish(Notice(connection=connection, level="warning", text=text))
            return

        async def act() -> None:
            try:
                await session.close(code, reason)
            except (WSLabError, OSError) as error:
                self.journal.publish(Notice(connection=connection, level="warning", text=str(error)))

        action = self._spawn(act(), f"wslab close {connection}")
        self._actions.add(action)
        action.add_done_callback(self._actions.discard)

    def _freed_task(self, connection: str, where: str) -> None:
        """The interrupt ended a task of an endpoint, which may never ask for its outcome."""
        text = f"The interrupt ended a task of this endpoint, at {where}."
        self.journal.publish(Notice(connection=connection, level="error", text=text))
        self.close_connection(connection, 1011, "Internal error: EndpointInterrupted")
