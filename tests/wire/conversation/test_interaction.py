from __future__ import annotations

import pytest

from wslab.wire import Connection, Recorder
from wslab.wire.conversation import Closing, Opening, Said
from wslab.wire.conversation.interaction import PAUSE, groups, is_act, pauses, quiet_for, still_open
from wslab.wire.conversation.matchers import anything, captured

RECORDER = Recorder()
ROWS = {f"c{number}": Connection(number, "", RECORDER) for number in range(1, 9)}


def steps(*words, values=None):
    """Steps as words: ``c1 open``, ``c1 in``, ``c1 out @2.5``, ``c1 close``, ``c1 ended``, ``c1 refused``."""
    made = []
    for index, word in enumerate(words):
        name, what, *when = word.split()
        given = {"connection": ROWS[name], "at": float(when[0][1:]) if when else float(index)}
        content = (values or {}).get(index, "x")
        if what in {"open", "refused"}:
            status = 101 if what == "open" else 403
            step = Opening(**given, path=content, subprotocols=(), headers=(), status=status, subprotocol="")
        elif what in {"in", "out"}:
            by = "client" if what == "in" else "server"
            step = Said(**given, by=by, number=1, kind="text", content=content)
        else:
            step = Closing(**given, by="client" if what == "close" else "server", code=1000, reason="")
        made.append(step)
    return made


def grouped(made):
    return [sorted({step.connection.id for step in group}) for group in groups(made)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["c1 open", "c1 close", "c2 open"], [["c1"], ["c2"]]),
        (["c1 open", "c2 open", "c1 close"], [["c1", "c2"]]),
        (["c1 open", "c2 refused", "c3 open"], [["c1", "c2", "c3"]]),  # c1 has not ended
        (["c1 refused", "c2 open", "c2 ended", "c3 refused"], [["c1"], ["c2"], ["c3"]]),
        (
            ["c1 open", "c2 open", "c1 close", "c3 open", "c2 close", "c3 close", "c4 open"],
            [["c1", "c2", "c3"], ["c4"]],
        ),
        ([], []),
    ],
)
def test_what_was_open_at_the_same_time_belongs_together(words, found):
    assert grouped(steps(*words)) == found


def test_what_shares_a_captured_value_belongs_together():
    value = captured(anything())
    words = ["c1 open", "c1 out", "c1 close", "c2 open", "c2 close", "c3 open"]
    assert grouped(steps(*words, values={1: value})) == [["c1"], ["c2"], ["c3"]]
    assert grouped(steps(*words, values={1: value, 5: value})) == [["c1", "c3"], ["c2"]]


def test_the_order_of_the_recording_stays():
    made = steps("c1 open", "c2 open", "c2 in", "c1 in", "c1 close", "c2 close")
    assert groups(made) == [made]
    assert [is_act(step) for step in steps("c1 open", "c1 in", "c1 out", "c1 close", "c1 ended")] == [
        *[True, True, False],
        *[True, False],
    ]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["c1 open", "c2 open", "c1 in", "c2 in"], {3}),
        (["c1 open", "c1 in", "c1 in", "c1 close"], set()),
        (["c1 in", "c2 out", "c2 in", "c1 close"], {3}),
        (["c1 in", "c2 open", "c1 in"], {1}),
        (["c1 close", "c2 refused"], {1}),
    ],
)
def test_another_clients_act_waits_where_nothing_was_heard_of_the_one_before(words, found):
    assert pauses(steps(*words)) == found


@pytest.mark.parametrize(
    ("words", "end", "seconds"),
    [
        (["c1 open @0"], 0.01, 0),
        (["c1 open @0"], 1.0, PAUSE),
        (["c1 in @0", "c1 out @0"], 0.0, 0),  # an answer, and nothing else was about to come
        (["c1 in @0", "c1 out @0.1"], 0.3, PAUSE),
        (["c1 open @0", "c1 out @1", "c1 out @2"], 2.5, None),  # a stream
        (["c1 open @0", "c1 out @1", "c1 out @2"], 4.0, PAUSE),
        (["c1 open @0", "c1 out @1", "c1 out @2", "c1 out @2.01"], 3.0, None),
        (["c1 out @1", "c1 out @2", "c1 in @2.1", "c1 out @2.2"], 2.2, 0),
        (["c1 out @1", "c2 out @2", "c2 out @3"], 3.0, PAUSE),  # another one's
    ],
)
def test_silence_is_checked_where_the_recording_shows_it(words, end, seconds):
    before = steps(*words)
    after = steps("c1 in @0", "c1 out @0.01")
    assert quiet_for([*before, *after], len(before), ROWS["c1"], end) == seconds


def test_what_is_still_open_has_not_ended():
    made = steps("c1 open", "c2 open", "c3 refused", "c4 open", "c2 close", "c4 ended")
    assert still_open(made) == [ROWS["c1"]]
