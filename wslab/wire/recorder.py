"""The recorder: a ring of frames as they were on the wire, parsed when somebody looks.

Theory of operation. One thread writes (the event loop's), any thread may read. A record is a plain
tuple, appended in O(1) without a lock: storing a list item is atomic, and a reader copies the items
it wants before it parses them. Two bounds hold at all times: the number of frames, and the bytes
held (`budget`); the oldest record goes first. A frame longer than `snaplen` is kept up to there, and
says so when it is parsed, since its record also has the length it had on the wire.

Sequence numbers never repeat: a reader that remembers the last one it saw knows what it missed.

In the ring a record names its connection by number. A tuple of numbers and bytes is of no interest to
Python's garbage collector, which would otherwise look through the whole ring, some milliseconds each time,
with the kernel's loop standing still. Readers get the connection itself.
"""

from __future__ import annotations

from collections import deque
from time import time_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wslab.wire.connection import Connection

__all__ = ["RECEIVED", "SENT", "Record", "Recorder"]

RECEIVED, SENT = 0, 1
"""A frame's direction, seen from the server."""

_Kept = tuple[int, int, int, int, int, bytes]
Record = tuple[int, int, "Connection", int, int, bytes]
"""(sequence number, nanoseconds since the epoch, connection, direction, bytes on the wire, bytes kept)."""


class Recorder:
    """A bounded ring of frames.

    Args:
        frames: how many frames are kept (rounded up to a power of two).
        budget: how many bytes are kept in all.
        snaplen: how many bytes of one frame are kept; the default is 64 KiB of payload and its header.

    Attributes:
        begin: sequence number of the oldest frame kept.
        end: sequence number that the next frame will get; `end - begin` frames are kept.
        held: bytes kept now.
        enabled: set to False to record nothing (counters go on).
    """

    __slots__ = (
        "_mask",
        "_owners",
        "_retired",
        "_ring",
        "begin",
        "budget",
        "enabled",
        "end",
        "held",
        "snaplen",
    )

    def __init__(
        self, *, frames: int = 65_536, budget: int = 64 * 2**20, snaplen: int = 64 * 2**10 + 14
    ) -> None:
        size = 1 << max(1, frames - 1).bit_length()
        self._ring: list[_Kept | None] = [None] * size
        self._owners: dict[int, Connection] = {}
        self._retired: deque[tuple[int, int]] = deque()  # who ended, and `end` at that time
        self._mask = size - 1
        self.begin = self.end = 0
        self.held = 0
        self.budget = budget
        self.snaplen = snaplen
        self.enabled = True

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

    def append(self, connection: Connection, direction: int, wire_length: int, raw: bytes) -> None:
        """Keep one frame. Called by the writing thread only."""
        if not self.enabled:
            return
        seq, ring, mask = self.end, self._ring, self._mask
        index = seq & mask
        held = self.held + len(raw)
        if seq - self.begin > mask:
            oldest = ring[index]  # the ring is full: the newest takes the place of the oldest
            self.begin += 1
            if oldest is not None:
                held -= len(oldest[5])
        ring[index] = (seq, time_ns(), connection.number, direction, wire_length, raw)
        self.end = seq + 1
        self.held = held
        while self.held > self.budget and self.begin < seq:
            self._evict()

    def _evict(self) -> None:
        index = self.begin & self._mask
        oldest = self._ring[index]
        self._ring[index] = None
        self.begin += 1
        if oldest is not None:
            self.held -= len(oldest[5])

    def get(self, seq: int) -> Record | None:
        """The record numbered `seq`, or None where it is gone or not yet there."""
        kept = self._ring[seq & self._mask]
        return self._with_owner(kept) if kept is not None and kept[0] == seq else None

    def _with_owner(self, kept: _Kept) -> Record | None:
        owner = self._owners.get(kept[2])
        return None if owner is None else (*kept[:2], owner, *kept[3:])

    def records(self, start: int, stop: int) -> list[Record]:
        """The records numbered `start` up to `stop` (exclusive) that are still kept, in order."""
        ring, mask = self._ring, self._mask
        found = ((seq, ring[seq & mask]) for seq in range(max(start, self.begin), min(stop, self.end)))
        # A slot may have been overwritten since its number was worked out, by the writing thread.
        owned = (self._with_owner(kept) for seq, kept in found if kept is not None and kept[0] == seq)
        return [record for record in owned if record is not None]

    def clear(self) -> None:
        """Forget every frame; numbering goes on."""
        while self.begin < self.end:
            self._evict()

    def __len__(self) -> int:
        return self.end - self.begin

    def __repr__(self) -> str:
        return f"<Recorder: {len(self)} of {self.end} frames kept, {self.held} bytes>"
