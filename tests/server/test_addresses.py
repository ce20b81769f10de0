from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import wslab
from wslab.errors import ProxyNotFoundError
from wslab.server import addresses

HUB = ("JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_HOST", "JPY_PARENT_PID")


@pytest.fixture(autouse=True)
def no_jupyter(monkeypatch):
    for name in HUB:
        monkeypatch.delenv(name, raising=False)
    addresses._jupyter_server.cache_clear()
    yield
    addresses._jupyter_server.cache_clear()


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Makes this process the kernel of a Jupyter server that says `info` of itself; there is another, too."""

    def run(**info):
        other = {"pid": 11, "url": "http://localhost:8888/other/", "base_url": "/other/"}
        for said in (other, {"pid": 12, **info}):
            (tmp_path / f"jpserver-{said['pid']}.json").write_text(json.dumps(said), "utf-8")
        (tmp_path / "jpserver-1.json").write_text('{"pid": 1')  # being written
        (tmp_path / "jpserver-2.json").write_text("[12]")
        (tmp_path / "jpserver-3.json").write_bytes(b"\xff")
        (tmp_path / "kernel-7.json").write_text('{"pid": 12}')
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("JPY_PARENT_PID", "12")

    return run


def test_direct_addresses():
    assert addresses.direct_url("127.0.0.1", 80, "/a") == "ws://127.0.0.1:80/a"
    assert addresses.direct_url("::1", 80, "a") == "ws://[::1]:80/a"


def test_without_a_jupyter_server_there_is_no_proxy():
    assert addresses.base_url() is None
    with pytest.raises(ProxyNotFoundError, match="Use lab"):
        addresses.proxy_url(8000, "/a", "t")


@pytest.mark.parametrize("prefix", ["/user/ada", "/user/ada/", "user/ada"])
def test_under_a_hub_the_prefix_is_the_base(monkeypatch, prefix):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    assert addresses.base_url() == "/user/ada/"
    assert addresses.proxy_url(8000, "/a?b=1", "t") == "/user/ada/proxy/8000/a?b=1&lab_token=t&lab_via=proxy"


def test_a_binder_prefix_is_a_hubs(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada-lab-x1y2z3/")
    monkeypatch.setenv("JUPYTERHUB_HOST", "")
    assert addresses.proxy_url(8000, "a", "") == "/user/ada-lab-x1y2z3/proxy/8000/a?lab_via=proxy"


@pytest.mark.parametrize(
    ("known", "origin"),
    [
        ("https://hub.example.org/user/ada/", "wss://hub.example.org"),
        ("http://10.0.0.7:8000/user/ada/", "ws://10.0.0.7:8000"),
        ("/user/ada/", ""),
        ("", ""),
    ],
)
def test_under_a_hub_that_knows_its_public_address_it_is_whole(monkeypatch, known, origin):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", known)
    assert addresses.proxy_url(8000, "/a", "") == f"{origin}/user/ada/proxy/8000/a?lab_via=proxy"


def test_the_server_that_started_this_kernel_is_found_by_its_pid(server):
    server(url="https://localhost:8889/mine/", base_url="/mine/")
    assert addresses.base_url() == "/mine/"
    assert addresses.proxy_url(8000, "/a", "") == "wss://localhost:8889/mine/proxy/8000/a?lab_via=proxy"


def test_a_server_at_the_root_has_one_slash(server):
    server(url="http://127.0.0.1:8889/", base_url="/")
    assert addresses.base_url() == "/"
    assert addresses.proxy_url(8000, "/a", "") == "ws://127.0.0.1:8889/proxy/8000/a?lab_via=proxy"


def test_a_server_on_a_unix_socket_is_known_by_its_path_alone(server):
    server(url="http+unix://%2Ftmp%2Fjupyter.sock/mine/", base_url="/mine/")
    assert addresses.proxy_url(8000, "/a", "") == "/mine/proxy/8000/a?lab_via=proxy"


def test_a_server_that_has_gone_is_none(monkeypatch, server):
    server(url="http://127.0.0.1:8889/", base_url="/")
    monkeypatch.setenv("JPY_PARENT_PID", "13")
    assert addresses.base_url() is None


def test_a_hub_goes_before_a_server_of_ones_own(monkeypatch, server):
    server(url="http://127.0.0.1:8889/", base_url="/")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    assert addresses.proxy_url(8000, "/a", "") == "/user/ada/proxy/8000/a?lab_via=proxy"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"lab_via=proxy", b""),
        (b"a=1&lab_via=proxy&b=%20", b"a=1&b=%20"),
        (b"a=1", b"a=1"),
        (b"", b""),
        (b"xlab_via=1", b"xlab_via=1"),
    ],
)
def test_the_mark_of_the_proxy_is_taken_out_of_the_query(query, left):
    scope = {"query_string": query}
    addresses.take_mark(scope)
    assert scope["query_string"] == left


@pytest.mark.parametrize("ws", ["wslab", "websockets-sansio"])
async def test_a_marked_connection_is_labelled_and_its_endpoint_does_not_see_the_mark(ws):
    lab = wslab.Lab(ws=ws)

    @lab.websocket("/query")
    async def query(ws: wslab.WebSocket):
        await ws.accept()
        await ws.send_text(ws.url.query)

    await lab.start()
    for path, via in (("/query?x=1&lab_via=proxy", "proxy"), ("/query?x=1&xlab_via=proxy", "direct")):
        async with lab.connect(path) as client:
            assert "&lab_via" not in await client.receive(5)
        assert lab.connections[-1].via == via
    await lab.stop()


def test_the_kernel_does_not_wait_for_jupyters_server_to_be_imported():
    """That takes a second and more, and the address is asked for in the kernel's own loop."""
    code = "import sys, wslab.server.addresses as a; a.base_url(); print('jupyter_server' in sys.modules)"
    environment = {**os.environ, "JPY_PARENT_PID": "12"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
