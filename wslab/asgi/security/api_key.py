"""Keys in one query parameter, header or cookie."""

from __future__ import annotations

from starlette.requests import HTTPConnection  # noqa: TC002 - read when a dependency is declared

from wslab.asgi.security.base import SecurityBase
from wslab.asgi.security.models import APIKey, APIKeyIn

__all__ = ["APIKeyBase", "APIKeyCookie", "APIKeyHeader", "APIKeyQuery"]


class APIKeyBase(SecurityBase):
    """What the three places have in common.

    Args:
        location: where the key is looked for.
        name: of the parameter, header or cookie.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing key is refused with 401; otherwise the value is None.
    """

    model: APIKey

    def __init__(
        self,
        location: APIKeyIn,
        name: str,
        description: str | None,
        scheme_name: str | None,
        auto_error: bool,
    ) -> None:
        self.auto_error = auto_error
        self.model = APIKey.model_validate({"in": location, "name": name, "description": description})
        self.scheme_name = scheme_name or type(self).__name__

    def make_authenticate_headers(self) -> dict[str, str]:
        """The challenge of the answer 401; no standard names a scheme for keys."""
        return {"WWW-Authenticate": "APIKey"}

    def check_api_key(self, api_key: str | None) -> str | None:
        """`api_key`, unless it is missing or empty."""
        return api_key or self._refused()


class APIKeyQuery(APIKeyBase):
    """A key in the query, which a page in a browser can send when it opens a WebSocket.

    Addresses end up in logs and histories: prefer keys that live shortly.

    Args:
        name: of the parameter.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing key is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, key: str = Depends(APIKeyQuery(name="api_key"))): ...
    """

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(APIKeyIn.query, name, description, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The key of `request`, an HTTP request or a WebSocket."""
        return self.check_api_key(request.query_params.get(self.model.name))


class APIKeyHeader(APIKeyBase):
    """A key in a header; a page in a browser cannot set one when it opens a WebSocket.

    Args:
        name: of the header.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing key is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, key: str = Depends(APIKeyHeader(name="x-api-key"))): ...
    """

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(APIKeyIn.header, name, description, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The key of `request`, an HTTP request or a WebSocket."""
        return self.check_api_key(request.headers.get(self.model.name))


class APIKeyCookie(APIKeyBase):
    """A key in a cookie.

    A browser sends cookies whichever page opens the WebSocket: check the Origin as well, as wslab's own
    server does.

    Args:
        name: of the cookie.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing key is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, key: str = Depends(APIKeyCookie(name="session"))): ...
    """

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(APIKeyIn.cookie, name, description, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The key of `request`, an HTTP request or a WebSocket."""
        return self.check_api_key(request.cookies.get(self.model.name))
