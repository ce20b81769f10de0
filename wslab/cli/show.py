"""`wslab show`: a recording as a conversation that can be read in a terminal."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from wslab.errors import OptionError, RecordingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from wslab.cli.arguments import Commands
    from wslab.wire.files import Recording

__all__ = ["add_parser", "run"]

_WITHOUT_TERMINAL = 100  # columns


def add_parser(commands: Commands) -> None:
    """Declare `wslab show`."""
    parser = commands.add_parser(
        "show",
        help="print a recording as a readable conversation",
        description="Print a recording (.jsonl or .har, a browser's own included) connection by connection: "
        "the handshake, each message with its time, direction, size and content, and how it ended. "
        "Directions are seen from the server: → in, ← out.",
    )
    parser.add_argument("file", metavar="FILE", help="such as session.har")
    parser.add_argument(
        "--filter",
        metavar="FILTER",
        default="",
        help="only frames that pass, and their messages, such as 'opcode==text && conn==c3'",
    )
    views = parser.add_mutually_exclusive_group()
    views.add_argument("--frames", action="store_true", help="frame by frame instead of messages")
    views.add_argument("--ladder", action="store_true", help="client and server as a message ladder")
    views.add_argument("--explain", type=int, metavar="N", help="every bit of frame number N")
    parser.add_argument("--full", action="store_true", help="contents whole, not cut at the line's end")
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="auto: in a terminal only"
    )
    # The group declares on the parser itself, past its list of names.
    parser.names += ["--frames", "--ladder", "--explain"]
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run `wslab show`.

    Raises:
        RecordingError: there is no such file, or it is no recording.
        OptionError: the filter cannot be read, or there is no frame of that number.
    """
    if rest:
        options.parser.error(f"expected nothing behind --, got {rest[0]!r}")
    from wslab.cli.columns import Paint
    from wslab.cli.transcript import Show

    recording = _load(options.file)
    width = shutil.get_terminal_size((_WITHOUT_TERMINAL, 24)).columns
    paint = Paint(_coloured(options.color, sys.stdout))
    show = Show(recording, width=width, paint=paint, query=_checked(options.filter), full=options.full)
    if options.explain is not None:
        lines: Iterable[str] = show.explanation(options.explain)
    elif options.ladder:
        lines = show.ladder()
    else:
        lines = show.conversation(Path(options.file).name, frames=options.frames)
    _print(lines, sys.stdout)
    return 0


def _load(path: str) -> Recording:
    from wslab.wire.files import load

    try:
        return load(path)
    except OSError as error:
        raise RecordingError(
            f"Expected a recording in {path!r}, got: {error.strerror or error}.",
            remedy="Check the path; lab.save(path) writes one.",
        ) from error


def _checked(text: str) -> str:
    """The filter `text`, which can be read."""
    from wslab.wire.query import Query, QueryError

    try:
        return Query(text).text
    except QueryError as error:
        raise OptionError(str(error)) from error


def _coloured(wanted: str, stream: TextIO) -> bool:
    """Whether to colour; NO_COLOR (no-color.org) is heeded where nobody asks for colours."""
    if wanted != "auto":
        return wanted == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(lines: Iterable[str], stream: TextIO) -> None:
    """Print until the reader has had enough, as ``head`` has early."""
    encoding = stream.encoding or "utf-8"
    try:
        # An arrow, or a message in another alphabet, is no reason to fail on an old console.
        stream.writelines(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding) for line in lines)
        stream.flush()
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.EINVAL}:  # the second on Windows
            raise
        # Python flushes once more when it ends, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
