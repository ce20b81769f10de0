"""The probe: a path by which a page finds out that it reaches this very lab, before it shows its token.

A page that is told "the lab is at 127.0.0.1:8000" may be on another machine, where something else listens
there; or a proxy stands between that passes nothing on. So it first asks, with an ordinary GET, for a
path that only this lab knows, and sends the token (and opens a WebSocket) only if the answer is what
only this lab would say. Both are made from the lab's token by a one-way function and tell nothing of it.
Anybody else's request for that path goes to the application, as any other does: a page that does not
know the path cannot tell a lab from another server.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Scope, Send

__all__ = ["Probe"]


class Probe:
    """What is asked for and what is answered.

    Args:
        token: the lab's.

    Attributes:
        path: the path to GET.
        answer: the body of the answer.

    Example:
        >>> probe = Probe("secret")
        >>> probe.path.startswith("/.wslab/"), probe.asked_by({"method": "GET", "path": probe.path})
        (True, True)
    """

    def __init__(self, token: str) -> None:
        self.path = f"/.wslab/{_derive(token, 'path')}"
        self.answer = _derive(token, "answer")

    def asked_by(self, scope: Scope) -> bool:
        """Whether this HTTP request asks for it."""
        path = str(scope["path"]).encode("utf-8", "replace")
        return scope["method"] == "GET" and hmac.compare_digest(path, self.path.encode())

    async def respond(self, send: Send) -> None:
        """Answer it."""
        headers: list[Any] = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(self.answer)),
            (b"cache-control", b"no-store"),
            # A page of another origin, Jupyter's, may read it: it knew the path.
            (b"access-control-allow-origin", b"*"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer.encode()})


def _derive(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), f"wslab probe {purpose}".encode(), hashlib.sha256).hexdigest()[:32]
