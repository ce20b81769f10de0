"""A real JupyterLab in a subprocess, with folders of its own."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import nbformat

import wslab

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["THEMES", "JupyterServer"]

START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


class JupyterServer:
    """JupyterLab in a subprocess, with its own configuration, runtime, data and workspace folders.

    Args:
        root: an empty folder for all of it; notebooks go to `folder`, below it.
        options: further options of its command line, for an extension that is served beside it.

    Raises:
        RuntimeError: the server ended, or did not answer in time; the message has its log.
    """

    def __init__(self, root: Path, options: Sequence[str] = ()) -> None:
        self.folder = root / "notebooks"
        self.folder.mkdir(parents=True)
        self.token = "e2e-token"
        self._settings = root / "settings"
        self._set("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False})
        # A windowed notebook detaches the cells that are off screen, and locators with them.
        self._set("notebook-extension", "tracker", {"windowingMode": "none"})
        self.set_theme("light")
        # The kernels' sockets lie in files here, where no other process can be quicker to bind them than the
        # kernel that was told to. Their paths may have a hundred bytes and no more.
        self._runtime = TemporaryDirectory(prefix="wslab-", dir=None if sys.platform == "win32" else "/tmp")
        self._log = root / "jupyterlab.log"
        self._port = 0
        self._named = threading.Event()
        self._ended = threading.Event()
        self._process = subprocess.Popen(
            [*self._command(), *options],
            env=self._environment(root),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl+C for pytest is answered by stop(), in order
        )
        atexit.register(self.stop)
        self._reader = threading.Thread(target=self._read_log, name="jupyterlab log", daemon=True)
        self._reader.start()
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=18888",  # or the next free one: the log says which
            "--ServerApp.port_retries=200",
            f"--ServerApp.root_dir={self.folder}",
            "--ServerApp.jpserver_extensions={'jupyter_server_proxy': True}",
            f"--KernelManager.transport={'tcp' if sys.platform == 'win32' else 'ipc'}",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",  # window.jupyterapp, for the page object
            "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
            # A test run that is killed leaves a server that ends by itself.
            "--ServerApp.shutdown_no_activity_timeout=900",
            "--MappingKernelManager.cull_idle_timeout=600",
        ]

    def _environment(self, root: Path) -> dict[str, str]:
        source = str(Path(wslab.__file__).resolve().parent.parent)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
            "PYTHONUNBUFFERED": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_DATA_DIR": str(root / "data"),
            "JUPYTER_RUNTIME_DIR": self._runtime.name,
            "JUPYTERLAB_SETTINGS_DIR": str(self._settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
            "IPYTHONDIR": str(root / "ipython"),
        }

    def _read_log(self) -> None:
        """Keep the server's output in a file, and note the port it says it serves."""
        assert self._process.stdout is not None
        with self._process.stdout as lines, self._log.open("wb") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if not self._port and (said := re.search(rb"http://127\.0\.0\.1:(\d+)/lab", line)):
                    self._port = int(said[1])
                    self._named.set()
        self._ended.set()
        self._named.set()  # a wait for the port is over, too

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        if not self._named.wait(START_TIMEOUT) or not self._port:
            raise RuntimeError(f"JupyterLab did not say where it serves:\n{self.log()[-5000:]}")
        while True:
            try:
                self.api("GET", "status")
            except urllib.error.URLError:  # it names its port a moment before it listens
                if self._ended.wait(0.05) or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterLab did not serve:\n{self.log()[-5000:]}") from None
            else:
                return

    def _set(self, extension: str, plugin: str, values: Mapping[str, Any]) -> None:
        path = self._settings / "@jupyterlab" / extension / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def set_theme(self, theme: str) -> None:
        """The theme ("light" or "dark") of pages opened from now on."""
        self._set("apputils-extension", "themes", {"theme": THEMES[theme], "adaptive-theme": False})

    @property
    def url(self) -> str:
        """Where it serves, without a trailing slash."""
        return f"http://127.0.0.1:{self._port}"

    def log(self) -> str:
        """What the server printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def api(self, method: str, path: str) -> Any:
        """Call the server's REST interface, `path` below ``/api``; the answer, from JSON."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=START_TIMEOUT) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def write(self, name: str, cells: Sequence[str]) -> None:
        """Write a notebook of code cells."""
        notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        for source in cells:
            notebook.cells.append(nbformat.v4.new_code_cell(source))  # type: ignore[no-untyped-call]
        nbformat.write(notebook, self.folder / name)  # type: ignore[no-untyped-call]

    def shutdown_kernels(self) -> None:
        """End every kernel: an idle one would still eat from the next test's processor."""
        for kernel in self.api("GET", "kernels"):
            self.api("DELETE", f"kernels/{kernel['id']}")

    def stop(self) -> None:
        """End the server and its kernels (idempotent)."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # unlike SIGINT it asks no question
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._reader.join(STOP_TIMEOUT)
        self._runtime.cleanup()
