"""Which connection the code that runs now works for.

Context variables, so child tasks of an endpoint and what it hands to `asyncio.to_thread` belong to its
connection as well. They are set around every call of an application and read by whoever wants to name the
connection: prints, the meter of the loop's lag, the interrupt.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wslab.journal import Journal

__all__ = ["current_connection", "current_journal", "work_for"]

current_connection: ContextVar[str] = ContextVar("wslab_current_connection", default="")
"""The id a person sees everywhere, such as ``"c3"``; ``""`` outside any endpoint."""

current_journal: ContextVar[Journal | None] = ContextVar("wslab_current_journal", default=None)
"""The journal of the lab that serves this code; None outside. Ids alone would not tell two labs apart."""


def work_for(connection: str, journal: Journal) -> None:
    """Note that this task, and all that it starts from now on, works for `connection`.

    Called inside the task that serves one connection, whose context ends with it: there is nothing to reset.

    Example:
        >>> import contextvars
        >>> from wslab.journal import Journal
        >>> context = contextvars.copy_context()
        >>> context.run(work_for, "c1", Journal())
        >>> context[current_connection], current_connection.get()
        ('c1', '')
    """
    current_connection.set(connection)
    current_journal.set(journal)
