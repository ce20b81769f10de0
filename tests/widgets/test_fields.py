from __future__ import annotations

import pytest

from wslab.widgets.fields import describe_fields, problem_of
from wslab.wire import Opcode, encode_frame, parse_frame
from wslab.wire.recorder import RECEIVED, SENT

KEY = bytes.fromhex("37fa213d")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("mask", [b"", KEY])
def test_fields_cover_every_bit_of_a_frame_once(length, mask):
    frame = parse_frame(encode_frame(Opcode.BINARY, bytes(length), mask=mask))
    fields = describe_fields(frame, "in")
    ends = [0, *(field.stop for field in fields)]
    assert [field.start for field in fields] == ends[:-1]
    assert ends[-1] == len(frame.raw) * 8


def test_fields_hold_the_bits_of_the_wire():
    raw = encode_frame(0xA, b"hi", fin=False, rsv=5, mask=KEY)
    bits = "".join(f"{byte:08b}" for byte in raw)
    for field in describe_fields(parse_frame(raw), "in")[:7]:
        assert field.bits == bits[field.start : field.stop], field.name


@pytest.mark.parametrize(
    ("mask", "direction", "said"),
    [
        (KEY, "in", "as it must"),
        (b"", "in", "must close"),
        (b"", "out", "does not mask"),
        (KEY, "out", "must close"),
    ],
)
def test_who_must_mask_depends_on_the_direction(mask, direction, said):
    frame = parse_frame(encode_frame(Opcode.TEXT, b"x", mask=mask))
    (meaning,) = (field.meaning for field in describe_fields(frame, direction) if field.name == "MASK")
    assert said in meaning


def test_a_close_frame_has_a_code_and_a_reason():
    frame = parse_frame(encode_frame(Opcode.CLOSE, b"\x03\xe9bye"))
    fields = {field.name: field for field in describe_fields(frame, "out")}
    assert fields["close code"].value == "1001 going away"
    assert (fields["close code"].start, fields["close code"].stop) == (16, 32)
    assert (fields["reason"].start, fields["reason"].stop) == (32, 56)
    unknown = parse_frame(encode_frame(Opcode.CLOSE, b"\x0f\xa0"))
    assert describe_fields(unknown, "out")[-1].value == "4000"


def test_a_reserved_opcode_is_called_reserved():
    frame = parse_frame(encode_frame(3, b""))
    (field,) = (field for field in describe_fields(frame, "out") if field.name == "opcode")
    assert (field.bits, field.value, field.meaning) == ("0011", "RESERVED 0x3", "Reserved (section 5.2).")


@pytest.mark.parametrize(
    ("mask", "direction", "said"),
    [(KEY, RECEIVED, ""), (b"", SENT, ""), (b"", RECEIVED, "client did not"), (KEY, SENT, "server masked")],
)
def test_masking_on_the_wrong_side_is_a_problem(mask, direction, said):
    problem = problem_of(parse_frame(encode_frame(Opcode.TEXT, b"x", mask=mask)), direction)
    assert said in problem
    assert bool(problem) == bool(said)


def test_what_the_parser_finds_goes_first():
    assert "reserved" in problem_of(parse_frame(encode_frame(3, b"")), RECEIVED)
