"""Frames, with the `websockets` library as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as OracleFrame
from websockets.frames import Opcode as OracleOpcode
from websockets.streams import StreamReader

from wslab.wire import Opcode, apply_mask, encode_frame, frame_length, parse_frame
from wslab.wire.frames import MAX_HEADER, close_fields, opcode_name

payloads = st.one_of(
    st.binary(max_size=300), st.sampled_from([b"x" * 125, b"y" * 126, b"z" * 65_535, b"w" * 65_536])
)
keys = st.binary(min_size=4, max_size=4)


def oracle_parse(raw: bytes, masked: bool) -> OracleFrame:
    reader = StreamReader()
    reader.feed_data(raw)
    parsing = OracleFrame.parse(reader.read_exact, mask=masked)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    return done.value.value


@given(payload=payloads, key=st.one_of(st.none(), keys), fin=st.booleans(), opcode=st.sampled_from([0, 1, 2]))
def test_what_we_encode_the_oracle_reads(payload, key, fin, opcode):
    raw = encode_frame(opcode, payload, fin=fin, mask=key or False)
    theirs = oracle_parse(raw, masked=key is not None)
    assert (theirs.opcode, theirs.fin, bytes(theirs.data)) == (OracleOpcode(opcode), fin, payload)


@given(payload=payloads, fin=st.booleans(), masked=st.booleans())
def test_what_the_oracle_encodes_we_read(payload, fin, masked):
    raw = OracleFrame(OracleOpcode.TEXT, payload, fin=fin).serialize(mask=masked)
    frame = parse_frame(raw)
    assert frame is not None
    assert (frame.fin, frame.opcode, frame.payload, frame.length) == (fin, 1, payload, len(payload))
    assert (frame.mask_key is not None) == masked
    assert (frame.problem, frame.cut, frame.raw) == ("", False, raw)
    assert frame_length(raw) == len(raw) == frame.header_length + frame.length


@given(payload=st.binary(max_size=70_000), key=keys)
def test_masking_twice_gives_the_payload_back(payload, key):
    masked = apply_mask(payload, key)
    assert apply_mask(masked, key) == payload
    assert masked == bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


@given(payload=payloads, masked=st.booleans(), kept=st.integers(min_value=0, max_value=MAX_HEADER + 5))
def test_a_beginning_of_any_length_never_raises(payload, masked, kept):
    raw = encode_frame(2, payload, mask=masked)
    frame = parse_frame(raw[:kept], len(raw))
    if frame is not None:
        assert payload.startswith(frame.payload)
        assert frame.cut == (len(frame.payload) < len(payload))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_not_an_exception(raw):
    frame = parse_frame(raw)
    assert frame is None or isinstance(frame.problem, str)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (bytes([0x83, 0x00]), "reserved"),
        (bytes([0x09, 0x00]), "must not be fragmented"),
        (bytes([0x89, 126, 0, 126]) + bytes(126), "125 bytes, not 126"),
        (bytes([0xA1, 0x00]), "RSV2 or RSV3"),
        (bytes([0x82, 126, 0, 5]) + bytes(5), "shortest form"),
        (bytes([0x82, 127, 0, 0, 0, 0, 0, 0, 0, 5]) + bytes(5), "shortest form"),
        (bytes([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), "highest bit"),
    ],
)
def test_a_malformed_frame_says_what_is_wrong_and_cites_the_rfc(raw, problem):
    frame = parse_frame(raw)
    assert frame is not None
    assert problem in frame.problem
    assert "RFC 6455 section 5" in frame.problem


def test_a_frame_that_never_ended_says_so():
    frame = parse_frame(encode_frame(1, b"hello")[:4])
    assert frame is not None
    assert frame.problem == "The connection ended inside this frame: 4 of 7 bytes came."
    assert not frame.cut


def test_rsv_and_fin_bits_are_where_the_rfc_puts_them():
    frame = parse_frame(encode_frame(1, fin=False, rsv=0b100))
    assert frame is not None
    assert (frame.fin, frame.rsv1, frame.rsv2, frame.rsv3) == (False, True, False, False)


@pytest.mark.parametrize(
    ("arguments", "options"), [((16,), {}), ((1,), {"rsv": 8}), ((1,), {"mask": b"abc"})]
)
def test_encode_refuses_what_no_frame_can_hold(arguments, options):
    with pytest.raises(ValueError, match="Expected"):
        encode_frame(*arguments, **options)


def test_a_random_mask_is_drawn_each_time():
    assert encode_frame(1, b"", mask=True) != encode_frame(1, b"", mask=True)


def test_close_payloads():
    assert close_fields(b"\x03") == (1005, "")
    frame = parse_frame(encode_frame(Opcode.CLOSE, b"\x03\xe8bye \xff"))
    assert frame is not None
    assert frame.text == "1000 bye �"
    assert frame.control
    empty = parse_frame(encode_frame(Opcode.CLOSE))
    assert empty is not None
    assert empty.text == ""


def test_names():
    assert [opcode_name(n) for n in (0, 8, 9, 10, 11)] == [
        "CONTINUATION",
        "CLOSE",
        "PING",
        "PONG",
        "RESERVED 0xB",
    ]


@pytest.mark.parametrize(
    ("length_form", "length", "header"),
    [
        (7, 125, "81 7d"),
        (16, 5, "81 7e 00 05"),
        (16, 0xFFFF, "81 7e ff ff"),
        (64, 5, "81 7f 00 00 00 00 00 00 00 05"),
        (None, 126, "81 7e 00 7e"),
    ],
)
def test_a_length_can_be_written_in_any_form_that_holds_it(length_form, length, header):
    raw = encode_frame(Opcode.TEXT, bytes(length), length_form=length_form)
    assert raw == bytes.fromhex(header) + bytes(length)
    frame = parse_frame(raw)
    assert frame is not None
    assert frame.length == length
    masked = parse_frame(encode_frame(Opcode.TEXT, bytes(length), length_form=length_form, mask=True))
    assert masked is not None
    assert masked.payload == bytes(length)


@pytest.mark.parametrize(("length_form", "length"), [(7, 126), (16, 0x10000), (8, 0)])
def test_a_length_form_that_does_not_hold_the_length_is_refused(length_form, length):
    with pytest.raises(ValueError, match=f"holds {length} .*got {length_form}"):
        encode_frame(Opcode.TEXT, bytes(length), length_form=length_form)
