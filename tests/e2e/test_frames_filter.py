"""The display filter of the frames view, in a real JupyterLab: what narrows, what follows, what is wrong."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

HOSTILE = "<img src=x onerror=\"console.error('pwned')\">"

VIEW = """
import asyncio, json
from wslab.widgets.frames import FramesView
from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame

recorder = Recorder(frames=131_072)
table = ConnectionTable(recorder)
connection = table.open("127.0.0.1:50000")

def say(number, kind="chat"):
    text = json.dumps({"type": kind, "n": number})
    connection.received.feed(encode_frame(1, text.encode(), mask=b"abcd"))

for number in range(40):
    say(number, "chat" if number % 4 == 0 else "noise")
connection.sent.feed(encode_frame(9, b"are you there?"))
view = FramesView(FrameTable(recorder))
view
"""


class Frames:
    """One rendering of the view."""

    def __init__(self, notebook, cell=0):
        self.notebook = notebook
        self.root = notebook.output(cell).locator("[data-view=frames]")
        self.box = self.root.get_by_label("Filter", exact=True)
        self.rows = self.root.locator(".wslab-frames-row[data-seq]:visible")
        self.status = self.root.locator(".wslab-bar > [role=status]").first
        self.note = self.root.locator(".wslab-filter-note")

    def filter(self, text):
        self.box.fill(text)
        self.box.press("Enter")

    def payloads(self):
        return self.rows.locator(":nth-child(7)").all_inner_texts()


@pytest.fixture
def frames(notebook):
    nb = notebook(VIEW)
    nb.run_all()
    assert nb.errors() == []
    shown = Frames(nb)
    expect(shown.root).to_have_attribute("data-rows", "41")
    return shown


def test_a_filter_narrows_and_clearing_restores(frames):
    frames.filter('json.type=="chat" && json.n>=20')
    expect(frames.rows).to_have_count(5)
    expect(frames.status).to_have_text("5 of 41 frames")
    assert '"n": 20' in frames.payloads()[0]
    frames.filter("opcode==ping")
    expect(frames.rows).to_have_count(1)
    frames.box.press("Escape")
    expect(frames.root).to_have_attribute("data-rows", "41")
    expect(frames.status).to_have_text("41 frames")
    expect(frames.box).to_have_value("")


def test_it_joins_the_quick_filters_which_need_no_kernel(frames):
    frames.filter('json.type=="chat"')
    expect(frames.root).to_have_attribute("data-rows", "10")
    frames.root.get_by_label("Search the payload's first bytes").fill('"n": 2')
    expect(frames.rows).to_have_count(3)  # of 20, 24 and 28
    frames.root.get_by_label("Direction").select_option("out")
    expect(frames.rows).to_have_count(0)
    expect(frames.root).to_contain_text("No frame matches.")


def test_new_frames_that_pass_appear_and_others_do_not(frames):
    frames.filter('json.type=="chat" && json.n>=100')
    expect(frames.status).to_have_text("0 of 41 frames")
    frames.notebook.execute("for n in range(100, 110): say(n); say(n, 'noise')")
    expect(frames.rows).to_have_count(10)
    expect(frames.status).to_have_text("10 of 61 frames")
    frames.root.get_by_role("button", name="Pause").click()
    frames.notebook.execute("say(110)")
    expect(frames.status).to_have_text("10 of 61 frames · paused, 1 new")
    frames.root.get_by_role("button", name="Resume").click()
    expect(frames.rows).to_have_count(11)


def test_a_wrong_filter_says_where_and_leaves_the_one_before_in_force(frames):
    frames.filter("opcode==ping")
    expect(frames.rows).to_have_count(1)
    frames.filter('opcode==ping && len=="x"')
    expect(frames.box).to_have_attribute("aria-invalid", "true")
    expect(frames.note).to_contain_text("Expected a number for len, got the text 'x'.")
    expect(frames.note.locator("mark")).to_have_text('"x"')
    selected = frames.box.evaluate("(box) => box.value.slice(box.selectionStart, box.selectionEnd)")
    assert selected == '"x"'
    expect(frames.note).to_contain_text("Still in force: opcode==ping")
    expect(frames.rows).to_have_count(1)
    frames.box.press("End")
    frames.box.press("Backspace")
    expect(frames.box).not_to_have_attribute("aria-invalid", "true")
    frames.box.press("Escape")
    expect(frames.root).to_have_attribute("data-rows", "41")


def test_characters_of_two_units_before_a_mistake_do_not_move_it(frames):
    frames.filter('text=="😀😀" && nonsense==1')
    expect(frames.note.locator("mark")).to_have_text("nonsense")
    expect(frames.note).to_contain_text("At character 15")


def test_arrow_up_recalls_what_was_applied_before(frames):
    for text in ("opcode==ping", "len>100"):
        frames.filter(text)
    frames.box.fill("half a fil")
    for key, value in [
        ("ArrowUp", "len>100"),
        ("ArrowUp", "opcode==ping"),
        ("ArrowUp", "opcode==ping"),
        ("ArrowDown", "len>100"),
        ("ArrowDown", "half a fil"),
    ]:
        frames.box.press(key)
        expect(frames.box).to_have_value(value)


def test_what_a_filter_may_name_is_looked_up_and_put_into_the_box(frames, page):
    button = frames.root.get_by_role("button", name="What a display filter may name")
    button.click()
    panel = frames.root.get_by_role("region", name="What a display filter may name")
    expect(panel).to_contain_text("the opcode, by name or number")
    panel.get_by_role("button", name="Put opcode into the filter", exact=True).click()
    expect(frames.box).to_be_focused()
    page.keyboard.type("==ping &&")
    panel.get_by_role("button", name="Put len into the filter", exact=True).click()
    page.keyboard.type(">3")
    page.keyboard.press("Enter")
    expect(frames.root).to_have_attribute("data-filter", "opcode==ping && len>3")
    expect(frames.rows).to_have_count(1)
    panel.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()


def test_a_frame_to_a_whole_room_is_one_row_and_belongs_to_every_member(frames):
    frames.notebook.execute(
        """
members = [table.open(f"127.0.0.1:{port}") for port in (50001, 50002, 50003)]
frame = encode_frame(1, b"to all")
members[0].sent.feed(frame)
assert all(recorder.share(member.number, frame) for member in members[1:])
"""
    )
    frames.filter("conn==c4")
    expect(frames.rows).to_have_count(1)
    expect(frames.rows.first).to_contain_text("c2 +2")
    frames.box.press("Escape")
    connection = frames.root.get_by_label("Connection, such as c3")
    connection.fill("c3")
    expect(frames.rows).to_have_count(1)
    frames.rows.first.click()
    expect(frames.root.locator("[data-fact=members]")).to_have_text("Sent to 3 connections at once: c2 c3 c4")
    connection.fill("c5")
    expect(frames.rows).to_have_count(0)


def test_hostile_text_in_a_filter_and_its_error_is_text(frames, page):
    for text in (HOSTILE, f"len=={HOSTILE}", f"nope.{HOSTILE}\u202e", f'json["{HOSTILE}"]==='):
        frames.filter(text)
        expect(frames.box).to_have_attribute("aria-invalid", "true")
        expect(frames.note).to_contain_text("✗")
    assert page.locator("img[src='x']").count() == 0
    assert "\u202e" not in frames.note.inner_text()


def test_two_renderings_have_filters_of_their_own_which_survive_a_reload_of_neither(frames):
    frames.notebook.command("notebook:insert-cell-below")
    frames.notebook.page.keyboard.press("Enter")
    frames.notebook.page.keyboard.insert_text("view")
    frames.notebook.command("notebook:run-cell")
    second = Frames(frames.notebook, 1)
    expect(second.root).to_have_attribute("data-rows", "41")
    frames.filter("opcode==ping")
    second.filter("json.n<4")
    expect(frames.rows).to_have_count(1)
    expect(second.rows).to_have_count(4)
    second.box.press("Escape")
    expect(second.root).to_have_attribute("data-rows", "41")
    expect(frames.rows).to_have_count(1)
    # another page says hello: the kernel starts over, and a page that is still there goes on
    frames.notebook.execute(
        "view._dispatch({'t': 'hello'}, [])\nconnection.sent.feed(encode_frame(9, b'again'))"
    )
    expect(frames.rows).to_have_count(2)
    expect(frames.status).to_have_text("2 of 42 frames")


def test_it_keeps_up_while_5000_frames_a_second_come_in(frames):
    frames.notebook.execute(
        """
async def flood():
    turn = asyncio.get_running_loop().time()
    for n in range(1_000, 26_000, 250):
        for number in range(n, n + 250):
            say(number, "chat" if number % 100 == 0 else "noise")
        turn += 0.05
        await asyncio.sleep(turn - asyncio.get_running_loop().time())
flooding = asyncio.get_running_loop().create_task(flood())
"""
    )
    frames.filter('json.type=="chat" && json.n>=1000')
    expect(frames.root).to_have_attribute("data-filter", 'json.type=="chat" && json.n>=1000')
    frames.filter("json.n in {2000, 25900, 25999}")
    frames.notebook.execute("await flooding")
    expect(frames.status).to_have_text("3 of 25,041 frames")
    frames.filter('json.type=="chat" && json.n>=1000')
    expect(frames.status).to_have_text("250 of 25,041 frames")
    assert '"n": 25900' in frames.payloads()[-1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_looks_its_part(frames, page, theme):
    nb = frames.notebook
    nb.hide_inputs()
    nb.set_theme(theme)
    for width in (1280, 1024):
        page.set_viewport_size({"width": width, "height": 800})
        frames.filter('json.type=="chat"')
        expect(frames.root).to_have_attribute("data-rows", "10")
        nb.screenshot(f"frames-filter-{theme}-{width}", frames.root)
        frames.filter('json.type=="chat" && lenght>12')
        expect(frames.box).to_have_attribute("aria-invalid", "true")
        found = Axe().run(page, context="[data-view=frames]")
        assert found.violations_count == 0, found.generate_report()
        nb.screenshot(f"frames-filter-wrong-{theme}-{width}", frames.root)
    frames.root.get_by_role("button", name="What a display filter may name").click()
    expect(frames.root.get_by_role("region", name="What a display filter may name")).to_contain_text("json")
    found = Axe().run(page, context="[data-view=frames]")
    assert found.violations_count == 0, found.generate_report()
    nb.screenshot(f"frames-filter-fields-{theme}", frames.root)
