"""`wslab.serve` and `wslab serve`, as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import socket
import sys

import pytest

import wslab
from wslab import serving
from wslab.errors import ConnectionClosed, ConnectionRefused, NoEventLoopError, OptionError
from wslab.events import EndpointFailed, LabStarted, Notice, Printed
from wslab.wire import load

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

APP = """
import asyncio, sys, time
import wslab

app = wslab.App()

@app.websocket("/echo")
async def echo(ws: wslab.WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)

@app.websocket("/stuck")
async def stuck(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("stuck")
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass

@app.websocket("/thread")
async def thread(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("in a thread")
    await asyncio.to_thread(time.sleep, 1000)

@app.websocket("/block")
async def block(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("blocking")
    await asyncio.sleep(0.05)
    time.sleep(1000)

@app.websocket("/stubborn")
async def stubborn(ws: wslab.WebSocket):
    await ws.accept()
    await ws.send_text("blocking")
    await asyncio.sleep(0.05)
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass

@app.websocket("/fail")
async def fail(ws: wslab.WebSocket):
    await ws.accept()
    print("to stdout")
    print("to stderr", file=sys.stderr)
    raise ValueError("first\\x1b[2J\\nsecond")

def make():
    return app

if __name__ == "__main__":
    wslab.serve(app, port=0)
"""


class Served:
    """A process that serves, and the address it printed."""

    def __init__(self, process: asyncio.subprocess.Process, line: str) -> None:
        self.process, self.line = process, line
        self.url = (re.findall(r"ws://\S+", line) or [""])[0]

    def at(self, path):
        head, _, query = self.url.partition("?")
        return head.rstrip("/") + path + (f"?{query}" if query else "")

    async def end(self, number=signal.SIGINT):
        """Signal it, and wait: the status and what it said on stderr."""
        if number is not None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            _, err = await self.process.communicate()
        return self.process.returncode, err.decode()


@pytest.fixture
async def start(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    async with contextlib.AsyncExitStack() as stack:

        async def begin(*arguments, program=("-m", "wslab", "serve"), until="wslab serves"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *program, *arguments),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )

            async def kill():
                if process.returncode is None:
                    process.kill()
                    await process.communicate()

            stack.push_async_callback(kill)
            async with asyncio.timeout(30):
                line = (await process.stdout.readline()).decode()
            if until not in line:
                raise AssertionError(((await process.communicate())[1]).decode())
            return Served(process, line)

        yield begin


async def failed(start, *arguments):
    """What a process that cannot serve says on stderr."""
    with pytest.raises(AssertionError) as caught:
        await start(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio", "wsproto"])
async def test_it_serves_until_a_signal_and_clients_get_1012(start, ws, number):
    served = await start("main:app", "--port", "0", "--ws", ws)
    assert "token" not in served.url
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
        ending = asyncio.ensure_future(served.end(number))
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(10)
    assert caught.value.code == 1012
    assert await ending == (0, "")


async def test_a_program_serves_its_own_application(start):
    served = await start(program=("main.py",))
    assert served.line.startswith("wslab serves App at ws://127.0.0.1:")
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    assert await served.end() == (0, "")


async def test_a_factory_is_called(start):
    served = await start("main:make()", "--port=0")
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    assert (await served.end())[0] == 0


async def test_what_was_recorded_is_saved_at_the_end(start, tmp_path):
    served = await start("main:app", "--port", "0", "--save", "session.har")
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    assert await served.end() == (0, "")
    recording = load(tmp_path / "session.har")
    assert [message.text for message in recording.frames.messages("dir==in")] == ["hi"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--save", "session.txt"], "ends in .jsonl or .har or .pcapng"),
        (["--save", "nowhere/session.har"], "folder to save session.har in"),
        (["--save", "session.har", "--capture", "off"], "capture=True with save"),
    ],
)
async def test_what_could_not_be_saved_is_said_before_it_serves(start, arguments, said):
    assert said in await failed(start, "main:app", "--port", "0", *arguments)


@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio"])
async def test_an_endpoint_that_swallows_its_cancellation_is_not_waited_for(start, ws):
    served = await start("main:app", "--port=0", "--ws", ws)
    async with wslab.connect(served.at("/stuck")) as client:
        assert await client.receive(5) == "stuck"
        status, said = await served.end(signal.SIGTERM)
    assert status == 0
    assert "c1 This endpoint did not end when it was cancelled" in said
    assert "Traceback" not in said


async def test_a_thread_that_does_not_end_is_not_waited_for(start):
    served = await start("main:app", "--port=0")
    async with wslab.connect(served.at("/thread")) as client:
        assert await client.receive(5) == "in a thread"
        status, said = await served.end(signal.SIGTERM)
    assert (status, "Traceback" in said) == (0, False)


@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio", "wsproto"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_endpoint_that_holds_the_loop_is_freed_and_the_others_get_1012(start, ws, number):
    served = await start("main:app", "--port=0", "--ws", ws)
    async with wslab.connect(served.at("/echo")) as other, wslab.connect(served.at("/block")) as client:
        assert await client.receive(5) == "blocking"
        ending = asyncio.ensure_future(served.end(number))
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(10)
        assert caught.value.code in {1011, 1012}  # 1012 where the stop came before the endpoint held the loop
        with pytest.raises(ConnectionClosed) as caught:
            await other.receive(10)
        assert caught.value.code == 1012
        status, said = await ending
    assert status == 0
    assert "Traceback" not in said


async def test_what_no_signal_can_end_is_ended_with_the_process_and_named(start):
    served = await start("main:app", "--port=0")
    async with wslab.connect(served.at("/stubborn")) as client:
        assert await client.receive(5) == "blocking"
        status, said = await served.end(signal.SIGTERM)
    assert status == 1
    assert re.search(r"the event loop is held at \S+main\.py:\d+", said)


async def test_a_second_interrupt_ends_the_process_at_once(start):
    served = await start("main:app", "--port=0")
    async with wslab.connect(served.at("/stubborn")) as client:
        assert await client.receive(5) == "blocking"
        await asyncio.sleep(0.2)  # until the endpoint holds the loop, which then can announce nothing
        served.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.1)  # two signals at once are one
        status, _ = await served.end(signal.SIGINT)
    assert status == 130


async def test_errors_refusals_and_limits_are_one_line_each(start):
    served = await start("main:app", "--port=0", "--limits", "message=100")
    with pytest.raises(ConnectionRefused):
        await wslab.connect(served.at("/echo"), headers={"Origin": "https://evil.example"})
    with pytest.raises(ConnectionClosed):
        async with wslab.connect(served.at("/fail")) as client:
            await client.receive(5)
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("x" * 101)
        with pytest.raises(ConnectionClosed):
            await client.receive(5)
    status, said = await served.end()
    assert status == 0
    lines = said.splitlines()
    assert any("WARNING c1 Refused with HTTP 403" in line and "lab_token" in line for line in lines)
    assert any(r"ERROR c2 The endpoint raised ValueError: first\x1b[2J\nsecond" in line for line in lines)
    assert any("WARNING c3 Above the limit message=100, answered with 1009" in line for line in lines)
    assert lines.count("to stderr") == 1
    lines.remove("to stderr")
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in lines)
    assert "\x1b" not in said


async def test_the_token_is_in_the_address_where_it_is_asked_for(start):
    served = await start("main:app", "--port=0", "--auth=token")
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
    with pytest.raises(ConnectionRefused) as caught:
        await wslab.connect(served.at("/echo").partition("?")[0])
    assert caught.value.status == 403
    assert (await served.end())[0] == 0


async def test_a_public_host_asks_everybody(start):
    served = await start("main:app", "--port=0", "--host=0.0.0.0", "--public", "--token=s3cret")
    assert "?lab_token=s3cret" in served.line
    port = re.search(r":(\d+)/", served.url)[1]
    here = f"ws://127.0.0.1:{port}/echo"
    async with wslab.connect(f"{here}?lab_token=s3cret") as client:
        for number in range(250):  # the burst of a public host's 100 a second is 200
            await client.send(str(number))
        with pytest.raises(ConnectionClosed) as closed:
            await read_all(client)
    assert closed.value.code == 1008
    with pytest.raises(ConnectionRefused) as caught:
        await wslab.connect(here)
    assert caught.value.status == 403
    status, said = await served.end()
    assert status == 0
    assert "Above the limit rate=100" in said
    assert "s3cret" not in said


async def read_all(client):
    while True:
        await client.receive(5)


async def test_no_limits_is_said(start):
    served = await start("main:app", "--port=0", "--limits=off")
    assert "Every limit is off" in (await served.end())[1]


async def test_what_cannot_be_served_is_one_line_with_what_to_do(start, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert re.fullmatch(
            rf"wslab: Expected 127\.0\.0\.1:{port} to be free.*\n",
            await failed(start, "main:app", f"--port={port}"),
        )
    assert "did you mean 'app'" in await failed(start, "main:ap")
    assert "There is no module 'mian'" in await failed(start, "mian:app")
    (tmp_path / "late.py").write_text(
        "import contextlib, wslab\n@contextlib.asynccontextmanager\nasync def lifespan(app):\n"
        "    raise ValueError('no database')\n    yield\napp = wslab.App(lifespan=lifespan)\n"
    )
    said = await failed(start, "late:app", "--port=0")
    assert "no database" in said
    assert "Traceback" not in said


async def test_a_signal_ends_a_startup_that_does_not_end(start, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import asyncio, contextlib, wslab\n@contextlib.asynccontextmanager\nasync def lifespan(app):\n"
        "    print('starting', flush=True)\n    await asyncio.Event().wait()\n    yield\n"
        "app = wslab.App(lifespan=lifespan)\n"
    )
    served = await start("slow:app", "--port=0", until="starting")
    assert (await served.end(signal.SIGTERM))[0] == 0


async def test_an_interrupt_before_it_serves_is_no_traceback(start, tmp_path):
    (tmp_path / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(1000)\n")
    served = await start("slow:app", until="importing")
    assert await served.end(signal.SIGINT) == (130, "")


async def test_reloading_closes_with_1012_and_keeps_the_address(start, tmp_path):
    served = await start("main:app", "--port=0", "--auth=token", "--reload")
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "hi"
        (tmp_path / "main.py").write_text(APP.replace("send_text(text)", "send_text(text.upper())"))
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive(20)
    assert caught.value.code == 1012
    async with asyncio.timeout(30):
        line = (await served.process.stdout.readline()).decode()
    assert line == served.line
    async with wslab.connect(served.at("/echo")) as client:
        await client.send("hi")
        assert await client.receive(5) == "HI"
    assert (await served.end())[0] == 0


async def test_reloading_outlives_a_mistake(start, tmp_path):
    served = await start("main:app", "--port=0", "--reload")
    (tmp_path / "main.py").write_text("def (")
    async with asyncio.timeout(30):
        while b"SyntaxError" not in await served.process.stderr.readline():
            pass
    (tmp_path / "main.py").write_text(APP)
    async with asyncio.timeout(30):
        assert (await served.process.stdout.readline()).decode() == served.line
    assert (await served.end())[0] == 0


async def test_where_a_loop_runs_it_says_to_use_a_lab():
    with pytest.raises(NoEventLoopError, match=r"await lab\.start\(\)"):
        wslab.serve(wslab.App())


def test_reloading_needs_a_name():
    with pytest.raises(OptionError, match="main:app"):
        wslab.serve(wslab.App(), reload=True)


def test_a_log_that_is_set_up_is_used(caplog):
    with caplog.at_level(logging.DEBUG, logger="wslab"):
        serving._log(LabStarted(url="ws://x/"))
        serving._log(Notice(text="for nobody"))
        serving._log(Printed(text="stands there already", stream="stderr"))
        serving._log(Notice(text="look", level="warning"))
        serving._log(EndpointFailed(connection="c1", error="E: x", traceback="Traceback …", where="a.py:1"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "- look"),
        ("ERROR", "c1 The endpoint raised E: x at a.py:1."),
        ("DEBUG", "Traceback …"),
    ]
