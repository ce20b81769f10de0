"""The specification's test client, mended: a program with the tests that belong to it.

What was wrong in it:

* The endpoint was called `test_websocket`, so that pytest took it for a test and looked for its fixture.
* `WebSocketDisconnect` was not imported: a client that left raised NameError.
* The second test blocked the event loop that it ran in: the test client is synchronous.
* The second test asserted what could not fail: a received message is never None.
"""

import json

from wslab.asgi import App, WebSocket, WebSocketDisconnect
from wslab.asgi.testclient import TestClient

app = App()


@app.websocket("/ws/test")
async def upper(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            data = await websocket.receive_text()
            await websocket.send_text(data.upper())
    except WebSocketDisconnect:
        pass


def test_websocket_echo():
    client = TestClient(app)
    with client.websocket_connect("/ws/test") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "HELLO"
        websocket.send_text("world")
        assert websocket.receive_text() == "WORLD"


def test_websocket_json():
    client = TestClient(app)
    with client.websocket_connect("/ws/test") as websocket:
        websocket.send_json({"message": "test"})
        assert json.loads(websocket.receive_text()) == {"MESSAGE": "TEST"}
