"""What a server must not collect: objects, memory, open files."""

from __future__ import annotations

import gc
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

__all__ = ["descriptors", "living", "resident"]


def living(*kinds):
    """How many objects of each kind cannot be freed."""
    gc.collect()
    return Counter(type(found).__name__ for found in gc.get_objects() if isinstance(found, kinds))


def resident(process="self"):
    """Bytes of memory a process holds, this one or the one of that id; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def descriptors():
    """The open files; empty where the system does not tell."""
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a list of numbers, not of files
    return 0
