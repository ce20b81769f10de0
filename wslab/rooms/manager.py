"""Everybody who is connected: one room, without the announcements."""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket  # noqa: TC002 - endpoints may ask for the hints

from wslab.rooms.outbox import Policy  # noqa: TC001 - likewise
from wslab.rooms.rooms import RoomManager

__all__ = ["ConnectionManager"]


class ConnectionManager:
    """Keeps the open connections and sends to all of them.

    Connections come in their own event loop. The other methods may be called from another thread's loop as
    well, as a cell does with ``Lab(loop="thread")``: they are carried over.

    Args:
        policy: what happens to a connection whose outbox is full: ``"disconnect"`` closes it with 1013
            ("slow consumer"); ``"drop_oldest"`` drops what it has waited for longest.
        limit: how many messages may wait for one connection.
        name: what a lab's journal and views call this group.

    Raises:
        RoomError: an argument is out of range.

    Example:
        ::

            manager = ConnectionManager()

            @app.websocket("/ws/{client_id}")
            async def chat(ws: WebSocket, client_id: str):
                await manager.connect(ws)
                try:
                    while True:
                        await manager.broadcast(f"{client_id}: {await ws.receive_text()}")
                except WebSocketDisconnect:
                    manager.disconnect(ws)
                    await manager.broadcast(f"{client_id} left the chat")
    """

    def __init__(self, policy: Policy = "disconnect", limit: int = 64, *, name: str = "all") -> None:
        self._name = name
        self._rooms = RoomManager(policy, limit, announce=False)

    @property
    def active_connections(self) -> list[WebSocket]:
        """The open connections in the order of arrival, in a list of the caller's own."""
        return list(self._rooms.members(self._name))

    async def connect(self, ws: WebSocket) -> None:
        """Take `ws` in, accepting the connection first where that has not been done.

        Raises:
            WebSocketDisconnect: the connection is closed.
        """
        await self._rooms.join_room(ws, self._name)

    def disconnect(self, ws: WebSocket) -> None:
        """Forget `ws` without closing it; harmless when it is not known.

        What it was sent before is still delivered.
        """
        self._rooms.leave_room(ws)

    async def send_personal_message(self, message: Any, ws: WebSocket) -> None:
        """Send to one connection, in turn with the broadcasts.

        Args:
            message: str, bytes or what JSON can hold.
            ws: the connection.

        Raises:
            RoomError: the message cannot be encoded.
            WebSocketDisconnect: the connection is closed.
        """
        await self._rooms.send_personal_message(message, ws)

    async def broadcast(self, message: Any, exclude: WebSocket | None = None) -> int:
        """Hand a message to every connection; encoded once, and nobody is waited for.

        A connection that cannot be sent to any more is forgotten, without harm to the others.

        Args:
            message: str, bytes or what JSON can hold.
            exclude: a connection to leave out, such as the author's.

        Returns:
            How many connections it was handed to.

        Raises:
            RoomError: the message cannot be encoded.
        """
        return await self._rooms.broadcast_to_room(self._name, message, exclude)

    def __repr__(self) -> str:
        active = len(self.active_connections)
        return f"<ConnectionManager {self._name!r}: {active} active connection{'s' * (active != 1)}>"
