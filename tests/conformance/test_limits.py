"""The message limit (1009), and large messages where it is raised (Autobahn 9.x and 10.x)."""

from __future__ import annotations

import pytest

from tests.conformance.harness import MASK, Server, binary, close, cont, echo_app, frame, ping, text
from wslab import Lab, Limits
from wslab.wire import encode_frame

LIMIT = 2**20


@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_a_message_of_just_the_limit_comes_back(server, opcode):
    payload = b"x" * LIMIT
    with server.connect() as peer:
        peer.send(frame(opcode, payload)).expect(encode_frame(opcode, payload)).closes()


@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_a_message_of_one_byte_more_is_1009(server, opcode):
    with server.connect() as peer:
        peer.send(frame(opcode, b"x" * (LIMIT + 1))).fails(1009)


@pytest.mark.parametrize("announced", [LIMIT + 1, 2**24, 2**32, 2**62])
def test_a_length_above_the_limit_is_1009_before_its_payload_comes(server, announced):
    with server.connect() as peer:
        peer.send(bytes((0x82, 0xFF)) + announced.to_bytes(8) + MASK).fails(1009)


@pytest.mark.parametrize("parts", [2, 16, 1024])
def test_fragments_of_just_the_limit_come_back(server, parts):
    part = b"y" * (LIMIT // parts)
    with server.connect() as peer:
        peer.send(binary(part, fin=False), cont(part, fin=False) * (parts - 2), cont(part))
        peer.expect(encode_frame(2, b"y" * LIMIT)).closes()


@pytest.mark.parametrize("parts", [2, 16, 1024])
def test_fragments_of_more_than_the_limit_are_1009_before_the_message_ends(server, parts):
    part = b"y" * (LIMIT // parts)
    with server.connect() as peer:
        peer.send(binary(part, fin=False), cont(part, fin=False) * (parts - 1), cont(b"z", fin=False))
        peer.fails(1009)


def test_characters_are_counted_as_bytes(server):
    with server.connect() as peer:
        peer.send(text("€" * (LIMIT // 3 + 1))).fails(1009)


def test_control_frames_do_not_count(server):
    half = b"h" * (LIMIT // 2)
    with server.connect() as peer:
        peer.send(binary(half, fin=False), ping(b"p" * 125), cont(half))
        peer.expect(encode_frame(10, b"p" * 125), encode_frame(2, half * 2)).closes()


def test_each_message_counts_for_itself(server):
    payload = b"m" * (LIMIT // 2 + 1)
    with server.connect() as peer:
        peer.send(binary(payload)).expect(encode_frame(2, payload))
        peer.send(binary(payload)).expect(encode_frame(2, payload)).closes()


def test_a_message_that_is_too_large_hurts_nobody_else(server):
    with server.connect() as other, server.connect() as peer:
        peer.send(binary(b"x" * (LIMIT + 1))).fails(1009)
        other.send(text("still here")).expect(encode_frame(1, b"still here")).closes()


# -- raised limits ---------------------------------------------------------------------------------
MIB = 2**20


@pytest.fixture(scope="module")
def roomy():
    server = Server(lambda: Lab(echo_app(), ws="wslab", limits=Limits(message=16 * MIB)))
    yield server
    server.stop()


@pytest.mark.parametrize("size", [MIB // 16, MIB // 4, MIB, 4 * MIB, 8 * MIB, 16 * MIB])
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_large_messages_come_back(roomy, opcode, size):
    payload = b"\x2a" * size if opcode == 1 else bytes(range(256)) * (size // 256)
    with roomy.connect() as peer:
        peer.send(frame(opcode, payload)).expect(encode_frame(opcode, payload)).closes()


@pytest.mark.parametrize("size", [64, 256, 1024, 4096, 16384, 65536, 262_144, MIB])
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_a_message_of_4_mib_in_fragments_comes_back(roomy, opcode, size):
    part = b"f" * size
    middle = cont(part, fin=False) * (4 * MIB // size - 2)
    with roomy.connect() as peer:
        peer.send(frame(opcode, part, fin=False), middle, cont(part))
        peer.expect(encode_frame(opcode, b"f" * 4 * MIB)).closes()


@pytest.mark.parametrize("chop", [64, 256, 1024, 4096])
def test_a_message_of_1_mib_in_pieces_comes_back(roomy, chop):
    payload = b"p" * MIB
    with roomy.connect() as peer:
        peer.send(text(payload), chop=chop).expect(encode_frame(1, payload)).closes()


@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096, 16384, 65536])
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_hundreds_of_round_trips(roomy, opcode, size):
    payload = b"r" * size
    there, back = frame(opcode, payload), encode_frame(opcode, payload)
    with roomy.connect() as peer:
        for _ in range(200):
            peer.send(there).expect(back)
        peer.send(close()).closed()


def test_a_long_text_of_wide_characters_in_fragments_that_split_them(roomy):
    payload = ("κόσμε€𝄞" * 60_000).encode()
    pieces = [payload[start : start + 1300] for start in range(0, len(payload), 1300)]  # Autobahn 10.1.1
    middle = b"".join(cont(piece, fin=False) for piece in pieces[1:-1])
    with roomy.connect() as peer:
        peer.send(text(pieces[0], fin=False), middle, cont(pieces[-1]))
        peer.expect(encode_frame(1, payload)).closes()
