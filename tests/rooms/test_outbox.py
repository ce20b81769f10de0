from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocket, WebSocketDisconnect

from wslab.errors import RoomError
from wslab.rooms.outbox import Outbox


class Reports:
    """What an outbox reported, in order."""

    def __init__(self):
        self.overflows = []
        self.ends = []

    def keywords(self):
        return {"on_overflow": lambda lost: self.overflows.append(dict(lost)), "on_end": self.ends.append}

    def lost(self):
        return sum((Counter(lost) for lost in self.overflows), Counter())


@pytest.fixture
def reports():
    return Reports()


async def test_messages_go_out_in_order_and_no_task_stays(connected, no_tasks):
    peer = await connected()
    outbox = Outbox(peer.ws)
    assert no_tasks()
    assert outbox.put("text", "a")
    assert outbox.put("bytes", b"b")
    assert peer.messages == []  # nothing is sent from within `put`
    await outbox.flush()
    assert peer.messages == ["a", b"b"]
    assert outbox.idle
    assert no_tasks()
    outbox.put("text", "c")
    await outbox.flush()
    assert peer.messages[-1] == "c"


async def test_a_slow_member_is_disconnected_and_reported_once(connected, settle, reports, no_tasks):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, limit=2, **reports.keywords())
    outbox.put("text", "0")
    await settle()
    assert [outbox.put("text", str(n), "lobby") for n in (1, 2, 3, 4)] == [True, True, False, False]
    await outbox.flush()
    assert reports.overflows == [{"lobby": 3}]
    assert reports.ends == [None]
    assert outbox.dropped == 3
    assert peer.closes == [(1013, "slow consumer")]
    assert peer.messages == []
    assert no_tasks()


async def test_a_member_deaf_to_its_close_is_given_up_in_time(connected, settle, reports, no_tasks):
    peer = await connected()
    peer.block()
    peer.deaf = True
    outbox = Outbox(peer.ws, limit=1, close_timeout=0.01, **reports.keywords())
    for n in range(3):
        outbox.put("text", str(n))
        await settle()
    await outbox.flush()  # would hang for ever without the time limit
    assert reports.ends == [None]
    assert peer.closes == []
    assert no_tasks()


async def test_a_slow_member_is_closed_only_after_its_send_has_ended(settle):
    seen = []

    async def send(message):
        seen.append(message["type"])
        if message["type"] == "websocket.send":
            try:
                await asyncio.Event().wait()
            finally:
                await settle(5)  # a server may have to tidy up
                seen.append("send ended")

    async def receive():
        return {"type": "websocket.connect"}

    ws = WebSocket({"type": "websocket", "path": "/", "headers": []}, receive, send)
    await ws.accept()
    outbox = Outbox(ws, limit=1)
    for _ in range(3):
        outbox.put("text", "a")
        await settle(1)
    await outbox.flush()
    assert seen == ["websocket.accept", "websocket.send", "send ended", "websocket.close"]


async def test_a_burst_before_the_drain_had_its_turn_is_not_slowness(connected, reports):
    peer = await connected()
    outbox = Outbox(peer.ws, limit=2, **reports.keywords())
    for n in range(50):
        assert outbox.put("text", str(n))
    await outbox.flush()
    assert peer.messages == [str(n) for n in range(50)]
    assert reports.ends == []


async def test_drop_oldest_keeps_the_newest_and_counts(connected, settle, reports):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, limit=3, policy="drop_oldest", **reports.keywords())
    outbox.put("text", "0", "a")
    await settle()
    for n in range(1, 21):
        assert outbox.put("text", str(n), "ab"[n % 2])
        assert len(outbox) <= 3
    peer.unblock()
    await outbox.flush()
    assert peer.messages == ["0", "18", "19", "20"]
    assert outbox.dropped == 17
    assert reports.lost() == {"a": 8, "b": 9}
    assert reports.overflows[0] == {"b": 1}  # the first loss is told at once
    assert len(reports.overflows) <= 2 + 17 // 3
    assert reports.ends == []


async def test_a_burst_beyond_the_limit_is_trimmed_once_the_send_is_held_up(connected, settle):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, limit=3, policy="drop_oldest")
    for n in range(10):
        outbox.put("text", str(n))
    await settle()
    outbox.put("text", "10")
    assert len(outbox) == 3
    peer.unblock()
    await outbox.flush()
    assert peer.messages == ["0", "8", "9", "10"]


@pytest.mark.parametrize("error", [OSError("reset"), RuntimeError("closed"), WebSocketDisconnect(1006)])
async def test_a_failing_send_ends_the_outbox_and_is_reported(connected, reports, no_tasks, error):
    peer = await connected()
    peer.error = error
    outbox = Outbox(peer.ws, **reports.keywords())
    outbox.put("text", "a")
    outbox.put("text", "b")
    await outbox.flush()
    (end,) = reports.ends
    assert isinstance(end, (type(error), WebSocketDisconnect))
    assert outbox.ended
    assert not outbox.put("text", "c")
    assert (len(outbox), peer.messages) == (0, [])
    assert no_tasks()


async def test_an_unforeseen_error_of_the_send_reaches_the_loops_handler_too(connected, reports):
    contexts = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    peer = await connected()
    peer.error = KeyError("middleware")
    outbox = Outbox(peer.ws, name="c7", **reports.keywords())
    outbox.put("text", "a")
    await outbox.flush()
    assert reports.ends == [peer.error]
    assert [context["exception"] for context in contexts] == [peer.error]
    assert "c7" in contexts[0]["message"]


async def test_a_client_that_hung_up_is_noticed_without_a_send(connected, reports):
    peer = await connected()
    await peer.hang_up()
    outbox = Outbox(peer.ws, **reports.keywords())
    outbox.put("text", "a")
    await outbox.flush()
    assert [type(end) for end in reports.ends] == [WebSocketDisconnect]
    assert peer.messages == []


async def test_close_leaves_no_task_and_reports_nothing(connected, settle, reports, no_tasks):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, **reports.keywords())
    outbox.put("text", "a")
    await settle()
    outbox.put("text", "b")
    outbox.close()
    outbox.close()
    await settle()
    assert no_tasks()
    assert (reports.ends, reports.overflows) == ([], [])
    assert not outbox.put("text", "c")


async def test_close_before_the_drain_took_its_first_step(connected, settle, no_tasks):
    peer = await connected()
    outbox = Outbox(peer.ws)
    outbox.put("text", "a")
    outbox.close()
    await outbox.flush()
    await settle()
    assert outbox.idle
    assert no_tasks()
    assert peer.messages == []


async def test_a_drain_cancelled_from_outside_does_not_stop_later_messages(connected, settle):
    peer = await connected()
    outbox = Outbox(peer.ws)
    for text in "ab":
        outbox.put("text", text)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await settle()
    outbox.put("text", "c")
    await outbox.flush()
    assert peer.messages == ["a", "b", "c"]


async def test_finish_sends_what_is_queued(connected, settle, no_tasks):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, close_timeout=3600)
    outbox.put("text", "a")
    outbox.put("text", "b")
    await settle()
    sending = outbox.finish()
    assert sending is not None
    peer.unblock()
    await sending
    assert peer.messages == ["a", "b"]
    assert no_tasks()


async def test_finish_does_not_wait_for_ever(connected, settle, no_tasks):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, close_timeout=0.01)
    outbox.put("text", "a")
    await settle()
    sending = outbox.finish()
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert outbox.ended
    assert no_tasks()


async def test_finish_can_be_taken_back(connected, settle):
    peer = await connected()
    peer.block()
    outbox = Outbox(peer.ws, close_timeout=0)
    outbox.put("text", "a")
    await settle()
    outbox.finish()
    outbox.resume()
    await settle()
    outbox.put("text", "b")
    peer.unblock()
    await outbox.flush()
    assert peer.messages == ["a", "b"]


async def test_finish_of_an_idle_outbox_or_a_closed_connection_ends_at_once(connected, settle, no_tasks):
    idle = await connected()
    assert Outbox(idle.ws).finish() is None
    gone = await connected()
    gone.block()
    outbox = Outbox(gone.ws, close_timeout=3600)
    outbox.put("text", "a")
    await settle()
    await gone.hang_up()
    outbox.finish()
    await settle()
    assert outbox.ended
    assert no_tasks()


async def test_messages_put_by_whoever_is_told_of_a_loss_are_sent(connected, settle):
    peer = await connected()
    peer.block()
    outbox = Outbox(
        peer.ws,
        limit=2,
        policy="drop_oldest",
        on_overflow=lambda lost: told.append(lost) or outbox.put("text", "!"),
    )
    told = []
    for n in range(4):
        outbox.put("text", str(n))
        await settle()
    outbox._on_overflow = lambda _: outbox.put("text", "last")
    outbox._lost["room"] = 1
    peer.unblock()
    await outbox.flush()
    assert peer.messages[-1] == "last"


def test_put_after_the_loop_is_gone_is_refused(new_peer):
    async def make():
        return Outbox(new_peer().ws)

    assert asyncio.run(make()).put("text", "a") is False


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"policy": "block"}])
async def test_limits_out_of_range_are_refused(connected, arguments):
    peer = await connected()
    with pytest.raises(RoomError, match="Expected"):
        Outbox(peer.ws, **arguments)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["put", "block", "unblock", "turn"]), max_size=60), limit=st.integers(1, 4)
)
def test_drop_oldest_loses_only_what_it_counts_and_keeps_the_order(steps, limit):
    async def play():
        gate = asyncio.Event()
        gate.set()
        sent, reports = [], Reports()

        async def send(message):
            if message["type"] == "websocket.send":
                await gate.wait()
                sent.append(int(message["text"]))

        async def receive():
            return {"type": "websocket.connect"}

        ws = WebSocket({"type": "websocket", "path": "/", "headers": []}, receive, send)
        await ws.accept()
        outbox = Outbox(ws, limit=limit, policy="drop_oldest", **reports.keywords())
        puts = 0
        for step in steps:
            match step:
                case "put":
                    outbox.put("text", str(puts), "room")
                    puts += 1
                case "block":
                    gate.clear()
                case "unblock":
                    gate.set()
                case "turn":
                    await asyncio.sleep(0)
        gate.set()
        await outbox.flush()
        assert sent == sorted(set(sent))
        assert len(sent) + outbox.dropped == puts
        assert reports.lost().total() == outbox.dropped
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(play())
