"""The stop button: it ends what holds the kernel, and never the server."""

from __future__ import annotations

import pytest

from tests.kernel.clients import ECHO_LAB, close_of, echo_client, serve
from tests.kernel.harness import Gate

pytestmark = pytest.mark.kernel


def test_while_idle_nothing_happens(kernel):
    port = serve(kernel)
    with echo_client(port) as client:
        for turn in range(3):
            kernel.interrupt()
            assert client.ask(f"{turn}") == f"first {turn}"
        assert kernel.run("lab.running").text == "True"


def test_while_a_cell_awaits_that_cell_ends(kernel):
    port = serve(kernel)
    with echo_client(port) as client:
        cell = kernel.send("print('begun'); await asyncio.sleep(600)")
        cell.wait_for_output("begun")
        kernel.interrupt()
        error = cell.result().error
        assert error is not None
        assert error.ename in {"CancelledError", "KeyboardInterrupt"}
        assert client.ask("served") == "first served"


def test_while_a_cell_blocks_that_cell_ends(kernel):
    port = serve(kernel)
    with echo_client(port) as client, Gate() as gate:
        cell = kernel.send(gate.cell("time.sleep(600)"))
        gate.wait()
        kernel.interrupt()
        cell.result().raised("KeyboardInterrupt")
        assert client.ask("served") == "first served"


SPIN = """
@app.websocket("/spin")
async def spin(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("spinning")
    try:
        while True: pass
    except Exception:
        pass
"""


def failures(kernel):
    return kernel.run("[e.error for e in lab.log if type(e).__name__ == 'EndpointFailed']").text


def test_an_endpoint_that_holds_the_idle_kernel_is_freed(kernel):
    port = serve(kernel)
    kernel.run(SPIN).ok()
    with echo_client(port) as other, echo_client(port, "/spin") as client:
        assert client.connection.recv(timeout=20) == "spinning"
        kernel.interrupt()
        assert close_of(client).code == 1011
        assert other.ask("live") == "first live"
    assert "The interrupt ended this endpoint." in failures(kernel)


def test_an_endpoint_that_holds_an_awaiting_cell_is_freed_and_the_cell_goes_on(kernel):
    port = serve(kernel)
    kernel.run(SPIN).ok()
    with echo_client(port) as other:
        cell = kernel.send(
            "print('begun')\nwhile not any(f.text == 'go on' for f in lab.frames): await asyncio.sleep(0.05)"
        )
        cell.wait_for_output("begun")
        with echo_client(port, "/spin") as client:
            assert client.connection.recv(timeout=20) == "spinning"
            kernel.interrupt()
            assert close_of(client).code == 1011
        assert other.ask("live") == "first live"
        assert not cell.done
        assert other.ask("go on") == "first go on"
        cell.result().ok()
    assert "The interrupt ended this endpoint." in failures(kernel)


SPINNING_TASK = """
@app.websocket("/spin")
async def spin(ws: wslab.WebSocket):
    async def count():
        while True: pass

    await ws.accept()
    task = asyncio.create_task(count())
    await ws.send_text("spinning")
    %s
"""


@pytest.mark.parametrize("waits_for", ["await task", "await ws.receive_text()"])
def test_a_task_of_an_endpoint_that_holds_the_kernel_is_ended(kernel, waits_for):
    """It runs on a stack of its own, and nobody may be waiting for it."""
    port = serve(kernel)
    kernel.run(SPINNING_TASK % waits_for).ok()
    with echo_client(port) as other, echo_client(port, "/spin") as client:
        assert client.connection.recv(timeout=20) == "spinning"
        kernel.interrupt()
        assert close_of(client).code == 1011
        assert other.ask("live") == "first live"
    told = kernel.run("[e.text for e in lab.log if e.connection == 'c2' and hasattr(e, 'level')]").ok().text
    assert "The interrupt ended a task of this endpoint, at " in told


def test_of_two_labs_the_one_that_serves_the_endpoint_is_told(kernel):
    port = serve(kernel)
    second = serve(kernel, ECHO_LAB.replace("first", "second").replace("Lab(app)", "Lab(app, name='two')"))
    kernel.run(SPINNING_TASK % "await task").ok()
    with echo_client(port) as other, echo_client(second, "/spin") as client:
        assert client.connection.recv(timeout=20) == "spinning"
        kernel.interrupt()
        assert close_of(client).code == 1011
        assert other.ask("live") == "first live"


def test_the_press_is_not_lost_in_the_midst_of_a_send(kernel):
    """asyncio takes what a signal raises inside its transport for a broken socket, and goes on."""
    port = serve(kernel)
    kernel.run(SPIN).ok()
    kernel.run("from wslab.server import interrupt\ninterrupt.HELD = 0.02").ok()  # each press waits for it
    codes = []
    for _ in range(50):  # each press comes as the last bytes leave: about one in ten hits the transport
        with echo_client(port, "/spin") as client:
            assert client.connection.recv(timeout=20) == "spinning"
            kernel.interrupt()
            codes.append(close_of(client).code)
    assert codes == [1011] * 50


def test_a_press_meant_for_a_cell_spares_an_endpoint_that_is_just_at_work(kernel):
    port = serve(kernel)
    with echo_client(port) as client:
        for turn in range(50):
            assert client.ask(f"{turn}") == f"first {turn}"
            kernel.interrupt()  # its answer has just left: the endpoint may still be on the stack
        assert client.ask("live") == "first live"
    assert failures(kernel) == "[]"


def test_a_stopped_lab_gives_the_button_back(kernel):
    before = kernel.run("import signal; print(signal.getsignal(signal.SIGINT))").ok().stdout
    serve(kernel)
    kernel.run("await lab.stop()").ok()
    assert kernel.run("print(signal.getsignal(signal.SIGINT))").ok().stdout == before
    with Gate() as gate:
        cell = kernel.send(gate.cell("time.sleep(600)"))
        gate.wait()
        kernel.interrupt()
        cell.result().raised("KeyboardInterrupt")
