"""`wslab serve`: an application outside a notebook."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wslab.cli.arguments import on_off, port, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wslab.cli.arguments import Commands

__all__ = ["add_parser", "run"]


def add_parser(commands: Commands) -> None:
    """Declare `wslab serve`. What is not given is not in the result, so that defaults are `wslab.serve`'s."""
    parser = commands.add_parser(
        "serve",
        help="serve an application outside a notebook",
        description="Serve an ASGI application until Ctrl-C, with the lab's door, limits and record. "
        "The options are those of wslab.Lab and wslab.serve.",
        usage="wslab serve [OPTION ...] MODULE:APP",
    )
    parser.add_argument("app", metavar="MODULE:APP", help="such as main:app; main:make() calls a factory")
    texts = {
        "--host": ("ADDRESS", "address to bind (127.0.0.1)"),
        "--ws": ("ENGINE", "wslab (the default), websockets-sansio or wsproto"),
        "--auth": ("RULE", "who needs the token: auto (the default), token (everybody) or off"),
        "--token": ("T", "the token; a random one by default"),
        "--save": ("FILE", "write what was recorded there at the end: .jsonl, .har or .pcapng"),
        "--limits": ("LIMITS", "such as message=4MiB,rate=50; each may be off; off alone is for load tests"),
    }
    for name, (metavar, text) in texts.items():
        parser.add_argument(name, metavar=metavar, default=argparse.SUPPRESS, help=text)
    readers = {
        "--port": (port, "N", "TCP port to bind (8000); 0 takes a free one"),
        "--capture": (on_off, "on|off", "record every byte (on)"),
        "--lines": (
            on_off,
            "on|off",
            "note which line of the application received or sent each message (on)",
        ),
        "--ping-interval": (seconds, "S", "seconds between two pings (20), or off"),
        "--ping-timeout": (seconds, "S", "seconds until a ping must be answered (20), or off"),
    }
    for name, (read, metavar, text) in readers.items():
        parser.add_argument(name, type=read, metavar=metavar, default=argparse.SUPPRESS, help=text)
    flags = {
        "--public": "allow a host that other machines reach; every client needs the token then",
        "--deflate": "offer permessage-deflate (RFC 7692)",
        "--reload": "start again when a .py file below this folder changes",
    }
    for name, text in flags.items():
        parser.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=text)
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run `wslab serve`.

    Raises:
        WSLabError: see `wslab.serve`.
    """
    if rest:
        options.parser.error(f"expected nothing behind --, got {rest[0]!r}")
    sys.path.insert(0, str(Path.cwd()))  # as for `python main.py`: the installed command's folder is another
    from wslab.serving import SERVE_OPTIONS, let_go, serve

    given = {name: value for name, value in vars(options).items() if name in SERVE_OPTIONS}
    serve(options.app, **given)
    let_go()
    return 0
