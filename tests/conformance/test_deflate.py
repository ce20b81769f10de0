"""permessage-deflate (RFC 7692; Autobahn 12.x and 13.x), inflated and deflated here with zlib alone."""

from __future__ import annotations

import itertools
import json
import random
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.harness import Mismatch, Server, binary, close, cont, echo_app, frame, ping, text
from wslab import Lab, Limits
from wslab.wire import Opcode, encode_frame, parse_frame

EMPTY = b"\x00\x00\xff\xff"
OFFER = "permessage-deflate"
LIMIT = 2**20


@pytest.fixture(scope="module")
def deflating():
    server = Server(lambda: Lab(echo_app(), ws="wslab", deflate=True, limits=Limits(message=LIMIT)))
    yield server
    server.stop()


class Codec:
    """The client's half, with the parameters that the server answered."""

    def __init__(self, answer):
        name, *parameters = [part.strip() for part in answer.split(";")]
        assert name == OFFER, answer
        self.agreed = dict([*part.split("="), None][:2] for part in parameters)
        self.out_bits = int(self.agreed.get("client_max_window_bits") or 15)
        self.in_bits = int(self.agreed.get("server_max_window_bits") or 15)
        self.out = self.inflater = None

    def compress(self, payload, level=6):
        if self.out is None or "client_no_context_takeover" in self.agreed:
            self.out = zlib.compressobj(level, zlib.DEFLATED, -max(self.out_bits, 9))
        packed = self.out.compress(payload) + self.out.flush(zlib.Z_SYNC_FLUSH)
        return (
            packed[:-4] or b"\x00"
        )  # zlib does not flush twice: RFC 7692 section 7.2.3.6 has the byte for that

    def decompress(self, payload):
        if self.inflater is None or "server_no_context_takeover" in self.agreed:
            self.inflater = zlib.decompressobj(-self.in_bits)
        return self.inflater.decompress(payload + EMPTY)


def negotiate(server, offer=OFFER):
    """A client that offered `offer`, and its codec; None for that where nothing was agreed on."""
    peer = server.dial()
    try:
        answer = peer.open(headers=[("Sec-WebSocket-Extensions", offer)] if offer else [])
    except BaseException:
        peer.sock.close()
        raise
    agreed = answer.headers.get("sec-websocket-extensions")
    return peer, Codec(agreed) if agreed else None


def expect_back(peer, codec, opcode, payload):
    """The next frame is the message `payload`, compressed or not."""
    got = parse_frame(peer.frame())
    assert got is not None
    if not (got.fin and got.opcode == opcode and not got.rsv2 and not got.rsv3):
        raise Mismatch(f"expected a whole message, got {got}")
    content = codec.decompress(got.payload) if got.rsv1 else got.payload
    if content != payload:
        raise Mismatch(f"expected {payload[:60]!r} of {len(payload)}, got {content[:60]!r} of {len(content)}")
    return got


# -- negotiation -----------------------------------------------------------------------------------
OFFERS = [
    OFFER,
    f"{OFFER}; client_max_window_bits",
    f"{OFFER}; client_max_window_bits=15",
    f"{OFFER}; client_max_window_bits=10",
    f"{OFFER}; client_max_window_bits=9",
    f"{OFFER}; server_max_window_bits=15",
    f"{OFFER}; server_max_window_bits=10",
    f"{OFFER}; server_max_window_bits=9",
    f"{OFFER}; server_no_context_takeover",
    f"{OFFER}; client_no_context_takeover",
    f"{OFFER}; server_no_context_takeover; client_no_context_takeover",
    f"{OFFER}; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
    f"{OFFER}; client_max_window_bits; server_max_window_bits=11",
    f'{OFFER}; server_max_window_bits="12"',
    f"x-unknown, {OFFER}",
    f"{OFFER}; unknown_parameter, {OFFER}",
    f"{OFFER}; server_max_window_bits=7, {OFFER}; server_max_window_bits=10",
]

MESSAGES = [b"", b"a", b"Hello Hello Hello", "κόσμε €".encode() * 40, b"0123456789" * 5000]


@pytest.mark.parametrize("offer", OFFERS)
def test_messages_come_back_whatever_was_agreed_on(deflating, offer):
    peer, codec = negotiate(deflating, offer)
    with peer:
        assert codec is not None
        if "server_max_window_bits=" in offer.split(",")[-1]:
            wanted = int(offer.rsplit("server_max_window_bits=", 1)[1].split(";")[0].strip('" '))
            assert codec.in_bits <= wanted
        if "server_no_context_takeover" in offer:
            assert "server_no_context_takeover" in codec.agreed
        if "client_max_window_bits" not in offer:
            assert "client_max_window_bits" not in codec.agreed  # RFC 7692 section 7.1.2.2
        for payload in MESSAGES * 2:
            peer.send(text(codec.compress(payload), rsv=4))
            expect_back(peer, codec, 1, payload)
        peer.closes()


DECLINED = [
    "",
    "x-webkit-deflate-frame",
    "permessage-bzip2",
    f"{OFFER}; unknown_parameter",
    f"{OFFER}; server_max_window_bits",
    f"{OFFER}; server_max_window_bits=7",
    f"{OFFER}; server_max_window_bits=16",
    f"{OFFER}; server_max_window_bits=010",
    f"{OFFER}; server_max_window_bits=x",
    f"{OFFER}; client_max_window_bits=7",
    f"{OFFER}; client_max_window_bits=16",
    f"{OFFER}; server_no_context_takeover=1",
    f"{OFFER}; client_no_context_takeover=true",
    f"{OFFER}; server_no_context_takeover; server_no_context_takeover",
    f"{OFFER}; server_max_window_bits=10; server_max_window_bits=10",
]


@pytest.mark.parametrize("offer", DECLINED)
def test_an_offer_that_is_not_valid_is_declined(deflating, offer):
    # RFC 7692 section 5.1: "A server MUST decline an extension negotiation offer ... if ... invalid".
    peer, codec = negotiate(deflating, offer)
    with peer:
        assert codec is None
        peer.send(text("plain")).expect(encode_frame(1, b"plain"))
        peer.send(text("compressed", rsv=4)).fails(1002)


def test_nothing_is_agreed_on_where_it_is_switched_off(server):
    peer, codec = negotiate(server)
    with peer:
        if codec is not None:
            raise Mismatch("expected no extension")
        peer.send(text("plain")).expect(encode_frame(1, b"plain")).closes()


@pytest.mark.parametrize("bits", range(8, 16))
def test_no_window_is_larger_than_was_agreed_on(deflating, bits):
    # A window of 256 bytes cannot be had from every zlib: then the offer is declined, not broken.
    peer, codec = negotiate(
        deflating, f"{OFFER}; client_max_window_bits={bits}; server_max_window_bits={bits}"
    )
    rng = random.Random(bits)
    with peer:
        if codec is None:
            assert bits == 8
            peer.send(text("plain")).expect(encode_frame(1, b"plain")).closes()
            return
        assert codec.in_bits <= bits
        assert codec.out_bits <= bits
        for size in (10, 300, 5000, 70_000):
            payload = rng.randbytes(size // 2) * 2  # the copy lies farther back than a small window reaches
            peer.send(binary(codec.compress(payload), rsv=4))
            expect_back(peer, codec, 2, payload)
        peer.closes()


# -- messages --------------------------------------------------------------------------------------
def document(rng, size):
    words = ["alpha", "beta", "gamma", "κόσμε", "€", "delta"]
    rows = [json.dumps({rng.choice(words): rng.random()}, ensure_ascii=False) for _ in range(size // 20 + 1)]
    return "".join(rows).encode()[:size].decode("utf-8", "ignore").encode()


SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131_072]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no takeover"])
def test_messages_of_any_size_come_back(deflating, size, takeover):
    offer = OFFER if takeover else f"{OFFER}; server_no_context_takeover; client_no_context_takeover"
    peer, codec = negotiate(deflating, offer)
    rng = random.Random(size)
    with peer:
        for number in range(20):
            payload = document(rng, size)
            opcode = 1 + number % 2
            peer.send(frame(opcode, codec.compress(payload), rsv=4))
            expect_back(peer, codec, opcode, payload)
        peer.closes()


def test_a_context_taken_over_makes_the_next_message_smaller(deflating):
    payload = bytes(random.Random(1).randbytes(1000))
    for offer, smaller in ((OFFER, True), (f"{OFFER}; server_no_context_takeover", False)):
        peer, codec = negotiate(deflating, offer)
        with peer:
            sizes = []
            for _ in range(2):
                peer.send(binary(codec.compress(payload), rsv=4))
                sizes.append(expect_back(peer, codec, 2, payload).length)
            assert (sizes[1] < sizes[0] / 2) == smaller, sizes
            peer.closes()


def test_a_message_may_be_sent_uncompressed(deflating):
    # RFC 7692 section 6: an endpoint decides message by message.
    peer, codec = negotiate(deflating)
    with peer:
        for payload, rsv in ((b"plain", 0), (b"packed", 4), (b"plain again", 0), (b"packed again", 4)):
            peer.send(text(codec.compress(payload) if rsv else payload, rsv=rsv))
            expect_back(peer, codec, 1, payload)
        peer.closes()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_compressed_message_in_fragments_comes_back(deflating, size):
    # RFC 7692 section 6.1: RSV1 on the first fragment only.
    peer, codec = negotiate(deflating)
    payload = b"fragmented " * 30
    packed = codec.compress(payload)
    parts = [packed[start : start + size] for start in range(0, len(packed), size)]
    with peer:
        frames = [cont(part, fin=False) for part in parts[1:]]
        peer.send(text(parts[0], fin=False, rsv=4), *frames, ping(b"?"), cont())
        peer.expect(encode_frame(10, b"?"))
        expect_back(peer, codec, 1, payload)
        peer.closes()


def test_a_compressed_message_in_pieces_comes_back(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        peer.send(text(codec.compress(b"pieces " * 20), rsv=4), chop=1)
        expect_back(peer, codec, 1, b"pieces " * 20)
        peer.closes()


ENCODINGS = {
    # RFC 7692 section 7.2.3: what a sender may also make.
    "the RFC's Hello": (bytes.fromhex("f248cdc9c90700"), b"Hello"),
    "an uncompressed block": (bytes.fromhex("000500faff48656c6c6f00"), b"Hello"),
    "a final block": (bytes.fromhex("f348cdc9c9070000"), b"Hello"),
    "two blocks": (bytes.fromhex("f24805000000ffffcac9c90700"), b"Hello"),
    "an empty message": (b"\x00", b""),
    "an empty fixed block": (bytes.fromhex("0200"), b""),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_another_encoding_of_the_same_message_is_read(deflating, name):
    packed, payload = ENCODINGS[name]
    peer, codec = negotiate(deflating, f"{OFFER}; client_no_context_takeover")
    with peer:
        peer.send(text(packed, rsv=4))
        expect_back(peer, codec, 1, payload)
        peer.closes()


def test_uncompressed_blocks_are_read(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        for _ in range(3):
            payload = random.Random(3).randbytes(70_000)
            peer.send(binary(codec.compress(payload, level=0), rsv=4))
            expect_back(peer, codec, 2, payload)
        peer.closes()


def test_empty_messages_in_a_row_come_back(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        for payload in (b"", b"", b"", b"x", b"", b""):
            peer.send(text(codec.compress(payload), rsv=4))
            expect_back(peer, codec, 1, payload)
        peer.closes()


def test_a_close_frame_is_never_compressed(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        peer.send(text(codec.compress(b"last"), rsv=4))
        expect_back(peer, codec, 1, b"last")
        peer.send(close(1001, "bye")).closed(1001)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payloads=st.lists(st.binary(max_size=300), max_size=6),
    fragments=st.lists(st.integers(1, 80), min_size=1, max_size=10),
    segments=st.lists(st.integers(1, 200), max_size=40),
    offer=st.sampled_from(OFFERS),
)
def test_any_fragments_and_segments_inflate_alike(deflating, payloads, fragments, segments, offer):
    peer, codec = negotiate(deflating, offer)
    sizes = itertools.cycle(fragments)
    raw = b""
    for payload in payloads:
        packed = codec.compress(payload)
        kind, rsv = 2, 4
        while packed:
            size = next(sizes)
            raw += frame(kind, packed[:size], fin=len(packed) <= size, rsv=rsv)
            packed = packed[size:]
            kind = rsv = 0
    with peer:
        for size in segments:
            peer.send(raw[:size])
            raw = raw[size:]
        peer.send(raw)
        for payload in payloads:
            expect_back(peer, codec, 2, payload)
        peer.closes()


# -- violations ------------------------------------------------------------------------------------
@pytest.mark.parametrize("opcode", [8, 9, 10], ids=["close", "ping", "pong"])
def test_rsv1_on_a_control_frame_is_1002(deflating, opcode):
    peer, _ = negotiate(deflating)
    with peer:
        peer.send(frame(opcode, b"\x03\xe8", rsv=4)).fails(1002)


def test_rsv1_on_a_continuation_is_1002(deflating):
    peer, codec = negotiate(deflating)
    packed = codec.compress(b"message")
    with peer:
        peer.send(text(packed[:3], fin=False, rsv=4), cont(packed[3:], rsv=4)).fails(1002)


def test_rsv1_on_a_continuation_of_an_uncompressed_message_is_1002(deflating):
    peer, _ = negotiate(deflating)
    with peer:
        peer.send(text("a", fin=False), cont("b", rsv=4)).fails(1002)


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_other_reserved_bits_are_1002(deflating, rsv):
    peer, codec = negotiate(deflating)
    with peer:
        peer.send(text(codec.compress(b"x"), rsv=rsv)).fails(1002)


GARBAGE = {
    "0xff": b"\xff" * 20,
    "a reserved block type": b"\x06\x00",
    "a wrong stored length": b"\x00\x05\x00\x00\x00Hello",
    "text": b"this was never compressed",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_cannot_be_inflated_is_1007(deflating, name):
    peer, _ = negotiate(deflating)
    with peer:
        peer.send(text(GARBAGE[name], rsv=4)).fails(1007)


def test_compressed_text_that_is_not_utf8_is_1007(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        peer.send(text(codec.compress(b"good \xff bad"), rsv=4)).fails(1007)


def test_a_message_that_inflates_to_just_the_limit_comes_back(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        peer.send(binary(codec.compress(bytes(LIMIT)), rsv=4))
        expect_back(peer, codec, 2, bytes(LIMIT))
        peer.closes()


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT, 64 * LIMIT])
def test_a_message_that_inflates_to_more_is_1009(deflating, size):
    peer, codec = negotiate(deflating)
    with peer:
        peer.send(binary(codec.compress(bytes(size)), rsv=4)).fails(1009)


def test_a_message_that_inflates_to_more_by_fragments_is_1009(deflating):
    peer, codec = negotiate(deflating)
    packed = codec.compress(bytes(4 * LIMIT))
    half = len(packed) // 2
    with peer:
        peer.send(binary(packed[:half], fin=False, rsv=4), cont(packed[half:])).fails(1009)


def test_what_is_recorded_inflates_to_what_was_sent(deflating):
    peer, codec = negotiate(deflating)
    with peer:
        packed = codec.compress(b"on the record")
        peer.send(text(packed, rsv=4))
        expect_back(peer, codec, 1, b"on the record")
        peer.closes()
    frames = [row.frame for row in deflating.lab.frames if row.frame.payload == packed]
    assert frames
    assert all(found.rsv1 and found.opcode == Opcode.TEXT for found in frames)
