"""Who may open a connection: Host, Origin and token, decided before the application runs.

Any page a browser shows can open ``ws://localhost:PORT``: the same-origin policy does not cover
WebSockets (RFC 6455 section 10.2), and a page that rebinds its own name to 127.0.0.1 gets past a
missing Host check. On a shared host every user reaches 127.0.0.1. Hence, in this order:

1. a valid lab token opens every door;
2. `Host` must name a loopback address: else DNS rebinding, or a proxy without a token;
3. no `Origin`: not a browser; allowed, unless a token is always required;
4. `Origin` equal to the lab's own address: the lab's own page; allowed likewise;
5. any other `Origin` (also ``null``): refused, and the log says which URL would have worked.

Decisions look at the header fields only, never at a URL rebuilt from them.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus, urlsplit

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["TOKEN_PARAMETER", "TOKEN_SUBPROTOCOL", "Auth", "Policy", "Refusal"]

Auth = Literal["auto", "token", "off"]
"""``auto``: the rules above, and a token always under JupyterHub and Binder; ``token``: always; ``off``:
no check at all."""

TOKEN_PARAMETER = "lab_token"  # noqa: S105 - the parameter's name; never `token`: Jupyter's proxy uses that
TOKEN_SUBPROTOCOL = "wslab.token."  # noqa: S105 - a prefix; what a browser can send without a URL
_HTTP_SCHEMES = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is refused, and what would have worked."""

    reason: str
    remedy: str


class Policy:
    """The door.

    Args:
        auth: see `Auth`.
        token: the lab's token; drawn at random where none is given.
    """

    def __init__(self, auth: Auth = "auto", token: str = "") -> None:
        self.auth = auth
        self.token = token or secrets.token_urlsafe(16)

    @property
    def always(self) -> bool:
        """Whether every client needs the token."""
        return self.auth == "token" or (self.auth == "auto" and "JUPYTERHUB_SERVICE_PREFIX" in os.environ)

    def check(self, scope: Scope) -> Refusal | None:  # noqa: PLR0911 - one rule of the door a return
        """None where the connection may open.

        A token that was shown is taken out of `scope`, so that neither the application nor the
        server's own log gets to see it.
        """
        if self.auth == "off":
            return None
        if self._take_token(scope):
            return None
        headers: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name in headers and name in {b"host", b"origin"}:
                return Refusal(f"Two {name.decode()} headers came, expected one.", "Send each once.")
            headers[name] = value.decode("latin-1")
        host = headers.get(b"host", "")
        if not _is_loopback(_hostname(host)):
            return Refusal(
                f"Host {host!r} is not this machine (DNS rebinding looks like that).",
                f"Use 127.0.0.1, or add {TOKEN_PARAMETER}=… as lab.url(…, token=True) does.",
            )
        if self.always:
            return Refusal(
                "This lab asks every client for its token.",
                f"Use lab.url(…), which adds {TOKEN_PARAMETER}=….",
            )
        origin = headers.get(b"origin")
        if origin is None or self._is_own(origin, host):
            return None
        return Refusal(
            f"A page from {origin!r} asked, and only the lab's own pages may without its token.",
            f"Use lab.url(…, token=True), which adds {TOKEN_PARAMETER}=….",
        )

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        # Equality, never a prefix: http://127.0.0.1:8000.example.org begins with the address, too.
        return parts.scheme in _HTTP_SCHEMES and parts.netloc == host and origin.count("/") == 2  # noqa: PLR2004

    def _take_token(self, scope: Scope) -> bool:
        """Whether a valid token was shown; whatever lab token came is removed from `scope`."""
        given = []
        prefix = f"{TOKEN_PARAMETER}=".encode()
        pairs = scope.get("query_string", b"").split(b"&")
        if any(pair.startswith(prefix) for pair in pairs):
            given += [
                unquote_plus(pair[len(prefix) :].decode("latin-1"))
                for pair in pairs
                if pair.startswith(prefix)
            ]
            scope["query_string"] = b"&".join(pair for pair in pairs if not pair.startswith(prefix))
        offers = list(scope.get("subprotocols") or [])
        if any(offer.startswith(TOKEN_SUBPROTOCOL) for offer in offers):
            given += [
                offer[len(TOKEN_SUBPROTOCOL) :] for offer in offers if offer.startswith(TOKEN_SUBPROTOCOL)
            ]
            scope["subprotocols"] = [offer for offer in offers if not offer.startswith(TOKEN_SUBPROTOCOL)]
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given.append(value[7:].decode("latin-1").strip())
        return any(self._matches(value) for value in given)

    def _matches(self, value: str) -> bool:
        return secrets.compare_digest(value.encode(), self.token.encode())


def _hostname(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or "" if "@" not in authority else ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
