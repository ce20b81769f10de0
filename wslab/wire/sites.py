"""Which line of the application sent or received something.

Theory of operation. Whoever records a message walks up the stack to the first frame of code that is the
user's own: not Python's, not an installed package's, not wslab's. What is kept is a small number for the pair
(code, instruction); file and line are worked out when somebody looks. An endpoint sends from the same line
again and again, so a `Spotter` remembers how far up that line was and only makes sure that it is still there.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from bisect import bisect_right
from collections import deque
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

__all__ = ["Readers", "Site", "Sites", "Spotter", "begins_application", "own_file"]

_getframe = sys._getframe  # noqa: SLF001 - documented in spite of its name
_MOST = 65_536  # sites: a notebook whose cells run again and again makes new ones all the time
_FARTHEST = 40  # frames between an application's line and the server
_RECENT = 4  # lines that are tried before the stack is searched
_READERS = 256  # changes of the reading line that are kept of one connection

_LIBRARIES = (
    *{
        os.path.realpath(sysconfig.get_paths()[name]) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    },
    str(Path(__file__).resolve().parents[1]) + os.sep,
    "<frozen",
)
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
"""Folders of installed packages, wherever they are: a user's own, a system's, another environment's."""


class Site(NamedTuple):
    """A line of the application.

    Attributes:
        file: relative to the working directory, or to the home (``~``), where it is below that; ``"In[7]"``
            for a notebook's cell.
        line: counted from 1; 0 where the code does not tell.
        function: its qualified name.

    Example:
        >>> print(Site("app.py", 12, "echo"))
        app.py, line 12, in echo
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, in {self.function}"


def own_file(name: str) -> bool:
    """Whether a source file is the user's own, and not Python's, an installed package's or wslab's.

    Example:
        >>> own_file("/srv/me/app.py"), own_file(os.__file__)
        (True, False)
    """
    if any(folder in name for folder in _INSTALLED):
        return False
    return not (name.startswith(_LIBRARIES) or os.path.realpath(name).startswith(_LIBRARIES))


_LOOP = frozenset({"asyncio.events", "asyncio.base_events", "asyncio.runners"})
"""Modules whose frames begin what the loop runs: above them is whoever started the loop."""
_Place = tuple[int, "CodeType", int, int]
_begins: dict[int, CodeType] = {}  # by its id: a code's own hash looks through all of it


def begins_application(code: CodeType) -> None:
    """Note that `code` calls applications: what is above it on a stack has nothing to do with one."""
    _begins[id(code)] = code


class Sites:
    """The lines seen at work, each kept once, and known by a number from 1.

    Args:
        name_code: what to call a code's file, such as ``"In[7]"``; "" for its path.
    """

    def __init__(self, name_code: Callable[[CodeType], str] = lambda _: "") -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        # The codes themselves are kept: while they live, nothing else has their ids.
        self._places: list[tuple[CodeType, int] | None] = [None]
        self._resolved: dict[int, Site] = {}
        self._own: dict[str, bool] = {}
        self.recent: tuple[deque[_Place], deque[_Place]] = (deque(maxlen=_RECENT), deque(maxlen=_RECENT))
        """By direction, how far up a line was, its code, instruction and number; found last in front."""
        self._name_code = name_code

    def __getitem__(self, number: int) -> Site | None:
        if number and number not in self._resolved:
            place = self._places[number]
            assert place is not None  # those of `add` are resolved from the beginning
            self._resolved[number] = _resolve(*place, self._name_code)
        return self._resolved.get(number)

    def add(self, site: Site) -> int:
        """The number of a site that is known already, as from a file."""
        self._places.append(None)
        self._resolved[len(self._places) - 1] = site
        return len(self._places) - 1

    def find(self, frame: FrameType | None) -> tuple[FrameType | None, int]:
        """The innermost frame of own code from `frame` on upwards, and how far up it is."""
        for depth in range(_FARTHEST):
            if frame is None:
                break
            code = frame.f_code
            if id(code) in _begins or frame.f_globals.get("__name__") in _LOOP:
                break
            name = code.co_filename
            own = self._own.get(name)
            if own is None:
                own = self._own[name] = own_file(name)
            if own:
                return frame, depth
            frame = frame.f_back
        return None, 0

    def number(self, code: CodeType, instruction: int) -> int:
        """The number of a place in `code`; 0 once there are too many."""
        key = id(code), instruction
        number = self._numbers.get(key, 0)
        if not number and len(self._places) < _MOST:
            number = self._numbers[key] = len(self._places)
            self._places.append((code, instruction))
        return number


def _resolve(code: CodeType, instruction: int, name_code: Callable[[CodeType], str]) -> Site:
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return Site(name_code(code) or _shown(code.co_filename), next(lines, None) or 0, code.co_qualname)


def _shown(path: str) -> str:
    """As short as it can be; and without whose home it is in, for recordings are given away."""
    if path.startswith("<"):
        return path
    if Path(path).is_relative_to(Path.cwd()):
        return os.path.relpath(path)
    home = os.path.expanduser("~")  # noqa: PTH111 - unlike Path.home, it does not raise where there is none
    return f"~{path.removeprefix(home)}" if path.startswith(home + os.sep) else path


class Spotter:
    """Finds the line at work for one direction of one connection.

    Args:
        sites: where lines are kept; None: they are not looked for.

    Example:
        >>> sites = Sites()
        >>> spotter = Spotter(sites)
        >>> def endpoint():
        ...     return spotter.spot()
        >>> sites[endpoint()].function
        'endpoint'
    """

    __slots__ = ("_code", "_depth", "_instruction", "_number", "_sites")

    direction = 0
    """0 for lines that receive, 1 for lines that send."""

    def __init__(self, sites: Sites | None) -> None:
        self._sites = sites
        self._code: CodeType | None = None
        self._depth = 0
        self._instruction = self._number = 0

    def spot(self) -> int:
        """The number of the line of the application that has called this, by whatever detour; 0 for none."""
        if self._sites is None:
            return 0
        try:
            frame = _getframe(self._depth)
        except ValueError:  # the stack is not as deep as it was
            return self._search(_getframe(1))
        if frame.f_code is self._code and frame.f_lasti == self._instruction:
            return self._number
        return self._search(_getframe(1))

    def _search(self, caller: FrameType) -> int:
        sites = self._sites
        assert sites is not None
        # Other connections do the same in the same place. A frame that is looked at becomes an object, and a
        # coroutine's stays one: those in between are left alone where they need not be searched.
        recent = sites.recent[self.direction]
        for depth, code, instruction, number in recent:
            try:
                frame = _getframe(depth + 1)
            except ValueError:
                continue
            if frame.f_code is code and frame.f_lasti == instruction:
                self._code, self._depth, self._instruction, self._number = code, depth, instruction, number
                return number
        found, depth = sites.find(caller)
        if found is None:
            self._code, self._depth, self._number = None, 0, 0
            return 0
        self._code, self._depth, self._instruction = found.f_code, depth + 1, found.f_lasti
        self._number = sites.number(self._code, self._instruction)
        recent.appendleft((self._depth, self._code, self._instruction, self._number))
        return self._number


class Readers:
    """Which line received each message of one connection: noted only where it changes.

    Args:
        count: messages received so far.
        runs: (first message, site) of each run of messages that the same line received.
    """

    __slots__ = ("_earlier", "_since", "_site", "count")

    def __init__(self, count: int = 0, runs: Iterable[tuple[int, int]] = ()) -> None:
        self.count = count
        earlier = list(runs)[-_READERS:]
        self._since, self._site = earlier.pop() if earlier else (0, -1)  # -1: nobody has received any
        # Most connections have one line that receives, and thousands may do nothing else than wait there.
        self._earlier: list[tuple[int, int]] | None = earlier or None

    @property
    def runs(self) -> list[tuple[int, int]]:
        """(first message, site) of each run that is kept."""
        return [*(self._earlier or ()), (self._since, self._site)] if self._site >= 0 else []

    def note(self, site: int) -> None:
        """The line numbered `site` received the next message."""
        if self._site != site:
            self._change(site)
        self.count += 1

    def _change(self, site: int) -> None:
        if self._site >= 0:
            earlier = self._earlier
            if earlier is None:
                earlier = self._earlier = []
            earlier.append((self._since, self._site))
            if len(earlier) >= _READERS:
                del earlier[0]
        self._since, self._site = self.count, site

    def of(self, message: int) -> int:
        """The site that received that message, counted from 0; 0 where it is not known, or nobody has."""
        runs = self.runs
        place = bisect_right(runs, message, key=itemgetter(0)) - 1
        return runs[place][1] if place >= 0 and message < self.count else 0
