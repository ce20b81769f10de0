"""Letting asyncio nest: a loop that runs, run once more from synchronous code.

asyncio forbids it, and two packages take the ban away by replacing asyncio's loops and tasks for the whole
process, without a way back. nest-asyncio2 is maintained; its forerunner `nest_asyncio` is not, and with
ipykernel 7 and newer it loses messages: what arrives during a nested run raises "cannot enter context",
so a queued cell never runs and a widget's click is gone. Both at once is worse than either. So a loop
that has the old patch keeps it, with a warning, and is never given the new one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from wslab.events import Notice

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from wslab.journal import Journal

__all__ = ["has_old_patch", "nests", "run_nested", "running_loop", "warn_of_old_patch"]

T = TypeVar("T")

_warned: list[bool] = []
_LOSES_MESSAGES = (7,)  # the first ipykernel that runs each cell in a context of its own


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def nests(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `loop` may be run while it runs.

    Neither package has a function that tells; both mark what they patch with this attribute.
    """
    return bool(getattr(loop, "_nest_patched", False))


def has_old_patch(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `nest_asyncio` (not nest-asyncio2, which marks asyncio itself as well) patched `loop`.

    Example:
        >>> async def main():
        ...     return has_old_patch(asyncio.get_running_loop())
        >>> asyncio.run(main())
        False
    """
    return "nest_asyncio" in sys.modules and nests(loop) and not hasattr(asyncio, "_nest_asyncio2")


def warn_of_old_patch(loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
    """Tell somebody who applied `nest_asyncio` in a kernel where it harms; once in a process."""
    ipykernel: Any = sys.modules.get("ipykernel")
    version: Any = getattr(ipykernel, "version_info", ())
    if not has_old_patch(loop) or tuple(version[:1]) < _LOSES_MESSAGES or _warned:
        return
    _warned.append(True)
    text = (
        f"nest_asyncio.apply() was called in this kernel. With ipykernel {ipykernel.__version__} it loses "
        "messages: cells that are queued never run, clicks vanish. A cell needs none of it: write "
        "`await …` there, and lab.run(…) in a function. Remove the call and restart the kernel; where "
        "something else needs it, use nest_asyncio2, which has the same apply()."
    )
    journal.publish(Notice(level="warning", text=text))
    # In the cell as well, as nobody looks for the cause of a vanished click in a log; not by `warnings`,
    # which where they are errors would keep the lab from starting.
    print(f"wslab: {text}", file=sys.stderr)  # noqa: T201 - a cell's output is where it is read


def run_nested(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end on `loop`, which runs already, letting it nest where it does not yet."""
    if not has_old_patch(loop):
        import nest_asyncio2

        nest_asyncio2.apply(loop)
    result: T = loop.run_until_complete(coroutine)
    return result
