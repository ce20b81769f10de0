"""The host: the one ASGI application that uvicorn is given, while applications change behind it.

Each application handed over is a *generation* with a lifespan of its own. A connection is served by
the generation that is current when it arrives and keeps it; a generation that is no longer current is
shut down when its last connection has gone. Connections that arrive while the current generation
still starts wait for it, so `start()` need not.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wslab.errors import NotAnAppError, StartupError
from wslab.events import AppSwapped, Notice
from wslab.server.addresses import take_mark
from wslab.server.limits import Admission, LimitedChannel, Limits
from wslab.server.probe import Probe
from wslab.server.protocol import STATE_KEY
from wslab.session import Channel, Lifespan, ServerChannel, Session
from wslab.session.current import work_for

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from wslab.journal import Journal
    from wslab.server.policy import Policy
    from wslab.server.tap import Tap

__all__ = ["Generation", "Host", "check_app"]


def check_app(app: object) -> ASGIApp:
    """`app`, if it can be an ASGI 3 application.

    Raises:
        NotAnAppError: it cannot.
    """
    if not callable(app):
        kind = type(app).__name__
        problem = f"Expected an ASGI application (App, FastAPI, Starlette, …), got {kind} {app!r:.60}."
    elif isinstance(app, type):
        problem = f"Expected an ASGI application, got the class {app.__name__}."
    else:
        return app
    raise NotAnAppError(problem, remedy="Pass an instance, such as Lab(app) after app = App().")


class Generation:
    """One application: its lifespan, and how many connections it serves."""

    def __init__(self, app: ASGIApp, number: int) -> None:
        self.app = app
        self.number = number
        self.lifespan = Lifespan(app)
        self.sessions = 0
        self.ready: asyncio.Task[None] = asyncio.get_running_loop().create_task(
            self.lifespan.startup(), name=f"wslab startup {number}"
        )
        # The error is kept for whoever asks; a start that nobody awaits must not warn at exit.
        self.ready.add_done_callback(lambda task: task.cancelled() or task.exception())


class Host:
    """The ASGI application in front of all generations.

    Attributes:
        sessions: the living connections by id.
        current: the generation that new connections get, or None before the first.
    """

    def __init__(self, journal: Journal, policy: Policy, limits: Limits | None = None) -> None:
        self.journal = journal
        self.policy = policy
        self.probe = Probe(policy.token)
        self.admission = Admission(limits or Limits(), journal)
        self.sessions: dict[str, Session] = {}
        self.current: Generation | None = None
        self._count = 0
        self._shut = False
        self._retiring: set[asyncio.Task[None]] = set()

    def hand_over(self, app: ASGIApp) -> Generation:
        """Start `app`; it becomes current at once if it is the first, else when it has started.

        A later application that fails to start leaves the current one in place.
        """
        self._count += 1
        new = Generation(app, self._count)
        if self.current is None:
            self.current = new
        else:
            new.ready.add_done_callback(lambda task: self._swap(new, task))
        return new

    def _swap(self, new: Generation, started: asyncio.Task[None]) -> None:
        if started.cancelled():
            return
        error = started.exception()
        if error is not None:
            self.journal.publish(
                Notice(level="error", text=f"The new application did not start, the old one stays. {error}")
            )
            return
        old, self.current = self.current, new
        self.journal.publish(AppSwapped(app=repr(new.app)[:200]))
        if old is not None and not old.sessions:
            self._retire(old)

    def _retire(self, generation: Generation) -> None:
        task = asyncio.get_running_loop().create_task(self._shutdown(generation))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _shutdown(self, generation: Generation) -> None:
        problem = await generation.lifespan.shutdown()
        if problem:
            self.journal.publish(Notice(level="error", text=problem))

    async def shutdown(self) -> None:
        """End the current generation, and wait (bounded) for those on their way out."""
        self._shut = True
        current, self.current = self.current, None
        if current is not None:
            current.ready.cancel()
            self._retire(current)
        if self._retiring:
            await asyncio.wait(self._retiring)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection or request (ASGI 3).

        No coroutine itself: each one on the way to an endpoint costs every idle connection its frame.
        """
        tap: Tap | None = scope.get("state", {}).pop(STATE_KEY, None)
        kind = scope["type"]
        if kind == "websocket":
            return self._websocket(self._channel(tap, scope, receive, send), scope)
        if kind == "http":
            return self._http(scope, receive, send)
        raise NotImplementedError(
            f"Expected a websocket or http scope, got {kind!r}: lifespans are ours to run."
        )

    def _channel(self, tap: Tap | None, scope: Scope, receive: Receive, send: Send) -> Channel:
        """What stands for the connection: the lab's own driver, or another server's behind the tap."""
        own = (scope.get("extensions") or {}).get("wslab")
        if isinstance(own, Channel):
            return own
        connection = tap.open() if tap is not None else None
        limiter = self.admission.limits.limiter()
        if limiter is None:
            return ServerChannel(connection, scope, receive, send)
        return LimitedChannel(connection, scope, receive, send, limiter=limiter, admission=self.admission)

    async def _websocket(self, channel: Channel, scope: Scope) -> None:
        take_mark(scope)
        refusal = self.policy.check(scope)
        if refusal is not None:
            await channel.deny(refusal.status, refusal.reason, refusal.remedy, refusal.headers)
            return
        generation = await self._ready()
        if generation is None:
            await channel.deny(503, "The lab's application did not start.", "See lab.log.")
            return
        admission = self.admission
        client = admission.client(scope)
        refusal = admission.admit(client, channel.id)
        if refusal is not None:
            await channel.deny(refusal.status, refusal.reason, refusal.remedy, refusal.headers)
            return
        session = Session(channel, self.journal)
        generation.sessions += 1
        self.sessions[session.id] = session
        scope["state"].update(generation.lifespan.state)
        try:
            await session.run(generation.app, scope)
        finally:
            admission.release(client, channel)
            self.sessions.pop(session.id, None)
            generation.sessions -= 1
            # After the shutdown its generation has ended already, and perhaps the loop with it.
            if generation is not self.current and not generation.sessions and not self._shut:
                self._retire(generation)

    async def _ready(self) -> Generation | None:
        generation = self.current
        if generation is None:
            return None
        try:
            await asyncio.shield(generation.ready)
        except StartupError:
            return None
        return generation

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.probe.asked_by(scope):
            await self.probe.respond(send)
            return
        shown = {**scope, "headers": _without_origin(scope["headers"])}
        refusal = self.policy.check(shown)
        scope["query_string"] = shown["query_string"]  # without the lab's token
        generation = None if refusal else await self._ready()
        if generation is None:
            status, text = (403, refusal.reason) if refusal else (503, "The application did not start.")
            headers: list[Any] = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": f"wslab: {text}\n".encode()})
            return
        scope["state"].update(generation.lifespan.state)
        work_for("", self.journal)
        await generation.app(scope, receive, send)


def _without_origin(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # For ordinary requests the browser's same-origin policy stands; only the Host check is ours.
    return [(name, value) for name, value in headers if name != b"origin"]
