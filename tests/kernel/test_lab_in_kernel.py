"""A lab in a real kernel: it serves, it is run again, and its errors stay in the cell."""

from __future__ import annotations

import socket

import pytest

from tests.kernel.clients import (
    ECHO_LAB,
    close_of,
    connection_rows,
    cut_client,
    echo_client,
    serve,
    wait_until,
)

pytestmark = pytest.mark.kernel


def test_it_serves_while_the_kernel_is_idle_and_while_a_cell_awaits(kernel):
    port = serve(kernel)
    with echo_client(port) as client:
        assert client.ask("idle") == "first idle"
        cell = kernel.send(
            "print('begun')\nwhile not any(f.text == 'go on' for f in lab.frames): await asyncio.sleep(0.05)"
        )
        cell.wait_for_output("begun")
        assert client.ask("awaiting") == "first awaiting"
        assert not cell.done
        assert client.ask("go on") == "first go on"
        cell.result().ok()


def test_the_cell_run_again_serves_its_new_code_at_the_same_port(kernel):
    port = serve(kernel)
    with echo_client(port) as old:
        assert old.ask("a") == "first a"
        assert serve(kernel, ECHO_LAB.replace("first", "second")) == port
        wait_until(kernel, "any(type(e).__name__ == 'AppSwapped' for e in lab.log)")
        with echo_client(port) as new:
            assert new.ask("b") == "second b"
        assert old.ask("c") == "first c"
    assert kernel.run("len(lab.connections)").text == "2"


def test_the_unchanged_cell_run_again_is_harmless(kernel):
    assert serve(kernel) == serve(kernel) == serve(kernel)
    assert kernel.run("lab.start(); lab.start() is lab").text == "True"


def test_an_endpoint_defined_again_on_the_same_app_wins(kernel):
    port = serve(kernel)
    kernel.run("""
@app.websocket("/echo")
async def echo(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("newest")
""").ok()
    with echo_client(port) as client:
        assert client.connection.recv(timeout=20) == "newest"


def test_a_port_in_use_is_an_error_of_the_cell_and_costs_nothing(kernel):
    serve(kernel, "kept = [1, 2]\n" + ECHO_LAB)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        failed = kernel.run(f"other = wslab.Lab(app, port={port}, name='other'); other.start()")
    error = failed.raised("PortInUseError")
    assert str(port) in error.evalue
    assert kernel.alive()
    assert kernel.run("kept, lab.running, other.running").text == "([1, 2], True, False)"
    assert kernel.run("other.start(); other.running").text == "True"


FAILING_LIFESPAN = """
import contextlib, wslab

@contextlib.asynccontextmanager
async def lifespan(app):
    raise ValueError("no database")
    yield

kept = "kept"
lab = wslab.Lab(wslab.App(lifespan=lifespan))
"""


def test_a_lifespan_that_fails_raises_where_the_start_is_awaited(kernel):
    kernel.run(FAILING_LIFESPAN).ok()
    error = kernel.run("await lab.start()").raised("StartupError")
    assert "no database" in error.traceback
    assert kernel.alive()
    assert kernel.run("kept, lab.running").text == "('kept', False)"
    # A cell that mends it goes on with the same name.
    assert serve(kernel) > 0


def test_a_lifespan_that_fails_unawaited_shows_at_the_next_connect(kernel):
    kernel.run(FAILING_LIFESPAN + "lab.start()").ok()
    kernel.run("await lab.connect('/echo')").raised("StartupError")
    assert "no database" in kernel.run("lab").text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("wslab.Lab(42)", "NotAnAppError"),
        ("wslab.Lab(wslab.App)", "NotAnAppError"),
        ("@wslab.App().websocket('/x')\ndef endpoint(ws: wslab.WebSocket): ...", "EndpointError"),
    ],
)
def test_what_could_never_work_is_refused_in_the_cell(kernel, code, name):
    error = kernel.run("import wslab\n" + code).raised(name)
    assert error.evalue
    assert kernel.alive()


def test_an_endpoint_that_raises_ends_its_own_connection_only(kernel):
    port = serve(kernel)
    kernel.run("""
@app.websocket("/broken")
async def broken(ws: wslab.WebSocket):
    await ws.accept()
    raise ValueError("a mistake on purpose")

@app.websocket("/returns")
async def returns(ws: wslab.WebSocket):
    await ws.accept()
""").ok()
    with echo_client(port) as other:
        with echo_client(port, "/broken") as client:
            closed = close_of(client)
        assert (closed.code, closed.reason) == (1011, "Internal error: ValueError")
        with echo_client(port, "/returns") as client:
            assert close_of(client).code == 1000
        assert other.ask("still here") == "first still here"
    failed = kernel.run("""
[event] = [event for event in lab.log if type(event).__name__ == "EndpointFailed"]
print(event.connection, event.error)
print(event.traceback)
""").ok()
    assert failed.stdout.startswith("c2 ValueError: a mistake on purpose\nTraceback")
    assert 'raise ValueError("a mistake on purpose")' in failed.stdout
    assert failed.stderr == ""


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
def test_a_client_that_vanishes_is_closed_1006_and_troubles_nobody(kernel, reset):
    port = serve(kernel)
    with echo_client(port) as other:
        cut_client(port, reset=reset)
        wait_until(kernel, "lab.connections['c2'].state == 'closed'")
        assert other.ask("unharmed") == "first unharmed"
        rows = connection_rows(kernel)
    assert [(row["state"], row["code"], row["closed_by"]) for row in rows] == [
        ("open", None, ""),
        ("closed", 1006, ""),
    ]
    assert kernel.run("[e for e in lab.log if type(e).__name__ == 'EndpointFailed']").text == "[]"
