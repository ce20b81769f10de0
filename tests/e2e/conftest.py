"""Fixtures for tests in a real JupyterLab and a real Chromium; tests here are plain functions.

Playwright's synchronous interface keeps an event loop running in the main thread as long as it is
started, and no coroutine test can run meanwhile. So it lives as long as one module's tests, which are
all synchronous, and is gone before the next module's, whatever the order.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.e2e.harness import CHROMIUM_ARGS, ROOT, Notebook, Watch, find_chromium
from tests.e2e.server import JupyterServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page


PAGE = pytest.StashKey["Page"]()  # a test's page, also where another fixture asked for it


class NotebookFactory(Protocol):
    def __call__(self, *cells: str, copy: Path | None = None, theme: str = "light") -> Notebook: ...


def shots_folder() -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("WSLAB_SHOTS") or ROOT / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and inspect.iscoroutinefunction(getattr(item, "function", None)):
            raise pytest.UsageError(f"{item.nodeid} must be a plain function: see tests/e2e/conftest.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    page = item.stash.get(PAGE, None)
    if report.failed and call.when != "teardown" and page is not None and not page.is_closed():
        # now, while the page still shows what went wrong
        name = re.sub(r"[^\w-]+", "_", item.nodeid)
        page.screenshot(path=shots_folder() / f"failed-{name}.png")
    return report


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A JupyterLab for the whole run."""
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for the tests of one module: see above."""
    chromium = find_chromium()
    if chromium is None:
        missing = "no Chromium: install one, or name it in WSLAB_CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGS))
        yield browser
        browser.close()


@pytest.fixture
def allowed() -> dict[str, Any]:
    """What a page may do nevertheless, as `Watch` takes it; another host's tests override it."""
    return {}


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest, allowed: dict[str, Any]) -> Iterator[Page]:
    """A page of its own; `page.watch`, `page.offsite` and `page.console_errors` tell what it did.

    At the test's end both lists must be empty.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    watch = Watch(context, **allowed)
    page = request.node.stash[PAGE] = context.new_page()
    page.watch = watch  # type: ignore[attr-defined]
    page.offsite = watch.offsite  # type: ignore[attr-defined]
    page.console_errors = watch.console_errors  # type: ignore[attr-defined]
    yield page
    context.close()
    watch.assert_clean()


@pytest.fixture
def notebook(page: Page, jupyter: JupyterServer) -> Iterator[NotebookFactory]:
    """`notebook("cell", "cell")` or `notebook(copy=path)`: an opened Notebook.

    Kernels are shut down after the test, when the page that would mourn them is gone.
    """
    made: list[str] = []

    def make(*cells: str, copy: Path | None = None, theme: str = "light") -> Notebook:
        if (copy is None) == (not cells):
            raise TypeError("Give either cells or copy=path.")
        name = f"{len(made)}-{copy.name}" if copy else f"{len(made)}-test.ipynb"
        if copy:
            shutil.copyfile(copy, jupyter.folder / name)
        else:
            jupyter.write(name, cells)
        made.append(name)
        jupyter.set_theme(theme)
        return Notebook(page, jupyter, name, shots_folder()).open()

    yield make
    if not page.is_closed():
        page.goto("about:blank")
    jupyter.shutdown_kernels()
    for name in made:
        (jupyter.folder / name).unlink(missing_ok=True)
