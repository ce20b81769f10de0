from __future__ import annotations

import asyncio
import json
import re
import secrets

import pytest

import wslab
from wslab.client.replay import Difference, Replay, ReplayError
from wslab.errors import ConnectionClosed, ConnectionRefused, NotAnAppError, RecordingError, StartupError
from wslab.wire import FrameTable, Recorder, load


def make_app(**changes):
    """A server of which each detail can be another one."""
    has = {
        "greeting": "hello",
        "answer": {"ok": True, "items": [1, {"n": 2.0}]},
        "code": 4001,
        "reason": "enough",
        "chosen": "two",
        "times": 1,
        "status": None,
        "said_last": (),
        "room": True,
        **changes,
    }
    app = wslab.App()
    handed_out, members = set(), []

    @app.websocket("/session")
    async def session(ws: wslab.WebSocket):
        await ws.accept(has["chosen"])
        token = secrets.token_hex(16)
        handed_out.add(token)
        await ws.send_text(f"{has['greeting']}, you are {token}")
        back = await ws.receive_json()
        assert back["token"] in handed_out
        for _ in range(has["times"]):
            await ws.send_json({**has["answer"], "token": token})
        await ws.close(has["code"], has["reason"])

    @app.websocket("/room/{name}")
    async def room(ws: wslab.WebSocket, name: str):
        await ws.accept()
        members.append(ws)
        try:
            async for data in ws.iter_bytes():
                for member in members if has["room"] else [ws]:
                    await member.send_bytes(name.encode() + data)
                for text in has["said_last"]:
                    await ws.send_text(text)
        finally:
            members.remove(ws)

    @app.websocket("/no")
    async def no(ws: wslab.WebSocket):
        if has["status"] is None:
            await ws.accept()
            await ws.receive()
            return
        raise wslab.HTTPException(has["status"], "not you")

    return app


async def hold(lab):
    """The conversation that is recorded."""
    one = await lab.connect("/session", via="memory", subprotocols=["one", "two"])
    token = (await one.receive(5)).rpartition(" ")[2]
    await one.send(json.dumps({"token": token}))
    await one.receive(5)
    with pytest.raises(ConnectionClosed):
        await one.receive(5)
    ada = await lab.connect("/room/ada", via="memory")
    bob = await lab.connect("/room/bob", via="memory")
    for client in (ada, bob, ada):
        await client.send(b"\x00\xff")
        assert [await ada.receive(5), await bob.receive(5)] != []
    await ada.close(4000, "bye")
    bob.abort()
    with pytest.raises(ConnectionRefused):
        await lab.connect("/no", via="memory")
    await lab.until(lambda: not lab.connections.alive)


@pytest.fixture
async def lab():
    lab = wslab.Lab(make_app(status=418))
    await hold(lab)
    yield lab
    await lab.stop()


async def test_what_the_server_says_again_is_no_difference(lab):
    before, frames = lab.connections.ever, len(lab.frames)
    replay = await lab.replay(lab.frames, connections=lab.connections)
    assert replay, replay
    assert (replay.ok, replay.done, replay.difference) == (True, 19, None)
    assert repr(replay) == "<Replay: 19 steps as recorded>"
    replay.raise_for_difference()
    assert replay.frames is lab.frames
    again = list(lab.connections)[before:]
    assert [row.path for row in again] == ["/session", "/room/ada", "/room/bob", "/no"]
    assert [str(row.close and row.close.code) for row in again] == ["4001", "4000", "1006", "None"]
    assert len(lab.frames) >= 2 * frames


@pytest.mark.parametrize("suffix", [".har", ".jsonl"])
async def test_a_file_is_played_with_the_refusals_in_it(lab, tmp_path, suffix):
    path = tmp_path / f"session{suffix}"
    lab.save(path)
    for source in (path, str(path), load(path)):
        replay = await lab.replay(source)
        assert (replay.ok, replay.steps) == (True, 19), replay
    assert (await lab.replay(path, connections=["c2", "c3"])).steps == 13
    assert (await lab.replay(path, where="conn==c1")).steps == 5


CHANGES = {
    "greeting": (
        {"greeting": "good day"},
        (
            "c1",
            "message 1",
            r"text_like\('hello, you are ', an_id\(32\)\)",
            r"'good day, you are \w{32}'",
            "",
        ),
    ),
    "answer": (
        {"answer": {"ok": True, "items": [1, {"n": 3}]}},
        ("c1", "message 2", "2.0", "3", "$.items[1].n"),
    ),
    "type": ({"answer": {"ok": 1, "items": [1, {"n": 2}]}}, ("c1", "message 2", "True", "1", "$.ok")),
    "member": (
        {"answer": {"ok": True, "more items": []}},
        ("c1", "message 2", r".1, .'n': 2.0..", "nothing", "$.items"),
    ),
    "silence": (
        {"times": 0},
        ("c1", "message 2", r".'ok'.*", "a close by the server with 4001 .enough.", ""),
    ),
    "more": (
        {"times": 2},
        ("c1", "close", "a close by the server with 4001 .enough.", "one message more, .*", ""),
    ),
    "code": ({"code": 4002}, ("c1", "close", r".* 4001 \(enough\)", r".* 4002 \(enough\)", "")),
    "reason": ({"reason": ""}, ("c1", "close", r".* 4001 \(enough\)", ".* 4001", "")),
    "subprotocol": ({"chosen": "one"}, ("c1", "subprotocol", "two", "one", "")),
    "room": ({"room": False}, ("c3", "message 1", r"b'ada\\x00\\xff'", "nothing within 0.3 s", "")),
    "last": ({"said_last": ["x"]}, ("c2", "message 2", r"b'bob\\x00\\xff'", "'x'", "")),
    "accepted": ({"status": None}, ("c4", "handshake", "HTTP 418", "HTTP 101", "")),
    "status": ({"status": 401}, ("c4", "handshake", "HTTP 418", r"HTTP 401 \(not you\)", "")),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_the_first_difference_is_reported(lab, change):
    changes, (connection, what, expected, got, where) = CHANGES[change]
    app = make_app(**{"status": 418, **changes})
    replay = await lab.replay(lab.frames, app, connections=lab.connections, timeout=0.3)
    found = replay.difference
    assert not replay, replay
    assert (found.connection, found.what, found.where) == (connection, what, where)
    assert re.fullmatch(expected, found.expected), found.expected
    assert re.fullmatch(got, found.got), found.got
    assert replay.done < replay.steps
    for shown in (connection, what, found.expected, found.got):
        assert shown in repr(replay)
    with pytest.raises(AssertionError, match=f"{connection} .*, {what}") as raised:
        replay.raise_for_difference()
    assert isinstance(raised.value, ReplayError)
    assert raised.value.difference is found
    await lab.until(lambda: not lab.connections.alive)  # nothing is left open


async def test_a_last_message_more_is_a_difference():
    lab = wslab.Lab(make_app(status=418))
    client = await lab.connect("/room/ada", via="memory")
    await client.send(b"x")
    await client.receive(5)
    await client.close()
    replay = await lab.replay(lab.frames, make_app(said_last=["and", "more"]))
    await lab.stop()
    assert repr(replay).splitlines() == [
        "<Replay: 3 of 4 steps as recorded>",
        "  c1 (/room/ada), end:",
        "  expected no further message",
        "  got      'and'",
    ]


async def test_another_application_shows_on_the_record_and_leaves_the_labs_own_alone(lab):
    own, before = lab.app, lab.connections.ever
    assert await lab.replay(lab.frames, make_app(status=418))
    assert lab.connections.ever == before + 3
    assert lab.app is own
    assert await lab.replay(lab.frames)
    with pytest.raises(NotAnAppError):
        await lab.replay(lab.frames, "app")


async def test_an_application_that_does_not_start_is_an_error(lab):
    async def broken(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartupError, match="no database"):
        await lab.replay(lab.frames, broken)


async def test_any_asgi_application_answers(lab):
    """Also one without a lifespan, which says so by raising (ASGI lifespan protocol 2.0)."""

    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["bytes"] == b"\x00\xff"
        await send({"type": "websocket.send", "bytes": b"other"})

    replay = await lab.replay(lab.frames, app, connections=["c2"])
    assert (replay.difference.what, replay.difference.got) == ("message 1", "b'other'")


async def test_a_server_that_ends_too_early_is_a_difference(lab):
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 3000})

    replay = await lab.replay(lab.frames, app, connections=["c2"])
    assert replay.difference.got == "a close by the server with 3000"
    assert replay.difference.what in {"message 1 to the server", "message 1"}


async def test_it_is_played_in_the_loop_of_a_labs_thread():
    lab = wslab.Lab(make_app(status=418), loop="thread")
    await lab.start()
    await hold(lab)
    assert await lab.replay(lab.frames)
    other = await lab.replay(lab.frames, make_app(greeting="hi"))
    assert other.difference.connection == "c1"
    assert other.frames is not lab.frames  # the thread alone writes to the lab's record
    assert next(iter(other.frames)).name == "TEXT"
    await lab.stop()


async def test_a_lab_that_asks_for_its_token_lets_its_own_replay_in(tmp_path):
    lab = wslab.Lab(make_app(status=418), auth="token")
    await lab.start()
    async with lab.connect("/room/x?a=1") as client:
        await client.send(b"1")
        await client.receive(5)
    lab.save(tmp_path / "x.har")
    assert await lab.replay(tmp_path / "x.har")
    assert lab.connections[-1].path.startswith("/room/x?a=1&lab_token=[redacted")
    await lab.stop()


async def test_a_browsers_own_recording_is_a_source(lab, tmp_path):
    messages = [
        {"type": "send", "time": 1784815932.2, "opcode": 2, "data": "AP8="},
        {"type": "receive", "time": 1784815932.3, "opcode": 2, "data": "YWRhAP8="},
    ]
    head = {"method": "GET", "url": "ws://127.0.0.1:5000/room/ada", "httpVersion": "HTTP/1.1"}
    answer = {"status": 101, "statusText": "Switching Protocols", "headers": []}
    entry = {
        "startedDateTime": "2026-07-23T14:12:12.000Z",
        "_resourceType": "websocket",
        "request": {**head, "headers": [{"name": "Cookie", "value": "secret=1"}]},
        "response": answer,
        "_webSocketMessages": messages,
    }
    path = tmp_path / "browser.har"
    path.write_text(json.dumps({"log": {"entries": [entry]}}))
    assert await lab.replay(path, make_app())
    messages[1]["data"] = "YWRh"
    path.write_text(json.dumps({"log": {"entries": [entry]}}))
    replay = await lab.replay(path, make_app())
    assert (replay.difference.expected, replay.difference.got) == ("b'ada'", r"b'ada\x00\xff'")


@pytest.mark.parametrize("line", ["A B: c", "Sec-WebSocket-Protocol: x y", "X: \x01"])
async def test_a_request_that_no_client_may_send_is_refused(lab, line):
    """A file is as hostile as the network."""
    row = next(iter(lab.connections))
    row.request = row.request.replace(b"\r\n\r\n", f"\r\n{line}\r\n\r\n".encode())
    with pytest.raises(RecordingError, match="a request that can be sent again, got c1's, which cannot"):
        await lab.replay(lab.frames)
    await lab.until(lambda: not lab.connections.alive)


async def test_fields_are_named_volatile_or_exact(lab):
    app = make_app(status=418, answer={"ok": False, "items": [1, {"n": 5}]})
    assert not await lab.replay(lab.frames, app)
    assert await lab.replay(lab.frames, app, volatile=["ok", "$.items[*].n"])
    replay = await lab.replay(lab.frames, exact=["$.token"], connections=["c1"])
    assert replay.difference.where == "$.token"


async def test_what_was_lost_cannot_be_played(lab):
    lab.frames.recorder.clear()
    lost = next(iter(lab.connections))
    with pytest.raises(RecordingError, match=r"Expected all frames of c1, got 0 of 2 \(in\)"):
        await lab.replay(lab.frames, connections=[lost])
    with pytest.raises(RecordingError, match="got none"):
        await lab.replay(FrameTable(Recorder()))
    assert not lab.connections.alive


async def test_the_applications_time_to_take_in_is_given():
    """Two clients, and nothing of the server's between what they do: the room is there for the second one."""
    joined = []
    app = wslab.App()

    @app.websocket("/{name}")
    async def room(ws: wslab.WebSocket, name: str):
        await ws.accept()
        said = await ws.receive_text()
        for _ in range(30):
            await asyncio.sleep(0)
        if said == "join":
            joined.append(ws)
            await ws.receive()
            return
        for member in joined:
            await member.send_text(said)
        joined.clear()
        await ws.receive()

    lab = wslab.Lab(app)
    one, two = [await lab.connect(f"/{name}", via="memory") for name in ("one", "two")]
    await one.send("join")
    await lab.until(lambda: joined)
    await two.send("hello")
    await one.receive(5)
    await one.close()
    await two.close()
    replay = await lab.replay(lab.frames)
    await lab.stop()
    assert replay, replay


def test_what_it_shows_is_escaped():
    found = Difference("c1", "/<b>\u202e", "message 1", "'<script>'", "'\x1b[2J'")
    replay = Replay(1, 2, found, ("c2: <i>",))
    shown = replay._repr_html_()
    assert "<b>" not in shown
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "&lt;script&gt;" in shown
    for text in (shown, repr(replay), str(found)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "left out: c2: <i>" in repr(replay)
    assert "2 steps as recorded" in Replay(2, 2)._repr_html_()
