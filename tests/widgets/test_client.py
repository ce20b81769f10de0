from __future__ import annotations

import pytest

from wslab.errors import NotRunningError
from wslab.widgets.client import ClientView

ADDRESS = {"port": 8123, "token": "s3cret", "base_url": "/user/ada/", "direct": "ws://127.0.0.1:8123"}


class Page:
    def __init__(self, address=lambda: ADDRESS, paths=lambda: ["/echo"]):
        self.view = ClientView(address, paths)
        self.messages = []
        self.now = 0.0
        self.view.send = lambda content, buffers=(): self.messages.append(content)  # noqa: ARG005 - the signature

    def say(self, content):
        """What the view answers, its number aside."""
        before = len(self.messages)
        self.view._dispatch(content, [])
        return [{key: value for key, value in sent.items() if key != "s"} for sent in self.messages[before:]]

    def tick(self):
        before = len(self.messages)
        self.now += 1.0
        self.view.tick(self.now)
        return self.messages[before:]


def test_the_address_answers_the_question_that_asked():
    assert Page().say({"t": "address", "id": 7}) == [{**ADDRESS, "t": "address", "id": 7}]


def test_the_address_is_asked_anew_each_time():
    ports = iter([1, 2])
    page = Page(lambda: {**ADDRESS, "port": next(ports)})
    answers = [page.say({"t": "address", "id": number})[0]["port"] for number in range(2)]
    assert answers == [1, 2]


def test_a_lab_that_does_not_serve_is_an_answer_too():
    def address():
        raise NotRunningError("The lab is not serving.", remedy="Call lab.start().")

    assert Page(address).say({"t": "address", "id": 1}) == [
        {"t": "address", "id": 1, "error": "The lab is not serving.", "remedy": "Call lab.start()."}
    ]


@pytest.mark.parametrize(
    "content",
    [
        {"t": "address"},
        {"t": "address", "id": "7"},
        {"t": "address", "id": True},
        {"t": "address", "id": {"x": 1}},
        {"t": "port", "id": 7},
        {},
    ],
)
def test_other_messages_of_a_page_are_not_answered(content):
    assert Page().say(content) == []


def test_an_address_cannot_forge_another_kind_of_message():
    answer = Page(lambda: {**ADDRESS, "t": "setup", "id": -1}).say({"t": "address", "id": 3})
    assert (answer[0]["t"], answer[0]["id"]) == ("address", 3)


def test_paths_are_sent_when_they_change_and_to_each_page():
    paths = ["/echo"]
    page = Page(paths=lambda: paths)
    page.say({"t": "hello"})
    assert [message["paths"] for message in page.tick()] == [["/echo"]]
    assert page.tick() == []
    paths.append("/chat/{room}")
    assert [message["paths"] for message in page.tick()] == [["/echo", "/chat/{room}"]]
    page.say({"t": "hello"})
    assert [message["paths"] for message in page.tick()] == [["/echo", "/chat/{room}"]]


def test_the_page_learns_the_names_of_close_codes():
    page = Page()
    page.say({"t": "hello"})
    assert page.tick()[0]["codes"]["1006"] == "abnormal closure"


def test_the_token_is_in_no_trait_and_in_no_fallback():
    page = Page()
    page.say({"t": "hello"})
    page.say({"t": "address", "id": 1})
    state = repr(page.view.get_state())
    assert "lab_token" in state  # the script that adds it
    assert "s3cret" not in state
    data, _ = page.view._repr_mimebundle_()
    assert "s3cret" not in repr(data)


def test_the_script_shows_the_url_without_its_token():
    source = ClientView(dict, list)._esm
    assert "new page.WebSocket(to.url, protocols)" in source
    assert source.count("to.url") == 1


def test_hostile_paths_are_escaped_in_the_fallbacks():
    view = ClientView(dict, lambda: ["/<script>alert(1)</script>\x1b[2J\u202e"])
    assert "<script>" not in view.static_html()
    assert "&lt;script&gt;" in view.static_html()
    for shown in (view.text(), view.static_html()):
        assert not {"\x1b", "\u202e"} & set(shown)


def test_the_page_learns_what_each_way_alters():
    page = Page()
    page.say({"t": "hello"})
    altered = page.tick()[0]["altered"]
    assert "1005" in altered["proxy"]
    assert (altered["direct"], altered["memory"]) == ("", "")


async def test_a_view_without_a_tunnel_refuses_one():
    content = {"t": "tunnel", "id": 7, "op": "open", "path": "/echo", "protocols": []}
    [refused] = Page().say(content)
    assert (refused["t"], refused["op"], refused["id"]) == ("tunnel", "refused", 7)
    assert Page().say({**content, "op": "send"}) == []
