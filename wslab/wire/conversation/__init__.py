"""From a recording to a test: who said what in which order, what of it varies, and the test's source."""

from __future__ import annotations

from wslab.wire.conversation.steps import Closing, Conversation, Opening, Said, conversation
from wslab.wire.conversation.testcode import save_test, to_source

__all__ = ["Closing", "Conversation", "Opening", "Said", "conversation", "save_test", "to_source"]
