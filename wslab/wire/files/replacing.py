"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["write_whole"]


def write_whole(target: Path, pieces: Iterable[bytes]) -> None:
    """Write `pieces` to `target`; what was there before stays until the new file is complete.

    It is readable by its owner only, because it holds what people said.

    Raises:
        OSError: the file cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        Path(name).replace(target)
    except BaseException:  # whatever stops it: half a file is left nowhere
        Path(name).unlink(missing_ok=True)
        raise
