"""The three ways from a page to the kernel's server, each forced, and found where the others are blocked."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

LAB = """
import wslab
lab = wslab.Lab()

@lab.websocket("/echo")
async def echo(ws: wslab.WebSocket):
    await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
    while True:
        message = await ws.receive()
        if message["type"] == "websocket.disconnect":
            break
        if message.get("text") == "close 4001":
            await ws.close(4001, "because")
            break
        await ws.send({**message, "type": "websocket.send"})

await lab.start()
lab.views.client
"""
CONNECTIONS = "lab.views.connections"


class Client:
    """The page's client, below the first cell."""

    def __init__(self, notebook):
        self.notebook = notebook
        self.view = notebook.output(0).locator("[data-view=client]")
        self.badge = self.view.locator(".wslab-badge")

    def connect(self, way="", path="/echo"):
        self.view.get_by_label("Path", exact=True).fill(path)
        self.view.get_by_label("Way to the lab").select_option(way)
        self.view.get_by_role("button", name="Connect").click()
        expect(self.badge).to_have_text("open")
        return self.view.get_attribute("data-way")

    def say(self, text, kind="text"):
        self.view.get_by_label("Kind of message").select_option(kind)
        self.view.get_by_label("Message", exact=True).fill(text)
        self.view.get_by_label("Message", exact=True).press("Enter")

    def transcript(self, kind):
        return self.view.locator(f"[data-kind={kind}]")

    def connection(self):
        """The newest connection's row, as the kernel has it."""
        code = "import json; print(json.dumps(lab.connections[-1].to_dict()))"
        return json.loads(self.notebook.execute(code))

    def port(self):
        return int(self.notebook.execute("print(lab.port)"))


@pytest.fixture(autouse=True)
def patience():
    """A busy machine may take its time: how long is no part of these tests."""
    expect.set_options(timeout=30_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def client(notebook):
    nb = notebook(LAB, CONNECTIONS)
    nb.run_all()
    assert nb.errors() == []
    return Client(nb)


def block(page, *patterns):
    """Let nothing through to what matches; the browser says so on its console."""
    for pattern in patterns:
        page.route(re.compile(pattern), lambda route: route.abort())


@pytest.mark.parametrize("way", ["direct", "proxy", "tunnel"])
def test_each_way_carries_text_bytes_and_the_end(client, page, way):
    assert client.connect(way) == way
    client.say("typed in the page")
    expect(client.transcript("received")).to_contain_text("typed in the page")
    client.say("00 ff 10", "hex")
    expect(client.transcript("received").last).to_contain_text("00 ff 10 (3 B binary)")
    row = client.connection()
    assert (row["via"], row["path"].partition("?")[0], row["state"]) == (way, "/echo", "open")
    assert bool(row["altered"]) is (way != "direct")
    client.notebook.screenshot(f"ways-{way}")
    client.say("close 4001")
    code = "1005" if way == "proxy" else "4001"
    expect(client.transcript("status").filter(has_text=f"closed with {code}")).to_have_count(1)
    expect(client.badge).to_have_text("closed")
    row = client.connection()
    assert (row["code"], row["reason"], row["closed_by"]) == (4001, "because", "server")
    names = json.loads(client.notebook.execute("print(json.dumps([frame.name for frame in lab.frames]))"))
    assert names == ["TEXT", "TEXT", "BINARY", "BINARY", "TEXT", "CLOSE", "CLOSE"]


@pytest.mark.parametrize("way", ["direct", "tunnel"])
def test_the_pages_own_close_arrives(client, way):
    client.connect(way)
    client.view.get_by_role("button", name="Disconnect").click()
    expect(client.badge).to_have_text("closed")
    row = client.connection()
    assert (row["code"], row["reason"], row["closed_by"]) == (1000, "closed by the page", "client")


def test_without_a_choice_it_is_the_first_that_works(client, page):
    assert client.connect() == "direct"
    client.view.get_by_role("button", name="Disconnect").click()
    expect(client.badge).to_have_text("closed")

    block(page, rf"^http://127\.0\.0\.1:{client.port()}/")
    assert client.connect() == "proxy"
    expect(client.transcript("status").filter(has_text="not direct: Nothing answers there.")).to_have_count(1)
    expect(client.transcript("status").filter(has_text="The proxy alters what passes.")).to_have_count(1)
    client.view.get_by_role("button", name="Disconnect").click()
    expect(client.badge).to_have_text("closed")

    block(page, rf"/proxy/{client.port()}/")
    assert client.connect() == "tunnel"
    expect(client.transcript("status").filter(has_text="not proxy: Nothing answers there.")).to_have_count(1)
    client.say("through the comm")
    expect(client.transcript("received").last).to_contain_text("through the comm")
    client.notebook.screenshot("ways-found", client.view)
    assert [error for error in page.console_errors if "ERR_FAILED" not in error] == []
    page.watch.forgive()


def test_a_refusal_is_told_and_asked_for_once(client):
    client.view.get_by_label("Path", exact=True).fill("/nowhere")
    client.view.get_by_label("Way to the lab").select_option("tunnel")
    client.view.get_by_role("button", name="Connect").click()
    expect(client.transcript("failed")).to_contain_text("HTTP 404")
    assert client.notebook.execute("print(len(lab.connections))").strip() == "1"


def test_the_tunnel_carries_much_and_loses_nothing(client):
    """More than the window holds, and faster than Jupyter lets single messages through."""
    client.notebook.execute(
        """
@lab.websocket("/many")
async def many(ws: wslab.WebSocket):
    await ws.accept()
    for number in range(5000):
        await ws.send_text(f"number {number} " + "x" * 500)
    await ws.receive_text()
"""
    )
    client.connect("tunnel", "/many")
    expect(client.transcript("received").last).to_contain_text("number 4999 ")
    statuses = client.transcript("status").count()
    rows, dropped = (int(client.view.get_attribute(f"data-{name}")) for name in ("rows", "dropped"))
    assert rows + dropped >= 5000 + statuses
    client.say("thank you")
    expect(client.transcript("status").last).to_contain_text("closed with 1000")


def test_a_restarted_kernel_ends_the_tunnel_with_1006(client, page):
    client.connect("tunnel")
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.evaluate(f"() => {kernel}.restart().then(() => null)")
    expect(client.transcript("status").filter(has_text="closed with 1006")).to_have_count(1)
    expect(client.badge).to_have_text("closed")


def test_a_lab_without_a_port_is_reached_by_the_tunnel(notebook):
    nb = notebook(LAB.replace("await lab.start()\n", "_client = await lab.connect('/echo', via='memory')\n"))
    nb.run_all()
    assert nb.errors() == []
    client = Client(nb)
    assert client.connect() == "tunnel"
    client.say("no port at all")
    expect(client.transcript("received")).to_contain_text("no port at all")
    assert client.connection()["via"] == "tunnel"
    expect(client.transcript("status").filter(has_text="not direct: The lab has no port")).to_have_count(1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_a_way_alters_is_shown_in_the_table(client, theme):
    client.notebook.set_theme(theme)
    client.connect("proxy")
    table = client.notebook.output(1).locator("[data-view=connections]")
    cell = table.locator("tr[data-id] .wslab-altered")
    expect(cell).to_have_text("proxy")
    expect(cell).to_have_attribute("title", re.compile("1005"))
    client.notebook.screenshot(f"ways-table-{theme}", table)
