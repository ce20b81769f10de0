import inspect
from typing import Annotated

import pytest
import starlette.endpoints
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute as StarletteRoute
from starlette.testclient import TestClient

from wslab.asgi import App, Depends, Query, WebSocket
from wslab.asgi.endpoints import WebSocketEndpoint
from wslab.asgi.routing import APIRouter, WebSocketRoute
from wslab.errors import EndpointError


async def user(token: str = Query()):
    yield f"user {token}"


async def sent_by(app, message, sent=None):
    """Serve a connection that sends one message, without a client in between."""
    messages = iter([{"type": "websocket.connect"}, message])
    sent = [] if sent is None else sent

    async def receive():
        return next(messages)

    async def send(each):
        sent.append(each)

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b"", "subprotocols": []}
    await app(scope, receive, send)


def echo_of(base):
    class Echo(base):
        encoding = "json"

        async def on_receive(self, websocket, data):
            await websocket.send_json([type(websocket).__module__.partition(".")[0], data])

    return Echo


@pytest.mark.parametrize("base", [WebSocketEndpoint, starlette.endpoints.WebSocketEndpoint])
@pytest.mark.parametrize("declare", ["websocket", "websocket_route"])
def test_a_class_serves(base, declare):
    app, router = App(), APIRouter(prefix="/r")
    echo = echo_of(base)
    assert getattr(router, declare)("/ws", name="echo")(echo) is echo
    app.include_router(router, prefix="/p")
    with TestClient(app).websocket_connect("/p/r/ws") as session:
        session.send_json({"a": 1})
        assert session.receive_json() == ["wslab", {"a": 1}]
        session.send_bytes(b"[2]")
        assert session.receive_json() == ["wslab", [2]]
    assert app.url_path_for("echo") == "/p/r/ws"


def test_a_class_is_an_asgi_application_too():
    app = Starlette(routes=[StarletteRoute("/", echo_of(WebSocketEndpoint))])
    with TestClient(app).websocket_connect("/") as session:
        session.send_json(1)
        assert session.receive_json() == ["wslab", 1]


def test_every_method_and_the_constructor_declare_what_they_need():
    events = []

    class Chat(WebSocketEndpoint):
        encoding = "text"

        def __init__(self, room: int, limit: Annotated[int, Query(ge=1)] = 5):
            self.room, self.limit = room, limit

        async def on_connect(self, websocket, name: str = Depends(user)):
            await websocket.accept()
            await websocket.send_json([self.room, self.limit, name])

        async def on_receive(self, websocket, data, name=Depends(user), *, shout: bool = False):
            await websocket.send_json([name, data.upper() if shout else data])

        async def on_disconnect(self, _, close_code, name: Annotated[str, Depends(user)]):
            events.append((close_code, name))

    app = App()
    app.websocket("/{room}")(Chat)
    with TestClient(app) as client:
        with client.websocket_connect("/7?token=t&shout=1&limit=2") as session:
            assert session.receive_json() == [7, 2, "user t"]
            session.send_text("x")
            assert session.receive_json() == ["user t", "X"]
            session.close(3000)
        assert events == [(3000, "user t")]
    plan = app.routes[0].plan
    assert [call for call in plan.dependencies if call is user] == [user]  # shared among the methods
    assert {parameter.key for parameter in plan.parameters} == {"room", "limit", "token", "shout"}


def test_what_does_not_fit_is_refused_before_the_constructor(attempt):
    made = []

    class Chat(WebSocketEndpoint):
        def __init__(self, limit: int):
            made.append(limit)

    app = App()
    app.websocket("/")(Chat)
    assert attempt(app, "/?limit=x", messages=0).status == 403
    assert attempt(app, "/?limit=1", messages=0).status == 101
    assert made == [1]


def test_dependencies_of_application_router_and_route_run_for_classes(attempt):
    noted = []
    notes = [Depends(lambda value=value: noted.append(value)) for value in ("app", "router", "route")]
    app, router = App(dependencies=notes[:1]), APIRouter(dependencies=notes[1:2])
    router.websocket("/ws", dependencies=notes[2:])(WebSocketEndpoint)
    router.websocket_route("/plain")(WebSocketEndpoint)
    app.include_router(router)
    attempt(app, "/ws", messages=0)
    assert noted == ["app", "router", "route"]
    attempt(app, "/plain", messages=0)
    assert noted[3:] == ["app", "router"]


def test_starlettes_constructor_is_called_with_what_it_takes(attempt):
    class Chat(WebSocketEndpoint):
        def __init__(self, scope, receive, send):
            super().__init__(scope, receive, send)
            self.path = scope["path"]

        async def on_connect(self, websocket):
            await websocket.accept()
            await websocket.send_json([self.path, self.scope is websocket.scope])

    app = App()
    app.websocket_route("/x")(Chat)
    assert attempt(app, "/x").messages == (["/x", True],)


def test_a_dispatch_of_the_classs_own_is_called(attempt):
    class Own(WebSocketEndpoint):
        async def dispatch(self):
            websocket = WebSocket(self.scope, self.receive, self.send)
            await websocket.accept()
            await websocket.send_json("own")

    app = App()
    app.websocket_route("/")(Own)
    assert attempt(app).messages == ("own",)


async def test_an_error_ends_the_connection_after_on_disconnect():
    events = []

    class Failing(WebSocketEndpoint):
        async def on_receive(self, _, data):
            raise ValueError(data)

        async def on_disconnect(self, _, close_code):
            events.append(close_code)

    app = App()
    app.websocket("/")(Failing)
    with pytest.raises(ValueError, match="boom"):
        await sent_by(app, {"type": "websocket.receive", "text": "boom"})
    assert events == [1011]


async def test_a_message_of_the_wrong_kind_ends_the_connection():
    class Text(WebSocketEndpoint):
        encoding = "text"

    app = App()
    app.websocket("/")(Text)
    sent = []
    with pytest.raises(RuntimeError, match="Expected text"):
        await sent_by(app, {"type": "websocket.receive", "bytes": b"x"}, sent)
    assert [message.get("code") for message in sent] == [None, 1003]


# --- websocket_route


@pytest.mark.parametrize("annotated", [True, False])
def test_a_function_gets_the_connection_whatever_it_calls_it(attempt, annotated):
    app = App()

    @app.websocket_route("/a")
    async def endpoint(session):
        await session.accept({"bearer": None}.get("x"), {"x-own": "yes"})
        await session.send_json("any name")

    if annotated:
        endpoint.__annotations__["session"] = WebSocket
    assert attempt(app, "/a").messages == ("any name",)
    assert repr(app.routes[0]).endswith(f"{__file__}:{inspect.getsourcelines(endpoint)[1]}>")


def test_a_function_with_more_parameters_declares_them(attempt):
    app = App()

    @app.websocket_route("/a")
    async def endpoint(ws: WebSocket, name: str = Depends(user)):
        await ws.accept()
        await ws.send_json(name)

    assert attempt(app, "/a?token=t").messages == ("user t",)


@pytest.mark.parametrize("as_class", [True, False])
def test_an_asgi_application_serves_a_path(attempt, as_class):
    class Application:
        def __init__(self, *connection):
            self.connection = connection

        async def __call__(self, scope, receive, send):
            websocket = WebSocket(scope, receive, send)
            await websocket.accept()
            await websocket.send_json(scope["path"])

        def __await__(self):
            return self(*self.connection).__await__()

    app = App()
    app.add_websocket_route("/a", Application if as_class else Application())
    assert attempt(app, "/a").messages == ("/a",)


@pytest.mark.parametrize("endpoint", [lambda ws: ws, 5, None])
def test_what_cannot_serve_is_refused(endpoint):
    with pytest.raises(EndpointError, match="async def"):
        App().add_websocket_route("/a", endpoint)
    with pytest.raises(EndpointError, match="begins with '/'"):
        App().websocket_route(endpoint)


def test_a_class_that_is_no_endpoint_is_refused_by_websocket():
    class Chat: ...

    with pytest.raises(EndpointError, match="it is a class"):
        App().websocket("/")(Chat)


def test_errors_name_the_class_and_the_place():
    class Chat(WebSocketEndpoint):
        async def on_connect(self, websocket, wrong: dict): ...

    line = inspect.getsourcelines(Chat.on_connect)[1]
    with pytest.raises(EndpointError, match=rf"Chat\.on_connect.*{line}"):
        WebSocketRoute("/", Chat)

    class Good(WebSocketEndpoint):
        async def on_receive(self, websocket, data): ...

    line = inspect.getsourcelines(Good.on_receive)[1]
    assert repr(WebSocketRoute("/", Good)).endswith(f"Good at {__file__}:{line}>")
    assert repr(WebSocketRoute("/", WebSocketEndpoint)).startswith("<WebSocketRoute /: WebSocketEndpoint")
