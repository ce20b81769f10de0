"""Connections within the process, in a real kernel: prints, interrupts and ends are as with a socket's."""

from __future__ import annotations

import json

import pytest

from tests.kernel.harness import Gate

pytestmark = pytest.mark.kernel

LAB = """
import asyncio, wslab
lab = wslab.Lab(%s)

@lab.websocket("/talk")
async def talk(ws: wslab.WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        if text == "hold":
            block()
        print("said", text)
        await ws.send_text(text)

client = await lab.connect("/talk", via="memory")
await client.send("first")
print(await client.receive(20))
"""

PRINTED = (
    "import json; print(json.dumps([[e.connection, e.text.strip()] "
    "for e in lab.log if type(e).__name__ == 'Printed']))"
)


@pytest.mark.parametrize("options", ["", "ws='wslab'", "loop='thread'"])
def test_prints_reach_the_log_with_their_connection(kernel, options):
    assert "first" in kernel.run(LAB % options).ok().stdout
    kernel.run("await client.send('second'); assert await client.receive(20) == 'second'").ok()
    assert json.loads(kernel.run(PRINTED).ok().stdout) == [["c1", "said first"], ["c1", "said second"]]


def test_an_interrupt_frees_a_kernel_held_by_an_endpoint(kernel):
    kernel.run(LAB % "").ok()
    with Gate() as gate:
        kernel.run(gate.cell("while True: pass").removesuffix("block()")).ok()
        cell = kernel.send("await client.send('hold'); await client.receive(20)")
        gate.wait()
        kernel.interrupt()
        cell.result().raised("ConnectionClosed")
    assert kernel.run("client.closed.code").text == "1011"
