"""A conversation as a ladder: its steps, and how they are drawn as text and as SVG."""

from __future__ import annotations

from wslab.wire.ladder.ladder import Ladder

__all__ = ["Ladder"]
