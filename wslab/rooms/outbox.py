"""What one member still has to be sent.

Theory of operation. `Outbox.put` never waits. Where the lab's own engine serves, a message that is encoded
already goes to the connection at once, and leaves with all others of this turn of the loop. Otherwise, and
for a client that does not keep up, messages are queued: a drain task takes them to the connection, one after
another, and exists only while there are some. What the member cannot keep up with is bounded by `limit`.
The limit counts while a send is held up: messages that pile up within one turn of the event loop, before
the drain had a chance to run, are nobody's slowness. The end of an outbox is reported from its own task,
never from within `put`, so a broadcast is not changed under its own feet.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from wslab.errors import RoomError
from wslab.journal import lab_extension
from wslab.rooms.accept import is_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Outbox", "Policy"]

Policy = Literal["disconnect", "drop_oldest"]

TRY_AGAIN_LATER = 1013
"""Close code for a member that is too slow (IANA WebSocket Close Code Number Registry)."""


class Outbox:
    """A bounded queue before one connection; made and used in the connection's event loop.

    Args:
        ws: an accepted connection.
        limit: how many messages may wait behind one that is being sent.
        policy: what happens to a message beyond the limit: ``"disconnect"`` closes the connection with
            1013 and drops all that waits; ``"drop_oldest"`` drops the oldest that waits.
        close_timeout: seconds that closing, or finishing, may take.
        on_overflow: told how many messages were dropped, by the room they were for. A steady loss is
            reported once for every `limit` messages.
        on_end: told why no message can be sent any more: the error of the send, or None for a member that
            was too slow.
        name: for people, in the names of tasks.

    Attributes:
        sink: takes frames that are encoded already, where the connection has that; else None.
        dropped: how many messages were dropped so far.
        ended: whether messages are still taken.

    Raises:
        RoomError: `limit` or `policy` is out of range.
    """

    def __init__(
        self,
        ws: WebSocket,
        *,
        limit: int = 64,
        policy: Policy = "disconnect",
        close_timeout: float = 2.0,
        on_overflow: Callable[[Mapping[str, int]], object] | None = None,
        on_end: Callable[[Exception | None], object] | None = None,
        name: str = "",
    ) -> None:
        check_limits(limit, policy)
        self._ws = ws
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._policy = policy
        self._close_timeout = close_timeout
        self._on_overflow = on_overflow
        self._on_end = on_end
        self._name = f"wslab outbox {name}".rstrip()
        lab = lab_extension(ws.scope)
        self.sink = lab.sink if lab is not None else None
        self._queue: deque[tuple[str, Literal["text", "bytes"], str | bytes, bytes | None]] = deque()
        self._lost: Counter[str] = Counter()  # dropped, and not reported yet
        self._reported_any = False
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._held_up = False
        self.dropped = 0
        self.ended = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or under way."""
        # A task that was cancelled before its first step never got to clear the field itself.
        return self._task is None or self._task.done()

    def put(
        self,
        kind: Literal["text", "bytes"],
        payload: str | bytes,
        room: str = "",
        frame: bytes | None = None,
    ) -> bool:
        """Queue a message; never waits and never raises.

        Args:
            kind: the field of the ASGI event, "text" or "bytes".
            payload: of that type.
            room: whom a loss is booked to.
            frame: the same message as the frame that goes on the wire, where there is a `sink`.

        Returns:
            Whether the message was taken.
        """
        if self.ended or self._loop.is_closed():
            return False
        if frame is not None and self._task is None and self.sink is not None:
            if self.sink.write_frame(frame):
                return True
            self._held_up = True  # not the turn of the loop holds it up, but the client
        while self._held_up and len(self._queue) >= self._limit:
            if self._policy == "disconnect":
                self._lost[room] += 1
                self._give_up()
                return False
            self._drop_oldest()
        self._queue.append((room, kind, payload, frame))
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._drain(), name=self._name)
        return True

    async def flush(self) -> None:
        """Wait until nothing is queued or under way; for tests and orderly ends."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    def finish(self) -> asyncio.Task[None] | None:
        """Send what is queued within the close timeout, then end.

        Returns:
            The task that still sends, or None when nothing was left to do.
        """
        if self.idle or is_closed(self._ws):
            self.close()
        elif not self.ended and self._deadline is None:
            self._deadline = self._loop.call_later(self._close_timeout, self.close)
        return None if self.idle else self._task

    def resume(self) -> None:
        """Take back `finish`."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def close(self) -> None:
        """End at once: what is queued is dropped without a report, and the drain is cancelled. Idempotent."""
        self.resume()
        if self.ended:
            return
        self.ended = True
        self._queue.clear()
        if self._task is not None and self._task is not asyncio.current_task(self._loop):
            self._task.cancel()

    async def _drain(self) -> None:
        self._held_up = True  # whenever another task runs from here on, a send waits
        try:
            while self._queue:
                _, kind, payload, frame = self._queue.popleft()
                if is_closed(self._ws):
                    raise WebSocketDisconnect(1006, "the connection is closed")  # noqa: TRY301 - as a send would
                if self.sink is None or frame is None:
                    await self._ws.send({"type": "websocket.send", kind: payload})
                    continue
                while not self.sink.write_frame(frame):
                    await self.sink.drained()
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task, so it reports
            self._loop.call_exception_handler({"message": f"{self._name} failed to send", "exception": error})
            self._fail(error)
        finally:
            self._held_up = False
            if self._task is asyncio.current_task():
                self._task = None
                if self._deadline is not None:
                    self.resume()
        if self._lost:
            self._report()  # last, as whoever is told may put the next message

    def _drop_oldest(self) -> None:
        room = self._queue.popleft()[0]
        self._lost[room] += 1
        self.dropped += 1
        if not self._reported_any or self._lost.total() >= self._limit:
            self._report()

    def _report(self) -> None:
        lost, self._lost = self._lost, Counter()
        if lost and self._on_overflow is not None:
            self._reported_any = True
            self._on_overflow(lost)

    def _fail(self, error: Exception | None) -> None:
        """Nothing can be sent any more. Called from the outbox's own task only."""
        self.ended = True
        self._queue.clear()
        self._report()
        if self._on_end is not None:
            self._on_end(error)

    def _give_up(self) -> None:
        self.ended = True
        self._lost.update(room for room, *_ in self._queue)
        self.dropped += len(self._queue) + 1
        self._queue.clear()
        drain = self._task
        assert drain is not None, "only a send that is held up makes a member slow"
        drain.cancel()
        self._task = self._loop.create_task(self._close_slow(drain), name=f"{self._name} (closing)")

    async def _close_slow(self, drain: asyncio.Task[None]) -> None:
        self._fail(None)
        try:
            async with asyncio.timeout(self._close_timeout):
                await asyncio.wait({drain})
                await self._ws.close(TRY_AGAIN_LATER, "slow consumer")
        except (WebSocketDisconnect, RuntimeError, OSError):  # a TimeoutError is an OSError
            return  # closed already, or as deaf to a close frame as to messages: ASGI offers no more
        except Exception as error:  # noqa: BLE001 - nobody awaits this task, so it reports
            self._loop.call_exception_handler(
                {"message": f"{self._name} failed to close", "exception": error}
            )
        finally:
            self._task = None


def check_limits(limit: int, policy: str) -> None:
    """Refuse a limit below 1 and an unknown policy.

    Raises:
        RoomError: either is the case.
    """
    if limit < 1:
        raise RoomError(
            f"Expected room for at least 1 message, got limit={limit}.",
            remedy="Leave `limit` out, or pass a number above 0.",
        )
    if policy not in {"disconnect", "drop_oldest"}:
        raise RoomError(
            f"Expected the policy 'disconnect' or 'drop_oldest', got {policy!r}.",
            remedy="Use 'disconnect' for messages that must not be missed, 'drop_oldest' for prices.",
        )
