"""What a recording shows of who waits for whom: which connections interact, and what silence means.

Between two connections nothing on the wire says when the application has done with what it was told. Where
the recording has nothing of the server's between one client's act and another one's, whoever plays it again
pauses. And where the recorded server had fallen silent, it must not say more now.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from wslab.wire.conversation.matchers import Captured, Matcher, TextLike
from wslab.wire.conversation.steps import CONNECTED, Closing, Opening, Said, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wslab.wire.connection import Connection

__all__ = ["PAUSE", "captures_of", "groups", "is_act", "matchers_in", "pauses", "quiet_for", "still_open"]

PAUSE = 0.05
"""Seconds an application gets where nothing says when it is done, and for which its silence is checked."""

_SILENT = 2 * PAUSE  # seconds of silence in the recording from which it is waited for


def groups(steps: Sequence[Step]) -> list[list[Step]]:
    """`steps` by what may have to do with each other: open at the same time, or sharing a captured value."""
    spans: dict[int, tuple[int, int]] = {}
    shared: dict[int, int] = {}
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    for index, step in enumerate(steps):
        number = step.connection.number
        first, _ = spans.get(number, (index, index))
        # one that did not end is open until the recording does
        ends = isinstance(step, Closing) or (isinstance(step, Opening) and step.status != CONNECTED)
        spans[number] = first, index if ends else len(steps)
        parent.setdefault(number, number)
        for capture in captures_of(step):
            parent[root(number)] = root(shared.setdefault(id(capture), number))
    latest, holder = -1, 0
    for number, (first, last) in spans.items():  # in the order they opened
        if first <= latest:
            parent[root(number)] = root(holder)
        if last > latest:
            latest, holder = last, number
    grouped: dict[int, list[Step]] = {}
    for step in steps:
        grouped.setdefault(root(step.connection.number), []).append(step)
    return list(grouped.values())


def captures_of(step: Step) -> Iterator[Captured]:
    """The captured values in a step."""
    if isinstance(step, Opening):
        for value in (step.path, *(value for _, value in step.headers)):
            yield from (matcher for _, matcher in matchers_in("path", value) if isinstance(matcher, Captured))
    elif isinstance(step, Said):
        yield from (matcher for _, matcher in matchers_in("", step.content) if isinstance(matcher, Captured))


def matchers_in(key: str, value: Any) -> Iterator[tuple[str, Matcher]]:
    """The matchers in a value, each with the key of the field it is in."""
    if isinstance(value, Matcher):
        yield key, value
        if isinstance(value, TextLike):
            for part in value.parts:
                yield from matchers_in(key, part)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from matchers_in(name, item)
    elif isinstance(value, list):
        for item in value:
            yield from matchers_in(key, item)


def is_act(step: Step) -> bool:
    """Whether a client did it."""
    return isinstance(step, Opening) or (isinstance(step, Said | Closing) and step.by == "client")


def pauses(steps: Sequence[Step]) -> set[int]:
    """The steps, by index, before which the application needs time to take in what another client did."""
    found = set()
    actor = 0  # of the last act that nothing of the server's has followed
    for index, step in enumerate(steps):
        if not is_act(step):
            actor = 0
            continue
        if actor and actor != step.connection.number:
            found.add(index)
        # accepting is an answer as well
        actor = 0 if isinstance(step, Opening) else step.connection.number
    return found


def quiet_for(steps: Sequence[Step], index: int, connection: Connection, end: float) -> float | None:
    """How many seconds the server must say nothing on `connection` at `end`; None where one cannot say.

    In a stream, the next message may have been about to come. After an answer, nothing was.

    Args:
        steps: those of the connections that interact.
        index: how many of them were before.
        connection: the one that is about to be closed.
        end: when it was, in seconds since the epoch.
    """
    said: list[float] = []  # when, since a client did something last; the latest first
    since = None
    acted = False
    for place in range(index - 1, -1, -1):
        step = steps[place]
        acted = acted or is_act(step)
        if step.connection is connection:
            since = step.at if since is None else since
            if not acted and isinstance(step, Said):
                said.append(step.at)
        if acted and since is not None:
            break
    silence = 0.0 if since is None else end - since
    if silence < 2 * max((later - earlier for later, earlier in pairwise(said)), default=0.0):
        return None
    return PAUSE if silence >= _SILENT else 0


def still_open(steps: Sequence[Step]) -> list[Connection]:
    """The connections that are open after `steps`."""
    rows = {step.connection.number: step.connection for step in steps}
    for step in steps:
        if isinstance(step, Closing) or (isinstance(step, Opening) and step.status != CONNECTED):
            rows.pop(step.connection.number, None)
    return list(rows.values())
