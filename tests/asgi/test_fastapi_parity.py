"""The same program for FastAPI and for us: what a client sees must be the same.

`declare(app, lib)` writes the program; `lib` is `fastapi` or `wslab.asgi`. Where ours differs on purpose
(a string as the close reason, denial responses as text), the comparison says how.
"""

import enum
import json
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

import fastapi
import fastapi.exceptions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from starlette.testclient import TestClient

import wslab.asgi
from wslab.asgi.exceptions import WebSocketRequestValidationError
from wslab.wire.close_codes import cut_reason


def both(declare):
    apps = fastapi.FastAPI(), wslab.asgi.App()
    for app, lib in zip(apps, (fastapi, wslab.asgi), strict=True):
        declare(app, lib)
    return apps


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


PARAMETERS = {
    "int": lambda _: (int, ...),
    "int default": lambda _: (int, 7),
    "float": lambda _: (float, 0.5),
    "bool": lambda _: (bool, False),
    "str": lambda _: (str, ...),
    "optional": lambda _: (int | None, None),
    "enum": lambda _: (Colour, Colour.RED),
    "literal": lambda _: (Literal["a", "b"], ...),
    "query marker": lambda lib: (int, lib.Query(3, ge=2, le=9)),
    "query required": lambda lib: (str, lib.Query(min_length=2, max_length=4)),
    "query pattern": lambda lib: (str, lib.Query("x", pattern="^x+$")),
    "annotated": lambda lib: (Annotated[int, lib.Query(gt=0)], 1),
    "annotated required": lambda lib: (Annotated[int, lib.Query(multiple_of=3)], ...),
    "annotated field": lambda lib: (Annotated[int, Field(ge=3), lib.Query(le=7)], ...),
    "alias": lambda lib: (str, lib.Query(alias="other-name")),
    "factory": lambda lib: (list[int], lib.Query(default_factory=lambda: [4])),
    "list": lambda lib: (list[int], lib.Query()),
    "list default": lambda lib: (list[str], lib.Query(["a"])),
    "optional list": lambda lib: (list[int] | None, lib.Query(None)),
    "bounded list": lambda lib: (list[int], lib.Query(max_length=1)),
    "tuple": lambda lib: (tuple[int, int], lib.Query()),
    "header": lambda lib: (str, lib.Header(alias="x-value")),
    "header list": lambda lib: (list[str], lib.Header(alias="x-value")),
    "cookie": lambda lib: (int, lib.Cookie()),
    "cookie default": lambda lib: (str, lib.Cookie("none")),
    "default not validated": lambda lib: (int, lib.Query("seven")),
}

QUERIES = [
    "",
    "value=7",
    "value=0",
    "value=x",
    "value=1&value=2",
    "value=",
    "value=abcdefg",
    "value=true",
    "value=red",
    "value=xx",
    "value=1.5",
    "other-name=z",
    "Value=3",
    "value=a&other-name=b",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("make", PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_are_read_and_refused_alike(attempt, make, query):
    def declare(app, lib):
        annotation, default = make(lib)

        async def endpoint(ws: lib.WebSocket, value: annotation):
            await ws.accept()
            await ws.send_json(repr(value))

        if default is not ...:
            endpoint.__defaults__ = (default,)
        app.websocket("/")(endpoint)

    theirs, ours = (
        attempt(
            app,
            f"/?{query}",
            denial=False,
            headers={"x-value": "h"} if "7" in query else None,
            cookies={"value": "5"} if "=0" in query else None,
        )
        for app in both(declare)
    )
    assert ours.messages == theirs.messages
    assert ours.code == theirs.code
    assert ours.reason == as_text(theirs.reason)


def as_text(reason):
    """FastAPI's reason is a list, which no close frame can carry: ours is its first element, as text."""
    if isinstance(reason, str):
        return reason
    return cut_reason(f"{'.'.join(map(str, reason[0]['loc']))}: {reason[0]['msg']}")


@pytest.mark.parametrize("url", ["/7/x/a/b", "/7/", "/x/y/z", "/0/y/z", "/7/y/", "/-1/y/%C3%A9%2Fz"])
def test_paths_are_read_alike(attempt, url):
    def declare(app, lib):
        @app.websocket("/{number}/{word}/{rest:path}")
        async def endpoint(
            websocket: lib.WebSocket, word: str, rest: str = "ignored", number: int = lib.Path(ge=0)
        ):
            await websocket.accept()
            await websocket.send_json([number, word, rest])

    theirs, ours = (attempt(app, url, denial=False) for app in both(declare))
    assert ours.messages == theirs.messages
    if theirs.code == 1008:
        assert (ours.code, ours.reason) == (1008, as_text(theirs.reason))


# --- dependencies


@dataclass
class Page:
    number: int = 1
    size: int = 10


class Checker:
    def __init__(self, wanted):
        self.wanted = wanted

    def __call__(self, q: str = ""):
        return self.wanted in q


def classes(app, lib, log):
    @app.websocket("/")
    async def endpoint(
        ws: lib.WebSocket,
        page: Annotated[Page, lib.Depends()],
        again: Page = lib.Depends(),
        checker: bool = lib.Depends(Checker("x")),
    ):
        await ws.accept()
        await ws.send_json([page.number, page.size, again is page, checker])


def cache(app, lib, log):
    def count():
        log.append("count")
        return len(log)

    async def sub(n=lib.Depends(count), m=lib.Depends(count, use_cache=False)):
        return [n, m]

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, a=lib.Depends(count), b=lib.Depends(sub), c=lib.Depends(count)):
        await ws.accept()
        await ws.send_json([a, b, c])


def generators(app, lib, log):
    def one(number: int = 0):
        log.append("+one")
        try:
            yield number
        except ValueError:
            log.append("saw")
            raise
        finally:
            log.append("-one")

    async def two(one=lib.Depends(one)):
        log.append("+two")
        yield one + 1
        log.append("-two")

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, two=lib.Depends(two), q: str = ""):
        await ws.accept()
        await ws.send_json(two)
        log.append("endpoint")
        if q == "fail":
            raise ValueError(q)
        if q == "close":
            raise lib.WebSocketException(4000, "stop")


def refusing(app, lib, log):
    def token(token: str = lib.Query(...)):
        log.append("token")
        if token != "good":
            raise lib.HTTPException(401, "Invalid token", headers={"WWW-Authenticate": "Bearer"})
        return token

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, number: int, user: str = lib.Depends(token)):
        await ws.accept()
        await ws.send_json([user, number])


def accepting(app, lib, log):
    class Manager:
        async def connect(self, websocket: lib.WebSocket, room: str = "lobby"):
            await websocket.accept()
            return room

    @app.websocket("/")
    async def endpoint(ws: lib.WebSocket, room: str = lib.Depends(Manager().connect)):
        await ws.send_json(room)


PROGRAMS = [classes, cache, generators, refusing, accepting]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "number=5",
        "number=x",
        "number=5&q=x",
        "q=fail",
        "q=close",
        "token=good",
        "token=bad",
        "token=good&number=5",
        "token=bad&number=x",
        "room=blue",
    ],
)  # fmt: skip - one line of queries is easier to compare
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_dependencies_behave_alike(attempt, program, query):
    seen = []
    for make, lib in ((fastapi.FastAPI, fastapi), (wslab.asgi.App, wslab.asgi)):
        log = []
        app = make()
        program(app, lib, log)
        try:
            outcome = attempt(
                app,
                f"/?{query}",
                denial=False,
                messages=2 if (program.__name__, query) == ("generators", "q=close") else 1,
            )
        except ValueError as error:
            seen.append((log, str(error)))
        else:
            seen.append((log, outcome.messages, outcome.code == 1008, as_text(outcome.reason)))
    theirs, ours = seen
    if "token=bad" in query and program.__name__ == "refusing":
        # FastAPI sends a denial response without asking whether the server knows them.
        assert (theirs[0], *ours[1:]) == (ours[0], (), True, "Invalid token")
    else:
        assert ours == theirs


def test_a_refusing_dependency_has_the_same_status_detail_and_headers(attempt):
    def declare(app, lib):
        async def refuse():
            raise lib.HTTPException(401, "Invalid token", headers={"WWW-Authenticate": "Bearer"})

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, user=lib.Depends(refuse)): ...

    theirs, ours = (attempt(app) for app in both(declare))
    assert theirs.status == ours.status == 401
    assert json.loads(theirs.text)["detail"] == ours.text
    assert dict(theirs.headers)["www-authenticate"] == dict(ours.headers)["www-authenticate"]


def test_overrides_behave_alike(attempt):
    def declare(app, lib):
        def real():
            return "real"

        def sub(real=lib.Depends(real)):
            return ["sub", real]

        async def fake(q: int):
            return ["fake", q]

        @app.websocket("/")
        async def endpoint(ws: lib.WebSocket, a=lib.Depends(real), b=lib.Depends(sub)):
            await ws.accept()
            await ws.send_json([a, b])

        app.dependency_overrides[real] = fake

    for url in ("/?q=3", "/?q=x", "/"):
        theirs, ours = (attempt(app, url, denial=False) for app in both(declare))
        assert (ours.messages, ours.code) == (theirs.messages, theirs.code)
        assert ours.reason == as_text(theirs.reason)


# --- every query string


def declare_all_kinds(app, lib):
    @app.websocket("/")
    async def endpoint(
        ws: lib.WebSocket,
        *,
        i: int = 0,
        f: float = 0.0,
        b: bool = False,
        s: str = "",
        o: int | None = None,
        li: list[int] = lib.Query([]),
        lf: list[float] = lib.Query([]),
        lb: list[bool] = lib.Query([]),
        ls: list[str] = lib.Query([]),
    ):
        await ws.accept()
        await ws.send_json(repr([i, f, b, s, o, li, lf, lb, ls]))

    async def all_errors(websocket, error):
        errors = [
            [list(found["loc"]), found["type"], found["msg"], found["input"]] for found in error.errors()
        ]
        await websocket.close(4022, json.dumps(errors))

    app.add_exception_handler(WebSocketRequestValidationError, all_errors)
    app.add_exception_handler(fastapi.exceptions.WebSocketRequestValidationError, all_errors)


@pytest.fixture(scope="module")
def clients():
    theirs, ours = both(declare_all_kinds)
    with TestClient(theirs) as their_client, TestClient(ours) as our_client:
        yield their_client, our_client


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = {
    "i": st.integers().map(str),
    "f": st.floats().map(repr),
    "b": st.sampled_from(["true", "false", "1", "0", "on", "OFF", "yes", "N", "t"]),
    "s": TEXTS,
    "o": st.integers().map(str),
}
VALUES |= {f"l{kind}": VALUES[kind] for kind in "ifbs"}
PAIRS = st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.tuples(st.just(key), VALUES[key] | TEXTS))


def see(client, query):
    with client.websocket_connect(f"/?{query}") as session:
        return session.receive_json()


@settings(max_examples=200, deadline=None)  # a connection's time is the test client's, not ours
@given(st.lists(PAIRS, max_size=6))
def test_any_query_string_is_understood_alike(clients, pairs):
    query = urlencode(pairs)
    seen = []
    for client in clients:
        try:
            seen.append(see(client, query))
        except wslab.asgi.WebSocketDisconnect as closing:
            seen.append((closing.code, json.loads(closing.reason)))
    theirs, ours = seen
    assert ours == theirs


@settings(max_examples=100, deadline=None)  # as above
@given(
    i=st.integers(),
    f=st.floats(allow_nan=False),
    b=st.booleans(),
    s=TEXTS,
    li=st.lists(st.integers(), min_size=1, max_size=4),
    lf=st.lists(st.floats(allow_nan=False), min_size=1, max_size=4),
    lb=st.lists(st.booleans(), min_size=1, max_size=4),
    ls=st.lists(TEXTS, min_size=1, max_size=4),
)
def test_values_survive_the_way_through_the_query(clients, *, i, f, b, s, li, lf, lb, ls):
    values = {"i": i, "f": f, "b": b, "s": s, "li": li, "lf": lf, "lb": lb, "ls": ls}
    _, ours = clients
    assert see(ours, urlencode(values, doseq=True)) == repr([i, f, b, s, None, li, lf, lb, ls])
