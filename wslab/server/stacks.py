"""Who is at work on a thread: the endpoint or the cell that a stack of frames belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from wslab.journal import lab_extension
from wslab.server.cells import cell_name
from wslab.session.current import current_connection
from wslab.session.session import run_endpoint
from wslab.wire.sites import own_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Holder", "find_holder", "in_library", "name_line", "walk"]

_MODULES = ("<module>", "<cell line")  # the latter in IPython 8


class Holder(NamedTuple):
    """Who is at work.

    Attributes:
        by: such as ``"cell In[7], line 3"`` or ``"endpoint chat"``; "" where no code of the user's is at
            work.
        connection: the connection an endpoint serves, else "".
        where: the innermost line of the user's own code, as ``file:line`` or ``In[7], line 3``; where
            there is none, the innermost line of all.
    """

    by: str = ""
    connection: str = ""
    where: str = ""


def walk(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of what the loop runs now, the innermost first; the loop's own are not part of it."""
    while frame is not None and frame.f_globals.get("__name__") != "asyncio.events":
        yield frame
        frame = frame.f_back


def in_library(frame: FrameType) -> bool:
    """Whether the frame's code is Python's, an installed package's or wslab's, and not the user's own."""
    return not cell_name(frame.f_code) and not own_file(frame.f_code.co_filename)


def name_line(frame: FrameType) -> str:
    """Where the frame is: ``In[7], line 3`` in a cell, else ``file:line``."""
    cell = cell_name(frame.f_code)
    return f"{cell}, line {frame.f_lineno}" if cell else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def find_holder(frame: FrameType | None, loop: asyncio.AbstractEventLoop) -> Holder:
    """Who is at work on the thread of `loop`, whose innermost frame is `frame`; for any thread to call."""
    own: list[FrameType] = []
    innermost = frame
    for each in walk(frame):
        if each.f_code is run_endpoint.__code__:
            extension = lab_extension(each.f_locals["scope"])
            name = own[-1].f_code.co_qualname if own else "of the application"
            return Holder(
                f"endpoint {name}", extension.connection if extension else "", _line(own, innermost)
            )
        if not in_library(each):
            own.append(each)
    where = _line(own, innermost)
    # A cell's own code is a module; its functions may be at work in a task or a callback of their own.
    cells = [each for each in own if each.f_code.co_name.startswith(_MODULES) and cell_name(each.f_code)]
    if cells:
        return Holder(f"cell {name_line(cells[-1])}", "", where)
    if not own:
        return Holder(where=where)
    task = _task(loop)
    if task is None:
        return Holder(f"callback {own[-1].f_code.co_qualname}", "", where)
    # Python 3.11 does not tell a task's context: there, the line has to do.
    context = task.get_context() if hasattr(task, "get_context") else {}
    return Holder(f"task {own[-1].f_code.co_qualname}", context.get(current_connection, ""), where)


def _line(own: list[FrameType], innermost: FrameType | None) -> str:
    frame = own[0] if own else innermost
    return name_line(frame) if frame is not None else ""


def _task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task(loop)
    except RuntimeError:  # the loop's tasks changed while they were looked through
        return None
