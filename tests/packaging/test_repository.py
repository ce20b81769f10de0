"""What must not be, and what must be, in the repository's own files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK_FILES = {
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
}
PACKAGE_INDEX = re.compile(
    r"index[-_]url|find[-_]links|\"resolved\": *\"http|^registry *=|files\.pythonhosted|registry\.npmjs",
    re.IGNORECASE,
)
HOME = re.compile(
    r"(?<![\w.])/(?:home|Users)/(?!jovyan\b)\w"  # jovyan is everybody on Binder
    r"|(?<![\w./])/root/"
    r"|[A-Z]:\\Users\\"
)


def project_files() -> list[Path]:
    """Tracked files, and those that `git add` would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = (ROOT / name for name in done.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in project_files():
        content = path.read_bytes()
        if path == Path(__file__) or "vendor" in path.parts or b"\0" in content:
            continue
        numbered = enumerate(content.decode("utf-8").splitlines(), 1)
        found += [f"{path.relative_to(ROOT)}:{number}" for number, line in numbered if pattern.search(line)]
    return found


def test_no_lock_file_is_committed():
    assert not [path for path in project_files() if path.name in LOCK_FILES]


def test_no_line_names_a_package_index():
    assert lines_with(PACKAGE_INDEX) == []


def test_no_line_names_somebodys_home():
    assert lines_with(HOME) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (PACKAGE_INDEX, "extra_index_url = https://example.org/simple"),
        (PACKAGE_INDEX, "registry=https://example.org/"),
        (HOME, 'File "/home/ada/wslab/lab.py", line 3'),
        (HOME, "C:\\Users\\ada"),
        (HOME, "open('/root/.cache')"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, line):
    assert pattern.search(line)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_that_is_shown_exists(document):
    shown = set(
        re.findall(r"(?:^|`)\s*(?:\$ )?make ([a-z][a-z-]*)", (ROOT / document).read_text(), re.MULTILINE)
    )
    assert shown, f"{document} shows no make command"
    assert shown <= targets()


def test_the_readme_shows_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make lab" in text
    assert "make test" in text


def test_make_help_lists_every_documented_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    documented = set(re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE))
    assert documented == {"help", "lab", "test", "test-matrix", "soak", "bench", "lint", "clean"}
    assert documented <= targets()
