"""A bearer token from wherever a WebSocket's client can put one."""

from __future__ import annotations

import itertools

from starlette.requests import HTTPConnection  # noqa: TC002 - read when a dependency is declared

from wslab.asgi.security.base import SecurityBase
from wslab.asgi.security.models import HTTPBearer as HTTPBearerModel
from wslab.asgi.security.utils import get_authorization_scheme_param
from wslab.errors import EndpointError
from wslab.wire.handshake import redact_target

__all__ = ["WebSocketBearer"]

_SUBPROTOCOL = "bearer"


class WebSocketBearer(SecurityBase):
    """A bearer token; a page in a browser can send it, too.

    Looked for in this order; the first one found counts:

    1. the subprotocol that follows ``bearer``: ``new WebSocket(url, ["bearer", token])``. `accept` then
       answers ``bearer``, unless the endpoint chooses another one: a browser fails a connection of
       which no offered subprotocol was chosen;
    2. the header ``Authorization: Bearer …`` (RFC 6750 section 2.1), for clients other than pages;
    3. a cookie, which a browser sends whichever page opens the connection: check the Origin as well, as
       wslab's own server does;
    4. a query parameter (RFC 6750 section 2.3), which ends up in other servers' logs.

    wslab's recordings and logs hold none of the four: the handshake is stored without its secrets.

    Args:
        cookie: the cookie's name; None does not look there.
        query: the parameter's name; None does not look there.
        bearerFormat: what the tokens are, such as "JWT", for documents.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing token is refused with 401 before the connection is accepted;
            otherwise the value is None.

    Raises:
        EndpointError: `query` is a name whose value recordings would show.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, token: str = Depends(WebSocketBearer())): ...
    """

    model: HTTPBearerModel

    def __init__(
        self,
        *,
        cookie: str | None = "access_token",
        query: str | None = "access_token",
        bearerFormat: str | None = None,  # noqa: N803 - the document's name, and HTTPBearer's
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        if query is not None and b"=s3cret" in redact_target(f"/?{query}=s3cret".encode()):
            raise EndpointError(
                f"Expected the name of a query parameter that recordings leave out, got {query!r}.",
                remedy='Use a name that ends in "token", "jwt" or "secret", such as "access_token".',
            )
        self.cookie = cookie
        self.query = query
        self.model = HTTPBearerModel(bearerFormat=bearerFormat, description=description)
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The token of `request`, an HTTP request or a WebSocket."""
        return (
            _from_subprotocols(request)
            or _from_header(request)
            or (request.cookies.get(self.cookie) if self.cookie else None)
            or (request.query_params.get(self.query) if self.query else None)
            or self._refused()
        )


def _from_subprotocols(request: HTTPConnection) -> str:
    offers = list(request.scope.get("subprotocols") or ())
    for offer, token in itertools.pairwise(offers):
        if offer.lower() == _SUBPROTOCOL and token:
            request.scope["wslab.subprotocol"] = offer  # what accept() answers
            return str(token)
    return ""


def _from_header(request: HTTPConnection) -> str:
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    return token if scheme.lower() == _SUBPROTOCOL else ""
