"""What passes a filter: frames among records, messages among frames; parsed is only what that takes."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from wslab.wire.frames import Opcode
from wslab.wire.messages import messages
from wslab.wire.recorder import RECEIVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wslab.wire.messages import Message
    from wslab.wire.query.language import Query
    from wslab.wire.recorded import RecordedFrame
    from wslab.wire.recorder import Record, Recorder

__all__ = ["is_partial", "select_frames", "select_messages"]

_AT_ONCE = 1024
_FIN, _RSV1, _OPCODE, _CONTROL = 0x80, 0x40, 0x0F, 0x08


def select_frames(
    recorder: Recorder, parse: Callable[[Record], RecordedFrame], query: Query
) -> list[RecordedFrame]:
    """The frames kept that pass, oldest first.

    What the filter can tell from a record is asked first, and only what is left is parsed. Messages are put
    together where the filter asks for what they say or who received them, and only of the connections and
    directions in question.

    Args:
        recorder: what keeps them.
        parse: makes a frame of a record.
        query: the filter.
    """
    test_record = query.test_record
    candidates = [record for record in _records(recorder) if test_record is None or test_record(record)]
    if test_record is not None and query.exact:
        return [parse(record) for record in candidates]
    if not query.needs:
        return [frame for frame in map(parse, candidates) if query(frame)]
    carried = _carried(recorder, candidates, parse, query)
    # One message after the other, however their fragments came: a condition remembers the last one only.
    candidates.sort(key=lambda record: _begun(record.seq, carried))
    passed = [frame for frame in map(parse, candidates) if query(frame, carried.get(frame.seq))]
    return sorted(passed, key=attrgetter("seq"))


def _begun(seq: int, carried: dict[int, Message]) -> int:
    message = carried.get(seq)
    return seq if message is None else message.frames[0].seq


def select_messages(frames: Iterable[RecordedFrame], query: Query) -> list[Message]:
    """The messages in `frames` of which a frame passes."""
    return [
        message
        for message in messages(frames)
        if any(query(recorded, message) for recorded in message.frames)
    ]


def _records(recorder: Recorder) -> Iterator[Record]:
    """The records kept, a few at a time: Python's garbage collector looks through all that live at once."""
    end = recorder.end
    for first in range(recorder.begin, end, _AT_ONCE):
        yield from recorder.records(first, min(first + _AT_ONCE, end))


def _carried(
    recorder: Recorder,
    candidates: list[Record],
    parse: Callable[[Record], RecordedFrame],
    query: Query,
) -> dict[int, Message]:
    """By sequence number, the messages of those connections and directions whose candidates need theirs."""
    read = "reader" in query.needs
    needed = {
        (record.connections[0], record.direction)  # what is shared is whole, and sent
        for record in candidates
        if is_partial(record.raw) or (read and record.direction == RECEIVED)
    }
    if not needed:
        return {}
    frames = [
        parse(record)
        for record in _records(recorder)
        if any((connection, record.direction) in needed for connection in record.connections)
    ]
    return {recorded.seq: message for message in messages(frames) for recorded in message.frames}


def is_partial(raw: bytes) -> bool:
    r"""Whether a frame that begins with `raw` does not have its message's content to itself.

    Example:
        >>> is_partial(b"\x01\x00"), is_partial(b"\xc1\x00"), is_partial(b"\x81\x00"), is_partial(b"\x89\x00")
        (True, True, False, False)
    """
    if not raw:
        return False
    first = raw[0]
    if first & _CONTROL:
        return False
    return not first & _FIN or bool(first & _RSV1) or first & _OPCODE == Opcode.CONTINUATION
