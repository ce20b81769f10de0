"""The engine, rule by rule: RFC 6455 sections 5, 7 and 8.1, and RFC 7692 where it adds to them."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from wslab.wire.close_codes import MAX_REASON
from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.engine import FAIL, Engine
from wslab.wire.frames import apply_mask, encode_frame, parse_frame

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"
EURO = "€".encode()  # three bytes
HELLO_DEFLATED = bytes.fromhex("f2 48 cd c9 c9 07 00")  # RFC 7692 section 7.2.3.1


class Peer:
    """Writes frames as the other side of an engine would, good ones or not."""

    def __init__(self, client):
        self.mask = b"" if client else KEY  # the engine is the client: its peer does not mask

    def __call__(self, opcode, payload=b"", *, fin=True, rsv=0):
        return encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=self.mask)

    def header(self, first, length7, extended=b"", payload=b""):
        """A frame whose length field says whatever it is told to."""
        body = apply_mask(payload, self.mask) if self.mask else payload
        return bytes((first, length7 | (0x80 if self.mask else 0))) + extended + self.mask + body


def close(code, reason=b""):
    return code.to_bytes(2) + reason


def outcome(events):
    """The events without the words of a refusal, which a close frame must be able to carry."""
    for opcode, content in events:
        if opcode == FAIL:
            code, reason = content
            assert reason
            assert len(reason.encode()) <= MAX_REASON
            assert events[-1] == (opcode, content), "nothing follows a violation"
            assert code in {1002, 1007, 1009}
    return [(opcode, content[0] if opcode == FAIL else content) for opcode, content in events]


def fail(code):
    return (FAIL, code)


# What a peer sends, as a function of its frame writer; what the engine makes of it.
ACCEPTED = {
    "a text": (lambda f: f(TEXT, b"Hello"), [(1, "Hello")]),
    "an empty text": (lambda f: f(TEXT), [(1, "")]),
    "a text beyond ASCII": (lambda f: f(TEXT, "Hellö €𝄞".encode()), [(1, "Hellö €𝄞")]),
    "NUL and the highest code point": (lambda f: f(TEXT, "\0\U0010ffff".encode()), [(1, "\0\U0010ffff")]),
    "noncharacters, which UTF-8 carries": (lambda f: f(TEXT, "\ufffe\uffff".encode()), [(1, "\ufffe\uffff")]),
    "a binary": (lambda f: f(BINARY, b"\xff\x00"), [(2, b"\xff\x00")]),
    "an empty binary": (lambda f: f(BINARY), [(2, b"")]),
    "125 bytes": (lambda f: f(BINARY, b"x" * 125), [(2, b"x" * 125)]),
    "126 bytes": (lambda f: f(BINARY, b"x" * 126), [(2, b"x" * 126)]),
    "65535 bytes": (lambda f: f(BINARY, b"x" * 65535), [(2, b"x" * 65535)]),
    "65536 bytes": (lambda f: f(BINARY, b"x" * 65536), [(2, b"x" * 65536)]),
    "two messages": (lambda f: f(TEXT, b"a") + f(BINARY, b"b"), [(1, "a"), (2, b"b")]),
    "a message in fragments": (
        lambda f: f(TEXT, b"a", fin=False) + f(CONT, b"b", fin=False) + f(CONT, b"c"),
        [(1, "abc")],
    ),
    "a binary in fragments": (lambda f: f(BINARY, b"\xff", fin=False) + f(CONT, b"\0"), [(2, b"\xff\0")]),
    "empty fragments": (
        lambda f: f(TEXT, b"", fin=False) + f(CONT, b"", fin=False) + f(CONT, b""),
        [(1, "")],
    ),
    "an empty last fragment": (lambda f: f(BINARY, b"a", fin=False) + f(CONT, b""), [(2, b"a")]),
    "a character over fragments": (
        lambda f: f(TEXT, EURO[:1], fin=False) + f(CONT, EURO[1:2], fin=False) + f(CONT, EURO[2:]),
        [(1, "€")],
    ),
    "two fragmented messages": (
        lambda f: (f(TEXT, b"a", fin=False) + f(CONT, b"b")) + (f(BINARY, b"c", fin=False) + f(CONT, b"d")),
        [(1, "ab"), (2, b"cd")],
    ),
    "a fragmented message, and then a whole one": (
        lambda f: f(BINARY, b"a", fin=False) + f(CONT, b"b") + f(TEXT, b"c"),
        [(2, b"ab"), (1, "c")],
    ),
    "an empty ping": (lambda f: f(PING), [(9, b"")]),
    "a ping of 125 bytes": (lambda f: f(PING, b"p" * 125), [(9, b"p" * 125)]),
    "a pong nobody asked for": (lambda f: f(PONG, b"\xff"), [(10, b"\xff")]),
    "pings between fragments": (
        lambda f: (
            f(TEXT, b"a", fin=False) + f(PING, b"1") + f(CONT, b"b", fin=False) + f(PONG, b"2") + f(CONT)
        ),
        [(9, b"1"), (10, b"2"), (1, "ab")],
    ),
    "a ping within a character": (
        lambda f: f(TEXT, EURO[:2], fin=False) + f(PING) + f(CONT, EURO[2:]),
        [(9, b""), (1, "€")],
    ),
    "a close without code": (lambda f: f(CLOSE), [(8, (1005, ""))]),
    "a close with a reason": (lambda f: f(CLOSE, close(1000, EURO)), [(8, (1000, "€"))]),
    "a close with the longest reason": (
        lambda f: f(CLOSE, close(1000, b"r" * 123)),
        [(8, (1000, "r" * 123))],
    ),
    "a close between fragments": (
        lambda f: f(TEXT, b"a", fin=False) + f(CLOSE, close(1001)) + f(CONT, b"b"),
        [(8, (1001, ""))],
    ),
    "frames after a close": (lambda f: f(CLOSE, close(1000)) + f(TEXT, b"late"), [(8, (1000, ""))]),
    "garbage after a close": (lambda f: f(TEXT, b"a") + f(CLOSE) + b"\xff" * 9, [(1, "a"), (8, (1005, ""))]),
    **{
        f"the close code {code}": (lambda f, code=code: f(CLOSE, close(code)), [(8, (code, ""))])
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
    },
}

BAD_UTF8 = {
    "a lone continuation byte": b"\x80",
    "a byte that UTF-8 never has": b"ab\xffcd",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "a surrogate": b"\xed\xa0\x80",
    "a code point above the last": b"\xf4\x90\x80\x80",
    "a sequence of five bytes": b"\xf8\x88\x80\x80\x80",
    "a sequence cut short": "κόσμε".encode()[:-1],
    "a sequence broken off": b"\xe2\x82x",
}

REFUSED = {
    **{
        f"opcode {opcode}": (lambda f, opcode=opcode: f(TEXT, b"a") + f(opcode), [(1, "a"), fail(1002)])
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    **{
        f"RSV {rsv} on {name}": (lambda f, o=opcode, rsv=rsv: f(o, b"", rsv=rsv), [fail(1002)])
        for rsv in range(1, 8)
        for opcode, name in ((TEXT, "a text"), (BINARY, "a binary"), (PING, "a ping"), (CLOSE, "a close"))
    },
    "RSV1 on a continuation": (lambda f: f(TEXT, b"a", fin=False) + f(CONT, b"b", rsv=4), [fail(1002)]),
    **{
        f"a control frame in fragments: {opcode}": (lambda f, o=opcode: f(o, b"", fin=False), [fail(1002)])
        for opcode in (CLOSE, PING, PONG)
    },
    **{
        f"a control frame of 126 bytes: {opcode}": (lambda f, o=opcode: f(o, b"x" * 126), [fail(1002)])
        for opcode in (CLOSE, PING, PONG)
    },
    "a ping whose length is in 16 bits": (lambda f: f.header(0x89, 126, b"\0\x05", b"Hello"), [fail(1002)]),
    "5 in 16 bits": (lambda f: f.header(0x81, 126, b"\0\x05", b"Hello"), [fail(1002)]),
    "125 in 16 bits": (lambda f: f.header(0x82, 126, b"\0\x7d", b"x" * 125), [fail(1002)]),
    "125 in 64 bits": (lambda f: f.header(0x82, 127, (125).to_bytes(8), b"x" * 125), [fail(1002)]),
    "65535 in 64 bits": (lambda f: f.header(0x82, 127, (65535).to_bytes(8), b"x" * 65535), [fail(1002)]),
    "a length with its highest bit": (lambda f: f.header(0x82, 127, b"\x80" + bytes(7)), [fail(1002)]),
    "a continuation first": (lambda f: f(CONT, b"a"), [fail(1002)]),
    "a continuation of a message that has ended": (
        lambda f: f(TEXT, b"a", fin=False) + f(CONT, b"b") + f(CONT, b"c"),
        [(1, "ab"), fail(1002)],
    ),
    "a continuation after a whole message": (lambda f: f(TEXT, b"a") + f(CONT, b"b"), [(1, "a"), fail(1002)]),
    "a text within a message": (lambda f: f(TEXT, b"a", fin=False) + f(TEXT, b"b"), [fail(1002)]),
    "a binary within a message": (lambda f: f(TEXT, b"a", fin=False) + f(BINARY, b"b"), [fail(1002)]),
    "another first fragment": (lambda f: f(TEXT, b"a", fin=False) + f(TEXT, b"b", fin=False), [fail(1002)]),
    "a close payload of one byte": (lambda f: f(CLOSE, b"\x03"), [fail(1002)]),
    **{
        f"the close code {code}": (lambda f, code=code: f(CLOSE, close(code, b"why")), [fail(1002)])
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    **{
        f"text: {name}": (lambda f, bad=bad: f(TEXT, b"ok") + f(TEXT, bad), [(1, "ok"), fail(1007)])
        for name, bad in BAD_UTF8.items()
    },
    **{
        f"text in fragments: {name}": (
            lambda f, bad=bad: f(TEXT, bad[:1], fin=False) + f(CONT, bad[1:], fin=True),
            [fail(1007)],
        )
        for name, bad in BAD_UTF8.items()
    },
    **{
        f"close reason: {name}": (lambda f, bad=bad: f(CLOSE, close(1000, bad)), [fail(1007)])
        for name, bad in BAD_UTF8.items()
    },
}
CASES = [pytest.param(*case, id=name) for cases in (ACCEPTED, REFUSED) for name, case in cases.items()]


@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
@pytest.mark.parametrize(("send", "events"), CASES)
def test_each_rule_whole_and_byte_by_byte(send, events, client):
    stream = send(Peer(client))
    assert outcome(Engine(client=client).receive(stream)) == events
    engine = Engine(client=client)
    came = [event for byte in stream for event in engine.receive(bytes((byte,)))]
    assert outcome(came) == events


@pytest.mark.parametrize(
    ("client", "mask"), [(False, b""), (True, KEY)], ids=["a client that does not mask", "a server that does"]
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_masking_is_the_clients_and_only_the_clients(client, mask, opcode):
    stream = encode_frame(TEXT, b"a", mask=b"" if client else KEY) + encode_frame(opcode, mask=mask)
    assert outcome(Engine(client=client).receive(stream)) == [(1, "a"), fail(1002)]
    assert outcome(Engine(client=client).receive(encode_frame(opcode, mask=mask))) == [fail(1002)]


def test_nothing_is_read_after_a_violation():
    engine, f = Engine(), Peer(False)
    assert outcome(engine.receive(f(CONT) + f(TEXT, b"a"))) == [fail(1002)]
    assert engine.receive(f(TEXT, b"b")) == []


def test_nothing_is_read_after_a_close_frame():
    engine, f = Engine(), Peer(False)
    assert engine.receive(f(CLOSE)) == [(8, (1005, ""))]
    assert engine.receive(f(TEXT, b"b") + f(CLOSE)) == []


# -- failing fast ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("prefix", "wrong"),
    [
        (b"", b"\x80"),
        (b"", b"\xbf"),
        (b"", b"\xc0"),
        (b"", b"\xc1"),
        (b"", b"\xf5"),
        (b"", b"\xff"),
        (b"\xc2", b"\x7f"),
        (b"\xc2", b"\xc0"),
        (b"\xe0", b"\x9f"),
        (b"\xed", b"\xa0"),
        (b"\xed", b"\xbf"),
        (b"\xee", b"\x7f"),
        (b"\xe2\x82", b"\x7f"),
        (b"\xf0", b"\x8f"),
        (b"\xf4", b"\x90"),
        (b"\xf1\x80", b"\xc0"),
        (b"\xf1\x80\x80", b"\x00"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"k\xc3\xb6ln "])
def test_bad_text_fails_at_its_first_wrong_byte(before, prefix, wrong):
    frame = Peer(False)(TEXT, before + prefix + wrong + b"never sent")
    engine = Engine()
    cut = len(frame) - 11
    assert engine.receive(frame[:cut]) == []
    assert outcome(engine.receive(frame[cut : cut + 1])) == [fail(1007)]
    engine = Engine()
    assert engine.receive(Peer(False)(TEXT, before + prefix, fin=False)) == []
    assert outcome(engine.receive(Peer(False)(CONT, wrong, fin=False))) == [fail(1007)]


@pytest.mark.parametrize("last", ["\ud7ff", "\ue000", "\U0010ffff", "\U00010000", "\u0800", "\x7f", "\x80"])
def test_characters_beside_the_forbidden_ones_may_come_byte_by_byte(last):
    engine = Engine()
    came = [event for byte in Peer(False)(TEXT, last.encode()) for event in engine.receive(bytes((byte,)))]
    assert came == [(1, last)]


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("name", [name for name in BAD_UTF8 if name != "a sequence cut short"])
def test_bad_text_fails_before_its_frame_ends(name, client):
    f = Peer(client)
    stream = f(TEXT, b"good " * 40 + BAD_UTF8[name] + b"never sent" * 200)
    engine = Engine(client=client)
    cut = len(stream) - 2000
    events = [
        event for start in range(0, cut, 7) for event in engine.receive(stream[start : min(start + 7, cut)])
    ]
    assert outcome(events) == [fail(1007)]


def test_bad_text_fails_before_its_message_ends():
    f = Peer(False)
    assert outcome(Engine().receive(f(TEXT, b"\xce\xba\xff", fin=False))) == [fail(1007)]
    engine = Engine()
    assert engine.receive(f(TEXT, EURO[:2], fin=False)) == []
    assert outcome(engine.receive(f(CONT, b"x", fin=False))) == [fail(1007)]


def test_a_violation_in_a_header_needs_no_payload():
    f = Peer(False)
    for start in (f(3, b"x" * 90)[:2], f(PING, b"x" * 200)[:2], f(TEXT, b"x", rsv=1)[:2], f(CONT, b"xx")[:6]):
        assert outcome(Engine().receive(start)) == [fail(1002)]


# -- limits ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_largest_message_is_taken_and_one_byte_more_is_not(client, opcode):
    f = Peer(client)
    content = "x" * 300 if opcode == TEXT else b"x" * 300
    assert Engine(client=client, max_message=300).receive(f(opcode, b"x" * 300)) == [(opcode, content)]
    assert outcome(Engine(client=client, max_message=299).receive(f(opcode, b"x" * 300))) == [fail(1009)]
    halves = f(opcode, b"x" * 150, fin=False) + f(CONT, b"x" * 150)
    assert Engine(client=client, max_message=300).receive(halves) == [(opcode, content)]
    assert outcome(Engine(client=client, max_message=299).receive(halves)) == [fail(1009)]


def test_each_message_has_the_limit_for_itself():
    f = Peer(False)
    stream = (
        f(TEXT, b"1234")
        + f(TEXT, b"12", fin=False)
        + f(PING, b"p" * 100)
        + f(CONT, b"34")
        + f(BINARY, b"1234")
    )
    assert Engine(max_message=4).receive(stream) == [(1, "1234"), (9, b"p" * 100), (1, "1234"), (2, b"1234")]


@pytest.mark.parametrize("length", [2**20 + 1, 2**32, 2**62, 2**63 - 1])
def test_a_length_above_the_limit_fails_before_a_byte_of_it_comes(length):
    f = Peer(False)
    assert outcome(Engine().receive(f.header(0x82, 127, length.to_bytes(8)))) == [fail(1009)]


def test_without_a_limit_an_announced_length_takes_no_memory():
    engine = Engine(max_message=None)
    tracemalloc.start()
    try:
        assert engine.receive(Peer(False).header(0x82, 127, (2**62).to_bytes(8)) + bytes(1000)) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_fragments_fail_as_soon_as_their_sum_is_known():
    f = Peer(False)
    engine = Engine(max_message=100)
    assert engine.receive(f(BINARY, b"x" * 60, fin=False)) == []
    assert outcome(engine.receive(f(CONT, b"x" * 41)[:6])) == [fail(1009)]


def test_a_limit_of_0_takes_empty_messages_only():
    f = Peer(False)
    assert outcome(Engine(max_message=0).receive(f(TEXT) + f(TEXT, b"a"))) == [(1, ""), fail(1009)]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_empty_fragments_without_end_take_no_memory(opcode):
    f = Peer(False)
    engine = Engine()
    engine.receive(f(opcode, b"a", fin=False))
    flood = f(CONT, b"", fin=False) * 1000
    engine.receive(flood)
    tracemalloc.start()
    try:
        for _ in range(50):
            assert engine.receive(flood) == []
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()
    assert engine.receive(f(CONT, b"b")) == [(opcode, "ab" if opcode == TEXT else b"ab")]


@pytest.mark.parametrize(("opcode", "piece"), [(TEXT, EURO), (BINARY, b"\x01\x02\x03")])
def test_a_message_of_tiny_fragments_takes_about_its_own_size(opcode, piece):
    f = Peer(False)
    engine = Engine()
    engine.receive(f(opcode, piece, fin=False))
    flood = f(CONT, piece, fin=False) * 1000
    tracemalloc.start()
    try:
        for _ in range(60):
            assert engine.receive(flood) == []
        assert tracemalloc.get_traced_memory()[0] < 3 * 60_000 * 3 + 4096 * 100
    finally:
        tracemalloc.stop()
    ((_, content),) = engine.receive(f(CONT))
    assert (content.encode() if opcode == TEXT else content) == piece * 60_001


# -- permessage-deflate ----------------------------------------------------------------------------
@pytest.fixture
def deflating():
    return Engine(deflate=PerMessageDeflate(), max_message=1000)


DEFLATED = {
    "a message": (lambda f: f(TEXT, HELLO_DEFLATED, rsv=4), [(1, "Hello")]),
    "a binary": (lambda f: f(BINARY, HELLO_DEFLATED, rsv=4), [(2, b"Hello")]),
    "a message that is not compressed": (lambda f: f(TEXT, b"Hello"), [(1, "Hello")]),
    "an empty message": (lambda f: f(TEXT, b"\0", rsv=4), [(1, "")]),
    "a message without any bytes": (lambda f: f(TEXT, b"", rsv=4), [(1, "")]),
    "fragments, RSV1 on the first": (
        lambda f: f(TEXT, HELLO_DEFLATED[:3], rsv=4, fin=False) + f(PING) + f(CONT, HELLO_DEFLATED[3:]),
        [(9, b""), (1, "Hello")],
    ),
    "the window of the message before": (
        lambda f: (
            f(TEXT, HELLO_DEFLATED, rsv=4) + f(TEXT, b"-") + f(TEXT, bytes.fromhex("f200110000"), rsv=4)
        ),
        [(1, "Hello"), (1, "-"), (1, "Hello")],
    ),
    "a compressed and then a plain fragmented message": (
        lambda f: f(TEXT, HELLO_DEFLATED, rsv=4) + f(TEXT, b"\xe2", fin=False) + f(CONT, b"\x82\xac"),
        [(1, "Hello"), (1, "€")],
    ),
    "RSV1 on a continuation": (
        lambda f: f(TEXT, HELLO_DEFLATED[:3], rsv=4, fin=False) + f(CONT, HELLO_DEFLATED[3:], rsv=4),
        [fail(1002)],
    ),
    "RSV1 on a ping": (lambda f: f(PING, b"", rsv=4), [fail(1002)]),
    "RSV1 on a close": (lambda f: f(CLOSE, b"", rsv=4), [fail(1002)]),
    "RSV2 beside RSV1": (lambda f: f(TEXT, HELLO_DEFLATED, rsv=6), [fail(1002)]),
    "RSV3": (lambda f: f(TEXT, b"", rsv=1), [fail(1002)]),
    "garbage": (lambda f: f(BINARY, b"\xff" * 9, rsv=4), [fail(1007)]),
    "text that inflates to what is not UTF-8": (
        lambda f: f(TEXT, PerMessageDeflate().compress(b"\xff"), rsv=4),
        [fail(1007)],
    ),
    "a message at the limit": (
        lambda f: f(BINARY, PerMessageDeflate().compress(bytes(1000)), rsv=4),
        [(2, bytes(1000))],
    ),
    "a message above the limit": (
        lambda f: f(BINARY, PerMessageDeflate().compress(bytes(1001)), rsv=4),
        [fail(1009)],
    ),
    "more compressed bytes than any message within the limit has": (
        lambda f: f.header(0xC2, 126, (2000).to_bytes(2)),
        [fail(1009)],
    ),
}


@pytest.mark.parametrize(
    ("send", "events"), [pytest.param(*case, id=name) for name, case in DEFLATED.items()]
)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_compressed_messages(deflating, send, events, size):
    stream = send(Peer(False))
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert outcome([event for chunk in chunks for event in deflating.receive(chunk)]) == events


def test_what_cannot_be_compressed_is_taken_up_to_the_limit():
    """DEFLATE makes such a message larger than it is: the limit counts what it inflates to."""
    import random

    noise = random.Random(6455).randbytes(200_000)
    sender = Engine(client=True, deflate=PerMessageDeflate(mem_level=1))
    frame = sender.binary(noise)
    assert len(frame) > len(noise) + 14
    assert Engine(deflate=PerMessageDeflate(), max_message=len(noise)).receive(frame) == [(2, noise)]
    smaller = Engine(deflate=PerMessageDeflate(), max_message=len(noise) - 1)
    assert outcome(smaller.receive(frame)) == [fail(1009)]


def test_a_bomb_is_1009_and_takes_no_memory():
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(compressor.compress(bytes(2**20)) for _ in range(64)) + compressor.flush(
        zlib.Z_SYNC_FLUSH
    )
    frame = Peer(False)(TEXT, bomb[:-4], rsv=4)
    engine = Engine(deflate=PerMessageDeflate())
    tracemalloc.start()
    try:
        assert outcome(engine.receive(frame)) == [fail(1009)]
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


# -- sending ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536])
def test_what_is_sent_is_in_its_shortest_form_and_read_by_the_other_side(client, length):
    engine, peer = Engine(client=client), Engine(client=not client)
    for frame, event in (
        (engine.text("x" * length), (1, "x" * length)),
        (engine.binary(b"\xff" * length), (2, b"\xff" * length)),
    ):
        parsed = parse_frame(frame)
        assert not parsed.problem
        assert (parsed.fin, parsed.length, len(parsed.raw), parsed.rsv1) == (True, length, len(frame), False)
        assert (parsed.mask_key is not None) is client
        assert peer.receive(frame) == [event]


@pytest.mark.parametrize("client", [False, True])
def test_control_frames_are_read_by_the_other_side(client):
    engine, peer = Engine(client=client), Engine(client=not client)
    stream = engine.ping(b"p" * 125) + engine.pong() + engine.ping() + engine.close(4000, "€" * 41)
    assert peer.receive(stream) == [(9, b"p" * 125), (10, b""), (9, b""), (8, (4000, "€" * 41))]
    assert Engine(client=not client).receive(engine.close(None)) == [(8, (1005, ""))]


@pytest.mark.parametrize("send", [Engine.ping, Engine.pong])
def test_a_control_frame_that_is_too_long_is_not_written(send):
    with pytest.raises(ValueError, match="125"):
        send(Engine(), b"x" * 126)


def test_a_close_reason_that_is_too_long_is_not_written():
    with pytest.raises(ValueError, match="125"):
        Engine().close(1000, "r" * 124)


def test_a_lone_surrogate_is_not_written():
    with pytest.raises(UnicodeEncodeError):
        Engine().text("\ud800")


def test_each_frame_of_a_client_has_a_key_of_its_own():
    engine = Engine(client=True)
    assert len({parse_frame(engine.text("a")).mask_key for _ in range(20)}) > 15


def test_another_way_to_unmask_is_used_for_all_masking():
    calls = []

    def unmask(data, key):
        calls.append(len(data))
        return apply_mask(data, key)

    client, server = Engine(client=True, unmask=unmask), Engine(unmask=unmask)
    frame = client.binary(b"x" * 10)
    assert server.receive(frame[:9]) == []
    assert server.receive(frame[9:]) == [(2, b"x" * 10)]
    assert calls == [10, 3, 7]
