"""A frame's fields as the page shows them: `wslab.wire.explain` says what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from wslab.wire.close_codes import CLOSE_CODES
from wslab.wire.explain import explain_frame
from wslab.wire.frames import Frame, close_fields
from wslab.wire.messages import frame_problem
from wslab.wire.recorder import RECEIVED

__all__ = ["Field", "describe_fields", "problem_of"]

_WIDEST = 7  # bits that are shown in binary


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a frame's header or payload.

    Attributes:
        name: as RFC 6455 section 5.2 calls it.
        bits: the field in binary where it has at most 7 bits, else "".
        value: what it says, for a reader.
        start, stop: its bits, counted from the frame's first one; `stop` is exclusive.
        meaning: what follows from that value, in a sentence.
    """

    name: str
    bits: str
    value: str
    start: int
    stop: int
    meaning: str


def describe_fields(frame: Frame, direction: str) -> list[Field]:
    """Every field of `frame` in the order of the wire.

    Args:
        frame: the frame.
        direction: "in" or "out", seen from the server: who must mask depends on it.

    Example:
        >>> from wslab.wire.frames import encode_frame, parse_frame
        >>> frame = parse_frame(encode_frame(1, b"Hello", mask=bytes.fromhex("37fa213d")))
        >>> fields = describe_fields(frame, "in")
        >>> [field.name for field in fields]
        ['FIN', 'RSV1', 'RSV2', 'RSV3', 'opcode', 'MASK', 'length', 'masking key', 'payload']
        >>> fields[4].bits, fields[4].value, fields[7].value, (fields[7].start, fields[7].stop)
        ('0001', 'TEXT', '37 fa 21 3d', (16, 48))
    """
    values = _values(frame)
    fields = []
    for field in explain_frame(frame, direction).fields:
        if field.bits is None:
            continue  # what is wrong with the frame as a whole: `problem_of` says that
        start, stop = field.bits[0], field.bits[1] + 1
        bits = field.raw if stop - start <= _WIDEST else ""
        meaning = field.meaning.removeprefix(f"{frame.name}: ").removesuffix(".")
        section = field.section.removeprefix("RFC 6455 ")
        said = f"{meaning} ({section})."
        fields.append(Field(field.name, bits, values.get(field.name, ""), start, stop, said))
    return fields


def _values(frame: Frame) -> dict[str, str]:
    """What each field says, by its name."""
    code, _ = close_fields(frame.payload)
    kept = f"; the first {len(frame.payload)} are kept" if len(frame.payload) < frame.length else ""
    long = str(frame.length)
    return {
        "FIN": "final" if frame.fin else "not final",
        "opcode": frame.name,
        "MASK": "not masked" if frame.mask_key is None else "masked",
        "length": str(frame.raw[1] & 0x7F),
        "extended length, 16 bits": long,
        "extended length, 64 bits": long,
        "masking key": (frame.mask_key or b"").hex(" "),
        "close code": f"{code} {CLOSE_CODES.get(code, '')}".rstrip(),
        "reason": f"{len(frame.payload) - 2} bytes",
        "payload": f"{frame.length} bytes{kept}",
    }


def problem_of(frame: Frame, direction: int) -> str:
    """What is wrong with `frame`, with the RFC section; "" for a good one.

    Args:
        frame: the frame; `Frame.problem` knows all but who must mask.
        direction: `wslab.wire.recorder.RECEIVED` or `SENT`, seen from the server.

    Example:
        >>> from wslab.wire.frames import encode_frame, parse_frame
        >>> problem_of(parse_frame(encode_frame(1, b"hi")), RECEIVED)
        'The client did not mask this frame (RFC 6455 section 5.1).'
    """
    return frame_problem(frame, "in" if direction == RECEIVED else "out")
