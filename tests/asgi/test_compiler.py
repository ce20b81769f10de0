from dataclasses import dataclass
from functools import partial, wraps
from typing import Annotated, Any

import fastapi
import pytest
import starlette.websockets
from starlette.requests import HTTPConnection

from wslab.asgi import (
    BackgroundTasks,
    Cookie,
    Depends,
    Header,
    Path,
    Query,
    Request,
    Response,
    WebSocket,
)
from wslab.asgi.compiler import compile_plan
from wslab.asgi.dependencies import Security
from wslab.asgi.plan import BACKGROUND, CONNECTION, Call, Read
from wslab.asgi.security import HTTPBearer
from wslab.errors import EndpointError


def read_names(plan):
    return [f"{parameter.declared.source} {parameter.key}" for parameter in plan.parameters]


def a(x: int = 0): ...


def b(y: int = 0, a=Depends(a)): ...


# --- the order and the slots of the steps


def test_steps_stand_in_the_order_in_which_they_are_needed():
    async def endpoint(ws, z: int = 0, room: str = "", b=Depends(b), agent: str = Header("")): ...

    plan = compile_plan(endpoint, ["room"])
    assert read_names(plan) == ["query x", "query y", "path room", "query z", "header agent"]
    assert plan.dependencies == (a, b)
    filled = {CONNECTION, BACKGROUND}
    for step in plan.steps:
        needed = {slot for _, slot in step.arguments} if isinstance(step, Call) else set()
        assert needed <= filled
        filled.add(step.slot)
    assert len(filled) == plan.size
    assert {slot for _, slot in plan.arguments} <= filled
    assert isinstance(plan.steps[0], Read)


def test_path_query_header_and_cookie_are_read_in_this_order():
    async def endpoint(ws, c: str = Cookie(), h: str = Header(), q: str = Query(), p: str = Path()): ...

    assert read_names(compile_plan(endpoint, ["p"])) == ["path p", "query q", "header h", "cookie c"]


def test_a_shared_dependency_is_planned_once():
    async def endpoint(ws, first=Depends(a), second=Depends(b), third=Depends(a)): ...

    plan = compile_plan(endpoint)
    assert plan.dependencies == (a, b)
    slots = dict(plan.arguments)
    assert slots["first"] == slots["third"] != slots["second"]


def test_without_the_cache_it_is_planned_each_time():
    async def endpoint(ws, x=Depends(a, use_cache=False), y=Depends(a), z=Depends(a, use_cache=False)): ...

    plan = compile_plan(endpoint)
    assert plan.dependencies == (a, a)
    slots = dict(plan.arguments)
    assert slots["x"] == slots["y"] != slots["z"]  # FastAPI, too, shares what was called first


class Service:
    def get(self): ...


def test_equal_bound_methods_are_one_dependency():
    service, other = Service(), Service()

    async def endpoint(ws, x=Depends(service.get), y=Depends(service.get), z=Depends(other.get)): ...

    assert compile_plan(endpoint).dependencies == (service.get, other.get)


@dataclass
class Unhashable:
    size: int

    def __call__(self): ...


def test_what_cannot_be_hashed_is_told_apart_by_identity():
    one, same = Unhashable(1), Unhashable(1)

    async def endpoint(ws, x=Depends(one), y=Depends(one), z=Depends(same)): ...

    plan = compile_plan(endpoint, overrides={a: b})
    assert [call is one for call in plan.dependencies] == [True, False]


def test_a_security_scheme_is_asked_again_where_other_scopes_are_wanted():
    scheme = HTTPBearer()

    async def endpoint(
        ws,
        x=Security(scheme, scopes=["a"]),
        y=Security(scheme, scopes=["b"]),
        z=Security(scheme, scopes=["a"]),
    ): ...

    plan = compile_plan(endpoint)
    assert plan.dependencies == (scheme, scheme)
    assert [step.scopes for step in plan.steps if isinstance(step, Call)] == [("a",), ("b",)]


def test_scopes_reach_a_scheme_through_dependencies_that_know_nothing_of_them():
    scheme = HTTPBearer()

    def user(token=Depends(scheme)): ...

    async def endpoint(ws, x=Security(user, scopes=["a"]), y=Depends(user)): ...
    async def with_circle(ws, x=Depends(chicken)): ...

    assert compile_plan(endpoint).dependencies == (scheme, user, scheme, user)
    with pytest.raises(EndpointError, match="circle"):
        compile_plan(with_circle)


def test_a_stack_is_only_planned_where_something_yields():
    def generator():
        yield

    async def plain(ws, x=Depends(a)): ...
    async def yielding(ws, x=Depends(generator)): ...

    assert not compile_plan(plain).yields
    assert compile_plan(yielding).yields


def test_overrides_replace_dependencies_and_their_parameters():
    def instead(w: int = 0): ...

    async def endpoint(ws, b=Depends(b)): ...

    plan = compile_plan(endpoint, overrides={a: instead})
    assert plan.dependencies == (instead, b)
    assert read_names(plan) == ["query w", "query y"]


# --- what receives the connection


@pytest.mark.parametrize(
    "annotation",
    [
        WebSocket,
        starlette.websockets.WebSocket,
        fastapi.WebSocket,
        HTTPConnection,
        WebSocket | None,
        Annotated[WebSocket, "x"],
        type("Mine", (WebSocket,), {}),
    ],
)
def test_an_annotated_parameter_receives_the_connection(annotation):
    async def endpoint(anything: annotation): ...

    assert dict(compile_plan(endpoint).arguments) == {"anything": CONNECTION}


def test_the_usual_names_receive_it_without_annotation():
    async def one(ws): ...
    async def two(websocket): ...

    assert dict(compile_plan(one).arguments) == {"ws": CONNECTION}
    assert dict(compile_plan(two).arguments) == {"websocket": CONNECTION}


def test_the_usual_names_are_free_for_other_uses():
    async def in_path(ws): ...
    async def with_type(ws: str): ...
    async def with_default(ws="x"): ...

    assert read_names(compile_plan(in_path, ["ws"])) == ["path ws"]
    assert read_names(compile_plan(with_type)) == ["query ws"]
    assert read_names(compile_plan(with_default)) == ["query ws"]


def test_a_dependency_can_take_the_place_of_the_connection():
    async def endpoint(connection: WebSocket = Depends(a)): ...

    assert compile_plan(endpoint).dependencies == (a,)


def test_background_tasks_are_handed_over():
    async def endpoint(ws, tasks: BackgroundTasks): ...

    plan = compile_plan(endpoint)
    assert dict(plan.arguments)["tasks"] == BACKGROUND
    assert plan.background


@pytest.mark.parametrize("annotation", [Request, Response])
def test_what_a_websocket_does_not_have_is_refused_or_left_out(annotation):
    def strict(it: annotation): ...
    def shared(it: annotation = None): ...  # common in dependencies that serve HTTP routes too
    async def refused(ws, x=Depends(strict)): ...
    async def accepted(ws, x=Depends(shared)): ...

    with pytest.raises(EndpointError, match=rf"`it`.*strict.*{annotation.__name__}.*HTTPConnection"):
        compile_plan(refused)
    (call,) = compile_plan(accepted).steps
    assert call.arguments == ()


# --- endpoints


class Endpoint:
    async def __call__(self, ws): ...

    async def method(self, ws): ...


async def good(ws): ...


@pytest.mark.parametrize("endpoint", [good, Endpoint(), Endpoint().method, partial(good)])
def test_whatever_can_be_awaited_is_an_endpoint(endpoint):
    assert dict(compile_plan(endpoint).arguments) == {"ws": CONNECTION}


def plain(ws): ...


def generator(ws):
    yield


async def async_generator(ws):
    yield


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (plain, r"`plain` \(.*test_compiler.py:\d+\): it is a plain function.*Write `async def plain\(ws"),
        (lambda _: None, r"it is a plain function.*Write `async def endpoint\(ws"),
        (generator, r"it yields.*Write `async def generator\(ws"),
        (async_generator, r"it yields.*Write `async def async_generator\(ws"),
        (Endpoint, r"it is a class.*Write `async def Endpoint\(ws"),
        (5, r"got 5"),
        (None, r"got None"),
    ],
)
def test_what_cannot_be_an_endpoint_is_told_what_to_write(endpoint, message):
    with pytest.raises(EndpointError, match=message):
        compile_plan(endpoint)


def test_a_decorator_that_hides_the_signature_is_told_about_wraps():
    def hiding(function):
        async def inner(*args, **kwargs):
            await function(*args, **kwargs)

        return inner

    def open_(function):
        return wraps(function)(hiding(function))

    with pytest.raises(EndpointError, match=r"functools\.wraps"):
        compile_plan(hiding(good))
    assert dict(compile_plan(open_(good)).arguments) == {"ws": CONNECTION}


async def test_an_endpoint_needs_no_parameters():
    async def endpoint(): ...

    assert compile_plan(endpoint).arguments == ()


# --- declarations that could never work


def test_a_circle_of_dependencies_is_drawn():
    async def endpoint(ws, x=Depends(chicken)): ...

    with pytest.raises(EndpointError, match=r"circle: `.*endpoint` → `chicken` → `egg` → `chicken`"):
        compile_plan(endpoint)


def chicken(x: "Annotated[Any, Depends(egg)]"): ...


def egg(x: Annotated[Any, Depends(chicken)]): ...


def test_an_override_that_asks_for_what_it_replaces_is_a_circle():
    def instead(real=Depends(a)): ...
    async def endpoint(ws, x=Depends(a)): ...

    with pytest.raises(EndpointError, match="circle"):
        compile_plan(endpoint, overrides={a: instead})


def test_two_uses_of_one_dependency_are_no_circle():
    def left(x=Depends(a, use_cache=False)): ...
    async def endpoint(ws, x=Depends(a, use_cache=False), y=Depends(left)): ...

    assert compile_plan(endpoint).dependencies == (a, a, left)


def test_depends_without_anything_to_call():
    async def endpoint(ws, x=Depends()): ...

    with pytest.raises(EndpointError, match=r"`x`.*nothing says what to call"):
        compile_plan(endpoint)


def test_depends_calls_the_annotation():
    async def endpoint(ws, x: Annotated[Service, Depends()], y: Service = Depends()): ...

    assert compile_plan(endpoint).dependencies == (Service,)


@pytest.mark.parametrize("default", [Query("x"), Depends(a), Header()])
@pytest.mark.parametrize("marker", [Query(), Depends(a)])
def test_a_marker_twice_is_one_too_many(marker, default):
    async def endpoint(ws, x: Annotated[str, marker] = default): ...

    with pytest.raises(EndpointError, match=r"`x`.*Keep one"):
        compile_plan(endpoint)


def test_a_default_belongs_after_the_equals_sign():
    async def wrong(ws, x: Annotated[str, Query("y")]): ...
    async def right(ws, x: Annotated[str, Query()] = "y"): ...

    with pytest.raises(EndpointError, match="equals sign"):
        compile_plan(wrong)
    (parameter,) = compile_plan(right).parameters
    assert parameter.declared.default == "y"


def test_a_default_and_a_factory_are_one_too_many():
    async def endpoint(ws, x: Annotated[list[str], Query(default_factory=list)] = ()): ...

    with pytest.raises(EndpointError, match="both"):
        compile_plan(endpoint)


def test_a_default_beside_path_is_refused():
    async def endpoint(ws, x: Annotated[str, Path()] = "y"): ...

    with pytest.raises(EndpointError, match="always there"):
        compile_plan(endpoint, ["x"])


def test_one_annotation_can_serve_two_parameters_with_different_defaults():
    Name = Annotated[str, Query(min_length=2)]  # noqa: N806 - a type's name

    async def endpoint(ws, x: Name, y: Name = "ada"): ...

    x, y = compile_plan(endpoint).parameters
    assert x.declared.required
    assert y.declared.default == "ada"


@pytest.mark.parametrize("marker", [fastapi.Query(1), fastapi.Depends(a), fastapi.Path()])
def test_fastapis_markers_are_not_taken_for_values(marker):
    async def as_default(ws, x: int = marker): ...
    async def in_annotated(ws, x: Annotated[int, marker]): ...

    name = type(marker).__name__
    for endpoint in (as_default, in_annotated):
        with pytest.raises(EndpointError, match=rf"FastAPI's {name}.*Import {name} from wslab.asgi"):
            compile_plan(endpoint)


def test_a_marker_on_the_connection_is_refused():
    async def endpoint(ws: WebSocket = Query()): ...

    with pytest.raises(EndpointError, match=r"`ws`.*a query cannot carry"):
        compile_plan(endpoint)


def test_an_error_in_a_dependency_names_the_dependency():
    def broken(manager: Service): ...
    async def endpoint(ws, x=Depends(b), y=Depends(broken)): ...

    with pytest.raises(EndpointError, match=r"`manager` of `.*broken` .*Service.*Depends\(function\)"):
        compile_plan(endpoint)


def test_a_plan_can_be_read():
    async def endpoint(ws, x=Depends(b)): ...

    assert repr(compile_plan(endpoint)).endswith("endpoint: query x, query y, a(), b()>")
    assert repr(compile_plan(good)) == "<Plan of good: no parameters>"
