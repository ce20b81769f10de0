"""A lab with a thread of its own in a real kernel: what a busy cell holds up, and what it does not."""

from __future__ import annotations

import socket
from contextlib import contextmanager

import pytest

from tests.kernel.clients import ECHO_LAB, close_of, echo_client, serve, wait_until
from tests.kernel.harness import Gate

pytestmark = pytest.mark.kernel

THREAD_LAB = ECHO_LAB.replace("Lab(app)", "Lab(app, loop='thread')")


@contextmanager
def blocked_cell(kernel):
    """A cell that blocks in a synchronous call for as long as the ``with`` block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        cell = kernel.send(f"import socket\nsocket.create_connection(('127.0.0.1', {port})).recv(1)")
        with listener.accept()[0]:
            yield cell


def test_it_serves_while_a_cell_blocks(kernel):
    port = serve(kernel, THREAD_LAB)
    with echo_client(port) as before:
        assert before.ask("idle") == "first idle"
        with blocked_cell(kernel) as cell:
            assert before.ask("blocked") == "first blocked"
            with echo_client(port) as new:
                assert new.ask("a new connection") == "first a new connection"
        assert cell.result().text == "b''"


def test_it_serves_while_a_cell_sleeps(kernel):
    port = serve(kernel, THREAD_LAB)
    with echo_client(port) as client, Gate() as gate:
        cell = kernel.send(gate.cell("time.sleep(3)"))
        gate.wait()
        assert client.ask("sleeping") == "first sleeping"
        cell.result().ok()
    order = kernel.run("print([f.text for f in lab.frames if f.name == 'TEXT'])").ok().stdout
    assert order == "['sleeping', 'first sleeping']\n"


def test_it_serves_while_a_cell_computes(kernel, tmp_path):
    port = serve(kernel, THREAD_LAB)
    flag = tmp_path / "answered"
    with echo_client(port) as client:
        cell = kernel.send(f"""
import os
rounds = 0
while not os.path.exists({str(flag)!r}):
    sum(n * n for n in range(1000))
    if not rounds:
        print("begun", flush=True)
    rounds += 1
rounds > 0
""")
        cell.wait_for_output("begun")
        assert client.ask("computing") == "first computing"  # the cell ends only after this
        flag.touch()
        assert cell.result().text == "True"


def test_a_synchronous_client_in_a_cell_is_answered(kernel):
    serve(kernel, THREAD_LAB)
    said = kernel.run("""
import urllib.error, urllib.request
from websockets.sync.client import connect
with connect(lab.url("/echo"), proxy=None) as client:
    client.send("from a cell")
    print(client.recv(timeout=20))
try:
    urllib.request.urlopen(lab.url("/nothing").replace("ws:", "http:"), timeout=20)
except urllib.error.HTTPError as error:
    print(error.code)
""").ok()
    assert said.stdout == "first from a cell\n404\n"


def test_a_client_of_the_lab_lives_in_the_cells_loop(kernel):
    serve(kernel, THREAD_LAB)
    said = kernel.run("""
import threading
async with lab.connect("/echo") as client:
    await client.send("hi")
    print(await client.receive(20), threading.current_thread().name)
await lab.until(lambda: not lab.connections.alive)
print(lab.connections[0].close.code, len(lab.frames))
""").ok()
    assert said.stdout == "first hi MainThread\n1000 4\n"


def test_the_cell_run_again_serves_its_new_code_at_the_same_port(kernel):
    port = serve(kernel, THREAD_LAB)
    with echo_client(port) as old:
        assert old.ask("a") == "first a"
        assert serve(kernel, THREAD_LAB.replace("first", "second")) == port
        wait_until(kernel, "any(type(e).__name__ == 'AppSwapped' for e in lab.log)")
        with echo_client(port) as new:
            assert new.ask("b") == "second b"
        assert old.ask("c") == "first c"
    error = kernel.run(ECHO_LAB).raised("WSLabError")
    assert "with other options (loop)" in error.evalue


def test_a_port_in_use_and_a_failing_lifespan_are_errors_of_the_cell(kernel):
    serve(kernel, THREAD_LAB)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        failed = kernel.run(f"wslab.Lab(app, port={port}, name='other', loop='thread').start()")
    assert str(port) in failed.raised("PortInUseError").evalue
    failed = kernel.run("""
import contextlib
@contextlib.asynccontextmanager
async def lifespan(app):
    raise ValueError("no database")
    yield
failing = wslab.Lab(wslab.App(lifespan=lifespan), name="failing", loop="thread")
await failing.start()
""")
    assert "no database" in failed.raised("StartupError").traceback
    assert kernel.run("failing.running, lab.running").text == "(False, True)"


STOPS = ["await lab.stop()", "lab.run(lab.stop())"]


@pytest.mark.parametrize(("lab", "stop"), [*((THREAD_LAB, stop) for stop in STOPS), (ECHO_LAB, STOPS[1])])
def test_stopped_by_any_cell_it_tells_clients_1012_and_starts_again(kernel, lab, stop):
    port = serve(kernel, lab)
    with echo_client(port) as first, echo_client(port) as second:
        assert second.ask("hello") == "first hello"
        kernel.run(stop, timeout=10).ok()
        assert [close_of(first).code, close_of(second).code] == [1012, 1012]
    assert kernel.run("lab.running, len(lab.connections.alive)").text == "(False, 0)"
    names = "[t.name for t in threading.enumerate()]"
    kernel.run(f"import threading\nawait lab.until(lambda: 'wslab lab' not in {names})").ok()
    assert kernel.run("lab.start().port").text == str(port)
    with echo_client(port) as client:
        assert client.ask("again") == "first again"


BLOCKING = """
@app.websocket("/block")
async def block(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("blocking")
    %s
"""
BLOCKS = ["import time; time.sleep(600)", "while True: pass"]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("block", BLOCKS, ids=["sleeps", "spins"])
def test_an_endpoint_that_holds_the_thread_holds_neither_the_kernel_nor_the_stop(kernel, stop, block):
    port = serve(kernel, THREAD_LAB)
    kernel.run(BLOCKING % block).ok()
    with echo_client(port, "/block") as client:
        assert client.connection.recv(timeout=20) == "blocking"
        assert kernel.run("6 * 7").text == "42"
        kernel.run(stop, timeout=10).ok()
        assert close_of(client).code == 1012
    said = kernel.run("print([e for e in lab.log if 'abandoned' in getattr(e, 'text', '')][-1])").ok().stdout
    assert "c1" in said
    assert "endpoint block" in said
    assert kernel.run("lab.start().port").text == str(port)
    with echo_client(port) as client:
        assert client.ask("again") == "first again"


def test_the_interrupt_does_what_it_always_did(kernel):
    port = serve(kernel, THREAD_LAB)
    with echo_client(port) as client, Gate() as gate:
        kernel.interrupt()  # idle: nothing happens
        assert client.ask("idle") == "first idle"
        cell = kernel.send(gate.cell("time.sleep(600)"))
        gate.wait()
        kernel.interrupt()
        cell.result().raised("KeyboardInterrupt")
        assert client.ask("served") == "first served"


def test_the_kernels_end_and_restart_tell_clients_1012(kernel):
    port = serve(kernel, THREAD_LAB)
    with echo_client(port) as first, echo_client(port) as second:
        assert second.ask("hello") == "first hello"
        kernel.restart()
        assert [close_of(first).code, close_of(second).code] == [1012, 1012]
    again = THREAD_LAB.replace("Lab(app", f"Lab(app, port={port}")
    assert serve(kernel, again) == port
    kernel.run(BLOCKING % BLOCKS[0]).ok()
    with echo_client(port) as client, echo_client(port, "/block") as blocked:
        assert blocked.connection.recv(timeout=20) == "blocking"
        kernel.shutdown()
        assert [close_of(client).code, close_of(blocked).code] == [1012, 1012]


def test_pages_get_their_messages_from_the_kernels_own_thread(kernel):
    port = serve(kernel, THREAD_LAB)
    kernel.run("""
import threading
sent = set()
for name in ("header", "connections", "frames", "log", "rooms", "stocks"):
    view = getattr(lab.views, name)
    view.send = lambda content, buffers=None, name=name: sent.add((name, threading.current_thread().name))
    view._from_page(None, {"t": "hello"}, [])
""").ok()
    with echo_client(port) as client:
        assert client.ask("seen") == "first seen"
        names = "{'header', 'connections', 'frames', 'log'}"
        wait_until(kernel, f"{names} <= {{name for name, _ in sent}}")
        assert kernel.run("{thread for _, thread in sent}").text == "{'MainThread'}"
        press = {"t": "close", "id": "c1", "code": 4000}
        kernel.run(f"lab.views.connections._from_page(None, {press}, [])").ok()
        assert close_of(client).code == 4000


def test_views_that_an_endpoint_asked_for_deliver_in_the_kernel_too(kernel):
    port = serve(kernel, THREAD_LAB)
    kernel.run("""
@app.websocket("/look")
async def look(ws: wslab.WebSocket):
    await ws.accept()
    lab.views.log
    await ws.send_text("looked")
""").ok()
    with echo_client(port, "/look") as client:
        assert client.connection.recv(timeout=20) == "looked"
    assert kernel.run("lab.views.log.loop is asyncio.get_running_loop()").text == "True"


RUN = """
import threading
async def where(fail=False):
    await asyncio.sleep(0)
    if fail:
        raise ValueError("on purpose")
    return threading.current_thread().name

def synchronous():
    return lab.run(where())

synchronous(), synchronous()
"""


@pytest.mark.parametrize(("lab", "name"), [(THREAD_LAB, "wslab lab"), (ECHO_LAB, "MainThread")])
def test_run_works_in_both_modes(kernel, lab, name):
    port = serve(kernel, lab)
    assert kernel.run(RUN).text == f"{(name, name)}"
    error = kernel.run("lab.run(where(fail=True))").raised("ValueError")
    assert 'raise ValueError("on purpose")' in error.traceback
    with echo_client(port) as client:
        assert client.ask("unharmed") == "first unharmed"


FOR_EVER = """
import socket
ended = []
async def for_ever(port):
    socket.create_connection(("127.0.0.1", port)).close()
    try:
        await asyncio.sleep(3600)
    finally:
        ended.append(True)
"""


def test_an_interrupt_ends_run_and_what_it_ran(kernel):
    port = serve(kernel, THREAD_LAB)
    kernel.run(FOR_EVER).ok()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        cell = kernel.send(f"lab.run(for_ever({listener.getsockname()[1]}))")
        listener.accept()[0].close()
        kernel.interrupt()
        cell.result().raised("KeyboardInterrupt")
    wait_until(kernel, "ended == [True]")
    with echo_client(port) as client:
        assert client.ask("unharmed") == "first unharmed"


OLD_NEST = """
import asyncio, nest_asyncio2

def apply(loop=None):
    nest_asyncio2.apply(loop)
    del asyncio._nest_asyncio2
"""


def test_the_old_nest_asyncio_is_told_once_and_left_alone(kernel, tmp_path):
    # A stand-in, which patches as the old one does and leaves the marks that it leaves.
    (tmp_path / "nest_asyncio.py").write_text(OLD_NEST)
    kernel.run("import nest_asyncio; nest_asyncio.apply()").ok()
    first = kernel.run(ECHO_LAB).ok()
    again = kernel.run(ECHO_LAB.replace("Lab(app)", "Lab(app, name='two')")).ok()
    told = kernel.run("import ipykernel; ipykernel.version_info[0] >= 7").text == "True"
    assert ("nest_asyncio2, which has the same apply()" in first.stderr) is told
    assert again.stderr == ""
    assert kernel.run(RUN).text == "('MainThread', 'MainThread')"
    assert kernel.run("hasattr(asyncio, '_nest_asyncio2')").text == "False"


def test_without_the_old_nest_asyncio_nothing_is_told(kernel):
    assert kernel.run(ECHO_LAB).ok().stderr == ""
    assert kernel.run("import nest_asyncio2; nest_asyncio2.apply(); lab.start(); None").ok().stderr == ""
