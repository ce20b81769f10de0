"""Drives a real Jupyter kernel, as a front end would, but with bounded waits that say what is missing.

Theory of operation. A cell is sent on the shell channel; what it prints, shows and raises comes back on
the iopub channel in any order with other cells' output, and its reply on the shell channel. Each
message names the request it belongs to, so one pump sorts both channels into `Execution` objects, and
a test may wait for one cell while others are under way. A cell is done when its reply **and** its
"idle" have come: only then has all of its output arrived.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

import wslab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient

__all__ = [
    "CellError",
    "Execution",
    "Gate",
    "Kernel",
    "Result",
    "kernel_environment",
    "kernel_transport",
    "own_kernel_spec",
]

START_TIMEOUT = 60.0
CELL_TIMEOUT = 30.0
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class CellError:
    """What a cell raised, as the kernel reports it."""

    ename: str
    evalue: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a cell; `text` is the text/plain of its last expression, "" without one."""

    stdout: str
    stderr: str
    text: str
    error: CellError | None

    def ok(self) -> Result:
        """This result, or an AssertionError with the cell's traceback."""
        if self.error is not None:
            raise AssertionError(f"The cell raised:\n{self.error.traceback}")
        return self

    def raised(self, ename: str) -> CellError:
        """The cell's error, or an AssertionError when it is not an `ename`."""
        if self.error is None:
            raise AssertionError(f"Expected the cell to raise {ename}; it ended normally:\n{self}")
        if self.error.ename != ename:
            raise AssertionError(f"Expected the cell to raise {ename}:\n{self.error.traceback}")
        return self.error


@dataclass(slots=True, eq=False)
class Execution:
    """A cell that was sent; what has come back of it so far."""

    kernel: Kernel
    code: str
    stdout: str = ""
    stderr: str = ""
    text: str = ""
    error: CellError | None = None
    started: bool = False
    replied: bool = False
    idle: bool = False

    @property
    def done(self) -> bool:
        """Its reply has come and so has all of its output."""
        return self.replied and self.idle

    def result(self, timeout: float = CELL_TIMEOUT) -> Result:
        """Wait for the cell's end.

        Raises:
            TimeoutError: it did not end within `timeout` seconds.
        """
        self.kernel.wait_for(lambda: self.done, timeout, lambda: f"the end of the {self!r}")
        return Result(self.stdout, self.stderr, self.text, self.error)

    def wait_for_output(self, text: str, timeout: float = CELL_TIMEOUT) -> None:
        """Wait until the cell has printed `text`: the proof that it got there."""
        self.kernel.wait_for(
            lambda: text in self.stdout or self.done, timeout, lambda: f"{text!r} from the {self!r}"
        )
        if text not in self.stdout:
            raise AssertionError(f"Expected {text!r}, but it ended without: the {self!r}")

    def __repr__(self) -> str:
        state = (
            "done" if self.done else "replied" if self.replied else "running" if self.started else "queued"
        )
        said = f"\nstdout: {self.stdout!r}\nstderr: {self.stderr!r}\nerror: {self.error}"
        return f"cell ({state})\n{self.code.strip()}{said}"

    def _take(self, channel: str, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if channel == "shell":
            self.replied = self.replied or kind == "execute_reply"
            if content.get("status") == "aborted":  # a queued cell after a failed one never runs
                self.error = self.error or CellError("Aborted", "an earlier cell failed", "")
                self.idle = True
        elif kind == "stream":
            if content["name"] == "stdout":
                self.stdout += content["text"]
            else:
                self.stderr += content["text"]
        elif kind == "execute_result":
            self.text = content["data"].get("text/plain", "")
        elif kind == "error":
            traceback = COLOURS.sub("", "\n".join(content["traceback"]))
            self.error = CellError(content["ename"], content["evalue"], traceback)
        elif kind == "status":
            self.started = True
            self.idle = content["execution_state"] == "idle"


def own_kernel_spec() -> KernelSpecManager:
    """The kernel specification of this very interpreter: a user's own "python3" would otherwise win."""
    return KernelSpecManager(kernel_dirs=[])


@contextmanager
def kernel_transport() -> Iterator[dict[str, str]]:
    """Options of a kernel manager whose kernel listens where no other process ever does.

    The manager of a kernel on TCP looks for free ports, lets go of them, and has the kernel bind them half a
    second later. Whatever else runs on the machine meanwhile, such as another run of these tests, may have
    got one of them by then. Sockets in a folder of the kernel's own cannot be taken. The folder is in /tmp,
    as a socket's path may have a hundred bytes and no more. Windows has no such sockets.
    """
    if sys.platform == "win32":
        yield {}
        return
    with TemporaryDirectory(prefix="wslab-", dir="/tmp") as folder:
        yield {"transport": "ipc", "ip": f"{folder}/kernel"}


def kernel_environment(folder: Path) -> dict[str, str]:
    """The environment of a kernel that imports the wslab under test and keeps its files in `folder`."""
    source = str(Path(wslab.__file__).resolve().parent.parent)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a debugger's warning on standard error
    }


@dataclass(slots=True)
class Kernel:
    """An ipykernel of the running environment, with its own IPython folder and connection file.

    Args:
        folder: where its files go; also its working directory.
        env: additions to its environment.

    Example::

        with Kernel(tmp_path) as kernel:
            assert kernel.run("6 * 7").text == "42"
    """

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    _resources: ExitStack = field(init=False, default_factory=ExitStack)
    _manager: KernelManager = field(init=False)
    _client: BlockingKernelClient | None = field(init=False, default=None)
    _executions: dict[str, Execution] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._manager = KernelManager(
            kernel_name="python3",
            kernel_spec_manager=own_kernel_spec(),
            connection_file=str(self.folder / "kernel.json"),
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        for option, value in self._resources.enter_context(kernel_transport()).items():
            setattr(self._manager, option, value)
        env = {**kernel_environment(self.folder), **self.env}
        try:
            self._manager.start_kernel(env=env, cwd=str(self.folder))
            self._connect()
        except BaseException:
            self.shutdown(now=True)
            raise

    def _connect(self) -> None:
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=START_TIMEOUT)

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        pid = getattr(self._manager.provisioner, "pid", None)
        if pid is None:
            raise RuntimeError("The kernel has no process: call start() first.")
        return int(pid)

    def send(self, code: str) -> Execution:
        """Send a cell and do not wait. A failed cell does not abort those already sent after it."""
        if self._client is None:
            raise RuntimeError("The kernel is not running: call start() first.")
        execution = Execution(self, code)
        request = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        self._executions[request] = execution
        return execution

    def run(self, code: str, timeout: float = CELL_TIMEOUT) -> Result:
        """Run a cell to its end.

        Raises:
            TimeoutError: it did not end within `timeout` seconds.
        """
        return self.send(code).result(timeout)

    def interrupt(self) -> None:
        """Interrupt as the stop button does: SIGINT; see `Execution.result` for what it did."""
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        """Restart as the menu does: a shutdown request, a new process; cells not yet done are forgotten."""
        self._disconnect()
        self._manager.restart_kernel(now=False)
        self._connect()

    def shutdown(self, *, now: bool = False) -> None:
        """End the process (idempotent); `now` kills it, else it is asked and its exit hooks run."""
        self._disconnect()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=now)
        self._resources.close()

    def alive(self) -> bool:
        """Whether the process lives."""
        return bool(self._manager.is_alive())

    def wait_for(self, condition: Callable[[], bool], timeout: float, what: Callable[[], str] | str) -> None:
        """Sort messages until `condition()`.

        Raises:
            TimeoutError: `what` did not happen within `timeout` seconds.
            AssertionError: the kernel died first.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            # A second at most in the poll: a process that died sends nothing that would end the wait.
            if not self._pump(min(left, 1.0)) and not self.alive():
                raise AssertionError(f"The kernel died while waiting for {_said(what)}")
            if left <= 0 and not condition():
                raise TimeoutError(f"{timeout:g} s were not enough for {_said(what)}")

    def _pump(self, timeout: float) -> bool:
        """Sort what arrives within `timeout` seconds; whether anything did."""
        if self._client is None:
            raise RuntimeError("The kernel is not running: call start() first.")
        channels = {"shell": self._client.shell_channel, "iopub": self._client.iopub_channel}
        poller = zmq.Poller()
        for channel in channels.values():
            poller.register(channel.socket, zmq.POLLIN)
        ready = {socket for socket, _ in poller.poll(max(0, round(timeout * 1000)))}
        for name, channel in channels.items():
            if channel.socket in ready:
                message = channel.get_msg(timeout=0)
                execution = self._executions.get(message["parent_header"].get("msg_id", ""))
                if execution is not None:
                    execution._take(name, message)
        return bool(ready)

    def _disconnect(self) -> None:
        self._executions.clear()
        if self._client is not None:
            self._client.stop_channels()
            self._client = None


class Gate:
    """Tells when a cell got to the place where it blocks, without the kernel's own output.

    A kernel that is interrupted while it sends what a cell printed, or compiles the cell's next
    statement, may lose the interrupt or its channel, lab or no lab. So a cell that is to be interrupted
    says over a socket of its own that it is about to block, and does both in one function.

    Example::

        with Gate() as gate:
            cell = kernel.send(gate.cell("time.sleep(600)"))
            gate.wait()
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(CELL_TIMEOUT)

    def cell(self, blocking: str) -> str:
        """A cell that passes the gate and goes on with the statement `blocking`."""
        port = self._listener.getsockname()[1]
        return (
            "import socket, time\n"
            "def block():\n"
            f"    socket.create_connection(('127.0.0.1', {port})).close()\n"
            f"    {blocking}\n"
            "block()"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()

    def wait(self) -> None:
        """Wait until the cell is there.

        Raises:
            TimeoutError: it did not.
        """
        self._listener.accept()[0].close()


def _said(what: Callable[[], str] | str) -> str:
    return what if isinstance(what, str) else what()
