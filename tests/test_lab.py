from __future__ import annotations

import asyncio
import sys
import types

import pytest

import wslab
from wslab.core import find_core
from wslab.errors import (
    NoEventLoopError,
    NotAnAppError,
    NotRunningError,
    RecordingError,
    WaitTimeoutError,
    WSLabError,
)
from wslab.events import Notice
from wslab.feeds import Feed, simulate
from wslab.server.options import Options


def echoing(prefix=""):
    app = wslab.App()

    @app.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(prefix + text)

    return app


async def say(lab, text="hi"):
    async with lab.connect("/echo") as client:
        await client.send(text)
        return await client.receive(5)


@pytest.fixture
async def lab():
    lab = wslab.Lab(echoing())
    await lab.start()
    yield lab
    await lab.stop()


@pytest.fixture
def notebook(monkeypatch):
    """What a kernel looks like to `Lab`: IPython is imported and has a shell."""
    events = types.SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
    shell = types.SimpleNamespace(events=events)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr("wslab.core._cores", {})


async def test_a_start_that_is_not_awaited_serves_too():
    lab = wslab.Lab(echoing())
    assert lab.start() is lab
    assert await say(lab) == "hi"
    await lab.stop()
    assert not lab.running


async def test_started_twice_is_the_same_server(lab):
    port = lab.port
    lab.start()
    await lab.start()
    assert (lab.port, await say(lab)) == (port, "hi")


async def test_two_labs_outside_a_notebook_are_two_servers(lab):
    other = wslab.Lab(echoing("other "))
    await other.start()
    assert other.port != lab.port
    assert (await say(lab), await say(other)) == ("hi", "other hi")
    await other.stop()


async def test_a_cell_run_again_swaps_the_app_under_the_same_address(notebook):
    first = await wslab.Lab(echoing("old ")).start()
    port = first.port
    async with first.connect("/echo") as client:
        second = await wslab.Lab(echoing("new ")).start()
        assert second.port == port
        assert await say(second) == "new hi"
        await client.send("still")
        assert await client.receive(5) == "old still"
    assert second.connections is first.connections
    await second.stop()
    assert not first.running


async def test_an_empty_lab_made_again_keeps_the_endpoints_of_other_cells(notebook):
    lab = wslab.Lab()

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text("one")

    await lab.start()
    again = await wslab.Lab().start()
    async with again.connect("/echo") as client:
        assert await client.receive(5) == "one"

    @again.websocket("/echo")
    async def echo_again(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text("two")

    async with lab.connect("/echo") as client:
        assert await client.receive(5) == "two"
    await lab.stop()


async def test_in_a_notebook_names_tell_labs_apart(notebook):
    one, two = await wslab.Lab(echoing("1 ")).start(), await wslab.Lab(echoing("2 "), name="two").start()
    assert (await say(one), await say(two)) == ("1 hi", "2 hi")
    with pytest.raises(WSLabError, match="'two' serves already, with other options"):
        wslab.Lab(name="two", auth="token")
    await one.stop()
    await two.stop()
    wslab.Lab(name="two", auth="token")


def test_a_core_is_found_again_only_with_the_same_options(notebook):
    core = find_core(name="", options=Options())
    assert find_core(name="lab", options=Options()) is core
    assert find_core(name="lab", options=Options(token=core.policy.token)) is core
    assert find_core(name="lab", options=Options(token="other")) is not core


def test_without_a_loop_start_says_what_to_write():
    with pytest.raises(NoEventLoopError, match=r"asyncio\.run\(main\(\)\)"):
        wslab.Lab().start()


@pytest.mark.parametrize("thing", [42, "app"])
def test_what_is_no_app_is_refused(thing):
    with pytest.raises(NotAnAppError, match="Expected an ASGI application"):
        wslab.Lab(thing)


async def test_endpoints_can_be_declared_on_the_lab_only_where_the_app_is_ours():
    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"

    with pytest.raises(WSLabError, match=r"wslab\.App, got function"):
        wslab.Lab(app).websocket("/x")


async def test_what_it_saves_has_the_connections_that_were_refused_as_well(lab, tmp_path):
    await say(lab)
    with pytest.raises(ConnectionError):
        await lab.connect("/nowhere")
    for name in ("x.jsonl", "x.har"):
        lab.save(tmp_path / name)
        loaded = wslab.wire.load(tmp_path / name)
        assert [row.path for row in loaded.connections] == ["/echo", "/nowhere"]
        assert [frame.text for frame in loaded.frames][:2] == ["hi", "hi"]
    with pytest.raises(RecordingError, match="to save a recording"):
        lab.save(tmp_path / "x.txt")


async def test_urls_carry_the_token_only_where_it_is_needed(lab):
    token = lab._core.policy.token
    assert lab.url("/echo") == f"ws://127.0.0.1:{lab.port}/echo"
    assert lab.url("/echo", token=True).endswith(f"/echo?lab_token={token}")
    with pytest.raises(WSLabError, match='via="direct"'):
        lab.url("/", via="pigeon")
    with pytest.raises(NotRunningError):
        wslab.Lab().url()


async def test_a_lab_that_asks_everybody_lets_its_own_client_in():
    lab = await wslab.Lab(echoing(), auth="token").start()
    assert await say(lab) == "hi"
    assert "lab_token" in lab.url("/echo")
    assert lab._core.policy.token not in repr(lab)
    with pytest.raises(wslab.ConnectionRefused):
        await wslab.connect(lab.url("/echo", token=False))
    await lab.stop()


async def test_until_waits_and_says_what_it_last_saw(lab):
    asyncio.get_running_loop().call_later(0.05, lab.journal.publish, Notice(text="now"))
    assert await lab.until(lambda: [event for event in lab.log if getattr(event, "text", "") == "now"])
    with pytest.raises(WaitTimeoutError, match="it was last 0"):
        await lab.until(lambda: 0, timeout=0.03)


async def test_a_connection_is_closed_from_the_dashboard(lab):
    client = await lab.connect("/echo")
    lab._core.close_connection("c1", 1008, "enough")
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(5)
    assert (caught.value.code, caught.value.reason, caught.value.by) == (1008, "enough", "server")
    await lab.until(lambda: lab.connections[0].ended_at)
    lab._core.close_connection("c1", 1000, "")
    lab._core.close_connection("c99", 1000, "")
    notices = [event.text for event in lab.log if isinstance(event, Notice)]
    assert [text[:20] for text in notices] == ["c1 cannot be closed:", "c99 cannot be closed"]


async def test_the_repr_is_worth_reading(lab):
    await say(lab)
    await lab.until(lambda: lab.connections[0].ended_at)
    text = repr(lab)
    assert f"<Lab ws://127.0.0.1:{lab.port}/ · 0 open of 1 connections · 4 frames · 0 rooms>" in text
    assert "1000 by client" in text


async def test_the_views_questions_are_answered(lab):
    assert lab._core.paths() == ["/echo"]
    assert lab._core.status()["state"] == "serving"
    address = lab._core.address()
    assert address["direct"] == f"ws://127.0.0.1:{lab.port}"
    assert address["port"] == lab.port


async def test_a_stopped_lab_has_no_address():
    lab = wslab.Lab(echoing())
    assert (lab._core.status()["state"], lab._core.status()["url"]) == ("stopped", "")
    assert lab._core.address()["port"] == 0
    assert repr(lab).startswith("<Lab stopped")


async def test_the_dashboard_is_what_is_displayed(lab):
    await say(lab)
    bundle = lab._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "/echo" in data["text/plain"]
    assert "/echo" in data["text/html"]


async def test_what_was_said_can_be_said_again_and_becomes_a_test(tmp_path):
    lab = wslab.Lab(echoing())
    async with lab.connect("/echo", via="memory") as client:
        await client.send("hi")
        await client.receive(5)
    assert (await lab.replay(lab.frames)).ok
    replay = await lab.replay(lab.frames, echoing("not "), connections=["c1"])
    assert (replay.difference.expected, replay.difference.got) == ("'hi'", "'not hi'")
    path = lab.frames.to_pytest(tmp_path / "test_echo.py", connections=["c1"])
    assert 'assert await c1.receive_text() == "hi"' in path.read_text(encoding="utf-8")
    await lab.stop()


async def test_another_feed_can_be_shown(lab):
    before = lab.views.stocks
    feed = Feed(lambda: simulate(seed=1), name="mine")
    lab.feed = feed
    assert lab.feed is feed
    assert lab.views.stocks is before
    assert "mine" in before.text()


def test_run_needs_no_loop():
    async def answer():
        return 42

    assert wslab.Lab().run(answer()) == 42


SCRIPT = """
import asyncio, wslab
async def main():
    lab = await wslab.Lab(wslab.App()).start()
    async def answer():
        await asyncio.sleep(0)
        return 42
    def synchronous():
        return lab.run(answer()) + lab.run(answer())
    print(synchronous(), sum("nest" in getattr(event, "text", "") for event in lab.log))
    await lab.stop()
asyncio.run(main())
"""


def test_run_nests_in_a_running_loop_and_says_so_once():
    # In a process of its own: letting asyncio nest cannot be undone.
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("84 1\n", "")


EXIT = """
import asyncio, sys, wslab
app = wslab.App()
@app.websocket("/")
async def stay(ws: wslab.WebSocket):
    await ws.accept()
    await ws.receive_text()
lab = wslab.Lab(app)
async def main():
    await lab.start()
    print(lab.url("/"), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""


async def test_a_process_that_ends_tells_its_clients_1012():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EXIT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    url = (await process.stdout.readline()).decode().strip()
    client = await wslab.connect(url)
    process.stdin.write(b"end\n")
    with pytest.raises(wslab.ConnectionClosed) as caught:
        await client.receive(10)
    assert caught.value.code == 1012
    await process.communicate()
