"""A dashboard in Voilà: a page without cells, whose kernel ran the notebook before it was shown."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import shots_folder
from tests.e2e.harness import OPEN_TIMEOUT
from tests.e2e.server import JupyterServer

pytestmark = pytest.mark.e2e

# Voilà's page template links these, whatever the notebook is. They are refused like any other address, and
# the views do without: nothing else may be asked for.
FONT_AWESOME = (
    "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@%5E5/css/all.min.css",
    "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@%5E5/css/v4-shims.min.css",
)

NOISE = (
    # jupyter-server-proxy's launcher is an extension of JupyterLab that Voilà loads, too, without the file
    # browser that it needs. The proxy itself is not concerned.
    re.compile(r"(?s)Shared module @jupyterlab/\w+ doesn't exist.*/@jupyterhub/jupyter-server-proxy/static/"),
)

OPTIONS = (
    "--VoilaConfiguration.show_tracebacks=True",
    # Voilà would load MathJax from a CDN, too; told "null" it does not.
    "--ServerApp.tornado_settings={'mathjax_url': 'null', 'mathjax_config': 'null'}",
)

CELLS = (
    """from wslab import Lab, WebSocket

lab = Lab()
lab.start()


@lab.websocket("/echo/{name}")
async def echo(ws: WebSocket, name: str):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(f"{name}: {text}")""",
    """client = await lab.connect("/echo/ada")
await client.send("hello from the kernel")
await client.receive()""",
    "lab",
)


@pytest.fixture
def allowed():
    return {"noise": NOISE, "addresses": FONT_AWESOME}


@pytest.fixture
def jupyter(tmp_path):
    server = JupyterServer(tmp_path, OPTIONS)
    yield server
    server.stop()


def test_a_dashboard_is_live_in_voila(jupyter, page):
    jupyter.write("talk.ipynb", CELLS)
    page.goto(f"{jupyter.url}/voila/render/talk.ipynb?token={jupyter.token}", timeout=OPEN_TIMEOUT * 1000)

    row = page.locator("[data-view=connections] tr[data-id]").filter(has_text="/echo/ada")
    expect(row.locator(".wslab-badge")).to_have_text("open", timeout=OPEN_TIMEOUT * 1000)

    frames = page.locator("[data-view=frames]")
    rows = frames.locator(".wslab-frames-row[data-seq]:visible")
    frames.get_by_label("Search the payload's first bytes").fill("hello from the kernel")
    expect(rows).to_have_count(2)

    page.set_viewport_size({"width": 1280, "height": 1200})  # the page scrolls inside of an element
    page.evaluate("() => document.fonts.ready.then(() => null)")
    page.screenshot(path=shots_folder() / "host-voila.png", animations="disabled")
