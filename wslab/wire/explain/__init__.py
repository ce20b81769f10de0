"""What was on the wire, in words: every bit range and header, what it means, and where that is written."""

from __future__ import annotations

from wslab.wire.explain.explanation import Explanation, Field
from wslab.wire.explain.handshake import explain_handshake
from wslab.wire.explain.traffic import (
    explain_close,
    explain_connection,
    explain_frame,
    explain_incomplete,
    explain_message,
)

__all__ = [
    "Explanation",
    "Field",
    "explain_close",
    "explain_connection",
    "explain_frame",
    "explain_handshake",
    "explain_incomplete",
    "explain_message",
]
