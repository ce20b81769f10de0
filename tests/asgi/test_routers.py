import contextlib

import fastapi
import pytest
import starlette.routing
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

import wslab.asgi
from wslab.asgi import App, Depends, Path, Query, UnusedPathVariableWarning, WebSocket
from wslab.asgi.inclusion import IncludedRouter
from wslab.asgi.routing import APIRouter, Host, Mount, Route, websocket_paths
from wslab.asgi.routing import WebSocketRoute as OurRoute
from wslab.errors import EndpointError


def answering(value):
    async def endpoint(ws: WebSocket):
        await ws.accept()
        await ws.send_json(value)

    return endpoint


async def page(request):
    return PlainTextResponse("page")


def libraries():
    from wslab.asgi.routing import APIRouter as OurRouter

    theirs = fastapi.FastAPI, fastapi.APIRouter, fastapi.Depends, fastapi.WebSocket
    ours = App, OurRouter, Depends, WebSocket
    return pytest.mark.parametrize(
        ("app_class", "router_class", "depends", "socket"), [theirs, ours], ids=["fastapi", "wslab"]
    )


# --- what FastAPI does as well


@libraries()
def test_dependencies_run_from_the_outside_in(attempt, app_class, router_class, depends, socket):
    def noting(name):
        async def dependency(ws: socket):
            ws.scope.setdefault("noted", []).append(name)

        return depends(dependency)

    inner = router_class(prefix="/inner", dependencies=[noting("inner router")])
    outer = router_class(prefix="/outer", dependencies=[noting("outer router")])
    app = app_class(dependencies=[noting("app")])

    @inner.websocket("/ws", dependencies=[noting("route 1"), noting("route 2")])
    async def endpoint(ws: socket, x: None = noting("endpoint")):
        await ws.accept()
        await ws.send_json(ws.scope["noted"])

    outer.include_router(inner, prefix="/between", dependencies=[noting("inner include")])
    app.include_router(outer, prefix="/api", dependencies=[noting("outer include")])
    assert attempt(app, "/api/outer/between/inner/ws").messages == (
        [
            "app",
            "outer include",
            "outer router",
            "inner include",
            "inner router",
            "route 1",
            "route 2",
            "endpoint",
        ],
    )


@libraries()
def test_what_is_declared_after_the_inclusion_is_served(attempt, app_class, router_class, depends, socket):
    app, outer, inner = app_class(), router_class(prefix="/a"), router_class(prefix="/b")
    app.include_router(outer)
    outer.include_router(inner)

    @inner.websocket("/{name}")
    async def endpoint(ws: socket, name: str):
        await ws.accept()
        await ws.send_json(name)

    assert attempt(app, "/a/b/late").messages == ("late",)


@libraries()
def test_a_prefix_may_bring_a_path_variable(attempt, app_class, router_class, depends, socket):
    app, router = app_class(), router_class(prefix="/{room}")
    marker = (Path if app_class is App else fastapi.Path)(ge=3)

    @router.websocket("")
    async def endpoint(ws: socket, room: int = marker, tenant: str = "none"):
        await ws.accept()
        await ws.send_json([tenant, room])

    app.include_router(router, prefix="/t/{tenant}")
    assert attempt(app, "/t/blue/7").messages == (["blue", 7],)
    assert attempt(app, "/t/blue/2", denial=False).code == 1008


@libraries()
def test_one_router_can_be_included_twice(attempt, app_class, router_class, depends, socket):
    app, router = app_class(), router_class()

    @router.websocket("/ws")
    async def endpoint(ws: socket):
        await ws.accept()
        await ws.send_json(ws.scope["path"])

    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    assert attempt(app, "/v1/ws").messages == ("/v1/ws",)
    assert attempt(app, "/v2/ws").messages == ("/v2/ws",)
    assert app.url_path_for("endpoint") == "/v1/ws"


@libraries()
def test_lifespans_of_routers_run_within_the_applications(attempt, app_class, router_class, depends, socket):
    events = []

    def lifespan(name, state):
        @contextlib.asynccontextmanager
        async def run(app):
            events.append(f"{name} starts")
            yield state
            events.append(f"{name} stops")

        return run

    app = app_class(lifespan=lifespan("app", {"shared": "app", "own": "app"}))
    router = router_class(lifespan=lifespan("router", {"shared": "router", "nested": "router"}))

    @router.websocket("/")
    async def endpoint(ws: socket):
        await ws.accept()
        await ws.send_json([ws.state.shared, ws.state.own, ws.state.nested])

    app.include_router(router)
    with TestClient(app) as client, client.websocket_connect("/") as session:
        assert session.receive_json() == ["app", "app", "router"]
    assert events == ["app starts", "router starts", "router stops", "app stops"]


@libraries()
def test_plain_routes_and_mounts_get_the_prefix(attempt, app_class, router_class, depends, socket):
    async def plain(ws):
        await ws.accept()
        await ws.send_json("plain")

    mounted = Starlette(routes=[starlette.routing.Route("/page", page)])
    router = router_class(
        routes=[
            starlette.routing.WebSocketRoute("/ws", plain),
            starlette.routing.Route("/page", page),
            starlette.routing.Mount("/app", mounted),
            starlette.routing.Host("api.example.org", mounted),
        ]
    )
    app = app_class()
    app.include_router(router, prefix="/p")
    client = TestClient(app)
    assert attempt(app, "/p/ws").messages == ("plain",)
    assert client.get("/p/page").text == "page"
    assert client.get("/p/app/page").text == "page"
    assert TestClient(app, base_url="http://api.example.org").get("/p/page").text == "page"
    assert client.get("/page").status_code == 404
    assert client.post("/p/page").status_code == 405
    assert client.get("/p/page/", follow_redirects=False).status_code == 307


# --- what is ours: the last declaration serves


def test_a_router_included_again_is_included_once(attempt):
    app, router = App(), APIRouter(prefix="/r")
    router.websocket("/ws")(answering("old"))
    for _ in range(2):
        app.include_router(router)
    assert len(app.routes) == 1
    router.websocket("/ws")(answering("new"))
    assert attempt(app, "/r/ws").messages == ("new",)
    assert len(router.routes) == 1


def test_a_cell_that_makes_and_includes_a_router_can_run_again(attempt):
    app = App()
    app.websocket("/{anything}/other")(answering("general"))

    def cell(value, *, include_first=False):
        router = APIRouter(prefix="/r")
        if include_first:
            app.include_router(router)
        router.websocket("/ws")(answering(value))
        router.get("/page")(lambda: value)
        if not include_first:
            app.include_router(router)
        app.websocket("/r/{name}")(answering("declared after the first inclusion"))

    for number, first in enumerate([False, False, True, True, False]):
        cell(number, include_first=first)
        assert attempt(app, "/r/ws").messages == (number,)
        assert TestClient(app).get("/r/page").json() == number
    assert attempt(app, "/x/other").messages == ("general",)
    assert len(app.routes) == 3


def test_only_what_is_declared_again_is_replaced(attempt):
    app, old, new = App(), APIRouter(), APIRouter()
    old.websocket("/a")(answering("old a"))
    old.websocket("/b")(answering("old b"))
    new.websocket("/b")(answering("new b"))
    app.include_router(old)
    app.include_router(new)
    assert attempt(app, "/a").messages == ("old a",)
    assert attempt(app, "/b").messages == ("new b",)
    app.websocket("/b")(answering("newest b"))
    assert attempt(app, "/b").messages == ("newest b",)
    assert sorted(websocket_paths(app.router.leaves())) == ["/a", "/b"]


def test_a_replaced_route_keeps_its_place(attempt):
    app, router = App(), APIRouter()
    app.websocket("/a")(answering("own"))
    app.websocket("/{x}")(answering("general"))
    router.websocket("/a")(answering("included"))
    app.include_router(router)
    assert attempt(app, "/a").messages == ("included",)
    assert [route.path for route in app.router.leaves()] == ["/a", "/{x}"]


def test_http_methods_are_replaced_one_by_one():
    app = App()
    app.api_route("/x", methods=["GET", "POST"])(lambda: "both")
    app.get("/x")(lambda: "get")
    client = TestClient(app)
    assert (client.get("/x").json(), client.post("/x").json()) == ("get", "both")
    app.post("/x")(lambda: "post")
    assert (client.get("/x").json(), client.post("/x").json()) == ("get", "post")
    assert len(app.router.leaves()) == 2
    assert client.put("/x").status_code == 405


def test_a_class_of_starlette_answers_the_methods_that_are_left():
    from wslab.asgi.endpoints import HTTPEndpoint

    class Both(HTTPEndpoint):
        async def get(self, _):
            return PlainTextResponse("class get")

        async def post(self, _):
            return PlainTextResponse("class post")

    app = App(routes=[Route("/x", Both), Route("/x", page)])
    app.get("/x")(lambda: "get")
    client = TestClient(app)
    assert (client.get("/x").json(), client.post("/x").text) == ("get", "class post")


def test_a_mount_is_replaced_too():
    app = App()
    app.mount("/m", Starlette(routes=[Route("/", lambda _: PlainTextResponse("old"))]), name="m")
    app.mount("/m", Starlette(routes=[Route("/", lambda _: PlainTextResponse("new"))]), name="m")
    assert TestClient(app).get("/m/").text == "new"
    assert len(app.routes) == 1
    router = APIRouter(prefix="/p")
    router.mount("/m", app)
    outer = App()
    outer.include_router(router)
    assert TestClient(outer).get("/p/m/m/").text == "new"
    with pytest.raises(EndpointError, match="begins with '/'"):
        app.mount("m", app)


def test_an_application_can_be_mounted_below_everything():
    app = App()
    app.get("/own")(lambda: "own")
    app.mount("", Starlette(routes=[Route("/page", lambda _: PlainTextResponse("mounted"))]))
    client = TestClient(app)
    assert client.get("/own").json() == "own"
    assert client.get("/page").text == "mounted"


def test_a_route_put_into_the_list_is_seen(attempt):
    app, router = App(), APIRouter()
    app.include_router(router, prefix="/p")
    assert attempt(app, "/p/ws").status == 404
    router.routes.append(OurRoute("/ws", answering("put")))
    assert attempt(app, "/p/ws").messages == ("put",)
    router.routes[0] = OurRoute("/ws", answering("exchanged"))
    assert attempt(app, "/p/ws").messages == ("exchanged",)


def test_what_was_replaced_is_forgotten():
    app, router = App(), APIRouter()
    app.include_router(router)
    for number in range(20):
        router.websocket("/ws")(answering(number))
        app.router.leaves()
    assert len(app.routes[0]._effective) <= 2


def test_an_inclusion_that_was_taken_out_of_the_list_has_no_say():
    app, router = App(), APIRouter()
    app.include_router(router, prefix="/p")

    async def endpoint(ws: WebSocket, tenant: str = Path()): ...

    with pytest.raises(EndpointError, match=r"no variable \{tenant\}"):
        router.websocket("/ws")(endpoint)
    taken_out = app.routes.pop()  # held, as whoever may put it back holds it
    router.websocket("/ws")(endpoint)
    assert [route.path for route in router.routes] == ["/ws"]
    assert taken_out.router is router


# --- errors


def test_a_declaration_that_cannot_work_where_the_router_is_included_changes_nothing(attempt):
    app, middle, router = App(), APIRouter(), APIRouter()
    router.websocket("/{room}")(answering("old"))
    middle.include_router(router)
    app.include_router(middle, prefix="/p")

    async def endpoint(ws: WebSocket, tenant: str = Path()): ...

    with pytest.raises(EndpointError, match=r"no variable \{tenant\}"):
        router.websocket("/{room}")(endpoint)
    assert attempt(app, "/p/x").messages == ("old",)


def test_a_route_that_no_prefix_has_completed_cannot_be_included():
    app, router = App(), APIRouter()

    @router.websocket("/ws")
    async def endpoint(ws: WebSocket, tenant: str = Path()): ...

    with pytest.raises(EndpointError, match=r"no variable \{tenant\}"):
        app.include_router(router, prefix="/p")
    assert app.routes == []
    app.include_router(router, prefix="/{tenant}")


def test_path_variables_of_dependencies_may_come_with_a_prefix(attempt):
    async def tenant(name: str = Path(alias="tenant")):
        return name

    async def upper(name: str = Depends(tenant)):
        return name.upper()

    router = APIRouter(dependencies=[Depends(tenant)])

    @router.websocket("/ws")
    async def endpoint(ws: WebSocket, name: str = Depends(upper)):
        await ws.accept()
        await ws.send_json(name)

    app = App()
    app.include_router(router, prefix="/{tenant}")
    assert attempt(app, "/blue/ws").messages == ("BLUE",)


def test_other_mistakes_are_found_when_a_router_declares():
    router = APIRouter()
    with pytest.raises(EndpointError, match="plain function"):
        router.websocket("/ws")(lambda _: None)

    async def wrong(ws: WebSocket, y: dict = Query(), z: int = Path()): ...

    with pytest.raises(EndpointError):
        router.websocket("/ws")(wrong)
    assert router.routes == []


def test_the_warning_about_variables_comes_once_and_with_the_whole_path():
    app, router = App(), APIRouter()

    async def endpoint(ws: WebSocket, path_param: str): ...

    router.websocket("/{path}")(endpoint)  # a prefix may still come
    with pytest.warns(UnusedPathVariableWarning, match=r"/p/\{path\}") as caught:
        app.include_router(router, prefix="/p")
    assert len(caught) == 1
    app.router.leaves()  # without another one: it would be an error


@pytest.mark.parametrize("prefix", ["p", "/p/", 5, None])
def test_a_prefix_is_checked(prefix):
    with pytest.raises(EndpointError, match="Expected a prefix"):
        APIRouter(prefix=prefix)
    with pytest.raises(EndpointError, match="Expected a prefix"):
        App().include_router(APIRouter(), prefix=prefix)


def test_prefix_and_path_cannot_both_be_empty():
    app, router = App(), APIRouter()
    router.websocket("")(answering(1))
    router.get("")(lambda: 1)
    with pytest.raises(EndpointError, match="begins with '/'"):
        app.include_router(router)
    with pytest.raises(EndpointError, match="begins with '/'"):
        app.websocket("")
    app.include_router(router, prefix="/p")
    assert TestClient(app).get("/p").json() == 1


def test_routers_cannot_include_themselves():
    one, other, third = APIRouter(), APIRouter(), APIRouter()
    one.include_router(other)
    other.include_router(third)
    for outer, inner in ((one, one), (other, one), (third, one)):
        with pytest.raises(EndpointError, match="does not include the one it is included in"):
            outer.include_router(inner)


def test_only_our_routers_can_be_included():
    with pytest.raises(EndpointError, match="Expected an APIRouter"):
        App().include_router(fastapi.APIRouter())
    with pytest.raises(EndpointError, match="'colour'"):
        APIRouter(colour="red")
    with pytest.raises(EndpointError, match="'colour'"):
        App().include_router(APIRouter(tags=["x"]), tags=["y"], colour="red")


def test_a_route_without_a_path_cannot_be_moved():
    class Anything(starlette.routing.BaseRoute):
        def matches(self, _):
            return starlette.routing.Match.NONE, {}

    router = APIRouter(routes=[Anything()])
    with pytest.raises(EndpointError, match="routes that have a path"):
        App().include_router(router, prefix="/p")
    App().include_router(router)


# --- a router without our application


def test_an_inclusion_serves_in_a_router_of_starlette(attempt):
    router, inner = APIRouter(prefix="/r"), APIRouter()
    inner.websocket("/ws", name="socket")(answering("ws"))
    inner.get("/page")(lambda: "page")
    router.include_router(inner)
    app = Starlette(routes=router.routes)
    client = TestClient(app)
    assert attempt(app, "/r/ws").messages == ("ws",)
    assert client.get("/r/page").json() == "page"
    assert client.post("/r/page").status_code == 405
    assert client.get("/r/nothing").status_code == 404
    assert app.url_path_for("socket") == "/r/ws"
    with pytest.raises(starlette.routing.NoMatchFound):
        app.url_path_for("other")
    assert repr(router.routes[0]) == "<IncludedRouter /r: 2 routes>"


def test_a_router_is_an_asgi_application(attempt):
    router = APIRouter()
    router.websocket("/ws")(answering("ws"))
    assert attempt(router, "/ws").messages == ("ws",)
    assert attempt(App(routes=[Mount("/m", app=router)]), "/m/ws").messages == ("ws",)


def test_the_paths_of_everything_are_known():
    inner, mounted = APIRouter(prefix="/r"), App()
    inner.websocket("/a")(answering(1))
    mounted.include_router(inner)
    app = App(routes=[Mount("/m", app=mounted), Host("h", app=APIRouter(routes=inner.routes))])
    app.include_router(inner, prefix="/p")
    assert list(websocket_paths(app.routes)) == ["/m/r/a", "/r/a", "/p/r/a"]
    assert isinstance(app.routes[-1], IncludedRouter)
    assert "3 routes" in repr(app)


# --- handlers of the start and the stop


def test_handlers_of_start_and_stop_run():
    events = []

    async def stopping():
        events.append("stop")

    app = App(on_startup=[lambda: events.append("first")], on_shutdown=[stopping])
    router = APIRouter()

    @app.on_event("startup")
    async def starting():
        events.append("second")

    router.add_event_handler("shutdown", lambda: events.append("router stops"))
    app.add_event_handler("shutdown", lambda: events.append("stop first"))
    app.include_router(router)
    with TestClient(app):
        assert events == ["first", "second"]
    assert events == ["first", "second", "router stops", "stop", "stop first"]
    with pytest.raises(EndpointError, match='"startup" or "shutdown"'):
        app.on_event("sometimes")(starting)


def test_a_server_without_lifespan_state_is_enough_when_nobody_yields_one():
    async def run(app):
        sent = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        return sent

    import asyncio

    app = App()
    app.include_router(APIRouter())
    assert asyncio.run(run(app)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_the_names_of_fastapi_are_there():
    assert wslab.asgi.routing.APIWebSocketRoute is OurRoute
