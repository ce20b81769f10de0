"""Events as sentences: what the log shows, in the page, in a terminal and in an exported notebook.

A sentence does not name the connection: every log has a column for it. Nothing is escaped here: peers,
paths, reasons and tracebacks are hostile text, and each place that shows them makes them harmless in its
own way.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Literal, NamedTuple

from wslab.events import (
    AppSwapped,
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionOpened,
    EndpointFailed,
    Event,
    HandshakeRefused,
    LabStarted,
    LabStopped,
    LimitReached,
    LoopHeld,
    MemberJoined,
    MemberLeft,
    MessageDropped,
    Notice,
    Printed,
    RoomBroadcast,
)
from wslab.wire.close_codes import CLOSE_CODES, name_close_code

__all__ = ["LEVELS", "Description", "Level", "describe"]

Level = Literal["debug", "info", "warning", "error"]

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
"""From what happens all the time to what must be read."""

"""RFC 6455 section 7.4.1, and what IANA's WebSocket Close Code Number Registry added."""

_EXPECTED_ENDS = {1000, 1001, 1005, 1012}
_PRIVATE_CODES = range(3000, 5000)  # an application's own meaning: not for us to call a fault


class Description(NamedTuple):
    """An event for a person.

    Attributes:
        level: how much it matters; one of `LEVELS`.
        sentence: what happened, on one line.
        detail: what is worth reading on demand, such as a traceback or a remedy; may have many lines.
    """

    level: Level
    sentence: str
    detail: str = ""


@singledispatch
def describe(event: Event) -> Description:
    """What `event` says to a person. An event class unknown here is shown by its name and repr.

    Example:
        >>> describe(MemberJoined(connection="c1", room="stocks", members=2))
        Description(level='info', sentence='Joined room stocks, which has 2 members now.', detail='')
    """
    return Description("info", type(event).__name__, repr(event))


@describe.register
def _(event: LabStarted) -> Description:
    return Description("info", f"The server listens at {event.url}.")


@describe.register
def _(event: LabStopped) -> Description:
    if not event.abandoned:
        return Description("info", "The server stopped.")
    return Description(
        "warning", f"The server stopped; {_count(event.abandoned, 'endpoint')} had not returned in time."
    )


@describe.register
def _(event: AppSwapped) -> Description:
    return Description("info", f"New connections are served by {event.app} now; open ones keep theirs.")


@describe.register
def _(event: ConnectionOpened) -> Description:
    return Description("info", f"{event.peer} asks for {event.path}.")


@describe.register
def _(event: ConnectionAccepted) -> Description:
    chosen = f" with subprotocol {event.subprotocol}" if event.subprotocol else ""
    return Description("info", f"Accepted{chosen}.")


@describe.register
def _(event: HandshakeRefused) -> Description:
    return Description("warning", f"Refused with HTTP {event.status}{_because(event.reason)}", event.remedy)


@describe.register
def _(event: LimitReached) -> Description:
    return Description(
        "warning",
        f"Above the limit {event.limit}={event.value:g}, answered with {event.answer}.",
        f'If that is too low, raise it with limits="{event.limit}=…".',
    )


@describe.register
def _(event: ConnectionEnded) -> Description:
    expected = event.code in _EXPECTED_ENDS or event.code in _PRIVATE_CODES
    if event.by:
        how = f"Closed by the {event.by} with {name_close_code(event.code)}"
    elif event.code in CLOSE_CODES and event.code != 1006:  # noqa: PLR2004 - RFC 6455's abnormal closure
        how = f"Closed with {name_close_code(event.code)}"
    else:
        how = f"Ended without a close frame: {name_close_code(event.code)}"
    return Description("info" if expected else "warning", how + _because(event.reason))


@describe.register
def _(event: EndpointFailed) -> Description:
    where = f" at {event.where}" if event.where else ""
    return Description("error", f"The endpoint raised {event.error}{where}.", event.traceback)


@describe.register
def _(event: MemberJoined) -> Description:
    return Description("info", f"Joined room {event.room}, which has {_count(event.members, 'member')} now.")


@describe.register
def _(event: MemberLeft) -> Description:
    return Description("info", f"Left room {event.room}, which has {_count(event.members, 'member')} now.")


@describe.register
def _(event: RoomBroadcast) -> Description:
    # Streams broadcast many times a second: at a higher level they would bury everything else.
    return Description("debug", f"Broadcast in room {event.room} to {_count(event.members, 'member')}.")


@describe.register
def _(event: MessageDropped) -> Description:
    return Description(
        "warning",
        f"Too slow for room {event.room}: {_count(event.count, 'message')} dropped (policy {event.policy}).",
    )


@describe.register
def _(event: Notice) -> Description:
    level: Level = next((level for level in LEVELS if level == event.level), "info")
    first, _newline, rest = event.text.partition("\n")
    return Description(level, first, rest)


@describe.register
def _(event: LoopHeld) -> Description:
    by = f" by {event.by}" if event.by else ""
    where = f"It was at {event.where}.\n" if event.where else ""
    return Description(
        "warning",
        f"The loop was held for {event.seconds:.2f} seconds{by}.",
        f"{where}Nothing was served meanwhile, and no cell went on. Await what waits, such as "
        "asyncio.sleep(…) for time.sleep(…), and asyncio.to_thread(…) for what computes or blocks.",
    )


@describe.register
def _(event: Printed) -> Description:
    level: Level = "info" if event.stream == "stdout" else "warning"
    first, _newline, rest = event.text.partition("\n")
    left_out = f"{_count(event.left_out, 'character')} left out" if event.left_out else ""
    if not event.text:
        return Description("warning", f"Printed too much within a second: {left_out}.")
    return Description(
        level, f"Printed: {first}", "\n".join(filter(None, (rest, left_out and f"[{left_out}]")))
    )


def _because(reason: str) -> str:
    return f": {reason}" if reason else "."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
