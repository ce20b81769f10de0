"""The ASGI lifespan of one application, run by us and not by the server.

The server stays while applications come and go under it (a cell that is run again), so each
application gets its own startup and shutdown here, with the original exception at hand.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from wslab.errors import StartupError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

__all__ = ["Lifespan"]


class Lifespan:
    """Startup and shutdown of `app` (ASGI lifespan protocol 2.0).

    Attributes:
        state: what the application put into the lifespan state, for each connection's scope.
        supported: False once the application ended without an answer to startup.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self.supported = True
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._started: asyncio.Future[str | None]
        self._stopped: asyncio.Future[str | None]
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Run the startup half.

        An application that does not know the lifespan protocol (it raises or returns at once) is
        taken as one without a lifespan, as the ASGI specification asks.

        Raises:
            StartupError: the application said that startup failed.
        """
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        self._to_app.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run(), name="wslab lifespan")
        failure = await self._started
        if failure is None:
            if not self.supported:
                await _outcome(self._task)  # its exception was its way to say so
            return
        task, self._task = self._task, None
        error = await _outcome(task)
        last_line = failure.strip().splitlines()[-1] if failure.strip() else repr(error)
        raise StartupError(
            f"Expected the application's lifespan to start, but it failed: {last_line}",
            remedy="Mend the lifespan and start again; the kernel is unharmed.",
        ) from error

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._to_app.get, self._send)
        finally:
            if not self._started.done():
                self.supported = False
                self._started.set_result(None)
            if not self._stopped.done():
                self._stopped.set_result(None)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed":
            self._started.set_result(message.get("message", "") or "no message")
        elif kind == "lifespan.shutdown.complete":
            self._stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed":
            self._stopped.set_result(message.get("message", "") or "no message")

    async def shutdown(self, timeout: float = 1.0) -> str:
        """Run the shutdown half, for `timeout` seconds at most.

        Returns:
            What went wrong, "" where nothing did.
        """
        task, self._task = self._task, None
        if task is None or not self.supported:
            return ""
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        try:
            async with asyncio.timeout(timeout):
                failure = await self._stopped
                error = await _outcome(task)
        except TimeoutError:
            task.cancel()
            return f"The application's shutdown did not end within {timeout} s and was abandoned."
        if failure:
            return f"The application's shutdown failed: {failure.strip().splitlines()[-1]}"
        return f"The application's shutdown failed: {error!r}" if error else ""


async def _outcome(task: asyncio.Task[None]) -> BaseException | None:
    """Wait for `task` and return its exception instead of raising it."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
    return None if task.cancelled() or not task.done() else task.exception()
