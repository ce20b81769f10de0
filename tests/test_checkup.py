"""`wslab.doctor()`: each finding made to come out each way."""

from __future__ import annotations

import asyncio
import http.server
import importlib.metadata
import json
import subprocess
import sys
import threading
import types
import urllib.request

import pytest

import wslab
from wslab import checkup, cli
from wslab.checkup import Finding, Report


@pytest.fixture(autouse=True)
def nowhere_special(monkeypatch):
    """No hub, no proxy and no Jupyter server, whatever machine this runs on."""
    for name in (
        *("JUPYTERHUB_SERVICE_PREFIX", "BINDER_REPO_URL", "BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG"),
        *("SSH_CONNECTION", "JPY_PARENT_PID", "VSCODE_PID", "VSCODE_CWD", "JUPYTERHUB_API_TOKEN"),
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "all_proxy", "ws_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(checkup, "_jupyter_server", lambda: None)


@pytest.fixture
def kernel(monkeypatch):
    """What a kernel looks like from inside."""
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def found(name):
    (finding,) = [finding for finding in checkup.examine().findings if finding.name == name]
    return finding


def with_versions(monkeypatch, **versions):
    """Other versions than those installed; None for what is missing."""
    real = importlib.metadata.version
    given = {name.replace("_", "-"): version for name, version in versions.items()}

    def version(name):
        if name in given and given[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return given.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_here_all_is_well():
    report = checkup.examine()
    assert report.healthy
    names = [finding.name for finding in report.findings]
    assert len(set(names)) == len(names)
    for name in ("python", "uvicorn", "starlette", "websockets", "ipykernel", "jupyterlab", "anywidget"):
        assert name in names
    assert found("port").text == "A port of 127.0.0.1 can be bound and reached."
    assert str(report).endswith("All is well.")


async def test_in_a_running_loop_it_ends_and_leaves_nothing(capsys):
    before = asyncio.all_tasks()
    threads = threading.active_count()
    assert wslab.doctor() is None
    said = capsys.readouterr().out
    assert "can be bound and reached" in said
    assert "`await lab.start()` works as it stands" in said
    assert asyncio.all_tasks() == before
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", ["starlette", "uvicorn", "websockets", "anywidget", "ipywidgets"])
def test_what_is_needed_and_missing_fails_with_its_remedy(monkeypatch, name):
    with_versions(monkeypatch, **{name: None})
    finding = found(name)
    assert (finding.level, finding.remedy) == ("fail", f"Run: pip install {name}")
    assert not checkup.examine().healthy


def test_what_is_too_old_fails(monkeypatch):
    with_versions(monkeypatch, uvicorn="0.30.1")
    finding = found("uvicorn")
    assert finding.level == "fail"
    assert "0.30.1 is older than 0." in finding.text
    assert 'pip install "uvicorn>=0.' in finding.remedy


def test_without_an_installation_of_its_own_it_asks_for_no_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert found("uvicorn").level == "ok"


def test_an_older_ipykernel_is_told_what_it_cannot(monkeypatch):
    with_versions(monkeypatch, ipykernel="7.0.1")
    finding = found("ipykernel")
    assert finding.level == "warn"
    assert "clicks" in finding.text
    assert "ipykernel>=7.4" in finding.remedy


def test_jupyterlab_may_be_missing_in_a_kernel_but_not_in_a_terminal(monkeypatch):
    with_versions(monkeypatch, jupyterlab=None)
    assert found("jupyterlab").level == "warn"
    assert 'pip install "wslab[lab]"' in found("jupyterlab").remedy


def test_a_kernel_does_without_jupyterlab(monkeypatch, kernel):
    with_versions(monkeypatch, jupyterlab=None)
    assert found("jupyterlab").level == "ok"


def test_a_kernel_without_a_loop_is_told_the_thread_mode(kernel):
    assert 'loop="thread"' in found("loop").remedy


@pytest.mark.parametrize(("version", "level"), [("7.4.0", "fail"), ("6.31.0", "warn")])
async def test_an_applied_nest_asyncio_is_an_illness(monkeypatch, version, level):
    with_versions(monkeypatch, ipykernel=version)
    monkeypatch.setattr(checkup, "has_old_patch", lambda _loop: True)
    finding = found("nesting")
    assert finding.level == level
    assert "nest_asyncio is applied" in finding.text
    assert "Remove nest_asyncio.apply()" in finding.remedy


async def test_its_maintained_fork_is_none(monkeypatch):
    monkeypatch.setattr(checkup, "nests", lambda _loop: True)
    assert found("nesting").level == "ok"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "Under JupyterHub, at /user/ada/"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/x/", "BINDER_REPO_URL": "x"}, "Under Binder, at /user/x/"),
        ({"COLAB_RELEASE_TAG": "x"}, "In Colab"),
        ({"VSCODE_PID": "1"}, "In VS Code"),
        ({}, "A Jupyter kernel."),
    ],
)
def test_the_place_is_told_and_so_are_the_ways_in(monkeypatch, kernel, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert said in found("place").text
    ways = found("ways in")
    assert "tunnel" in ways.text
    assert ("directly" in ways.text) == (not said.startswith(("Under", "In Colab")))


def test_a_port_that_cannot_be_bound_fails(monkeypatch):
    async def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "start_server", refuse)
    finding = found("port")
    assert finding.level == "fail"
    assert "Permission denied" in finding.text
    assert 'via="memory"' in finding.remedy
    assert found("ways in").level == "warn"


def test_a_port_that_cannot_be_reached_fails(monkeypatch):
    async def refuse(*_arguments, **_options):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(asyncio, "open_connection", refuse)
    finding = found("port")
    assert finding.level == "fail"
    assert "can be bound but not reached" in finding.text
    assert "Connection refused" in finding.text


def test_a_port_that_never_answers_fails_in_time(monkeypatch):
    async def hang(*_arguments, **_options):
        await asyncio.Event().wait()

    monkeypatch.setattr(checkup, "_TRY_LIMIT", 0.05)
    monkeypatch.setattr(asyncio, "open_connection", hang)
    assert "no answer within 0.05 s" in found("port").text


def test_a_proxy_of_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert "NO_PROXY=127.0.0.1,localhost" in found("environment").remedy
    assert found("port").level == "ok"  # the try itself asks no proxy
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert all(finding.name != "environment" for finding in checkup.examine().findings)


class Jupyter(http.server.BaseHTTPRequestHandler):
    """A Jupyter server as far as it is asked: `status` 200 passes the request on."""

    status = 200
    wrong = b""

    def do_GET(self):  # the method's name is http.server's
        _, base, proxy, port, _ = self.path.split("/")
        allowed = self.headers["Authorization"] == "token s3cret"
        assert (base, proxy) == ("base", "proxy")
        status, body = (self.status, b"") if allowed else (403, b"")
        if status == 200:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                body = self.wrong or answer.read()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def jupyter(monkeypatch):
    """A Jupyter server that is found; give it a status, an answer of its own, or another token."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Jupyter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def found_at(token="s3cret", **attributes):
            for name, value in attributes.items():
                monkeypatch.setattr(Jupyter, name, value)
            url = f"http://127.0.0.1:{server.server_port}/base/"
            monkeypatch.setattr(checkup, "_jupyter_server", lambda: (url, token))

        yield found_at
        server.shutdown()


def test_a_proxy_that_works_is_a_way_in(jupyter):
    jupyter()
    assert "jupyter-server-proxy works" in found("proxy").text
    assert 'via="proxy"' in found("ways in").text


def test_a_server_without_the_proxy_is_told_what_to_install(jupyter):
    jupyter(status=404)
    finding = found("proxy")
    assert (finding.level, "has no jupyter-server-proxy" in finding.text) == ("warn", True)
    assert 'pip install "jupyter-server-proxy' in finding.remedy
    assert checkup.examine().healthy


def test_a_server_that_asks_for_a_login_is_told_apart(jupyter):
    jupyter(token="another")
    assert "asks for a login" in found("proxy").text


@pytest.mark.parametrize("attributes", [{"status": 500}, {"wrong": b"somebody else's page"}])
def test_an_answer_of_somebody_else_is_no_proxy(jupyter, attributes):
    jupyter(**attributes)
    finding = found("proxy")
    assert finding.level == "warn"
    assert "did not pass a request on" in finding.text


def test_the_jupyter_server_is_the_kernels_parent(monkeypatch):
    monkeypatch.undo()  # the real search, among servers of our own
    servers = [{"pid": 1, "url": "http://a/", "token": "x"}, {"pid": 2, "url": "http://b/"}]
    serverapp = types.SimpleNamespace(list_running_servers=lambda: iter(servers))
    monkeypatch.setitem(sys.modules, "jupyter_server.serverapp", serverapp)
    monkeypatch.setenv("JPY_PARENT_PID", "2")
    assert checkup._jupyter_server() == ("http://b/", "")
    monkeypatch.setenv("JPY_PARENT_PID", "3")
    assert checkup._jupyter_server() is None
    monkeypatch.delenv("JPY_PARENT_PID")
    assert checkup._jupyter_server() == ("http://a/", "x")
    monkeypatch.setitem(sys.modules, "jupyter_server.serverapp", None)
    assert checkup._jupyter_server() is None


def test_the_command_prints_and_its_status_tells(monkeypatch, capsys):
    assert cli.main(["doctor"]) == 0
    assert "All is well." in capsys.readouterr().out
    sick = Report((Finding("port", "fail", "No port.", "Ask."), Finding("x", "warn", "So so.")))
    monkeypatch.setattr(checkup, "examine", lambda: sick)
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("Something here fails.\n")
    assert cli.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    assert told["findings"][0] == {"name": "port", "level": "fail", "text": "No port.", "remedy": "Ask."}


def test_as_a_process_of_its_own():
    line = [sys.executable, "-m", "wslab", "doctor", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["healthy"]
    assert done.stderr == ""
