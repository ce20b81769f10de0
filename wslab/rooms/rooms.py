"""Rooms: named groups of connections, and messages for everybody in one.

Theory of operation. Membership changes only between two awaits, never across one, so it is whole whatever is
cancelled and whichever task runs next. Nobody waits for a member: each has an `Outbox`, and a member that
cannot be sent to, or is too slow, leaves all its rooms without harm to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from wslab.errors import RoomError
from wslab.events import Event, MemberJoined, MemberLeft, MessageDropped, RoomBroadcast
from wslab.journal import Journal, lab_extension
from wslab.rooms.accept import ensure_accepted, is_closed
from wslab.rooms.message import Encoded, encode
from wslab.rooms.outbox import Outbox, Policy, check_limits

__all__ = ["MAX_NAME_LENGTH", "RoomManager"]

MAX_NAME_LENGTH = 128
"""How many characters a room's id, or a member's name, may have: both often come from a client."""


class RoomManager:
    """Puts connections into rooms and sends to all of one room.

    Members join in the event loop of their connections. The other methods may be called from another
    thread's loop as well, as a cell does with ``Lab(loop="thread")``: they are carried over.

    Args:
        policy: what happens to a member whose outbox is full: ``"disconnect"`` closes its connection with
            1013 ("slow consumer"); ``"drop_oldest"`` drops what it has waited for longest.
        limit: how many messages may wait for one member.
        announce: whether the others in a room are sent ``user_joined`` and ``user_left`` messages.
        close_timeout: seconds that closing a slow member may take.

    Raises:
        RoomError: `policy` or `limit` is out of range.

    Example:
        ::

            rooms = RoomManager()

            @app.websocket("/room/{room_id}")
            async def room(ws: WebSocket, room_id: str):
                await rooms.join_room(ws, room_id)
                try:
                    async for text in ws.iter_text():
                        await rooms.broadcast_to_room(room_id, {"type": "message", "content": text})
                finally:
                    rooms.leave_room(ws)
    """

    def __init__(
        self,
        policy: Policy = "disconnect",
        limit: int = 64,
        *,
        announce: bool = True,
        close_timeout: float = 2.0,
    ) -> None:
        check_limits(limit, policy)
        self._policy = policy
        self._limit = limit
        self._announce = announce
        self._close_timeout = close_timeout
        # Dicts rather than sets: they keep the order of joining. The values are the members' names.
        self._rooms: dict[str, dict[WebSocket, str | None]] = {}
        self._rooms_of: dict[WebSocket, dict[str, None]] = {}
        # Of the members, and of those that left while something was still being sent to them.
        self._outboxes: dict[WebSocket, Outbox] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # of whoever joined last, and so of all

    @property
    def rooms(self) -> Mapping[str, frozenset[WebSocket]]:
        """The members of each room, as a live, read-only view."""
        return _RoomsView(self._rooms)

    def members(self, room_id: str) -> tuple[WebSocket, ...]:
        """The members of a room in the order of joining; none for a room that does not exist."""
        return tuple(self._rooms.get(room_id, ()))

    def rooms_of(self, ws: WebSocket) -> tuple[str, ...]:
        """The rooms `ws` is in, in the order of joining."""
        return tuple(self._rooms_of.get(ws, ()))

    async def join_room(self, ws: WebSocket, room_id: str, *, name: str | None = None) -> None:
        """Make `ws` a member, accepting the connection first where that has not been done.

        The other members are sent ``{"type": "user_joined", "room_id", "member_count"}``, with ``"name"``
        where one is given. A connection may be in several rooms; joining a room again changes nothing.

        Args:
            ws: the connection.
            room_id: at most 128 characters.
            name: the member's name for the others, at most 128 characters.

        Raises:
            RoomError: `room_id` or `name` is no str, or too long.
            WebSocketDisconnect: the connection is closed.
        """
        _check_name("a room id", room_id)
        if name is not None:
            _check_name("a member's name", name)
        await ensure_accepted(ws)
        room = self._rooms.setdefault(room_id, {})
        if ws in room:
            return
        room[ws] = name
        self._rooms_of.setdefault(ws, {})[room_id] = None
        self._open_outbox(ws)
        self._publish(ws, MemberJoined, room=room_id, members=len(room))
        self._tell_others(ws, "user_joined", room_id, name)

    def leave_room(self, ws: WebSocket, room_id: str | None = None) -> None:
        """End the membership of `ws` in one room, or in all.

        The remaining members are sent ``user_left``, in the form of ``user_joined``. What was sent to `ws`
        before is still delivered. Leaving a room that `ws` is not in changes nothing.

        Args:
            ws: the connection.
            room_id: which room; all of them when left out.
        """
        home = self._home()
        if home is not None:
            home.call_soon_threadsafe(self.leave_room, ws, room_id)
            return
        left = self.rooms_of(ws) if room_id is None else (room_id,)
        # All ends before anybody is told, so that who is told sees no half-left member.
        names = {
            room_id: self._remove(ws, room_id) for room_id in left if room_id in self._rooms_of.get(ws, ())
        }
        if names and ws not in self._rooms_of:
            self._retire_outbox(ws)
        for left_id, name in names.items():
            members = len(self._rooms.get(left_id, ()))
            self._publish(ws, MemberLeft, room=left_id, members=members)
            self._tell_others(ws, "user_left", left_id, name)

    async def broadcast_to_room(self, room_id: str, message: Any, exclude: WebSocket | None = None) -> int:
        """Hand a message to every member of a room; a room that does not exist has none.

        The message is encoded once. No member is waited for, but the event loop gets one turn, so that a
        loop of broadcasts cannot outrun members that keep up.

        Args:
            room_id: which room.
            message: str, bytes or what JSON can hold.
            exclude: a member to leave out, such as the author.

        Returns:
            How many members it was handed to.

        Raises:
            RoomError: the message cannot be encoded.
        """
        home = self._home()
        if home is not None:
            there = self.broadcast_to_room(room_id, message, exclude)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there, home))
        handed = self._put(room_id, encode(message), exclude)
        for journal, members in _by_journal(handed):
            journal.publish(RoomBroadcast(room=room_id, members=members))
        await asyncio.sleep(0)
        return len(handed)

    async def send_personal_message(self, message: Any, ws: WebSocket) -> None:
        """Send to one connection: a member's message takes its turn behind what it was sent before.

        Args:
            message: str, bytes or what JSON can hold.
            ws: a member; or any accepted connection, which is then sent to directly.

        Raises:
            RoomError: the message cannot be encoded.
            WebSocketDisconnect: the connection is closed.
        """
        home = self._home()
        if home is not None:
            there = self.send_personal_message(message, ws)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there, home))
            return
        kind, payload = encode(message)
        outbox = self._outboxes.get(ws)
        if outbox is not None and not outbox.ended:
            outbox.put(kind, payload)
            await asyncio.sleep(0)
            return
        if is_closed(ws) or outbox is not None:
            raise WebSocketDisconnect(1006, "the connection is closed")
        await ws.send({"type": "websocket.send", kind: payload})

    def _home(self) -> asyncio.AbstractEventLoop | None:
        """The members' loop, which has to do what concerns them; None where it is this one, or has ended."""
        loop = self._loop
        return loop if loop is not None and loop is not _running_loop() and loop.is_running() else None

    def _remove(self, ws: WebSocket, room_id: str) -> str | None:
        room, rooms = self._rooms[room_id], self._rooms_of[ws]
        name = room.pop(ws)
        del rooms[room_id]
        if not room:
            del self._rooms[room_id]
        if not rooms:
            del self._rooms_of[ws]
        return name

    def _put(self, room_id: str, message: Encoded, exclude: WebSocket | None) -> list[WebSocket]:
        kind, payload = message
        frame = None  # made for the first member that takes it, and shared by all
        taken = []
        for ws in self._rooms.get(room_id, ()):
            if ws is exclude:
                continue
            outbox = self._outboxes[ws]
            if frame is None and outbox.sink is not None:
                frame = message.frame()
            if outbox.put(kind, payload, room_id, frame):
                taken.append(ws)
        return taken

    def _tell_others(self, ws: WebSocket, what: str, room_id: str, name: str | None) -> None:
        room = self._rooms.get(room_id)
        if not self._announce or not room:
            return
        message: dict[str, Any] = {"type": what, "room_id": room_id, "member_count": len(room)}
        if name is not None:
            message["name"] = name
        self._put(room_id, encode(message), ws)

    def _open_outbox(self, ws: WebSocket) -> None:
        outbox = self._outboxes.get(ws)
        if outbox is not None and not outbox.ended:
            outbox.resume()  # it came back before it had been sent all
            return
        lab = lab_extension(ws.scope)
        self._loop = asyncio.get_running_loop()
        self._outboxes[ws] = Outbox(
            ws,
            limit=self._limit,
            policy=self._policy,
            close_timeout=self._close_timeout,
            on_overflow=partial(self._dropped, ws),
            on_end=partial(self._gone, ws),
            name=lab.connection if lab else "",
        )

    def _retire_outbox(self, ws: WebSocket) -> None:
        outbox = self._outboxes[ws]
        sending = outbox.finish()
        if sending is None:
            del self._outboxes[ws]
        else:
            sending.add_done_callback(partial(self._forget, ws, outbox))

    def _forget(self, ws: WebSocket, outbox: Outbox, _: asyncio.Task[None]) -> None:
        if ws not in self._rooms_of and self._outboxes.get(ws) is outbox and outbox.idle:
            del self._outboxes[ws]

    def _gone(self, ws: WebSocket, _: Exception | None) -> None:
        self.leave_room(ws)

    def _dropped(self, ws: WebSocket, lost: Mapping[str, int]) -> None:
        for room_id, count in lost.items():
            self._publish(ws, MessageDropped, room=room_id, count=count, policy=self._policy)

    @staticmethod
    def _publish(ws: WebSocket, event: type[Event], **fields: Any) -> None:
        lab = lab_extension(ws.scope)
        if lab is not None:
            lab.journal.publish(event(connection=lab.connection, **fields))

    def __repr__(self) -> str:
        rooms, members = len(self._rooms), len(self._rooms_of)
        return (
            f"<RoomManager: {rooms} room{'s' * (rooms != 1)}, {members} member{'s' * (members != 1)}, "
            f"at most {self._limit} messages waiting for each, then {self._policy}>"
        )


class _RoomsView(Mapping[str, frozenset[WebSocket]]):
    def __init__(self, rooms: Mapping[str, Mapping[WebSocket, object]]) -> None:
        self._rooms = rooms

    def __getitem__(self, room_id: str) -> frozenset[WebSocket]:
        return frozenset(self._rooms[room_id])

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._rooms))

    def __len__(self) -> int:
        return len(self._rooms)

    def __repr__(self) -> str:
        rooms = ", ".join(f"{room!r} ({len(members)})" for room, members in self._rooms.items())
        return f"<rooms: {rooms or 'none'}>"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _by_journal(members: list[WebSocket]) -> list[tuple[Journal, int]]:
    counts: dict[int, tuple[Journal, int]] = {}
    for ws in members:
        lab = lab_extension(ws.scope)
        if lab is not None:
            _, count = counts.get(id(lab.journal), (lab.journal, 0))
            counts[id(lab.journal)] = (lab.journal, count + 1)
    return list(counts.values())


def _check_name(what: str, name: object) -> None:
    if isinstance(name, str) and len(name) <= MAX_NAME_LENGTH:
        return
    got = f"{len(name)} characters" if isinstance(name, str) else type(name).__name__
    raise RoomError(
        f"Expected a str of at most {MAX_NAME_LENGTH} characters as {what}, got {got}.",
        remedy="Refuse or shorten what the client sent before joining.",
    )
