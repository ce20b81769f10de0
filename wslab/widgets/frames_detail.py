"""One frame for the page: its fields, where it came from, and its connection's handshake."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wslab.widgets.fields import describe_fields, problem_of
from wslab.widgets.frames_messages import MAX_BYTES, site_detail
from wslab.wire.explain import explain_handshake
from wslab.wire.query.selection import is_partial
from wslab.wire.recorded import RecordedFrame

if TYPE_CHECKING:
    from wslab.widgets.base import Message as ToPage
    from wslab.wire.explain import Explanation
    from wslab.wire.tables import FrameTable

__all__ = ["frame_detail"]

_HEAD = 16_384
_OWNERS = 50  # connections that are named of those a frame was sent to
_ROWS = 60  # of one explanation
_INCOMPLETE = "The connection ended inside this frame's header."


def frame_detail(frames: FrameTable, seq: int) -> ToPage:
    """The answer to a request for the frame `seq`, and its bytes: as on the wire, and unmasked.

    Where it says ``more``, its message tells more: `wslab.widgets.frames_messages.message_detail`.

    Example:
        >>> from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> ConnectionTable(recorder).open("127.0.0.1:50000").sent.feed(encode_frame(1, b"hi"))
        >>> content, [raw, payload] = frame_detail(FrameTable(recorder), 0)
        >>> content["name"], content["wire"], payload, frame_detail(FrameTable(recorder), 1)[0]["gone"]
        ('TEXT', 4, b'hi', True)
    """
    record = frames.recorder.get(seq)
    if record is None:
        return {"t": "detail", "seq": seq, "gone": True}, []
    found = RecordedFrame.from_record(record)
    frame, connection, raw = found.frame, found.connection, record.raw
    problem = problem_of(frame, record.direction) if frame else _INCOMPLETE
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
        "whole": bool(frame and len(frame.payload) == frame.length and frame.length <= MAX_BYTES),
        "problem": problem,
        "fields": [asdict(field) for field in describe_fields(frame, found.direction)] if frame else [],
        "explained": [_explained(child) for child in found.explain().children],
        "partial": frame is not None and is_partial(raw),
        "more": frame is not None,
        "site": site_detail(found.site),
        "sent_at": found.sent_at,
        "lag": found.lag,
        "connection": connection.id,
        "connections": [owner.id for owner in found.connections[:_OWNERS]],
        "members": len(found.connections),
        "peer": connection.peer,
        "request": connection.request[:_HEAD].decode("latin-1"),
        "response": connection.response[:_HEAD].decode("latin-1"),
        "handshake": _explained(explain_handshake(connection)),
    }
    return content, [raw[:MAX_BYTES], found.payload[:MAX_BYTES]]


def _explained(explanation: Explanation) -> dict[str, Any]:
    """An explanation for the page; `Field.cells` cuts what is long."""
    return {
        "title": explanation.title,
        "rows": [field.cells() for field in explanation.fields[:_ROWS]],
        "children": [_explained(child) for child in explanation.children[:_ROWS]],
    }
