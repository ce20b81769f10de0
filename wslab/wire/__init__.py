"""What is on the wire: frames, handshakes, and the record of both.

Nothing here does I/O but `wslab.wire.files`, which is imported when a name of it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wslab.wire.connection import Close, Connection
from wslab.wire.deflate import DeflateOptions, PerMessageDeflate
from wslab.wire.engine import FAIL, Engine
from wslab.wire.frames import Frame, Opcode, apply_mask, encode_frame, frame_length, parse_frame
from wslab.wire.handshake import Head, accept_key, parse_head, redact_head
from wslab.wire.opening import HandshakeError, UpgradeRequest, UpgradeResponse, read_response, read_upgrade
from wslab.wire.recorder import Recorder
from wslab.wire.tables import ConnectionTable, FrameTable, RecordedFrame

if TYPE_CHECKING:
    from wslab.wire.files import Recording as Recording
    from wslab.wire.files import load as load

__all__ = [
    "FAIL",
    "Close",
    "Connection",
    "ConnectionTable",
    "DeflateOptions",
    "Engine",
    "Frame",
    "FrameTable",
    "HandshakeError",
    "Head",
    "Opcode",
    "PerMessageDeflate",
    "RecordedFrame",
    "Recorder",
    "Recording",
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


def __getattr__(name: str) -> object:
    if name not in {"Recording", "load"}:
        raise AttributeError(f"module 'wslab.wire' has no attribute {name!r}")
    from wslab.wire import files

    return getattr(files, name)
