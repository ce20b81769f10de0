from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension

from wslab.wire.deflate import (
    DeflateError,
    DeflateOptions,
    DeflateOptionsError,
    DeflateTooLargeError,
    PerMessageDeflate,
    agree,
    negotiate,
    offer,
)
from wslab.wire.opening import HandshakeError

TAIL = b"\x00\x00\xff\xff"
FREE = DeflateOptions(server_max_window_bits=15, client_max_window_bits=15)


def answer_to(offers, options=FREE):
    agreed = negotiate(offers, options)
    return agreed and agreed[0]


# -- negotiation, section 7.1 ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits=15", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
        ('permessage-deflate; client_max_window_bits="10"', "permessage-deflate; client_max_window_bits=10"),
        ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
        ("permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
        ("permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"),
        ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
        ("x; permessage-deflate", None),
        ("Permessage-Deflate", None),
        ("permessage-bzip2", None),
        ("", None),
        (";;", None),
        # a parameter that is unknown, doubled or has a value that it must not have declines the offer
        ("permessage-deflate; x", None),
        ("permessage-deflate; x=1", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=10", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover=true", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=010", None),
        ("permessage-deflate; server_max_window_bits=1e1", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits=09", None),
        ("permessage-deflate; client_max_window_bits=+9", None),
        # the first offer that can be met is taken
        (
            "permessage-deflate; x, permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10",
        ),
    ],
)
def test_what_a_server_without_wishes_answers(offers, answer):
    assert answer_to(offers) == answer


@pytest.mark.parametrize(
    ("offers", "wishes", "answer"),
    [
        ("", {"server_max_window_bits": 12}, "; server_max_window_bits=12"),
        ("; server_max_window_bits=14", {"server_max_window_bits": 12}, "; server_max_window_bits=12"),
        ("; server_max_window_bits=10", {"server_max_window_bits": 12}, "; server_max_window_bits=10"),
        # a client that does not know the parameter must not get it (section 7.1.2.2)
        ("", {"client_max_window_bits": 12}, ""),
        ("; client_max_window_bits", {"client_max_window_bits": 12}, "; client_max_window_bits=12"),
        ("; client_max_window_bits=14", {"client_max_window_bits": 12}, "; client_max_window_bits=12"),
        ("; client_max_window_bits=10", {"client_max_window_bits": 12}, "; client_max_window_bits=10"),
        ("", {"server_no_context_takeover": True}, "; server_no_context_takeover"),
        ("", {"client_no_context_takeover": True}, "; client_no_context_takeover"),
    ],
)
def test_what_a_server_with_wishes_answers(offers, wishes, answer):
    options = DeflateOptions(**({"server_max_window_bits": 15, "client_max_window_bits": 15} | wishes))
    assert answer_to("permessage-deflate" + offers, options) == "permessage-deflate" + answer


@pytest.mark.parametrize(
    ("wishes", "offered"),
    [
        ({}, "permessage-deflate; client_max_window_bits"),
        ({"client_max_window_bits": 10}, "permessage-deflate; client_max_window_bits=10"),
        (
            {"server_max_window_bits": 10},
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits",
        ),
        (
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
                "client_max_window_bits"
            ),
        ),
    ],
)
def test_what_a_client_offers(wishes, offered):
    assert (
        offer(DeflateOptions(**({"server_max_window_bits": 15, "client_max_window_bits": 15} | wishes)))
        == offered
    )


@pytest.mark.parametrize(
    ("wishes", "answer", "codec"),
    [
        ({}, "permessage-deflate", "compress=15 decompress=15"),
        ({}, "permessage-deflate; server_max_window_bits=9", "compress=15 decompress=9"),
        ({}, "permessage-deflate; client_max_window_bits=9", "compress=9 decompress=15"),
        ({}, "permessage-deflate; client_max_window_bits=8", "compress=8 decompress=15"),
        ({"client_max_window_bits": 10}, "permessage-deflate", "compress=10 decompress=15"),
        (
            {"client_max_window_bits": 10},
            "permessage-deflate; client_max_window_bits=12",
            "compress=10 decompress=15",
        ),
        ({}, "permessage-deflate; server_no_context_takeover", "compress=15 decompress=15 reset"),
        ({}, "permessage-deflate; client_no_context_takeover", "compress=15 reset decompress=15"),
        ({"client_no_context_takeover": True}, "permessage-deflate", "compress=15 reset decompress=15"),
        (
            {"server_max_window_bits": 10},
            "permessage-deflate; server_max_window_bits=10",
            "compress=15 decompress=10",
        ),
    ],
)
def test_what_a_client_makes_of_an_answer(wishes, answer, codec):
    offered = DeflateOptions(**({"server_max_window_bits": 15, "client_max_window_bits": 15} | wishes))
    assert repr(agree(offered, answer)) == f"<PerMessageDeflate {codec}>"


def test_a_server_may_go_on_without():
    assert agree(FREE, "") is None


@pytest.mark.parametrize(
    ("wishes", "answer"),
    [
        ({}, "x"),
        ({}, "permessage-deflate, permessage-deflate"),
        ({}, "permessage-deflate, x"),
        ({}, "permessage-deflate; x"),
        ({}, "permessage-deflate; client_max_window_bits"),
        ({}, "permessage-deflate; client_max_window_bits=7"),
        ({}, "permessage-deflate; server_max_window_bits=16"),
        ({}, "permessage-deflate; server_no_context_takeover=1"),
        ({}, "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
        ({}, "permessage-deflate;"),
        ({"server_max_window_bits": 10}, "permessage-deflate"),
        ({"server_max_window_bits": 10}, "permessage-deflate; server_max_window_bits=11"),
        ({"server_no_context_takeover": True}, "permessage-deflate"),
    ],
)
def test_an_answer_to_something_else_fails_the_handshake(wishes, answer):
    offered = DeflateOptions(**({"server_max_window_bits": 15, "client_max_window_bits": 15} | wishes))
    with pytest.raises(HandshakeError):
        agree(offered, answer)


@pytest.mark.parametrize(
    "wrong", [{"server_max_window_bits": 7}, {"client_max_window_bits": 16}, {"level": 10}, {"mem_level": 0}]
)
def test_an_option_that_deflate_does_not_have(wrong):
    with pytest.raises(DeflateOptionsError, match=next(iter(wrong))):
        DeflateOptions(**wrong)


OPTIONS = st.builds(
    DeflateOptions,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=st.integers(8, 15),
    client_max_window_bits=st.integers(8, 15),
    level=st.integers(0, 9),
    mem_level=st.integers(1, 9),
)
MESSAGES = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda piece, count: piece * count, st.binary(min_size=1, max_size=40), st.integers(0, 900)
        ),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(OPTIONS, OPTIONS, MESSAGES)
def test_whatever_both_sides_wish_for_they_understand_each_other(server_options, client_options, messages):
    agreed = negotiate(offer(client_options), server_options)
    assert agreed is not None, "each of our offers can be met"
    answer, server = agreed
    client = agree(client_options, answer)
    for message in messages:
        assert server.decompress(client.compress(message), len(message)) == message
        assert client.decompress(server.compress(message), None) == message


@settings(deadline=None)
@given(OPTIONS, OPTIONS, MESSAGES)
def test_the_oracle_understands_our_server(server_options, client_options, messages):
    """The client is `websockets`; its extension object is told our answer, and reads what we compress."""
    factory = ClientPerMessageDeflateFactory(
        client_options.server_no_context_takeover,
        client_options.client_no_context_takeover,
        client_options.server_max_window_bits,
        max(9, client_options.client_max_window_bits),
    )
    offered = build_extension([("permessage-deflate", factory.get_request_params())])
    answer, codec = negotiate(offered, server_options)
    ((name, parameters),) = parse_extension(answer)
    try:
        oracle = factory.process_response_params(parameters, [])
    except NegotiationError:
        # The one difference: zlib cannot compress in a window of 8, and a client cannot decline any more.
        if server_options.client_max_window_bits == 8:
            return
        raise
    assert name == "permessage-deflate"
    assert f"compress={oracle.remote_max_window_bits}{' reset' * oracle.remote_no_context_takeover} " in repr(
        codec
    )
    exchange(codec, oracle, messages)


@settings(deadline=None)
@given(OPTIONS, OPTIONS, MESSAGES)
def test_the_oracle_understands_our_client(server_options, client_options, messages):
    factory = ServerPerMessageDeflateFactory(
        server_options.server_no_context_takeover,
        server_options.client_no_context_takeover,
        max(9, server_options.server_max_window_bits),
        server_options.client_max_window_bits,
    )
    ((_, parameters),) = parse_extension(offer(client_options))
    try:
        answer, oracle = factory.process_request_params(parameters, [])
    except NegotiationError:
        # The one difference: `websockets` declines an offer of 8, which we serve without a window.
        if client_options.server_max_window_bits == 8:
            return
        raise
    exchange(agree(client_options, build_extension([("permessage-deflate", answer)])), oracle, messages)


def exchange(codec, oracle, messages):
    for message in messages:
        frame = oracle.decode(Frame(Opcode.BINARY, codec.compress(message), rsv1=True))
        assert bytes(frame.data) == message
        frame = oracle.encode(Frame(Opcode.BINARY, message))
        assert codec.decompress(bytes(frame.data), len(message)) == message


# -- the codec -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("f2 48 cd c9 c9 07 00", b"Hello"),  # section 7.2.3.1
        ("00 05 00 fa ff 48 65 6c 6c 6f 00", b"Hello"),  # 7.2.3.3: a block without compression
        ("f3 48 cd c9 c9 07 00 00", b"Hello"),  # 7.2.3.4: a final block
        ("f3 48 cd c9 c9 07 00", b"Hello"),  # the same from a peer that spares the padding
        ("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", b"Hello"),  # 7.2.3.5: two blocks
        ("00", b""),  # 7.2.3.6
        ("02 00", b""),
        ("", b""),
    ],
)
def test_the_examples_of_the_rfc(payload, message):
    assert PerMessageDeflate().decompress(bytes.fromhex(payload), 100) == message


def test_context_takeover_as_in_the_rfc():
    # section 7.2.3.2: the second "Hello" is one reference to the first
    codec = PerMessageDeflate()
    assert codec.compress(b"Hello").hex(" ") == "f2 48 cd c9 c9 07 00"
    assert codec.compress(b"Hello").hex(" ") == "f2 00 11 00 00"
    peer = PerMessageDeflate()
    for payload in ("f2 48 cd c9 c9 07 00", "f2 00 11 00 00"):
        assert peer.decompress(bytes.fromhex(payload), None) == b"Hello"


def test_without_context_takeover_each_message_stands_alone():
    codec = PerMessageDeflate(compress_reset=True, decompress_reset=True)
    first, second = codec.compress(b"Hello"), codec.compress(b"Hello")
    assert first == second
    assert codec.decompress(first, None) == b"Hello"
    with pytest.raises(DeflateError):
        codec.decompress(bytes.fromhex("f2 00 11 00 00"), None)  # a reference to a message that is forgotten


def test_an_empty_message_is_one_byte_and_keeps_the_window():
    codec, peer = PerMessageDeflate(), PerMessageDeflate()
    for message in (b"", b"Hello", b"", b"", b"Hello"):
        payload = codec.compress(message)
        assert peer.decompress(payload, 5) == message
        assert message or payload == b"\x00"
    assert len(payload) == 5, "the last Hello refers to the first"


def test_a_final_block_does_not_end_the_conversation():
    """A peer that flushes with final blocks resets its own state; `websockets` goes silent after one."""
    codec = PerMessageDeflate()
    for message in (b"Hello", b"Hello again", b"", b"x" * 5000):
        compressor = zlib.compressobj(wbits=-15)
        payload = compressor.compress(message) + compressor.flush(zlib.Z_FINISH)
        assert codec.decompress(payload + b"\x00", 5000) == message
        assert codec.decompress(payload, 5000) == message


def test_a_message_of_final_blocks_can_refer_to_the_blocks_before():
    first = zlib.compressobj(wbits=-15)
    second = zlib.compressobj(wbits=-15, zdict=b"Hello, Hello, Hello, world")
    payload = first.compress(b"Hello, Hello, Hello, world") + first.flush()
    payload += second.compress(b"Hello, world") + second.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert PerMessageDeflate().decompress(payload, 100) == b"Hello, Hello, Hello, worldHello, world"


def test_a_flood_of_final_blocks_is_refused():
    with pytest.raises(DeflateError, match="final blocks"):
        PerMessageDeflate().decompress(b"\x03\x00" * 500_000, None)


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_a_message_above_the_limit(limit):
    with pytest.raises(DeflateTooLargeError):
        PerMessageDeflate().decompress(bytes.fromhex("f2 48 cd c9 c9 07 00"), limit)


def test_the_limit_counts_what_final_blocks_hold_together():
    block = zlib.compressobj(wbits=-15)
    payload = block.compress(b"x" * 60) + block.flush()
    assert PerMessageDeflate().decompress(payload * 2, 120) == b"x" * 120
    with pytest.raises(DeflateTooLargeError):
        PerMessageDeflate().decompress(payload * 2, 119)


def test_a_bomb_takes_no_more_memory_than_the_limit():
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(compressor.compress(bytes(2**20)) for _ in range(64)) + compressor.flush(
        zlib.Z_SYNC_FLUSH
    )
    bomb = bomb[:-4]
    assert len(bomb) < 2**17
    tracemalloc.start()
    try:
        with pytest.raises(DeflateTooLargeError):
            PerMessageDeflate().decompress(bomb, 2**20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 2**20


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x07", b"\x00\x05\x00\x00\x00Hello"])
def test_garbage_is_an_error_of_its_own(garbage):
    with pytest.raises(DeflateError) as caught:
        PerMessageDeflate().decompress(garbage, 100)
    assert not isinstance(caught.value, DeflateTooLargeError)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=4), st.booleans())
def test_any_bytes_inflate_within_the_limit_or_are_refused(payloads, reset):
    codec = PerMessageDeflate(decompress_reset=reset)
    for payload in payloads:
        try:
            assert len(codec.decompress(payload, 50)) <= 50
        except DeflateError:
            return


@settings(deadline=None)
@given(st.integers(8, 15), MESSAGES)
def test_no_reference_reaches_beyond_the_window_agreed_on(bits, messages):
    """Inflated in a window of exactly the size agreed on, which 8 bits are only for a strict inflater."""
    codec = PerMessageDeflate(compress_bits=bits)
    inflater = zlib.decompressobj(-bits)
    for message in messages:
        assert inflater.decompress(codec.compress(message) + TAIL) == message


def test_a_window_of_8_bits_holds_no_more_than_256_bytes():
    codec = PerMessageDeflate(compress_bits=8)
    noise = bytes(range(256)) * 2
    first = codec.compress(noise[:257])
    assert zlib.decompressobj(-8).decompress(first + TAIL) == noise[:257]
    assert len(codec.compress(b"x" * 1000)) < 40, "runs are compressed all the same"
    assert len(codec.compress(noise)) >= 512, "and what is farther away is not"


def test_a_silent_connection_has_no_window():
    codec = PerMessageDeflate()
    assert codec._compressor is None
    assert codec._decompressor is None
