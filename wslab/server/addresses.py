"""Where the kernel's server can be reached: directly, and through Jupyter's proxy."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from wslab.errors import ProxyNotFoundError
from wslab.server.policy import TOKEN_PARAMETER

__all__ = ["base_url", "direct_url", "proxy_url"]


def direct_url(host: str, port: int, path: str, token: str = "") -> str:
    """``ws://host:port/path``; with `token`, it is added as ``lab_token``.

    Example:
        >>> direct_url("127.0.0.1", 8000, "/echo?x=1", token="abc")
        'ws://127.0.0.1:8000/echo?x=1&lab_token=abc'
    """
    name = f"[{host}]" if ":" in host else host
    return _with_token(f"ws://{name}:{port}{_absolute(path)}", token)


def proxy_url(port: int, path: str, token: str) -> str:
    """The same server through jupyter-server-proxy, as a page of this Jupyter server reaches it.

    Under JupyterHub the outside address is not known to the kernel: the result is then the path alone.

    Raises:
        ProxyNotFoundError: no Jupyter server is known to run this kernel.
    """
    server = _jupyter_server()
    base = base_url()
    if base is None:
        raise ProxyNotFoundError(
            "Expected this kernel to run under a Jupyter server, but none was found.",
            remedy='Use lab.url(path) from programs on this machine; via="proxy" is for pages.',
        )
    target = f"{base}proxy/{port}{_absolute(path)}"
    if server is not None and server.get("url"):
        parts = urlsplit(str(server["url"]))
        scheme = "wss" if parts.scheme == "https" else "ws"
        target = urlunsplit((scheme, parts.netloc, "", "", "")) + target
    return _with_token(target, token)


def base_url() -> str | None:
    """The base path of the Jupyter server that runs this kernel, with slashes at both ends; or None."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix:
        return prefix if prefix.endswith("/") else f"{prefix}/"
    server = _jupyter_server()
    return str(server["base_url"]) if server else None


@lru_cache(maxsize=1)
def _jupyter_server() -> dict[str, Any] | None:
    """The running Jupyter server that is this kernel's parent.

    JupyterLab sets JPY_PARENT_PID for its kernels; two servers on one machine are told apart by it.
    """
    parent = os.environ.get("JPY_PARENT_PID")
    if not parent or "JUPYTERHUB_SERVICE_PREFIX" in os.environ:
        return None
    try:
        from jupyter_server.serverapp import list_running_servers
    except ImportError:
        return None
    servers: list[dict[str, Any]] = list(list_running_servers())
    return next((server for server in servers if str(server.get("pid")) == parent), None)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _with_token(url: str, token: str) -> str:
    if not token:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({TOKEN_PARAMETER: token})}"
