"""A ladder: what client and server said to each other, one step a line, in the order of time.

The client stands at the left, the server at the right, and every arrow between them is a frame or half of the
opening handshake. As text it is for a terminal, as SVG for a page, where it takes the page's own colours.
"""

from __future__ import annotations

import html
from operator import itemgetter
from typing import TYPE_CHECKING

from wslab.wire.close_codes import name_close_code
from wslab.wire.frames import Frame, Opcode, close_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wslab.wire.connection import Connection
    from wslab.wire.tables import RecordedFrame

__all__ = ["Ladder"]

_IN, _OUT, _NOTE = "in", "out", ""
_CONTENT = 60  # characters of a payload that are shown
_LEFT = 20  # columns for time and connection
_ROW, _WIDTH, _CLIENT, _SERVER = 26, 900, 170, 880  # pixels of the drawing
_FITS = 84  # characters of a label between the drawing's two lines
_CONNECTED = 101

_Step = tuple[float, int, str, "Connection", "RecordedFrame | str"]
"""(time, order among equal times, direction, connection, what happened)"""


class Ladder:
    r"""A message ladder of some connections.

    Args:
        connections: those whose handshake and end are shown.
        frames: the frames between.
        limit: how many steps are shown; of more, the first quarter and the last ones.
        width: columns of the text, 60 at least.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> table = ConnectionTable(recorder)
        >>> connection = table.open("127.0.0.1:50000")
        >>> connection.request = b"GET /echo HTTP/1.1\r\n\r\n"
        >>> connection.received.feed(encode_frame(9, b"hi", mask=True))
        >>> lines = Ladder(table, FrameTable(recorder), width=60).text().splitlines()
        >>> lines[1][12:]
        'c1      ├───────── GET /echo HTTP/1.1 ────────▶┤'
        >>> lines[2][12:]
        "c1      ├───────────── PING 'hi' ─────────────▶┤"
    """

    def __init__(
        self,
        connections: Iterable[Connection],
        frames: Iterable[RecordedFrame],
        *,
        limit: int = 200,
        width: int = 100,
    ) -> None:
        steps: list[_Step] = []
        for connection in connections:
            steps += _handshake(connection)
        steps += [(frame.at, 2 + frame.seq, frame.direction, frame.connection, frame) for frame in frames]
        steps.sort(key=itemgetter(0, 1))
        self.start = steps[0][0] if steps else 0.0
        """When the first step was, in seconds since the epoch."""
        self.left_out = max(0, len(steps) - max(1, limit))
        """How many steps are not shown."""
        self._gap = max(1, limit) // 4
        self._steps = steps[: self._gap] + steps[self._gap + self.left_out :]
        self._width = max(60, width)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """Time, connection, direction and label of every step shown; a note has neither time nor arrow."""
        rows = [
            (f"{at - self.start:.3f} s", connection.id, direction, _label(what))
            for at, _, direction, connection, what in self._steps
        ]
        if self.left_out:
            rows.insert(self._gap, ("", "", _NOTE, f"… {self.left_out} steps left out …"))
        return rows

    def text(self) -> str:
        """The ladder in lines of at most `width` columns (where no character is a wide one)."""
        inner = self._width - _LEFT - 2
        lines = [" " * _LEFT + "client" + "server".rjust(inner - 4)]
        for time, connection, direction, label in self._rows():
            shown = _elided(label, inner - 6)
            if direction == _NOTE:
                rung = f"┊{shown:^{inner}}┊"
            else:
                line = f" {shown} ".center(inner - 1, "─")
                rung = f"├{line}▶┤" if direction == _IN else f"├◀{line}┤"
            lines.append(f"{time:>10}  {connection:<7} {rung}")
        return "\n".join(lines)

    def svg(self) -> str:
        """The ladder as an SVG element in the colour of the text around it."""
        rows = self._rows()
        height = _ROW * (len(rows) + 2)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="100%" '
            f'style="max-width:{_WIDTH}px" role="img" fill="currentColor" stroke="none" '
            'font-family="ui-monospace, monospace" font-size="12">'
        )
        parts = [
            head,
            f"<title>Message ladder of {len(self._steps)} steps</title>",
            f'<text x="{_CLIENT}" y="16" text-anchor="middle" font-weight="bold">client</text>',
            f'<text x="{_SERVER}" y="16" text-anchor="end" font-weight="bold">server</text>',
        ]
        parts += [
            f'<line x1="{x}" y1="{_ROW}" x2="{x}" y2="{height}" stroke="currentColor" opacity="0.4"/>'
            for x in (_CLIENT, _SERVER)
        ]
        for number, row in enumerate(rows):
            parts += _drawn(_ROW * (number + 2), *row)
        return "".join([*parts, "</svg>"])

    def _repr_svg_(self) -> str:
        return self.svg()

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def _handshake(connection: Connection) -> list[_Step]:
    """The steps of a connection that are not frames; the answer's own time is not recorded."""
    at = connection.opened_at
    steps: list[_Step] = []
    if connection.request:
        steps.append((at, 0, _IN, connection, connection.request_head.start_line))
    if connection.response:
        why = f": {connection.refusal}" if connection.refusal else ""
        status = connection.response_head.start_line
        steps.append((at, 1, _OUT, connection, f"{status}{why}"))
    if connection.ended_at:
        close = connection.close
        how = "without a close frame (1006)" if close and not close.by else ""
        steps.append((connection.ended_at, 1 << 63, _NOTE, connection, f"connection ended {how}".rstrip()))
    return steps


def _label(what: RecordedFrame | str) -> str:
    if isinstance(what, str):
        return _printable(what)
    frame = what.frame
    if frame is None:
        return f"INCOMPLETE, {what.wire_length} bytes"
    problem = f" ✗ {frame.problem}" if frame.problem else ""
    return f"{frame.name}{_content(frame)}{problem}"


def _content(frame: Frame) -> str:
    if frame.opcode == Opcode.CLOSE:
        code, reason = close_fields(frame.payload)
        said = f" {_quoted(reason)}" if reason else ""
        return f" {name_close_code(code)}{said}" if frame.payload else " without a code"
    more = "" if frame.fin else ", more follows"
    if frame.rsv1:
        return f" compressed, {frame.length} bytes{more}"
    if not frame.length:
        return more
    try:
        text = frame.payload[: 4 * _CONTENT].decode() if frame.opcode != Opcode.BINARY else ""
    except UnicodeDecodeError as error:
        # cut inside a character, which is no mistake, or not text at all
        cut = frame.length > 4 * _CONTENT and error.start > 4 * (_CONTENT - 1)
        text = frame.payload[: error.start].decode() if cut else ""
    if text and text.isprintable():
        return f" {_quoted(text)}{more}"
    return f" {frame.length} bytes{more}"


def _quoted(text: str) -> str:
    return f"'{_elided(_printable(text), _CONTENT)}'"


def _printable(text: str) -> str:
    """`text` with controls and bidirectional overrides as escapes: terminals obey them, XML forbids some."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def _elided(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _drawn(y: int, time: str, connection: str, direction: str, label: str) -> list[str]:
    """One step of the drawing, its line at height `y`."""
    middle = (_CLIENT + _SERVER) // 2
    words = html.escape(_elided(label, _FITS))
    parts = [
        f'<text x="80" y="{y}" text-anchor="end">{time}</text>',
        f'<text x="95" y="{y}">{html.escape(connection)}</text>',
        f'<text x="{middle}" y="{y - 5}" text-anchor="middle">{words}</text>',
    ]
    if direction != _NOTE:
        tip, back = (_SERVER, _SERVER - 8) if direction == _IN else (_CLIENT, _CLIENT + 8)
        parts.append(f'<line x1="{_CLIENT}" y1="{y}" x2="{_SERVER}" y2="{y}" stroke="currentColor"/>')
        parts.append(f'<path d="M{tip} {y}L{back} {y - 4}L{back} {y + 4}Z"/>')
    return parts
