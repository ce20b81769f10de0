"""The decision about one press; the button itself is tried in real kernels (tests/kernel)."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import types

import pytest

from wslab.journal import Journal
from wslab.server import interrupt
from wslab.server.interrupt import InterruptGuard, _Handler
from wslab.session import EndpointInterrupted
from wslab.session.current import work_for
from wslab.session.session import run_endpoint


@pytest.fixture(autouse=True)
def no_press():
    _Handler.pending = None
    yield
    _Handler.pending = None


@pytest.fixture(autouse=True)
def lab(monkeypatch):
    """A lab that is guarded, as in a kernel: its journal, and what it is told of tasks that were freed."""
    journal, told = Journal(), []
    guard = InterruptGuard(journal, lambda connection, where: told.append((connection, where)))
    monkeypatch.setattr(interrupt, "_guards", {id(journal): guard})
    return types.SimpleNamespace(journal=journal, told=told)


@pytest.fixture
def sent(monkeypatch):
    """Reminders are noted, not sent."""
    sent = []
    monkeypatch.setattr(interrupt._Press, "remind", lambda self, after: sent.append((self, after)))
    return sent


def press(handler):
    handler(signal.SIGINT, sys._getframe())


async def at_work(lab, act, *, asynchronous=False):
    """Call `act` as an endpoint of `lab`, as connection c7."""

    async def app(scope, receive, send):
        done = act()
        if asynchronous:
            await done

    async def serve():
        work_for("c7", lab.journal)
        await run_endpoint(app, {}, None, None)

    await asyncio.create_task(serve())


async def test_without_an_endpoint_the_press_goes_where_it_always_went(sent):
    passed = []
    press(_Handler(lambda *_: passed.append("on"), asyncio.get_running_loop()))
    press(_Handler(signal.SIG_IGN, asyncio.get_running_loop()))
    assert (passed, sent) == (["on"], [])


async def test_an_endpoint_at_work_by_chance_is_spared(sent, lab):
    passed = asyncio.Event()
    handler = _Handler(lambda *_: passed.set(), asyncio.get_running_loop())

    def work():
        press(handler)
        assert not passed.is_set()

    await at_work(lab, work)
    await asyncio.wait_for(passed.wait(), 5)
    assert sent[0][1] == interrupt.HELD


async def test_an_endpoint_that_holds_the_loop_is_freed_and_the_press_is_used_up(sent, lab):
    passed = []
    handler = _Handler(lambda *_: passed.append("on"), asyncio.get_running_loop())

    def hold():
        press(handler)
        press(handler)  # as the reminder does

    with pytest.raises(EndpointInterrupted):
        await at_work(lab, hold)
    await asyncio.sleep(0)
    assert passed == []


async def test_inside_asyncios_own_code_the_next_moment_is_tried(sent, lab):
    handler = _Handler(None, asyncio.get_running_loop())
    module = types.ModuleType("asyncio.pretended")
    exec("def call(act): act()", vars(module))

    def hold():
        press(handler)
        module.call(lambda: press(handler))
        assert [after for _, after in sent] == [interrupt.HELD, interrupt._AGAIN]
        press(handler)

    with pytest.raises(EndpointInterrupted):
        await at_work(lab, hold)


async def test_what_asyncios_coroutines_await_is_freed_at_once(sent, lab):
    """From Python 3.12 on, `asyncio.wait_for` stays on the stack of what it awaits."""
    handler = _Handler(None, asyncio.get_running_loop())
    module = types.ModuleType("asyncio.pretended")
    exec("async def wait_for(coroutine): return await coroutine", vars(module))

    async def spin():
        press(handler)
        press(handler)

    with pytest.raises(EndpointInterrupted):
        await at_work(lab, lambda: module.wait_for(spin()), asynchronous=True)


async def test_a_task_of_an_endpoint_is_freed_and_its_connection_named(sent, lab):
    passed = []
    handler = _Handler(lambda *_: passed.append("on"), asyncio.get_running_loop())

    async def spin():
        press(handler)
        press(handler)

    async def endpoint():
        task = asyncio.create_task(spin())
        await asyncio.wait([task])
        assert isinstance(task.exception(), EndpointInterrupted)

    await at_work(lab, endpoint, asynchronous=True)
    ((connection, where),) = lab.told
    assert connection == "c7"
    assert where.startswith(__file__)
    assert passed == []


async def test_a_callback_of_an_endpoint_is_freed_and_its_connection_named(sent, lab, monkeypatch):
    handler = _Handler(None, asyncio.get_running_loop())
    raised = []
    called = asyncio.Event()

    def spin():
        called.set()
        press(handler)
        try:
            press(handler)
        except EndpointInterrupted:
            raised.append(True)

    async def endpoint():
        asyncio.get_running_loop().call_soon(spin)

    await at_work(lab, endpoint, asynchronous=True)
    await called.wait()
    await asyncio.sleep(0)
    assert raised == [True]
    assert [connection for connection, _ in lab.told] == ["c7"]


async def test_the_endpoint_itself_is_told_by_what_it_raises(sent, lab):
    handler = _Handler(None, asyncio.get_running_loop())

    def hold():
        press(handler)
        press(handler)

    with pytest.raises(EndpointInterrupted):
        await at_work(lab, hold)
    await asyncio.sleep(0)
    assert lab.told == []


async def test_another_loops_endpoint_is_none_of_this_kernels(sent, lab):
    """A lab with a thread of its own has no guard: its endpoints never hold the kernel."""
    passed = []
    handler = _Handler(lambda *_: passed.append("on"), asyncio.get_running_loop())
    other = types.SimpleNamespace(journal=Journal())
    await at_work(other, lambda: press(handler))
    assert passed == ["on"]


async def test_a_reminder_that_comes_too_late_is_no_second_press(sent, lab):
    passed = []
    handler = _Handler(lambda *_: passed.append("on"), asyncio.get_running_loop())
    await at_work(lab, lambda: press(handler))
    await asyncio.sleep(0)
    assert passed == ["on"]
    sent[0][0].reminding = True
    press(handler)
    assert passed == ["on"]
    press(handler)
    assert passed == ["on", "on"]


def test_a_reminder_is_a_signal_unless_the_press_is_settled():
    received = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: received.set())
    try:
        settled = interrupt._Press()
        settled.settled = True
        settled._send()
        assert not settled.reminding
        waiting = interrupt._Press()
        waiting.remind(0)
        assert received.wait(5)
        assert waiting.reminding
    finally:
        signal.signal(signal.SIGINT, before)


class Events:
    def __init__(self):
        self.registered = []

    def register(self, name, function):
        self.registered.append((name, function))

    def unregister(self, name, function):
        self.registered.remove((name, function))


async def test_in_a_kernel_it_is_put_in_front_and_taken_away_again(monkeypatch):
    kernel = types.SimpleNamespace(saved_sigint_handler=signal.SIG_IGN)
    shell = types.SimpleNamespace(kernel=kernel, events=Events())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(interrupt, "_guards", {})
    guard = InterruptGuard(Journal(), print)
    guard.install()
    guard.install()
    assert isinstance(signal.getsignal(signal.SIGINT), _Handler)
    assert isinstance(kernel.saved_sigint_handler, _Handler)
    ((_, before_cell),) = shell.events.registered
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before_cell()
    assert signal.getsignal(signal.SIGINT).previous is signal.default_int_handler
    other = InterruptGuard(Journal(), print)
    other.install()
    other.remove()
    assert isinstance(kernel.saved_sigint_handler, _Handler)  # the first lab serves on
    guard.remove()
    guard.remove()
    assert (kernel.saved_sigint_handler, shell.events.registered) == (signal.SIG_IGN, [])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)
