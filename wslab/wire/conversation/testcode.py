"""A recording as a test: Python that plays the clients' side and checks what the server says.

What is written is meant to be read, edited and kept: one coroutine for each group of connections that were
open together or that share a value, its lines in the order of the recording. It runs the application in
the test's own loop (`wslab.asgi.testing`), so it needs no server, no port and no plugin of pytest's.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from wslab.errors import OptionError, RecordingError
from wslab.wire.conversation.generalise import generalise
from wslab.wire.conversation.interaction import (
    PAUSE,
    captures_of,
    groups,
    matchers_in,
    pauses,
    quiet_for,
    still_open,
)
from wslab.wire.conversation.matchers import Captured, TextLike
from wslab.wire.conversation.source import (
    WIDTH,
    Group,
    Node,
    call,
    encode_literal,
    lay_out,
    text_node,
    value_node,
)
from wslab.wire.conversation.steps import CONNECTED, Closing, Conversation, Opening, Said, Step, conversation
from wslab.wire.files.replacing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from wslab.wire.connection import Connection
    from wslab.wire.recorded import RecordedFrame

__all__ = ["save_test", "to_source"]

_FAILED, _INTERNAL_ERROR = 500, 1011
_NARROW = 88  # columns that tools allow an import when nobody has told them more
_LONGEST_NAME = 40
_RESERVED = {"app", "client", "opened", "status", "pytest", "asyncio", "base64", "json", "captured", "c"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STYLES: tuple[dict[str, Any], ...] = ({"separators": (",", ":"), "ensure_ascii": False}, {})


# -- the source ------------------------------------------------------------------------------------
def to_source(
    talk: Conversation, *, app: str | None = None, volatile: Iterable[str] = (), exact: Iterable[str] = ()
) -> str:
    """The test of a conversation, as Python source.

    Args:
        talk: what was recorded.
        app: where the application is, as ``"module:name"``; a fixture to be filled in where it is None.
        volatile: more fields of which only the type is compared; see `wslab.wire.conversation.volatile`.
        exact: fields in which nothing is recognised as volatile.

    Raises:
        OptionError: `app` is no such address, or a field's path cannot be read.
    """
    names = None if app is None else _address(app)
    steps = generalise(talk.steps, volatile=volatile, exact=exact)
    writers = []
    taken: set[str] = set()
    for group in groups(steps):
        writer = _Writer(_free(_name_of(group), taken), group, fixture=app is None)
        taken.add(writer.name)
        writers.append(writer)
    bodies = [writer.lines() for writer in writers]
    uses = {name for writer in writers for name in writer.uses}
    lines = [*_docstring(talk), "", *_imports(uses, names)]
    if names is None:
        lines += _FIXTURE
    for body in bodies:
        lines += ["", "", *body]
    return "\n".join(lines) + "\n"


_FIXTURE = [
    "",
    "",
    "@pytest.fixture",
    "def app():",
    '    """The application under test: import it here, and return it."""',
    '    pytest.fail("Fill in the fixture `app`: a recording does not know where its application is.")',
]


def _address(app: str) -> tuple[str, str]:
    module, colon, name = app.partition(":")
    parts = [*module.split("."), name]
    if not colon or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise OptionError(
            f'Expected app="module:name", got {app!r}.',
            remedy='As for uvicorn: app="chat:app" for `app` in chat.py.',
        )
    return module, name


def _docstring(talk: Conversation) -> list[str]:
    said = [step.by for step in talk.steps if isinstance(step, Said)]
    number = len(talk.connections)
    noun = "connection" if number == 1 else "connections"
    heard = said.count("client")
    at = min((step.at for step in talk.steps), default=0.0)
    clock = (_EPOCH + timedelta(seconds=min(at, 2**32))).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        '"""A recorded conversation, held again with the application.',
        "",
        f"Recorded {clock}: {number} {noun}, {heard} messages to the server, {len(said) - heard} from it.",
        *(["Left out:", *(f"- {text}" for text in talk.left_out)] if talk.left_out else []),
        '"""',
    ]
    return [line.replace("\\", "/") for line in lines]


def _imports(uses: set[str], app: tuple[str, str] | None) -> list[str]:
    lines = ["import asyncio"]
    lines += [f"import {name}" for name in ("base64", "json") if name in uses]
    if "AsyncExitStack" in uses:
        lines.append("from contextlib import AsyncExitStack")
    lines.append("")
    if app is None:
        lines.append("import pytest")
    ours = sorted(uses - {"base64", "json", "AsyncExitStack"})
    lines += lay_out("from wslab.asgi.testing import ", ", ".join(ours), 0)
    if len(lines[-1]) > _NARROW:
        lines[-1:] = ["from wslab.asgi.testing import (", *(f"    {name}," for name in ours), ")"]
    if app is not None:
        renamed = "" if app[1] == "app" else " as app"
        lines += ["", f"from {app[0]} import {app[1]}{renamed}"]
    return lines


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower())[:_LONGEST_NAME].strip("_")
    return slug if slug[:1].isalpha() else ""


def _name_of(group: Sequence[Step]) -> str:
    first = group[0]
    assert isinstance(first, Opening)
    path = first.path.parts[0] if isinstance(first.path, TextLike) else first.path
    return _slug(unquote(str(path).partition("?")[0])) or "root"


def _free(name: str, taken: set[str]) -> str:
    """`name`, with a number where it is taken."""
    return name if name not in taken else _numbered(name, taken, 2)


def _numbered(name: str, taken: set[str], first: int) -> str:
    return next(other for other in (f"{name}_{n}" for n in count(first)) if other not in taken)


@dataclass(slots=True)
class _Writer:
    """Writes one group: its coroutine, and the test that runs it."""

    name: str
    group: Sequence[Step]
    fixture: bool
    uses: set[str] = field(default_factory=lambda: {"AsyncTestClient"})
    names: dict[int, str] = field(default_factory=dict)  # of captured values
    _indent: int = 8

    def lines(self) -> list[str]:
        """The source."""
        given = "app" if self.fixture else ""
        head = [
            f"def test_{self.name}({given}):",
            f"    asyncio.run(replay_{self.name}({given}))",
            "",
            "",
            f"async def replay_{self.name}({given}):",
        ]
        body = self._captured()
        opening = "AsyncTestClient(app, receive_timeout=5"
        if any(map(_fails, self.group)):
            opening += ", raise_server_exceptions=False"
        items = [f"{opening}) as client"]
        alone = self._alone(f"async with {items[0]}, ")
        if alone:
            items.append(alone)
        elif any(isinstance(step, Opening) and step.status == CONNECTED for step in self.group):
            self.uses.add("AsyncExitStack")
            items.append("AsyncExitStack() as opened")
        line = f"    async with {', '.join(items)}:"
        if len(line) <= WIDTH:
            body.append(line)
        else:
            body += ["    async with (", *(f"        {item}," for item in items), "    ):"]
        waits = pauses(self.group)
        for index, step in enumerate(self.group):
            if index in waits:
                body.append(
                    f"        await asyncio.sleep({PAUSE})  # nothing says when that has been taken in"
                )
            body += self._step(index, step, opened=bool(alone))
        for connection in still_open(self.group):
            body += self._quiet(connection, len(self.group), self.group[-1].at)
        return [*head, *body]

    def _captured(self) -> list[str]:
        """The variables that captured values are kept in."""
        lines = []
        taken = _RESERVED | set(dir(builtins)) | {step.connection.id for step in self.group}
        for step in self.group:
            content = step.content if isinstance(step, Said) and step.by == "server" else None
            for key, matcher in matchers_in("", content):
                if not isinstance(matcher, Captured) or id(matcher) in self.names:
                    continue
                slug = _slug(key) or _slug(repr(matcher.what).partition("(")[0].partition("_")[2])
                if not slug or keyword.iskeyword(slug) or slug in taken or re.fullmatch(r"c\d+", slug):
                    slug = _numbered(slug or "value", taken, 1)
                taken.add(slug)
                self.names[id(matcher)] = slug
                self.uses.add("captured")
                lines += lay_out(f"{slug} = ", call("captured", self._node(matcher.what)), 4)
        return lines

    def _node(self, value: Any, *, sent: bool = False) -> Node:
        """The source of a value, of which the names it needs are noted."""
        if isinstance(value, bytes):
            node = value_node(value, self.names)
            if isinstance(node, Group) and node.opening.startswith("base64"):
                self.uses.add("base64")
            return node
        if not sent:
            plain = (matcher for _, matcher in matchers_in("", value) if not isinstance(matcher, Captured))
            self.uses |= {repr(matcher).partition("(")[0] for matcher in plain}
        return value_node(value, self.names, sent=sent)

    def _alone(self, client: str) -> str:
        """The session of the only connection; "" where there are more, or the line is too long for it."""
        first, *more = (step for step in self.group if isinstance(step, Opening))
        if more or first.status != CONNECTED or first.redacted:
            return ""
        after = f" as {first.connection.id}"
        lines = lay_out(client, self._session(first), 4, f"{after}:")
        fits = len(lines) == 1 and len(lines[0]) <= WIDTH
        return lines[0].strip().removeprefix(client).removesuffix(":") if fits else ""

    def _session(self, step: Opening) -> Node:
        # A reference that begins with two slashes names a host (RFC 3986 section 4.2).
        names_host = isinstance(step.path, str) and step.path.startswith("//")
        path = f"ws://testserver{step.path}" if names_host else step.path
        items: list[tuple[str, Node]] = [("", self._node(path, sent=True))]
        if step.subprotocols:
            items.append(("", self._node(list(step.subprotocols))))
        for name, value in step.headers:
            if isinstance(value, str) and not value.isascii():
                raise RecordingError(
                    f"Expected headers that a test can send, in ASCII, got {name} ({step.connection.id}).",
                    remedy="Leave that connection out: connections=[…].",
                )
        if step.headers:
            items.append(("headers=", self._node(dict(step.headers), sent=True)))
        return Group("client.websocket_connect(", tuple(items), ")")

    # -- steps -------------------------------------------------------------------------------------
    def _step(self, index: int, step: Step, *, opened: bool) -> list[str]:
        if isinstance(step, Opening):
            return self._opening(step, opened=opened)
        if isinstance(step, Said):
            return self._sent(step) if step.by == "client" else self._expected(step)
        assert isinstance(step, Closing)
        session = step.connection.id
        if step.by == "server":
            self.uses.add("close_of")
            reason: Any = step.reason
            if step.code == _INTERNAL_ERROR and reason.startswith("Internal error"):
                self.uses.add("a_text")  # each server words it as it likes
                return [f"        assert await close_of({session}) == ({step.code}, a_text())"]
            pair = Group("(", (("", self._node(step.code)), ("", self._node(reason))), ")")
            return lay_out(f"assert await close_of({session}) == ", pair, self._indent)
        lines = self._quiet(step.connection, index, step.at)
        if step.code == 1006:  # noqa: PLR2004 - no close frame (RFC 6455 section 7.1.5)
            return [*lines, f"        await {session}.close(1006)  # gone, without a close frame"]
        given = f"{step.code}, {encode_literal(step.reason)}" if step.reason else f"{step.code}"
        return [*lines, f"        await {session}.close({given})"]

    def _opening(self, step: Opening, *, opened: bool) -> list[str]:
        lines = []
        if step.redacted:
            names = ", ".join(_slug(name) or "one more" for name in step.redacted)
            lines.append(f"        # Not recorded, being secret: {names}. Add what the application needs.")
        session = step.connection.id
        if step.status != CONNECTED:
            self.uses.add("status_of")
            lines += lay_out("status = await ", call("status_of", self._session(step)), self._indent)
            return [*lines, f"        assert status == {step.status}"]
        if not opened:
            entering = call("opened.enter_async_context", self._session(step))
            lines += lay_out(f"{session} = await ", entering, self._indent)
        if step.subprotocols:
            chosen = f"== {encode_literal(step.subprotocol)}" if step.subprotocol else "is None"
            lines.append(f"        assert {session}.accepted_subprotocol {chosen}")
        return lines

    def _sent(self, step: Said) -> list[str]:
        session, content = step.connection.id, step.content
        if step.kind == "binary":
            return lay_out("await ", call(f"{session}.send_bytes", self._node(content)), self._indent)
        if step.kind == "json":
            style = _style_of(step, captures=any(True for _ in captures_of(step)))
            if style is not None:
                node = self._node(content, sent=True)
                if style == 0:
                    return lay_out("await ", call(f"{session}.send_json", node), self._indent)
                self.uses.add("json")
                return lay_out("await ", call(f"{session}.send_text", call("json.dumps", node)), self._indent)
            content = step.text
        node = text_node(content) if isinstance(content, str) else self._node(content, sent=True)
        return lay_out("await ", call(f"{session}.send_text", node), self._indent)

    def _expected(self, step: Said) -> list[str]:
        kind = {"binary": "bytes", "json": "json", "text": "text"}[step.kind]
        content = step.content
        node = text_node(content) if isinstance(content, str) else self._node(content)
        return lay_out(f"assert await {step.connection.id}.receive_{kind}() == ", node, self._indent)

    def _quiet(self, connection: Connection, index: int, end: float) -> list[str]:
        seconds = quiet_for(self.group, index, connection, end)
        if seconds is None:
            return []
        self.uses.add("more_from")
        given = f", timeout={seconds}" if seconds else ""
        return [f"        assert await more_from({connection.id}{given}) == []"]


def _style_of(step: Said, *, captures: bool) -> int | None:
    """How the client wrote its JSON: 0 as `send_json` does, 1 as `json.dumps` does, None in its own way."""
    value = json.loads(step.text)
    for number, style in enumerate(_STYLES):
        if json.dumps(value, **style) == step.text:
            return number
    return 0 if captures else None  # what is put in must be written anew


def _fails(step: Step) -> bool:
    """Whether the application raised there."""
    if isinstance(step, Opening):
        return step.status == _FAILED
    return isinstance(step, Closing) and step.by == "server" and step.code == _INTERNAL_ERROR


def save_test(
    frames: Iterable[RecordedFrame],
    path: str | PathLike[str],
    *,
    app: str | None = None,
    connections: Iterable[Connection | str] | None = None,
    where: str = "",
    volatile: Iterable[str] = (),
    exact: Iterable[str] = (),
    secrets: Mapping[str, str] | None = None,
) -> Path:
    """Write a recording as a test to `path`, whole or not at all; see `FrameTable.to_pytest`.

    Raises:
        RecordingError: the recording is not enough for a test, or `path` does not end in ``.py``.
        OptionError: `app` or a field cannot be meant.
        OSError: the file cannot be written.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise RecordingError(
            f"Expected a file name that ends in .py to write a test, got {target.name!r}.",
            remedy='pytest finds those that are called "test_….py".',
        )
    talk = conversation(frames, connections, where=where, secrets=secrets)
    write_whole(target, [to_source(talk, app=app, volatile=volatile, exact=exact).encode()])
    return target
