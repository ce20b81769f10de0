"""The command line: `wslab lab`, `wslab serve`, `wslab show`, `wslab doctor`.

Only the standard library is imported here, so that `wslab --version` answers at once and `wslab lab` can
still say what is missing when JupyterLab is not installed.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import TYPE_CHECKING, cast

from wslab.cli import doctor, lab, serve, show
from wslab.cli.arguments import Parser, unknown_option
from wslab.errors import OptionError, WSLabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wslab.cli.arguments import Commands

__all__ = ["build_parser", "main"]


def _version() -> str:
    try:
        return importlib.metadata.version("wslab")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown (not installed)"  # a checkout on sys.path: only an installation knows its version


def build_parser() -> Parser:
    """Build the parser of the `wslab` command."""
    parser = Parser(prog="wslab", description="A WebSocket laboratory inside Jupyter.")
    parser.add_argument("--version", action="version", version=f"wslab {_version()}")
    parser.set_defaults(parser=parser)
    adding = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    commands = cast("Commands", adding)
    for command in (lab, serve, show, doctor):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments without the program's name; None takes those of the process.

    Returns:
        the exit status: 0, 1 after an error that is printed with its remedy, 2 where an option is
        unknown or cannot be meant, 130 after Ctrl-C where nothing served yet. `wslab lab` does not
        return on POSIX: the process becomes JupyterLab.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, unknown = build_parser().parse_known_args(arguments[:split])
    if unknown:
        options.parser.error(unknown_option(options.parser, unknown))
    try:
        status: int = options.run(options, arguments[split + 1 :])
    except WSLabError as error:
        print(f"wslab: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError) else 1
    except KeyboardInterrupt:
        return 130  # 128 and the signal's number, as shells have it
    return status
