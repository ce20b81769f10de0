"""What answered what: messages by their ids and types, pongs, and closes."""

from __future__ import annotations

from wslab.wire.replies.exchanges import Exchange, Replies, replies

__all__ = ["Exchange", "Replies", "replies"]
