"""Saving and loading by a file's suffix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wslab.errors import RecordingError
from wslab.wire.files import har, jsonl, pcapng
from wslab.wire.files.replacing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from wslab.wire.connection import Connection
    from wslab.wire.files.recording import Recording
    from wslab.wire.tables import FrameTable

__all__ = ["check_target", "load", "save"]

_WRITERS = {".jsonl": jsonl.dump, ".har": har.dump, ".pcapng": pcapng.dump}
_READERS = {".jsonl": jsonl.parse, ".har": har.parse}


def _unknown(path: Path, allowed: Iterable[str], purpose: str) -> RecordingError:
    suffix = f"{path.suffix!r}" if path.suffix else "none"
    return RecordingError(
        f"Expected a file name that ends in {' or '.join(allowed)} to {purpose}, got {suffix}.",
        remedy="The suffix chooses the format.",
    )


def check_target(path: str | PathLike[str]) -> None:
    """Refuse a place where no recording could be saved, before there is one.

    Raises:
        RecordingError: a suffix that names no format, or no folder to put it in.

    Example:
        >>> check_target("x.txt")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        wslab.errors.RecordingError: Expected a file name that ends in .jsonl or .har or .pcapng to save ...
    """
    target = Path(path)
    if target.suffix.lower() not in _WRITERS:
        raise _unknown(target, _WRITERS, "save a recording")
    if not target.parent.is_dir():
        raise RecordingError(
            f"Expected a folder to save {target.name} in, got {str(target.parent)!r}, which is none.",
            remedy="Make the folder first.",
        )


def save(frames: FrameTable, path: str | PathLike[str], connections: Iterable[Connection] = ()) -> None:
    """Write the kept frames, and their connections, to `path`.

    The suffix chooses the format: ``.jsonl`` (JSON Lines), ``.har`` (for browsers' developer tools) or
    ``.pcapng`` (for Wireshark). The file appears whole or not at all: what was there before stays until
    the new one is complete. It is readable by its owner only, because it holds what people said.

    Args:
        frames: the table.
        path: where to.
        connections: those to write although no frame of them is kept, such as `lab.connections`.

    Raises:
        RecordingError: another suffix.
        OSError: the file cannot be written.
    """
    target = Path(path)
    dump = _WRITERS.get(target.suffix.lower())
    if dump is None:
        raise _unknown(target, _WRITERS, "save a recording")
    recorder = frames.recorder
    records = recorder.records(recorder.begin, recorder.end)
    write_whole(target, dump(records, list(connections)))


def load(path: str | PathLike[str]) -> Recording:
    """Read a recording from a ``.jsonl`` or ``.har`` file, a browser's own HAR included.

    Memory is bounded by `wslab.wire.files.recording`'s limits on bytes and records.

    Raises:
        RecordingError: another suffix, or not a recording: the line or the JSON path says where.
        OSError: the file cannot be opened or read.

    Example:
        >>> load("session.txt")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        wslab.errors.RecordingError: Expected a file name that ends in .jsonl or .har to load a recording, ...
    """
    source = Path(path)
    parse = _READERS.get(source.suffix.lower())
    if parse is None:
        raise _unknown(source, _READERS, "load a recording")
    with source.open("rb") as file:
        return parse(file)
