"""The first notebook, as a visitor meets it: every cell run, every view live, every kind of client seen."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.e2e

START = Path(__file__).resolve().parents[2] / "notebooks" / "00-start.ipynb"


class Dashboard:
    """The views below the first cell, and the page's client of its own cell."""

    def __init__(self, notebook):
        self.notebook = notebook
        self.root = notebook.output(cell_with(notebook, "lab.start()")).first
        self.client = notebook.output(cell_with(notebook, "lab.views.client")).locator("[data-view=client]")

    def view(self, name):
        return self.root.locator(f"[data-view={name}]")

    def connection(self, path):
        """The rows of connections to `path`; their first cell is the id."""
        return self.view("connections").locator("tr[data-id]").filter(has_text=path)

    def frames(self, text):
        """Search the log of frames; the rows found, as (direction, opcode, payload)."""
        frames = self.view("frames")
        frames.get_by_label("Search the payload's first bytes").fill(text)
        return frames.locator(".wslab-frames-row[data-seq]:visible")

    def expect_frames(self, text, wanted):
        rows = self.frames(text)
        expect(rows).to_have_count(len(wanted))
        found = [rows.nth(i).locator("[role=gridcell]").all_inner_texts() for i in range(len(wanted))]
        assert [(way, opcode.split()[0], payload) for *_, way, opcode, _, payload in found] == wanted

    def room(self, name):
        return self.view("rooms").locator(f"[data-room={name}]")


def cell_with(notebook, source):
    """The place of the code cell that has `source`, Markdown cells counted."""
    cells = json.loads(START.read_text())["cells"]
    return next(
        place
        for place, cell in enumerate(cells)
        if cell["cell_type"] == "code" and source in "".join(cell["source"])
    )


@pytest.fixture
def dashboard(notebook):
    nb = notebook(copy=START)
    nb.run_all(timeout=45)
    # The lab's own cell shows what its endpoint raised, which the notebook does on purpose.
    assert [text for text in nb.errors() if "a mistake on purpose" not in text] == []
    return Dashboard(nb)


@pytest.fixture
def program(dashboard):
    """Opens connections from this process, as any other program on the machine would."""
    with ExitStack() as stack:

        def open_path(path):
            url = dashboard.notebook.execute(f"print(lab.url({path!r}))").strip()
            return stack.enter_context(connect(url, proxy=None))

        yield open_path


def test_three_kinds_of_clients_and_their_frames(dashboard, program):
    # 1. clients in the kernel: the notebook's own cells
    expect(dashboard.connection("/echo/ada").locator(".wslab-badge")).to_have_text(["refused", "closed"])
    expect(dashboard.connection("/ws/stocks").locator(".wslab-badge")).to_have_text("open")
    dashboard.expect_frames("ada: HELLO", [("← out", "TEXT", "ada: HELLO")])

    # 2. other programs: the one a cell started, and this process
    expect(dashboard.connection("/echo/terminal").locator(".wslab-badge")).to_have_text("closed")
    dashboard.expect_frames(
        "another process",
        [
            ("→ in", "TEXT", "hello from another process"),
            ("← out", "TEXT", "terminal: hello from another process"),
        ],
    )
    outside = program("/echo/outside")
    outside.send("seen from outside")
    assert outside.recv(timeout=20) == "outside: seen from outside"
    expect(dashboard.connection("/echo/outside").locator(".wslab-badge")).to_have_text("open")
    dashboard.expect_frames(
        "seen from outside",
        [("→ in", "TEXT", "seen from outside"), ("← out", "TEXT", "outside: seen from outside")],
    )

    # 3. the page's own WebSocket
    client = dashboard.client
    client.get_by_label("Path", exact=True).fill("/echo/page")
    client.get_by_role("button", name="Connect").click()
    expect(client.locator(".wslab-badge")).to_have_text("open")
    assert client.get_attribute("data-way") == "direct"
    client.get_by_label("Message", exact=True).fill("typed in the page")
    client.get_by_label("Message", exact=True).press("Enter")
    expect(client.locator("[data-kind=received]")).to_contain_text("page: typed in the page")
    expect(dashboard.connection("/echo/page").locator(".wslab-badge")).to_have_text("open")
    dashboard.expect_frames(
        "typed in the page",
        [("→ in", "TEXT", "typed in the page"), ("← out", "TEXT", "page: typed in the page")],
    )
    client.get_by_role("button", name="Disconnect").click()
    expect(dashboard.connection("/echo/page").locator(".wslab-badge")).to_have_text("closed")
    token = dashboard.notebook.execute("print(lab._core.policy.token)").strip()
    assert token not in dashboard.notebook.page.locator("body").inner_text()


def test_a_room_gains_and_loses_a_member(dashboard, program):
    tea = dashboard.room("tea")
    expect(tea).to_contain_text("2 members")
    outside = program("/ws/room/tea?user=dora")
    assert json.loads(outside.recv(timeout=20))["type"] == "welcome"
    expect(tea).to_contain_text("3 members")
    broadcasts = int(tea.get_attribute("data-broadcasts"))
    outside.send(json.dumps({"content": "sugar"}))
    assert json.loads(outside.recv(timeout=20))["message"] == "sugar"
    expect(tea).to_have_attribute("data-broadcasts", str(broadcasts + 1))
    outside.close()
    expect(tea).to_contain_text("2 members")


def test_the_chart_moves_as_long_as_somebody_subscribes(dashboard, page):
    stocks = dashboard.view("stocks")
    tile = stocks.locator("[data-symbol=AAPL]")
    before, price = int(stocks.get_attribute("data-seq")), tile.inner_text()
    page.wait_for_function(
        "([root, before]) => Number(root.dataset.seq) >= before + 5", arg=[stocks.element_handle(), before]
    )
    expect(tile).not_to_have_text(price)
    assert int(stocks.get_attribute("data-points")) > 1
    drawn = stocks.locator("canvas").first.evaluate(
        """(canvas) => canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0)"""
    )
    assert drawn


def test_a_chart_that_was_built_out_of_sight_fills_its_place(dashboard, page):
    stocks = dashboard.view("stocks")
    stocks.locator(".u-wrap").wait_for()
    # A change of the body's classes is how themes come: the chart is built anew for its colours, here while
    # the page is out of sight for less than a frame, so that no observer of sizes ever hears of it.
    stocks.evaluate(
        """async (root) => {
            root.querySelector(".u-wrap").dataset.old = "";
            root.style.display = "none";
            document.body.classList.toggle("another-theme");
            for (let turn = 0; turn < 5; turn++) await null;
            root.style.display = "";
        }"""
    )
    built_anew = stocks.locator(".u-wrap:not([data-old])")
    built_anew.wait_for()
    before = int(stocks.get_attribute("data-seq"))
    page.wait_for_function(
        "([root, before]) => Number(root.dataset.seq) > before", arg=[stocks.element_handle(), before]
    )
    place = stocks.locator(".wslab-stocks-plot")
    assert built_anew.evaluate("(chart) => chart.offsetWidth") == place.evaluate("(node) => node.clientWidth")


def test_a_connection_is_closed_from_its_row(dashboard, program):
    outside = program("/echo/outside")
    table = dashboard.view("connections")
    row = dashboard.connection("/echo/outside")
    table.get_by_label("Close code", exact=True).select_option("4000")
    table.get_by_label("Reason, at most 123 bytes").fill("from the table")
    row.get_by_role("button").click()
    with pytest.raises(ConnectionClosed) as ended:
        outside.recv(timeout=20)
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4000, "from the table")
    expect(row).to_contain_text("4000 server")
    expect(row.locator(".wslab-badge")).to_have_text("closed")


def test_what_peers_send_is_shown_as_text(dashboard, page, program):
    hostile = "<img src=x onerror=\"console.error('pwned')\">\x1b[31m\u202e"
    outside = program("/echo/outside")
    outside.send(hostile)
    outside.recv(timeout=20)
    rows = dashboard.frames('<img src=x onerror="console')
    expect(rows).to_have_count(2)
    rows.first.click()
    detail = dashboard.view("frames").get_by_role("region", name="Frame detail")
    expect(detail).to_contain_text("onerror")
    assert page.locator("img[src='x']").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_screen_and_a_projector(dashboard, page, theme):
    nb = dashboard.notebook
    nb.hide_inputs()
    nb.set_theme(theme)
    for width in (1280, 1024):
        page.set_viewport_size({"width": width, "height": 800})
        dashboard.root.evaluate("(root) => root.scrollIntoView({block: 'start'})")
        expect(dashboard.view("stocks").locator("canvas").first).to_be_visible()
        cut = dashboard.root.evaluate(
            """(root) => [...root.querySelectorAll("[data-view]")].filter((view) => {
                const outer = root.getBoundingClientRect(), inner = view.getBoundingClientRect();
                return inner.right > outer.right + 1 || inner.left < outer.left - 1 || inner.width < 200;
            }).map((view) => view.dataset.view)"""
        )
        assert cut == [], f"These views do not fit {width} pixels"
        nb.screenshot(f"start-{theme}-{width}")
        nb.screenshot(f"start-{theme}-{width}-dashboard", dashboard.root)
