"""The ends of a lab: stopped, with the kernel, and restarted."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from tests.kernel.clients import ECHO_LAB, TIMEOUT, close_of, echo_client, serve
from tests.kernel.harness import Kernel

pytestmark = pytest.mark.kernel

STUBBORN = """
@app.websocket("/stubborn")
async def stubborn(ws: wslab.WebSocket):
    await ws.accept()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""


def test_stop_tells_twenty_clients_1012(kernel):
    port = serve(kernel)
    with ExitStack() as stack:
        clients = [stack.enter_context(echo_client(port)) for _ in range(20)]
        assert clients[-1].ask("hello") == "first hello"
        kernel.run("await lab.stop()", timeout=10).ok()
        assert [close_of(client).code for client in clients] == [1012] * 20
    assert kernel.run("lab.running, len(lab.connections.alive)").text == "(False, 0)"
    with pytest.raises(ConnectionRefusedError), echo_client(port):
        pass


def test_an_endpoint_that_swallows_its_cancellation_does_not_keep_the_lab(kernel):
    port = serve(kernel)
    kernel.run(STUBBORN).ok()
    with echo_client(port, "/stubborn") as stubborn, echo_client(port) as other:
        assert other.ask("hello") == "first hello"
        kernel.run("await lab.stop()", timeout=10).ok()
        assert [close_of(stubborn).code, close_of(other).code] == [1012, 1012]
    assert kernel.run("lab.log[-1].abandoned").text == "1"
    assert "c1" in kernel.run("[e.connection for e in lab.log if 'abandoned' in getattr(e, 'text', '')]").text
    assert serve(kernel) == port


def test_a_stopped_lab_starts_again_at_its_port(kernel):
    port = serve(kernel)
    kernel.run("await lab.stop(); await lab.stop()").ok()
    assert kernel.run("await lab.start(); print(lab.port)").ok().stdout == f"{port}\n"
    with echo_client(port) as client:
        assert client.ask("again") == "first again"


def test_the_kernels_end_tells_clients_1012(kernel):
    port = serve(kernel)
    with echo_client(port) as first, echo_client(port) as second:
        assert second.ask("hello") == "first hello"
        kernel.shutdown()
        assert [close_of(first).code, close_of(second).code] == [1012, 1012]


def test_after_a_restart_the_port_is_free_and_the_cells_run_again(kernel):
    port = serve(kernel)
    with echo_client(port) as client:
        assert client.ask("hello") == "first hello"
        kernel.restart()
        assert close_of(client).code == 1012
    again = ECHO_LAB.replace("wslab.Lab(app)", f"wslab.Lab(app, port={port})")
    assert serve(kernel, again) == port
    with echo_client(port) as client:
        assert client.ask("again") == "first again"


def test_a_killed_kernel_shows_as_1006_and_leaves_the_port_free(kernel, tmp_path_factory):
    port = serve(kernel)
    with echo_client(port) as client:
        assert client.ask("hello") == "first hello"
        kernel.shutdown(now=True)
        with pytest.raises(ConnectionClosed) as ended:
            client.connection.recv(timeout=TIMEOUT)
        assert ended.value.rcvd is None
    with Kernel(tmp_path_factory.mktemp("next")) as successor:
        again = ECHO_LAB.replace("wslab.Lab(app)", f"wslab.Lab(app, port={port})")
        assert serve(successor, again) == port
