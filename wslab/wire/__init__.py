"""What is on the wire: frames, handshakes, and the record of both. Nothing here does I/O."""

from __future__ import annotations

from wslab.wire.connection import Close, Connection
from wslab.wire.frames import Frame, Opcode, apply_mask, encode_frame, frame_length, parse_frame
from wslab.wire.handshake import Head, accept_key, parse_head, redact_head
from wslab.wire.recorder import Recorder
from wslab.wire.tables import ConnectionTable, FrameTable, RecordedFrame

__all__ = [
    "Close",
    "Connection",
    "ConnectionTable",
    "Frame",
    "FrameTable",
    "Head",
    "Opcode",
    "RecordedFrame",
    "Recorder",
    "accept_key",
    "apply_mask",
    "encode_frame",
    "frame_length",
    "parse_frame",
    "parse_head",
    "redact_head",
]
