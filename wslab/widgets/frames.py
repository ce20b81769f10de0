"""Every frame, live, and any one of them down to its bits.

Theory of operation. The page holds a copy of the list, not of the frames: of each it gets a fixed
record of 24 bytes and the first bytes of its payload, in batches of at most 4000 without a JSON
object per frame. What somebody selects is fetched then (``{"t": "get", "seq": n}``), at most 4 KiB of
it, with every field named. A page that is more than 80 000 frames behind gets the newest of them;
what it did not get is counted and shown.

A batch's records are little-endian, without padding::

    f64 seconds since the epoch | f64 payload length | u32 connection's number
    | u16 preview's length | u8 flags | u8 the frame's first byte

Frames in a batch are numbered without gaps from ``first``. The previews follow each other in a second
buffer, unmasked.
"""

from __future__ import annotations

import struct
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from wslab.widgets.base import LiveView, Message
from wslab.widgets.fields import describe_fields, problem_of
from wslab.wire.frames import MAX_HEADER, apply_mask, parse_frame
from wslab.wire.recorder import RECEIVED, SENT
from wslab.wire.tables import RecordedFrame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wslab.wire.recorder import Record
    from wslab.wire.tables import FrameTable

__all__ = ["FramesView", "encode_batch"]

RECORD = struct.Struct("<ddIHBB")
FLAG_SENT, FLAG_MASKED, FLAG_PROBLEM, FLAG_CUT, FLAG_INCOMPLETE = 1, 2, 4, 8, 16

_BATCH = 4_000
_BEHIND = 20 * _BATCH
_PREVIEW_BUDGET = 256 * 1024
_PREVIEW_MIN, _PREVIEW_MAX = 64, 512
_DETAIL = 4_096
_HEAD = 16_384

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
    _, _, _, direction, wire_length, raw = record
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
    """The records' table and previews, as the module's text lays them out.

    The fewer the frames, the more of each is shown: 64 to 512 bytes.
    """
    preview = max(_PREVIEW_MIN, min(_PREVIEW_MAX, _PREVIEW_BUDGET // max(1, len(records))))
    table, previews = bytearray(), bytearray()
    for record in records:
        flags, length, shown = _entry(record, preview)
        _, nanoseconds, connection, _, _, raw = record
        table += RECORD.pack(nanoseconds / 1e9, length, connection.number, len(shown), flags, raw[0])
        previews += shown
    return [bytes(table), bytes(previews)]


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

    def replay(self) -> None:
        """Start over with the oldest frame kept."""
        self._cursor = self._frames.recorder.begin
        self._skipped = 0
        self._page_has_some = False

    def collect(self) -> Message | None:
        """The next batch; also when there is nothing but to say that the recorder was cleared."""
        recorder = self._frames.recorder
        begin, end = recorder.begin, recorder.end
        cleared = self._page_has_some and begin >= self._cursor
        if self._cursor >= end and not cleared:
            return None
        oldest = max(self._cursor, begin, end - _BEHIND)
        records = recorder.records(oldest, min(oldest + _BATCH, end))
        first = records[0][0] if records else oldest
        self._skipped += first - self._cursor
        self._cursor = first + len(records)
        self._page_has_some = bool(records) or (self._page_has_some and not cleared)
        content = {"t": "frames", "first": first, "skipped": self._skipped, "cleared": cleared}
        return content, encode_batch(records)

    def handle(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:  # noqa: ARG002 - the base's signature
        """Answer a request for one frame."""
        seq = content.get("seq")
        if content.get("t") == "get" and isinstance(seq, int):
            self.push(*self._detail(seq))

    def _detail(self, seq: int) -> Message:
        record = self._frames.recorder.get(seq)
        if record is None:
            return {"t": "detail", "seq": seq, "gone": True}, []
        found = RecordedFrame.from_record(record)
        frame, connection, raw = found.frame, found.connection, record[5]
        problem = (
            problem_of(frame, record[3]) if frame else "The connection ended inside this frame's header."
        )
        content = {
            "t": "detail",
            "seq": seq,
            "gone": False,
            "at": found.at,
            "direction": found.direction,
            "name": found.name,
            "opcode": frame.opcode if frame else -1,
            "compressed": bool(frame and frame.rsv1),
            "wire": found.wire_length,
            "kept": len(raw),
            "length": str(frame.length if frame else 0),  # text: 64 bits do not fit a number of the page's
            "whole": bool(frame and len(frame.payload) == frame.length and frame.length <= _DETAIL),
            "problem": problem,
            "fields": [asdict(field) for field in describe_fields(frame, found.direction)] if frame else [],
            "connection": connection.id,
            "peer": connection.peer,
            "request": connection.request[:_HEAD].decode("latin-1"),
            "response": connection.response[:_HEAD].decode("latin-1"),
        }
        return content, [raw[:_DETAIL], found.payload[:_DETAIL]]

    def text(self) -> str:
        """The last 20 frames as plain text."""
        return repr(self._frames)

    def static_html(self) -> str:
        """The last 20 frames as an HTML table."""
        return self._frames._repr_html_()
