"""OAuth 2.0 (RFC 6749): bearer tokens, and where documents say they are to be had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection  # noqa: TC002 - read when a dependency is declared

from wslab.asgi.dependencies import SecurityScopes
from wslab.asgi.security.base import SecurityBase
from wslab.asgi.security.models import OAuth2 as OAuth2Model
from wslab.asgi.security.models import OAuthFlows
from wslab.asgi.security.utils import get_authorization_scheme_param

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OAuth2", "OAuth2AuthorizationCodeBearer", "OAuth2PasswordBearer", "SecurityScopes"]


class OAuth2(SecurityBase):
    """The Authorization header as it is, whatever it holds.

    Args:
        flows: where tokens are to be had, for documents.
        scheme_name: the name in documents; the class's name unless given.
        description: a text for documents.
        auto_error: whether a missing header is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> machines = OAuth2(flows={"clientCredentials": {"tokenUrl": "token"}})
        >>> async def feed(ws, authorization: str = Depends(machines)): ...
    """

    model: OAuth2Model

    def __init__(
        self,
        *,
        flows: OAuthFlows | Mapping[str, Mapping[str, Any]] | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        self.model = OAuth2Model.model_validate({"flows": flows or {}, "description": description})
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The header of `request`, an HTTP request or a WebSocket."""
        return request.headers.get("Authorization") or self._refused()

    def _token(self, request: HTTPConnection) -> str | None:
        # An empty token after the scheme is one: whoever checks tokens refuses it, here as in FastAPI.
        scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
        return token if scheme.lower() == "bearer" else self._refused()


class OAuth2PasswordBearer(OAuth2):
    """A bearer token that was got for a name and a password (RFC 6749 section 4.3).

    Args:
        tokenUrl: where tokens are to be had.
        scheme_name: the name in documents; the class's name unless given.
        scopes: the scopes that there are, with a text for each.
        description: a text for documents.
        auto_error: whether a missing token is refused with 401; otherwise the value is None.
        refreshUrl: where tokens are renewed.

    Example:
        >>> from wslab.asgi import Depends
        >>> async def feed(ws, token: str = Depends(OAuth2PasswordBearer(tokenUrl="token"))): ...
    """

    def __init__(  # noqa: PLR0917 - positional in FastAPI
        self,
        tokenUrl: str,  # noqa: N803 - FastAPI's names, and the document's
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
        refreshUrl: str | None = None,  # noqa: N803
    ) -> None:
        password = {"tokenUrl": tokenUrl, "refreshUrl": refreshUrl, "scopes": scopes or {}}
        super().__init__(
            flows={"password": password},
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The token of `request`, an HTTP request or a WebSocket."""
        return self._token(request)


class OAuth2AuthorizationCodeBearer(OAuth2):
    """A bearer token that was got by a redirection to a login (RFC 6749 section 4.1).

    Args:
        authorizationUrl: where the login is.
        tokenUrl: where the code is changed for a token.
        refreshUrl: where tokens are renewed.
        scheme_name: the name in documents; the class's name unless given.
        scopes: the scopes that there are, with a text for each.
        description: a text for documents.
        auto_error: whether a missing token is refused with 401; otherwise the value is None.

    Example:
        >>> from wslab.asgi import Depends
        >>> login = OAuth2AuthorizationCodeBearer(authorizationUrl="login", tokenUrl="token")
        >>> async def feed(ws, token: str = Depends(login)): ...
    """

    def __init__(  # noqa: PLR0917 - positional in FastAPI
        self,
        authorizationUrl: str,  # noqa: N803 - FastAPI's names, and the document's
        tokenUrl: str,  # noqa: N803
        refreshUrl: str | None = None,  # noqa: N803
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        code = {
            "authorizationUrl": authorizationUrl,
            "tokenUrl": tokenUrl,
            "refreshUrl": refreshUrl,
            "scopes": scopes or {},
        }
        super().__init__(
            flows={"authorizationCode": code},
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The token of `request`, an HTTP request or a WebSocket."""
        return self._token(request)
