"""Who may open a connection: Host, Origin and token, decided before the application runs.

Any page a browser shows can open ``ws://localhost:PORT``: the same-origin policy does not cover
WebSockets (RFC 6455 section 10.2), and a page that rebinds its own name to 127.0.0.1 gets past a
missing Host check. On a shared host every user reaches 127.0.0.1. Hence, in this order:

1. a valid lab token opens every door;
2. where every client needs the token (see `Auth`), nobody else gets in;
3. `Host` must name a loopback address: else DNS rebinding, or a proxy without a token;
4. no `Origin`: not a browser; allowed;
5. `Origin` equal to the lab's own address: the lab's own page; allowed;
6. any other `Origin` (also ``null``): refused, and the log says which URL would have worked.

Decisions look at the header fields only, never at a URL rebuilt from them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

__all__ = ["TOKEN_PARAMETER", "TOKEN_SUBPROTOCOL", "Auth", "Policy", "Refusal"]

Auth = Literal["auto", "token", "off"]
"""``auto``: the rules above, and a token always under JupyterHub, on Binder and on a public host;
``token``: always; ``off``: no check at all."""

TOKEN_PARAMETER = "lab_token"  # noqa: S105 - the parameter's name; never `token`: Jupyter's proxy uses that
TOKEN_SUBPROTOCOL = "wslab.token."  # noqa: S105 - a prefix; what a browser can send without a URL
_PARAMETER = f"{TOKEN_PARAMETER}=".encode()
_HOST = re.compile(
    rb"(?:localhost|(?P<v4>127(?:\.\d{1,3}){3})|\[(?P<v6>[0-9a-f:]{2,39})\])(?::(?P<port>\d{0,5}))?",
    re.IGNORECASE,
)
_LONGEST_HOST = 64  # bytes; nothing longer is a loopback address, or worth to be shown whole
_LAST_PORT = 65535
_LOOPBACK_IPV6 = ipaddress.IPv6Address(1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is refused, and what would have worked.

    Attributes:
        reason: what was asked and why it is not given, as a sentence.
        remedy: what would have worked, as a sentence.
        status: the HTTP status of the answer.
        headers: further header fields of the answer.
    """

    reason: str
    remedy: str
    status: int = 403
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Policy:
    """The door.

    Args:
        auth: see `Auth`.
        token: the lab's token; drawn at random where none is given.
        public: whether other machines reach the lab: every client needs the token then.

    Attributes:
        always: whether every client needs the token.
    """

    def __init__(self, auth: Auth = "auto", token: str = "", *, public: bool = False) -> None:
        self.auth = auth
        self.token = token or secrets.token_urlsafe(16)
        asked = public or "JUPYTERHUB_SERVICE_PREFIX" in os.environ
        self.always = auth == "token" or (auth == "auto" and asked)

    def check(self, scope: Scope) -> Refusal | None:
        """None where the connection may open.

        A token that was shown is taken out of `scope`, so that neither the application nor the
        server's own log gets to see it.
        """
        if self.auth == "off":
            return None
        fields = scope["headers"]
        headers = dict(fields)
        if (
            _PARAMETER in scope.get("query_string", b"")
            or scope.get("subprotocols")
            or b"authorization" in headers
        ) and self._take_token(scope):
            return None
        if len(headers) != len(fields):
            twice = _twice(fields)
            if twice is not None:
                return twice
        host, origin = headers.get(b"host", b""), headers.get(b"origin")
        # Equality, never a prefix: http://127.0.0.1:8000.example.org begins with the address, too.
        own = origin is None or origin in {b"http://" + host, b"https://" + host}
        if own and not self.always and _is_this_machine(host):
            return None
        return self._refusal(host, origin)

    def _refusal(self, host: bytes, origin: bytes | None) -> Refusal:
        if self.always:
            return Refusal(
                "This lab asks every client for its token.",
                f"Use lab.url(…), which adds {TOKEN_PARAMETER}=….",
            )
        if not _is_this_machine(host):
            return Refusal(
                f"Host {_shown(host)} is not this machine (DNS rebinding looks like that).",
                f"Use 127.0.0.1, or add {TOKEN_PARAMETER}=… as lab.url(…, token=True) does.",
            )
        return Refusal(
            f"A page from {_shown(origin or b'')} asked, and only the lab's own pages may without its token.",
            f"Use lab.url(…, token=True), which adds {TOKEN_PARAMETER}=….",
        )

    def _take_token(self, scope: Scope) -> bool:
        """Whether a valid token was shown; whatever lab token came is removed from `scope`."""
        given = []
        query = scope.get("query_string", b"")
        if _PARAMETER in query:
            pairs = query.split(b"&")
            shown = [pair[len(_PARAMETER) :] for pair in pairs if pair.startswith(_PARAMETER)]
            given += [unquote_plus(value.decode("latin-1")) for value in shown]
            scope["query_string"] = b"&".join(pair for pair in pairs if not pair.startswith(_PARAMETER))
        offers = scope.get("subprotocols")
        if offers and any(offer.startswith(TOKEN_SUBPROTOCOL) for offer in offers):
            length = len(TOKEN_SUBPROTOCOL)
            given += [offer[length:] for offer in offers if offer.startswith(TOKEN_SUBPROTOCOL)]
            scope["subprotocols"] = [offer for offer in offers if not offer.startswith(TOKEN_SUBPROTOCOL)]
        bearers = [field for field in scope["headers"] if self._is_bearer(*field)]
        if bearers:  # another bearer is the application's own
            scope["headers"] = [field for field in scope["headers"] if field not in bearers]
            return True
        return any(self._matches(value) for value in given)

    def _is_bearer(self, name: bytes, value: bytes) -> bool:
        is_bearer = name == b"authorization" and value[:7].lower() == b"bearer "
        return is_bearer and self._matches(value[7:].decode("latin-1").strip())

    def _matches(self, value: str) -> bool:
        return secrets.compare_digest(value.encode(), self.token.encode())


def _twice(fields: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
    """Two servers may each believe another one of two equal fields."""
    counts = Counter(name for name, _ in fields)
    for name in (b"host", b"origin"):
        if counts[name] > 1:
            return Refusal(f"{counts[name]} {name.decode()} headers came, expected one.", "Send it once.")
    return None


@lru_cache(maxsize=256)
def _is_this_machine(host: bytes) -> bool:
    """Whether a `Host` field's value names a loopback address, with or without a port.

    Anything else than the plain forms is not this machine: no userinfo, no other spelling of a number
    (decimal, octal, shortened), no final dot.
    """
    match = _HOST.fullmatch(host) if len(host) <= _LONGEST_HOST else None
    if match is None or int(match["port"] or 0) > _LAST_PORT:
        return False
    try:
        if match["v6"]:
            return ipaddress.ip_address(match["v6"].decode()) == _LOOPBACK_IPV6
        return not match["v4"] or ipaddress.ip_address(match["v4"].decode()).is_loopback
    except ValueError:
        return False


def _shown(value: bytes) -> str:
    return repr(value[:_LONGEST_HOST].decode("latin-1"))
