from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Error, expect

import wslab
from tests.e2e.harness import KernelError, find_chromium

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent

BUTTON = """
import ipywidgets
button = ipywidgets.Button(description="Ping")
label = ipywidgets.Label("pings: 0")
count = 0
def ping(_):
    global count
    count += 1
    label.value = f"pings: {count}"
button.on_click(ping)
ipywidgets.HBox([button, label])
"""


def test_a_click_goes_to_the_kernel_and_back(notebook, page):
    nb = notebook(BUTTON, "print('done')")
    nb.run_all()
    for _ in range(3):
        page.get_by_role("button", name="Ping").click()
    expect(nb.output(0)).to_contain_text("pings: 3")
    expect(nb.output(1)).to_have_text("done")
    assert nb.execute("print(count)") == "3\n"
    assert nb.errors() == []


def test_errors_of_cells_and_of_code_are_seen(notebook, page):
    nb = notebook("1 / 0")
    nb.run_all()
    assert any("ZeroDivisionError" in text for text in nb.errors())
    with pytest.raises(KernelError, match="NameError: name 'nothing' is not defined"):
        nb.execute("nothing")
    with pytest.raises(Error, match=r"0\.2 s were not enough for the end of 'import asyncio"):
        nb.execute("import asyncio; await asyncio.sleep(1)", timeout=0.2)


def test_cells_that_do_not_end_are_named(notebook, page):
    nb = notebook("print('fine')", "print('stuck here'); import asyncio; await asyncio.Event().wait()")
    with pytest.raises(AssertionError, match=r"(?s)2 s were not enough.*not ended.*stuck here") as failed:
        nb.run_all(timeout=2)
    assert "fine" not in str(failed.value).partition("Server:")[0]


def test_themes_and_hidden_inputs(notebook, page):
    nb = notebook("print('shown')", theme="dark")
    nb.run_all()
    assert page.evaluate("() => document.body.dataset.jpThemeLight") == "false"
    nb.set_theme("light")
    assert page.evaluate("() => document.body.dataset.jpThemeLight") == "true"
    expect(nb.cell(0).locator(".jp-InputArea")).to_be_visible()
    nb.hide_inputs()
    expect(nb.cell(0).locator(".jp-InputArea")).to_be_hidden()
    expect(nb.output(0)).to_have_text("shown")
    assert nb.screenshot("harness").stat().st_size > 0


def test_a_saved_notebook_and_a_copied_one(notebook, page, tmp_path):
    import nbformat

    nb = notebook("print('kept')")
    nb.run_all()
    saved = nb.save()
    assert saved.cells[0].outputs[0].text == "kept\n"
    path = tmp_path / "name with spaces.ipynb"
    nbformat.write(saved, path)
    expect(notebook(copy=path).output(0)).to_have_text("kept")


def test_the_server_proxy_is_on(jupyter, page):
    page.goto(f"{jupyter.url}/server-proxy/servers-info?token={jupyter.token}")
    assert "server_processes" in page.locator("body").inner_text()


@pytest.mark.parametrize(
    ("url", "how"),
    [
        ("https://cdn.example.invalid/x.js", "(url) => fetch(url).catch(() => null)"),
        ("http://127.0.0.1.example.invalid/", "(url) => fetch(url).catch(() => null)"),
        ("wss://example.invalid/chat", "(url) => new Promise(r => {new WebSocket(url).onclose = () => r()})"),
    ],
)
def test_an_off_site_request_is_seen_and_goes_nowhere(page, url, how):
    page.goto("about:blank")
    page.evaluate(how, url)
    assert page.offsite == [url]
    with pytest.raises(AssertionError, match=f"asked for {url}"):
        page.watch.assert_clean()
    page.watch.forgive()


def test_a_console_error_and_an_uncaught_one_are_seen(page):
    page.goto("about:blank")
    page.evaluate("() => console.error('told')")
    with page.expect_event("pageerror"):
        page.evaluate("() => { setTimeout(() => { throw new Error('thrown'); }) }")
    assert [text.split(" (")[0].split("\n")[0] for text in page.console_errors] == [
        "told",
        "uncaught: thrown",
    ]
    page.watch.forgive()


INNER_INI = """
[pytest]
addopts = --import-mode=importlib -p no:cacheprovider
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture
def inner(pytester, monkeypatch):
    """An inner pytest with these very fixtures."""
    pytester.makeini(INNER_INI)
    folder = pytester.mkdir("tests") / "e2e"
    folder.mkdir()
    for name in ("conftest.py", "harness.py", "server.py"):
        (folder / name).write_text((HERE / name).read_text())
    monkeypatch.setenv("PYTHONPATH", str(Path(wslab.__file__).parent.parent))
    monkeypatch.setenv("WSLAB_SHOTS", str(pytester.path / "shots"))

    def run(source: str):
        (folder / "test_inner.py").write_text(source)
        return pytester.runpytest_subprocess("-v", "-ra", timeout=60)

    return run


def test_the_page_fixture_fails_tests_that_overlook_what_the_page_did(inner):
    result = inner("""
def test_offsite(page):
    page.evaluate("() => fetch('http://example.invalid/').catch(() => null)")

def test_console(page):
    page.evaluate("() => console.error('overlooked')")

def test_fine(page):
    page.evaluate("() => console.log('fine')")
""")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        ["*AssertionError: The page misbehaved:", "*asked for http://example.invalid/"]
    )
    result.stdout.fnmatch_lines(["*overlooked*"])


def test_coroutine_tests_run_before_between_and_after(inner, pytester):
    for name in ("test_a.py", "test_z.py"):
        (pytester.path / name).write_text("import asyncio\nasync def test_it(): await asyncio.sleep(0)\n")
    for name in ("test_b.py", "test_y.py"):
        (pytester.path / "tests" / "e2e" / name).write_text("def test_it(page): page.goto('about:blank')\n")
    order = ["test_a.py", "tests/e2e/test_b.py", "test_z.py", "tests/e2e/test_y.py", "test_a.py"]
    result = pytester.runpytest_subprocess("--keep-duplicates", *order, timeout=60)
    result.assert_outcomes(passed=5)


def test_a_coroutine_test_is_refused_here(inner):
    result = inner("async def test_it(page): ...")
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*test_inner.py::test_it must be a plain function*"])


@pytest.mark.parametrize(("ci", "outcome"), [("true", {"errors": 1}), ("", {"skipped": 1})])
def test_a_missing_chromium_is_an_error_in_ci_and_a_skip_elsewhere(inner, monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("WSLAB_CHROMIUM", raising=False)
    result = inner("def test_it(page): ...")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*no Chromium: install one, or name it in WSLAB_CHROMIUM*"])


def test_where_chromium_is_looked_for(tmp_path):
    named, noted, found = (tmp_path / name for name in ("named", "noted", "chromium"))
    for path in (named, noted, found):
        path.touch(mode=0o755)
    tools = tmp_path / "tools.json"
    env = {"PATH": str(tmp_path)}
    assert find_chromium({"PATH": ""}, tools) is None
    assert find_chromium(env, tools) == str(found)
    tools.write_text(f'{{"chromium": "{noted}"}}')
    assert find_chromium(env, tools) == str(noted)
    assert find_chromium(env | {"WSLAB_CHROMIUM": str(named)}, tools) == str(named)
    with pytest.raises(FileNotFoundError, match="WSLAB_CHROMIUM names"):
        find_chromium(env | {"WSLAB_CHROMIUM": str(tmp_path / "gone")}, tools)
