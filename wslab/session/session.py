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
which would print it into whatever cell runs at that moment. `close` and `send` let somebody else than
the endpoint act on the connection (the dashboard's buttons); after such a close the endpoint's next
`send` fails as it does for a client that left.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

from wslab.errors import WSLabError
from wslab.events import EndpointFailed, Notice
from wslab.journal import Journal, LabExtension
from wslab.wire.close_codes import cut_reason

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from wslab.wire import Connection

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
        connection: its record; None where nothing is recorded.
        journal: where failures are told.
    """

    def __init__(self, connection: Connection | None, journal: Journal) -> None:
        self.connection = connection
        self.journal = journal
        self.id = connection.id if connection else ""
        self.accepted = False
        self.answered = False  # a denial response or a close before accept went out
        self.closing = False  # a close frame of ours went out
        self.closed_from_outside = False
        self.gone = False  # the application was told, or the server said so
        self._receive: Receive
        self._send: Send
        self._denial_supported = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run `app` for this connection until it has ended. Raises nothing but what ends the loop."""
        self._receive, self._send = receive, send
        extensions = dict(scope.get("extensions") or {})
        self._denial_supported = "websocket.http.response" in extensions
        extensions["wslab"] = LabExtension(self.journal, self.id, self._meant)
        scope["extensions"] = extensions
        try:
            await run_endpoint(app, scope, self.receive, self.send)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # The server's stop cancels what has not ended in time. The task is the server's own and
                # ends here; passing the cancellation on would only make it print a traceback.
                self.gone = True
            else:  # nobody cancelled it: the endpoint let the end of another task through
                await self._failed(error)
        except (WebSocketDisconnect, WebSocketDisconnected, OSError) as error:
            if not self._has_ended():
                await self._failed(error)
        except EndpointInterrupted as error:
            await self._failed(error)
        except Exception as error:  # noqa: BLE001 - whatever an endpoint raises ends its connection only
            await self._failed(error)
        else:
            await self._returned()

    def _has_ended(self) -> bool:
        connection = self.connection
        return self.gone or self.closing or bool(connection and connection.ended_at)

    async def receive(self) -> Message:
        """The application's `receive`; a disconnect carries the code RFC 6455 section 7.1.5 gives it."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.gone = True
            close = self.connection.close if self.connection else None
            if close is not None and not close.by:
                # Servers report 1005 for a connection that was cut, which would mean a close frame.
                return {**message, "code": 1006, "reason": ""}
        return message

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        kind = message["type"]
        if self.closed_from_outside:
            raise ConnectionResetError("The connection was closed from the lab.")
        if kind == "websocket.send":
            pass  # first, since it is by far the most frequent
        elif kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            if self.accepted:
                self.closing = True
                message = {**message, "reason": cut_reason(message.get("reason") or "")}
            else:
                self.answered = True
                reason = message.get("reason") or "The endpoint closed before it accepted."
                self._meant(message.get("code", 1000), reason)
        elif kind == "websocket.http.response.start":
            self.answered = True
        elif kind == "websocket.http.response.body" and not self._refusal_known():
            self._note_refusal(bytes(message.get("body", b""))[:500].decode("utf-8", "replace"))
        try:
            await self._send(message)
        except OSError:
            self.gone = True  # the server's word (ASGI 2.4) that the client left: no fault of the endpoint
            raise

    def _meant(self, code: int, reason: str) -> None:
        # The client gets an HTTP status without the code: only the lab can show what was meant.
        self._note_refusal(f"{reason} (meant as close code {code})")

    def _refusal_known(self) -> bool:
        return bool(self.connection and self.connection.refusal)

    def _note_refusal(self, reason: str, remedy: str = "") -> None:
        if self.connection is not None and not self.connection.refusal:
            self.connection.refusal = reason
            self.connection.remedy = remedy

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close from outside the endpoint.

        Raises:
            WSLabError: the connection is not open.
        """
        if not self.accepted or self._has_ended():
            raise WSLabError(
                f"Expected {self.id or 'the connection'} to be open, but it is not.",
                remedy="Look at its row in lab.connections.",
            )
        self.closing = self.closed_from_outside = True
        await self._send({"type": "websocket.close", "code": code, "reason": cut_reason(reason)})

    async def deny(self, status: int, reason: str, remedy: str = "") -> None:
        """Refuse the handshake with `status` and a text that a client can read."""
        self.answered = True
        self._note_refusal(reason, remedy)
        if not self._denial_supported:
            await self._send({"type": "websocket.close", "code": 1008, "reason": cut_reason(reason)})
            return
        body = f"{reason} {remedy}".strip().encode() + b"\n"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})

    async def refuse(self, scope: Scope, send: Send, status: int, reason: str, remedy: str) -> None:
        """Refuse without running an application."""
        self._send = send
        self._denial_supported = "websocket.http.response" in (scope.get("extensions") or {})
        await self.deny(status, reason, remedy)

    async def _returned(self) -> None:
        if self._has_ended() or self.answered:
            return
        if self.accepted:
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
        if self._has_ended() or self.answered:
            return
        if self.accepted:
            await self._last_close(1011, f"Internal error: {name}")
        else:
            await self._last_denial(f"Internal error: {name}", "The lab's log has the traceback.")

    async def _last_close(self, code: int, reason: str) -> None:
        self.closing = True
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": cut_reason(reason)})
        except OSError:
            self.gone = True  # the client left in the meantime: nobody to tell

    async def _last_denial(self, reason: str, remedy: str) -> None:
        try:
            await self.deny(500, reason, remedy)
        except OSError:
            self.gone = True


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
