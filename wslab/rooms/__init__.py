"""Who is connected, who is in which room, and one message for all of them.

`ConnectionManager` and `RoomManager` work with the `WebSocket` of Starlette and FastAPI in any ASGI server;
`RoomTable` shows what they do in a lab.
"""

from __future__ import annotations

from wslab.rooms.manager import ConnectionManager
from wslab.rooms.rooms import RoomManager
from wslab.rooms.table import RoomTable

__all__ = ["ConnectionManager", "RoomManager", "RoomTable"]
