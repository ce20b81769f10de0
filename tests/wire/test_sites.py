from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from wslab.wire import Connection, FrameTable, Recorder, encode_frame
from wslab.wire.sites import Readers, Site, Sites, Spotter, own_file

HERE = Path(__file__)


def namespace(folder: str, source: str, **names: object) -> dict[str, object]:
    """What `source` defines, as if it stood in a file of that folder."""
    found = dict(names)
    exec(compile(source, f"{folder}/module.py", "exec"), found)
    return found


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def library(sites):
    """A library function that asks who called it, and one that calls it."""
    made = namespace(
        str(Path(os.__file__).parent),
        "def send(): return spotter.spot()\ndef send_json(): return send()\n",
        spotter=Spotter(sites),
        sys=sys,
    )
    return made["send"], made["send_json"]


def line_here() -> int:
    return sys._getframe(1).f_lineno


def test_the_line_is_the_users_own_however_deep_the_library(sites, library):
    send, send_json = library
    for call in (send, send_json, send_json, send):
        found, line = sites[call()], line_here()
        assert (Path(found.file).name, found.line) == (HERE.name, line)
        assert found.function == "test_the_line_is_the_users_own_however_deep_the_library"


def test_two_lines_of_one_function_are_two_sites(sites, library):
    send, _ = library
    numbers = [(send(), send()) for _ in range(3)]
    assert len(set(numbers)) == 1
    first, second = numbers[0]
    assert first != second
    assert sites[first].line == sites[second].line  # they stand in one line


def test_a_helper_of_the_users_is_the_line_and_not_its_caller(sites, library):
    send, _ = library

    def helper():
        return send()

    assert sites[helper()].function.endswith("helper")
    assert sites[send()].function == "test_a_helper_of_the_users_is_the_line_and_not_its_caller"
    assert sites[helper()].function.endswith("helper")


@pytest.mark.parametrize("module", ["asyncio.events", "asyncio.runners"])
def test_whoever_started_the_loop_is_nobody_at_work(sites, library, module):
    send, _ = library
    step = namespace(str(Path(os.__file__).parent), "def step(send): return send()", __name__=module)["step"]
    assert step(send) == 0
    assert sites[0] is None
    assert send() > 0


def test_the_stack_is_not_searched_beyond_the_server(sites, library):
    from wslab.wire.sites import _begins, begins_application

    send, _ = library
    server = namespace(str(Path(os.__file__).parent), "def serve(send): return send()")["serve"]
    assert sites[server(send)].function == "test_the_stack_is_not_searched_beyond_the_server"
    begins_application(server.__code__)
    try:
        fresh = namespace(
            str(Path(os.__file__).parent),
            "def send(): return spotter.spot()",
            spotter=Spotter(sites),
            sys=sys,
        )
        assert server(fresh["send"]) == 0
    finally:
        del _begins[id(server.__code__)]


def test_a_cells_code_is_named_by_its_cell(library):
    named = Sites(lambda code: "In[7]" if code.co_name == "cell" else "")

    def cell():
        return Spotter(named).spot()

    assert str(named[cell()]).startswith("In[7], line ")


def test_a_file_below_the_working_directory_is_relative_to_it(sites, monkeypatch):
    def here():
        return Spotter(sites).spot()

    number = here()
    monkeypatch.chdir(HERE.parent)
    assert sites[number].file == HERE.name


def test_a_file_below_the_home_does_not_say_whose_it_is(sites, monkeypatch, tmp_path):
    def here():
        return Spotter(sites).spot()

    number = here()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(HERE.parent.parent))
    assert sites[number].file == f"~{os.sep}{HERE.parent.name}{os.sep}{HERE.name}"


def test_a_sites_code_stays_the_one_it_was(sites):
    """Codes are told apart by their ids, which a later code would get if the first one were let go of."""
    numbers = set()
    for count in range(200):
        made = namespace(
            "/srv/me",
            f"def f(): return Spotter(sites).spot()\n#{count}",
            Spotter=Spotter,
            sites=sites,
            sys=sys,
        )
        numbers.add(made["f"]())
    assert len(numbers) == 200


def test_there_are_not_more_sites_than_can_be_kept(sites, monkeypatch):
    monkeypatch.setattr("wslab.wire.sites._MOST", 3)
    code = line_here.__code__
    assert [sites.number(code, place) for place in range(4)] == [1, 2, 0, 0]
    assert sites.number(code, 1) == 2


def test_installed_packages_are_nobodys_own_wherever_they_are():
    assert not own_file("/opt/elsewhere/site-packages/package/module.py")
    assert not own_file("<frozen importlib._bootstrap>")
    assert own_file("<ipython-input-3-abc>")


def test_readers_note_only_changes():
    readers = Readers()
    for site in (1, 1, 1, 2, 2, 1):
        readers.note(site)
    assert readers.runs == [(0, 1), (3, 2), (5, 1)]
    assert [readers.of(message) for message in range(-1, 7)] == [0, 1, 1, 1, 2, 2, 1, 0]


def test_of_many_changes_the_last_are_kept():
    readers = Readers()
    for message in range(2000):
        readers.note(1 + message % 2)
    assert readers.of(1999) == 2
    assert readers.of(1998) == 1
    assert readers.of(0) == 0


def test_messages_have_the_line_that_sent_or_received_them():
    recorder = Recorder(sites=Sites())
    connection = Connection(1, "a", recorder)
    for text in (b"one", b"two", b"three"):
        connection.received.feed(encode_frame(1, text, mask=True))
    connection.received.note_read()
    first = line_here() - 1
    connection.received.note_read()
    connection.sent.whole(encode_frame(1, b"answer"), connection.sent.spot())
    messages = FrameTable(recorder).messages()
    assert [message.text for message in messages] == ["one", "two", "three", "answer"]
    lines = [message.site.line if message.site else None for message in messages]
    assert lines == [first, first + 2, None, first + 3]
    assert messages[0].event == {"type": "websocket.receive", "text": "one"}
    assert messages[3].event == {"type": "websocket.send", "text": "answer"}


def test_lines_are_right_when_the_ring_has_dropped_the_beginning():
    recorder = Recorder(frames=2, sites=Sites())
    connection = Connection(1, "a", recorder)
    for number in range(5):
        connection.received.feed(encode_frame(1, b"%d" % number, mask=True))
        if number == 4:
            connection.received.note_read()
            last = line_here() - 1
        else:
            connection.received.note_read()
    assert [message.site.line for message in FrameTable(recorder).messages()] == [last + 3, last]


def test_without_sites_nothing_is_noted():
    connection = Connection(1, "a", Recorder())
    connection.received.note_read()
    assert connection.received.readers is None
    assert connection.sent.spot() == 0
    assert connection.reader(0) is None


def test_a_site_reads_well():
    assert str(Site("In[3]", 5, "echo")) == "In[3], line 5, in echo"
