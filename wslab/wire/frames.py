"""RFC 6455 frames: bytes to values and back, without I/O.

A frame on the wire (RFC 6455 section 5.2)::

     0               1               2 ...          +8             +4
    +-+-+-+-+-------+-+-------------+---------------+--------------+---------+
    |F|R|R|R| op-   |M| length      | extended      | masking key  | payload |
    |I|S|S|S| code  |A| (7 bits)    | length: 0, 16 | if MASK      |         |
    |N|V|V|V| (4)   |S|             | or 64 bits    |              |         |
    +-+-+-+-+-------+-+-------------+---------------+--------------+---------+

`frame_length` finds where a frame ends from its first bytes alone, which is all that recording
needs; `parse_frame` reads every field, and is only called when somebody looks. Malformed bytes are
not an exception here: the frame says in `problem` what is wrong, and cites the section.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

__all__ = [
    "MAX_HEADER",
    "Frame",
    "LengthForm",
    "Opcode",
    "apply_mask",
    "close_fields",
    "encode_frame",
    "encode_header",
    "frame_length",
    "opcode_name",
    "parse_frame",
]

MAX_HEADER = 14
"""The longest frame header in bytes: 2, 8 of extended length, 4 of masking key."""

LengthForm = Literal[7, 16, 64]
"""In how many bits a header has the payload's length."""

_SHORT, _LENGTH16, _LENGTH64 = 125, 126, 127
_FORMS = {7: (0, 0, _SHORT), 16: (_LENGTH16, 2, 0xFFFF), 64: (_LENGTH64, 8, 2**63 - 1)}
_FIN, _RSV1, _RSV2, _RSV3, _MASK = 0x80, 0x40, 0x20, 0x10, 0x80


class Opcode(IntEnum):
    """What a frame is for (RFC 6455 section 5.2); 3–7 and 11–15 are reserved."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def opcode_name(opcode: int) -> str:
    """The name of `opcode`, also of a reserved one.

    Example:
        >>> opcode_name(1), opcode_name(3)
        ('TEXT', 'RESERVED 0x3')
    """
    return Opcode(opcode).name if opcode in Opcode._value2member_map_ else f"RESERVED 0x{opcode:X}"


def apply_mask(data: bytes, key: bytes) -> bytes:
    """XOR `data` with the four bytes of `key`, again and again (RFC 6455 section 5.3).

    Masking and unmasking are the same operation. One XOR of two large integers does what a loop
    over the bytes would, some hundred times faster.

    Example:
        >>> apply_mask(bytes.fromhex("7f9f4d5158"), bytes.fromhex("37fa213d"))
        b'Hello'
    """
    length = len(data)
    repeated = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(data) ^ int.from_bytes(repeated)).to_bytes(length)


def frame_length(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """The length in bytes of the frame that begins at `start`, header included.

    Returns:
        0 where more bytes are needed to know.

    Example:
        >>> frame_length(bytes([0x81, 0x05])), frame_length(bytes([0x81]))
        (7, 0)
    """
    available = len(data) - start
    if available < 2:  # noqa: PLR2004 - the two bytes every header has
        return 0
    second = data[start + 1]
    length = second & 0x7F
    header = 6 if second & _MASK else 2
    if length <= _SHORT:
        return header + length
    if length == _LENGTH16:
        if available < 4:  # noqa: PLR2004 - and two of extended length
            return 0
        return header + 2 + (data[start + 2] << 8 | data[start + 3])
    if available < 10:  # noqa: PLR2004 - or eight
        return 0
    return header + 8 + int.from_bytes(data[start + 2 : start + 10])


def encode_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | bool = False,
    length_form: LengthForm | None = None,
) -> bytes:
    """One frame as it goes on the wire.

    Args:
        opcode: 0–15; nothing stops you from sending a reserved one.
        payload: the application data, unmasked.
        fin: last fragment of its message.
        rsv: the three reserved bits as a number, RSV1 = 4.
        mask: a key of four bytes; True draws one at random, as a client must (section 5.3).
        length_form: write the length in 7, 16 or 64 bits; None: in the fewest, as section 5.2 demands.

    Raises:
        ValueError: an opcode, rsv or key of the wrong size, or a length that its form cannot hold.

    Example:
        >>> encode_frame(Opcode.TEXT, b"Hello", mask=bytes.fromhex("37fa213d")).hex(" ")
        '81 85 37 fa 21 3d 7f 9f 4d 51 58'
    """
    if not 0 <= opcode <= 0xF or not 0 <= rsv <= 0x7:  # noqa: PLR2004 - four bits and three
        raise ValueError(f"Expected opcode 0-15 and rsv 0-7, got {opcode} and {rsv}.")
    key = secrets.token_bytes(4) if mask is True else (mask or b"")
    if len(key) not in {0, 4}:
        raise ValueError(f"Expected a masking key of 4 bytes, got {len(key)}.")
    first = (_FIN if fin else 0) | rsv << 4 | opcode
    if length_form is None:
        header = encode_header(first, len(payload), masked=bool(key))
    else:
        header = _encode_form(first, len(payload), length_form, masked=bool(key))
    return header + key + (apply_mask(payload, key) if key else payload)


def encode_header(first: int, length: int, *, masked: bool) -> bytes:
    """The bytes before a masking key or the payload: `first`, and `length` in its shortest form.

    Example:
        >>> encode_header(0x81, 126, masked=True).hex(" ")
        '81 fe 00 7e'
    """
    mask = _MASK if masked else 0
    if length <= _SHORT:
        return bytes((first, mask | length))
    if length <= 0xFFFF:  # noqa: PLR2004 - what 16 bits hold
        return bytes((first, mask | _LENGTH16)) + length.to_bytes(2)
    return bytes((first, mask | _LENGTH64)) + length.to_bytes(8)


def _encode_form(first: int, length: int, form: int, *, masked: bool) -> bytes:
    marker, size, most = _FORMS.get(form, (0, 0, -1))
    if length > most:
        raise ValueError(
            f"Expected a length form of 7, 16 or 64 bits that holds {length} (7 hold 125), got {form}."
        )
    return bytes((first, (_MASK if masked else 0) | (marker or length))) + length.to_bytes(8)[8 - size :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Every field of one frame.

    Attributes:
        fin, rsv1, rsv2, rsv3: the flag bits.
        opcode: 0–15; `name` has it as text.
        mask_key: four bytes, or None for an unmasked frame.
        length: bytes of payload that the header announces.
        header_length: bytes before the payload, 2–14.
        payload: unmasked; shorter than `length` where the frame was cut or never ended.
        raw: the bytes as they were on the wire, as far as they were kept.
        cut: the payload was longer than what is kept.
        problem: what is wrong with the frame, with the RFC section; "" for a good one.
    """

    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: int
    mask_key: bytes | None
    length: int
    header_length: int
    payload: bytes
    raw: bytes
    cut: bool = False
    problem: str = ""

    @property
    def name(self) -> str:
        """The opcode's name, such as ``"TEXT"``."""
        return opcode_name(self.opcode)

    @property
    def control(self) -> bool:
        """Whether this is a control frame: close, ping, pong (section 5.5)."""
        return bool(self.opcode & 0x8)

    @property
    def text(self) -> str:
        """The payload as text; bytes that are not UTF-8 show as the replacement character."""
        if self.opcode == Opcode.CLOSE:
            code, reason = close_fields(self.payload)
            return f"{code} {reason}".rstrip() if self.payload else ""
        return self.payload.decode("utf-8", "replace")


def close_fields(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame's payload (section 5.5.1); 1005 where there is none.

    Example:
        >>> close_fields(b""), close_fields(bytes([0x03, 0xE8]) + b"bye")
        ((1005, ''), (1000, 'bye'))
    """
    if len(payload) < 2:  # noqa: PLR2004 - a code is two bytes
        return 1005, ""
    return int.from_bytes(payload[:2]), payload[2:].decode("utf-8", "replace")


def parse_frame(raw: bytes, wire_length: int | None = None) -> Frame | None:
    """Read one frame from its first bytes.

    Args:
        raw: the frame from its first byte on, whole or cut.
        wire_length: how many bytes of it were on the wire, where `raw` holds fewer.

    Returns:
        None where `raw` is too short to hold the header.

    Example:
        >>> frame = parse_frame(bytes.fromhex("818537fa213d7f9f4d5158"))
        >>> frame.name, frame.payload, frame.mask_key.hex()
        ('TEXT', b'Hello', '37fa213d')
    """
    total = frame_length(raw)
    if not total:
        return None
    first, second = raw[0], raw[1]
    length7 = second & 0x7F
    extended = {_LENGTH16: 2, _LENGTH64: 8}.get(length7, 0)
    masked = bool(second & _MASK)
    header = 2 + extended + (4 if masked else 0)
    if len(raw) < header:
        return None
    length = total - header
    key = raw[header - 4 : header] if masked else None
    body = raw[header:total]
    arrived = len(raw) if wire_length is None else wire_length
    return Frame(
        fin=bool(first & _FIN),
        rsv1=bool(first & _RSV1),
        rsv2=bool(first & _RSV2),
        rsv3=bool(first & _RSV3),
        opcode=first & 0xF,
        mask_key=key,
        length=length,
        header_length=header,
        payload=apply_mask(body, key) if key else body,
        raw=raw[:total],
        cut=len(body) < length and arrived >= total,
        problem=_problem(first, length7, length, arrived, total),
    )


def _problem(  # noqa: PLR0911 - one rule of the RFC a line
    first: int, length7: int, length: int, arrived: int, total: int
) -> str:
    opcode = first & 0xF
    if opcode not in Opcode._value2member_map_:
        return f"Opcode 0x{opcode:X} is reserved (RFC 6455 section 5.2)."
    if opcode & 0x8 and length > _SHORT:
        return f"A control frame may carry 125 bytes, not {length} (RFC 6455 section 5.5)."
    if opcode & 0x8 and not first & _FIN:
        return "A control frame must not be fragmented (RFC 6455 section 5.5)."
    if first & (_RSV2 | _RSV3):
        return "RSV2 or RSV3 is set, and no known extension defines it (RFC 6455 section 5.2)."
    if length7 == _LENGTH64 and length >> 63:
        return "The highest bit of a 64-bit length must be 0 (RFC 6455 section 5.2)."
    if (length7 == _LENGTH16 and length <= _SHORT) or (length7 == _LENGTH64 and length <= 0xFFFF):  # noqa: PLR2004
        return f"The length {length} is not in its shortest form (RFC 6455 section 5.2)."
    if arrived < total:
        return f"The connection ended inside this frame: {arrived} of {total} bytes came."
    return ""
