"""Lines of cells: a message names the cell that its endpoint was defined in."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.kernel

DEFINED = """import wslab
lab = wslab.Lab()

@lab.websocket("/echo")
async def echo(ws):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text + "!")
"""

TALKED = """
async with lab.connect("/echo", via="memory") as client:
    await client.send("hi")
    await client.receive()
"""

ASKED = """
import json
print(json.dumps([[message.text, str(message.site)] for message in lab.frames.messages()]))
"""


def test_a_message_names_the_cell_and_line_that_received_or_sent_it(kernel):
    kernel.run("1 + 1").ok()
    kernel.run(DEFINED).ok()
    kernel.run(TALKED).ok()
    assert json.loads(kernel.run(ASKED).ok().stdout) == [
        ["hi", "In[2], line 7, in echo"],
        ["hi!", "In[2], line 8, in echo"],
    ]


def test_a_cell_run_again_is_the_one_that_is_named(kernel):
    kernel.run(DEFINED).ok()
    kernel.run(DEFINED.replace("!", "?")).ok()
    kernel.run(TALKED).ok()
    messages = json.loads(kernel.run(ASKED).ok().stdout)
    assert messages[-1] == ["hi?", "In[2], line 8, in echo"]
