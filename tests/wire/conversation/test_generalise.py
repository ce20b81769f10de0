from __future__ import annotations

import json
import uuid

import pytest

from wslab.errors import OptionError
from wslab.wire import Connection, FrameTable, Recorder, encode_frame
from wslab.wire.conversation import Opening, conversation
from wslab.wire.conversation.generalise import fill, generalise
from wslab.wire.conversation.matchers import Captured, NotCapturedError, a_text, captured, text_like

ID, OTHER = "00c0ffee00c0ffee", "0123456789abcdef"


def told(*said, path="/", **options):
    """What becomes of ``("in" or "out", content)``; the opening comes first."""
    recorder = Recorder()
    row = Connection(1, "", recorder)
    row.request = f"GET {path} HTTP/1.1\r\n\r\n".encode()
    row.note_response(b"HTTP/1.1 101 X\r\n\r\n", 101)
    for direction, content in said:
        data = content if isinstance(content, str) else json.dumps(content)
        flow = row.received if direction == "in" else row.sent
        flow.feed(encode_frame(1, data.encode(), mask=direction == "in"))
    steps = generalise(conversation(FrameTable(recorder), [row]).steps, **options)
    return [step.path if isinstance(step, Opening) else step.content for step in steps]


def test_what_the_server_says_once_is_matched_by_its_kind():
    _, said = told(("out", {"id": ID, "n": 1, "name": "ada", "price": 14.5}))
    assert said == {"id": OTHER, "n": 1, "name": "ada", "price": 14.5}
    assert repr(said["id"]) == "an_id(16)"
    assert (said["n"], said["name"], said["price"]) == (1, "ada", 14.5)


def test_what_the_client_said_first_is_compared_as_it_is():
    assert told(("in", {"id": ID}), ("out", {"id": ID, "text": f"got {ID}"}))[2] == {
        "id": ID,
        "text": f"got {ID}",
    }
    assert told(("out", ID), path=f"/a/{ID}")[1] == ID
    assert told(("in", f"I am {ID}."), ("out", [ID]))[2] == [ID]


def test_what_comes_again_must_be_the_same():
    _, first, second = told(("out", {"id": ID}), ("out", {"by": ID}))
    assert first["id"] is second["by"]
    assert first == {"id": OTHER}
    assert second != {"by": ID}
    assert second == {"by": OTHER}


def test_what_the_client_sends_back_is_the_new_one():
    _, first, sent, text = told(("out", {"id": ID}), ("in", {"id": ID, "a": [1]}), ("in", f"bye {ID}!"))
    assert first == {"id": OTHER}
    assert fill(sent) == {"id": OTHER, "a": [1]}
    assert fill(text) == f"bye {OTHER}!"


def test_it_is_taken_out_of_a_text_too():
    _, first, sent = told(("out", f"you are {ID}"), ("in", [ID]))
    assert first == f"you are {OTHER}"
    assert fill(sent) == [OTHER]


def test_two_equal_times_may_be_chance():
    def at(recorded):
        return [value["at"] if isinstance(value, dict) else value for value in recorded[1:]]

    now = int(__import__("time").time())
    first, second = at(told(("out", {"at": now}), ("out", {"at": now})))
    assert not isinstance(first, Captured)
    assert (first, second) == (now + 1, now + 2)
    first, second, sent = at(told(("out", {"at": now}), ("out", {"at": now}), ("in", {"at": now})))
    assert (first, second) == (now + 1, now + 2)
    assert fill(sent) == now + 1
    text = told(("out", f"now: {now}"), ("in", f"{now}"))
    assert text[1] == f"now: {now + 5}"
    assert fill(text[2]) == str(now + 5)


def test_what_was_sent_before_it_was_handed_out_is_sent_as_it_was():
    path, _, sent = told(("out", ID), ("in", OTHER), path="/x")
    assert (path, sent) == ("/x", OTHER)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "a_number()"),
        ("a", "a_text()"),
        (True, "a_bool()"),
        ([], "a_list()"),
        ({}, "an_object()"),
        (None, "anything()"),
    ],
)
def test_a_named_field_is_matched_by_its_type(value, kind):
    _, said = told(("out", {"a": {"b": value}, "c": value}), volatile=["$.a.b"])
    assert repr(said["a"]["b"]) == kind
    assert said["c"] is value or said["c"] == value
    assert repr(told(("out", {"a": value}), volatile=["$"])[1]) == "an_object()"


def test_a_named_field_that_is_sent_back_is_the_new_one():
    """A short value is believed to be that where the field is of the same name."""
    _, first, sent = told(("out", {"seat": 7}), ("in", {"seat": 7, "row": 7}), volatile=["seat"])
    assert first == {"seat": 9}
    assert fill(sent) == {"seat": 9, "row": 7}
    _, first, sent = told(("out", {"name": "guest-7"}), ("in", {"who": "guest-7"}), volatile=["name"])
    assert first == {"name": "guest-9"}
    assert fill(sent) == {"who": "guest-9"}


def test_in_an_exact_field_nothing_is_recognised():
    said = {"id": ID, "in": {"id": ID}}
    assert told(("out", said), exact=["id"])[1] == said
    assert repr(told(("out", said), exact=["$.id"])[1]["in"]["id"]) == "an_id(16)"
    assert repr(told(("out", said), exact=["$.in"])[1]["id"]) == "an_id(16)"
    assert told(("out", said), exact=["$.in"])[1]["in"] == {"id": ID}
    assert told(("out", ID), exact=["$"])[1] == ID
    with pytest.raises(OptionError):
        told(("out", ID), exact=["$["])


def test_a_path_with_an_id_that_was_handed_out_has_the_new_one():
    recorder = Recorder()
    made = str(uuid.uuid4())
    for number, path in ((1, "/login"), (2, f"/resume/{made}?again={made}")):
        row = Connection(number, "", recorder)
        row.request = (
            f"GET {path} HTTP/1.1\r\nX-Session: {made}\r\n\r\n".encode()
            if number == 2
            else b"GET /login HTTP/1.1\r\n\r\n"
        )
        row.note_response(b"HTTP/1.1 101 X\r\n\r\n", 101)
        row.sent.feed(encode_frame(1, made.encode()))
    login, said, resume, again = generalise(conversation(FrameTable(recorder)).steps)
    other = str(uuid.uuid4())
    with pytest.raises(NotCapturedError):
        fill(resume.path)
    assert said.content == other
    assert fill(login.path) == "/login"
    assert fill(resume.path) == f"/resume/{other}?again={other}"
    assert fill(dict(resume.headers)) == {"x-session": other}
    assert again.content == other
    assert again.content != made


def test_filling_leaves_all_else_alone():
    name = captured(a_text())
    assert name == "ada"
    value = {"a": [name, 1, None, {"b": text_like("<", name, ">")}], "c": b"x"}
    assert fill(value) == {"a": ["ada", 1, None, {"b": "<ada>"}], "c": b"x"}
