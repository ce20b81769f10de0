"""OpenID Connect: the Authorization header, and where documents find the provider."""

from __future__ import annotations

from starlette.requests import HTTPConnection  # noqa: TC002 - read when a dependency is declared

from wslab.asgi.security.base import SecurityBase
from wslab.asgi.security.models import OpenIdConnect as OpenIdConnectModel

__all__ = ["OpenIdConnect"]


class OpenIdConnect(SecurityBase):
    """The Authorization header as it is; checking it is the program's.

    Args:
        openIdConnectUrl: the provider's discovery document.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing header is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> provider = OpenIdConnect(openIdConnectUrl="/.well-known/openid-configuration")
        >>> async def feed(ws, authorization: str = Depends(provider)): ...
    """

    def __init__(
        self,
        *,
        openIdConnectUrl: str,  # noqa: N803 - FastAPI's name, and the document's
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        self.model = OpenIdConnectModel(openIdConnectUrl=openIdConnectUrl, description=description)
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The header of `request`, an HTTP request or a WebSocket."""
        return request.headers.get("Authorization") or self._refused()
