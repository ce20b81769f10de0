"""What is on the wire: frames, handshakes, and the record of both.

Nothing here does I/O but `wslab.wire.files`. What serving does not need is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from wslab.wire.connection import Close, Connection
from wslab.wire.deflate import DeflateOptions, PerMessageDeflate
from wslab.wire.engine import FAIL, Engine
from wslab.wire.frames import Frame, Opcode, apply_mask, encode_frame, frame_length, parse_frame
from wslab.wire.handshake import Head, accept_key, parse_head, redact_head
from wslab.wire.messages import Message
from wslab.wire.opening import HandshakeError, UpgradeRequest, UpgradeResponse, read_response, read_upgrade
from wslab.wire.recorded import RecordedFrame
from wslab.wire.recorder import Recorder
from wslab.wire.sites import Site
from wslab.wire.tables import ConnectionTable, FrameTable

if TYPE_CHECKING:
    from wslab.wire.explain import Explanation as Explanation
    from wslab.wire.files import Recording as Recording
    from wslab.wire.files import load as load
    from wslab.wire.ladder import Ladder as Ladder
    from wslab.wire.query import Query as Query
    from wslab.wire.query import QueryError as QueryError
    from wslab.wire.replies import Replies as Replies

__all__ = [
    "FAIL",
    "Close",
    "Connection",
    "ConnectionTable",
    "DeflateOptions",
    "Engine",
    "Explanation",
    "Frame",
    "FrameTable",
    "HandshakeError",
    "Head",
    "Ladder",
    "Message",
    "Opcode",
    "PerMessageDeflate",
    "Query",
    "QueryError",
    "RecordedFrame",
    "Recorder",
    "Recording",
    "Replies",
    "Site",
    "UpgradeRequest",
    "UpgradeResponse",
    "accept_key",
    "apply_mask",
    "encode_frame",
    "frame_length",
    "load",
    "parse_frame",
    "parse_head",
    "read_response",
    "read_upgrade",
    "redact_head",
]


_LATER = {
    "Explanation": "wslab.wire.explain",
    "Ladder": "wslab.wire.ladder",
    "Query": "wslab.wire.query",
    "QueryError": "wslab.wire.query",
    "Recording": "wslab.wire.files",
    "Replies": "wslab.wire.replies",
    "load": "wslab.wire.files",
}
"""What serving does not need, and where it is."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'wslab.wire' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
