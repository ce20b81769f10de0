import datetime as dt
import enum
import inspect
from typing import Annotated

import fastapi
import pytest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import wslab.asgi
from wslab.asgi import App, BackgroundTasks, Depends, Query, Request, WebSocket
from wslab.asgi.pages import APIRoute
from wslab.errors import EndpointError


def both(declare):
    apps = fastapi.FastAPI(), wslab.asgi.App()
    for app, lib in zip(apps, (fastapi, wslab.asgi), strict=True):
        declare(app, lib)
    return [TestClient(app, raise_server_exceptions=False) for app in apps]


def same(declare, method="GET", url="/", **options):
    """Answer of both, which must be the same."""
    theirs, ours = (client.request(method, url, **options) for client in both(declare))
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    allowed = {*ours.headers.pop("allow", "").split(", ")} - {"HEAD"}  # which Starlette's GET answers, too
    assert allowed == {*theirs.headers.pop("allow", "").split(", ")}
    assert dict(ours.headers) == dict(theirs.headers)
    return ours


class Colour(enum.Enum):
    RED = "red"


class Item(BaseModel):
    name: str
    at: dt.date = dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, None, True]},
        "text",
        None,
        7,
        Item(name="é"),
        [Item(name="x")],
        {Colour.RED: dt.datetime(2024, 1, 2, tzinfo=dt.UTC)},
        PlainTextResponse("plain", 201, headers={"x-own": "yes"}),
        HTMLResponse("<p>page</p>"),
    ],
)
@pytest.mark.parametrize("asynchronous", [True, False])
def test_what_is_returned_is_answered(value, asynchronous):
    def declare(app, lib):
        def plain():
            return value

        async def coroutine():
            return value

        app.get("/")(coroutine if asynchronous else plain)

    same(declare)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_has_its_decorator(method):
    def declare(app, lib):
        getattr(app, method.lower())("/x", status_code=202)(lambda: method)

    assert same(declare, method, "/x").json() == method
    assert same(declare, "TRACE", "/x").status_code == 405


def test_head_has_its_decorator():
    app = App()
    app.head("/")(lambda: PlainTextResponse(headers={"x-own": "head"}))
    app.get("/page")(lambda: "page")
    client = TestClient(app)
    assert client.head("/").headers["x-own"] == "head"
    assert client.get("/").status_code == 405
    assert client.head("/page").status_code == 200  # as in Starlette; FastAPI answers 405


@pytest.mark.parametrize(
    "url", ["/5?q=3", "/x?q=3", "/5", "/5?q=x&tag=1&tag=y", "/x", "/5?q=1&colour=red", "/5?q=1&colour=blue"]
)
def test_parameters_are_read_and_refused_alike(url):
    def declare(app, lib):
        @app.get("/{number}")
        def page(
            number: int,
            q: Annotated[int, lib.Query(ge=2)],
            tag: Annotated[list[int], lib.Query()] = [],  # noqa: B006 - what is compared
            colour: Colour | None = None,
            user_agent: str = lib.Header(),
        ):
            return [number, q, tag, colour, user_agent]

    same(declare, url=url)


def test_dependencies_are_those_of_websockets():
    def declare(app, lib):
        async def limit(limit: int = 10):
            return limit

        def forbidden(forbidden: bool = False):
            if forbidden:
                raise lib.HTTPException(403, {"why": "because"}, headers={"x-why": "because"})

        @app.get("/", dependencies=[lib.Depends(forbidden)])
        def page(request: lib.Request, limit: int = lib.Depends(limit)):
            return [limit, request.url.path]

    assert same(declare, url="/?limit=3").json() == [3, "/"]
    assert same(declare, url="/?forbidden=1").status_code == 403
    assert same(declare, url="/?limit=x").status_code == 422


def test_overrides_reach_pages():
    app = App()

    def user():
        return "user"

    app.get("/")(lambda: None)

    @app.get("/user")
    def page(name: str = Depends(user)):
        return name

    app.dependency_overrides[user] = lambda: "stub"
    assert TestClient(app).get("/user").json() == "stub"


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status):
    def declare(app, lib):
        @app.get("/", status_code=status)
        def page():
            return {"a": 1}

        @app.get("/raises")
        def raising():
            raise lib.HTTPException(status, "nobody reads this")

    theirs, ours = both(declare)
    for path in ("/", "/raises"):
        assert ours.get(path).status_code == theirs.get(path).status_code == status
        assert ours.get(path).content == b""


def test_headers_and_status_can_be_set_in_passing():
    def declare(app, lib):
        def setting(response: lib.Response):
            response.headers["x-from"] = "dependency"
            response.status_code = 418

        @app.get("/")
        def page(response: lib.Response, x: None = lib.Depends(setting)):
            response.set_cookie("session", "s")
            return "tea"

    answer = same(declare)
    assert (answer.status_code, answer.headers["x-from"]) == (418, "dependency")


def test_a_route_serves_without_an_application():
    client = TestClient(APIRoute("/", lambda: "page"))
    assert client.get("/").json() == "page"


def test_a_response_class_makes_the_response():
    def declare(app, lib):
        @app.get("/", response_class=HTMLResponse)
        def page():
            return "<p>page</p>"

    assert same(declare).headers["content-type"] == "text/html; charset=utf-8"


def test_teardown_and_background_tasks_run_after_the_response():
    events = []
    app = App()

    async def resource():
        events.append("open")
        yield iter(["a", "b"])
        events.append("closed")

    @app.get("/")
    async def page(tasks: BackgroundTasks, parts=Depends(resource)):
        tasks.add_task(events.append, "background")

        async def stream():
            for part in parts:
                events.append(part)
                yield part

        return StreamingResponse(stream())

    assert TestClient(app).get("/").text == "ab"
    assert events == ["open", "a", "b", "background", "closed"]


@pytest.mark.parametrize("path", ["/nothing", "/raises", "/fails"])
def test_errors_are_answered_as_fastapi_answers_them(path):
    def declare(app, lib):
        @app.get("/raises")
        async def raising():
            raise HTTPException(401, "who?", headers={"www-authenticate": "Bearer"})

        @app.get("/fails")
        async def failing():
            raise ValueError

    same(declare, url=path)


def test_handlers_of_the_application_answer():
    def declare(app, lib):
        from importlib import import_module

        exceptions = import_module(f"{lib.__name__}.exceptions")

        @app.exception_handler(exceptions.RequestValidationError)
        async def invalid(request, error):
            return PlainTextResponse(error.errors()[0]["msg"], 400)

        @app.exception_handler(404)
        def unknown(request, error):
            return PlainTextResponse("nothing here", 404)

        @app.exception_handler(Exception)
        async def failed(request, error):
            return PlainTextResponse("sorry", 500)

        app.get("/fails")(lambda: 1 / 0)
        app.get("/{number}")(lambda number: number)

        @app.get("/int/{number}")
        def typed(number: int): ...

    assert same(declare, url="/int/x").status_code == 400
    assert same(declare, url="/a/b/c").text == "nothing here"
    assert same(declare, url="/fails").text == "sorry"


def test_middleware_wraps_pages():
    def declare(app, lib):
        @app.middleware("http")
        async def stamp(request, call_next):
            response = await call_next(request)
            response.headers["x-stamp"] = "yes"
            return response

        app.get("/")(lambda: "page")

    assert same(declare).headers["x-stamp"] == "yes"
    with pytest.raises(EndpointError, match="add_middleware"):
        App().middleware("websocket")


def test_a_page_and_a_socket_share_a_path(attempt):
    app = App()

    @app.websocket("/chat")
    async def chat(ws: WebSocket):
        await ws.accept()
        await ws.send_json("chat")

    app.get("/chat")(lambda: "page")
    assert attempt(app, "/chat").messages == ("chat",)
    assert TestClient(app).get("/chat").json() == "page"


# --- what is FastAPI's business


def test_bodies_are_fastapis_business():
    app = App()
    for kind in (Item, Item | None, dict, dict[str, int], list[Item]):

        def create(ready: bool, item: kind): ...

        with pytest.raises(EndpointError, match=r"`item`.*FastAPI's business"):
            app.post("/")(create)

    def wrong(item: Annotated[dict, Query()]): ...

    with pytest.raises(EndpointError, match="`item`") as refusal:
        app.post("/")(wrong)
    assert "FastAPI's business" not in str(refusal.value)
    assert app.routes == []


def test_the_body_itself_is_there():
    app = App()

    @app.post("/")
    async def create(request: Request):
        return await request.json()

    assert TestClient(app).post("/", json={"a": 1}).json() == {"a": 1}


def test_keywords_are_checked():
    app = App()
    app.get("/", tags=["x"], summary="s", response_model=None)(lambda: 1)
    with pytest.raises(EndpointError, match=r"'response_model', which is FastAPI's business"):
        app.get("/", response_model=Item)(lambda: 1)


def test_declarations_are_checked():
    app = App()
    with pytest.raises(EndpointError, match="begins with '/'"):
        app.get("page")
    with pytest.raises(EndpointError, match="cannot be read"):
        app.get("/{a}/{a}")(lambda: 1)

    def socket(ws: WebSocket): ...

    with pytest.raises(EndpointError, match="WebSocket"):
        app.get("/")(socket)


def test_a_route_says_what_it_is():
    def page(): ...

    route = APIRoute("/page", page, name="home", methods=["get", "POST"])
    line = inspect.getsourcelines(page)[1]
    name = "test_a_route_says_what_it_is.<locals>.page"
    assert repr(route) == f"<APIRoute GET,HEAD,POST /page: {name} at {__file__}:{line}>"
    app = App(routes=[route])
    assert app.url_path_for("home") == "/page"


def test_a_number_too_long_for_int_is_no_match():
    app = App()
    app.get("/{number:int}")(lambda number: number)
    client = TestClient(app)
    assert client.get("/12").json() == 12
    assert client.get("/" + "9" * 5000).status_code == 404


def test_plain_routes_of_starlette_are_still_there():
    app = App(routes=[Route("/", lambda _: PlainTextResponse("page"))])

    @app.router.api_route("/other", methods=["GET"])
    def other():
        return "other"

    assert TestClient(app).get("/").text == "page"
    assert TestClient(app).get("/other").json() == "other"
