from __future__ import annotations

import pytest

from wslab.errors import ProxyNotFoundError
from wslab.server import addresses


@pytest.fixture(autouse=True)
def no_jupyter(monkeypatch):
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    addresses._jupyter_server.cache_clear()
    yield
    addresses._jupyter_server.cache_clear()


def test_direct_addresses():
    assert addresses.direct_url("127.0.0.1", 80, "/a") == "ws://127.0.0.1:80/a"
    assert addresses.direct_url("::1", 80, "a") == "ws://[::1]:80/a"


def test_without_a_jupyter_server_there_is_no_proxy():
    assert addresses.base_url() is None
    with pytest.raises(ProxyNotFoundError, match="Use lab"):
        addresses.proxy_url(8000, "/a", "t")


def test_under_a_hub_the_prefix_is_the_base(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada")
    assert addresses.base_url() == "/user/ada/"
    assert addresses.proxy_url(8000, "/a?b=1", "t") == "/user/ada/proxy/8000/a?b=1&lab_token=t"


def test_the_server_that_started_this_kernel_is_found_by_its_pid(monkeypatch):
    serverapp = pytest.importorskip("jupyter_server.serverapp")
    servers = [
        {"pid": 11, "url": "http://localhost:8888/other/", "base_url": "/other/"},
        {"pid": 12, "url": "https://localhost:8889/mine/", "base_url": "/mine/"},
    ]
    monkeypatch.setattr(serverapp, "list_running_servers", lambda: iter(servers))
    monkeypatch.setenv("JPY_PARENT_PID", "12")
    assert addresses.base_url() == "/mine/"
    assert addresses.proxy_url(8000, "/a", "") == "wss://localhost:8889/mine/proxy/8000/a"
