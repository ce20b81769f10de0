"""What the README and the documents say is true."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import types
from pathlib import Path

import pytest

from wslab import cli

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]


def python_blocks(document):
    return re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)


def words_of(ladder):
    """What a ladder says, without its times and the lines that fill its width."""
    return re.sub(r"\d+\.\d+ s|Δ [\d.]+ [µm]?s|[─ ]+", " ", ladder).split()


async def test_the_readmes_program_runs(capsys):
    program, _ = python_blocks(ROOT / "README.md")
    module = types.ModuleType("readme")
    code = compile(program, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, vars(module))
    try:
        assert inspect.iscoroutine(running)
        await running
        printed = capsys.readouterr().out
        assert "ada: HELLO" in printed.splitlines()
        assert "→ in" in printed
        [shown] = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
        assert words_of(shown) == words_of(str(module.lab.frames.sequence()))
    finally:
        await module.lab.stop()


def test_the_readmes_program_that_never_awaits_runs(capsys):
    _, program = python_blocks(ROOT / "README.md")
    module = types.ModuleType("readme")
    exec(compile(program, "README.md", "exec"), vars(module))
    assert capsys.readouterr().out == '{"from":"the lab\'s thread"}\n'
    assert not module.lab.running


async def test_what_the_page_on_recordings_does_works_and_looks_so(tmp_path, monkeypatch, capsys):
    page = ROOT / "docs" / "recordings.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    module = types.ModuleType("recordings")
    program = compile("".join(python_blocks(page)), "chat.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(program, vars(module))
    try:
        assert capsys.readouterr().out.startswith("<Recording: 1 connection, 6 frames>\n")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *("again.pcapng", "session.har", "session.jsonl", "session.pcapng", "test_chat.py"),
        ]
        compile((tmp_path / "test_chat.py").read_text(), "test_chat.py", "exec")
        shown, _ = re.findall(r"```text\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        assert cli.main(["show", "session.har"]) == 0
        printed = capsys.readouterr().out
        times = re.compile(r"\d+-\d+-\d+ \d+:\d+:\d+ | +\d+\.\d{3} s")
        assert times.sub("", printed) == times.sub("", shown)
        for line in re.findall(r"^wslab (show session.har .*?) +#", page.read_text("utf-8"), re.MULTILINE):
            assert cli.main(shlex.split(line)) == 0
    finally:
        await module.lab.stop()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+)", document.read_text("utf-8"))
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document):
    named = re.findall(
        r"`((?:wslab|tests|docs|binder|benchmarks|notebooks)/[\w./-]+)`", document.read_text("utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
