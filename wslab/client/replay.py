"""A recorded conversation, held again: the clients' side is played, and the first difference is reported.

Each step of the recording waits for the ones before it, as they were ordered then; of what the server says,
the order on one connection counts, and between connections none. Messages are compared by what they say: JSON
as JSON, and what a server makes up by its kind (`wslab.wire.conversation.generalise`). What is sent is what
was sent, but for values that the server had handed out: those are the new ones.
"""

from __future__ import annotations

import asyncio
import html
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from wslab.errors import ConnectionClosed, ConnectionRefused, RecordingError, WaitTimeoutError, WSLabError
from wslab.wire.close_codes import check_close
from wslab.wire.conversation.comparison import first_difference, show_value
from wslab.wire.conversation.generalise import fill, generalise
from wslab.wire.conversation.interaction import PAUSE, pauses, quiet_for, still_open
from wslab.wire.conversation.matchers import NotCapturedError
from wslab.wire.conversation.steps import (
    CONNECTED,
    Closing,
    Conversation,
    Opening,
    Said,
    Step,
    conversation,
    read_json,
)
from wslab.wire.files import Recording, load
from wslab.wire.heads import ResponseError
from wslab.wire.shown import printable
from wslab.wire.tables import FrameTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from wslab.client.memory import MemoryClient
    from wslab.wire.connection import Connection

__all__ = ["Connect", "Difference", "Replay", "ReplayError", "conversation_of", "replay"]

_SHOWN = 400  # characters of a refusal that a difference shows
_NO_CODE, _ABRUPT, _INTERNAL_ERROR = 1005, 1006, 1011


class Connect(Protocol):
    """Opens a connection to the application, as `wslab.core.Core.connect` does."""

    async def __call__(
        self,
        path: str,
        *,
        via: str,
        subprotocols: Sequence[str] = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float = ...,
    ) -> MemoryClient:
        """The client."""


class ReplayError(WSLabError, AssertionError):
    """A replay differs from its recording.

    Attributes:
        difference: the first one.
    """

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


@dataclass(frozen=True, slots=True)
class Difference:
    """What was not as it was recorded.

    Attributes:
        connection: the id in the recording, such as "c1".
        path: what it had asked for.
        what: "message 3", "handshake", "subprotocol" or "close".
        expected: what the recording has, with matchers for what may differ.
        got: what came instead.
        where: in a message of JSON, the path of the first value that differs, such as "$.data.price".
    """

    connection: str
    path: str
    what: str
    expected: str
    got: str
    where: str = ""

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return printable(
            f"{self.connection} ({self.path}), {self.what}{place}: expected {self.expected}, got {self.got}."
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay went. True where nothing differed.

    Attributes:
        done: how many steps were as recorded.
        steps: how many there are.
        difference: the first one; None where there is none.
        left_out: sentences about what the recording has and a replay has not.
        frames: where the replay itself was recorded, after all that was there before.
    """

    done: int
    steps: int
    difference: Difference | None = None
    left_out: tuple[str, ...] = ()
    frames: FrameTable | None = None

    @property
    def ok(self) -> bool:
        """Whether all was as recorded."""
        return self.difference is None

    def __bool__(self) -> bool:
        return self.ok

    def raise_for_difference(self) -> None:
        """Do nothing where all was as recorded.

        Raises:
            ReplayError: an `AssertionError`, which says what differed.
        """
        if self.difference is not None:
            raise ReplayError(self.difference)

    def _title(self) -> str:
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        return f"{steps} as recorded" if self.ok else f"{self.done} of {steps} as recorded"

    def __repr__(self) -> str:
        lines = [f"<Replay: {self._title()}>"]
        found = self.difference
        if found is not None:
            place = f" at {found.where}" if found.where else ""
            lines += [
                f"  {found.connection} ({found.path}), {found.what}{place}:",
                f"  expected {found.expected}",
                f"  got      {found.got}",
            ]
        lines += [f"  left out: {text}" for text in self.left_out]
        return "\n".join(printable(line) for line in lines)

    def _repr_html_(self) -> str:
        def cell(text: str, tag: str = "td") -> str:
            return f"<{tag}>{html.escape(printable(text))}</{tag}>"

        found = self.difference
        rows: list[tuple[str, str]] = []
        if found is not None:
            place = f" at {found.where}" if found.where else ""
            rows += [
                ("connection", f"{found.connection} ({found.path})"),
                ("first difference", f"{found.what}{place}"),
                ("expected", found.expected),
                ("got", found.got),
            ]
        rows += [("left out", text) for text in self.left_out]
        body = "".join(f"<tr>{cell(name, 'th')}{cell(text)}</tr>" for name, text in rows)
        return f"<table><caption>{html.escape(self._title())}</caption><tbody>{body}</tbody></table>"


def conversation_of(
    source: str | PathLike[str] | Recording | FrameTable,
    connections: Iterable[Connection | str] | None = None,
    *,
    known: Iterable[Connection] = (),
    where: str = "",
    secrets: Mapping[str, str] | None = None,
) -> Conversation:
    """What a recording says, wherever it is; a file's connections are all taken, those refused included.

    Args:
        source: a path of a ``.har`` or ``.jsonl`` file, what `wslab.wire.load` made of one, or a table.
        connections: those to take, or their ids.
        known: those that ids may name beside the ones that have frames.
        where: a filter; connections are taken of which a frame passes.
        secrets: values for what was redacted.

    Raises:
        RecordingError: the file, or what it has of a connection, is not enough.
        QueryError: the filter cannot be read.
        OSError: the file cannot be read.
    """
    if isinstance(source, FrameTable):
        frames, rows = source, {row.id: row for row in known}
    else:
        recording = source if isinstance(source, Recording) else load(source)
        frames, rows = recording.frames, {row.id: row for row in recording.connections}
        if connections is None:
            connections = recording.connections
    if connections is not None:
        given = [connections] if isinstance(connections, str) else list(connections)
        connections = [rows.get(each, each) if isinstance(each, str) else each for each in given]
    return conversation(frames, connections, where=where, secrets=secrets)


async def replay(
    talk: Conversation,
    connect: Connect,
    *,
    timeout: float = 5.0,
    volatile: Iterable[str] = (),
    exact: Iterable[str] = (),
    frames: FrameTable | None = None,
) -> Replay:
    """Play the clients' side of `talk`, and compare what the server says.

    Args:
        talk: what was recorded.
        connect: opens a connection to the application.
        timeout: seconds that each thing which the server said is waited for.
        volatile: more fields of which only the type is compared; see `wslab.wire.conversation.volatile`.
        exact: fields in which nothing is recognised as volatile.
        frames: where `connect` records.

    Raises:
        OptionError: a field's path cannot be read.
        RecordingError: a request has what no client may send.
    """
    steps = generalise(talk.steps, volatile=volatile, exact=exact)
    player = _Player(connect, timeout, steps)
    waits = pauses(steps)
    done = 0
    try:
        for index, step in enumerate(steps):
            if index in waits:
                # nothing on the wire says when the application has taken in what it was told last
                await asyncio.sleep(PAUSE)
            await player.play(index, step)
            done += 1
        for connection in still_open(steps):
            await player.check_silence(connection, len(steps), steps[-1].at)
    except _Differs as differs:
        return Replay(done, len(steps), differs.difference, talk.left_out, frames)
    finally:
        await player.leave()
    return Replay(done, len(steps), None, talk.left_out, frames)


class _Differs(Exception):  # noqa: N818 - the way out of a replay, not an error
    def __init__(self, difference: Difference) -> None:
        self.difference = difference


@dataclass(slots=True)
class _Player:
    connect: Connect
    timeout: float
    steps: Sequence[Step]
    clients: dict[int, MemoryClient] = field(default_factory=dict)

    async def play(self, index: int, step: Step) -> None:
        """One step.

        Raises:
            _Differs: the server did something else.
        """
        if isinstance(step, Opening):
            await self._open(step)
        elif isinstance(step, Said) and step.by == "client":
            await self._send(step)
        elif isinstance(step, Said):
            await self._expect(step)
        elif isinstance(step, Closing) and step.by == "client":
            await self.check_silence(step.connection, index, step.at)
            await self._close(step)
        elif isinstance(step, Closing):
            await self._expect_close(step)

    async def leave(self) -> None:
        """Close what is still open."""
        await asyncio.gather(*(client.close() for client in self.clients.values()))

    def _differ(self, step: Step, what: str, expected: str, got: str, where: str = "") -> _Differs:
        path = step.connection.path
        return _Differs(Difference(step.connection.id, path, what, expected, got, where))

    # -- the client's side -------------------------------------------------------------------------
    async def _open(self, step: Opening) -> None:
        expected = f"HTTP {step.status}"
        try:
            client = await self.connect(
                fill(step.path),
                via="memory",
                subprotocols=step.subprotocols,
                headers={name: fill(value) for name, value in step.headers},
                timeout=self.timeout,
            )
        except ConnectionRefused as refused:
            if refused.status != step.status:
                said = f" ({refused.body.strip()[:_SHOWN]})" if refused.body.strip() else ""
                raise self._differ(step, "handshake", expected, f"HTTP {refused.status}{said}") from None
            return
        except (WaitTimeoutError, ConnectionError) as error:
            raise self._differ(step, "handshake", expected, _sentence(error)) from None
        except (ResponseError, UnicodeEncodeError) as error:
            row = step.connection.id
            raise RecordingError(
                f"Expected a request that can be sent again, got {row}'s, which cannot: {_sentence(error)}.",
                remedy=f"Leave {row} out: connections=[…].",
            ) from error
        self.clients[step.connection.number] = client
        if step.status != CONNECTED:
            raise self._differ(step, "handshake", expected, f"HTTP {CONNECTED}")
        if client.subprotocol != step.subprotocol:
            chosen, now = (name or "none" for name in (step.subprotocol, client.subprotocol))
            raise self._differ(step, "subprotocol", chosen, now)

    async def _send(self, step: Said) -> None:
        client = self.clients[step.connection.number]
        try:
            content = fill(step.content)
        except NotCapturedError as error:  # what should have it was not compared: it is in `exact`
            raise self._differ(
                step, f"message {step.number} to the server", "a value to send", str(error)
            ) from None
        if step.kind == "json":
            same = content == json.loads(step.text)
            content = step.text if same else json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        try:
            await client.send(content)
        except ConnectionClosed as closed:
            what = f"message {step.number} to the server"
            raise self._differ(step, what, "an open connection", _ending(closed)) from None

    async def _close(self, step: Closing) -> None:
        client = self.clients.pop(step.connection.number)
        if client.closed is not None:
            raise self._differ(step, "close", "an open connection", _ending(client.closed))
        if step.code == _ABRUPT:
            client.abort()
        elif step.code == _NO_CODE or check_close(step.code, step.reason):
            await client.close(None)
        else:
            await client.close(step.code, step.reason)

    # -- the server's side -------------------------------------------------------------------------
    async def _expect(self, step: Said) -> None:
        client = self.clients[step.connection.number]
        what = f"message {step.number}"
        try:
            got = await client.receive(self.timeout)
        except ConnectionClosed as closed:
            raise self._differ(step, what, show_value(step.content), _ending(closed)) from None
        except WaitTimeoutError:
            nothing = f"nothing within {self.timeout:g} s"
            raise self._differ(step, what, show_value(step.content), nothing) from None
        value = read_json(got) if step.kind == "json" and isinstance(got, str) else None
        if value is None:
            wanted = bytes if step.kind == "binary" else str
            if not isinstance(got, wanted) or got != step.content:
                raise self._differ(step, what, show_value(step.content), show_value(got))
            return
        where = first_difference(step.content, value)
        if where is not None:
            path, expected, found = where
            raise self._differ(step, what, show_value(expected), show_value(found), path)

    async def _expect_close(self, step: Closing) -> None:
        client = self.clients.pop(step.connection.number)
        expected = _ending(ConnectionClosed(step.code, step.reason, step.by))
        try:
            try:
                got: str | bytes = await client.receive(self.timeout)
            except ConnectionClosed as closed:
                reason_counts = step.code != _INTERNAL_ERROR or not step.reason.startswith("Internal error")
                same = closed.code == step.code and closed.by == step.by
                if not same or (reason_counts and closed.reason != step.reason):
                    raise self._differ(step, "close", expected, _ending(closed)) from None
                return
            except WaitTimeoutError:
                raise self._differ(step, "close", expected, f"nothing within {self.timeout:g} s") from None
            raise self._differ(step, "close", expected, f"one message more, {show_value(got)}")
        finally:
            await client.close()

    async def check_silence(self, connection: Connection, index: int, end: float) -> None:
        """The server must not say more than it did, where the recording shows that it would not have.

        Raises:
            _Differs: it does.
        """
        seconds = quiet_for(self.steps, index, connection, end)
        client = self.clients.get(connection.number)
        if seconds is None or client is None:
            return
        step = next(step for step in self.steps if step.connection is connection)
        try:
            # what was written before the pong has come before it
            await client.ping(self.timeout)
            got = await client.receive(seconds)
        except WaitTimeoutError:
            return
        except ConnectionClosed as closed:
            if not client.pending:
                raise self._differ(step, "close", "an open connection", _ending(closed)) from None
            got = await client.receive()
        raise self._differ(step, "end", "no further message", show_value(got))


def _ending(closed: ConnectionClosed) -> str:
    if not closed.by:
        return "an end without a close frame (1006)"
    reason = f" ({closed.reason})" if closed.reason else ""
    return f"a close by the {closed.by} with {closed.code}{reason}"


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
