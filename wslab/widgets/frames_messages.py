"""What depends on the whole message of a frame, and so on those before it: for a thread, not for a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wslab.wire.frames import Opcode
from wslab.wire.messages import deflate_agreed, messages
from wslab.wire.query.selection import is_partial
from wslab.wire.recorded import RecordedFrame
from wslab.wire.replies import replies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wslab.widgets.base import Message as ToPage
    from wslab.wire.connection import Connection
    from wslab.wire.messages import Message
    from wslab.wire.query import Query
    from wslab.wire.sites import Site
    from wslab.wire.tables import FrameTable

    _Side = tuple[Connection, int]

__all__ = ["MAX_BYTES", "decide", "message_detail", "needs_message", "site_detail"]

MAX_BYTES = 4_096
"""Bytes of a frame, and of a message, that travel to the page."""
MAX_INFLATED = 64 * 2**20
"""Bytes that messages may inflate to in all, at a time."""

_AT_ONCE = 1_024
_AROUND = 4_000  # frames before and after one, among which its answer is looked for
_EXCHANGES = 4  # of one frame, that are told
_PARTS = 16  # of a message, that the page can lead to


def needs_message(query: Query, found: RecordedFrame) -> bool:
    """Whether `query` asks what only the frame's message knows: see `QueryField.needs`.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> from wslab.wire.query import Query
        >>> recorder = Recorder()
        >>> ConnectionTable(recorder).open("127.0.0.1:50000").sent.feed(encode_frame(1, b"Hel", fin=False))
        >>> [needs_message(Query(text), FrameTable(recorder)[0]) for text in ('text=="Hello"', "fin")]
        [True, False]
    """
    frame = found.frame
    if not query.needs or frame is None or frame.control:
        return False
    received = "reader" in query.needs and found.direction == "in"
    return received or ("content" in query.needs and is_partial(frame.raw))


def decide(frames: FrameTable, query: Query, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Ask a filter of the messages that the frames `numbers` are parts of.

    Returns:
        Those that pass, and those that may still: their message has not ended, or nobody has received it.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> from wslab.wire.query import Query
        >>> recorder = Recorder()
        >>> connection = ConnectionTable(recorder).open("127.0.0.1:50000")
        >>> connection.sent.feed(encode_frame(1, b"Hel", fin=False) + encode_frame(0, b"lo"))
        >>> decide(FrameTable(recorder), Query('text=="Hello"'), [0, 1])
        ([0, 1], [])
    """
    wanted = frozenset(numbers)
    kept = [found for number in numbers if (found := frames.get(number)) is not None]
    first: dict[_Side, int] = {}
    for found in kept:
        first.setdefault((found.connection, found.record.direction), found.seq)
    own = _needed(frames, first)
    passed, failed = set(), set()
    for message in messages(own, limit=MAX_INFLATED):
        unread = "reader" in query.needs and message.site is None and not message.connection.ended_at
        for found in message.frames:
            if found.seq not in wanted:
                continue
            if query(found, message):
                passed.add(found.seq)
            elif not unread:
                failed.add(found.seq)
    known = passed | failed
    return sorted(passed), [found.seq for found in kept if found.seq not in known]


def _needed(frames: FrameTable, first: dict[_Side, int]) -> list[RecordedFrame]:
    """The frames of those connections and directions that tell the messages from frame `first` on.

    Where messages are compressed, these are all of them. What went to a whole room is a message by itself,
    and not compressed.
    """
    own: dict[_Side, list[RecordedFrame]] = {side: [] for side in first}
    packed = {side for side in first if deflate_agreed(side[0]) is not None}
    recorder = frames.recorder
    for start in range(recorder.begin, end := recorder.end, _AT_ONCE):
        # a few at a time: Python's garbage collector looks through all that live at once
        for record in recorder.records(start, min(start + _AT_ONCE, end)):
            side = record.connections[0], record.direction
            kept = own.get(side)
            if kept is None or len(record.connections) > 1:
                continue
            if record.seq <= first[side] and side not in packed and _begins(record.raw):
                kept.clear()
            kept.append(RecordedFrame(record))
    return [found for kept in own.values() for found in kept]


def _begins(raw: bytes) -> bool:
    """Whether a frame that begins with `raw` is a message's first."""
    opcode = raw[0] & 0x0F if raw else 0
    return not opcode & 0x08 and opcode != Opcode.CONTINUATION


def exchanges_of(frames: FrameTable, found: RecordedFrame) -> list[dict[str, Any]]:
    """What a frame or its message answered, and what answered it, among the frames around it.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> connection = ConnectionTable(recorder).open("127.0.0.1:50000")
        >>> connection.sent.feed(encode_frame(9, b"1"))
        >>> connection.received.feed(encode_frame(10, b"1", mask=True))
        >>> [exchange] = exchanges_of(FrameTable(recorder), FrameTable(recorder)[0])
        >>> exchange["answered"], exchange["seq"]
        (True, 1)
    """
    connection = found.connection
    records = frames.recorder.records(found.seq - _AROUND, found.seq + _AROUND)
    own = [RecordedFrame(record).of(connection) for record in records if connection in record.connections]
    told = []
    for exchange in replies(own).of(found)[:_EXCHANGES]:
        answered = found.seq in _numbers(exchange.asked)
        other = exchange.answer if answered else exchange.asked
        seconds = exchange.seconds
        told.append(
            {"answered": answered, "seq": _numbers(other)[-1], "seconds": seconds, "rule": exchange.rule}
        )
    return told


def _numbers(item: Message | RecordedFrame) -> list[int]:
    return [item.seq] if isinstance(item, RecordedFrame) else [frame.seq for frame in item.frames]


def message_detail(frames: FrameTable, seq: int) -> ToPage | None:
    r"""The message that frame `seq` belongs to, its content, and what it answered; None where it is gone.

    A control frame belongs to none: of it, there is only what it answered.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> connection = ConnectionTable(recorder).open("127.0.0.1:50000")
        >>> connection.sent.feed(encode_frame(1, b"Hel", fin=False) + encode_frame(0, b"lo"))
        >>> content, [shown] = message_detail(FrameTable(recorder), 1)
        >>> content["part"], content["parts"], content["length"], shown
        (2, [0, 1], 5, b'Hello')
    """
    found = frames.get(seq)
    if found is None or found.frame is None:
        return None
    exchanges = {"exchanges": exchanges_of(frames, found)}
    if found.frame.control:
        return {"t": "message", "seq": seq, "control": True, **exchanges}, []
    shared = len(found.connections) > 1
    own = [found] if shared else _needed(frames, {(found.connection, found.record.direction): seq})
    for message in messages(own, limit=MAX_INFLATED):
        numbers = _numbers(message)
        if seq in numbers:
            return {**_told(seq, numbers, message), **exchanges}, [message.content[:MAX_BYTES]]
    if all(other.seq != seq for other in own):
        return None  # the ring was faster
    return {**_unfinished(seq, own), **exchanges}, []


def site_detail(site: Site | None) -> dict[str, Any] | None:
    """A line of the application for the page."""
    return None if site is None else site._asdict()


def _told(seq: int, numbers: list[int], message: Message) -> dict[str, Any]:
    carried = sum(frame.frame.length for frame in message.frames if frame.frame)
    return {
        "t": "message",
        "seq": seq,
        "control": False,
        "part": numbers.index(seq) + 1,
        "count": len(numbers),
        "parts": numbers[:_PARTS],
        "open": False,
        "direction": message.direction,
        "opcode": message.opcode,
        "name": message.name,
        "compressed": message.compressed,
        "carried": str(carried),  # text: what a header announces may have 64 bits
        "length": len(message.content),
        "problem": message.problem,
        "site": site_detail(message.site),
    }


def _unfinished(seq: int, own: list[RecordedFrame]) -> dict[str, Any]:
    """What is known of a message whose last frame has not come yet."""
    data = [(found, found.frame) for found in own if found.frame and not found.frame.control]
    place = next(index for index, (found, _) in enumerate(data) if found.seq == seq)
    first = place
    while first and data[first][1].opcode == Opcode.CONTINUATION:
        first -= 1
    parts = [found.seq for found, _ in data[first:]]
    begun = data[first][1]
    return {
        "t": "message",
        "seq": seq,
        "control": False,
        "part": place - first + 1,
        "count": len(parts),
        "parts": parts[:_PARTS],
        "open": True,
        "direction": data[first][0].direction,
        "opcode": begun.opcode,
        "name": begun.name,
        "compressed": begun.rsv1,
        "carried": str(sum(frame.length for _, frame in data[first:])),
        "length": 0,
        "problem": "",
        "site": None,
    }
