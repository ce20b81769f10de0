import contextlib

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.routing import WebSocketRoute as StarletteRoute
from starlette.testclient import TestClient

from wslab.asgi import App, Depends, WebSocket
from wslab.asgi.routing import APIRouter
from wslab.errors import EndpointError


def answering(value):
    async def endpoint(ws: WebSocket):
        await ws.accept()
        await ws.send_json(value)

    return endpoint


async def page(request):
    return PlainTextResponse("page")


def test_the_decorator_returns_the_function_unchanged(attempt):
    app = App()
    endpoint = answering(1)
    assert app.websocket("/a", name="first")(endpoint) is endpoint
    assert attempt(app, "/a").messages == (1,)
    assert app.url_path_for("first") == "/a"


def test_a_path_declared_again_is_replaced_in_its_place(attempt):
    app = App()
    app.websocket("/a")(answering("old"))
    app.websocket("/{x}")(answering("general"))
    assert attempt(app, "/a").messages == ("old",)
    app.websocket("/a")(answering("new"))
    assert attempt(app, "/a").messages == ("new",)
    assert [route.path for route in app.routes] == ["/a", "/{x}"]


def test_a_renamed_variable_is_still_the_same_path(attempt):
    app = App()
    app.websocket("/{name}")(answering("old"))
    app.websocket("/{user}")(answering("new"))
    assert attempt(app, "/x").messages == ("new",)
    assert len(app.routes) == 1


def test_a_route_of_starlette_is_replaced_too_and_http_is_left_alone(attempt):
    app = App(routes=[Route("/a", page), StarletteRoute("/a", answering("old"))])
    app.websocket("/a")(answering("new"))
    assert attempt(app, "/a").messages == ("new",)
    assert TestClient(app).get("/a").text == "page"
    assert len(app.routes) == 2


def test_a_declaration_that_fails_leaves_the_old_endpoint(attempt):
    app = App()
    app.websocket("/a")(answering("old"))
    with pytest.raises(EndpointError):
        app.websocket("/a")(lambda _: None)
    assert attempt(app, "/a").messages == ("old",)


def test_the_decorator_without_parentheses_is_caught():
    app = App()
    with pytest.raises(EndpointError, match=r'Write @app\.websocket\("/path"\)'):
        app.websocket(answering(1))


# --- dependency overrides


async def user():
    return "user"


async def greet(ws: WebSocket, name: str = Depends(user)):
    await ws.accept()
    await ws.send_json(name)


def test_overrides_come_and_go_while_the_application_serves(attempt):
    app = App()
    app.websocket("/")(greet)
    assert attempt(app).messages == ("user",)
    app.dependency_overrides[user] = lambda q: q
    assert attempt(app, "/?q=stub").messages == ("stub",)
    assert attempt(app).status == 403  # the stub's own parameters are validated
    app.dependency_overrides.clear()
    assert attempt(app).messages == ("user",)


def test_overrides_are_those_of_the_application_that_serves(attempt):
    inner = App()
    inner.websocket("/")(greet)
    outer = App(routes=[Mount("/inner", inner)])
    outer.dependency_overrides[user] = lambda: "outer"
    assert attempt(outer, "/inner/").messages == ("user",)
    inner.dependency_overrides[user] = lambda: "inner"
    assert attempt(outer, "/inner/").messages == ("inner",)


# --- unknown paths


def app_with(*paths):
    app = App()
    for path in paths:
        app.websocket(path)(answering(path))
    return app


def test_an_unknown_path_is_404_and_lists_what_there_is(attempt):
    outcome = attempt(app_with("/echo", "/chat"), "/ecoh")
    assert (outcome.status, outcome.text) == (404, "No WebSocket endpoint at '/ecoh'. There is: /echo, /chat")
    assert dict(outcome.headers)["content-type"] == "text/plain; charset=utf-8"


def test_an_unknown_path_without_the_extension_is_a_close(attempt):
    outcome = attempt(app_with("/echo"), "/ecoh", denial=False)
    assert (outcome.code, outcome.reason) == (1008, "No WebSocket endpoint at '/ecoh'. There is: /echo")


def test_an_empty_application_says_so(attempt):
    assert attempt(App(), "/x").text == "No WebSocket endpoint at '/x', nor at any other path."


def test_what_is_said_about_an_unknown_path_is_bounded_and_harmless(attempt):
    app = app_with(*(f"/p{number}" for number in range(50)))
    text = attempt(app, "/" + "x" * 5000).text
    assert len(text) < 400
    assert text.endswith("/p8, /p9, …")
    assert "\\r\\n\\x1b" in attempt(app, "/%0D%0A%1B").text  # shown, not obeyed


def test_an_unknown_page_is_fastapis_404():
    app = App(routes=[Route("/", page)])
    response = TestClient(app).get("/nothing")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    assert TestClient(app).get("/").text == "page"


# --- what is Starlette's


def test_lifespan_state_and_options_are_starlettes(attempt):
    events = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        events.append("start")
        yield {"pool": "pool"}
        events.append("stop")

    app = App(debug=True, lifespan=lifespan, max_body_size=5)
    assert (app.debug, app.max_body_size) == (True, 5)

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        await ws.send_json([ws.state.pool, ws.app is app])

    with TestClient(app) as client, client.websocket_connect("/") as session:
        assert session.receive_json() == ["pool", True]
    assert events == ["start", "stop"]


def test_the_repr_lists_the_routes():
    app = App(routes=[Route("/page", page), Mount("/static", App(), name="files")])

    @app.websocket("/echo/{name}")
    async def echo(ws: WebSocket, name: str): ...

    assert repr(app).splitlines()[0] == "<App with 3 routes"
    assert [line.split() for line in repr(app).splitlines()[1:]] == [
        ["HTTP", "/page", "page"],
        ["Mount", "/static", "files"],
        ["WS", "/echo/{name}", "test_the_repr_lists_the_routes.<locals>.echo>"],
    ]
    assert repr(App()) == "<App with 0 routes>"


# --- what FastAPI's applications have


def test_an_unknown_option_is_refused_and_openapis_are_ignored():
    assert App(docs_url=None, openapi_url="/openapi.json", redoc_url=None).routes == []
    with pytest.raises(EndpointError, match="'colour'"):
        App(colour="red")


def test_handlers_declared_with_the_decorator_run_for_connections(attempt):
    app = App()
    answered = []

    @app.exception_handler(LookupError)
    async def unknown(websocket, error):
        await websocket.accept()
        await websocket.send_json(str(error))

    @app.exception_handler(Exception)
    async def failed(websocket, error):
        answered.append((type(websocket), str(error)))
        await websocket.close(4000, "sorry")

    @app.websocket("/{kind}")
    async def endpoint(ws: WebSocket, kind: str):
        if kind == "lookup":
            raise IndexError("unknown")
        await ws.accept()
        raise ValueError("failed")

    assert attempt(app, "/lookup").messages == ("unknown",)
    with pytest.raises(ValueError, match="failed"):  # handled, and told the server's log as well
        attempt(app, "/other")
    assert answered == [(WebSocket, "failed")]


def test_middleware_wraps_connections_and_the_state_is_shared(attempt):
    class Stamp:
        def __init__(self, app, value):
            self.app, self.value = app, value

        async def __call__(self, scope, receive, send):
            scope["stamp"] = self.value
            await self.app(scope, receive, send)

    app = App()
    app.add_middleware(Stamp, value="stamped")
    app.state.pool = "pool"
    passed_by = []

    @app.middleware("http")
    async def timed(request, call_next):
        passed_by.append(request)
        return await call_next(request)

    @app.websocket("/")
    async def endpoint(ws: WebSocket):
        await ws.accept()
        await ws.send_json([ws.scope["stamp"], ws.app.state.pool])

    assert attempt(app).messages == (["stamped", "pool"],)
    assert passed_by == []


def test_every_way_to_declare_without_a_decorator(attempt):
    app, router = App(), APIRouter()
    app.add_websocket("/a", answering("a"))
    app.add_api_websocket_route("/b", answering("b"), "name", dependencies=[Depends(user)])
    router.add_websocket("/c", answering("c"), name="other")
    app.include_router(router)
    assert [attempt(app, path).messages for path in ("/a", "/b", "/c")] == [("a",), ("b",), ("c",)]
    assert (app.url_path_for("name"), app.url_path_for("other")) == ("/b", "/c")
