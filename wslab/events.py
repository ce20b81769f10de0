"""What happened, as frozen values.

Frames are not events: there are too many of them, and they have a recorder of their own
(`wslab.wire`). An event is what a person would tell: a connection opened, a member left, an endpoint
failed. `at` is seconds since the epoch, as `time.time()` gives it; `connection` is the id a person
sees everywhere, such as ``"c3"``, or ``""`` where no connection is concerned.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

__all__ = [
    "AppSwapped",
    "ConnectionAccepted",
    "ConnectionEnded",
    "ConnectionOpened",
    "EndpointFailed",
    "Event",
    "HandshakeRefused",
    "LabStarted",
    "LabStopped",
    "LimitReached",
    "LoopHeld",
    "MemberJoined",
    "MemberLeft",
    "MessageDropped",
    "Notice",
    "Printed",
    "RoomBroadcast",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Root of what the journal holds."""

    connection: str = ""
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStarted(Event):
    """The server listens at `url`."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStopped(Event):
    """The server ended; `abandoned` endpoints had not returned in time."""

    abandoned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSwapped(Event):
    """New connections are served by another application from now on; open ones keep theirs."""

    app: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOpened(Event):
    """An upgrade request arrived; the handshake is under way."""

    peer: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAccepted(Event):
    """The server answered 101."""

    subprotocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeRefused(Event):
    """The handshake was answered with `status`; `reason` says why, `remedy` what would have worked."""

    status: int
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionEnded(Event):
    """The transport is gone. `code` as in `wslab.ConnectionClosed`; `by` is "client", "server" or ""."""

    code: int
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFailed(Event):
    """An endpoint raised; only its connection ended. `where` is ``file:line`` of the last own frame."""

    error: str
    traceback: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached(Event):
    """A client asked for more than the lab's `limit` (see `wslab.server.limits`), whose value is `value`.

    `answer` says what the client got: a close code or an HTTP status.
    """

    limit: str
    value: float
    answer: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined(Event):
    """`connection` is a member of `room` now; `members` is the count after it."""

    room: str
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft(Event):
    """`connection` is no member of `room` any more; `members` is the count after it."""

    room: str
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomBroadcast(Event):
    """A message was handed to `members` members of `room`."""

    room: str
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDropped(Event):
    """`count` messages for a slow member were dropped, as the room's policy says."""

    room: str
    count: int
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something a person should read. `level` is "info", "warning" or "error"."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHeld(Event):
    """The lab's event loop did not turn for `seconds`: nothing was served, and no cell could go on.

    `by` is the cell or endpoint that held it, "" where that could not be told; `where` is the innermost
    line of the user's own code that was at work.
    """

    seconds: float
    by: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed(Event):
    """An endpoint wrote `text` to `stream`, "stdout" or "stderr".

    `left_out` counts characters that were too many for one second and are kept nowhere.
    """

    stream: str
    text: str
    left_out: int = 0
