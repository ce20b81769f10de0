"""The first notebook in Notebook 7: same server, another page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import shots_folder
from tests.e2e.harness import Notebook
from tests.e2e.server import JupyterServer

pytestmark = pytest.mark.e2e

START = Path(__file__).resolve().parents[2] / "notebooks" / "00-start.ipynb"

NOISE = (
    # Its shortcuts read the schema of a plugin whose settings have not been loaded; any notebook's page of
    # 7.6 does it, also without widgets. What raises is in Notebook's own bundle.
    re.compile(
        r"^TypeError: Cannot read properties of undefined \(reading 'schema'\)\n +at \S+/static/notebook/"
    ),
)


class Notebook7(Notebook):
    """Notebook 7 is made of JupyterLab's parts: `window.jupyterapp` and the cells are the same."""

    place = "notebooks"


@pytest.fixture
def allowed():
    return {"noise": NOISE}


@pytest.fixture
def start(page, tmp_path):
    jupyter = JupyterServer(tmp_path, ["--JupyterNotebookApp.expose_app_in_browser=True"])
    try:
        shutil.copyfile(START, jupyter.folder / START.name)
        yield Notebook7(page, jupyter, START.name, shots_folder()).open()
        page.goto("about:blank")  # a page that is gone mourns no kernel
    finally:
        jupyter.stop()


def test_the_first_notebook_is_live_in_notebook_7(start, page):
    assert "notebook" in page.evaluate("() => window.jupyterapp.name").lower()
    start.run_all()
    assert [text for text in start.errors() if "a mistake on purpose" not in text] == []

    # connections, with how each of them went
    connections = page.locator("[data-view=connections] tr[data-id]")
    expect(connections.filter(has_text="/echo/ada").locator(".wslab-badge")).to_have_text(
        ["refused", "closed"]
    )
    expect(connections.filter(has_text="/ws/stocks").locator(".wslab-badge")).to_have_text("open")

    # a room: three came, one left
    expect(page.locator("[data-view=rooms] [data-room=tea]")).to_contain_text("2 members")

    # frames, found by what they carry
    frames = page.locator("[data-view=frames]")
    search = frames.get_by_label("Search the payload's first bytes")
    rows = frames.locator(".wslab-frames-row[data-seq]:visible")
    search.fill("another process")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("hello from another process")

    # a chart that moves
    stocks = page.locator("[data-view=stocks]")
    before = int(stocks.get_attribute("data-seq"))
    page.wait_for_function(
        "([root, before]) => Number(root.dataset.seq) >= before + 5", arg=[stocks.element_handle(), before]
    )
    assert int(stocks.get_attribute("data-points")) > 1
    assert stocks.locator("canvas").first.evaluate(
        """(canvas) => canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0)"""
    )

    # the page's own WebSocket
    client = page.locator("[data-view=client]").last  # the cell's; the first is the dashboard's
    client.get_by_label("Path", exact=True).fill("/echo/page")
    client.get_by_role("button", name="Connect").click()
    expect(client.locator(".wslab-badge")).to_have_text("open")
    assert client.get_attribute("data-way") == "direct"
    client.get_by_label("Message", exact=True).fill("typed in Notebook 7")
    client.get_by_label("Message", exact=True).press("Enter")
    expect(client.locator("[data-kind=received]")).to_contain_text("page: typed in Notebook 7")
    search.fill("typed in Notebook 7")
    expect(rows).to_have_count(2)

    stocks.evaluate("(view) => view.scrollIntoView({block: 'center'})")
    start.screenshot("host-notebook7")
