"""Parameters declared in FastAPI's ways are read, and refused, as FastAPI does it: every error compared."""

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Literal, Union

import fastapi
import fastapi.exceptions
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, Json, field_validator
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import wslab.asgi
import wslab.asgi.exceptions

LIBRARIES = (fastapi, wslab.asgi)


async def close_with_all_errors(websocket, error):
    errors = [[list(each["loc"]), each["type"], each["msg"], repr(each["input"])] for each in error.errors()]
    await websocket.close(4022, json.dumps(errors))


def application(lib):
    app = fastapi.FastAPI() if lib is fastapi else wslab.asgi.App()
    app.add_exception_handler(lib_error(lib), close_with_all_errors)
    return app


def lib_error(lib):
    module = fastapi.exceptions if lib is fastapi else wslab.asgi.exceptions
    return module.WebSocketRequestValidationError


def serving(make, lib, path="/"):
    """An application with an endpoint whose parameter `value` is declared as `make(lib)` says."""
    annotation, default = make(lib)
    app = application(lib)

    async def endpoint(ws: lib.WebSocket, value: annotation):
        await ws.accept()
        await ws.send_json(repr(value))

    if default is not ...:
        endpoint.__defaults__ = (default,)
    app.websocket(path)(endpoint)
    return app


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Filters(BaseModel):
    limit: int = Field(10, gt=0, le=100)
    order_by: Literal["new", "old"] = "new"
    tags: list[str] = []


class Strict(Filters):
    model_config = ConfigDict(extra="forbid")


class Open(Filters):
    model_config = ConfigDict(extra="allow")


class Required(BaseModel):
    limit: int
    order_by: str = Field(alias="orderBy")


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    order_by: str = Field(alias="orderBy")


class OnlyByName(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
    order_by: str = Field("x", alias="orderBy")


class Choices(BaseModel):
    limit: int = Field(validation_alias=AliasChoices("max", "limit_to"))
    tags: list[int] = Field([], validation_alias=AliasChoices("tag", "tags"))


class Deep(BaseModel):
    first: str = Field("none", validation_alias=AliasPath("tags", 0))
    either: str = Field("none", validation_alias=AliasChoices("limit", AliasPath("tags", 1)))


class Checked(BaseModel):
    limit: int = 1
    data: Json[dict[str, int]] = {}

    @field_validator("limit")
    @classmethod
    def even(cls, value):
        if value % 2 == 0:
            return value
        raise ValueError("odd")


class InHeaders(BaseModel):
    user_agent: str = "none"
    x_tag: list[str] = []
    x_limit: int = 0
    named: str | None = Field(None, alias="X_Named")


class StrictHeaders(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x_limit: int


class InCookies(BaseModel):
    model_config = ConfigDict(extra="forbid")
    session: str
    n: int = 0


QUERY = {
    "date": lambda _: (dt.date, ...),
    "datetime": lambda _: (dt.datetime, ...),
    "time": lambda _: (dt.time, ...),
    "timedelta": lambda _: (dt.timedelta, ...),
    "uuid": lambda _: (uuid.UUID, ...),
    "decimal": lambda _: (decimal.Decimal, ...),
    "bytes": lambda _: (bytes, b"none"),
    "str enum": lambda _: (Colour, Colour.BLUE),
    "int enum": lambda _: (Level, ...),
    "union": lambda _: (int | bool | str, ...),
    "union with list": lambda lib: (int | list[int], lib.Query()),
    "union of numbers": lambda _: (Union[int, float, None], None),  # noqa: UP007 - the older way of writing it
    "set of enums": lambda lib: (set[Colour], lib.Query()),
    "json": lambda lib: (Annotated[Json[list[int]], lib.Query()], ...),
    "alias": lambda lib: (str, lib.Query(alias="other-name")),
    "validation alias": lambda lib: (str, lib.Query(validation_alias="other")),
    "both aliases": lambda lib: (str, lib.Query(alias="value", validation_alias="other")),
    "alias choices": lambda lib: (str, lib.Query(validation_alias=AliasChoices("other", "third"))),
    "alias choices, list": lambda lib: (
        list[int],
        lib.Query(validation_alias=AliasChoices("other", "value")),
    ),
    "alias choices, default": lambda lib: (
        Annotated[int, lib.Query(validation_alias=AliasChoices("other", "third"))],
        5,
    ),
    "alias path": lambda lib: (str, lib.Query(validation_alias=AliasPath("other", 0))),
    "alias choice with path": lambda lib: (
        str,
        lib.Query(validation_alias=AliasChoices("other", AliasPath("third", 0))),
    ),
    "field alias": lambda lib: (Annotated[str, Field(alias="other"), lib.Query()], ...),
    "field alias, implied": lambda _: (Annotated[str, Field(alias="other")], "x"),
    "field factory": lambda lib: (Annotated[list[int], Field(default_factory=lambda: [3]), lib.Query()], ...),
    "validated default": lambda lib: (Annotated[int, lib.Query(validate_default=True)], "seven"),
    "validated default that fits": lambda lib: (int, lib.Query("7", validate_default=True)),
    "no infinity": lambda lib: (float, lib.Query(allow_inf_nan=False)),
    "digits": lambda lib: (decimal.Decimal, lib.Query(max_digits=3, decimal_places=1)),
    "left to right": lambda lib: (float | int, lib.Query(union_mode="left_to_right")),
    "strict": lambda lib: (int, lib.Query(strict=True)),
    "documented": lambda lib: (
        int,
        lib.Query(
            1, examples=[1], deprecated=True, include_in_schema=False, title="T", description="D",
            json_schema_extra={"x": 1}, openapi_examples={"a": {"value": 1}}, serialization_alias="s",
        ),
    ),
    "model": lambda lib: (Filters, lib.Query()),
    "annotated model": lambda lib: (Annotated[Filters, lib.Query()], ...),
    "model without extras": lambda lib: (Strict, lib.Query()),
    "model with extras": lambda lib: (Open, lib.Query()),
    "model with required": lambda lib: (Required, lib.Query()),
    "optional model": lambda lib: (Filters | None, lib.Query(None)),
    "optional strict model": lambda lib: (Annotated[Strict | None, lib.Query()], None),
    "optional model, required": lambda lib: (Required | None, lib.Query()),
    "model with a default": lambda lib: (Filters, lib.Query(Filters(limit=3))),
    "model by name": lambda lib: (ByName, lib.Query()),
    "model only by name": lambda lib: (OnlyByName, lib.Query()),
    "model with choices": lambda lib: (Choices, lib.Query()),
    "model with paths": lambda lib: (Deep, lib.Query()),
    "model with validators": lambda lib: (Checked, lib.Query()),
}  # fmt: skip

QUERIES = [
    "",
    "value=7",
    "value=1.5",
    "value=true&value=x",
    "value=1&value=2",
    "value=red&value=blue",
    "value=2024-02-29",
    "value=2024-02-29T10:00:00Z",
    "value=P1DT2H&value=10:30",
    "value=00000000-0000-0000-0000-000000000000",
    "value=%5B1%2C2%5D",
    "value=inf",
    "value=12.34",
    "value=",
    "other=a",
    "other=3&other=4",
    "third=4",
    "third=b&other=c&value=d",
    "other-name=e",
    "limit=5&order_by=old&tags=a&tags=b",
    "limit=0&order_by=x",
    "limit=x&limit=4&extra=1&extra=2&more=3",
    "orderBy=new&limit=2",
    "order_by=z&orderBy=y",
    "max=4&tag=1&tag=2&tags=9",
    "limit_to=x&tags=1",
    "tags=only&limit=3",
    "data=%7B%22a%22%3A1%7D&limit=2",
    "data=%7B&limit=3",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("make", QUERY.values(), ids=QUERY)
def test_the_query_is_read_alike(attempt, make, query):
    theirs, ours = (attempt(serving(make, lib), f"/?{query}") for lib in LIBRARIES)
    if (make, query) == (QUERY["json"], "value="):
        # An empty text is no JSON. FastAPI says so of an object, and calls a list missing.
        assert ("missing" in theirs.reason, "json_invalid" in ours.reason) == (True, True)
    else:
        assert ours == theirs


HEADERS = {
    "underscores": lambda lib: ("user_agent", str, lib.Header()),
    "no conversion": lambda lib: ("x_tag", str, lib.Header("none", convert_underscores=False)),
    "list": lambda lib: ("x_tag", list[str], lib.Header()),
    "optional list": lambda lib: ("x_tag", list[int] | None, lib.Header(None)),
    "tuple": lambda lib: ("x_tag", tuple[str, ...], lib.Header(())),
    "annotated": lambda lib: ("x_limit", Annotated[int, lib.Header(ge=3)], 5),
    "alias": lambda lib: ("value", str, lib.Header(alias="X-Tag")),
    "alias choices": lambda lib: (
        "value",
        str,
        lib.Header(validation_alias=AliasChoices("X_Named", "x-limit")),
    ),
    "model": lambda lib: ("value", InHeaders, lib.Header()),
    "model without conversion": lambda lib: ("value", InHeaders, lib.Header(convert_underscores=False)),
    "strict model": lambda lib: ("value", StrictHeaders, lib.Header()),
    "optional model": lambda lib: ("value", InHeaders | None, lib.Header(None)),
    "cookie": lambda lib: ("session", str, lib.Cookie()),
    "cookie default": lambda lib: ("n", int, lib.Cookie(4)),
    "cookie alias": lambda lib: ("value", int, lib.Cookie(alias="n")),
    "cookie model": lambda lib: ("value", InCookies, lib.Cookie()),
    "optional cookie model": lambda lib: ("value", InCookies | None, lib.Cookie(None)),
}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-limit": "7", "x-tag": "a"},
        {"X-Limit": "x", "x_tag": "b"},
        {"x_named": "n", "X_LIMIT": "2"},
        {"x-named": "n", "x-tag": ""},
        {"cookie": "session=abc; n=3"},
        {"cookie": "session=abc; n=x; more=1"},
        {"cookie": "n=3"},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", HEADERS.values(), ids=HEADERS)
def test_headers_and_cookies_are_read_alike(attempt, make, headers):
    seen = []
    for lib in LIBRARIES:
        name, annotation, default = make(lib)
        app = application(lib)
        namespace = {"repr": repr}
        # The only way to choose a parameter's name: it is the header's.
        exec(
            f"async def endpoint(ws, {name}):\n    await ws.accept()\n    await ws.send_json(repr({name}))",
            namespace,
        )
        endpoint = namespace["endpoint"]
        endpoint.__annotations__ = {"ws": lib.WebSocket, name: annotation}
        endpoint.__defaults__ = (default,)
        app.websocket("/")(endpoint)
        seen.append(attempt(app, headers=headers))
    theirs, ours = seen
    assert ours == theirs


def test_a_header_that_occurs_more_than_once_fills_a_list():
    def see(lib):
        app = serving(lambda lib: (list[str], lib.Header(alias="x-tag")), lib)
        pairs = httpx2.Headers([("x-tag", "a"), ("X-Tag", "b")])
        with TestClient(app).websocket_connect("/", headers=pairs) as session:
            return session.receive_json()

    assert see(wslab.asgi) == see(fastapi) == "['a', 'b']"


PATHS = {
    "/items/{value}": lambda lib: (int, lib.Path(ge=2)),
    "/items/{value:int}": lambda _: (int, ...),
    "/items/{value:float}": lambda _: (float, ...),
    "/items/{value:path}": lambda _: (str, ...),
    "/items/{value:uuid}": lambda _: (uuid.UUID, ...),
    "/items/{value}/": lambda lib: (Annotated[Colour, lib.Path()], ...),
    "/items/{number}": lambda lib: (int, lib.Path(alias="number")),
    "/items/{second}": lambda lib: (str, lib.Path(validation_alias=AliasChoices("first", "second"))),
    "/items/{value}/x": lambda lib: (Annotated[str, lib.Path(max_length=3, title="T")], ...),
}


@pytest.mark.parametrize(
    "url", ["7", "1", "x", "1.5", "a/b", "red/", "%20x", "abcd/x", "é/x", f"{uuid.UUID(int=7)}"]
)
@pytest.mark.parametrize("path", PATHS)
def test_paths_are_read_alike(attempt, path, url):
    def see(lib):
        if path == "/items/{second}" and lib is fastapi:
            # FastAPI resolves the choice for a parameter that is named like the variable only.
            return attempt(serving(lambda lib: (str, lib.Path(alias="second")), lib, path), f"/items/{url}")
        return attempt(serving(PATHS[path], lib, path), f"/items/{url}", denial=False)

    theirs, ours = see(fastapi), see(wslab.asgi)
    assert ours.messages == theirs.messages
    if theirs.code == 4022:
        assert (ours.code, ours.reason) == (4022, theirs.reason)


def test_two_models_share_the_query_alike(attempt):
    def declare(lib):
        app = application(lib)

        @app.websocket("/{room}")
        async def endpoint(
            ws: lib.WebSocket,
            room: str,
            *,
            one: Annotated[Filters, lib.Query()],
            two: Annotated[Open, lib.Query()],
            three: Annotated[InHeaders, lib.Header()],
            q: int = 0,
        ):
            await ws.accept()
            await ws.send_json([room, repr(one), repr(two), three.x_limit, q])

        return app

    for query in ("", "limit=3&q=4&extra=x", "limit=x&q=y"):
        theirs, ours = (
            attempt(declare(lib), f"/blue?{query}", headers={"x-limit": "3"}) for lib in LIBRARIES
        )
        assert ours == theirs


# --- every query string, read into a model


@pytest.fixture(scope="module")
def clients():
    theirs, ours = (serving(QUERY["model with choices"], lib) for lib in LIBRARIES)
    with TestClient(theirs) as their_client, TestClient(ours) as our_client:
        yield their_client, our_client


NAMES = st.sampled_from(["max", "limit_to", "limit", "tag", "tags", "other", "Max"])
TEXTS = st.integers(-9, 999).map(str) | st.text(
    st.characters(codec="ascii", categories=["L", "N"]), max_size=4
)


@settings(max_examples=150, deadline=None)  # a connection's time is the test client's, not ours
@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6))
def test_any_query_string_fills_a_model_alike(clients, pairs):
    query = "&".join(f"{name}={value}" for name, value in pairs)
    seen = []
    for client in clients:
        try:
            with client.websocket_connect(f"/?{query}") as session:
                seen.append(session.receive_json())
        except WebSocketDisconnect as closing:
            seen.append((closing.code, json.loads(closing.reason)))
    theirs, ours = seen
    assert ours == theirs
