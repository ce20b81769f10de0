"""Code that waits for a server which waits for it; in real kernels: tests/kernel/test_lab_lag.py."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import threading
import time
import urllib.request
from contextvars import Context

import pytest
from websockets.sync.client import connect

from wslab.journal import Journal
from wslab.server import deadlock
from wslab.server.deadlock import DeadlockGuard, find_socket, free, what_to_write
from wslab.server.stacks import Holder


@pytest.fixture
def address():
    """A server that accepts and never answers."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(stack.enter_context(listener.accept()[0]))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


class Waiting:
    """A thread that does something blocking."""

    def __init__(self, act):
        self.error = None
        self._act = act
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - whatever a client raises when it is cut
            self.error = error

    @property
    def frame(self):
        return sys._current_frames().get(self._thread.ident)

    def socket(self, address):
        """The socket that it waits at, as soon as it does."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            frame = self.frame
            found = find_socket(frame, address) if frame else None
            if found is not None:
                return found
            time.sleep(0.01)
        raise AssertionError("Expected a thread that waits at a socket.")

    def end(self):
        self._thread.join(10)
        assert not self._thread.is_alive()


def ask_urllib(address):
    urllib.request.urlopen(f"http://127.0.0.1:{address[1]}/")


def ask_http(address):
    with contextlib.closing(http.client.HTTPConnection(*address)) as connection:
        connection.request("GET", "/")
        connection.getresponse()


def ask_websockets(address):
    connect(f"ws://127.0.0.1:{address[1]}/", proxy=None, open_timeout=None)


def ask_socket(address):
    with socket.create_connection(address) as sock:
        if not sock.recv(10):
            raise EOFError("cut")


def ask_attribute(address):
    class Client:
        pass

    client = Client()
    client.sock = socket.create_connection(address)
    with client.sock:
        received = client.sock.recv(
            10,
        )
        if not received:
            raise EOFError("cut")


@pytest.mark.parametrize("ask", [ask_urllib, ask_http, ask_websockets, ask_socket, ask_attribute])
def test_the_socket_is_found_and_freed(ask, address):
    waiting = Waiting(lambda: ask(address))
    sock = waiting.socket(address)
    assert sock.getpeername() == address
    assert find_socket(waiting.frame, ("127.0.0.1", 1)) is None
    assert find_socket(waiting.frame, ("", 0)) is None
    free(sock)
    waiting.end()
    assert waiting.error is not None
    free(sock)  # harmless when it is closed


def test_a_socket_that_is_only_there_is_not_waited_at(address):
    asleep, wake = threading.Event(), threading.Event()

    def sleep():
        with socket.create_connection(address) as sock:
            asleep.set()
            wake.wait(10)
            sock.close()

    waiting = Waiting(sleep)
    assert asleep.wait(10)
    assert find_socket(waiting.frame, address) is None
    wake.set()
    waiting.end()


def test_a_socket_of_a_loop_is_not_waited_at(address):
    with socket.create_connection(address) as sock:
        assert deadlock._leads_to(sock, address)
        sock.setblocking(False)
        assert not deadlock._leads_to(sock, address)


def test_looking_at_an_object_runs_none_of_its_code():
    class Proxy:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    assert list(deadlock._sockets(Proxy())) == []


class Told:
    """Stands for the cells: what they are told."""

    def __init__(self):
        self.texts = []

    def tell(self, text):
        self.texts.append(text)


@pytest.fixture
def guard(address):
    journal, cells = Journal(), Told()
    return journal, cells, DeadlockGuard(journal, cells, lambda: address)


def test_it_is_told_once_and_freed_after_a_while(guard, address):
    journal, cells, guard = guard
    waiting = Waiting(lambda: ask_urllib(address))
    waiting.socket(address)
    holder = Holder("cell In[7], line 3")
    guard.look(waiting.frame, holder, deadlock.TELL / 2)
    assert cells.texts == []
    guard.look(waiting.frame, holder, deadlock.TELL)
    guard.look(waiting.frame, holder, deadlock.TELL * 2)
    (text,) = cells.texts
    assert text.startswith(f"wslab: cell In[7], line 3 waits for the lab's server at 127.0.0.1:{address[1]}")
    assert [(event.text, event.level) for event in journal] == [(text, "error")]
    assert waiting.error is None
    guard.look(waiting.frame, holder, deadlock.FREE)
    waiting.end()
    assert waiting.error is not None


def test_the_next_case_is_told_again_and_an_endpoints_with_its_connection(guard, address):
    journal, cells, guard = guard
    waiting = Waiting(lambda: ask_urllib(address))
    sock = waiting.socket(address)
    guard.look(waiting.frame, Holder("cell In[7]"), deadlock.TELL * 2)
    guard.look(waiting.frame, Holder("endpoint chat", "c3"), deadlock.TELL)
    assert [event.connection for event in journal] == ["", "c3"]
    assert 'loop="thread"' in cells.texts[0]
    assert 'loop="thread"' not in cells.texts[1]  # it would hold that thread's loop
    free(sock)
    waiting.end()


def test_code_that_waits_for_something_else_is_told_nothing(guard):
    journal, cells, guard = guard
    guard.look(sys._getframe(), Holder("cell In[7]"), deadlock.FREE * 2)
    assert (list(journal), cells.texts) == ([], [])


def present(*_, **__):
    return what_to_write(sys._getframe(1))


def test_the_advice_is_the_call_itself_in_a_thread():
    url = "http://127.0.0.1"
    expected = "await asyncio.to_thread(present, url, timeout=5)  # the same call, in a thread"
    assert present(url, timeout=5)[0] == expected
    lines = present(
        "ö" + url,
        *[url],
    )
    assert lines[0] == "await asyncio.to_thread(present, 'ö' + url, *[url])  # the same call, in a thread"


def test_a_call_without_source_gets_general_advice():
    lines = []
    exec("lines.append(present())", {"lines": lines, "present": present})
    assert lines[0][0].startswith("await asyncio.to_thread(…)")


def test_a_client_of_websockets_is_told_to_connect_by_the_lab_first(address):
    waiting = Waiting(lambda: ask_websockets(address))
    sock = waiting.socket(address)
    assert what_to_write(waiting.frame)[0].startswith("async with lab.connect(")
    free(sock)
    waiting.end()


def test_the_context_of_no_cell_is_empty():
    from wslab.server.cells import Cells

    assert list(Cells().own) == list(Context())
