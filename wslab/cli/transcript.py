"""What `wslab show` prints: a recording connection by connection, as a ladder, or one frame in full.

All that comes out of the file goes through `printable`: what a peer has sent must not move the cursor, colour
the screen or turn the text around. Colours are added last, around text that is safe by then.
"""

from __future__ import annotations

import sys
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from wslab.cli.columns import Paint, compact, elided, safe, size
from wslab.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wslab.wire import Connection, RecordedFrame
    from wslab.wire.files import Recording
    from wslab.wire.messages import Message
    from wslab.wire.sites import Site

__all__ = ["Show"]

_NARROWEST = 60  # columns
_NUMBER, _TIME, _SIZE = 6, 10, 8  # columns before the content
_KIND, _LONGEST_KIND = 7, 12  # a message's, and any frame's: CONTINUATION
_SHOWN = 2**16  # bytes of a content that are looked at, where the line ends long before
_LEAST = 20  # columns of a content beside which the application's line is shown
_SAID = 2000  # characters of a reason or a remedy


class _Row(NamedTuple):
    """One line between a connection's beginning and its end."""

    seq: int
    at: float
    direction: str
    kind: str
    size: int
    notes: str
    content: str
    problem: str
    site: str = ""
    quiet: bool = False  # a ping or pong: seldom what one looks for


_Found = tuple[_Row, frozenset[int]]
"""A line, and the numbers of the frames it stands for."""


class Show:
    """The views of one recording, in lines.

    Args:
        recording: what `wslab.wire.load` gives.
        width: columns of a line, 60 at least.
        paint: colours, or none.
        query: a filter that can be read; only frames that pass it, and messages with one that does.
        full: contents whole, however long.

    Example:
        >>> from wslab.wire import encode_frame
        >>> from wslab.wire.files.recording import Builder
        >>> builder = Builder()
        >>> row = builder.open(1, "127.0.0.1:50000", "direct", "here")
        >>> row.opened_at = 1784815932.0
        >>> builder.whole(row.received, encode_frame(1, b"hi", mask=True), 1784815932_250000000, "here")
        >>> lines = list(Show(builder.recording(), width=60).conversation("x.har"))
        >>> lines[0]
        'x.har · 1 connection · 1 frame · → client to server, ← server to client'
        >>> lines[-2]
        '    #0    0.250 s  → TEXT         2 B  hi'
    """

    def __init__(
        self,
        recording: Recording,
        *,
        width: int = 100,
        paint: Paint | None = None,
        query: str = "",
        full: bool = False,
    ) -> None:
        self._recording = recording
        self._width = max(_NARROWEST, width)
        self._paint = paint or Paint(on=False)
        self._query = query
        self._full = full

    def explanation(self, number: int) -> Iterator[str]:
        """Every bit of the frame with that number.

        Raises:
            OptionError: there is none.
        """
        frames = self._recording.frames
        frame = frames.get(number) if number >= 0 else None
        if frame is None:
            last = frames[-1].seq if len(frames) else 0
            there = f"from {frames[0].seq} to {last}" if len(frames) else "(there are none)"
            raise OptionError(
                f"Expected the number of a frame {there}, got {number}.", remedy="See them with --frames."
            )
        yield from frame.explain().text().split("\n")

    def ladder(self) -> Iterator[str]:
        """All connections and frames in the order of time."""
        from wslab.wire.ladder import Ladder

        frames = self._passing()
        owners: Iterable[Connection] = self._recording.connections
        if self._query:
            owners = {owner.id: owner for frame in frames for owner in frame.connections}.values()
        shown = Ladder(owners, frames, limit=sys.maxsize, width=self._width)
        yield from shown.text().split("\n")

    def conversation(self, name: str, *, frames: bool = False) -> Iterator[str]:
        """Connection by connection: its beginning, its messages or frames, and its end."""
        connections = self._recording.connections
        total = len(self._recording.frames)
        title = f"{_count(len(connections), 'connection')} · {_count(total, 'frame')}"
        passing: dict[int, set[int]] | None = None
        if self._query:
            found = self._passing()
            title += f", {len(found)} of which pass the filter"
            passing = self._by_connection(found)
        sides = self._paint("dim", "→ client to server, ← server to client")
        yield self._paint("bold", safe(name)) + f" · {title} · {sides}"
        # Numbers are kept, and each connection's frames parsed again: all of them at once may be large.
        numbers: dict[int, list[int]] = {}
        for frame in self._recording.frames:
            for connection in frame.connections:
                numbers.setdefault(connection.number, []).append(frame.seq)
        for connection in connections:
            seqs = numbers.get(connection.number, [])
            if passing is not None and connection.number not in passing:
                continue
            own = [frame.of(connection) for frame in map(self._recording.frames.get, seqs) if frame]
            rows = self._frames(own) if frames else self._messages(own)
            yield ""
            yield from self._beginning(connection)
            for row, seqs_told in rows:
                if passing is None or not passing[connection.number].isdisjoint(seqs_told):
                    yield from self._line(row, connection.opened_at, _LONGEST_KIND if frames else _KIND)
            yield from self._end(connection)

    def _passing(self) -> list[RecordedFrame]:
        table = self._recording.frames
        return table.where(self._query) if self._query else list(table)

    def _by_connection(self, passing: list[RecordedFrame]) -> dict[int, set[int]]:
        """The numbers of the frames that pass, each with those of its connections as whose it passes."""
        from wslab.wire.query import Query

        passes = Query(self._query)
        numbers: dict[int, set[int]] = {}
        for frame in passing:
            for owner in frame.connections:
                if len(frame.connections) == 1 or passes(frame.of(owner)):
                    numbers.setdefault(owner.number, set()).add(frame.seq)
        return numbers

    def _beginning(self, connection: Connection) -> Iterator[str]:
        paint = self._paint
        request, response = connection.request_head, connection.response_head
        method, path = request.start_line.partition(" ")[0], connection.path
        asked = safe(f"{method} {path}") if path else "no handshake was recorded"
        answer = safe(response.start_line.partition(" ")[2]) or ("not answered" if path else "")
        style = "bold" if response.status == 101 or not path else "red"  # noqa: PLR2004 - Switching Protocols
        answer = self._fitted(answer, self._width // 2)
        asked = self._fitted(f"{connection.id}  {asked}", self._width - len(answer) - 2)
        yield "  ".join(filter(None, (paint("bold", asked), paint(style, answer))))
        facts = [
            f"subprotocol {connection.subprotocol}" if connection.subprotocol else "",
            f"from {connection.peer}" if connection.peer not in {"", connection.via} else "",
            "" if connection.via == "direct" else f"via {connection.via}",
            request.get("user-agent"),
            response.get("sec-websocket-extensions"),
        ]
        opened = datetime.fromtimestamp(connection.opened_at, UTC)
        facts = [f"{opened:%Y-%m-%d %H:%M:%S} UTC", *filter(None, facts)]
        yield "    " + paint("dim", self._fitted(safe(" · ".join(facts)), self._width - 4))
        if connection.refusal:
            yield from self._wrapped("red", 4, f"✗ {connection.refusal} {connection.remedy}")

    def _line(self, row: _Row, start: float, columns: int) -> Iterator[str]:
        paint = self._paint
        arrow = "→" if row.direction == "in" else "←"
        number, time = f"#{row.seq}".rjust(_NUMBER), f" {row.at - start:.3f} s".rjust(_TIME + 1)
        kind, length = row.kind.ljust(columns), " " + size(row.size).rjust(_SIZE)
        used = len(f"{number}{time}  {arrow} {kind}{length}  ")
        notes = f"({row.notes}) " if row.notes else ""
        room = self._width - used - len(notes)
        site = row.site if row.site and len(row.site) + _LEAST <= room else ""  # the content goes first
        content = self._fitted(row.content, max(_LEAST // 2, room - len(site)))
        style = "dim" if row.quiet else row.direction
        yield (
            paint("dim", number + time) + "  " + paint(style, f"{arrow} {kind}") + paint("dim", length) + "  "
            + paint("dim", notes) + (paint("dim", content) if row.quiet else content) + paint("dim", site)
        ).rstrip()  # fmt: skip
        if row.problem:
            yield from self._wrapped("red", used, f"✗ {row.problem}")

    def _end(self, connection: Connection) -> Iterator[str]:
        from wslab.wire.close_codes import name_close_code

        if connection.state == "refused":
            return
        close = connection.close
        length = max(0.0, connection.ended_at - connection.opened_at) if connection.ended_at else None
        after = "" if length is None else f" after {length:.3f} s"
        if close is None:
            style, said = "dim", "still open when this was saved" if length is None else f"ended{after}"
        elif not close.by:
            style = "red"
            said = f"✗ ended{after} without a close frame: {name_close_code(close.code)}"
        else:
            reason = f" '{close.reason}'" if close.reason else ""
            ended = f"; ended{after}" if after else ""
            style = "yellow"
            said = f"the {close.by} closed first: {name_close_code(close.code)}{reason}{ended}"
        yield from self._wrapped(style, 4, said)

    def _wrapped(self, style: str, indent: int, text: str) -> Iterator[str]:
        """`text` whole, on as many lines as it takes."""
        for line in textwrap.wrap(safe(_cut(text)), max(20, self._width - indent)):
            yield " " * indent + self._paint(style, line)

    def _messages(self, frames: list[RecordedFrame]) -> Iterator[_Found]:
        """Messages where their last frame is, control frames between, and what belongs to neither."""
        from wslab.wire.messages import messages

        ending: dict[int, list[Message]] = {}
        told: set[int] = set()
        for message in messages(frames):
            ending.setdefault(message.frames[-1].seq, []).append(message)
            told.update(frame.seq for frame in message.frames)
        for frame in frames:
            for message in ending.get(frame.seq, ()):
                yield self._message(message), frozenset(part.seq for part in message.frames)
            if frame.seq not in told:
                # a control frame, a header that did not end, or a message that may still go on
                yield self._frame(frame), frozenset({frame.seq})

    def _frames(self, frames: list[RecordedFrame]) -> Iterator[_Found]:
        for frame in frames:
            yield self._frame(frame), frozenset({frame.seq})

    def _message(self, message: Message) -> _Row:
        from wslab.wire.frames import Opcode

        count = len(message.frames)
        notes = [f"{count} frames"] if count > 1 else []
        if message.compressed:
            carried = sum(frame.frame.length for frame in message.frames if frame.frame)
            notes.append(f"deflated to {size(carried)}")
        return _Row(
            message.frames[0].seq,
            message.at,
            message.direction,
            message.name if message.opcode else "MESSAGE",  # its first frame is gone
            len(message.content),
            ", ".join(notes),
            self._content(message.content, text=message.opcode == Opcode.TEXT),
            message.problem,
            _site(message.site),
        )

    def _frame(self, recorded: RecordedFrame) -> _Row:
        from wslab.wire.frames import Opcode
        from wslab.wire.messages import frame_problem

        frame, seen = recorded.frame, (recorded.seq, recorded.at, recorded.direction, recorded.name)
        if frame is None:
            return _Row(
                *seen, recorded.wire_length, "", "", "The connection ended inside this frame's header."
            )
        flags = [name.upper() for name in ("rsv1", "rsv2", "rsv3") if getattr(frame, name)]
        notes = flags if frame.fin else [*flags, "more follows"]
        notes += [f"{len(frame.payload)} of its bytes were kept"] if frame.cut else []
        content = _closing(frame.payload) if frame.opcode == Opcode.CLOSE else ""
        return _Row(
            *seen,
            frame.length,
            ", ".join(notes),
            content or self._content(frame.payload, text=frame.opcode != Opcode.BINARY and not frame.rsv1),
            frame_problem(frame, recorded.direction),
            _site(recorded.site),
            quiet=frame.control and frame.opcode != Opcode.CLOSE,
        )

    def _content(self, content: bytes, *, text: bool) -> str:
        """Text on one line, JSON without its spaces; bytes in hexadecimal where it is no text."""
        shown = content if self._full or len(content) <= _SHOWN else content[:_SHOWN]
        more = " …" if len(shown) < len(content) else ""
        if not text:
            return shown.hex(" ") + more
        try:
            said = shown.decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data" or not error.start:
                return shown.hex(" ") + more
            said, more = shown[: error.start].decode(), " …"  # cut inside a character: still text
        said = compact(said)
        return (safe(said) if self._full else safe(said[:_SAID])) + more

    def _fitted(self, text: str, columns: int) -> str:
        return text if self._full else elided(text, columns)


def _site(site: Site | None) -> str:
    """The line of the application, in few words."""
    if site is None:
        return ""
    name = site.file.replace("\\", "/").rpartition("/")[2]
    return f"  {safe(elided(name, 24))}:{site.line}"


def _closing(payload: bytes) -> str:
    from wslab.wire.close_codes import name_close_code
    from wslab.wire.frames import close_fields

    if not payload:
        return "without a code"
    if len(payload) == 1:
        return ""
    code, reason = close_fields(payload)
    said = f" '{safe(reason)}'" if reason else ""
    return f"{name_close_code(code)}{said}"


def _cut(text: str) -> str:
    return text.strip() if len(text) <= _SAID else text[:_SAID].strip() + " …"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
