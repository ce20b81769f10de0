from __future__ import annotations

import asyncio
import json

import pytest

import wslab
from wslab.errors import RecordingError
from wslab.wire import Connection, FrameTable, Recorder, encode_frame
from wslab.wire.conversation.steps import Closing, Opening, Said, conversation, read_json
from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.query import QueryError

MASK = b"\x01\xfe\x7f\x80"


def opened(recorder, number=1, *, status=101, request="", response=""):
    row = Connection(number, f"127.0.0.1:{number}", recorder)
    row.request = f"GET /chat/{number} HTTP/1.1\r\nHost: x\r\n{request}\r\n".encode()
    row.note_response(f"HTTP/1.1 {status} X\r\n{response}\r\n".encode(), status)
    return row


def masked(opcode, payload=b"", **how):
    return encode_frame(opcode, payload, mask=MASK, **how)


def steps(recorder, rows=None, **options):
    return conversation(FrameTable(recorder), rows, **options).steps


def brief(found):
    return [
        (
            step.connection.id,
            *{
                Opening: lambda step: ("open", step.path, step.status),
                Said: lambda step: (step.by, step.number, step.kind, step.content),
                Closing: lambda step: ("close", step.by, step.code, step.reason),
            }[type(step)](step),
        )
        for step in found
    ]


def test_a_recording_is_told_step_by_step():
    """Fragments, compression and masks are gone, and pings and pongs are no part of it."""
    recorder = Recorder()
    one = opened(recorder, 1)
    agreed = "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: v2\r\n"
    two = opened(recorder, 2, request="Sec-WebSocket-Protocol: v1, v2\r\nX-Room: a\r\n", response=agreed)
    one.received.feed(masked(1, b"in ", fin=False) + masked(9, b"?") + masked(0, b"two"))
    one.sent.feed(encode_frame(10, b"?") + encode_frame(2, b"\x00"))
    two.received.feed(masked(1, PerMessageDeflate().compress(b'{"a":1}'), rsv=4))
    two.sent.feed(encode_frame(8, b"\x0f\xa1no"))
    two.received.feed(masked(8, b"\x0f\xa1no"))
    two.note_end()
    one.received.feed(masked(8))
    found = steps(recorder)
    assert brief(found) == [
        ("c1", "open", "/chat/1", 101),
        ("c2", "open", "/chat/2", 101),
        ("c1", "client", 1, "text", "in two"),
        ("c1", "server", 1, "binary", b"\x00"),
        ("c2", "client", 1, "json", {"a": 1}),
        ("c2", "close", "server", 4001, "no"),
        ("c1", "close", "client", 1005, ""),
    ]
    assert found[1].subprotocols == ("v1", "v2")
    assert (found[1].subprotocol, found[1].headers) == ("v2", (("x-room", "a"),))
    assert found[4].text == '{"a":1}'
    assert [row.id for row in conversation(FrameTable(recorder)).connections] == ["c1", "c2"]


def test_a_client_that_is_gone_without_a_close_frame_ends_with_1006():
    recorder = Recorder()
    row = opened(recorder)
    row.received.feed(masked(1, b"a"))
    row.note_end()
    assert brief(steps(recorder))[-1] == ("c1", "close", "client", 1006, "")


def test_the_servers_stop_is_not_the_applications():
    recorder = Recorder()
    row = opened(recorder)
    row.sent.feed(encode_frame(8, b"\x03\xf4"))
    row.received.feed(masked(8, b"\x03\xf4"))
    row.note_end()
    talk = conversation(FrameTable(recorder))
    assert [type(step) for step in talk.steps] == [Opening]
    assert talk.left_out == ("c1: the close with 1012, which is the server's stop.",)


def test_what_crosses_the_close_frame_is_left_out():
    recorder = Recorder()
    row = opened(recorder)
    row.sent.feed(encode_frame(8, b"\x03\xe8"))
    row.received.feed(masked(1, b"late") + masked(8, b"\x03\xe8"))
    talk = conversation(FrameTable(recorder))
    assert brief(talk.steps) == [("c1", "open", "/chat/1", 101), ("c1", "close", "server", 1000, "")]
    assert talk.left_out == ("c1: 1 message that crossed the close frame.",)


@pytest.mark.parametrize(
    ("status", "remedy", "kept"),
    [
        *((status, "", True) for status in (401, 403, 404, 418, 500)),
        *((status, "", False) for status in (400, 405, 408, 426, 429, 431, 503)),
        (403, "Use lab.url(…), which adds lab_token=….", False),
    ],
)
def test_a_refusal_counts_where_the_application_was_asked(status, remedy, kept):
    recorder = Recorder()
    row = opened(recorder, status=status)
    row.remedy = remedy
    row.note_end()
    talk = conversation(FrameTable(recorder), [row])
    assert brief(talk.steps) == ([("c1", "open", "/chat/1", status)] if kept else [])
    assert len(talk.left_out) == (not kept)
    assert kept or str(status) in talk.left_out[0]


def test_a_handshake_that_was_not_answered_is_left_out():
    recorder = Recorder()
    row = Connection(1, "", recorder)
    row.request = b"GET / HTTP/1.1\r\n\r\n"
    talk = conversation(FrameTable(recorder), [row])
    assert (talk.steps, talk.left_out) == ((), ("c1: the handshake was not answered.",))


# -- what cannot be had again ----------------------------------------------------------------------
def broken_off(row, _):
    row.received.feed(masked(1, b"a", fin=False))
    row.note_end()


def without_request(row, _):
    row.request = b""
    row.received.feed(masked(1, b"x"))


def not_recorded(row, recorder):
    row.received.feed(masked(1, b"x"))
    recorder.clear()
    row.sent.feed(encode_frame(1, b"x"))


DAMAGE = {
    "cut": lambda row, _: row.received.feed(masked(1, b"x" * 500)),
    "lost": lambda row, _: [row.received.feed(masked(1, b"x")) for _ in range(100)],
    "unmasked": lambda row, _: row.received.feed(encode_frame(1, b"x")),
    "not text": lambda row, _: row.sent.feed(encode_frame(1, b"\xff")),
    "broken off": broken_off,
    "a ping with RSV1": lambda row, _: row.received.feed(masked(9, rsv=4)),
    "not inflated": lambda row, _: row.received.feed(masked(1, b"\xff\xff", rsv=4)),
    "no request": without_request,
    "not recorded": not_recorded,
}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut", "The recorder kept .* larger snaplen where it was cut"),
        (
            "lost",
            r"all frames of c1, got \d+ of 100 \(in\)\. Save while the recording is young, use a larger rec",
        ),
        ("unmasked", "The client did not mask this frame"),
        ("not text", "Text that is not UTF-8"),
        ("broken off", "The connection ended before this message's last frame"),
        ("a ping with RSV1", "A control frame must not be compressed.*A raw client sends it again"),
        ("not inflated", "RSV1 is set"),
        ("no request", "the opening handshake of c1, it was not recorded"),
        ("not recorded", r"all frames of c1, got 0 of 1 \(in\)"),
    ],
)
def test_what_is_not_whole_is_refused_or_left_out(what, message):
    recorder = Recorder(frames=64, snaplen=100)
    row, other = opened(recorder), opened(recorder, 2)
    DAMAGE[what](row, recorder)
    other.received.feed(masked(1, b"whole"))
    with pytest.raises(RecordingError, match=f"{message}.*leave c1 out: connections="):
        steps(recorder)
    for found in (
        steps(recorder, [other]),
        steps(recorder, ["c2"]),
        steps(recorder, other),
        steps(recorder, where="conn==c2"),
    ):
        assert brief(found) == [("c2", "open", "/chat/2", 101), ("c2", "client", 1, "text", "whole")]


def test_connections_are_named_as_they_are():
    recorder = Recorder()
    opened(recorder).received.feed(masked(1, b"a"))
    with pytest.raises(RecordingError, match="have frames here, c1, got 'c9'"):
        steps(recorder, ["c9"])
    with pytest.raises(RecordingError, match=r"got none.*connections=lab\.connections"):
        steps(recorder, where='text=="b"')
    with pytest.raises(QueryError):
        steps(recorder, where="conn=")


def test_a_rooms_message_is_said_to_each_of_its_members():
    """It is one record for all that get it at once."""

    async def main():
        manager = wslab.ConnectionManager()
        lab = wslab.Lab()

        @lab.websocket("/")
        async def room(ws: wslab.WebSocket):
            await manager.connect(ws)
            async for text in ws.iter_text():
                await manager.broadcast(text)

        clients = [await lab.connect("/", via="memory") for _ in range(3)]
        await clients[0].send("all")
        for client in clients:
            await client.receive(5)
        found = steps(lab.recorder)
        replay = await lab.replay(lab.frames)
        await lab.stop()
        return found, len(lab.frames.where('text=="all" && dir==out')), replay

    found, _, replay = asyncio.run(main())
    said = [
        (step.connection.id, step.content) for step in found if isinstance(step, Said) and step.by == "server"
    ]
    assert sorted(said) == [("c1", "all"), ("c2", "all"), ("c3", "all")]
    assert replay.steps == 7


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("[]", []),
        ("1", None),
        ('"a"', None),
        ("[NaN]", None),
        ("[1e999]", None),
        ("{", None),
        ("[" * 31 + "]" * 31, None),
        ("[" * 100_000, None),
        ("[" + "1" * 5000 + "]", None),
    ],
)
def test_json_is_what_json_has(text, value):
    assert read_json(text) == value


def test_thirty_levels_are_read():
    text = "[" * 30 + "]" * 30
    assert read_json(text) == json.loads(text)
