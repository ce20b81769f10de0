"""What the client is told when a connection is refused, or ends with an exception.

Before `accept`, the answer is an HTTP response where the server speaks the ASGI extension
``websocket.http.response``, so that the client can read why; elsewhere a close, of which the server makes
a bare 403. After `accept` it is a close frame, whose reason has room for 123 bytes (RFC 6455 section 5.5).
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette import status
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException, WebSocketException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from wslab.asgi.exceptions import WebSocketRequestValidationError
from wslab.asgi.signatures import CallKind, kind_of
from wslab.asgi.typed import InvalidMessageError
from wslab.asgi.websocket import WebSocket, WebSocketDisconnect, WebSocketState
from wslab.journal import lab_extension
from wslab.wire.close_codes import cut_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import starlette.websockets

__all__ = ["answer", "end", "refuse"]


_BODILESS = {status.HTTP_204_NO_CONTENT, status.HTTP_304_NOT_MODIFIED}


async def refuse(websocket: WebSocket, response: Response, *, code: int, reason: str) -> None:
    """End the connection: with `response` if that is still possible, else with a close.

    Harmless on a connection that is closed already, from either side.

    Args:
        websocket: the connection, in any state.
        response: sent if nothing has been accepted and the server can send it.
        code: the close code otherwise (RFC 6455 section 7.4).
        reason: the close reason; cut to 123 bytes.
    """
    state = websocket.application_state
    if state is WebSocketState.CONNECTING and _can_deny(websocket):
        await websocket.send_denial_response(response)
    elif state in {WebSocketState.CONNECTING, WebSocketState.CONNECTED}:
        if websocket.client_state is WebSocketState.DISCONNECTED:
            return
        with contextlib.suppress(WebSocketDisconnect):  # the client left meanwhile: nobody to tell
            await websocket.close(code, cut_reason(reason))


def _can_deny(websocket: WebSocket) -> bool:
    return "websocket.http.response" in (websocket.scope.get("extensions") or {})


async def end(websocket: starlette.websockets.WebSocket, code: int, reason: str = "") -> None:
    """Close an open connection that the endpoint left open; harmless on any other."""
    states = (websocket.application_state, websocket.client_state)
    if states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED):
        with contextlib.suppress(WebSocketDisconnect):  # the client was faster: closed is closed
            await websocket.close(code, cut_reason(reason))


async def answer(websocket: WebSocket, error: Exception) -> bool:
    """Tell the client about `error`, by the application's handler or by the rules of this module.

    Handlers are looked up as Starlette does: by the status of an `HTTPException`, then by class. One for
    `Exception` or 500 runs for what nothing else answers, and the error goes on to the server's log.

    Returns:
        Whether the error has been dealt with; otherwise it should be raised again.
    """
    handlers = getattr(websocket.scope.get("app"), "exception_handlers", None) or {}
    handler = _handler_for(handlers, error)
    if handler is not None:
        await _handle(handler, websocket, error)
        return True
    if isinstance(error, WebSocketRequestValidationError):
        text = cut_reason(error.reason)
        denial = PlainTextResponse(text, status.HTTP_403_FORBIDDEN)
        await refuse(websocket, denial, code=status.WS_1008_POLICY_VIOLATION, reason=text)
    elif isinstance(error, HTTPException):
        reason = _as_text(error.detail)
        await refuse(websocket, _response_to(error), code=status.WS_1008_POLICY_VIOLATION, reason=reason)
    elif isinstance(error, (WebSocketException, InvalidMessageError)):
        denial = PlainTextResponse(error.reason, status.HTTP_403_FORBIDDEN)
        if websocket.application_state is WebSocketState.CONNECTING:
            lab = lab_extension(websocket.scope)
            if lab is not None and lab.meant is not None:
                lab.meant(error.code, error.reason)
        await refuse(websocket, denial, code=error.code, reason=error.reason)
    else:
        last_resort = handlers.get(Exception) or handlers.get(500)
        if last_resort is not None and not isinstance(error, WebSocketDisconnect):
            await _handle(last_resort, websocket, error)
        return False
    return True


def _handler_for(handlers: Mapping[Any, Any], error: Exception) -> Any:
    if isinstance(error, HTTPException) and error.status_code in handlers:
        return handlers[error.status_code]
    classes = (kind for kind in type(error).__mro__ if kind is not Exception)
    return next((handlers[kind] for kind in classes if kind in handlers), None)


async def _handle(handler: Any, websocket: WebSocket, error: Exception) -> None:
    if kind_of(handler) is CallKind.COROUTINE:
        response = await handler(websocket, error)
    else:
        response = await run_in_threadpool(handler, websocket, error)
    if response is None:
        return
    # A handler that was written for HTTP returns a response, which an open WebSocket cannot send.
    expected = isinstance(error, (HTTPException, WebSocketRequestValidationError))
    code = status.WS_1008_POLICY_VIOLATION if expected else status.WS_1011_INTERNAL_ERROR
    await refuse(websocket, response, code=code, reason=_reason_of(error))


def _reason_of(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return _as_text(error.detail)
    return error.reason if isinstance(error, WebSocketRequestValidationError) else ""


def _response_to(error: HTTPException) -> Response:
    detail: Any = error.detail
    if error.status_code in _BODILESS:
        return Response(status_code=error.status_code, headers=error.headers)
    if isinstance(detail, str):
        return PlainTextResponse(detail, error.status_code, headers=error.headers)
    return JSONResponse({"detail": detail}, error.status_code, headers=error.headers)


def _as_text(detail: Any) -> str:
    return detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False, default=str)
