"""`wslab lab`: JupyterLab on the first lesson."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from wslab.cli.arguments import port
from wslab.errors import WSLabError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from wslab.cli.arguments import Commands

__all__ = ["MANIFEST", "Place", "add_parser", "copy_notebooks", "find_place", "lab_command", "run"]

FIRST_NOTEBOOK = "00-start.ipynb"
COPY_FOLDER = "wslab-notebooks"
MANIFEST = ".wslab-notebooks.json"  # in the copy: the digest of each file as it was shipped

_PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Place:
    """Where JupyterLab opens.

    Attributes:
        root: the folder that JupyterLab's file browser shows.
        folder: the folder with the notebooks, `root` itself or inside it.
        source: the folder the notebooks are copied from first; None when they are opened where they are.
    """

    root: Path
    folder: Path
    source: Path | None

    @property
    def url_path(self) -> str:
        """JupyterLab's path for the first notebook, relative to its base URL and percent-encoded.

        Example:
            >>> Place(Path("/lab"), Path("/lab/my notes"), None).url_path
            '/lab/tree/my%20notes/00-start.ipynb'
        """
        notebook = (self.folder / FIRST_NOTEBOOK).relative_to(self.root)
        return "/lab/tree/" + quote(notebook.as_posix())


def find_place(package: Path, directory: Path | None, working_directory: Path) -> Place:
    """Decide which notebooks are opened, and where.

    In a checkout the notebooks beside the package are opened in place. Elsewhere, or when a folder is
    named, they are copied first: what pip installed is not the user's to edit.

    Args:
        package: the folder of the `wslab` package.
        directory: where the user wants the notebooks (`--dir`); None for the default.
        working_directory: where a relative or default folder starts.

    Returns:
        the place; nothing is copied yet.

    Raises:
        WSLabError: this installation carries no notebooks, or `directory` is a file.
    """
    checkout = package.parent
    beside, shipped = checkout / "notebooks", package / "notebooks"
    source = next((folder for folder in (beside, shipped) if (folder / FIRST_NOTEBOOK).is_file()), None)
    if source is None:
        raise WSLabError(
            f"Expected the lessons in {shipped} or {beside}, found no {FIRST_NOTEBOOK} in either.",
            remedy="Install wslab again, or run this in a checkout of its repository.",
        )
    if directory is None and source == beside:
        return Place(root=checkout, folder=beside, source=None)
    folder = working_directory / (directory or COPY_FOLDER)
    if folder.exists() and not folder.is_dir():
        raise WSLabError(
            f"Expected a folder for the notebooks, {folder} is a file.",
            remedy="Name another with --dir.",
        )
    if folder.is_dir() and folder.samefile(source):
        return Place(root=folder, folder=folder, source=None)
    return Place(root=folder, folder=folder, source=source)


def copy_notebooks(source: Path, target: Path) -> list[str]:
    """Copy the lessons, and never over a file that the user changed.

    A file is replaced only while it still is what an earlier release put there, which a manifest in the
    target remembers.

    Args:
        source: the folder as shipped.
        target: the user's folder; made when it is missing.

    Returns:
        the files, relative to `target`, that differ from this release's and were kept.

    Raises:
        WSLabError: the target cannot be written to.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        manifest = target / MANIFEST
        recorded = _read_manifest(manifest)
        kept = [name for name in _shipped_files(source) if not _refresh(source, target, name, recorded)]
        manifest.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise WSLabError(
            f"Expected to write the notebooks to {target}, got {error}.",
            remedy="Name a folder that you may write to with --dir.",
        ) from error
    return kept


def _shipped_files(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in parts):
            yield "/".join(parts)


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}  # without it every file counts as the user's own, which loses nothing
    return recorded if isinstance(recorded, dict) else {}


def _refresh(source: Path, target: Path, name: str, recorded: dict[str, str]) -> bool:
    """Bring one file up to date; False when the user's version stands in the way of a newer one."""
    copy, shipped = target / name, _digest(source / name)
    current = _digest(copy) if copy.exists() else None
    if current not in {None, shipped, recorded.get(name)}:
        return recorded.get(name) == shipped
    if current != shipped:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, copy)
    recorded[name] = shipped
    return True


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lab_command(
    place: Place, *, port: int | None, browser: bool, root_user: bool, jupyter_args: Sequence[str]
) -> list[str]:
    """Build the command that runs JupyterLab.

    Args:
        place: what to open.
        port: the TCP port to listen on; None for JupyterLab's own choice (8888, or the next free one).
        browser: whether JupyterLab opens a page; without one it prints the URL with its token.
        root_user: whether the process is the superuser's, which JupyterLab refuses unless told.
        jupyter_args: further arguments for JupyterLab, as they are.

    Returns:
        the program and its arguments.
    """
    command = [sys.executable, "-P", "-m", "jupyterlab"]  # -P: a file of the user's must not shadow a module
    command += [f"--ServerApp.root_dir={place.root}", f"--LabApp.default_url={place.url_path}"]
    if port is not None:
        command.append(f"--ServerApp.port={port}")
    if not browser:
        command.append("--no-browser")
    if root_user:
        command.append("--allow-root")
        # JupyterLab refuses an option that comes twice, so the user's own word on it replaces ours.
        if not any(arg.startswith(("--ip", "--ServerApp.ip")) for arg in jupyter_args):
            command.append("--ServerApp.ip=127.0.0.1")
    return command + list(jupyter_args)


def _browser_can_open() -> bool:
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    ):
        return False  # webbrowser would settle for a text browser in the terminal
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def add_parser(commands: Commands) -> None:
    """Declare `wslab lab`."""
    parser = commands.add_parser(
        "lab",
        help="open JupyterLab on the first lesson",
        description="Open JupyterLab on the first lesson. What follows -- is given to JupyterLab.",
        usage="wslab lab [-h] [--dir DIR] [--port N] [--no-browser] [--dry-run] [-- JUPYTER_ARG ...]",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        help="folder for your copy of the notebooks; in a checkout they are opened in place, "
        f"elsewhere the default is ./{COPY_FOLDER}",
    )
    parser.add_argument("--port", type=port, metavar="N", help="TCP port of JupyterLab")
    parser.add_argument("--no-browser", action="store_true", help="print the URL instead of opening a page")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run, and stop")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace, jupyter_args: Sequence[str]) -> int:
    """Run `wslab lab`: does not return on POSIX, where the process becomes JupyterLab.

    Raises:
        WSLabError: JupyterLab or the lessons are not installed, or cannot be copied.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise WSLabError(
            f"Expected JupyterLab beside wslab, {sys.executable} has none.",
            remedy='Install it with: pip install "wslab[lab]"',
        )
    place = find_place(_PACKAGE, options.dir, Path.cwd())
    command = lab_command(
        place,
        port=options.port,
        browser=not options.no_browser and _browser_can_open(),
        root_user=hasattr(os, "geteuid") and os.geteuid() == 0,
        jupyter_args=jupyter_args,
    )
    print(f"Notebooks: {place.folder}" + (f" (copied from {place.source})" if place.source else ""))
    if options.dry_run:
        print(f"Command: {shlex.join(command)}")
        return 0
    if place.source is not None:
        for name in copy_notebooks(place.source, place.folder):
            print(f"Kept your {name}: it differs from this release's. Rename it to get the new one.")
    sys.stdout.flush()
    if os.name != "nt":  # Windows has no exec that its shell would wait for
        os.execv(command[0], command)  # noqa: S606  # no shell: signals reach JupyterLab itself
    return subprocess.run(command, check=False).returncode  # noqa: S603  # the command built above
