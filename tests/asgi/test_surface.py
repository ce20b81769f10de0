"""Importable from the same places: every public name of FastAPI's that has to do with WebSockets."""

import importlib
import inspect
import types
from typing import ParamSpec, TypeVar

import pytest
import starlette.status

import wslab.asgi
from wslab.asgi.exceptions import NotForWebSocketsError, WSLabError

MODULES = [
    "",
    "background",
    "concurrency",
    "datastructures",
    "encoders",
    "exceptions",
    "middleware",
    "middleware.cors",
    "middleware.gzip",
    "middleware.httpsredirect",
    "middleware.trustedhost",
    "params",
    "requests",
    "responses",
    "routing",
    "security",
    "security.api_key",
    "security.base",
    "security.http",
    "security.oauth2",
    "security.open_id_connect_url",
    "security.utils",
    "staticfiles",
    "testclient",
    "websockets",
]

# What is left out, with the reason.
BODIES = {"Body", "File", "Form", "UploadFile", "FormData"}  # a WebSocket has no body
FORMS = {"OAuth2PasswordRequestForm", "OAuth2PasswordRequestFormStrict"}  # likewise
RENAMED = {"FastAPI": "App", "FastAPIError": "WSLabError"}
HTTP_ONLY = {
    "ResponseValidationError",  # of response models
    "RequestErrorModel",  # of OpenAPI documents, as the following
    "WebSocketErrorModel",
    "Default",
    "DefaultPlaceholder",
    "EventSourceResponse",  # server-sent events
    "ORJSONResponse",  # deprecated
    "UJSONResponse",
    "FastAPIDeprecationWarning",  # of FastAPI's own past
    "PydanticV1NotSupportedError",
    "contextmanager_in_threadpool",  # how FastAPI runs generators: `wslab.asgi.dependencies` does
    "EndpointContext",  # the type of a mapping; ours takes any
    "ParamTypes",  # of OpenAPI documents
    "PyExtraColor",  # the encoder's own names, as the following
    "encoders_by_class_tuples",
    "generate_encoders_by_class_tuples",
    "RouteContext",  # FastAPI's own walk through its routes, as the following
    "iter_route_contexts",
    "get_request_handler",
    "run_endpoint_function",
    "serialize_response",
    "get_websocket_app",
    "request_response",
    "websocket_session",
}


def public_names(module):
    """What `module` defines, and what it re-exports on purpose (``import X as X``)."""
    tree = inspect.getsource(module)
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, (types.ModuleType, TypeVar, ParamSpec)):
            continue
        home = getattr(value, "__module__", None)
        if home == module.__name__ or f"{name} as {name}" in tree:
            yield name


def twins():
    for suffix in MODULES:
        theirs = importlib.import_module(f"fastapi.{suffix}".rstrip("."))
        for name in sorted(public_names(theirs)):
            if name not in BODIES | FORMS | HTTP_ONLY:
                yield suffix, name


@pytest.mark.parametrize(("module", "name"), list(twins()))
def test_a_name_of_fastapis_is_in_the_same_place(module, name):
    ours = importlib.import_module(f"wslab.asgi.{module}".rstrip("."))
    assert hasattr(ours, RENAMED.get(name, name))


def test_the_walk_finds_what_it_is_for():
    found = set(twins())
    assert len(found) > 90
    assert found >= {
        ("", "WebSocket"),
        ("", "APIRouter"),
        ("", "Security"),
        ("websockets", "WebSocketState"),
        ("exceptions", "WebSocketRequestValidationError"),
        ("security", "HTTPBearer"),
        ("security.http", "HTTPBase"),
        ("testclient", "TestClient"),
        ("encoders", "jsonable_encoder"),
    }


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("websockets", "WebSocketClose"),
        ("endpoints", "WebSocketEndpoint"),
        ("exceptions", "WSLabError DependencyScopeError"),
        ("testclient", "WebSocketDenialResponse WebSocketTestSession AsyncTestClient"),
        ("security", "WebSocketBearer expires SecurityScopes HTTPBase"),
        ("routing", "WebSocketRoute Mount Route Router"),
        ("background", "BackgroundTask BackgroundTasks"),
    ],
)
def test_what_starlette_and_this_framework_add_is_there(module, names):
    ours = importlib.import_module(f"wslab.asgi.{module}")
    for name in names.split():
        assert hasattr(ours, name)
        assert name in ours.__all__


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("middleware", "Middleware"),
        ("middleware.cors", "CORSMiddleware"),
        ("middleware.gzip", "GZipMiddleware"),
        ("middleware.httpsredirect", "HTTPSRedirectMiddleware"),
        ("middleware.trustedhost", "TrustedHostMiddleware"),
        ("responses", "JSONResponse"),
        ("responses", "StreamingResponse"),
        ("requests", "Request"),
        ("datastructures", "Headers"),
        ("staticfiles", "StaticFiles"),
        ("concurrency", "run_in_threadpool"),
        ("websockets", "WebSocketState"),
        ("websockets", "WebSocketDisconnect"),
        ("exceptions", "HTTPException"),
        ("exceptions", "WebSocketException"),
        ("background", "BackgroundTasks"),
    ],
)
def test_what_is_starlettes_is_not_rewritten(module, name):
    ours = importlib.import_module(f"wslab.asgi.{module}")
    theirs = importlib.import_module(f"starlette.{module}")
    assert getattr(ours, name) is getattr(theirs, name)


def test_every_status_has_its_name():
    from wslab.asgi import status

    for name in starlette.status.__all__:
        assert getattr(status, name) == getattr(starlette.status, name)
    with pytest.warns(Warning, match="HTTP_422"):
        assert status.HTTP_422_UNPROCESSABLE_ENTITY == 422
    with pytest.raises(AttributeError, match="HTTP_999"):
        _ = status.HTTP_999


@pytest.mark.parametrize("name", sorted(BODIES - {"FormData"}))
def test_bodies_are_fastapis_business_and_say_so(name):
    with pytest.raises(ImportError, match=f"^{name} declares the body of an HTTP request") as caught:
        getattr(wslab.asgi, name)
    assert isinstance(caught.value, NotForWebSocketsError)
    assert isinstance(caught.value, WSLabError)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = wslab.asgi.Nonsense
