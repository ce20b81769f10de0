"""Who held the kernel's loop, and a cell that waits for its own kernel's server."""

from __future__ import annotations

import json

import pytest

from tests.kernel.clients import close_of, echo_client, serve

pytestmark = pytest.mark.kernel


def held(kernel):
    """Who held the loop, and where, so far."""
    code = (
        "import json; print(json.dumps([[e.by, e.connection, e.where, e.seconds] "
        "for e in lab.log if type(e).__name__ == 'LoopHeld']))"
    )
    return json.loads(kernel.run(code).ok().stdout)


def test_a_cell_that_holds_the_loop_is_named_once_with_its_line(kernel):
    serve(kernel)
    kernel.run("import time\n\ntime.sleep(1.2)").ok()
    number = kernel.run("len(In) - 1").text
    (one,) = [row for row in held(kernel) if row[3] >= 1]
    assert one[0] == f"cell In[{int(number) - 1}], line 3"
    assert one[1:3] == ["", f"In[{int(number) - 1}], line 3"]
    assert "held" in kernel.run("lab.lag").text


def test_a_function_of_another_cell_is_where_and_the_cell_that_called_it_is_who(kernel):
    serve(kernel)
    defined = int(kernel.run("import time\ndef hold():\n    time.sleep(0.6)\nlen(In) - 1").text)
    kernel.run("hold()").ok()
    ((by, _, where, _),) = [row for row in held(kernel) if row[3] >= 0.4]
    assert (by, where) == (f"cell In[{defined + 1}], line 1", f"In[{defined}], line 3")


def test_an_endpoint_that_holds_the_loop_is_named_with_its_connection(kernel):
    port = serve(kernel)
    kernel.run(
        "import time\n"
        "@app.websocket('/hold')\n"
        "async def hold(ws: wslab.WebSocket):\n"
        "    await ws.accept()\n"
        "    async for text in ws.iter_text():\n"
        "        time.sleep(0.6)\n"
        "        await ws.send_text(text)\n"
    ).ok()
    with echo_client(port, "/hold") as client:
        client.ask("please")
    ((by, connection, where, _),) = [row for row in held(kernel) if row[3] >= 0.4]
    assert (by, connection) == ("endpoint hold", "c1")
    assert where.endswith("line 6")


def test_a_cell_that_keeps_pythons_lock_is_named_although_nobody_could_look(kernel):
    serve(kernel)
    # A C call that neither lets go of the lock nor can be looked at: sorting numbers, not objects.
    kernel.run("import random; numbers = [random.random() for _ in range(3_000_000)]").ok()
    kernel.run("_ = sorted(numbers)").ok()
    number = int(kernel.run("len(In) - 1").text)
    by = f"cell In[{number - 1}]"
    assert [
        row for row in held(kernel) if row[0] == f"{by} (_ = sorted(numbers))" or row[0].startswith(f"{by}, ")
    ]


def test_a_cell_that_awaits_holds_nothing(kernel):
    serve(kernel)
    kernel.run("await asyncio.sleep(1)").ok()
    assert [row for row in held(kernel) if row[3] >= 0.8] == []


def cut_after(kernel, seconds):
    """Have a client that waits for its own server cut off sooner than after the lab's 5 seconds."""
    kernel.run(f"from wslab.server import deadlock\ndeadlock.FREE = {seconds}").ok()


CLIENTS = {
    "urllib": "import urllib.request\nurllib.request.urlopen(f'http://127.0.0.1:{lab.port}/')",
    "socket": (
        "import socket\nsock = socket.create_connection(('127.0.0.1', lab.port))\n"
        "sock.sendall(b'GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n')\n"
        "if not sock.recv(100): raise EOFError('cut')"
    ),
    "websockets": (
        "from websockets.sync.client import connect\n"
        "connect(f'ws://127.0.0.1:{lab.port}/echo', open_timeout=None, proxy=None)"
    ),
}


@pytest.mark.parametrize(("client", "seconds"), [("urllib", 5), ("socket", 2), ("websockets", 2)])
def test_a_cell_that_waits_for_its_own_server_is_told_what_to_write_and_is_freed(kernel, client, seconds):
    port = serve(kernel)
    if seconds != 5:
        cut_after(kernel, seconds)
    cell = kernel.send(CLIENTS[client])
    kernel.wait_for(lambda: "neither can go on" in cell.stderr, 20, lambda: f"the advice in the {cell!r}")
    assert not cell.done  # told while it hangs, not afterwards
    assert cell.result(30).error is not None
    assert "await asyncio.to_thread(" in cell.stderr
    assert "lab.connect(" in cell.stderr
    assert 'loop="thread"' in cell.stderr
    assert f"After {seconds} seconds its connection is cut" in cell.stderr
    told = kernel.run("[e.text for e in lab.log if getattr(e, 'level', '') == 'error']").text
    assert told.count("neither can go on") == 1
    with echo_client(port) as other:
        assert other.ask("served") == "first served"


def test_an_endpoint_that_waits_for_its_own_server_is_freed_in_the_labs_own_thread_as_well(kernel):
    port = serve(
        kernel,
        "import urllib.request, wslab\n"
        "app = wslab.App()\n"
        "@app.websocket('/self')\n"
        "async def ask_itself(ws: wslab.WebSocket):\n"
        "    await ws.accept()\n"
        "    urllib.request.urlopen(f'http://127.0.0.1:{lab.port}/')\n"
        "lab = wslab.Lab(app, loop='thread')\n"
        "await lab.start()\n"
        "print(lab.port)",
    )
    with echo_client(port, "/self") as client:
        assert close_of(client).code == 1011
    told = kernel.run("[e.connection for e in lab.log if 'neither can go on' in getattr(e, 'text', '')]").text
    assert told == "['c1']"
    ((by, connection, _, _),) = [row for row in held(kernel) if row[3] > 1]
    assert (by, connection) == ("endpoint ask_itself", "c1")


def test_the_advice_repeats_the_call_that_was_meant(kernel):
    serve(kernel)
    cut_after(kernel, 2)
    kernel.run("from urllib.request import urlopen\nurl = f'http://127.0.0.1:{lab.port}/'").ok()
    cell = kernel.send("answer = urlopen(url, timeout=60).read()")
    assert cell.result(30).error is not None
    assert "await asyncio.to_thread(urlopen, url, timeout=60)" in cell.stderr


def test_the_other_ways_do_not_wait_for_themselves(kernel):
    serve(kernel)
    code = (
        "import urllib.error, urllib.request\n"
        "try: await asyncio.to_thread(urllib.request.urlopen, f'http://127.0.0.1:{lab.port}/nowhere')\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    result = kernel.run(code).ok()
    assert (result.stdout, result.stderr) == ("404\n", "")


def test_a_cell_that_sleeps_beside_an_open_client_is_left_alone(kernel):
    serve(kernel)
    cut_after(kernel, 2)
    connected = (
        "from websockets.sync.client import connect\nimport time\n"
        "client = await asyncio.to_thread(connect, f'ws://127.0.0.1:{lab.port}/echo', proxy=None)"
    )
    kernel.run(connected).ok()
    slept = kernel.run("time.sleep(4)").ok()
    assert slept.stderr == ""
    kernel.run("await asyncio.to_thread(client.send, 'alive')").ok()
    assert kernel.run("await asyncio.to_thread(client.recv)").text == "'first alive'"
