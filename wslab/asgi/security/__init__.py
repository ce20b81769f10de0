"""Security schemes: dependencies that take credentials from the handshake, as FastAPI's do.

They say where credentials are and refuse with 401 where there are none; whether they are right is for the
dependency to decide that asks for them. All of them serve WebSockets and HTTP requests.
"""

from __future__ import annotations

from typing import NoReturn

from wslab.asgi.dependencies import SecurityScopes
from wslab.asgi.exceptions import NotForWebSocketsError
from wslab.asgi.security.api_key import APIKeyCookie, APIKeyHeader, APIKeyQuery
from wslab.asgi.security.expiry import Expiry, expires
from wslab.asgi.security.http import (
    HTTPAuthorizationCredentials,
    HTTPBase,
    HTTPBasic,
    HTTPBasicCredentials,
    HTTPBearer,
    HTTPDigest,
)
from wslab.asgi.security.oauth2 import OAuth2, OAuth2AuthorizationCodeBearer, OAuth2PasswordBearer
from wslab.asgi.security.open_id_connect_url import OpenIdConnect
from wslab.asgi.security.websocket_bearer import WebSocketBearer

__all__ = [
    "APIKeyCookie",
    "APIKeyHeader",
    "APIKeyQuery",
    "Expiry",
    "HTTPAuthorizationCredentials",
    "HTTPBase",
    "HTTPBasic",
    "HTTPBasicCredentials",
    "HTTPBearer",
    "HTTPDigest",
    "OAuth2",
    "OAuth2AuthorizationCodeBearer",
    "OAuth2PasswordBearer",
    "OpenIdConnect",
    "SecurityScopes",
    "WebSocketBearer",
    "expires",
]

_FORMS = {"OAuth2PasswordRequestForm", "OAuth2PasswordRequestFormStrict"}


def __getattr__(name: str) -> NoReturn:
    if name in _FORMS:
        raise NotForWebSocketsError(
            f"{name} reads the body of an HTTP request, which a WebSocket does not have.",
            remedy="Issue tokens with FastAPI, or read the form in @app.post with `await request.form()`.",
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
