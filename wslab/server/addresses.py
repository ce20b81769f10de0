"""Where the kernel's server can be reached: directly, and through Jupyter's proxy.

Three kinds of Jupyter servers run a kernel, and each tells where it is in its own way:

====================  ==========================================================================
JupyterHub, Binder    ``JUPYTERHUB_SERVICE_PREFIX`` is the path; the host is in
                      ``JUPYTERHUB_PUBLIC_URL`` where the hub knows it, else only the page knows it
a server of one's own  the list of running servers, by ``JPY_PARENT_PID``
none (VS Code, …)     nothing: there is no proxy, and pages go through the tunnel
====================  ==========================================================================
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from wslab.errors import ProxyNotFoundError
from wslab.server.policy import TOKEN_PARAMETER

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["absolute", "authority", "base_url", "direct_url", "proxy_url", "take_mark", "with_parameters"]

VIA_PARAMETER = "lab_via"
"""The query parameter by which a connection says that it comes through the proxy.

jupyter-server-proxy marks the requests it passes on, but no WebSocket's (4.6): without this one a proxied
connection looks like any other.
"""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced here, not bound


def direct_url(host: str, port: int, path: str, token: str = "") -> str:
    """``ws://host:port/path``; with `token`, it is added as ``lab_token``.

    Where `host` stands for every address of this machine, the URL has the one that this machine reaches.

    Example:
        >>> direct_url("127.0.0.1", 8000, "/echo?x=1", token="abc")
        'ws://127.0.0.1:8000/echo?x=1&lab_token=abc'
    """
    here = _EVERY_ADDRESS.get(host, host)
    return with_parameters(f"ws://{authority(here, port)}{absolute(path)}", token)


def proxy_url(port: int, path: str, token: str) -> str:
    """The same server through jupyter-server-proxy, as a page of this Jupyter server reaches it.

    Where the outside address is not known to the kernel the result is the path alone, from the host's root: a
    page of that host completes it.

    Raises:
        ProxyNotFoundError: no Jupyter server is known to run this kernel.
    """
    base = base_url()
    if base is None:
        raise ProxyNotFoundError(
            "Expected this kernel to run under a Jupyter server, but none was found.",
            remedy='Use lab.url(path) from programs on this machine; via="proxy" is for pages.',
        )
    return with_parameters(f"{_origin()}{base}proxy/{port}{absolute(path)}", token, via="proxy")


def base_url() -> str | None:
    """The base path of the Jupyter server that runs this kernel, with slashes at both ends; or None."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix is None:
        server = _jupyter_server()
        if server is None:
            return None
        prefix = str(server.get("base_url") or "/")
    inner = prefix.strip("/")
    return f"/{inner}/" if inner else "/"


def _origin() -> str:
    """``ws://host:port`` of the Jupyter server as seen from outside; "" where that is not known."""
    if "JUPYTERHUB_SERVICE_PREFIX" in os.environ:
        known = os.environ.get("JUPYTERHUB_PUBLIC_URL", "")
    else:
        server = _jupyter_server()
        known = str(server.get("url") or "") if server else ""
    parts = urlsplit(known)
    scheme = _SCHEMES.get(parts.scheme)  # a server on a Unix socket says http+unix, and has no address
    return f"{scheme}://{parts.netloc}" if scheme and parts.netloc else ""


@lru_cache(maxsize=1)
def _jupyter_server() -> dict[str, Any] | None:
    """The running Jupyter server that is this kernel's parent.

    JupyterLab sets JPY_PARENT_PID for its kernels; two servers on one machine are told apart by it.
    """
    parent = os.environ.get("JPY_PARENT_PID")
    if not parent or "JUPYTERHUB_SERVICE_PREFIX" in os.environ:
        return None
    try:
        from jupyter_core.paths import jupyter_runtime_dir
    except ImportError:
        return None
    # The files that jupyter_server's list_running_servers reads. To import that package takes a second and
    # more, in which this kernel's loop would serve nobody.
    for file in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
        try:
            server = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # it is being written, or its server has just ended
        if isinstance(server, dict) and str(server.get("pid")) == parent:
            return server
    return None


def authority(host: str, port: int) -> str:
    """``host:port`` as a URL and a Host field have it; without the port where that is 0.

    Example:
        >>> authority("::1", 8000), authority("127.0.0.1", 0)
        ('[::1]:8000', '127.0.0.1')
    """
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" if port else name


def absolute(path: str) -> str:
    """`path` with a slash at its beginning."""
    return path if path.startswith("/") else f"/{path}"


def with_parameters(url: str, token: str, via: str = "") -> str:
    """`url` with `token` as its ``lab_token`` and `via` as its ``lab_via``; the rest of its query as it is.

    Example:
        >>> with_parameters("/echo?x=1", "abc", "proxy"), with_parameters("/echo", "")
        ('/echo?x=1&lab_token=abc&lab_via=proxy', '/echo')
    """
    given = {name: value for name, value in ((TOKEN_PARAMETER, token), (VIA_PARAMETER, via)) if value}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}" if given else url


def take_mark(scope: Scope) -> None:
    """Take ``lab_via`` out of a connection's query: it is for the lab, and no parameter of an endpoint's.

    Example:
        >>> scope = {"query_string": b"x=1&lab_via=proxy"}
        >>> take_mark(scope)
        >>> scope
        {'query_string': b'x=1'}
    """
    query = scope.get("query_string", b"")
    prefix = f"{VIA_PARAMETER}=".encode()
    if prefix in query:
        kept = [pair for pair in query.split(b"&") if not pair.startswith(prefix)]
        scope["query_string"] = b"&".join(kept)
