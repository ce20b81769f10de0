"""A page without a browser: what a view sends is kept, what a page would say is handed in."""

from __future__ import annotations

import pytest

HOSTILE = '<img src=x onerror="alert(1)">\x1b[2J\u202egnp.exe\x00'


class Page:
    """One page that shows `view`; time is what the test says it is."""

    def __init__(self, view):
        self.view = view
        self.now = 1000.0
        self.messages = []
        view.send = lambda content, buffers=(): self.messages.append((content, list(buffers)))

    def say(self, **content):
        self.view._dispatch(content, [])

    def hello(self):
        self.say(t="hello")
        return self

    def look(self):
        """The messages of one tick, a second after the last one, acknowledged."""
        before = len(self.messages)
        self.now += 1.0
        self.view.tick(self.now)
        fresh = self.messages[before:]
        for content, _ in fresh:
            self.say(t="ack", s=content["s"])
        return fresh

    def content(self):
        """The content of the one message that a tick sends; None where it sends nothing."""
        fresh = self.look()
        assert len(fresh) <= 1
        return fresh[0][0] if fresh else None


@pytest.fixture
def page_of():
    return Page


@pytest.fixture
def hostile():
    return HOSTILE
