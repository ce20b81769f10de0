"""Frames (RFC 6455 section 5): lengths, masks, reserved bits and opcodes, control frames, fragments."""

from __future__ import annotations

import pytest

from tests.conformance.harness import MASK, binary, close, cont, frame, ping, pong, text
from wslab.wire import apply_mask, encode_frame

LENGTHS = [0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537]
CHOPS = [0, 1, 7, 997]
WHOLE, BITWISE = 0, 1


def back(opcode, payload):
    """The frame with which the server gives a message back: unmasked, in one piece, shortest length."""
    return encode_frame(opcode, payload)


def by_id(value):
    return value.hex() if isinstance(value, bytes) else None


# -- lengths (Autobahn 1.x) ------------------------------------------------------------------------
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_a_message_of_any_length_comes_back(server, opcode, length):
    payload = b"*" * length if opcode == 1 else bytes(i * 7 & 0xFF for i in range(length))
    with server.connect() as peer:
        peer.send(frame(opcode, payload)).expect(back(opcode, payload)).closes()


@pytest.mark.parametrize("chop", [1, 2, 7])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 300])
def test_a_message_in_small_pieces_comes_back(server, length, chop):
    payload = b"x" * length
    with server.connect() as peer:
        peer.send(text(payload), chop=chop).expect(back(1, payload)).closes()


@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_a_message_of_65536_bytes_in_pieces_of_997_comes_back(server, opcode):
    payload = b"*" * 65536
    with server.connect() as peer:
        peer.send(frame(opcode, payload), chop=997).expect(back(opcode, payload)).closes()


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_messages_in_one_segment_come_back_in_order(server, count):
    payloads = [b"%d" % number for number in range(count)]
    with server.connect() as peer:
        peer.send(*map(text, payloads)).expect(*(back(1, payload) for payload in payloads)).closes()


LONG_FORMS = {
    "0 in 16 bits": (126, (0).to_bytes(2), 0),
    "125 in 16 bits": (126, (125).to_bytes(2), 125),
    "0 in 64 bits": (127, (0).to_bytes(8), 0),
    "125 in 64 bits": (127, (125).to_bytes(8), 125),
    "126 in 64 bits": (127, (126).to_bytes(8), 126),
    "65535 in 64 bits": (127, (65535).to_bytes(8), 65535),
}


@pytest.mark.parametrize("form", LONG_FORMS)
def test_a_length_that_is_not_in_its_shortest_form_is_1002(server, form):
    # Section 5.2: "the minimal number of bytes MUST be used to encode the length".
    length7, extended, length = LONG_FORMS[form]
    raw = bytes((0x81, 0x80 | length7)) + extended + MASK + apply_mask(b"x" * length, MASK)
    with server.connect() as peer:
        peer.send(raw).fails(1002)


@pytest.mark.parametrize("announced", [1 << 63, (1 << 64) - 1, (1 << 63) + 5])
def test_the_highest_bit_of_a_64_bit_length_is_1002(server, announced):
    with server.connect() as peer:
        peer.send(bytes((0x82, 0xFF)) + announced.to_bytes(8) + MASK).fails(1002)


# -- masks -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_a_frame_that_is_not_masked_is_1002(server, opcode):
    # Section 5.1: "a server MUST close the connection upon receiving a frame that is not masked".
    payload = (1000).to_bytes(2) if opcode == 8 else b"Hello"
    with server.connect() as peer:
        peer.send(frame(opcode, payload, mask=False)).fails(1002)


def test_two_bytes_are_enough_to_see_that_a_frame_is_not_masked(server):
    with server.connect() as peer:
        peer.send(bytes((0x81, 0x05))).fails(1002)


@pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01"], ids=by_id)
@pytest.mark.parametrize("length", [1, 3, 4, 5, 127, 70_000])
def test_any_masking_key_will_do(server, key, length):
    payload = bytes(i & 0xFF for i in range(length))
    with server.connect() as peer:
        peer.send(binary(payload, mask=key)).expect(back(2, payload)).closes()


def test_each_frame_has_a_key_of_its_own(server):
    keys = [b"abcd", b"\0\0\0\0", b"\xf0\x0f\xaa\x55"]
    parts = [b"one ", b"two ", b"three"]
    frames = [
        frame(opcode, part, fin=fin, mask=key)
        for opcode, part, fin, key in zip((1, 0, 0), parts, (False, False, True), keys, strict=True)
    ]
    with server.connect() as peer:
        peer.send(*frames, chop=3).expect(back(1, b"".join(parts))).closes()


# -- pings and pongs (2.x) -------------------------------------------------------------------------
PAYLOADS = {
    "empty": b"",
    "text": b"Hello, world!",
    "binary": b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",
    "of 124 bytes": b"\xfe" * 124,
    "of 125 bytes": b"\xfe" * 125,
}


@pytest.mark.parametrize("chop", [WHOLE, BITWISE])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_ping_is_answered_with_its_payload(server, payload, chop):
    data = PAYLOADS[payload]
    with server.connect() as peer:
        peer.send(ping(data), chop=chop).expect(back(10, data)).closes()


@pytest.mark.parametrize("length", [126, 127, 65535, 65536])
@pytest.mark.parametrize("opcode", [8, 9, 10], ids=["close", "ping", "pong"])
def test_a_control_frame_of_more_than_125_bytes_is_1002(server, opcode, length):
    payload = (1000).to_bytes(2) + b"x" * (length - 2)
    with server.connect() as peer:
        peer.send(frame(opcode, payload)).fails(1002)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_pong_nobody_asked_for_is_not_answered(server, payload):
    with server.connect() as peer:
        peer.send(pong(PAYLOADS[payload]), ping(b"now")).expect(back(10, b"now")).closes()


@pytest.mark.parametrize("chop", [WHOLE, BITWISE])
def test_ten_pings_are_answered_in_order(server, chop):
    payloads = [b"payload-%d" % number for number in range(10)]
    with server.connect() as peer:
        peer.send(*map(ping, payloads), chop=chop).expect(
            *(back(10, payload) for payload in payloads)
        ).closes()


def test_a_ping_behind_many_messages_is_answered(server):
    with server.connect() as peer:
        peer.send(*[text("x")] * 100, ping(b"and?"))
        peer.expect_flows([back(1, b"x")] * 100, [back(10, b"and?")]).closes()


# -- reserved bits (3.x) ---------------------------------------------------------------------------
@pytest.mark.parametrize("chop", [WHOLE, BITWISE])
@pytest.mark.parametrize("opcode", [1, 2, 8, 9, 10], ids=["text", "binary", "close", "ping", "pong"])
@pytest.mark.parametrize("rsv", range(1, 8))
def test_a_reserved_bit_without_an_extension_is_1002(server, rsv, opcode, chop):
    payload = (1000).to_bytes(2) if opcode == 8 else b"Hello"
    with server.connect() as peer:
        peer.send(frame(opcode, payload, rsv=rsv), chop=chop).fails(1002)


@pytest.mark.parametrize("rsv", range(1, 8))
def test_a_reserved_bit_on_a_continuation_is_1002(server, rsv):
    with server.connect() as peer:
        peer.send(text("a", fin=False), cont("b", rsv=rsv)).fails(1002)


@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
def test_messages_before_a_reserved_bit_have_come_back_and_nothing_after_it_does(server, rsv):
    with server.connect() as peer:
        peer.send(text("Hello")).expect(back(1, b"Hello"))
        peer.send(text("Hello", rsv=rsv), ping(b"never"), text("never")).fails(1002)


# -- reserved opcodes (4.x) ------------------------------------------------------------------------
RESERVED = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("payload", [b"", b"reserved"], ids=["empty", "payload"])
@pytest.mark.parametrize("opcode", RESERVED)
def test_a_reserved_opcode_is_1002(server, opcode, payload):
    with server.connect() as peer:
        peer.send(frame(opcode, payload)).fails(1002)


@pytest.mark.parametrize("chop", [WHOLE, BITWISE])
@pytest.mark.parametrize("opcode", RESERVED)
def test_messages_before_a_reserved_opcode_have_come_back(server, opcode, chop):
    with server.connect() as peer:
        peer.send(text("Hello"), chop=chop).expect(back(1, b"Hello"))
        peer.send(frame(opcode, b"reserved"), ping(b"never"), chop=chop).fails(1002)


@pytest.mark.parametrize("opcode", RESERVED)
def test_a_reserved_opcode_inside_a_message_is_1002(server, opcode):
    with server.connect() as peer:
        peer.send(text("a", fin=False), frame(opcode), cont("b")).fails(1002)


# -- fragments (5.x) -------------------------------------------------------------------------------
@pytest.mark.parametrize("opcode", [8, 9, 10], ids=["close", "ping", "pong"])
@pytest.mark.parametrize("rest", [True, False], ids=["and the rest", "alone"])
def test_a_control_frame_in_fragments_is_1002(server, opcode, rest):
    with server.connect() as peer:
        peer.send(frame(opcode, b"\x03\xe8", fin=False), cont(b"b") if rest else b"").fails(1002)


@pytest.mark.parametrize("chop", CHOPS)
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_two_fragments_are_one_message(server, opcode, chop):
    with server.connect() as peer:
        peer.send(frame(opcode, b"fragment1", fin=False), cont(b"fragment2"), chop=chop)
        peer.expect(back(opcode, b"fragment1fragment2")).closes()


@pytest.mark.parametrize("count", [3, 10, 1000])
def test_many_fragments_are_one_message(server, count):
    parts = [b"<%d>" % number for number in range(count)]
    frames = [cont(part, fin=False) for part in parts[1:-1]]
    with server.connect() as peer:
        peer.send(binary(parts[0], fin=False), *frames, cont(parts[-1])).expect(
            back(2, b"".join(parts))
        ).closes()


@pytest.mark.parametrize("empty", [(0,), (1,), (2,), (0, 2), (0, 1), (1, 2), (0, 1, 2)])
def test_fragments_may_be_empty(server, empty):
    parts = [b"" if number in empty else b"part%d" % number for number in range(3)]
    with server.connect() as peer:
        peer.send(text(parts[0], fin=False), cont(parts[1], fin=False), cont(parts[2]))
        peer.expect(back(1, b"".join(parts))).closes()


@pytest.mark.parametrize("chop", CHOPS)
def test_a_ping_between_fragments_is_answered_before_the_message(server, chop):
    with server.connect() as peer:
        peer.send(text("fragment1", fin=False), ping(b"ping"), cont("fragment2"), chop=chop)
        peer.expect(back(10, b"ping"), back(1, b"fragment1fragment2")).closes()


def test_a_ping_between_fragments_is_answered_at_once(server):
    with server.connect() as peer:
        peer.send(text("fragment1", fin=False), ping(b"now")).expect(back(10, b"now"))
        peer.send(cont("fragment2")).expect(back(1, b"fragment1fragment2")).closes()


@pytest.mark.parametrize("chop", [WHOLE, BITWISE])
def test_five_fragments_and_two_pings(server, chop):
    with server.connect() as peer:
        peer.send(text("1", fin=False), cont("2", fin=False), ping(b"one"), chop=chop).expect(
            back(10, b"one")
        )
        peer.send(cont("3", fin=False), cont("4", fin=False), ping(b"two"), chop=chop).expect(
            back(10, b"two")
        )
        peer.send(cont("5"), chop=chop).expect(back(1, b"12345")).closes()


@pytest.mark.parametrize("chop", [WHOLE, BITWISE])
@pytest.mark.parametrize("fin", [True, False], ids=["last", "not last"])
def test_a_continuation_of_nothing_is_1002(server, fin, chop):
    with server.connect() as peer:
        peer.send(cont("non-continuation", fin=fin), text("Hello"), chop=chop).fails(1002)


@pytest.mark.parametrize("fin", [True, False], ids=["last", "not last"])
def test_a_continuation_after_the_last_fragment_is_1002(server, fin):
    with server.connect() as peer:
        peer.send(text("1", fin=False), cont("2")).expect(back(1, b"12"))
        peer.send(cont("3", fin=fin), text("Hello")).fails(1002)


@pytest.mark.parametrize("second", [1, 2], ids=["text", "binary"])
@pytest.mark.parametrize("first", [1, 2], ids=["text", "binary"])
@pytest.mark.parametrize("fin", [True, False], ids=["whole", "fragment"])
def test_a_message_inside_a_message_is_1002(server, first, second, fin):
    with server.connect() as peer:
        peer.send(frame(first, b"1", fin=False), frame(second, b"2", fin=fin)).fails(1002)


def test_fragments_of_65536_bytes_are_one_message(server):
    parts = [bytes([number]) * 65536 for number in range(8)]
    with server.connect() as peer:
        frames = [cont(part, fin=number == 7) for number, part in enumerate(parts)][1:]
        peer.send(binary(parts[0], fin=False), *frames).expect(back(2, b"".join(parts))).closes()


def test_a_message_is_answered_while_the_next_one_is_under_way(server):
    with server.connect() as peer:
        peer.send(text("first"), text("second")[:5]).expect(back(1, b"first"))
        peer.send(text("second")[5:]).expect(back(1, b"second"))
        peer.send(close()).closed()
