"""What `docs/differences.md` says: each difference is seen on both sides, and each test it names exists."""

import ast
import asyncio
import contextlib
import importlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import fastapi
import fastapi.exceptions
import fastapi.security
import fastapi.testclient
import pytest
import starlette.endpoints
from pydantic import AliasChoices, BaseModel, Json
from starlette.testclient import TestClient

import wslab.asgi
import wslab.asgi.endpoints
import wslab.asgi.security
import wslab.asgi.testclient
from wslab.asgi import UnusedPathVariableWarning, WebSocketDisconnect
from wslab.asgi.exceptions import InvalidHeaderError, MessageTypeError
from wslab.errors import EndpointError, WSLabError

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "differences.md"


def both(declare):
    """`declare(app, lib)` for FastAPI and for us."""
    apps = fastapi.FastAPI(), wslab.asgi.App()
    for app, lib in zip(apps, (fastapi, wslab.asgi), strict=True):
        declare(app, lib)
    return apps


# --- the document


def rows():
    """The rows of the document's tables, each as its cells."""
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[-1] != "test"]


def named_tests(text):
    """Pairs of file and test; a name without a file is of the file named last."""
    found, file = [], None
    for path, name in re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", text):
        file = path or file
        found.append((file, name))
    return found


def functions_in(path):
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("row", rows(), ids=lambda row: re.sub(r"\W+", " ", row[0])[:50])
def test_a_difference_has_a_reason_and_a_test_that_exists(row):
    assert len(row) == 5, "what, FastAPI, here, why, test"
    assert all(row)
    named = named_tests(row[-1])
    assert named
    assert [(path, name) for path, name in named if name not in functions_in(path)] == []


def test_the_document_has_every_comparison_of_this_file():
    here = "tests/asgi/test_differences.py"
    comparisons = {name for name in functions_in(here) if name.startswith("test_")}
    comparisons -= {name for name in comparisons if "document" in name or "difference" in name}
    named = {name for row in rows() for path, name in named_tests(row[-1]) if path == here}
    assert named == comparisons


def test_rows_of_outcomes_in_the_document_exist():
    source = (ROOT / "tests/asgi/test_outcomes.py").read_text("utf-8")
    named = re.findall(r"row “([^”]+)”", DOCUMENT.read_text("utf-8"))
    assert named
    assert [row for row in named if f'    "{row}": (' not in source] == []


# --- the handshake and its refusal


def test_a_structured_detail_stays_json_and_is_not_wrapped_twice(attempt):
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket):
            raise lib.HTTPException(422, {"field": "age"})

    theirs, ours = (attempt(app) for app in both(declare))
    assert theirs.text == ours.text == '{"detail":{"field":"age"}}'


def test_without_denial_responses_a_refusal_is_a_close():
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket):
            raise lib.HTTPException(401, "who are you?")

    theirs, ours = (sent_without_denial(app) for app in both(declare))
    assert [message["type"] for message in theirs] == [
        "websocket.http.response.start",  # which such a server does not know
        "websocket.http.response.body",
    ]
    assert ours == [{"type": "websocket.close", "code": 1008, "reason": "who are you?"}]


def sent_without_denial(app):
    sent = []

    async def bare(scope, receive, send):
        async def note(message):
            sent.append(message)

        if scope["type"] == "websocket":
            scope["extensions"].pop("websocket.http.response")
            await app(scope, receive, note)
            await send({"type": "websocket.close"})

    with pytest.raises(WebSocketDisconnect), TestClient(bare).websocket_connect("/"):
        pass
    return sent


def test_an_unknown_path_says_what_paths_there_are(attempt):
    def declare(app, lib):
        @app.websocket("/echo")
        async def echo(ws: lib.WebSocket): ...

    theirs, ours = (attempt(app, "/ecoh") for app in both(declare))
    assert (theirs.status, theirs.code) == (101, 1000)  # a close before accept: a bare 403 on the wire
    assert (ours.status, ours.text) == (404, "No WebSocket endpoint at '/ecoh'. There is: /echo")


def test_the_reason_of_invalid_parameters_is_a_text(attempt):
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, number: int): ...

    theirs, ours = (attempt(app, "/?number=x", denial=False) for app in both(declare))
    assert theirs.code == ours.code == 1008
    assert theirs.reason[0]["loc"] == ["query", "number"]  # a list, which no close frame can carry
    assert ours.reason.startswith("query.number: Input should be a valid integer")


# --- declaring


def test_the_newest_declaration_of_a_path_wins(attempt):
    def declare(app, lib):
        for answer in ("old", "new"):

            @app.websocket("/")
            async def endpoint(ws: lib.WebSocket, answer: str = lib.Query(answer)):
                await ws.accept()
                await ws.send_json(answer)

    theirs, ours = (attempt(app).messages for app in both(declare))
    assert (theirs, ours) == (("old",), ("new",))


def test_a_connection_needs_no_annotation_when_its_name_says_it(attempt):
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws):
            await ws.accept()
            await ws.send_json("hi")

    theirs, ours = (attempt(app) for app in both(declare))
    assert theirs.messages == ()  # `ws` is a query parameter there
    assert ours.messages == ("hi",)


def test_a_list_without_a_marker_is_read_from_the_query(attempt):
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, number: list[int]):
            await ws.accept()
            await ws.send_json(number)

    theirs, ours = (attempt(app, "/?number=1&number=2", denial=False) for app in both(declare))
    assert theirs.code == 1008  # it waits for a body, which a handshake cannot have
    assert ours.messages == ([1, 2],)


class Item(BaseModel):
    name: str


def model_without_a_marker(app, lib):
    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, item: Item): ...


def path_without_a_variable(app, lib):
    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, number: int = lib.Path()): ...


def request_of_a_websocket(app, lib):
    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, request: lib.Request): ...


def plain_function(app, lib):
    @app.websocket("/")
    def endpoint(ws: lib.WebSocket): ...


def generator(app, lib):
    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket):
        yield


def context_manager_as_dependency(app, lib):
    @contextlib.asynccontextmanager
    async def session():
        yield "session"

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, session=lib.Depends(session)):
        await ws.accept()
        assert session == "session"


@pytest.mark.parametrize(
    "declare",
    [
        model_without_a_marker,
        path_without_a_variable,
        request_of_a_websocket,
        plain_function,
        generator,
        context_manager_as_dependency,
    ],
)
def test_what_could_never_work_is_an_error_when_it_is_declared(attempt, declare):
    theirs = fastapi.FastAPI()
    declare(theirs, fastapi)
    if declare in {model_without_a_marker, path_without_a_variable}:
        outcome = attempt(theirs, denial=False)
        assert (outcome.code, outcome.reason[0]["type"]) == (1008, "missing")  # whatever the client sends
    else:
        with pytest.raises(TypeError):
            attempt(theirs)
    with pytest.raises(EndpointError) as caught:
        declare(wslab.asgi.App(), wslab.asgi)
    assert caught.value.remedy


def query_for_a_path_variable(app, lib):
    @app.websocket("/{number}")
    async def endpoint(ws: lib.WebSocket, number: int = lib.Query()): ...


def two_markers(app, lib):
    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, number: Annotated[int, lib.Query()] = lib.Query()): ...


def circle(app, lib):
    class Circle:
        def __call__(self, again=None): ...

    depends = lib.Depends(Circle())
    Circle.__call__.__defaults__ = (depends,)

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, circle=depends): ...


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (query_for_a_path_variable, AssertionError),
        (two_markers, AssertionError),
        (circle, RecursionError),
    ],
)
def test_a_wrong_declaration_says_what_to_do(declare, error):
    with pytest.raises(error):
        declare(fastapi.FastAPI(), fastapi)
    with pytest.raises(EndpointError) as caught:
        declare(wslab.asgi.App(), wslab.asgi)
    assert caught.value.remedy


def test_a_path_variable_that_reaches_no_parameter_is_warned_about():
    def declare(app, lib):
        @app.websocket("/ws/{path}")
        async def endpoint(ws: lib.WebSocket, path_param: str): ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declare(fastapi.FastAPI(), fastapi)
    with pytest.warns(UnusedPathVariableWarning, match="path_param"):
        declare(wslab.asgi.App(), wslab.asgi)


def test_the_markers_of_the_other_framework_are_refused():
    app = wslab.asgi.App()

    async def endpoint(ws: wslab.asgi.WebSocket, number: int = fastapi.Query(1)): ...

    with pytest.raises(EndpointError, match=r"Import Query from wslab\.asgi"):
        app.websocket("/")(endpoint)


@dataclass
class Data:
    x: int


@pytest.mark.parametrize("marker", ["Header", "Cookie"])
@pytest.mark.parametrize("annotation", [dict[str, int], Data, list[list[int]]])
def test_what_no_header_or_cookie_can_carry_is_refused_when_it_is_declared(attempt, marker, annotation):
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, value: Annotated[annotation, getattr(lib, marker)()]): ...

    theirs = fastapi.FastAPI()
    declare(theirs, fastapi)
    for text in ("1", '{"x":1}', "[[1]]"):
        headers = {"value": text} if marker == "Header" else {"cookie": f"value={text}"}
        assert attempt(theirs, headers=headers, denial=False).code == 1008
    with pytest.raises(EndpointError, match=f"a {marker.lower()} cannot carry"):
        declare(wslab.asgi.App(), wslab.asgi)


def test_a_choice_of_names_for_a_path_variable_has_to_hold_one(attempt):
    def declare(app, lib, *choices):
        @app.websocket("/{room}")
        async def endpoint(
            ws: lib.WebSocket, room: Annotated[str, lib.Path(validation_alias=AliasChoices(*choices))]
        ):
            await ws.accept()
            await ws.send_json(room)

        @app.websocket("/other/{room}")
        async def named_otherwise(
            ws: lib.WebSocket, other: Annotated[str, lib.Path(validation_alias=AliasChoices("x", "room"))]
        ):
            await ws.accept()
            await ws.send_json(other)

    for app in both(lambda app, lib: declare(app, lib, "x", "room")):
        assert attempt(app, "/blue").messages == ("blue",)
        assert attempt(app, "/other/red").messages == ("red",)
    theirs = fastapi.FastAPI()
    declare(theirs, fastapi, "x", "y")
    assert attempt(theirs, "/blue").messages == ("blue",)
    with pytest.raises(EndpointError, match=r"no variable \{x\}; it has: \{room\}"):
        declare(wslab.asgi.App(), wslab.asgi, "x", "y")


JSON_OF = {
    "list": (Json[list], "[1]"),
    "dict": (Json[dict], '{"name":"a"}'),
    "model": (Json[Item], '{"name":"a"}'),
}


@pytest.mark.parametrize(
    ("kind", "place", "theirs"),
    [
        ("dict", "no marker", 1008),
        ("model", "no marker", 1008),
        ("dict", "in the query", AssertionError),
        ("list", "in the path", AssertionError),
        ("dict", "in the path", AssertionError),
        ("model", "in the path", AssertionError),
    ],
)
def test_json_of_anything_is_a_text_of_the_query_or_the_path(attempt, kind, place, theirs):
    annotation, text = JSON_OF[kind]
    path, url = ("/{value}", f"/{text}") if place == "in the path" else ("/", f"/?value={text}")

    def declare(app, lib):
        declared = Annotated[annotation, lib.Query()] if place == "in the query" else annotation

        @app.websocket(path)
        async def endpoint(ws: lib.WebSocket, value: declared):
            await ws.accept()
            await ws.send_text(value.model_dump_json() if kind == "model" else json.dumps(value))

        return app

    if theirs is AssertionError:
        with pytest.raises(AssertionError):
            declare(fastapi.FastAPI(), fastapi)
    else:
        assert attempt(declare(fastapi.FastAPI(), fastapi), url, denial=False).code == theirs
    ours = attempt(declare(wslab.asgi.App(), wslab.asgi), url)
    assert ours.messages == (json.loads(text),)


def test_an_empty_text_is_no_json(attempt):
    def declare(app, lib):
        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, value: Annotated[Json[list], lib.Query()]): ...

        @app.get("/")
        def page(value: Annotated[Json[list], lib.Query()]): ...

    apps = both(declare)
    theirs, ours = (attempt(app, "/?value=", denial=False) for app in apps)
    assert (theirs.code, theirs.reason[0]["type"]) == (1008, "missing")
    assert ours.code == 1008
    assert ours.reason.startswith("query.value: Invalid JSON")
    details = [TestClient(app).get("/?value=").json()["detail"] for app in apps]
    assert [detail[0]["type"] for detail in details] == ["missing", "json_invalid"]


def test_handlers_of_start_and_stop_run_beside_a_lifespan():
    def events_of(make):
        events = []

        @contextlib.asynccontextmanager
        async def lifespan(_):
            events.append("lifespan begins")
            yield
            events.append("lifespan ends")

        app = make(
            lifespan=lifespan,
            on_startup=[lambda: events.append("start")],
            on_shutdown=[lambda: events.append("stop")],
        )
        with TestClient(app):
            pass
        return events

    assert events_of(fastapi.FastAPI) == ["lifespan begins", "lifespan ends"]
    assert events_of(wslab.asgi.App) == ["lifespan begins", "start", "stop", "lifespan ends"]


# --- dependencies and classes


def test_args_and_kwargs_are_no_parameters(attempt):
    def declare(app, lib):
        def wrapper(*args, **kwargs):
            return [args, kwargs]

        @app.websocket("/dependency")
        async def dependency(ws: lib.WebSocket, value=lib.Depends(wrapper)):
            await ws.accept()
            await ws.send_json(value)

        @app.websocket("/endpoint")
        async def endpoint(ws: lib.WebSocket, *args, **kwargs):
            await ws.accept()
            await ws.send_json([args, kwargs])

    theirs, ours = both(declare)
    for path in ("/dependency", "/endpoint"):
        refused = attempt(theirs, path, denial=False)
        assert [error["loc"] for error in refused.reason] == [["query", "args"], ["query", "kwargs"]]
        assert attempt(theirs, f"{path}?args=1&kwargs=2").messages == ([[], {"args": "1", "kwargs": "2"}],)
        for query in ("", "?args=1&kwargs=2"):
            assert attempt(ours, path + query).messages == ([[], {}],)


def test_plain_websocket_routes_are_guarded_by_the_dependencies_around_them(attempt):
    def served(make, lib):
        ran = []
        app = make(dependencies=[lib.Depends(lambda: ran.append("application"))])
        router = lib.APIRouter(dependencies=[lib.Depends(lambda: ran.append("router"))])

        async def plain(ws):
            await ws.accept()
            await ws.send_json("plain")

        app.websocket_route("/plain")(plain)
        router.websocket_route("/plain")(plain)
        app.include_router(router, prefix="/router")
        for path in ("/plain", "/router/plain"):
            assert attempt(app, path).messages == ("plain",)
        return ran

    assert served(fastapi.FastAPI, fastapi) == []
    assert served(wslab.asgi.App, wslab.asgi) == ["application", "application", "router"]


def test_plain_websocket_routes_are_below_the_prefix_of_their_router(attempt):
    def declare(app, lib):
        router = lib.APIRouter(prefix="/router")

        @router.websocket_route("/plain")
        async def plain(ws):
            await ws.accept()
            await ws.send_json("plain")

        app.include_router(router)

    theirs, ours = both(declare)
    assert [attempt(theirs, path).messages for path in ("/plain", "/router/plain")] == [("plain",), ()]
    assert [attempt(ours, path).messages for path in ("/plain", "/router/plain")] == [(), ("plain",)]


def test_the_methods_of_a_class_may_declare_dependencies(attempt):
    def declare(app, lib):
        ours = lib is wslab.asgi
        base = (wslab.asgi if ours else starlette).endpoints.WebSocketEndpoint

        @app.websocket_route("/")
        class Greeting(base):
            async def on_connect(self, websocket, name=lib.Depends(lambda: "ada")):
                await websocket.accept()
                await websocket.send_json(type(name).__name__)

    theirs, ours = (attempt(app).messages for app in both(declare))
    assert (theirs, ours) == (("Depends",), ("str",))


def test_the_repr_of_credentials_keeps_the_secret():
    def shown(security):
        basic = security.HTTPBasicCredentials(username="ada", password="s3cret")
        bearer = security.HTTPAuthorizationCredentials(scheme="Bearer", credentials="s3cret")
        return ["s3cret" in repr(basic), "s3cret" in repr(bearer)]

    assert shown(fastapi.security) == [True, True]
    assert shown(wslab.asgi.security) == [False, False]


# --- pages


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("", name) for name in ("Body", "Form", "File", "UploadFile")),
        (".security", "OAuth2PasswordRequestForm"),
        (".security", "OAuth2PasswordRequestFormStrict"),
    ],
)
def test_what_reads_a_body_cannot_be_imported_and_says_why(module, name):
    assert hasattr(importlib.import_module(f"fastapi{module}"), name)
    with pytest.raises(ImportError, match=f"^{name} .*body of an HTTP request") as caught:
        exec(f"from wslab.asgi{module} import {name}", {})
    assert caught.value.remedy


class Shown(BaseModel):
    name: str


def test_response_models_are_refused():
    def declare(app):
        app.get("/")(lambda: {"name": "ada", "secret": 1})
        app.get("/none", response_model=None)(lambda: {"name": "ada", "secret": 1})
        app.get("/shown", response_model=Shown)(lambda: {"name": "ada", "secret": 1})

    theirs, ours = fastapi.FastAPI(), wslab.asgi.App()
    declare(theirs)
    assert TestClient(theirs).get("/shown").json() == {"name": "ada"}
    with pytest.raises(EndpointError, match="'response_model', which is FastAPI's business"):
        declare(ours)
    assert TestClient(ours).get("/none").json() == {"name": "ada", "secret": 1}
    assert TestClient(ours).get("/shown").status_code == 404


def test_a_return_annotation_filters_nothing():
    def declare(app, lib):
        @app.get("/")
        def page() -> Shown:
            return {"name": "ada", "secret": 1}

    theirs, ours = (TestClient(app).get("/").json() for app in both(declare))
    assert theirs == {"name": "ada"}
    assert ours == {"name": "ada", "secret": 1}


def test_get_answers_head():
    def declare(app, lib):
        app.get("/")(lambda: "page")

    theirs, ours = (TestClient(app).head("/") for app in both(declare))
    assert theirs.status_code == 405
    assert (ours.status_code, ours.text, ours.headers["content-length"]) == (200, "", "6")


def test_asyncapi_is_served_where_no_route_is():
    theirs, ours = (TestClient(app) for app in (fastapi.FastAPI(), wslab.asgi.App()))
    for path in ("/asyncapi.json", "/asyncapi"):
        assert (theirs.get(path).status_code, ours.get(path).status_code) == (404, 200)
    for client in (theirs, ours):
        client.app.get("/asyncapi.json")(lambda: "own")
        assert client.get("/asyncapi.json").json() == "own"


# --- the connection


def raised_in_an_endpoint(make, lib, act, send):
    """What `act(ws)` raises in an endpoint."""
    app, raised = make(), []

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket):
        try:
            await act(ws)
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            raised.append(error)
        await ws.close()

    with TestClient(app).websocket_connect("/") as session:
        if send is not None:
            session.send_bytes(send)
        session.receive()
    return raised[0] if raised else None


def seen_by_both(act, send=None):
    return [
        raised_in_an_endpoint(make, lib, act, send)
        for make, lib in ((fastapi.FastAPI, fastapi), (wslab.asgi.App, wslab.asgi))
    ]


def test_a_message_of_the_wrong_kind_raises_a_key_error_that_explains_itself():
    async def act(ws):
        await ws.accept()
        await ws.receive_text()

    theirs, ours = seen_by_both(act, send=b"123")
    assert (type(theirs), str(theirs)) == (KeyError, "'text'")
    assert isinstance(ours, MessageTypeError)
    assert isinstance(ours, KeyError)
    assert "receive_bytes()" in str(ours)


def test_a_header_that_would_start_another_one_is_refused():
    async def act(ws):
        try:
            await ws.accept(headers=[(b"x-a", b"1\r\nset-cookie: stolen=1")])
        except Exception:
            await ws.accept()
            raise

    theirs, ours = seen_by_both(act)
    assert theirs is None
    assert isinstance(ours, InvalidHeaderError)


@pytest.mark.parametrize(
    "act",
    [lambda ws: ws.receive_text(), lambda ws: ws.send_text("x"), lambda ws: ws.receive_json(mode="octal")],
    ids=["receive before accept", "send before accept", "mode"],
)
def test_misuse_raises_what_starlette_raises_and_says_what_to_do(act):
    async def then_accept(ws):
        try:
            await act(ws)
        finally:
            await ws.accept()

    theirs, ours = seen_by_both(then_accept)
    assert isinstance(ours, type(theirs))
    assert isinstance(ours, RuntimeError)
    assert isinstance(ours, WSLabError)
    assert ours.remedy
    assert not isinstance(theirs, WSLabError)


@pytest.mark.parametrize("name", ["send_text", "send_bytes"])
def test_sending_the_wrong_type_is_an_error_at_the_call(name):
    async def act(ws):
        await ws.accept()
        await getattr(ws, name)({"a": 1})

    _, ours = seen_by_both(act)
    assert isinstance(ours, TypeError)
    assert "dict" in str(ours)


def test_a_send_that_fails_carries_the_code_that_is_known():
    def declare(app, lib):
        app.state.seen = []

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket):
            await ws.accept()
            for act in (ws.receive_text(), ws.send_text("too late")):
                try:
                    await act
                except lib.WebSocketDisconnect as gone:
                    app.state.seen.append((gone.code, gone.reason))

    theirs, ours = both(declare)
    for app in (theirs, ours):
        asyncio.run(serve_a_client_that_leaves(app))
    assert theirs.state.seen == [(1001, "away"), (1006, "")]
    assert ours.state.seen == [(1001, "away"), (1001, "away")]


async def serve_a_client_that_leaves(app):
    incoming = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1001, "reason": "away"},
    ]

    async def receive():
        return incoming.pop(0)

    async def send(message):
        if not incoming:
            raise OSError("the connection is gone")

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b"", "subprotocols": []}
    await app(scope, receive, send)


# --- what is only here


def use_receives(app, lib):
    app.websocket("/", receives=Item)


def use_sends(app, lib):
    app.websocket("/", sends=Item)


def use_iter_model(app, lib):
    assert lib.WebSocket.iter_model


def use_disconnected(app, lib):
    assert lib.WebSocket.disconnected


def use_timeout(method):
    def use(app, lib):
        getattr(lib.WebSocket, method)(None, timeout=1).close()  # a coroutine that is not begun

    return use


def use_websocket_bearer(app, lib):
    assert lib.security.WebSocketBearer


def use_expires(app, lib):
    assert lib.security.expires


def use_async_test_client(app, lib):
    assert lib.testclient.AsyncTestClient


def use_receive_timeout(app, lib):
    lib.testclient.TestClient(app, receive_timeout=1)


def use_timeout_of_a_session(app, lib):
    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket):
        await ws.accept()
        await ws.send_text("x")

    with lib.testclient.TestClient(app).websocket_connect("/") as session:
        session.receive(timeout=60)


def use_asyncapi_url(app, lib):
    type(app)(asyncapi_url=None)


def use_asyncapi_docs_url(app, lib):
    type(app)(asyncapi_docs_url=None)


def use_asyncapi(app, lib):
    assert app.asyncapi()


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (use_receives, TypeError),
        (use_sends, TypeError),
        (use_iter_model, AttributeError),
        (use_disconnected, AttributeError),
        (use_timeout("receive"), TypeError),
        (use_timeout("receive_text"), TypeError),
        (use_timeout("receive_bytes"), TypeError),
        (use_timeout("receive_json"), TypeError),
        (use_websocket_bearer, AttributeError),
        (use_expires, AttributeError),
        (use_async_test_client, AttributeError),
        (use_receive_timeout, TypeError),
        (use_timeout_of_a_session, TypeError),
        (use_asyncapi_url, TypeError),
        (use_asyncapi_docs_url, TypeError),
        (use_asyncapi, AttributeError),
    ],
)
def test_what_is_only_here_is_not_in_fastapi(use, error):
    use(wslab.asgi.App(), wslab.asgi)
    with pytest.raises(error):
        use(fastapi.FastAPI(), fastapi)
