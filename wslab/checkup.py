"""`wslab.doctor()`: what works here, what does not, and what to do about it.

Each finding is one line. Where something has to be tried, it is tried: a server on a port of this machine
answers with a word nobody can guess, and is asked for it directly and through Jupyter's proxy. Both run in
a thread with a loop of its own, so that it can be called in a cell, whose loop it holds for a moment only.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import secrets
import ssl
import sys
import threading
import urllib.request
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from wslab.server.cells import find_shell
from wslab.server.nesting import has_old_patch, nests, running_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Finding", "Level", "Report", "doctor", "examine"]

Level = Literal["ok", "warn", "fail"]

_NEEDED = ("starlette", "uvicorn", "websockets", "anywidget", "ipywidgets")
_NOTEBOOK = ("ipykernel", "jupyterlab", "jupyter-server-proxy")
_SMOOTH_IPYKERNEL = (7, 4)  # the first that handles a widget's click while a cell awaits
_SAFE_NESTING = (7,)  # the first ipykernel in which nest_asyncio loses messages
_TRY_LIMIT = 3.0  # seconds for one try
_ANSWER_LIMIT = 2**16  # bytes of an answer that are read
_OK = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at, such as ``"port"``.
        level: "ok"; "warn": something will not work; "fail": nothing will.
        text: what was found.
        remedy: what to do about it; "" where there is nothing to do.
    """

    name: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What `examine` found; its text is what `doctor` prints.

    Example:
        >>> print(Report((Finding("port", "fail", "No port can be bound.", "Ask your administrator."),)))
        fail  port      No port can be bound.
                        → Ask your administrator.
        Something here fails.
    """

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing fails."""
        return all(finding.level != "fail" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The findings for ``json.dumps``."""
        return {"healthy": self.healthy, "findings": [asdict(finding) for finding in self.findings]}

    def __str__(self) -> str:
        width = max((len(finding.name) for finding in self.findings), default=0) + 2
        width = max(width, 10)
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.level:6}{finding.name:{width}}{finding.text}")
            if finding.remedy:
                lines.append(f"{'':{6 + width}}→ {finding.remedy}")
        warned = any(finding.level == "warn" for finding in self.findings)
        end = "All is well, but for the warnings." if warned else "All is well."
        return "\n".join([*lines, end if self.healthy else "Something here fails."])


def doctor() -> None:
    """Print what works here, and what to do about what does not: in a cell, a program or a terminal.

    Takes some seconds at most, and changes nothing.
    """
    print(examine())  # noqa: T201 - what it is for


def examine() -> Report:
    """Look at everything; see `doctor`."""
    loop = running_loop()
    found = [*_versions(), _loop(loop), _nesting(loop), _place()]
    tried = _in_thread()
    proxies = _environment_proxies()
    return Report((*found, *tried, *proxies, _ways_in((*found, *tried))))


# -- what is installed ---------------------------------------------------------------------------------
def _versions() -> Iterator[Finding]:
    yield Finding("python", "ok", f"Python {platform.python_version()} on {platform.system()}.")
    least = _least_versions()
    for name in _NEEDED:
        version, wanted = _version(name), least.get(name, "")
        if not version:
            yield Finding(name, "fail", f"{name} is missing.", f"Run: pip install {name}")
        elif _tuple(version) < _tuple(wanted):
            yield Finding(
                name,
                "fail",
                f"{name} {version} is older than {wanted}.",
                f'Run: pip install "{name}>={wanted}"',
            )
        else:
            yield Finding(name, "ok", f"{name} {version}.")
    for name in _NOTEBOOK:
        yield _notebook_package(name, _version(name))


def _notebook_package(name: str, version: str) -> Finding:
    if not version and _in_kernel():
        return Finding(name, "ok", f"{name} is not in this environment; the Jupyter server may have its own.")
    if not version:
        return Finding(
            name, "warn", f"{name} is missing here.", 'For notebooks, run: pip install "wslab[lab]"'
        )
    if name == "ipykernel" and _tuple(version) < _SMOOTH_IPYKERNEL:
        return Finding(
            name,
            "warn",
            f"ipykernel {version}: while a cell awaits, clicks in the dashboard wait for its end.",
            'Run: pip install "ipykernel>=7.4" and restart the kernel.',
        )
    return Finding(name, "ok", f"{name} {version}.")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _least_versions() -> dict[str, str]:
    """What wslab's own metadata ask for."""
    try:
        lines = importlib.metadata.requires("wslab") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = (re.match(r"([\w.-]+)[^;]*>=\s*([\d.]+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


def _tuple(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


# -- what runs here ------------------------------------------------------------------------------------
def _in_kernel() -> bool:
    """Whether this process is a Jupyter kernel."""
    return hasattr(find_shell(), "kernel")


def _loop(loop: asyncio.AbstractEventLoop | None) -> Finding:
    if loop is not None:
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        return Finding("loop", "ok", f"A loop runs here ({kind}): `await lab.start()` works as it stands.")
    if _in_kernel():
        return Finding(
            "loop",
            "warn",
            "No loop runs in this cell, though this is a kernel (%autoawait may be off).",
            'Use wslab.Lab(app, loop="thread").',
        )
    return Finding("loop", "ok", "No loop runs here: wslab.serve(app) makes one, and so does asyncio.run().")


def _nesting(loop: asyncio.AbstractEventLoop | None) -> Finding:
    name = "nesting"
    if loop is not None and has_old_patch(loop):
        new = _tuple(_version("ipykernel")) >= _SAFE_NESTING
        return Finding(
            name,
            "fail" if new else "warn",
            "nest_asyncio is applied" + (": with this ipykernel it loses cells and clicks." if new else "."),
            "Remove nest_asyncio.apply() and restart the kernel; a cell can simply await.",
        )
    if loop is not None and nests(loop):
        return Finding(name, "ok", "nest_asyncio2 is applied; it does no harm.")
    if _version("nest-asyncio"):
        return Finding(name, "ok", "nest_asyncio is installed, and not applied: leave it so.")
    return Finding(name, "ok", "nest_asyncio is neither applied nor installed.")


def _place() -> Finding:
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix:
        where = (
            "Binder"
            if "BINDER_SERVICE_HOST" in os.environ or "BINDER_REPO_URL" in os.environ
            else "JupyterHub"
        )
        return Finding("place", "ok", f"Under {where}, at {prefix}: every client needs the lab's token.")
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        return Finding("place", "ok", "In Colab, whose own proxy carries no WebSockets.")
    if _in_kernel() and any(name.startswith("VSCODE_") for name in os.environ):
        return Finding("place", "ok", "In VS Code, which has no proxy for WebSockets.")
    return Finding("place", "ok", "A Jupyter kernel." if _in_kernel() else "A program, or a terminal.")


def _environment_proxies() -> Iterator[Finding]:
    """A proxy for the outside world that clients would take for this machine's own addresses, too."""
    named = [name for name in urllib.request.getproxies() if name in {"http", "ws", "all", "socks"}]
    if named and not urllib.request.proxy_bypass("127.0.0.1"):
        yield Finding(
            "environment",
            "warn",
            f"The environment names a proxy ({', '.join(sorted(named))}), also for 127.0.0.1.",
            "Set NO_PROXY=127.0.0.1,localhost, or clients ask that proxy for your lab.",
        )


# -- what is tried -------------------------------------------------------------------------------------
def _in_thread() -> list[Finding]:
    """Run `_try` beside the loop that may run here, and wait for it."""
    found: list[Finding] = []

    def run() -> None:
        found.extend(asyncio.run(_try()))

    thread = threading.Thread(target=run, name="wslab doctor", daemon=True)
    thread.start()
    thread.join(4 * _TRY_LIMIT)
    if found:
        return found
    return [Finding("port", "fail", "The tries did not end.", "Restart the kernel, and run this again.")]


async def _try() -> list[Finding]:
    word = secrets.token_hex(16)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _TRY_LIMIT)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\nConnection: close\r\n\r\n" + word.encode()
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the one who asks reports it
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
    except OSError as error:
        return [_no_port(f"No port of 127.0.0.1 can be bound ({error.strerror or error}).")]
    async with server:
        port = int(server.sockets[0].getsockname()[1])
        return [await _try_port(port, word), await _try_proxy(port, word)]


def _no_port(text: str) -> Finding:
    remedy = 'A sandbox or firewall forbids it: use lab.connect(path, via="memory"), which needs no socket.'
    return Finding("port", "fail", text, remedy)


async def _try_port(port: int, word: str) -> Finding:
    status, body = await _get(f"http://127.0.0.1:{port}/", {})
    if status == _OK and word in body:
        return Finding("port", "ok", "A port of 127.0.0.1 can be bound and reached.")
    return _no_port(f"A port of 127.0.0.1 can be bound but not reached ({body or status}).")


async def _try_proxy(port: int, word: str) -> Finding:
    server = _jupyter_server()
    if server is None:
        hint = "" if _in_kernel() else " Run wslab.doctor() in a notebook to try it there."
        return Finding(
            "proxy", "ok", f"No Jupyter server is known to run this, so there is no proxy to try.{hint}"
        )
    url, token = server
    status, body = await _get(f"{url}proxy/{port}/", {"Authorization": f"token {token}"} if token else {})
    if status == _OK and word in body:
        return Finding("proxy", "ok", f"Pages reach labs through {url}proxy/…: jupyter-server-proxy works.")
    if status == 404:  # noqa: PLR2004 - HTTP's
        remedy = (
            'Where the Jupyter server is installed, run: pip install "jupyter-server-proxy>=4.4"; restart it.'
        )
        return Finding("proxy", "warn", f"The Jupyter server at {url} has no jupyter-server-proxy.", remedy)
    if status in {302, 401, 403}:
        text = (
            f"The Jupyter server at {url} asks for a login, so its proxy could not be tried (HTTP {status})."
        )
        return Finding("proxy", "warn", text, 'Try lab.url(path, via="proxy") in a page that is logged in.')
    text = f"The proxy of the Jupyter server at {url} did not pass a request on ({body[:200] or status})."
    return Finding(
        "proxy", "warn", text, "Restart the Jupyter server; the dashboard's own tunnel still works."
    )


def _jupyter_server() -> tuple[str, str] | None:
    """URL and token of the Jupyter server that runs this kernel, or else of any on this machine."""
    try:
        from jupyter_server.serverapp import list_running_servers

        servers: list[dict[str, Any]] = list(list_running_servers())
    except (ImportError, OSError, ValueError):
        return None
    parent = os.environ.get("JPY_PARENT_PID")
    if parent:
        servers = [server for server in servers if str(server.get("pid")) == parent]
    if not servers:
        return None
    token = servers[0].get("token") or os.environ.get("JUPYTERHUB_API_TOKEN") or ""
    return str(servers[0]["url"]), str(token)


async def _get(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """GET `url`: its status and body, or 0 and what went wrong. Never the loop's or a proxy's time."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = ssl.create_default_context() if secure else None
    if context is not None:  # this machine's own server, whose certificate is for browsers to judge
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    try:
        async with asyncio.timeout(_TRY_LIMIT):
            port = parts.port or (443 if secure else 80)
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            try:
                writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
                answer = b""
                while len(answer) < _ANSWER_LIMIT and (more := await reader.read(_ANSWER_LIMIT)):
                    answer += more
            finally:
                writer.close()
    except TimeoutError:
        return 0, f"no answer within {_TRY_LIMIT:g} s"
    except (OSError, ValueError) as error:
        return 0, str(error)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    return (int(status[1]) if status else 0), body.decode("utf-8", "replace")


# -- what follows --------------------------------------------------------------------------------------
def _ways_in(found: tuple[Finding, ...]) -> Finding:
    """Which ways a page's browser has to a lab here; the widgets try them in this order."""
    levels = {finding.name: finding for finding in found}
    port, proxy, place = levels["port"], levels.get("proxy"), levels["place"]
    ways = []
    remote = place.text.startswith(("Under", "In Colab")) or "SSH_CONNECTION" in os.environ
    if port.level == "ok" and not remote:
        ways.append("directly, where the browser is on this machine")
    if proxy is not None and "works" in proxy.text:
        ways.append('through the proxy (lab.url(path, via="proxy"))')
    if _in_kernel() and _version("anywidget"):
        ways.append("through the dashboard's own tunnel, wherever it is shown")
    if not ways:
        return Finding("ways in", "warn", "No browser can reach a lab from here.", "See the lines above.")
    return Finding("ways in", "ok", "A browser gets in " + "; ".join(ways) + ".")
