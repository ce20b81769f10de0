"""`wslab doctor`: what works here, and what to do about what does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from wslab.cli.arguments import Commands

__all__ = ["add_parser", "run"]


def add_parser(commands: Commands) -> None:
    """Declare `wslab doctor`."""
    parser = commands.add_parser(
        "doctor",
        help="say what works here, and what to do about what does not",
        description="Look at versions, ports, Jupyter's proxy and what else a lab needs. "
        "Exits with 1 when something fails.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run `wslab doctor`."""
    if rest:
        options.parser.error(f"expected nothing behind --, got {rest[0]!r}")
    from wslab.checkup import examine

    report = examine()
    print(json.dumps(report.as_dict(), indent=1) if options.json else report)
    return 0 if report.healthy else 1
