"""A saved HAR file in Chromium's own importer: the Network panel of its developer tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wslab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.e2e

DEVTOOLS = "devtools://devtools/bundled/devtools_app.html"
PREFIX = bytes(range(44))
AGAIN = "again " * 40 + "."
GREETING = '{"type": "chat", "text": "héllo 日本"}'


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """What a lab recorded of a conversation and of a refusal."""
    lab = Lab(loop="thread", deflate=True)

    @lab.websocket("/echo/{name}")
    async def echo(ws, name):
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(f"{name}: {text}")
            await ws.send_bytes(PREFIX + text.encode())

    async def talk():
        async with lab.connect("/echo/ada?shout=1", via="memory") as client:
            for text in (GREETING, AGAIN):
                await client.send(text)
                await client.receive()
                await client.receive()
        with pytest.raises(ConnectionError):
            await lab.connect("/nowhere", via="memory")

    lab.run(talk())
    lab.run(lab.stop())
    path = tmp_path / "session.har"
    lab.save(path)
    return path


@pytest.fixture
def network(browser: Browser) -> Iterator[Page]:
    """The Network panel, which asks nobody for anything."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-US")
    context.set_default_timeout(30_000)
    asked: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = context.new_page()
    page.goto(DEVTOOLS)
    page.get_by_role("tab", name="Network", exact=True).first.click()
    yield page
    context.close()
    assert [
        url for url in asked if not url.startswith(("devtools://devtools/bundled/", "devtools://theme/"))
    ] == []
    assert errors == []


def cells(row: Locator) -> list[str]:
    return [cell.strip() for cell in row.inner_text().split("\t")]


def test_chromium_imports_the_connections_and_their_messages(network: Page, session: Path) -> None:
    with network.expect_file_chooser() as chooser:
        network.get_by_role("button", name="Import HAR file…").click()
    chooser.value.set_files(session)
    echo = network.get_by_role("row").filter(has_text="ada?shout=1")
    assert cells(echo)[1:3] == ["101", "websocket"]
    assert cells(network.get_by_role("row").filter(has_text="nowhere"))[1:3] == ["404", "websocket"]
    echo.get_by_text("ada?shout=1").click()
    network.get_by_role("tab", name="Messages", exact=True).click()
    network.get_by_role("row").filter(has_text="ada: again").wait_for()
    rows = [cells(row)[:2] for row in network.get_by_role("row").all()]
    shown = rows[rows.index(["Data", "Length"]) + 1 :]
    expected = []
    for text in (GREETING, AGAIN):
        size = len(PREFIX) + len(text.encode())
        answer = f"ada: {text}"
        expected += [[text, f"{len(text)}"], [answer, f"{len(answer)}"], ["Binary message", f"{size}\xa0B"]]
    assert shown == expected
