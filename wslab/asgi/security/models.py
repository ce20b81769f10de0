"""Security schemes as OpenAPI 3.1 and AsyncAPI 3.0 describe them ("Security Scheme Object").

`scheme.model.model_dump(by_alias=True, exclude_none=True, mode="json")` is the object of the document.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "APIKey",
    "APIKeyIn",
    "HTTPBase",
    "HTTPBearer",
    "OAuth2",
    "OAuthFlow",
    "OAuthFlowAuthorizationCode",
    "OAuthFlowClientCredentials",
    "OAuthFlowImplicit",
    "OAuthFlowPassword",
    "OAuthFlows",
    "OpenIdConnect",
    "SecurityBase",
    "SecuritySchemeType",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow")  # specification extensions: x-…


class SecuritySchemeType(Enum):
    """The kinds of schemes."""

    apiKey = "apiKey"  # noqa: N815 - the document's names, as the following
    http = "http"
    oauth2 = "oauth2"
    openIdConnect = "openIdConnect"  # noqa: N815


class SecurityBase(_Model):
    """What every scheme has: its kind, and a text for people."""

    type_: SecuritySchemeType = Field(alias="type")
    description: str | None = None


class APIKeyIn(Enum):
    """Where a key is looked for."""

    query = "query"
    header = "header"
    cookie = "cookie"


class APIKey(SecurityBase):
    """A key in one parameter, header or cookie."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.apiKey, alias="type")
    in_: APIKeyIn = Field(alias="in")
    name: str


class HTTPBase(SecurityBase):
    """The Authorization header (RFC 9110 section 11)."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.http, alias="type")
    scheme: str


class HTTPBearer(HTTPBase):
    """The Authorization header with a bearer token (RFC 6750 section 2.1)."""

    scheme: Literal["bearer"] = "bearer"
    bearerFormat: str | None = None  # noqa: N815 - the document's name, as the following


class OAuthFlow(_Model):
    """What the flows of OAuth 2.0 have in common."""

    refreshUrl: str | None = None  # noqa: N815
    scopes: dict[str, str] = {}


class OAuthFlowImplicit(OAuthFlow):
    """RFC 6749 section 4.2."""

    authorizationUrl: str  # noqa: N815


class OAuthFlowPassword(OAuthFlow):
    """RFC 6749 section 4.3."""

    tokenUrl: str  # noqa: N815


class OAuthFlowClientCredentials(OAuthFlow):
    """RFC 6749 section 4.4."""

    tokenUrl: str  # noqa: N815


class OAuthFlowAuthorizationCode(OAuthFlow):
    """RFC 6749 section 4.1."""

    authorizationUrl: str  # noqa: N815
    tokenUrl: str  # noqa: N815


class OAuthFlows(_Model):
    """The flows that a server offers."""

    implicit: OAuthFlowImplicit | None = None
    password: OAuthFlowPassword | None = None
    clientCredentials: OAuthFlowClientCredentials | None = None  # noqa: N815
    authorizationCode: OAuthFlowAuthorizationCode | None = None  # noqa: N815


class OAuth2(SecurityBase):
    """OAuth 2.0 (RFC 6749)."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.oauth2, alias="type")
    flows: OAuthFlows


class OpenIdConnect(SecurityBase):
    """OpenID Connect Discovery 1.0."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.openIdConnect, alias="type")
    openIdConnectUrl: str  # noqa: N815
