"""What `docs/differences.md` says: each difference is seen on both sides, and each test it names exists."""

import ast
import contextlib
import re
import warnings
from pathlib import Path
from typing import Annotated

import fastapi
import fastapi.exceptions
import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

import wslab.asgi
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
