"""One frame's detail in a real JupyterLab: its message, the line that took it, its bits, both themes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.e2e.test_frames_filter import Frames

pytestmark = pytest.mark.e2e

LAB = """\
import json, websockets
from wslab import Lab
from wslab.wire import encode_frame

lab = Lab(deflate=True)

@lab.websocket("/echo")
async def echo(ws):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(json.dumps({"said": text}) + " " * 2000)

await lab.start()
client = await lab.connect("/echo")
await client.send("hello")
await client.receive()
plain = await lab.connect("/echo", raw=True)
for data in (
    encode_frame(1, b"Hel", fin=False, mask=b"abcd"),
    encode_frame(0, b"lo, ", fin=False, mask=b"abcd"),
    encode_frame(0, b"fragments", mask=b"abcd"),
):
    await plain.send_bytes(data)
packing = await websockets.connect(lab.url("/echo"), proxy=None)
await packing.send("squeeze")
await packing.recv()
lab.views.frames
"""


@pytest.fixture
def frames(notebook):
    nb = notebook(LAB)
    nb.run_all()
    assert nb.errors() == []
    return Frames(nb)


def opened(frames, text):
    """The detail of the first frame that passes a filter."""
    frames.filter(text)
    expect(frames.root).to_have_attribute("data-filter", text)
    frames.rows.first.click()
    return frames.root.get_by_role("region", name="Frame detail")


def test_a_fragment_shows_its_message_the_other_parts_and_the_line_that_received_it(frames):
    detail = opened(frames, 'text=="Hello, fragments" && !fin && opcode==0')
    message = detail.locator(".wslab-message")
    expect(message).to_contain_text("Part 2 of 3 of a TEXT message: 16 bytes.")
    expect(message.locator("pre")).to_have_text("Hello, fragments")
    expect(message.locator("[data-fact=line]")).to_contain_text("In[1], line 10 in echo")
    seq = int(frames.root.get_attribute("data-seq"))
    message.get_by_role("button", name=f"Go to frame #{seq + 1}").click()
    expect(message).to_contain_text("Part 3 of 3")
    expect(frames.root).to_have_attribute("data-seq", str(seq + 1))


def test_a_compressed_frame_is_inflated(frames):
    detail = opened(frames, 'json.said=="squeeze" && dir==out')
    message = detail.locator(".wslab-message")
    expect(message).to_contain_text("All of a TEXT message, inflated:")
    expect(message).to_contain_text("→ 2,019 bytes.")
    expect(message.locator("pre")).to_contain_text('"said": "squeeze"')
    expect(detail.locator("[data-fact=line]")).to_have_text("Sent by In[1], line 11 in echo")


def test_the_answer_is_named_and_one_click_away(frames):
    frames.notebook.execute("await client.ping()")
    detail = opened(frames, "opcode==ping")
    fact = detail.locator("[data-fact=exchange]")
    expect(fact).to_contain_text("Answered by #")
    frames.box.press("Escape")
    fact.get_by_role("button").click()
    expect(detail.locator(".wslab-detail-title")).to_contain_text("PONG")
    expect(fact).to_contain_text("Answers #")


def test_the_labs_own_client_shows_both_clocks(frames):
    detail = opened(frames, 'text=="hello" && dir==in')
    expect(detail.locator("[data-fact=sent]")).to_contain_text("before it was read")


def test_the_handshake_is_explained_header_by_header(frames):
    detail = opened(frames, "seq==0")
    detail.locator("summary", has_text="Handshake").click()
    row = detail.locator("tr").filter(has_text="key + GUID")
    expect(row).to_contain_text("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_looks_its_part(frames, page, theme):
    nb = frames.notebook
    nb.hide_inputs()
    nb.set_theme(theme)
    for width in (1280, 1024):
        page.set_viewport_size({"width": width, "height": 900})
        for name, text in (("fragment", "opcode==0"), ("compressed", "rsv1 && dir==out")):
            detail = opened(frames, text)
            expect(detail.locator(".wslab-message")).to_contain_text("of a TEXT message")
            if name == "fragment":
                for part in detail.locator("details > summary").all():
                    if part.evaluate("(summary) => !summary.parentElement.open"):
                        part.click()
            found = Axe().run(page, context="[data-view=frames]")
            assert found.violations_count == 0, found.generate_report()
            height = detail.evaluate("(node) => (node.style.maxHeight = 'none', node.scrollHeight)")
            assert height > 100
            nb.screenshot(f"frames-detail-{name}-{theme}-{width}", frames.root)
            detail.evaluate("(node) => (node.style.maxHeight = '')")
