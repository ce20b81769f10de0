from __future__ import annotations

from dataclasses import dataclass

import pytest

from wslab import events
from wslab.events import (
    AppSwapped,
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionOpened,
    EndpointFailed,
    Event,
    HandshakeRefused,
    LabStarted,
    LabStopped,
    LimitReached,
    LoopHeld,
    MemberJoined,
    MemberLeft,
    MessageDropped,
    Notice,
    Printed,
    RoomBroadcast,
)
from wslab.widgets.describe import LEVELS, describe

SENTENCES = [
    (LabStarted(url="ws://127.0.0.1:1"), "info", "The server listens at ws://127.0.0.1:1."),
    (LabStopped(), "info", "The server stopped."),
    (LabStopped(abandoned=1), "warning", "The server stopped; 1 endpoint had not returned in time."),
    (AppSwapped(app="<App>"), "info", "New connections are served by <App> now; open ones keep theirs."),
    (ConnectionOpened(peer="1.2.3.4:5", path="/echo"), "info", "1.2.3.4:5 asks for /echo."),
    (ConnectionAccepted(), "info", "Accepted."),
    (ConnectionAccepted(subprotocol="chat"), "info", "Accepted with subprotocol chat."),
    (HandshakeRefused(status=403, reason="No token"), "warning", "Refused with HTTP 403: No token"),
    (ConnectionEnded(code=1000, by="client"), "info", "Closed by the client with 1000 (normal closure)."),
    (
        ConnectionEnded(code=1008, by="server", reason="too loud"),
        "warning",
        "Closed by the server with 1008 (policy violation): too loud",
    ),
    (ConnectionEnded(code=4000, by="server"), "info", "Closed by the server with 4000."),
    (ConnectionEnded(code=1005), "info", "Closed with 1005 (no status received)."),
    (ConnectionEnded(code=1006), "warning", "Ended without a close frame: 1006 (abnormal closure)."),
    (
        EndpointFailed(error="KeyError: 'x'", traceback="Traceback…", where="a.py:3"),
        "error",
        "The endpoint raised KeyError: 'x' at a.py:3.",
    ),
    (MemberJoined(room="chat", members=1), "info", "Joined room chat, which has 1 member now."),
    (MemberLeft(room="chat", members=0), "info", "Left room chat, which has 0 members now."),
    (RoomBroadcast(room="chat", members=1200), "debug", "Broadcast in room chat to 1,200 members."),
    (
        MessageDropped(room="chat", count=2, policy="drop-oldest"),
        "warning",
        "Too slow for room chat: 2 messages dropped (policy drop-oldest).",
    ),
    (
        LoopHeld(seconds=2.1, by="cell In[7], line 3"),
        "warning",
        "The loop was held for 2.10 seconds by cell In[7], line 3.",
    ),
    (LoopHeld(seconds=0.5), "warning", "The loop was held for 0.50 seconds."),
    (Printed(stream="stdout", text="hello"), "info", "Printed: hello"),
    (Printed(stream="stderr", text="Traceback:\n  more"), "warning", "Printed: Traceback:"),
    (
        Printed(stream="stdout", text="", left_out=1234),
        "warning",
        "Printed too much within a second: 1,234 characters left out.",
    ),
    (
        LimitReached(limit="rate", value=50, answer=1008),
        "warning",
        "Above the limit rate=50, answered with 1008.",
    ),
    (Notice(text="Careful.", level="warning"), "warning", "Careful."),
    (Notice(text="What?", level="shouting"), "info", "What?"),
]


@pytest.mark.parametrize(("event", "level", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_an_event_has_a_level_and_a_sentence(event, level, sentence):
    assert describe(event)[:2] == (level, sentence)


def test_every_event_class_has_a_sentence_of_its_own():
    classes = {getattr(events, name) for name in events.__all__} - {Event}
    assert {type(event) for event, _, _ in SENTENCES} == classes
    assert {describe(event).level for event, _, _ in SENTENCES} == set(LEVELS)


def test_what_explains_an_event_is_its_detail():
    assert describe(EndpointFailed(error="E", traceback="Traceback\n  line")).detail == "Traceback\n  line"
    assert describe(LoopHeld(seconds=1, where="In[7], line 3")).detail.startswith("It was at In[7], line 3.")
    assert (
        describe(Printed(stream="stdout", text="a\nb\nc", left_out=9)).detail
        == "b\nc\n[9 characters left out]"
    )
    assert describe(HandshakeRefused(status=403, reason="r", remedy="Add a token.")).detail == "Add a token."


def test_a_notice_of_many_lines_is_told_by_its_first():
    assert describe(Notice(text="First.\nSecond.\nThird.", level="error")) == (
        "error",
        "First.",
        "Second.\nThird.",
    )


def test_an_unknown_event_is_shown_by_name():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class SolarFlare(Event):
        size: int

    level, sentence, detail = describe(SolarFlare(size=3))
    assert (level, sentence) == ("info", "SolarFlare")
    assert "size=3" in detail
