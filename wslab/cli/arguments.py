"""Reading arguments: what all commands of `wslab` have in common."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Commands", "Parser", "on_off", "port", "seconds", "unknown_option"]

_LAST_PORT = 65535


class Commands(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` gives: where a command declares itself."""

    def add_parser(self, name: str, **options: Any) -> Parser:
        """A parser for the command `name`."""


class Parser(argparse.ArgumentParser):
    """A parser that knows the names of its options.

    Attributes:
        names: those that begin with two hyphens.
    """

    def __init__(self, **options: Any) -> None:
        self.names: list[str] = []
        super().__init__(**(options | {"allow_abbrev": False}))

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Declare an argument; see `argparse.ArgumentParser.add_argument`."""
        self.names += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)


def unknown_option(parser: Parser, rest: Sequence[str]) -> str:
    """What to say of `rest`, which `parser` could not use: with the nearest option's name.

    Example:
        >>> parser = Parser(prog="wslab serve")
        >>> _ = parser.add_argument("--port")
        >>> unknown_option(parser, ["--prot=80"])
        "there is no option '--prot' (did you mean --port?); the options are --help, --port"
    """
    name = next((word for word in rest if word.startswith("-")), rest[0]).partition("=")[0]
    near = difflib.get_close_matches(name, parser.names, n=1, cutoff=0.55)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no option {name!r}{hint}; the options are {', '.join(parser.names)}"


def port(text: str) -> int:
    """A TCP port.

    Raises:
        argparse.ArgumentTypeError: `text` is none.
    """
    if text.isascii() and text.isdigit() and int(text) <= _LAST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a TCP port from 0 to {_LAST_PORT}, got {text!r}")


def on_off(text: str) -> bool:
    """``on`` or ``off``.

    Raises:
        argparse.ArgumentTypeError: `text` is neither.
    """
    if text not in {"on", "off"}:
        raise argparse.ArgumentTypeError(f"expected on or off, got {text!r}")
    return text == "on"


def seconds(text: str) -> float | None:
    """A number of seconds; None for ``off``.

    Raises:
        argparse.ArgumentTypeError: `text` is neither.
    """
    try:
        return None if text == "off" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seconds or off, got {text!r}") from None
