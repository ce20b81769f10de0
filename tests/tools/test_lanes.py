"""Jobs side by side: what is printed, how it ends, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from functools import partial

import pytest

from tests.tools.lanes import GRACE, ROOT, Job, run_jobs

TIMEOUT = 30.0


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        yield listener


def stays(listener):
    """Code that connects, and goes on when it is told to."""
    return f"import socket; socket.create_connection({listener.getsockname()}).recv(1)"


async def run_codes(codes, run):
    """A job's work: programs one after the other, up to the first that fails."""
    for code in codes:
        if not await run(sys.executable, "-c", code):
            return False
    return True


def job(name, *codes):
    return Job(name, partial(run_codes, codes))


def outcomes(*jobs):
    return [(name, passed) for name, passed, _ in run_jobs("test", jobs)]


def test_two_run_at_a_time_and_what_each_said_is_in_one_piece(listener, capsys):
    def let_both_go():
        # Neither is told before both are there: one after the other, they would not end.
        for connection in [listener.accept()[0] for _ in range(2)]:
            with connection:
                connection.sendall(b"!")

    thread = threading.Thread(target=let_both_go)
    thread.start()
    jobs = [
        job(name, f"print('{name} 1', flush=True); {stays(listener)}; print('{name} 2')") for name in "ab"
    ]
    assert outcomes(*jobs) == [("a", True), ("b", True)]
    thread.join(TIMEOUT)
    said = capsys.readouterr().out
    assert "test: a said:\na 1\na 2\n" in said
    assert "test: b said:\nb 1\nb 2\n" in said


def test_what_a_failed_job_said_is_repeated_last_and_the_others_go_on(capsys):
    bad = job("bad", "import sys; print('why'); sys.exit('it failed')", "print('never')")
    fine = [job(f"fine {number}", f"print({number})") for number in range(3)]
    assert outcomes(bad, *fine) == [("bad", False), *((f"fine {number}", True) for number in range(3))]
    said = capsys.readouterr().out
    assert "test: bad said:\nwhy\nit failed\n\ntest: bad: FAILED in " in said
    assert said.endswith("test: bad said:\nwhy\nit failed\n\n")
    assert "never" not in said


def test_a_command_that_cannot_be_run_is_an_error_and_ends_the_other(listener, capsys):
    connections = []

    async def nothing(run):
        connection, _ = await asyncio.to_thread(listener.accept)  # the other is running
        connections.append(connection)
        return await run(ROOT / "nothing")

    with pytest.raises(ExceptionGroup) as raised:
        outcomes(job("a", stays(listener)), Job("b", nothing))
    for connection in connections:
        with connection:
            connection.settimeout(TIMEOUT)
            assert connection.recv(1) == b""
    assert raised.group_contains(FileNotFoundError)
    assert "KeyboardInterrupt" in capsys.readouterr().out


RUNNER = """
import sys
from functools import partial
from tests.tools.lanes import Job, run_jobs
async def work(run):
    return await run(sys.executable, "-c", sys.argv[1])
run_jobs("test", [Job("a", work), Job("b", work), Job("c", work)])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_in_order_and_says_what_they_said(listener, number):
    code = f"try: {stays(listener)}\nexcept KeyboardInterrupt: print('tidied up')"
    command = [sys.executable, "-c", RUNNER, code]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as runner:
        connections = [listener.accept()[0] for _ in range(2)]
        runner.send_signal(number)
        said, errors = runner.communicate(timeout=GRACE + TIMEOUT)
        for connection in connections:
            with connection:
                connection.settimeout(TIMEOUT)
                assert connection.recv(1) == b""
    assert (runner.returncode, errors) == (128 + number, "")
    assert said.count("said:\ntidied up\n") == 2
    assert "c begins" not in said
