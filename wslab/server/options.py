"""The options that `wslab.Lab`, `wslab.serve` and `wslab serve` share, under the same names."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from wslab.errors import OptionError
from wslab.server.limits import Limits, nearest
from wslab.server.policy import Auth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wslab.wire.deflate import DeflateOptions

__all__ = ["Engine", "Loop", "Options", "is_loopback", "refuse_unknown"]

Engine = Literal["wslab", "websockets-sansio", "wsproto"]
"""``wslab``: the lab's own WebSocket engine; the others are uvicorn's."""

Loop = Literal["kernel", "thread"]
"""``kernel``: the event loop that runs already; ``thread``: one of the lab's own, in its own thread."""

_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a lab serves. Checked when it is made, so that a mistake is told where it was written.

    Attributes:
        host: address or name to bind; the default is reachable from this machine only.
        port: TCP port to bind; 0 takes a free one.
        public: allow a `host` that other machines can reach. Every client needs the token then, and
            the limits begin with ``per_client=20,rate=100``.
        auth: who needs the token; see `wslab.server.policy.Auth`.
        token: the lab's token; "" draws one at random.
        ws: the WebSocket engine; see `Engine`.
        limits: what a client may ask for: a `Limits`, or text such as ``"message=4MiB,rate=50"`` or
            ``"off"``. Kept as a `Limits`.
        deflate: permessage-deflate (RFC 7692): True, False, or its `DeflateOptions`.
        capture: record every byte of every connection.
        lines: note which line of the application received or sent each message.
        loop: where the server runs; see `Loop`.
        ping_interval: seconds between two pings; None sends none.
        ping_timeout: seconds until a ping must be answered, else the connection is cut (1006); None
            waits for ever.
        reload: start again when a source file changes (``wslab serve`` only).
        save: a file in which the record is saved at the end (``wslab serve`` only); "" for none.

    Raises:
        OptionError: a value cannot be meant.

    Example:
        >>> Options(limits="message=4MiB").limits.message
        4194304
    """

    host: str = "127.0.0.1"
    port: int = 0
    public: bool = False
    auth: Auth = "auto"
    token: str = ""
    ws: Engine = "wslab"
    limits: Limits = field(default_factory=Limits)
    deflate: bool | DeflateOptions = False
    capture: bool = True
    lines: bool = True
    loop: Loop = "kernel"
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    reload: bool = False
    save: str = ""

    def __post_init__(self) -> None:
        _expect("host", self.host, type(self.host) is str and self.host != "", "an address or a name")
        _expect("token", self.token, type(self.token) is str, "text")
        is_port = type(self.port) is int and 0 <= self.port <= _LAST_PORT
        _expect("port", self.port, is_port, f"a TCP port from 0 to {_LAST_PORT}")
        for name in ("public", "capture", "lines", "reload"):
            _expect(name, getattr(self, name), type(getattr(self, name)) is bool, "True or False")
        for name in ("ping_interval", "ping_timeout"):
            _expect(name, getattr(self, name), _is_seconds(getattr(self, name)), "seconds above 0, or None")
        for name, choice in (("auth", Auth), ("ws", Engine), ("loop", Loop)):
            _choose(name, getattr(self, name), get_args(choice))
        if type(self.deflate) is not bool:
            from wslab.wire.deflate import DeflateOptions

            is_deflate = isinstance(self.deflate, DeflateOptions)
            _expect("deflate", self.deflate, is_deflate, "True, False or a DeflateOptions")
        _expect("save", self.save, type(self.save) is str, "a file name")
        if self.save and not self.capture:
            raise OptionError(
                "Expected capture=True with save, got False: nothing would be recorded.",
                remedy="Leave out one of the two.",
            )
        self._check_public()
        object.__setattr__(self, "limits", _limits(self.limits, public=self.public))

    def _check_public(self) -> None:
        if not self.public and not is_loopback(self.host):
            raise OptionError(
                f"Expected host to be this machine alone (127.0.0.1), got {self.host!r}, which others reach.",
                remedy="Pass public=True (--public) if that is meant; every client needs the token then.",
            )
        if self.public and self.auth == "off":
            raise OptionError(
                "Expected a public lab to ask for its token, got auth='off'.",
                remedy="Leave out auth, or bind 127.0.0.1 and put your own authentication in front.",
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """The options named in `given`.

        Raises:
            OptionError: a name is unknown, or a value cannot be meant.

        Example:
            >>> Options.of({"prot": 8000})  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            wslab.errors.OptionError: There is no option 'prot' (did you mean 'port'?). The options are ...
        """
        refuse_unknown([name for name in given if name not in NAMES], NAMES)
        return cls(**given)


NAMES = tuple(each.name for each in fields(Options))


def refuse_unknown(unknown: Iterable[str], names: Iterable[str]) -> None:
    """Raise for the first of the `unknown` option names, with the nearest of `names`.

    Raises:
        OptionError: there is one.
    """
    known = list(names)
    for name in unknown:
        raise OptionError(
            f"There is no option {name!r}{nearest(name, known)}.",
            remedy=f"The options are {', '.join(known)}.",
        )


def is_loopback(host: str) -> bool:
    """Whether binding `host` is reachable from this machine only.

    Example:
        >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _limits(given: object, *, public: bool) -> Limits:
    if given is None:
        given = Limits()
    elif isinstance(given, str):
        given = Limits.parse(given)
    if not isinstance(given, Limits):
        raise OptionError(
            f"Expected limits as a Limits, text or 'off', got {given!r}.",
            remedy='Pass for example limits="message=4MiB,rate=50".',
        )
    return given.on_host(public=public)


def _is_seconds(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and type(value) is not bool and value > 0)


def _expect(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise OptionError(f"Expected {name} to be {expected}, got {value!r}.")


def _choose(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value in choices:
        return
    words = ", ".join(map(repr, choices))
    raise OptionError(f"Expected {name} to be one of {words}, got {value!r}{nearest(str(value), choices)}.")
