"""An echo server with permessage-deflate in a process of its own: it says its port."""

from __future__ import annotations

import asyncio

from wslab import App, Lab, WebSocket

app = App()


@app.websocket("/echo")
async def echo(ws: WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


async def main():
    lab = Lab(app, ws="wslab", deflate=True)
    await lab.start()
    print(lab.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
