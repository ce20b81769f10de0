"""The schemes of the Authorization header (RFC 9110 section 11.6.2)."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection  # noqa: TC002 - read when a dependency is declared

from wslab.asgi.security.base import SecurityBase
from wslab.asgi.security.models import HTTPBase as HTTPBaseModel
from wslab.asgi.security.models import HTTPBearer as HTTPBearerModel
from wslab.asgi.security.utils import get_authorization_scheme_param

__all__ = [
    "HTTPAuthorizationCredentials",
    "HTTPBase",
    "HTTPBasic",
    "HTTPBasicCredentials",
    "HTTPBearer",
    "HTTPDigest",
]


class HTTPBasicCredentials(BaseModel):
    """A name and a password (RFC 7617). The repr keeps the password out of logs.

    Example:
        >>> HTTPBasicCredentials(username="ada", password="secret")
        HTTPBasicCredentials(username='ada')
    """

    username: str
    password: str = Field(repr=False)


class HTTPAuthorizationCredentials(BaseModel):
    """A scheme as it was spelled, and what followed it. The repr keeps the latter out of logs.

    Example:
        >>> HTTPAuthorizationCredentials(scheme="Bearer", credentials="secret")
        HTTPAuthorizationCredentials(scheme='Bearer')
    """

    scheme: str
    credentials: str = Field(repr=False)


class HTTPBase(SecurityBase):
    """Any scheme: its credentials as they come.

    Args:
        scheme: the scheme's name, for documents and the challenge.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether missing credentials are refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> negotiate = HTTPBase(scheme="negotiate")
        >>> async def feed(ws, credentials: HTTPAuthorizationCredentials = Depends(negotiate)): ...
    """

    model: HTTPBaseModel

    def __init__(
        self,
        *,
        scheme: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        self.model = HTTPBaseModel(scheme=scheme, description=description)
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    def make_authenticate_headers(self) -> dict[str, str]:
        """The challenge of the answer 401."""
        return {"WWW-Authenticate": self.model.scheme.title()}

    # Any: HTTPBasic returns another class.
    async def __call__(self, request: HTTPConnection) -> Any:
        """The credentials of `request`, an HTTP request or a WebSocket."""
        return self._credentials(request) or self._refused()

    def _credentials(
        self, request: HTTPConnection, wanted: str | None = None
    ) -> HTTPAuthorizationCredentials | None:
        scheme, credentials = get_authorization_scheme_param(request.headers.get("Authorization"))
        if not (scheme and credentials) or (wanted is not None and scheme.lower() != wanted):
            return None
        return HTTPAuthorizationCredentials(scheme=scheme, credentials=credentials)


class HTTPBasic(HTTPBase):
    """A name and a password (RFC 7617); a browser sends what it already knows, if anything.

    Args:
        scheme_name: the name in documents; the class's name unless given.
        realm: what the challenge names.
        description: a text for documents.
        auto_error: whether a missing header is refused with 401; otherwise the value is None. A header
            that cannot be read is refused in any case.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, user: HTTPBasicCredentials = Depends(HTTPBasic(realm="rooms"))): ...
    """

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        realm: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="basic", scheme_name=scheme_name, description=description, auto_error=auto_error
        )
        self.realm = realm

    def make_authenticate_headers(self) -> dict[str, str]:
        """The challenge of the answer 401, with the realm."""
        return {"WWW-Authenticate": f'Basic realm="{self.realm}"' if self.realm else "Basic"}

    async def __call__(self, request: HTTPConnection) -> HTTPBasicCredentials | None:
        """The credentials of `request`, an HTTP request or a WebSocket."""
        scheme, encoded = get_authorization_scheme_param(request.headers.get("Authorization"))
        if scheme.lower() != "basic":
            self._refused()
            return None
        try:
            username, colon, password = b64decode(encoded).decode("ascii").partition(":")
        except ValueError as error:  # no Base64, or no ASCII in it
            raise self.make_not_authenticated_error() from error
        if not colon:
            raise self.make_not_authenticated_error()
        return HTTPBasicCredentials(username=username, password=password)


class HTTPBearer(HTTPBase):
    """A bearer token in the header (RFC 6750 section 2.1).

    A page in a browser cannot set the header when it opens a WebSocket: `WebSocketBearer` also takes what
    a page can send.

    Args:
        bearerFormat: what the tokens are, for documents.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing token is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, credentials: HTTPAuthorizationCredentials = Depends(HTTPBearer())): ...
    """

    def __init__(
        self,
        *,
        bearerFormat: str | None = None,  # noqa: N803 - FastAPI's name, and the document's
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="bearer", scheme_name=scheme_name, description=description, auto_error=auto_error
        )
        self.model = HTTPBearerModel(bearerFormat=bearerFormat, description=description)

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        """The token of `request`, an HTTP request or a WebSocket."""
        return self._credentials(request, "bearer") or self._refused()


class HTTPDigest(HTTPBase):
    """The parameters of a digest (RFC 7616), unread: checking them is the program's.

    Args:
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing header is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, credentials: HTTPAuthorizationCredentials = Depends(HTTPDigest())): ...
    """

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="digest", scheme_name=scheme_name, description=description, auto_error=auto_error
        )

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        """The parameters of `request`, an HTTP request or a WebSocket."""
        return self._credentials(request, "digest") or self._refused()
