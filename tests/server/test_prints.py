"""What endpoints print; the cells it goes to are tried in real kernels (tests/kernel)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
import traceback

import pytest

from wslab.events import EndpointFailed, Printed
from wslab.journal import Journal
from wslab.server import prints as module
from wslab.server.cells import Cells
from wslab.server.prints import CHARACTERS, EVENTS, Prints
from wslab.session.current import work_for


class Terminal(io.StringIO):
    """A standard stream of a program."""


class Notebook(io.StringIO):
    """A standard stream as ipykernel has it, as far as it matters."""

    def set_parent(self, parent):
        self.parent = parent


class Serving:
    """Prints of one lab, and its journal."""

    def __init__(self):
        self.journal = Journal()
        self.cells = Cells()
        self.prints = Prints(self.journal, self.cells)

    def begin(self, monkeypatch, make=Terminal):
        """Start among standard streams of the test's own; in a fixture, pytest would replace them."""
        streams = make(), make()
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        self.start()
        return streams

    def start(self):
        self.prints.start(asyncio.get_running_loop())
        return self

    async def endpoint(self, act, connection="c1"):
        """Run `act` as the server runs an endpoint: in a task of its own."""

        async def serve():
            work_for(connection, self.journal)
            made = act()
            if made is not None:
                await made

        await asyncio.create_task(serve())

    def printed(self):
        return [(e.connection, e.stream, e.text) for e in self.journal if isinstance(e, Printed)]

    async def printed_soon(self, count):
        """The prints, as soon as there are as many."""
        grown = asyncio.Event()
        with contextlib.ExitStack() as stack:
            stack.callback(self.journal.subscribe(lambda _: grown.set()))
            async with asyncio.timeout(10):
                while len(self.printed()) < count:
                    grown.clear()
                    await grown.wait()
        return self.printed()


@pytest.fixture
def serving():
    made = Serving()
    yield made
    made.prints.stop()


async def test_a_print_goes_where_it_went_and_to_the_journal_at_once(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    await serving.endpoint(lambda: print("one", "line"))
    assert streams[0].getvalue() == "one line\n"
    assert serving.printed() == [("c1", "stdout", "one line")]


async def test_child_tasks_and_threads_belong_to_the_connection(serving, monkeypatch):
    serving.begin(monkeypatch)

    async def child():
        print("task")

    async def act():
        await asyncio.create_task(child())
        await asyncio.to_thread(print, "thread")

    await serving.endpoint(act)
    assert await serving.printed_soon(2) == [("c1", "stdout", "task"), ("c1", "stdout", "thread")]


async def test_what_no_endpoint_prints_is_not_told(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    print("mine")
    print("mine too", file=sys.stderr)
    assert [stream.getvalue() for stream in streams] == ["mine\n", "mine too\n"]
    assert list(serving.journal) == []


async def test_a_traceback_is_one_event(serving, monkeypatch):
    serving.begin(monkeypatch)

    def act():
        try:
            {}["missing"]
        except KeyError:
            traceback.print_exc()

    await serving.endpoint(act)
    ((connection, stream, text),) = await serving.printed_soon(1)
    assert (connection, stream) == ("c1", "stderr")
    assert text.startswith("Traceback")
    assert text.endswith("KeyError: 'missing'")


async def test_what_was_printed_before_stands_before(serving, monkeypatch):
    serving.begin(monkeypatch)

    def act():
        print("first", file=sys.stderr)
        print("second")
        sys.stdout.writelines(["third", "\n"])

    await serving.endpoint(act)
    assert [text for _, _, text in serving.printed()] == ["first", "second", "third"]


async def test_the_streams_are_put_back(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    serving.start()
    other = Serving().start()
    assert sys.stdout is not streams[0]
    serving.prints.stop()
    assert sys.stdout is not streams[0]  # the other still needs it
    other.prints.stop()
    other.prints.stop()
    assert sys.stdout is streams[0]
    assert sys.stderr is streams[1]


async def test_a_lab_that_nobody_stopped_ends_with_its_loop(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    other = Serving()
    loop = asyncio.new_event_loop()
    other.prints.start(loop)
    assert other.prints.serves
    loop.close()
    assert not other.prints.serves
    serving.prints.stop()
    assert sys.stdout is streams[0]


async def test_two_labs_with_the_same_connection_ids_are_kept_apart(serving, monkeypatch):
    serving.begin(monkeypatch)
    other = Serving().start()
    await other.endpoint(lambda: print("elsewhere"))
    await serving.endpoint(lambda: print("here"))
    other.prints.stop()
    assert (serving.printed(), other.printed()) == (
        [("c1", "stdout", "here")],
        [("c1", "stdout", "elsewhere")],
    )


async def test_a_stream_put_on_top_stays_and_what_is_below_is_found_again(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    kept = io.StringIO()
    with contextlib.redirect_stdout(kept):
        serving.prints.stop()
        print("kept")
    assert kept.getvalue() == "kept\n"
    print("through")  # what the redirection put back has nothing to do any more, and gets out of the way
    assert streams[0].getvalue() == "through\n"
    serving.start()
    serving.prints.stop()
    assert sys.stdout is streams[0]


async def test_a_program_without_streams_stays_without(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    serving = Serving().start()
    assert (sys.stdout, sys.stderr) == (None, None)
    serving.prints.stop()


async def test_the_stream_is_taken_for_what_it_stands_in_front_of(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    assert isinstance(sys.stdout, Terminal)
    assert sys.stdout.getvalue() == ""
    sys.stdout.note = 3
    assert streams[0].note == 3
    assert "wslab" in repr(sys.stdout)


async def test_ipythons_listening_to_a_cell_hears_the_cell_alone(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    heard = []
    before = sys.stdout.write

    def tee(text):
        heard.append(text)
        return before(text)

    sys.stdout.write = tee
    print("cell")
    await serving.endpoint(lambda: print("endpoint"))
    sys.stdout.write = before
    print("after")
    assert "".join(heard) == "cell\n"
    assert streams[0].getvalue() == "cell\nendpoint\nafter\n"


async def test_a_reader_that_prints_does_not_answer_itself(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    serving.journal.subscribe(lambda event: print("read", event.text))
    await serving.endpoint(lambda: print("one"))
    assert serving.printed() == [("c1", "stdout", "one")]
    assert streams[0].getvalue() == "one\nread one\n"


async def test_many_prints_are_gathered(serving, monkeypatch):
    serving.begin(monkeypatch)

    def act():
        for number in range(EVENTS * 10):
            print(number)

    await serving.endpoint(act)
    assert len(serving.printed()) <= EVENTS
    *_, (_, _, last) = await serving.printed_soon(EVENTS + 1)
    assert last.splitlines()[-1] == f"{EVENTS * 10 - 1}"


async def test_too_much_is_left_out_and_counted_and_the_terminal_has_it_all(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    line, count = "x" * 99, 2 * CHARACTERS // 100

    def act():
        for _ in range(count):
            print(line)

    await serving.endpoint(act)
    written = count * 100
    serving.prints.stop()
    events = [event for event in serving.journal if isinstance(event, Printed)]
    kept = sum(len(event.text) for event in events)
    left_out = sum(event.left_out for event in events)
    assert len(streams[0].getvalue()) == written
    assert kept <= CHARACTERS
    assert written - len(events) - count < kept + left_out <= written  # the ends of lines apart
    assert all(len(event.text) <= module._EVENT for event in events)


async def test_a_notebook_gets_no_more_than_the_log_and_is_told(monkeypatch):
    serving = Serving()
    out, err = serving.begin(monkeypatch, Notebook)
    await serving.endpoint(lambda: print("x" * 5 * CHARACTERS))
    serving.prints.stop()
    assert len(out.getvalue()) == CHARACTERS
    assert err.getvalue() == f"[wslab: {4 * CHARACTERS + 1:,} characters that c1 printed are left out]\n"


async def test_one_that_floods_does_not_silence_another(serving, monkeypatch):
    serving.begin(monkeypatch)
    await serving.endpoint(lambda: print("x" * CHARACTERS), "c1")
    await serving.endpoint(lambda: print("hello"), "c2")
    assert serving.printed()[-1] == ("c2", "stdout", "hello")


async def test_a_notebooks_cell_is_shown_what_an_endpoint_raised(monkeypatch):
    serving = Serving()
    _, err = serving.begin(monkeypatch, Notebook)
    serving.journal.publish(EndpointFailed(connection="c3", error="E", traceback="Traceback\n  E\n"))
    serving.prints.stop()
    serving.journal.publish(EndpointFailed(connection="c4", error="E", traceback="later"))
    assert err.getvalue() == "wslab: the endpoint of c3 raised\nTraceback\n  E\n"


async def test_prints_after_the_stop_go_straight_through(serving, monkeypatch):
    streams = serving.begin(monkeypatch)
    stream = sys.stdout
    serving.prints.stop()
    await serving.endpoint(lambda: print("late", file=stream))
    assert streams[0].getvalue() == "late\n"
    assert list(serving.journal) == []


async def test_many_threads_lose_nothing(serving, monkeypatch):
    serving.begin(monkeypatch)

    def shout():
        for number in range(50):
            print(f"{threading.get_ident()} {number}")

    await serving.endpoint(lambda: asyncio.gather(*(asyncio.to_thread(shout) for _ in range(4))))
    serving.prints.stop()
    text = "".join(f"{text}\n" for _, _, text in serving.printed())
    assert sum(f" {number}" in text for number in range(50)) == 50
    assert text.count(" ") == 200
