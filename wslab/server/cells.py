"""The notebook's cells: which one runs, which one is the lab's own, and how to print into either.

ipykernel keeps the cell that output belongs to in a context variable of each stream. So a copy of a cell's
context is all that is needed to print into that cell later, from any task or thread, by public means and on
every ipykernel; outside a kernel it changes nothing.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

__all__ = ["Cell", "Cells", "cell_name", "find_shell"]

_FIRST_LINE = 60  # characters of a cell's first line that name it


class Cell(NamedTuple):
    """One run of a cell. `since` and `until` are seconds of `time.monotonic()`."""

    name: str
    context: contextvars.Context
    since: float
    until: float = float("inf")


def find_shell() -> Any:
    """The IPython shell of this process, or None; IPython is never imported for it.

    Another thread may ask while IPython is being imported: its module is there before its names are.
    """
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython() if get_ipython is not None else None


def cell_name(code: CodeType) -> str:
    """``"In[7]"`` for code that was compiled from that cell, else ``""``.

    Example:
        >>> cell_name(cell_name.__code__)
        ''
    """
    compiler = getattr(find_shell(), "compile", None)
    name = getattr(compiler, "format_code_name", None)
    found = name(code.co_filename) if name is not None else None
    return str(found[1]) if found else ""


class Cells:
    """The cells of this notebook, as far as a lab has to know them.

    Attributes:
        own: the context of the cell that started or showed the lab last.
        running: the cell that runs in the main thread now, or None.
        last: the cell before that one.

    Example:
        >>> cells = Cells()
        >>> cells.install(lambda: None); cells.adopt(); cells.remove()  # no notebook: nothing is touched
    """

    def __init__(self) -> None:
        self.own = contextvars.Context()
        self.running: Cell | None = None
        self.last: Cell | None = None
        self._shell: Any = None
        self._before: Callable[[], None] = lambda: None

    def adopt(self) -> None:
        """Make the cell that calls this the lab's own."""
        self.own = contextvars.copy_context()

    def install(self, before: Callable[[], None]) -> None:
        """Follow the cells of this notebook; `before` is called ahead of each. Harmless when repeated."""
        self._before = before
        shell = find_shell()
        if shell is None or self._shell is not None:
            return
        self._shell = shell
        shell.events.register("pre_run_cell", self._begun)
        shell.events.register("post_run_cell", self._ended)

    def remove(self) -> None:
        """Follow them no longer."""
        shell, self._shell = self._shell, None
        self.running = None
        if shell is not None:
            shell.events.unregister("pre_run_cell", self._begun)
            shell.events.unregister("post_run_cell", self._ended)

    def _begun(self, info: Any = None) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # a subshell's cell: it does not hold the kernel's loop
        first = str(getattr(info, "raw_cell", "") or "").strip().partition("\n")[0]
        shown = first[:_FIRST_LINE] + ("…" if len(first) > _FIRST_LINE else "")
        # `execution_count` is counted up before the cell runs or after it, as IPython's release has it.
        number = len(self._shell.history_manager.input_hist_parsed)
        name = f"In[{number}]" + (f" ({shown})" if shown else "")
        self.running = Cell(name, contextvars.copy_context(), time.monotonic())
        self._before()

    def _ended(self, _result: Any = None) -> None:
        if self.running is not None and threading.current_thread() is threading.main_thread():
            self.last, self.running = self.running._replace(until=time.monotonic()), None

    def during(self, begin: float, end: float) -> Cell | None:
        """The cell that was at work for the better part of the time from `begin` to `end`."""
        for cell in (self.running, self.last):
            if cell is not None and min(cell.until, end) - max(cell.since, begin) > (end - begin) / 2:
                return cell
        return None

    def tell(self, text: str) -> None:
        """Print `text` to the standard error of the cell that runs, or of the lab's own where none does."""
        running = self.running
        # A copy: a context that the cell itself is in just now could not be entered a second time.
        context = (running.context if running else self.own).copy()

        def write() -> None:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - the cell's output is where it is read

        context.run(write)
