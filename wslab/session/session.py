"""One connection's life between the server and the application.

Theory of operation. A `Session` stands between the ASGI server's `receive`/`send` and the
application, sees each event once, and makes the ending honest whatever the application does:

=============================  ==========================================================
the endpoint                   the client sees
=============================  ==========================================================
returns after accept           close 1000
raises after accept            close 1011 with the exception's type as the reason
returns or raises before       HTTP 500 (denial response where the server knows them)
is freed by an interrupt       close 1011
=============================  ==========================================================

Only that connection ends, and the traceback goes to the journal. Nothing is raised into the server,
which would print it into whatever cell runs at that moment. What passes, and what has passed, is the
`Channel`'s (`wslab.session.channel`).
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

from wslab.events import EndpointFailed, Notice
from wslab.journal import Journal, LabExtension
from wslab.session.current import work_for
from wslab.wire.sites import begins_application

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp, Receive, Scope, Send

    from wslab.session.channel import Channel

__all__ = ["EndpointInterrupted", "Session"]

_FRAMEWORK = frozenset({"wslab", "starlette", "fastapi", "contextlib", "anyio"})
"""Packages between the server and an endpoint: their frames tell a reader of a traceback nothing."""


class EndpointInterrupted(BaseException):
    """Raised by the interrupt into an endpoint that holds the loop.

    Not an `Exception`, so that an endpoint's ``except Exception`` does not keep the kernel held.
    """


class Session:
    """The life of one accepted or refused connection.

    Args:
        channel: the connection.
        journal: where failures are told.
    """

    def __init__(self, channel: Channel, journal: Journal) -> None:
        self.channel = channel
        self.journal = journal
        self.id = channel.id

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run `app` for this connection until it has ended. Raises nothing but what ends the loop."""
        channel = self.channel
        # The scope is this connection's alone (ASGI), and so are its extensions: servers make them for each.
        extensions = scope["extensions"] = scope.get("extensions") or {}
        extensions["wslab"] = LabExtension(self.journal, self.id, channel.meant, channel.sink)
        work_for(self.id, self.journal)
        try:
            await run_endpoint(app, scope, channel.receive, channel.send)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # The server's stop cancels what has not ended in time. The task is the server's own and
                # ends here; passing the cancellation on would only make it print a traceback.
                channel.gone = True
            else:  # nobody cancelled it: the endpoint let the end of another task through
                await self._failed(error)
        except (WebSocketDisconnect, WebSocketDisconnected, OSError) as error:
            if not channel.ended:
                await self._failed(error)
        except (EndpointInterrupted, BaseExceptionGroup) as error:  # a group: of a task group's task
            await self._failed(error)
        except SystemExit as error:  # raised on into the loop it would end the kernel, and all work in it
            await self._failed(error)
        except Exception as error:  # noqa: BLE001 - whatever an endpoint raises ends its connection only
            await self._failed(error)
        else:
            await self._returned()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close from outside the endpoint; see `Channel.close`."""
        await self.channel.close(code, reason)

    async def _returned(self) -> None:
        if self.channel.ended or self.channel.answered:
            return
        if self.channel.accepted:
            await self._last_close(1000, "")
            return
        text = "The endpoint returned without accepting the connection."
        self.journal.publish(Notice(connection=self.id, level="error", text=text))
        await self._last_denial(text, "Call `await ws.accept()` first.")

    async def _failed(self, error: BaseException) -> None:
        trace = _own_frames(error.__traceback__)
        frames = traceback.extract_tb(trace)
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        name = type(error).__name__
        text = "".join(traceback.format_exception(type(error), error, trace))
        summary = "".join(traceback.format_exception_only(error)).strip()
        self.journal.publish(EndpointFailed(connection=self.id, error=summary, traceback=text, where=where))
        if self.channel.ended or self.channel.answered:
            return
        if self.channel.accepted:
            await self._last_close(1011, f"Internal error: {name}")
        else:
            await self._last_denial(f"Internal error: {name}", "The lab's log has the traceback.")

    async def _last_close(self, code: int, reason: str) -> None:
        try:
            await self.channel.send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            self.channel.gone = True  # the client left in the meantime: nobody to tell

    async def _last_denial(self, reason: str, remedy: str) -> None:
        try:
            await self.channel.deny(500, reason, remedy)
        except OSError:
            self.channel.gone = True


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """`trace` from the first frame of the user's own code on; whole where there is none."""
    frame = trace
    while frame is not None:
        package = frame.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _FRAMEWORK:
            return frame
        frame = frame.tb_next
    return trace


async def run_endpoint(app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
    """Call the application. The interrupt looks for this function's frame on the stack."""
    await app(scope, receive, send)


begins_application(run_endpoint.__code__)
