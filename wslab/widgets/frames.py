"""Every frame, live, and any one of them down to its bits.

Theory of operation. The page holds a copy of the list, not of the frames: of each it gets a fixed
record of 24 bytes and the first bytes of its payload, in batches of at most 4000 without a JSON
object per frame. What somebody selects is fetched then (``{"t": "get", "seq": n}``), at most 4 KiB of
it, with every field named. A page that is more than 80 000 frames behind gets the newest of them;
what it did not get is counted and shown. The page's quick filters need no kernel; a display filter
(`wslab.widgets.frames_filter`) is applied here, and what passes travels beside the batches.

A batch's records are little-endian, without padding::

    f64 seconds since the epoch | f64 payload length | u32 connection's number
    | u16 preview's length | u8 flags | u8 the frame's first byte

Frames in a batch are numbered without gaps from ``first``. The previews follow each other in a second
buffer, unmasked. Where a frame was sent to several connections at once (`FLAG_SHARED`), the u32 is the
place of their list in a third buffer, in u32: how many, then their numbers. For each entry of ``matches``
there is one more buffer, in their order.
"""

from __future__ import annotations

import struct
from array import array
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from wslab.widgets.base import LiveView, Message
from wslab.widgets.fields import problem_of
from wslab.widgets.frames_detail import frame_detail
from wslab.widgets.frames_filter import FrameFilters, filter_fields
from wslab.widgets.frames_messages import decide, message_detail
from wslab.wire.frames import MAX_HEADER, apply_mask, parse_frame
from wslab.wire.recorder import RECEIVED, SENT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from wslab.wire.recorder import Record
    from wslab.wire.tables import FrameTable

__all__ = ["FramesView", "encode_batch"]

RECORD = struct.Struct("<ddIHBB")
FLAG_SENT, FLAG_MASKED, FLAG_PROBLEM, FLAG_CUT, FLAG_INCOMPLETE, FLAG_SHARED = 1, 2, 4, 8, 16, 32

_BATCH = 4_000
_BEHIND = 20 * _BATCH
_OWNERS = 20_000  # numbers of connections in a batch, where it has more than one frame
_PREVIEW_BUDGET = 256 * 1024
_PREVIEW_MIN, _PREVIEW_MAX = 64, 512
_FILTERING = 0.005  # seconds of the loop's time that the filters take at a turn; a tick may fall beside one
_RESTING = 0.005  # and that the loop has to itself before they go on
_PAUSES = 3.0  # the pause after messages were put together for filters, in units of the time that took

_PLAIN = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82})  # first bytes of data frames without RSV bits
_LENGTH16 = 126  # the 7-bit length that says: 16 bits follow (RFC 6455 section 5.2)


def _plain_header(direction: int, wire_length: int, raw: bytes) -> int:
    """The header's length where the frame is whole, carries data and breaks no rule; else 0.

    Nearly all frames are like that, and need a third of the time that `parse_frame` takes; what this
    does not recognise is for that to judge.
    """
    if len(raw) != wire_length or wire_length < 4 or raw[0] not in _PLAIN:  # noqa: PLR2004 - what is read below
        return 0
    second = raw[1]
    length = second & 0x7F
    header = 6 if second & 0x80 else 2
    if second >> 7 == direction:  # a client masks (received is 0), a server does not (sent is 1)
        return 0
    if length == _LENGTH16:
        length = raw[2] << 8 | raw[3]
        header += 2
        if length < _LENGTH16:
            return 0
    return header if header + length == wire_length else 0


def _entry(record: Record, preview: int) -> tuple[int, float, bytes]:
    """Flags, payload length and the payload's first bytes of one record."""
    direction, wire_length, raw = record.direction, record.wire_length, record.raw
    flags = FLAG_SENT if direction == SENT else 0
    header = _plain_header(direction, wire_length, raw)
    if header:
        start = raw[header : header + preview]
        if direction == RECEIVED:
            return flags | FLAG_MASKED, wire_length - header, apply_mask(start, raw[header - 4 : header])
        return flags, wire_length - header, start
    # a slice, so that a long payload is not unmasked for its first bytes
    frame = parse_frame(raw[: MAX_HEADER + preview], wire_length)
    if frame is None:
        return flags | FLAG_INCOMPLETE, 0.0, b""
    flags |= FLAG_MASKED if frame.mask_key else 0
    flags |= FLAG_PROBLEM if problem_of(frame, direction) else 0
    flags |= FLAG_CUT if len(raw) < wire_length else 0
    return flags, float(frame.length), frame.payload[:preview]


def encode_batch(records: Sequence[Record]) -> list[bytes]:
    """The records' table, previews and owners, as the module's text lays them out.

    The fewer the frames, the more of each is shown: 64 to 512 bytes.
    """
    preview = max(_PREVIEW_MIN, min(_PREVIEW_MAX, _PREVIEW_BUDGET // max(1, len(records))))
    table, previews, owners = bytearray(), bytearray(), array("I")
    places: dict[tuple[int, ...], int] = {}
    for record in records:
        flags, length, shown = _entry(record, preview)
        whose = record.connections[0].number
        if len(record.connections) > 1:
            numbers = tuple(connection.number for connection in record.connections)
            whose = places.setdefault(numbers, len(owners))
            if whose == len(owners):
                owners.extend((len(numbers), *numbers))
            flags |= FLAG_SHARED
        table += RECORD.pack(record.at_ns / 10**9, length, whose, len(shown), flags, record.raw[0])
        previews += shown
    return [bytes(table), bytes(previews), struct.pack(f"<{len(owners)}I", *owners)]


def _within(records: list[Record]) -> list[Record]:
    """As many of the records, at least one, as have no more owners than a batch takes."""
    left = _OWNERS
    for count, record in enumerate(records):
        left -= len(record.connections)
        if left < 0:
            return records[: max(count, 1)]
    return records


class FramesView(LiveView):
    """A list of frames to scroll, filter and pause, and the bits of the one that is selected.

    Args:
        frames: the table to show.
    """

    SCRIPT: ClassVar[str] = "frames.js"
    STYLES: ClassVar[tuple[str, ...]] = ("frames.css", "frames_detail.css")

    def __init__(self, frames: FrameTable, **traits: object) -> None:
        super().__init__(**traits)
        self._frames = frames
        self._cursor = 0  # number of the next frame to send
        self._skipped = 0
        self._page_has_some = False
        self._filters = FrameFilters(frames)
        self._filtering: tuple[asyncio.AbstractEventLoop, asyncio.TimerHandle] | None = None
        self._finding: asyncio.Future[Message | None] | None = None
        self._wanted: int | None = None
        self._deciding: asyncio.Future[tuple[list[int], list[int]]] | None = None
        self._decide_next = 0.0

    def replay(self) -> None:
        """Start over with the oldest frame kept."""
        self._cursor = self._frames.recorder.begin
        self._skipped = 0
        self._page_has_some = False
        self._filters.end_all()

    def collect(self) -> Message | None:
        """The next batch, and what passed the filters; None where there is neither."""
        batch = self._batch()
        self._filters.advance(self._cursor, _FILTERING)
        self._filter_on()
        self._decide()
        for told in self._filters.ended():
            self.push(told)
        matches, numbers = self._filters.take()
        if batch is None and not matches:
            return None
        content, buffers = batch or (self._content(self._cursor), [b"", b"", b""])
        if matches:
            content["matches"] = matches
        return content, buffers + numbers

    def _filter_on(self) -> None:
        """Go through older frames between two ticks, as long as there are some."""
        loop = self.loop
        if loop is None or loop.is_closed() or not self._filters.behind(self._cursor):
            return
        if self._filtering is None or self._filtering[0] is not loop:
            self._filtering = loop, loop.call_later(_RESTING, self._filter_turn)

    def _filter_turn(self) -> None:
        self._filtering = None
        if self.attached:
            self._filters.advance(self._cursor, _FILTERING)
            self._filter_on()

    def _decide(self) -> None:
        """Ask the messages of fragments and compressed frames, in a thread, a fourth of the time at most."""
        chosen = None
        if self._deciding is None and monotonic() >= self._decide_next:
            chosen = self._filters.undecided()
        if chosen is None:
            return
        began, asked, loop = monotonic(), list(chosen.parts), self.loop
        if loop is None or not loop.is_running():
            chosen.decided(asked, *decide(self._frames, chosen.query, asked))
            return

        def done(deciding: asyncio.Future[tuple[list[int], list[int]]]) -> None:
            self._deciding = None
            self._decide_next = monotonic() + _PAUSES * (monotonic() - began)
            error = None if deciding.cancelled() else deciding.exception()
            if isinstance(error, Exception):
                self._filters.fail(chosen, error)
            elif not deciding.cancelled():
                chosen.decided(asked, *deciding.result())

        self._deciding = loop.run_in_executor(None, decide, self._frames, chosen.query, asked)
        self._deciding.add_done_callback(done)

    def _content(self, first: int, *, cleared: bool = False) -> dict[str, Any]:
        generation = self._filters.generation
        return {"t": "frames", "first": first, "skipped": self._skipped, "cleared": cleared, "g": generation}

    def _batch(self) -> Message | None:
        """The next frames; also when there is nothing but to say that the recorder was cleared."""
        recorder = self._frames.recorder
        begin, end = recorder.begin, recorder.end
        cleared = self._page_has_some and begin >= self._cursor
        if self._cursor >= end and not cleared:
            return None
        oldest = max(self._cursor, begin, end - _BEHIND)
        records = _within(recorder.records(oldest, min(oldest + _BATCH, end)))
        first = records[0].seq if records else oldest
        self._skipped += first - self._cursor
        self._cursor = first + len(records)
        self._page_has_some = bool(records) or (self._page_has_some and not cleared)
        return self._content(first, cleared=cleared), encode_batch(records)

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:  # noqa: ARG002 - the base's signature
        """Answer a request for one frame, for a filter, or for what a filter may name."""
        seq = content.get("seq")
        if content.get("t") == "get" and isinstance(seq, int):
            detail = frame_detail(self._frames, seq)
            self.push(*detail)
            if detail[0].get("more"):
                self._find_message(seq)
        elif content.get("t") == "filter":
            for answer in self._filters.ask(content):
                self.push(answer)
        elif content.get("t") == "fields":
            self.push({"t": "fields", "fields": filter_fields()})

    def _find_message(self, seq: int) -> None:
        """Tell what message frame `seq` belongs to; on a loop, as soon as a thread has found out.

        One at a time: while one is looked for, only the last one asked for waits.
        """
        loop = self.loop
        if loop is None or not loop.is_running():
            self._tell_message(message_detail(self._frames, seq))
            return
        if self._finding is not None:
            self._wanted = seq
            return
        self._finding = loop.run_in_executor(None, message_detail, self._frames, seq)
        self._finding.add_done_callback(self._found_message)

    def _found_message(self, finding: asyncio.Future[Message | None]) -> None:
        self._finding, wanted, self._wanted = None, self._wanted, None
        if finding.cancelled() or not self.attached:
            return
        if wanted is not None:
            self._find_message(wanted)
        self._tell_message(finding.result())

    def _tell_message(self, found: Message | None) -> None:
        if found is not None:
            self.push(*found)

    def text(self) -> str:
        """The last 20 frames as plain text."""
        return repr(self._frames)

    def static_html(self) -> str:
        """The last 20 frames as an HTML table."""
        return self._frames._repr_html_()
