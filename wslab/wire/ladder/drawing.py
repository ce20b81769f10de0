"""How a ladder (`wslab.wire.ladder.ladder`) is drawn: in characters, and as SVG."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

from wslab.wire.ladder.steps import elided
from wslab.wire.shown import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wslab.wire.ladder.steps import Way

__all__ = ["Rung", "draw_svg", "draw_text"]

_LEFT, _LANE = 20, 6  # columns for time and connection, and from one client's line to the next
_ROOM_COLUMNS = 20, 30  # between the server's line and the rooms', at least and at most
_ROW, _WIDTH, _CLIENT, _NEXT, _ROOM, _CHAR = 26, 900, 170, 60, 240, 7.3  # pixels of the drawing
_COLOURS = (
    # the page's, in JupyterLab; the browser's own pair where there is no page around it, as in a file
    "color:var(--jp-content-font-color1,CanvasText);background:var(--jp-layout-color0,Canvas);"
    "color-scheme:light dark"
)


class Rung(NamedTuple):
    """One step as it is drawn.

    Attributes:
        time: seconds since the ladder's first, as text.
        way: from where to where.
        ids: whose it is.
        label: what stands between client and server.
        aside: what stands between server and room.
        mark: what stands behind the label, and is not cut: the time since the request.
        hint: what a page shows under the pointer.
    """

    time: str
    way: Way
    ids: tuple[str, ...]
    label: str
    aside: str = ""
    mark: str = ""
    hint: str = ""


class _Lanes:
    """Where the vertical lines stand, in columns or pixels: clients, server, and rooms if there are any."""

    def __init__(self, clients: Sequence[str], rooms: Sequence[str], at: Sequence[float]) -> None:
        self.at = at
        self.server = max(1, len(clients))
        self.names = [*(clients or ["client"]), "server"]
        if rooms:
            self.names.append(f"room {printable(rooms[0])}" if len(rooms) == 1 else "rooms")
        self._clients = {each: number for number, each in enumerate(clients)}

    def ends(self, rung: Rung) -> tuple[int, list[int]]:
        """The numbers of the lines where a step starts and where it arrives."""
        clients = sorted({self._clients.get(each, 0) for each in rung.ids}) or [0]
        match rung.way:
            case "in":
                return clients[0], [self.server]
            case "out":
                return self.server, clients
            case "shared":
                return self.server + 1, clients
            case "to room":
                return self.server, [self.server + 1]
        return self.server + 1, [self.server]


def _whose(ids: Sequence[str]) -> str:
    return "" if not ids else ids[0] if len(ids) == 1 else f"{ids[0]} +{len(ids) - 1}"


def draw_text(rungs: Sequence[Rung], clients: Sequence[str], rooms: Sequence[str], width: int) -> str:
    """The ladder in lines of `width` columns."""
    inner = width - _LEFT
    room = min(max(_ROOM_COLUMNS[0], inner // 3), _ROOM_COLUMNS[1]) if rooms else 0
    at = [_LANE * number for number in range(max(1, len(clients)))]
    at += [inner - 1 - room, *([inner - 1] if rooms else [])]
    lanes = _Lanes(clients, rooms, at)
    head = " " * (_LEFT + inner)
    for number, name in enumerate(lanes.names):
        begin, shown = _LEFT + at[number], name
        if number >= lanes.server:  # these end where their line is
            shown = elided(name, at[number] - at[number - 1] - 1)
            begin -= len(shown) - 1
        head = head[:begin] + shown + head[begin + len(shown) :]
    lines = [head]
    for rung in rungs:
        line = "".join(_characters(rung, lanes, at))
        lines.append(f"{rung.time:>10}  {_whose(rung.ids):<7} {line}")
    return "\n".join(lines)


def _characters(rung: Rung, lanes: _Lanes, at: Sequence[int]) -> list[str]:
    line = [" "] * (at[-1] + 1)
    for place in at:
        line[place] = "┊" if rung.way == "note" else "│"
    main = at[lanes.server - 1], at[lanes.server]
    if rung.way == "note":
        room = main[1] - main[0] - 1
        line[main[0] + 1 : main[1]] = f"{elided(rung.label, room - 6):^{room}}"
        return line
    start, arrivals = lanes.ends(rung)
    left, right = min(start, *arrivals), max(start, *arrivals)
    line[at[left] + 1 : at[right]] = "─" * (at[right] - at[left] - 1)
    for number in range(left + 1, right):
        line[at[number]] = "┼"
    line[at[left]], line[at[right]] = "├", "┤"
    heads = {at[number] - 1 if start < number else at[number] + 1 for number in arrivals}
    if left < lanes.server:
        _write(line, main, heads, rung.label, rung.mark)
    if rung.aside:
        _write(line, (at[lanes.server], at[-1]), heads, rung.aside, least=0)
    for place in heads:
        line[place] = "▶" if place + 1 == at[right] and start < right else "◀"
    return line


def _write(
    line: list[str],
    between: tuple[int, int],
    heads: set[int],
    label: str,
    mark: str = "",
    *,
    least: int = 2,
) -> None:
    """Put a label in the middle of an arrow's line, beside its head, with the `least` of the line around."""
    begin, end = between[0] + 1, between[1]
    begin += begin in heads
    end -= end - 1 in heads
    shown = elided(label, end - begin - 2 - least - (len(mark) + 2 if mark else 0))
    shown = f" {shown}  {mark} " if mark else f" {shown} "
    line[begin:end] = shown.center(end - begin, "─")[: end - begin]


def draw_svg(rungs: Sequence[Rung], clients: Sequence[str], rooms: Sequence[str]) -> str:
    """The ladder as an SVG element."""
    width = _WIDTH + (_ROOM if rooms else 0)
    at = [_CLIENT + _NEXT * number for number in range(max(1, len(clients)))]
    at += [_WIDTH - 20, *([width - 20] if rooms else [])]
    lanes = _Lanes(clients, rooms, at)
    height = _ROW * (len(rungs) + 2)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="100%" '
        f'style="max-width:{width}px;{_COLOURS}" role="img" fill="currentColor" stroke="none" '
        'font-family="ui-monospace, monospace" font-size="12">'
    )
    parts = [opening, f"<title>Message ladder of {len(rungs)} steps</title>"]
    for number, name in enumerate(lanes.names):
        anchor = "middle" if number < lanes.server else "end"
        shown = html.escape(elided(name, int(_ROOM / _CHAR) - 8))
        parts.append(
            f'<text x="{at[number]}" y="16" text-anchor="{anchor}" font-weight="bold">{shown}</text>'
        )
        parts.append(_line(at[number], _ROW, at[number], height, ' opacity="0.4"'))
    for number, rung in enumerate(rungs):
        parts += _drawn(_ROW * (number + 2), rung, lanes, at)
    return "".join([*parts, "</svg>"])


def _line(x1: int, y1: int, x2: int, y2: int, more: str = "") -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="currentColor"{more}/>'


def _drawn(y: int, rung: Rung, lanes: _Lanes, at: Sequence[int]) -> list[str]:
    """One step of the drawing, its line at height `y`."""
    parts = ["<g>"]
    if rung.hint:
        parts.append(f"<title>{html.escape(rung.hint)}</title>")
    parts.append(f'<text x="80" y="{y}" text-anchor="end">{rung.time}</text>')
    parts.append(f'<text x="95" y="{y}">{html.escape(_whose(rung.ids))}</text>')
    main = at[lanes.server - 1], at[lanes.server]
    if rung.label:
        parts.append(_words(main, y, rung.label, rung.mark))
    if rung.aside:
        parts.append(_words((at[lanes.server], at[-1]), y, rung.aside))
    if rung.way != "note":
        start, arrivals = lanes.ends(rung)
        left, right = min(start, *arrivals), max(start, *arrivals)
        parts.append(_line(at[left], y, at[right], y))
        for number in arrivals:
            tip = at[number]
            back = tip - 8 if start < number else tip + 8
            parts.append(f'<path d="M{tip} {y}L{back} {y - 4}L{back} {y + 4}Z"/>')
    return [*parts, "</g>"]


def _words(between: tuple[int, int], y: int, label: str, mark: str = "") -> str:
    room = int((between[1] - between[0]) / _CHAR) - 3
    shown = html.escape(elided(label, room - (len(mark) + 2 if mark else 0)))
    behind = f'<tspan dx="12" opacity="0.7">{html.escape(mark)}</tspan>' if mark else ""
    middle = (between[0] + between[1]) // 2
    return f'<text x="{middle}" y="{y - 5}" text-anchor="middle">{shown}{behind}</text>'
