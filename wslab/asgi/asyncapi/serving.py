"""Serving the document and its page where no route of the application's own does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from wslab.asgi.applications import App

__all__ = ["serve_document"]

_HEADERS = {
    "cache-control": "no-store",  # the next cell may declare another route
    "x-content-type-options": "nosniff",
}
# The page is one file: nothing may be loaded, and nothing may run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


async def serve_document(app: App, scope: Scope, receive: Receive, send: Send) -> bool:
    """Serve the AsyncAPI document or its page, if that is what `scope` asks for.

    Returns:
        Whether it was asked for.
    """
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    root = scope.get("root_path", "")
    path = scope["path"]
    if root and path.startswith(root):
        path = path[len(root) :]
    if path is None or path not in {app.asyncapi_url, app.asyncapi_docs_url}:
        return False
    request = Request(scope)
    document = app.asyncapi(url=_own_url(request, root))
    response: Response
    if path == app.asyncapi_url:
        response = JSONResponse(document, headers=_HEADERS)
    else:
        from wslab.asgi.asyncapi.page import page

        response = HTMLResponse(page(document), headers={**_HEADERS, "content-security-policy": _POLICY})
    await response(scope, receive, send)
    return True


def _own_url(request: Request, root: str) -> str | None:
    """Where the client reached this application: what it says itself, for itself alone."""
    host = request.headers.get("host")
    scheme = "wss" if request.scope.get("scheme") in {"https", "wss"} else "ws"
    return f"{scheme}://{host}{root}" if host else None
