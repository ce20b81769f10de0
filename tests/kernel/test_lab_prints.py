"""What endpoints print: in the log with its connection, in the lab's own cell, and in no other."""

from __future__ import annotations

import json

import pytest

from tests.kernel.clients import close_of, echo_client, wait_until

pytestmark = pytest.mark.kernel

TALKING_LAB = """
import asyncio, logging, sys, traceback, wslab
app = wslab.App()

@app.websocket("/talk")
async def talk(ws: wslab.WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        match text:
            case "task":
                async def child(): print("said by a task")
                await asyncio.create_task(child())
            case "thread":
                await asyncio.to_thread(print, "said by a thread")
            case "error":
                print("said to stderr", file=sys.stderr)
            case "traceback":
                try: {}["missing"]
                except KeyError: traceback.print_exc()
            case "raise":
                raise ValueError("on purpose")
            case "flood":
                for _ in range(20_000): print("x" * 100)
            case _:
                print("said", text)
        await ws.send_text(text)

lab = wslab.Lab(app%s)
await lab.start()
print(lab.port)
"""


def start(kernel, options=""):
    """The lab's own cell, done; it goes on to take what is printed into it."""
    cell = kernel.send(TALKING_LAB % options)
    cell.result().ok()
    return cell, int(cell.stdout.split()[0])


def printed(kernel):
    code = (
        "import json; print(json.dumps([[e.connection, e.stream, e.text] "
        "for e in lab.log if type(e).__name__ == 'Printed']))"
    )
    return json.loads(kernel.run(code).ok().stdout)


def wait_for_text(kernel, cell, stream, text):
    kernel.wait_for(lambda: text in getattr(cell, stream), 20, lambda: f"{text!r} in {cell!r}")


@pytest.mark.parametrize("what", ["word", "task", "thread"])
def test_a_print_reaches_the_labs_own_cell_and_not_the_one_that_runs(kernel, what):
    own, port = start(kernel)
    with echo_client(port, "/talk") as client:
        running = kernel.send("print('begun'); await lab.until(lambda: len(lab.frames) >= 2, timeout=20)")
        running.wait_for_output("begun")
        client.ask(what)
        running.result().ok()
    wait_for_text(kernel, own, "stdout", "said")
    assert running.stdout == "begun\n"
    kernel.run("print('another cell')").ok()
    ((connection, stream, text),) = printed(kernel)
    assert (connection, stream) == ("c1", "stdout")
    assert text == {"word": "said word", "task": "said by a task", "thread": "said by a thread"}[what]


def test_standard_error_and_tracebacks_do_as_well(kernel):
    own, port = start(kernel)
    with echo_client(port, "/talk") as client:
        client.ask("error")
        client.ask("traceback")
        wait_until(kernel, "any('KeyError' in e.text for e in lab.log if type(e).__name__ == 'Printed')")
    wait_for_text(kernel, own, "stderr", "KeyError: 'missing'")
    first, second = printed(kernel)
    assert first == ["c1", "stderr", "said to stderr"]
    assert second[:2] == ["c1", "stderr"]
    assert second[2].startswith("Traceback (most recent call last):")
    assert second[2].endswith("KeyError: 'missing'")


def test_what_an_endpoint_raises_is_shown_in_the_labs_own_cell(kernel):
    own, port = start(kernel)
    with echo_client(port, "/talk") as client:
        client.connection.send("raise")
        wait_for_text(kernel, own, "stderr", "ValueError: on purpose")
    assert "c1" in own.stderr
    assert kernel.run("print('quiet')").ok().stderr == ""


def test_a_cell_that_is_run_again_becomes_the_labs_own(kernel):
    first, port = start(kernel)
    second, _ = start(kernel)
    with echo_client(port, "/talk") as client:
        client.ask("again")
        wait_for_text(kernel, second, "stdout", "said again")
    assert "again" not in first.stdout


def test_a_flood_is_cut_and_counted(kernel):
    own, port = start(kernel)
    with echo_client(port, "/talk") as client:
        client.ask("flood")
        wait_until(kernel, "sum(e.left_out for e in lab.log if type(e).__name__ == 'Printed') > 1_000_000")
        wait_for_text(kernel, own, "stderr", "characters that c1 printed are left out")
    assert 0 < len(own.stdout) < 20_000 * 101 / 2


def test_an_endpoint_that_prints_for_ever_is_freed_by_the_interrupt(kernel):
    own, port = start(kernel)
    kernel.run(
        "@app.websocket('/shout')\n"
        "async def shout(ws: wslab.WebSocket):\n"
        "    await ws.accept()\n"
        "    await ws.send_text('begun')\n"
        "    while True: print('x' * 80)\n"
    ).ok()
    with echo_client(port, "/shout") as client:
        assert client.connection.recv(timeout=20) == "begun"
        wait_for_text(kernel, own, "stderr", "characters that c1 printed are left out")
        kernel.interrupt()
        assert close_of(client).code == 1011
    assert "loop was held" in kernel.run("print(lab.views.log.text())").ok().stdout
    with echo_client(port, "/talk") as client:
        assert client.ask("live") == "live"


def test_what_cells_print_and_capture_is_theirs(kernel):
    before = kernel.run("import sys; print(id(sys.stdout), id(sys.stderr))").ok().stdout
    _, _port = start(kernel)
    assert kernel.run("print('mine')").ok().stdout == "mine\n"
    captured = "%%capture kept\nprint('kept')"
    assert kernel.run(captured).ok().stdout == ""
    assert kernel.run("kept.stdout").text == "'kept\\n'"
    redirected = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as kept: print('in')"
    kernel.run(redirected).ok()
    assert kernel.run("kept.getvalue()").text == "'in\\n'"
    kernel.run("import threading\nt = threading.Thread(target=print, args=('x',)); t.start(); t.join()").ok()
    kernel.run("await lab.stop()").ok()
    assert kernel.run("print(id(sys.stdout), id(sys.stderr))").ok().stdout == before
    assert printed(kernel) == []


def test_two_labs_keep_their_prints_apart(kernel):
    own, port = start(kernel)
    other_cell = kernel.send("other = wslab.Lab(app, name='other'); await other.start(); print(other.port)")
    other_cell.result().ok()
    with echo_client(int(other_cell.stdout.split()[0]), "/talk") as client:
        client.ask("elsewhere")
        wait_for_text(kernel, other_cell, "stdout", "said elsewhere")
    kernel.run("await other.stop()").ok()
    with echo_client(port, "/talk") as client:
        client.ask("here")
        wait_for_text(kernel, own, "stdout", "said here")
    assert [text for _, _, text in printed(kernel)] == ["said here"]
    assert "elsewhere" not in own.stdout


def test_in_a_thread_of_the_labs_own_likewise(kernel):
    own, port = start(kernel, ", loop='thread'")
    with echo_client(port, "/talk") as client:
        running = kernel.send("import time; print('begun'); time.sleep(1)")
        running.wait_for_output("begun")
        for what in ("word", "task", "thread", "error"):
            client.ask(what)
        running.result().ok()
        wait_until(kernel, "sum(type(e).__name__ == 'Printed' for e in lab.log) == 4")
    wait_for_text(kernel, own, "stdout", "said by a thread")
    wait_for_text(kernel, own, "stderr", "said to stderr")
    assert (running.stdout, running.stderr) == ("begun\n", "")
    assert {connection for connection, _, _ in printed(kernel)} == {"c1"}
