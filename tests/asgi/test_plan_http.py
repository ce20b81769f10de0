"""Plans of HTTP routes: what a request fills, when its response is sent, and what is torn down when."""

import contextlib
import threading

import fastapi
import pytest
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

import wslab.asgi
from wslab.asgi import BackgroundTasks, Depends, Request, Response, WebSocket
from wslab.asgi.compiler import compile_plan
from wslab.asgi.exceptions import RequestValidationError
from wslab.asgi.plan import CONNECTION
from wslab.errors import EndpointError


def request(query=""):
    return Request(
        {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query.encode()}
    )


async def run(endpoint, query="", respond=None, **options):
    return await compile_plan(endpoint, http=True, **options).run(request(query), respond)


@pytest.mark.parametrize("annotation", [Request, fastapi.Request, HTTPConnection, Request | None])
def test_a_request_is_handed_over(annotation):
    def endpoint(anything: annotation): ...

    assert dict(compile_plan(endpoint, http=True).arguments) == {"anything": CONNECTION}


def test_the_usual_name_receives_it_without_annotation():
    def endpoint(request, ws): ...

    plan = compile_plan(endpoint, http=True)
    assert dict(plan.arguments)["request"] == CONNECTION
    assert [parameter.key for parameter in plan.parameters] == ["ws"]


def test_a_websocket_is_refused_or_left_out():
    def strict(ws: WebSocket): ...
    def shared(ws: WebSocket = None): ...
    def refused(x=Depends(strict)): ...
    def accepted(x=Depends(shared)): ...

    with pytest.raises(EndpointError, match=r"`ws` of .*strict.*WebSocket.*Request or HTTPConnection"):
        compile_plan(refused, http=True)
    (call,) = compile_plan(accepted, http=True).steps
    assert call.arguments == ()


async def test_one_dependency_can_serve_both_kinds_of_route():
    def shared(connection: HTTPConnection, request: Request = None, ws: WebSocket = None):
        return (connection.url.path, request, ws)

    async def page(x=Depends(shared)):
        return x

    path, found, websocket = await run(page)
    assert (path, type(found), websocket) == ("/", Request, None)
    assert dict(compile_plan(shared_socket(shared)).arguments)["ws"] == CONNECTION


def shared_socket(shared):
    async def socket(ws, x=Depends(shared)): ...

    return socket


async def test_the_result_is_what_the_endpoint_returned_and_a_plain_one_runs_in_a_thread():
    here = threading.get_ident()

    def plain(n: int):
        return n, threading.get_ident() == here

    async def coroutine(n: int):
        return n, threading.get_ident() == here

    assert await run(plain, "n=3") == (3, False)
    assert await run(coroutine, "n=3") == (3, True)


async def test_an_invalid_request_is_called_a_request():
    def endpoint(n: int): ...

    with pytest.raises(RequestValidationError, match="request does not fit") as caught:
        await run(endpoint, "n=x")
    assert caught.value.where.startswith(f"{__file__}:")
    assert caught.value.endpoint_function.endswith("endpoint")


@pytest.mark.parametrize("mistake", [type("Page", (), {}), lambda: (yield)])
def test_what_cannot_be_an_endpoint_is_refused(mistake):
    with pytest.raises(EndpointError, match=r"request: Request"):
        compile_plan(mistake, http=True)


def test_only_http_takes_plain_functions():
    def endpoint(): ...

    compile_plan(endpoint, http=True)
    with pytest.raises(EndpointError, match="plain function"):
        compile_plan(endpoint)


async def test_a_response_can_be_changed_on_the_way():
    seen = []

    def dependency(response: Response):
        response.headers["x-one"] = "1"

    def endpoint(response: Response, x=Depends(dependency)):
        response.status_code = 201

    async def respond(result):
        seen.append((result.response.status_code, dict(result.response.headers)))

    await run(endpoint, respond=respond)
    await run(endpoint)  # without anybody to respond, nothing is said
    assert seen == [(201, {"x-one": "1"})]


async def test_nobody_asked_for_a_response():
    async def endpoint():
        return "value"

    async def respond(result):
        assert (result.value, result.response) == ("value", None)

    assert await run(endpoint, respond=respond) == "value"


@pytest.mark.parametrize("yielding", [True, False])
async def test_the_order_is_function_response_background_request(yielding):
    log = []

    async def early():
        yield
        log.append("-function")

    def late():
        yield
        log.append("-request")

    async def with_teardown(tasks: BackgroundTasks, a=Depends(late), b=Depends(early, scope="function")):
        tasks.add_task(log.append, "background")

    async def without(tasks: BackgroundTasks):
        tasks.add_task(log.append, "background")

    async def respond(result):
        log.append("response")

    await run(with_teardown if yielding else without, respond=respond)
    expected = ["-function", "response", "background", "-request"] if yielding else ["response", "background"]
    assert log == expected


@pytest.mark.parametrize("scope", ["function", "request"])
async def test_a_swallowed_exception_leaves_nothing_to_respond(scope):
    def swallow():
        with contextlib.suppress(ValueError):
            yield

    async def endpoint(x=Depends(swallow, scope=scope)):
        raise ValueError

    async def respond(result):
        raise AssertionError("there is nothing to respond")

    with pytest.raises(EndpointError, match=r"swallowed an exception.*Raise it again"):
        await run(endpoint, respond=respond)
    assert await run(endpoint) is None


async def test_an_exception_swallowed_while_responding_is_not_lost():
    def swallow():
        with contextlib.suppress(OSError):
            yield

    async def endpoint(x=Depends(swallow)): ...

    async def respond(result):
        raise OSError

    with pytest.raises(EndpointError, match="swallowed"):
        await run(endpoint, respond=respond)


def test_the_same_program_as_with_fastapi():
    logs = []
    for make, lib in ((fastapi.FastAPI, fastapi), (wslab.asgi.App, wslab.asgi)):
        logs.append(log := [])
        app = make()
        declare_page(app, lib, log)
        answer = TestClient(app).get("/page", params={"n": 3})
        log.append((answer.status_code, answer.json(), answer.headers["x-n"]))
    theirs, ours = logs
    assert ours == theirs


def declare_page(app, lib, log):
    async def early(n: int):
        yield n
        log.append("-function")

    def late(response: lib.Response, n: int):
        response.headers["x-n"] = str(n)
        yield n + 1
        log.append("-request")

    of_the_route = lib.Depends(lambda: log.append("of the route"))

    @app.get("/page", dependencies=[of_the_route])
    def page(
        tasks: lib.BackgroundTasks,
        request: lib.Request,
        late=lib.Depends(late),
        early=lib.Depends(early, scope="function"),
    ):
        log.append(f"page {request.url.path}")
        tasks.add_task(log.append, "background")
        return {"early": early, "late": late}
