"""The security schemes: on a WebSocket and on a request, what FastAPI's give and refuse."""

import base64

import fastapi
import fastapi.openapi.models
import fastapi.security
import fastapi.security.http
import fastapi.security.utils
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wslab.asgi
import wslab.asgi.security
import wslab.asgi.security.models
from wslab.asgi import App, Depends, Request, Security, WebSocket
from wslab.asgi.exceptions import NotForWebSocketsError
from wslab.asgi.security import SecurityScopes, WebSocketBearer
from wslab.asgi.security.utils import get_authorization_scheme_param
from wslab.asgi.testclient import TestClient, WebSocketDenialResponse
from wslab.errors import EndpointError
from wslab.wire.handshake import redact_head, redact_target

SCHEMES = {
    "query": ("APIKeyQuery", {"name": "key"}),
    "header": ("APIKeyHeader", {"name": "X-Key"}),
    "cookie": ("APIKeyCookie", {"name": "key"}),
    "base": ("HTTPBase", {"scheme": "custom thing"}),
    "basic": ("HTTPBasic", {}),
    "realm": ("HTTPBasic", {"realm": "here", "description": "d", "scheme_name": "s"}),
    "bearer": ("HTTPBearer", {"bearerFormat": "JWT"}),
    "digest": ("HTTPDigest", {"scheme_name": "s"}),
    "oauth2": ("OAuth2", {"flows": {"implicit": {"authorizationUrl": "/a", "scopes": {"x": "y"}}}}),
    "oauth2 bare": ("OAuth2", {}),
    "password": ("OAuth2PasswordBearer", {"tokenUrl": "/t", "scopes": {"a": "b"}, "refreshUrl": "/r"}),
    "code": ("OAuth2AuthorizationCodeBearer", {"authorizationUrl": "/a", "tokenUrl": "/t"}),
    "oidc": ("OpenIdConnect", {"openIdConnectUrl": "/.well-known/openid-configuration"}),
}


def basic(text):
    return {"authorization": f"Basic {base64.b64encode(text).decode()}"}


HANDSHAKES = {
    "nothing": {},
    "query": {"params": {"key": "k"}},
    "empty query": {"params": {"key": ""}},
    "header": {"headers": {"x-key": "k"}},
    "cookie": {"headers": {"cookie": "key=k; other=o"}},
    "empty authorization": {"headers": {"authorization": ""}},
    "scheme alone": {"headers": {"authorization": "Bearer"}},
    "scheme and blanks": {"headers": {"authorization": "Bearer   "}},
    "bearer": {"headers": {"authorization": "Bearer abc"}},
    "bearer, other case": {"headers": {"authorization": "bEARER  a b "}},
    "digest": {"headers": {"authorization": 'Digest username="ada", uri="/"'}},
    "basic": {"headers": basic(b"ada:secret")},
    "basic with colons": {"headers": basic(b"ada:se:cret")},
    "basic without colon": {"headers": basic(b"ada")},
    "basic, not ascii": {"headers": basic("adä:x".encode())},
    "basic, no base64": {"headers": {"authorization": "Basic !!!!x"}},
    "basic, odd base64": {"headers": {"authorization": "Basic abc"}},
    "basic, empty": {"headers": {"authorization": "Basic "}},
}


def scheme_of(lib, name, options):
    # FastAPI keeps the class that the others derive from in a module of its own.
    return getattr(lib.security.http if name == "HTTPBase" else lib.security, name)(**options)


def served(lib, app, name, options):
    scheme = scheme_of(lib, name, options)

    @app.websocket("/")
    async def socket(ws: lib.WebSocket, credentials=lib.Security(scheme)):
        await ws.accept()
        await ws.send_json(credentials.model_dump() if hasattr(credentials, "model_dump") else credentials)

    @app.get("/")
    async def page(credentials=lib.Depends(scheme)):
        return credentials.model_dump() if hasattr(credentials, "model_dump") else credentials

    return TestClient(app)


def outcome(client, handshake):
    response = client.get("/", **handshake)
    page = response.json() if response.status_code == 200 else None
    challenge = response.headers.get("www-authenticate")
    try:
        with client.websocket_connect("/", **handshake) as session:
            return session.receive_json(timeout=60), page, response.status_code, challenge
    except WebSocketDenialResponse as denial:
        refusal = denial.status_code, denial.headers["www-authenticate"]
        return refusal, page, response.status_code, challenge


@pytest.mark.parametrize("auto_error", [True, False], ids=["refusing", "lenient"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_credentials_are_taken_and_refused_as_fastapi_does(scheme, auto_error):
    name, options = SCHEMES[scheme]
    options = {**options, "auto_error": auto_error}
    theirs = served(fastapi, fastapi.FastAPI(), name, options)
    ours = served(wslab.asgi, App(), name, options)
    for handshake in HANDSHAKES.values():
        assert outcome(ours, handshake) == outcome(theirs, handshake), handshake


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_describe_themselves_as_fastapis_do(scheme):
    name, options = SCHEMES[scheme]
    theirs = scheme_of(fastapi, name, options)
    ours = scheme_of(wslab.asgi, name, options)
    how = {"by_alias": True, "exclude_none": True, "mode": "json"}
    assert ours.model.model_dump(**how) == theirs.model.model_dump(**how)
    assert ours.scheme_name == theirs.scheme_name
    assert repr(ours) == f"<{name} {ours.scheme_name!r}>"


@pytest.mark.parametrize("kind", ["implicit", "password", "clientCredentials", "authorizationCode"])
def test_flows_can_be_given_as_models(kind):
    urls = {"authorizationUrl": "/a", "tokenUrl": "/t", "refreshUrl": "/r", "scopes": {"a": "b"}}
    dumps = []
    for models, security in (
        (fastapi.openapi.models, fastapi.security),
        (wslab.asgi.security.models, wslab.asgi.security),
    ):
        flow = getattr(models, f"OAuthFlow{kind[0].upper()}{kind[1:]}")(**urls)
        scheme = security.OAuth2(flows=models.OAuthFlows(**{kind: flow}))
        dumps.append(scheme.model.model_dump(by_alias=True, exclude_none=True, mode="json"))
    assert dumps[0] == dumps[1]


@given(st.none() | st.text())
def test_any_authorization_header_is_split_alike(value):
    assert get_authorization_scheme_param(value) == fastapi.security.utils.get_authorization_scheme_param(
        value
    )


def test_credentials_keep_their_secrets_out_of_reprs():
    shown = repr(
        [
            wslab.asgi.security.HTTPBasicCredentials(username="ada", password="s3cret"),
            wslab.asgi.security.HTTPAuthorizationCredentials(scheme="Bearer", credentials="s3cret"),
        ]
    )
    assert "ada" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("name", ["OAuth2PasswordRequestForm", "OAuth2PasswordRequestFormStrict"])
def test_forms_are_fastapis_business_and_say_so(name):
    with pytest.raises(ImportError, match="reads the body of an HTTP request") as caught:
        getattr(wslab.asgi.security, name)
    assert isinstance(caught.value, NotForWebSocketsError)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = wslab.asgi.security.Nonsense


def test_scopes_reach_the_scheme_that_asks():
    app = App()

    async def user(scopes: SecurityScopes, token: str = Depends(WebSocketBearer())):
        return [token, scopes.scopes, scopes.scope_str]

    @app.websocket("/")
    async def endpoint(ws: WebSocket, user: list = Security(user, scopes=["read", "write"])):
        await ws.accept()
        await ws.send_json(user)

    with TestClient(app).websocket_connect("/?access_token=t") as session:
        assert session.receive_json(timeout=60) == ["t", ["read", "write"], "read write"]


# --- WebSocketBearer


def bearer_app(scheme, accept=None):
    app = App()

    @app.websocket("/")
    async def endpoint(ws: WebSocket, token: str | None = Depends(scheme)):
        await ws.accept(accept)
        await ws.send_json(token)

    @app.get("/")
    async def page(request: Request, token: str | None = Depends(scheme)):
        return token

    return TestClient(app)


PLACES = {
    "subprotocol": {"subprotocols": ["chat", "Bearer", "tok.sub"]},
    "header": {"headers": {"authorization": "bearer tok.head"}},
    "cookie": {"headers": {"cookie": "access_token=tok.cookie"}},
    "query": {"params": {"access_token": "tok.query"}},
}


def joined(names):
    whole = {"headers": {}}
    for name in names:
        for key, value in PLACES[name].items():
            if key == "headers":
                whole["headers"] |= value
            else:
                whole[key] = value
    return whole


@pytest.mark.parametrize("first", range(4))
def test_the_first_place_counts(first):
    names = list(PLACES)[first:]
    with bearer_app(WebSocketBearer()).websocket_connect("/", **joined(names)) as session:
        token = session.receive_json(timeout=60)
        assert token == ["tok.sub", "tok.head", "tok.cookie", "tok.query"][first]
        assert session.accepted_subprotocol == ("Bearer" if first == 0 else None)


def test_an_endpoint_may_choose_another_subprotocol():
    client = bearer_app(WebSocketBearer(), accept="chat")
    with client.websocket_connect("/", ["chat", "bearer", "t"]) as session:
        assert session.accepted_subprotocol == "chat"


@pytest.mark.parametrize(
    "handshake",
    [
        {},
        {"subprotocols": ["bearer"]},
        {"subprotocols": ["bearer", ""]},
        {"subprotocols": ["chat", "token"]},
        {"headers": {"authorization": "Basic abc"}},
        {"headers": {"authorization": "Bearer "}},
        {"headers": {"cookie": "other=a; access_token="}},
        {"params": {"token": "t", "access_token": ""}},
    ],
)
def test_without_a_token_it_is_401_before_accept(handshake):
    with (
        pytest.raises(WebSocketDenialResponse) as denial,
        bearer_app(WebSocketBearer()).websocket_connect("/", **handshake),
    ):
        pytest.fail("accepted")
    assert (denial.value.status_code, denial.value.text) == (401, "Not authenticated")
    assert denial.value.headers["www-authenticate"] == "Bearer"
    with bearer_app(WebSocketBearer(auto_error=False)).websocket_connect("/", **handshake) as session:
        assert session.receive_json(timeout=60) is None


def test_places_can_be_left_out_or_renamed():
    only = bearer_app(WebSocketBearer(cookie=None, query=None, auto_error=False))
    with only.websocket_connect("/", **joined(["cookie", "query"])) as session:
        assert session.receive_json(timeout=60) is None
    named = bearer_app(WebSocketBearer(cookie="c", query="jwt"))
    with named.websocket_connect("/?jwt=q") as session:
        assert session.receive_json(timeout=60) == "q"
    with named.websocket_connect("/?jwt=q", headers={"cookie": "c=k"}) as session:
        assert session.receive_json(timeout=60) == "k"


def test_it_serves_requests_too():
    client = bearer_app(WebSocketBearer())
    assert client.get("/", headers={"authorization": "Bearer a"}).json() == "a"
    assert client.get("/?access_token=q").json() == "q"
    assert client.get("/").status_code == 401


@pytest.mark.parametrize("name", ["ticket", "t", "name"])
def test_a_query_name_that_recordings_would_show_is_refused(name):
    with pytest.raises(EndpointError, match=f"recordings leave out, got '{name}'"):
        WebSocketBearer(query=name)


@pytest.mark.parametrize("name", ["token", "access_token", "jwt", "client_secret", "auth"])
def test_a_query_name_that_is_accepted_is_redacted(name):
    assert WebSocketBearer(query=name).query == name
    assert b"s3cret" not in redact_target(f"/?a=1&{name}=s3cret&b=2".encode())


def test_no_place_of_a_token_survives_in_a_recording():
    head = (
        "GET /?access_token=SECRET HTTP/1.1\r\nAuthorization: Bearer SECRET\r\n"
        "Cookie: access_token=SECRET\r\nSec-WebSocket-Protocol: chat, Bearer, SECRET\r\n\r\n"
    )
    redacted = redact_head(head.encode())
    assert b"SECRET" not in redacted
    assert b"chat, Bearer, [redacted-6-bytes]" in redacted


def test_it_describes_itself():
    scheme = WebSocketBearer(bearerFormat="JWT", description="d", scheme_name="s")
    assert scheme.model.model_dump(by_alias=True, mode="json") == {
        "type": "http",
        "description": "d",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert scheme.scheme_name == "s"
