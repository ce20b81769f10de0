import inspect
import warnings

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, NoMatchFound, Route, Router
from starlette.routing import WebSocketRoute as StarletteRoute

from wslab.asgi import Depends, Path, Query, UnusedPathVariableWarning, WebSocket
from wslab.asgi.routing import WebSocketRoute, check_path, same_address, websocket_paths
from wslab.errors import EndpointError


async def echo(ws: WebSocket):
    await ws.accept()
    await ws.send_json("echo")


async def room(ws: WebSocket, number: int):
    await ws.accept()
    await ws.send_json(number)


def test_a_route_knows_its_endpoint_and_its_plan():
    route = WebSocketRoute("/rooms/{number}", room)
    assert route.endpoint is room
    assert route.name == "room"
    assert route.plan.endpoint is room
    assert repr(route) == (
        f"<WebSocketRoute /rooms/{{number}}: room at {__file__}:{inspect.getsourcelines(room)[1]}>"
    )
    assert route.url_path_for("room", number=3) == "/rooms/3"


def test_a_route_can_have_a_name_of_its_own():
    assert WebSocketRoute("/", echo, name="home").url_path_for("home") == "/"
    with pytest.raises(NoMatchFound):
        WebSocketRoute("/", echo, name="home").url_path_for("echo")


def test_a_route_serves_in_any_starlette_application(attempt):
    route = WebSocketRoute("/rooms/{number}", room)
    for app in (Starlette(routes=[route]), Router(routes=[route])):
        assert attempt(app, "/rooms/3").messages == (3,)
        assert attempt(app, "/rooms/x").status == 403


def test_a_convertor_gives_the_value_its_type(attempt):
    app = Starlette(routes=[WebSocketRoute("/rooms/{number:int}", room)])
    assert attempt(app, "/rooms/3").messages == (3,)
    assert attempt(app, "/rooms/x").code == 1000  # no route: Starlette's own answer


def test_a_number_too_long_for_int_is_no_match(attempt):
    app = Starlette(routes=[WebSocketRoute("/rooms/{number:int}", room)])
    assert attempt(app, "/rooms/" + "9" * 5000).code == 1000


def test_middleware_wraps_one_route(attempt):
    def doubling(app):
        async def wrapped(scope, receive, send):
            scope["path_params"]["number"] = "6"
            await app(scope, receive, send)

        return wrapped

    app = Starlette(routes=[WebSocketRoute("/{number}", room, middleware=[Middleware(doubling)])])
    assert attempt(app, "/3").messages == (6,)


@pytest.mark.parametrize("path", ["echo", "", None, 5, echo])
def test_a_path_begins_with_a_slash(path):
    for check in (check_path, lambda path: WebSocketRoute(path, echo)):
        with pytest.raises(EndpointError, match=r"begins with '/'.*app\.websocket"):
            check(path)


@pytest.mark.parametrize(
    ("path", "message"), [("/{a}/{a}", "Duplicated param name"), ("/{a:nothing}", "Unknown path convertor")]
)
def test_a_path_that_cannot_be_read(path, message):
    with pytest.raises(EndpointError, match=message):
        WebSocketRoute(path, echo)


# --- overrides


async def user():
    return "user"


async def greet(ws: WebSocket, name: str = Depends(user)):
    await ws.accept()
    await ws.send_json(name)


def test_plans_are_compiled_again_only_when_the_overrides_change():
    route = WebSocketRoute("/", greet)
    assert route.plan_for(None) is route.plan_for({}) is route.plan
    overrides = {user: lambda: "stub"}
    plan = route.plan_for(overrides)
    assert plan is not route.plan
    assert route.plan_for(dict(overrides)) is plan
    overrides[user] = lambda: "other"
    assert route.plan_for(overrides) is not plan
    assert route.plan_for({}) is route.plan


# --- the warning about path variables


def declared(path, endpoint):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WebSocketRoute(path, endpoint)
    return caught


def test_a_variable_that_nobody_takes_is_warned_about_beside_what_was_guessed():
    async def endpoint(ws: WebSocket, path_param: str, other: str = "", explicit: str = Query("")): ...

    (caught,) = declared("/ws/{path}", endpoint)
    assert caught.category is UnusedPathVariableWarning
    text = str(caught.message)
    assert "{path}" in text
    assert "`path_param`, `other`" in text
    assert "explicit" not in text
    assert (caught.filename, caught.lineno) == (__file__, inspect.getsourcelines(endpoint)[1])


def test_what_a_dependency_takes_or_guesses_counts():
    def taking(path: str): ...
    def guessing(query: str): ...

    async def taken(ws: WebSocket, q: str, x=Depends(taking)): ...
    async def guessed(ws: WebSocket, x=Depends(guessing)): ...

    assert declared("/{path}", taken) == []
    (caught,) = declared("/{path}", guessed)
    assert "`query`" in str(caught.message)


def test_there_is_no_warning_without_both():
    async def only_unused(ws: WebSocket, explicit: str = Query()): ...
    async def only_guessed(ws: WebSocket, q: str): ...
    async def by_alias(ws: WebSocket, q: str, number: str = Path(alias="path")): ...

    assert declared("/{path}", only_unused) == []
    assert declared("/", only_guessed) == []
    assert declared("/{path}", by_alias) == []


def test_the_warning_comes_again_when_the_cell_is_run_again():
    async def endpoint(ws: WebSocket, q: str): ...

    for _ in range(2):
        with pytest.warns(UnusedPathVariableWarning):
            WebSocketRoute("/{path}", endpoint)


# --- helpers


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a", "/a", True),
        ("/a", "/b", False),
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}", "/a/{x:str}", True),
        ("/a/{x}", "/a/{x:int}", False),
        ("/a/{x}", "/a/x", False),
        ("/a/{x}/b", "/a/{x}/c", False),
    ],
)
def test_two_paths_are_the_same_when_they_match_the_same(one, other, same):
    async def endpoint(ws: WebSocket): ...

    assert same_address(WebSocketRoute(one, endpoint), StarletteRoute(other, endpoint)) is same


def test_the_paths_of_mounted_applications_are_known():
    inner = Starlette(routes=[WebSocketRoute("/echo", echo), Route("/page", lambda _: None)])
    routes = [WebSocketRoute("/top", echo), Mount("/inner", inner), Mount("/raw", lambda *_: None)]
    assert list(websocket_paths(routes)) == ["/top", "/inner/echo"]
