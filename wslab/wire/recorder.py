"""The recorder: a ring of frames as they were on the wire, parsed when somebody looks.

Theory of operation. One thread writes (the event loop's), any thread may read. A record is a plain
tuple, appended in O(1) without a lock: storing a list item is atomic, and a reader looks whether the
record has gone meanwhile after it has copied it. Two bounds hold at all times: the number of frames, and the
bytes held (`budget`); the oldest record goes first. A frame longer than `snaplen` is kept up to there, and
says so when it is parsed, since its record also has the length it had on the wire.

Sequence numbers never repeat: a reader that remembers the last one it saw knows what it missed.

A received frame is recorded when the loop read it, a sent one when it was handed to the connection: one that
was still waiting for the network when the connection was cut is there as well. A frame that a room sends to
many members is one record, as long as nothing else is recorded between them.

In the ring a record names its connection by number. A tuple of numbers and bytes is of no interest to
Python's garbage collector, which would otherwise look through the whole ring, some milliseconds each time,
with the kernel's loop standing still. Readers get the connections themselves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from time import time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wslab.wire.connection import Connection
    from wslab.wire.sites import Site, Sites

__all__ = ["NUMBER", "RECEIVED", "SENT", "Record", "Recorder"]

RECEIVED, SENT = 0, 1
"""A frame's direction, seen from the server."""

NUMBER = 4
"""Bytes of a connection's number in the list of those that share a frame."""

_LATE = 4096  # times that the loop was late
_SECOND = 10**9

_Kept = tuple[Any, ...]
"""(nanoseconds since the epoch, whose, bytes kept, number of the line that sent it), and where these are not
plain, (..., bytes on the wire, nanoseconds of the sender's own clock).

`whose` is a connection's number times two plus the direction, or the numbers of all that share a frame,
`NUMBER` bytes each."""


class Record(NamedTuple):
    """One frame as it was recorded.

    Attributes:
        seq: its number.
        at_ns: nanoseconds since the epoch.
        connections: whose it is; several for a frame that a room sent to all of them at once.
        direction: `RECEIVED` or `SENT`.
        wire_length: bytes on the wire.
        raw: the bytes kept of it.
        sent_ns: when one of the lab's own clients sent it, in nanoseconds since the epoch; 0: not known.
        site: the line of the application that sent it, where that is known.
        lag_ns: how late the loop was then, in nanoseconds.
    """

    seq: int
    at_ns: int
    connections: tuple[Connection, ...]
    direction: int
    wire_length: int
    raw: bytes
    sent_ns: int = 0
    site: Site | None = None
    lag_ns: int = 0


class Recorder:
    """A bounded ring of frames.

    Args:
        frames: how many frames are kept (rounded up to a power of two).
        budget: how many bytes are kept in all.
        snaplen: how many bytes of one frame are kept; the default is 64 KiB of payload and its header.
        sites: where lines of the application are kept; None: they are not looked for.
        enabled: whether anything is kept; counters go on without. It stays as it is: what a compressed
            message says cannot be told when some before it were not recorded.

    Attributes:
        begin: sequence number of the oldest frame kept.
        end: sequence number that the next frame will get; `end - begin` frames are kept.
        held: bytes kept now.
        shared, shared_end, members: the last frame that several connections were sent, `end` at that time,
            and their numbers, `NUMBER` bytes each; see `share`.
    """

    __slots__ = (
        "_enabled",
        "_late",
        "_mask",
        "_owners",
        "_retired",
        "_ring",
        "begin",
        "budget",
        "end",
        "held",
        "members",
        "shared",
        "shared_end",
        "sites",
        "snaplen",
    )

    def __init__(
        self,
        *,
        frames: int = 65_536,
        budget: int = 64 * 2**20,
        snaplen: int = 64 * 2**10 + 14,
        sites: Sites | None = None,
        enabled: bool = True,
    ) -> None:
        size = 1 << max(1, frames - 1).bit_length()
        self._ring: list[_Kept | None] = [None] * size
        self._owners: dict[int, Connection] = {}
        self._retired: deque[tuple[int, int]] = deque()  # who ended, and `end` at that time
        self._late: deque[tuple[int, int]] = deque(maxlen=_LATE)  # when the loop should have turned, and did
        self._mask = size - 1
        self.begin = self.end = 0
        self.held = 0
        self.budget = budget
        self.snaplen = snaplen
        self.sites = sites
        self.shared: bytes | None = None
        self.shared_end = 0
        self.members = bytearray()
        self._enabled = enabled

    @property
    def enabled(self) -> bool:
        """Whether anything is kept."""
        return self._enabled

    def enlist(self, connection: Connection) -> None:
        """Frames of `connection` may come."""
        self._owners[connection.number] = connection

    def retire(self, connection: Connection) -> None:
        """No more frames of `connection` come: it is kept for as long as one of its frames is."""
        if connection.received.bytes or connection.sent.bytes:
            self._retired.append((connection.number, self.end))
        else:
            self._owners.pop(connection.number, None)
        while self._retired and self._retired[0][1] <= self.begin:
            self._owners.pop(self._retired.popleft()[0], None)

    def note_lag(self, seconds: float) -> None:
        """The loop turns now, and should have done so `seconds` ago."""
        now = time_ns()
        self._late.append((now - int(seconds * _SECOND), now))

    def append(self, key: int, wire_length: int, raw: bytes, site: int = 0, sent_ns: int = 0) -> None:
        """Keep one frame. Called by the writing thread only.

        Args:
            key: the connection's number times two, plus the direction.
            wire_length: bytes of the frame on the wire.
            raw: what is kept of them.
            site: the number in `sites` of the line that sent it.
            sent_ns: when it was sent, by the sender's clock.
        """
        if not self._enabled:
            return
        seq, ring, mask = self.end, self._ring, self._mask
        index = seq & mask
        size = len(raw)
        held = self.held + size
        if seq - self.begin > mask:
            oldest = ring[index]  # the ring is full: the newest takes the place of the oldest
            self.begin += (
                1  # first: a reader that finds the newest there then knows that it is not the oldest
            )
            if oldest is not None:
                held -= len(oldest[2])
        if size == wire_length and not sent_ns:
            ring[index] = (time_ns(), key, raw, site)
        else:
            ring[index] = (time_ns(), key, raw, site, wire_length, sent_ns)
        self.end = seq + 1
        self.held = held
        while self.held > self.budget and self.begin < seq:
            self._evict()

    def share(self, number: int, frame: bytes) -> bool:
        """Add a connection to those that were sent `frame`, where that is the newest record; else False.

        The next ones of the same frame may go into `members` themselves, as long as `end` is `shared_end`.
        """
        index = (self.end - 1) & self._mask
        newest = self._ring[index]
        if newest is None or newest[2] is not frame:
            return False
        members = newest[1]
        if type(members) is int:
            members = bytearray((members >> 1).to_bytes(NUMBER))
            self._ring[index] = (newest[0], members, *newest[2:])
        members += number.to_bytes(NUMBER)
        self.members, self.shared, self.shared_end = members, frame, self.end
        return True

    def _evict(self) -> None:
        index = self.begin & self._mask
        oldest = self._ring[index]
        self.begin += 1
        self._ring[index] = None
        if oldest is not None:
            self.held -= len(oldest[2])

    def get(self, seq: int) -> Record | None:
        """The record numbered `seq`, or None where it is gone or not yet there."""
        return next(iter(self.records(seq, seq + 1)), None)

    def records(self, start: int, stop: int) -> list[Record]:
        """The records numbered `start` up to `stop` (exclusive) that are still kept, in order."""
        ring, mask, owners, sites = self._ring, self._mask, self._owners, self.sites
        late = list(self._late)
        found = []
        for seq in range(max(start, self.begin), min(stop, self.end)):
            kept = ring[seq & mask]
            if kept is None or seq < self.begin:
                continue  # the writing thread has overwritten it since its number was worked out
            at, whose, raw, site = kept[:4]
            if type(whose) is int:
                direction = whose & 1
                owner = owners.get(whose >> 1)
                if owner is None:
                    continue
                connections: tuple[Connection, ...] = (owner,)
            else:
                direction = SENT
                numbers = bytes(whose)
                each = (
                    owners.get(int.from_bytes(numbers[place : place + NUMBER]))
                    for place in range(0, len(numbers), NUMBER)
                )
                connections = tuple(owner for owner in each if owner is not None)
                if not connections:
                    continue
            wire_length, sent_ns = (len(raw), 0) if len(kept) == 4 else kept[4:]  # noqa: PLR2004 - see _Kept
            where = sites[site] if site and sites is not None else None
            lag = _lag(at, late) if late else 0
            found.append(Record(seq, at, connections, direction, wire_length, raw, sent_ns, where, lag))
        return found

    def clear(self) -> None:
        """Forget every frame; numbering goes on."""
        self.shared = None
        while self.begin < self.end:
            self._evict()

    def __len__(self) -> int:
        return self.end - self.begin

    def __repr__(self) -> str:
        return f"<Recorder: {len(self)} of {self.end} frames kept, {self.held} bytes>"


def _lag(at: int, late: list[tuple[int, int]]) -> int:
    """How late the loop was at that time; `late` is when it should have turned, and when it did."""
    place = bisect_right(late, (at, at)) - 1
    if place < 0:
        return 0
    due, turned = late[place]
    return at - due if at <= turned else 0
