"""The specification's connection manager, mended.

What was wrong in it:

* `broadcast` removed from the list that it iterated over: the member after a broken one got nothing.
* A bare `except` took every error for a broken connection, the cancellation of a server that stops included.
* `disconnect` raised ValueError for a member that a broadcast had removed already.
* The first broadcast stood before the `try`: a member that left during it stayed in the list for ever.
* Only a WebSocketDisconnect ended the membership: any other error left the member in the list.
* `json` was imported and never used.

What is still simple about it: a member that does not read makes the others wait.
"""

from wslab.asgi import App, WebSocket, WebSocketDisconnect

app = App()


class ConnectionManager:
    def __init__(self):
        self.active_connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket):
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket):
        if websocket in self.active_connections:
            self.active_connections.remove(websocket)

    async def send_personal_message(self, message: str, websocket: WebSocket):
        await websocket.send_text(message)

    async def broadcast(self, message: str):
        for connection in list(self.active_connections):
            try:
                await connection.send_text(message)
            except (WebSocketDisconnect, RuntimeError):  # the client has left, or it was closed from here
                self.disconnect(connection)


manager = ConnectionManager()


@app.websocket("/ws/{client_id}")
async def websocket_endpoint(websocket: WebSocket, client_id: str):
    await manager.connect(websocket)
    try:
        await manager.broadcast(f"Client #{client_id} joined the chat")
        while True:
            data = await websocket.receive_text()
            await manager.broadcast(f"Client #{client_id}: {data}")
    except WebSocketDisconnect:
        pass
    finally:
        manager.disconnect(websocket)
        await manager.broadcast(f"Client #{client_id} left the chat")
