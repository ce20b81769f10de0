"""A frame's fields in words: what each bit says, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from wslab.wire.close_codes import CLOSE_CODES
from wslab.wire.frames import Frame, Opcode, close_fields
from wslab.wire.recorder import RECEIVED, SENT

__all__ = ["Field", "describe_fields", "problem_of"]

"""Close codes and their names (RFC 6455 section 7.4.1 and the IANA registry)."""

_OPCODES = {
    Opcode.CONTINUATION: "Goes on with the message that an earlier frame began (section 5.4).",
    Opcode.TEXT: "A message, or the first part of one, in UTF-8 (section 5.6).",
    Opcode.BINARY: "A message, or the first part of one, of any bytes (section 5.6).",
    Opcode.CLOSE: "Begins or answers the closing handshake (section 5.5.1).",
    Opcode.PING: "Asks for a pong with the same payload (section 5.5.2).",
    Opcode.PONG: "Answers a ping, or only says that its sender is alive (section 5.5.3).",
}


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
        >>> frame = parse_frame(encode_frame(Opcode.TEXT, b"Hello", mask=bytes.fromhex("37fa213d")))
        >>> fields = describe_fields(frame, "in")
        >>> [field.name for field in fields]
        ['FIN', 'RSV1', 'RSV2', 'RSV3', 'opcode', 'MASK', 'length', 'masking key', 'payload']
        >>> fields[4].bits, fields[4].value, fields[7].value, (fields[7].start, fields[7].stop)
        ('0001', 'TEXT', '37 fa 21 3d', (16, 48))
    """
    last = (
        "The last frame of its message." if frame.fin else "More frames of this message follow (section 5.4)."
    )
    compressed = "Compressed with permessage-deflate, where that was negotiated (RFC 7692 section 7.2.3)."
    reserved = "Kept for extensions; 0 where none is in use (section 5.2)."
    opcode = _OPCODES.get(Opcode(frame.opcode)) if frame.opcode in _OPCODES else "Reserved (section 5.2)."
    fields = [
        Field("FIN", str(int(frame.fin)), "final" if frame.fin else "not final", 0, 1, last),
        Field("RSV1", str(int(frame.rsv1)), "", 1, 2, compressed if frame.rsv1 else reserved),
        Field("RSV2", str(int(frame.rsv2)), "", 2, 3, reserved),
        Field("RSV3", str(int(frame.rsv3)), "", 3, 4, reserved),
        Field("opcode", f"{frame.opcode:04b}", frame.name, 4, 8, opcode or ""),
        _mask_field(frame, direction),
        *_length_fields(frame),
    ]
    if frame.mask_key is not None:
        start = (frame.header_length - 4) * 8
        key = "Byte i of the payload on the wire is the real one XOR byte i mod 4 of this key (section 5.3)."
        fields.append(Field("masking key", "", frame.mask_key.hex(" "), start, start + 32, key))
    return fields + _payload_fields(frame)


def _mask_field(frame: Frame, direction: str) -> Field:
    masked = frame.mask_key is not None
    if direction == "in":
        meaning = (
            "The client masks every frame, as it must (section 5.1)."
            if masked
            else "A client must mask every frame; the server must close the connection (section 5.1)."
        )
    else:
        meaning = (
            "A server must not mask; the client must close the connection (section 5.1)."
            if masked
            else "A server does not mask (section 5.1)."
        )
    return Field("MASK", str(int(masked)), "masked" if masked else "not masked", 8, 9, meaning)


def _length_fields(frame: Frame) -> list[Field]:
    short = frame.raw[1] & 0x7F
    extended = {126: 16, 127: 64}.get(short, 0)
    meaning = (
        f"{short} says that the next {extended} bits hold the length (section 5.2)."
        if extended
        else "The payload's bytes; up to 125 fit here (section 5.2)."
    )
    fields = [Field("length", f"{short:07b}", str(short), 9, 16, meaning)]
    if extended:
        meaning = "The payload's bytes, in network byte order (section 5.2)."
        fields.append(
            Field(f"extended length, {extended} bits", "", str(frame.length), 16, 16 + extended, meaning)
        )
    return fields


def _payload_fields(frame: Frame) -> list[Field]:
    start = frame.header_length * 8
    stop = start + len(frame.payload) * 8
    if frame.opcode == Opcode.CLOSE and len(frame.payload) >= 2:  # noqa: PLR2004 - a close code is two bytes
        code, reason = close_fields(frame.payload)
        name = CLOSE_CODES.get(code, "")
        meaning = f"{code}: {name} (section 7.4)." if name else f"{code} (section 7.4)."
        fields = [Field("close code", "", f"{code} {name}".rstrip(), start, start + 16, meaning)]
        if reason:
            said = "Text for people, at most 123 bytes of UTF-8 (section 5.5.1)."
            fields.append(Field("reason", "", f"{len(frame.payload) - 2} bytes", start + 16, stop, said))
        return fields
    if not frame.length:
        return []
    kept = f"; the first {len(frame.payload)} are kept" if len(frame.payload) < frame.length else ""
    meaning = "What the application sent" + (", masked." if frame.mask_key else ".")
    return [Field("payload", "", f"{frame.length} bytes{kept}", start, stop, meaning)]


def problem_of(frame: Frame, direction: int) -> str:
    """What is wrong with `frame`, with the RFC section; "" for a good one.

    Args:
        frame: the frame; `Frame.problem` knows all but who must mask.
        direction: `wslab.wire.recorder.RECEIVED` or `SENT`, seen from the server.

    Example:
        >>> from wslab.wire.frames import encode_frame, parse_frame
        >>> problem_of(parse_frame(encode_frame(Opcode.TEXT, b"hi")), RECEIVED)
        'The client did not mask this frame (RFC 6455 section 5.1).'
    """
    if frame.problem:
        return frame.problem
    if direction == RECEIVED and frame.mask_key is None:
        return "The client did not mask this frame (RFC 6455 section 5.1)."
    if direction == SENT and frame.mask_key is not None:
        return "The server masked this frame (RFC 6455 section 5.1)."
    return ""
