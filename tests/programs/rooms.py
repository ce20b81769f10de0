"""The specification's rooms, mended.

What was wrong in it:

* `asyncio` was not imported: whoever left a room with others in it raised NameError.
* A room that emptied during a broadcast was deleted, and the clean-up after it raised KeyError.
* A broadcast iterated over the set that members join and leave meanwhile: RuntimeError.
* Members whose connection had broken were removed, but their empty room never was.
* A bare `except` took every error for a broken connection, a cancellation included.
* The task that told the others was kept by nobody: it could be collected before it ran.
* Joining broadcast before the `try`, and only WebSocketDisconnect left the room: members stayed for ever
  after any other error, such as a message that was no JSON or no object.
* The time stamp was always the first of January 2023.
* `json` and `List` were imported and never used.

What is still simple about it: a member that does not read makes the others wait.
"""

import json
from datetime import UTC, datetime

from wslab.asgi import App, WebSocket, WebSocketDisconnect

app = App()


class RoomManager:
    def __init__(self):
        self.rooms: dict[str, set[WebSocket]] = {}
        self.websocket_to_room: dict[WebSocket, str] = {}

    async def join_room(self, websocket: WebSocket, room_id: str):
        members = self.rooms.setdefault(room_id, set())
        members.add(websocket)
        self.websocket_to_room[websocket] = room_id
        message = {"type": "user_joined", "room_id": room_id, "member_count": len(members)}
        await self.broadcast_to_room(room_id, message, exclude=websocket)

    async def leave_room(self, websocket: WebSocket):
        room_id = self.websocket_to_room.get(websocket)
        if room_id is None:
            return
        self.remove(websocket)
        message = {"type": "user_left", "room_id": room_id, "member_count": len(self.rooms.get(room_id, ()))}
        await self.broadcast_to_room(room_id, message)

    def remove(self, websocket: WebSocket):
        """Forget a member, and its room when it was the last one; awaits nothing, so nothing intervenes."""
        room_id = self.websocket_to_room.pop(websocket, None)
        members = self.rooms.get(room_id)
        if members is None:
            return
        members.discard(websocket)
        if not members:
            del self.rooms[room_id]

    async def broadcast_to_room(self, room_id: str, message: dict, exclude: WebSocket | None = None):
        for websocket in list(self.rooms.get(room_id, ())):
            if websocket is exclude:
                continue
            try:
                await websocket.send_json(message)
            except (WebSocketDisconnect, RuntimeError):  # the client has left, or it was closed from here
                self.remove(websocket)


room_manager = RoomManager()


@app.websocket("/ws/room/{room_id}")
async def room_websocket(websocket: WebSocket, room_id: str):
    await websocket.accept()
    try:
        await room_manager.join_room(websocket, room_id)
        await websocket.send_json(
            {"type": "welcome", "room_id": room_id, "message": f"Welcome to room {room_id}"}
        )
        while True:
            try:
                data = await websocket.receive_json()
            except (json.JSONDecodeError, KeyError):  # KeyError: a binary message
                data = None
            if not isinstance(data, dict):
                await websocket.send_json({"type": "error", "message": "Message must be a JSON object"})
            elif data.get("type") == "message":
                await room_manager.broadcast_to_room(
                    room_id,
                    {
                        "type": "room_message",
                        "room_id": room_id,
                        "message": data.get("content", ""),
                        "timestamp": datetime.now(UTC).isoformat(),
                    },
                )
            elif data.get("type") == "ping":
                await websocket.send_json({"type": "pong"})
    except WebSocketDisconnect:
        print(f"Client left room {room_id}")
    finally:
        await room_manager.leave_room(websocket)
