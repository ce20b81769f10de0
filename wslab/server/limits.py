"""How much one client may ask for, and what it gets when it asks for more.

==============  =================================  ==========================================
limit           counts                             above it
==============  =================================  ==========================================
`message`       bytes of one message               close code 1009 (RFC 6455 section 7.4.1)
`rate`          messages a second, per connection  close code 1008 (RFC 6455 section 7.4.1)
`connections`   open connections of the lab        HTTP 503 with ``Retry-After``
`per_client`    open connections of one address    HTTP 429 with ``Retry-After``
`handshake`     seconds for a request's head       HTTP 408
==============  =================================  ==========================================

Each time the log gets a `wslab.events.LimitReached` (for the handshake, which is no connection yet, the
refusal alone), and nobody but that client notices.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from wslab.errors import OptionError
from wslab.events import LimitReached
from wslab.server.policy import Refusal
from wslab.session.channel import ServerChannel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Message, Receive, Scope, Send

    from wslab.journal import Journal
    from wslab.session.channel import Channel
    from wslab.wire import Connection

__all__ = [
    "OFF",
    "PUBLIC_PER_CLIENT",
    "PUBLIC_RATE",
    "Admission",
    "LimitedChannel",
    "Limits",
    "RateLimiter",
    "nearest",
]

OFF = math.inf
"""The value of a limit that is not enforced; written ``off``."""

PUBLIC_PER_CLIENT = 20
PUBLIC_RATE = 100

_TOO_BIG, _POLICY_VIOLATION = 1009, 1008  # close codes (RFC 6455 section 7.4.1)
_ROUNDING = 1e-6  # seconds by which a sum of intervals may be off
_BURST = 2.0  # seconds' worth of messages that may come at once
_RETRY_AFTER = ((b"retry-after", b"5"),)  # seconds (RFC 9110 section 10.2.3)
_IPV6_CLIENT = 64  # bits of an IPv6 address that tell clients apart: a provider gives each the rest

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)
_WHOLE = frozenset({"message", "connections", "per_client"})  # fields that count things
_OPTIONAL = frozenset({"per_client", "rate"})  # fields whose default depends on the host


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one lab accepts; see the module's table. `OFF` (infinity) switches a limit off.

    Attributes:
        message: bytes of the largest message accepted, after inflating.
        connections: connections open at a time.
        per_client: connections open at a time from one address (of IPv6: one /64 network); None: no
            limit, and 20 on a public host. Loopback addresses are never limited: behind a proxy on this
            machine (Jupyter's, nginx) every client has one, and no header is believed about it.
        rate: messages a second that one connection may send, with a burst of twice as many; None: no
            limit, and 100 on a public host. Pings count, too, where the lab's own engine serves.
        handshake: seconds until a request's head must be complete.

    Raises:
        OptionError: a value is no positive number.

    Example:
        >>> Limits(rate=50)
        Limits(message=1048576, connections=200, per_client=None, rate=50, handshake=10.0)
    """

    message: float = 2**20
    connections: float = 200
    per_client: float | None = None
    rate: float | None = None
    handshake: float = 10.0

    def __post_init__(self) -> None:
        for name in FIELDS:
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and value > 0) or (name in _WHOLE and value != OFF and value != int(value)):
                kind = "whole number" if name in _WHOLE else "number"
                raise OptionError(
                    f"Expected the limit {name} to be a {kind} above 0, got {value!r}.",
                    remedy=f'Pass limits="{name}=off" for no such limit.',
                )

    @classmethod
    def off(cls) -> Limits:
        """No limit at all: for load tests only."""
        return cls(**dict.fromkeys(FIELDS, OFF))

    @classmethod
    def parse(cls, text: str, base: Limits | None = None) -> Limits:
        """Read ``message=4MiB,rate=off``; what is not named stays as in `base`, or its default.

        Sizes may end in kB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024), in any case.

        Raises:
            OptionError: a name is unknown or a value is none.

        Example:
            >>> Limits.parse("message=4MiB, rate=off").message
            4194304
            >>> Limits.parse("off") == Limits.off()
            True
        """
        if text.strip().lower() == "off":
            return cls.off()
        given: dict[str, Any] = {}
        for pair in text.split(","):
            name, equals, value = (part.strip() for part in pair.partition("="))
            if name not in FIELDS or not equals:
                raise OptionError(
                    f"Expected limits as name=value, got {pair.strip()!r}{nearest(name, FIELDS)}.",
                    remedy=f"The names are {', '.join(FIELDS)}; limits=off switches all of them off.",
                )
            given[name] = _read(name, value)
        return replace(base or cls(), **given)

    def on_host(self, *, public: bool) -> Limits:
        """These limits with the defaults that depend on the host filled in.

        Example:
            >>> Limits(rate=OFF).on_host(public=True)
            Limits(message=1048576, connections=200, per_client=20, rate=inf, handshake=10.0)
        """
        if not public:
            return self
        return replace(
            self,
            per_client=PUBLIC_PER_CLIENT if self.per_client is None else self.per_client,
            rate=PUBLIC_RATE if self.rate is None else self.rate,
        )

    @property
    def max_message(self) -> int | None:
        """`message` for a protocol engine: bytes, or None for no limit."""
        return None if self.message == OFF else int(self.message)

    def limiter(self) -> RateLimiter | None:
        """A fresh `RateLimiter` for one connection; None where `rate` is not limited."""
        return None if self.rate is None or self.rate == OFF else RateLimiter(self.rate)

    @property
    def none(self) -> bool:
        """Whether every limit is off."""
        return self == Limits.off()

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return ",".join(f"{name}={_shown(getattr(self, name))}" for name in FIELDS)


FIELDS = tuple(field.name for field in fields(Limits))


class RateLimiter:
    """A token bucket without a timer: one number a connection, one comparison a message.

    The bucket holds two seconds' worth of messages, at least one, and is full at the beginning. Kept as
    the time at which it will be full again (the "generic cell rate algorithm").

    Args:
        rate: messages a second.

    Example:
        >>> limiter = RateLimiter(1)
        >>> [limiter.take(0.0), limiter.take(0.0), limiter.take(0.0), limiter.take(1.5)]
        [True, True, False, True]
    """

    __slots__ = ("_full_at", "_interval", "_slack", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._interval = 1 / rate
        self._slack = max(_BURST - self._interval, 0.0)
        self._full_at = -math.inf

    def take(self, now: float) -> bool:
        """Whether a message may come at `now` (seconds of any clock that never goes back)."""
        full_at = max(self._full_at, now)
        if full_at - now > self._slack + _ROUNDING:
            return False
        self._full_at = full_at + self._interval
        return True


class Admission:
    """Counts the open connections of a lab, and refuses what is above the limits.

    Args:
        limits: the lab's.
        journal: where a limit that was reached is told.
    """

    def __init__(self, limits: Limits, journal: Journal) -> None:
        self.limits = limits
        self.open = 0
        self._journal = journal
        self._clients: Counter[str] = Counter()

    def client(self, scope: Scope) -> str:
        """What `per_client` counts a connection by: taken once, since middleware may change the scope."""
        return "" if self.limits.per_client is None else _client(scope)

    def admit(self, client: str, connection: str) -> Refusal | None:
        """Count one more connection, until `release`.

        Returns:
            Why it may not open, where it may not: it is not counted then, and has to be refused.
        """
        refusal = self._refuse(client, connection)
        if refusal is None:
            self.open += 1
            if client:
                self._clients[client] += 1
        return refusal

    def release(self, client: str, channel: Channel) -> None:
        """A connection that was admitted has ended."""
        self.open -= 1
        if client:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
        close = channel.connection.close if channel.connection is not None else None
        if close is not None and (close.code, close.by) == (_TOO_BIG, "server") and not channel.closing:
            self.tell("message", channel.id, _TOO_BIG)

    def _refuse(self, client: str, connection: str) -> Refusal | None:
        limits = self.limits
        if self.open >= limits.connections:
            self.tell("connections", connection, 503)
            return Refusal(
                f"This lab serves {limits.connections:g} connections at a time, and all are taken.",
                'Try again later; whoever runs the lab can raise limits="connections=…".',
                503,
                _RETRY_AFTER,
            )
        if client and limits.per_client is not None and self._clients[client] >= limits.per_client:
            self.tell("per_client", connection, 429)
            return Refusal(
                f"This lab serves {limits.per_client:g} connections from one address at a time.",
                "Close one of yours first.",
                429,
                _RETRY_AFTER,
            )
        return None

    def tell(self, limit: str, connection: str, answer: int) -> None:
        """Tell the journal that `limit` was reached, and what the client got."""
        value = float(getattr(self.limits, limit))
        self._journal.publish(LimitReached(connection=connection, limit=limit, value=value, answer=answer))


class LimitedChannel(ServerChannel):
    """A connection served by another implementation than the lab's own, with a limited rate.

    Args:
        connection: its record, or None.
        scope: the connection's scope.
        receive: the server's.
        send: the server's.
        limiter: this connection's.
        admission: told when the rate is exceeded.
    """

    __slots__ = ("_admission", "_limiter")

    def __init__(
        self,
        connection: Connection | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        limiter: RateLimiter,
        admission: Admission,
    ) -> None:
        super().__init__(connection, scope, receive, send)
        self._limiter, self._admission = limiter, admission

    async def receive(self) -> Message:
        """The application's `receive`; the message above the rate is dropped, and 1008 sent."""
        message = await super().receive()
        if message["type"] != "websocket.receive" or self._limiter.take(monotonic()):
            return message
        reason = f"More than {self._limiter.rate:g} messages a second"
        self._admission.tell("rate", self.id, _POLICY_VIOLATION)
        self.gone = True
        with suppress(OSError):  # the client left in the meantime: nobody to tell
            await self.send_close(_POLICY_VIOLATION, reason)
        return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION, "reason": reason}


def _client(scope: Scope) -> str:
    """What tells clients apart; "" for those that cannot be told apart."""
    client = scope.get("client")
    return _client_of(client[0]) if client else ""


@lru_cache(maxsize=1024)
def _client_of(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""  # a Unix socket, or a test's client
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            network = ipaddress.ip_network((address, _IPV6_CLIENT), strict=False)
            return "" if address.is_loopback else str(network)
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)


def _read(name: str, text: str) -> float:
    lowered = text.lower()
    if lowered == "off":
        return OFF
    match = _SIZE.fullmatch(lowered)
    unit = match[2] if match else ""
    if not match or unit not in _UNITS or (unit and name != "message"):
        example = "4MiB" if name == "message" else "100"
        raise OptionError(
            f"Expected a number or off for the limit {name}, got {text!r}.",
            remedy=f"Write {name}={example}, or {name}=off.",
        )
    number = float(match[1]) * _UNITS[unit]
    return int(number) if number == int(number) else number


def _shown(value: float | None) -> str:
    return "off" if value is None or value == OFF else str(value)


def nearest(name: str, names: Iterable[str]) -> str:
    """`` (did you mean …?)`` for the nearest of `names`, or nothing where none is near.

    Example:
        >>> nearest("conections", ["message", "connections"])
        " (did you mean 'connections'?)"
    """
    found = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.55)
    return f" (did you mean {found[0]!r}?)" if found else ""
