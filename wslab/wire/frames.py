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
_PLAIN = frozenset({0x00, 0x01, 0x02, 0x40, 0x41, 0x42, 0x80, 0x81, 0x82, 0xC1, 0xC2, 0x88, 0x89, 0x8A})
"""First bytes that break no rule by themselves; nearly all frames have one of these, and a short length."""


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


class Frame:
    """Every field of one frame, read from its bytes when it is asked for.

    Attributes:
        raw: the bytes as they were on the wire, as far as they were kept.
        wire_length: how many there were on the wire; more than there are in `raw` where the frame was cut.
        length: bytes of payload that the header announces.
        header_length: bytes before the payload, 2–14.
    """

    __slots__ = ("_payload", "header_length", "length", "raw", "wire_length")

    def __init__(self, raw: bytes, wire_length: int, header_length: int, length: int) -> None:
        self.raw = raw
        self.wire_length = wire_length
        self.header_length = header_length
        self.length = length
        self._payload: bytes | None = None

    @property
    def fin(self) -> bool:
        """Whether this is the last fragment of its message (section 5.4)."""
        return self.raw[0] >= _FIN

    @property
    def rsv1(self) -> bool:
        """The first reserved bit: compressed, where that was agreed on (RFC 7692 section 6)."""
        return bool(self.raw[0] & _RSV1)

    @property
    def rsv2(self) -> bool:
        """The second reserved bit."""
        return bool(self.raw[0] & _RSV2)

    @property
    def rsv3(self) -> bool:
        """The third reserved bit."""
        return bool(self.raw[0] & _RSV3)

    @property
    def opcode(self) -> int:
        """0–15; `name` has it as text."""
        return self.raw[0] & 0xF

    @property
    def mask_key(self) -> bytes | None:
        """Four bytes, or None for an unmasked frame."""
        header = self.header_length
        return self.raw[header - 4 : header] if self.raw[1] & _MASK else None

    @property
    def payload(self) -> bytes:
        """The payload, unmasked; shorter than `length` where the frame was cut or never ended."""
        payload = self._payload
        if payload is None:
            payload, key = self.raw[self.header_length :], self.mask_key
            self._payload = payload = apply_mask(payload, key) if key else payload
        return payload

    @property
    def cut(self) -> bool:
        """Whether the payload was longer than what is kept."""
        total = self.header_length + self.length
        return len(self.raw) < total <= self.wire_length

    @property
    def ended(self) -> bool:
        """Whether all of it was on the wire, however much of that is kept."""
        return self.wire_length >= self.header_length + self.length

    @property
    def problem(self) -> str:
        """What is wrong with the frame, with the RFC section; "" for a good one."""
        raw, length = self.raw, self.length
        first = raw[0]
        if first in _PLAIN and raw[1] & 0x7F == length <= _SHORT:
            total = self.header_length + length
            return "" if self.wire_length >= total else _unfinished(self.wire_length, total)
        return _problem(first, raw[1] & 0x7F, length, self.wire_length, self.header_length + length)

    @property
    def name(self) -> str:
        """The opcode's name, such as ``"TEXT"``."""
        return opcode_name(self.opcode)

    @property
    def control(self) -> bool:
        """Whether this is a control frame: close, ping, pong (section 5.5)."""
        return bool(self.raw[0] & 0x8)

    @property
    def text(self) -> str:
        """The payload as text; bytes that are not UTF-8 show as the replacement character."""
        if self.opcode == Opcode.CLOSE:
            code, reason = close_fields(self.payload)
            return f"{code} {reason}".rstrip() if self.payload else ""
        return self.payload.decode("utf-8", "replace")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return (self.raw, self.wire_length) == (other.raw, other.wire_length)

    def __hash__(self) -> int:
        return hash((self.raw, self.wire_length))

    def __repr__(self) -> str:
        key = self.mask_key
        masked = f" masked with {key.hex()}" if key else ""
        problem = f" ✗ {self.problem}" if self.problem else ""
        return f"<Frame {self.name} {self.length} bytes{masked}{problem}>"


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
    size = len(raw)
    if size < 2:  # noqa: PLR2004 - the two bytes every header has
        return None
    second = raw[1]
    length = second & 0x7F
    header = 6 if second & _MASK else 2
    if length >= _LENGTH16:
        extended = 2 if length == _LENGTH16 else 8
        header += extended
        length = int.from_bytes(raw[2 : 2 + extended])
    if size < header:
        return None
    total = header + length
    arrived = size if wire_length is None else wire_length
    return Frame(raw if size <= total else raw[:total], arrived, header, length)


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
    return _unfinished(arrived, total) if arrived < total else ""


def _unfinished(arrived: int, total: int) -> str:
    return f"The connection ended inside this frame: {arrived} of {total} bytes came."
