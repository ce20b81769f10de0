from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import wslab
from tests.kernel.harness import Gate, Kernel

pytestmark = pytest.mark.kernel


def test_a_cell_gives_its_output_its_value_and_its_error(kernel):
    result = kernel.run("import sys; print('out'); print('err', file=sys.stderr); 6 * 7")
    assert (result.stdout, result.stderr, result.text, result.error) == ("out\n", "err\n", "42", None)
    error = kernel.run("1 / 0").raised("ZeroDivisionError")
    assert error.evalue == "division by zero"
    assert "1 / 0" in error.traceback


def test_ok_and_raised_fail_with_what_really_came(kernel):
    failed, fine = kernel.run("1 / 0"), kernel.run("print('fine')")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        failed.ok()
    with pytest.raises(AssertionError, match="raise KeyError"):
        failed.raised("KeyError")
    with pytest.raises(AssertionError, match="ended normally"):
        fine.raised("KeyError")


def test_outputs_go_to_their_own_cells_and_a_failed_cell_aborts_none(kernel):
    first = kernel.send("print('first'); raise ValueError(1)")
    second = kernel.send("print('second')")
    assert second.result().ok().stdout == "second\n"
    assert first.result().stdout == "first\n"
    first.result().raised("ValueError")


def test_a_wait_that_fails_names_what_it_waited_for(kernel):
    # ipykernel cancels the cell from its signal handler, which does not wake a loop that has nothing
    # else to do; a serving lab ticks, so here something ticks too.
    cell = kernel.send("""
import asyncio
async def tick():
    while True:
        await asyncio.sleep(0.1)
ticking = asyncio.create_task(tick())
print("begun")
await asyncio.Event().wait()
""")
    cell.wait_for_output("begun")
    with pytest.raises(TimeoutError, match=r"(?s)end of the cell \(running\).*asyncio.Event\(\).wait"):
        cell.result(timeout=0.2)
    kernel.interrupt()
    cell.result().raised("CancelledError")
    with pytest.raises(AssertionError, match="'never', but it ended without"):
        cell.wait_for_output("never")


def test_a_blocking_cell_is_interrupted(kernel):
    with Gate() as gate:
        cell = kernel.send(gate.cell("while True: pass"))
        gate.wait()
        kernel.interrupt()
        cell.result().raised("KeyboardInterrupt")
    assert kernel.run("1").text == "1"


def test_restart_gives_a_new_process_without_the_old_names(kernel):
    before = kernel.pid
    kernel.run("x = 1").ok()
    kernel.restart()
    assert kernel.pid != before
    kernel.run("x").raised("NameError")


def test_a_death_is_reported_at_once_and_not_as_a_time_out(kernel):
    cell = kernel.send("import os; os._exit(3)")
    with pytest.raises(AssertionError, match="The kernel died while waiting for the end of the cell"):
        cell.result()
    assert not kernel.alive()


def test_shutdown_runs_the_exit_hooks_and_leaves_no_process(tmp_path):
    mark = tmp_path / "hook-ran"
    with Kernel(tmp_path) as kernel:
        pid = kernel.pid
        kernel.run(f"import atexit, pathlib; atexit.register(pathlib.Path({str(mark)!r}).touch)").ok()
        assert kernel.alive()
    assert mark.exists()
    assert not kernel.alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_kernel_runs_this_environment_in_a_folder_of_its_own(kernel, tmp_path):
    said = kernel.run("import os, sys, wslab; print(sys.prefix, wslab.__file__, os.getcwd(), sep='\\n')").ok()
    assert said.stdout.split() == [sys.prefix, wslab.__file__, str(tmp_path)]


@pytest.mark.skipif(sys.platform == "win32", reason="libzmq has no sockets in files there")
def test_a_kernel_listens_at_files_of_its_own_which_no_other_process_binds(tmp_path):
    with Kernel(tmp_path) as kernel:
        info = json.loads((tmp_path / "kernel.json").read_text())
        numbers = [info[f"{channel}_port"] for channel in ("shell", "iopub", "stdin", "control", "hb")]
        files = [Path(f"{info['ip']}-{number}") for number in numbers]
        assert all(file.is_socket() for file in files)
        kernel.restart()
        assert all(file.is_socket() for file in files)
    assert not files[0].parent.exists()
