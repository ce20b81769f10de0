"""What was on the wire, explained: a frame, a message, a close code, a handshake, a whole connection.

Everything here is a value made from a recording, whatever its bytes: what breaks a rule is explained as
that, with the section of the RFC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wslab.wire.close_codes import MAX_REASON, name_close_code
from wslab.wire.explain.explanation import Explanation, Field
from wslab.wire.explain.handshake import explain_handshake
from wslab.wire.frames import Frame, Opcode, close_fields
from wslab.wire.messages import Message, deflate_agreed, frame_problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wslab.wire.connection import Connection
    from wslab.wire.recorded import RecordedFrame

__all__ = ["explain_close", "explain_connection", "explain_frame", "explain_incomplete", "explain_message"]

_FRAMING, _MASKING, _FRAGMENTS = "RFC 6455 section 5.2", "RFC 6455 section 5.3", "RFC 6455 section 5.4"
_CLOSING, _CODES = "RFC 6455 section 5.5.1", "RFC 6455 section 7.4"
_NO_CODE = 1005  # what `close_fields` says of a close frame without one
_STEPS = 8  # bytes that are unmasked one by one
_SHOWN = 16

_OPCODES = {
    0x0: ("Goes on with the message that an earlier frame began.", _FRAGMENTS),
    0x1: ("A message in UTF-8, or the first part of one.", "RFC 6455 section 5.6"),
    0x2: ("A message of any bytes, or the first part of one.", "RFC 6455 section 5.6"),
    0x8: ("Begins or answers the closing handshake.", _CLOSING),
    0x9: ("Asks for a pong with the same payload.", "RFC 6455 section 5.5.2"),
    0xA: ("Answers a ping, or only says that its sender is alive.", "RFC 6455 section 5.5.3"),
}
_CODE_MEANINGS = {
    1000: "What the connection was for is done.",
    1001: "The server shuts down, or the page was left.",
    1002: "The peer broke the protocol.",
    1003: "A kind of data came that this endpoint cannot take, such as binary for text.",
    1004: "Reserved; a meaning may be defined in the future.",
    1005: (
        "Never on the wire: a close frame had no code. An endpoint tells its own application so; written"
        " into a frame, it would say that there is a code and that there is none."
    ),
    1006: (
        "Never on the wire: the transport ended without a close frame, so there was no frame it could"
        " have been in. An endpoint tells its own application so."
    ),
    1007: "A message's content did not fit its kind, such as text that is not UTF-8.",
    1008: "A message broke this endpoint's policy; the general code where none fits better.",
    1009: "A message was larger than this endpoint takes.",
    1010: "The client needed an extension that the server did not agree to.",
    1011: "The server met with something unexpected, such as an exception in its code.",
    1012: "The server restarts: connect again, after a random delay.",
    1013: "The server is overloaded: try again later.",
    1014: "A gateway got an invalid response from the server behind it.",
    1015: (
        "Never on the wire: the TLS handshake failed, so there was no connection yet that a close frame"
        " could have been sent on. An endpoint tells its own application so."
    ),
}
_UNSENT = {1005, 1006, 1015}
_IANA = range(1012, 1015)
_RANGES = (
    (range(1000), "Codes below 1000 are not used."),
    (range(1000, 3000), "Reserved for the protocol and its extensions, and not defined."),
    (range(3000, 4000), "For libraries and frameworks, registered with IANA; the protocol says nothing."),
    (range(4000, 5000), "Private: what the application and its clients agreed on."),
)


def explain_close(code: int, reason: str = "") -> Explanation:
    """A close code, and the reason beside it.

    Example:
        >>> print(explain_close(4001, "bye"))
        Close 4001
          field   bits  raw   meaning                                                   section
          code          4001  Private: what the application and its clients agreed on.  RFC 6455 section 7.4.2
          reason        bye   Text for people, 3 of at most 123 bytes.                  RFC 6455 section 5.5.1
    """
    meaning, section = _CODE_MEANINGS.get(code, ""), f"{_CODES}.1"
    if code in _IANA:
        section = "IANA WebSocket Close Code Number Registry"
    if not meaning:
        found = (text for codes, text in _RANGES if code in codes)
        meaning, section = next(found, "Codes above 4999 are not defined."), f"{_CODES}.2"
    fields = [Field("code", None, str(code), meaning, section)]
    if reason:
        length = len(reason.encode("utf-8", "replace"))
        said = f"Text for people, {length} of at most {MAX_REASON} bytes."
        fields.append(Field("reason", None, reason, said, _CLOSING))
    return Explanation(f"Close {name_close_code(code)}", tuple(fields))


def explain_frame(frame: Frame, direction: str = "") -> Explanation:
    """Every bit range of `frame` in the order of the wire.

    Args:
        frame: what `wslab.wire.parse_frame` returned.
        direction: "in" or "out", seen from the server: who must mask depends on it; "" where it is not known.

    Example:
        >>> from wslab.wire import encode_frame, parse_frame
        >>> explained = explain_frame(parse_frame(encode_frame(1, b"Hello", mask=b"abcd")), "in")
        >>> [field.name for field in explained.fields]
        ['FIN', 'RSV1', 'RSV2', 'RSV3', 'opcode', 'MASK', 'length', 'masking key', 'payload']
        >>> explained.children[0].fields[0].raw, explained.children[0].fields[0].meaning
        ('29 XOR 61', "48, which is 'H'")
    """
    meaning, section = _OPCODES.get(frame.opcode, ("Reserved.", _FRAMING))
    last = "The last frame of its message." if frame.fin else "More frames of this message follow."
    packed = "The message is compressed, where permessage-deflate was agreed on."
    unused = "Kept for extensions; 0 where none is in use."
    fields = [
        Field("FIN", (0, 0), str(int(frame.fin)), last, _FRAGMENTS),
        Field("RSV1", (1, 1), "1", packed, "RFC 7692 section 6")
        if frame.rsv1
        else Field("RSV1", (1, 1), "0", unused, _FRAMING),
        Field("RSV2", (2, 2), str(int(frame.rsv2)), unused, _FRAMING),
        Field("RSV3", (3, 3), str(int(frame.rsv3)), unused, _FRAMING),
        Field("opcode", (4, 7), f"{frame.opcode:04b}", f"{frame.name}: {meaning}", section),
        _mask(frame, direction),
        *_length(frame),
    ]
    start = frame.header_length * 8
    if frame.mask_key is not None:
        said = "Byte i of the payload is the byte on the wire XOR byte i mod 4 of this key."
        fields.append(Field("masking key", (start - 32, start - 1), frame.mask_key.hex(" "), said, _MASKING))
    children = []
    if frame.payload:
        fields += _payload(frame, start)
        if frame.mask_key is not None:
            children.append(_unmasking(frame, frame.mask_key))
    if frame.opcode == Opcode.CLOSE and len(frame.payload) != 1:
        children.append(explain_close(*close_fields(frame.payload)))
    problem = frame_problem(frame, direction)
    if problem:
        fields.append(Field("problem", None, "", problem))
    return Explanation(f"{frame.name} frame, {frame.length} bytes of payload", tuple(fields), tuple(children))


def explain_incomplete(wire_length: int) -> Explanation:
    """A frame of which not even the header came.

    Example:
        >>> print(explain_incomplete(1))
        A frame without a whole header
          field    bits  raw     meaning                                           section
          problem        1 byte  The connection ended inside this frame's header.  RFC 6455 section 5.2
    """
    came = "1 byte" if wire_length == 1 else f"{wire_length} bytes"
    said = "The connection ended inside this frame's header."
    return Explanation("A frame without a whole header", (Field("problem", None, came, said, _FRAMING),))


def _mask(frame: Frame, direction: str) -> Field:
    masked = frame.mask_key is not None
    meaning = {
        ("in", True): "The client masks every frame, as it must.",
        ("in", False): "A client must mask every frame; the server must close the connection.",
        ("out", True): "A server must not mask; the client must close the connection.",
        ("out", False): "A server does not mask.",
    }.get((direction, masked), "Masked, as a client must." if masked else "Not masked, as a server must.")
    return Field("MASK", (8, 8), str(int(masked)), meaning, "RFC 6455 section 5.1")


def _length(frame: Frame) -> list[Field]:
    short = frame.raw[1] & 0x7F
    bits = {126: 16, 127: 64}.get(short, 0)
    if not bits:
        said = f"{short} bytes of payload; up to 125 fit here."
        return [Field("length", (9, 15), f"{short:07b}", said, _FRAMING)]
    said = f"{short}: the next {bits} bits hold the length."
    long = f"{frame.length} bytes of payload, the most significant byte first."
    raw = frame.raw[2 : 2 + bits // 8].hex(" ")
    return [
        Field("length", (9, 15), f"{short:07b}", said, _FRAMING),
        Field(f"extended length, {bits} bits", (16, 15 + bits), raw, long, _FRAMING),
    ]


def _payload(frame: Frame, start: int) -> list[Field]:
    wire = frame.raw[frame.header_length :]
    end = start + len(frame.payload) * 8 - 1
    if frame.opcode == Opcode.CLOSE:
        if len(frame.payload) == 1:
            said = "A close frame's payload is empty, or begins with a code of two bytes; this is one byte."
            return [Field("payload", (start, end), wire.hex(" "), said, _CLOSING)]
        code, reason = close_fields(frame.payload)
        fields = [Field("close code", (start, start + 15), wire[:2].hex(" "), name_close_code(code), _CODES)]
        if code in _UNSENT:
            said = f"{name_close_code(code)}: must not be sent in a frame, and was."
            fields = [Field("close code", (start, start + 15), wire[:2].hex(" "), said, f"{_CODES}.1")]
        if len(frame.payload) > 2:  # noqa: PLR2004 - behind the code
            try:
                frame.payload[2:].decode()
                said = f"{reason!r}, in UTF-8."
            except UnicodeDecodeError:
                said = f"{reason!r}: not UTF-8, as it must be."
            fields.append(Field("reason", (start + 16, end), _hex(wire[2:]), said, _CLOSING))
        return fields
    said = "Application data" + (", masked." if frame.mask_key is not None else ".")
    if len(frame.payload) < frame.length:
        said = f"{said[:-1]}; {len(frame.payload)} of {frame.length} bytes are here."
    return [Field("payload", (start, end), _hex(wire), said, _FRAMING)]


def _hex(data: bytes) -> str:
    return data[:_SHOWN].hex(" ") + (" …" if len(data) > _SHOWN else "")


def _unmasking(frame: Frame, key: bytes) -> Explanation:
    start = frame.header_length
    fields = []
    for index, byte in enumerate(frame.payload[:_STEPS]):
        at = (start + index) * 8
        raw = f"{frame.raw[start + index]:02x} XOR {key[index % 4]:02x}"
        meaning = f"{byte:02x}" + (f", which is {chr(byte)!r}" if 0x20 <= byte < 0x7F else "")  # noqa: PLR2004 - visible ASCII
        fields.append(Field(f"byte {index}", (at, at + 7), raw, meaning, _MASKING))
    shown = f"the first {_STEPS} of {len(frame.payload)}" if len(frame.payload) > _STEPS else "all"
    return Explanation(f"Unmasking, byte by byte: {shown}", tuple(fields))


def explain_message(message: Message) -> Explanation:
    """A message: its kind, its frames, and what compression did to it.

    Example:
        >>> from wslab.wire import Connection, FrameTable, Recorder, encode_frame
        >>> recorder = Recorder()
        >>> Connection(1, "", recorder).sent.feed(encode_frame(1, b"hi"))
        >>> print(explain_message(FrameTable(recorder).messages()[0]).fields[0].meaning)
        TEXT: A message in UTF-8, or the first part of one.
    """
    meaning, section = _OPCODES.get(message.opcode, ("Reserved.", _FRAMING))
    shown = repr(message.text[:80]) if message.opcode == Opcode.TEXT else _hex(message.content)
    carried = sum(frame.frame.length for frame in message.frames if frame.frame)
    count = len(message.frames)
    fields = [
        Field("opcode", None, f"{message.opcode:04b}", f"{message.name}: {meaning}", section),
        Field("frames", None, str(count), f"{message.wire_length} bytes on the wire.", _FRAGMENTS),
        Field("content", None, shown, f"{len(message.content)} bytes.", section),
    ]
    if message.compressed:
        agreed = deflate_agreed(message.connection)
        sender = "client" if message.direction == "in" else "server"
        alone = f"{sender}_no_context_takeover" in (agreed or {})
        context = "inflated by itself" if alone else "may refer to earlier messages of its direction"
        said = f"{carried} bytes inflate to {len(message.content)}; {context}."
        fields.append(Field("compression", None, "permessage-deflate", said, "RFC 7692 section 7.2.2"))
    fields += _in_the_application(message)
    if message.problem:
        fields.append(Field("problem", None, "", message.problem))
    side = "client to server" if message.direction == "in" else "server to client"
    children = [
        explain_frame(frame.frame, frame.direction) for frame in message.frames[:_SHOWN] if frame.frame
    ]
    more = f", the first {_SHOWN} of {count} frames shown" if count > _SHOWN else ""
    others = len(message.connections) - 1
    whose = f"{message.connection.id} and {others} more" if others else message.connection.id
    return Explanation(f"{message.name} message, {side}, {whose}{more}", tuple(fields), tuple(children))


def _in_the_application(message: Message) -> list[Field]:
    """What became of a message in the server's process, as far as that is known."""
    kind = message.event["type"]
    fields = [Field("event", None, kind, "What the application gets or gives.", "ASGI WebSocket 2.4")]
    if message.site is not None:
        did = "received" if message.direction == "in" else "sent"
        fields.append(Field("line", None, str(message.site), f"The application's line that {did} it."))
    if message.sent_at is not None:
        said = "From the client's call to the moment the server's loop read it."
        fields.append(Field("under way", None, _milliseconds(message.at - message.sent_at), said))
    if message.lag:
        said = "How late the loop was then: something held it."
        fields.append(Field("loop lag", None, _milliseconds(message.lag), said))
    return fields


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def explain_connection(connection: Connection, frames: Iterable[RecordedFrame] = ()) -> Explanation:
    """A connection from its handshake to its end.

    Args:
        connection: the connection.
        frames: its frames, where their problems are to be named as well.

    Example:
        >>> from wslab.wire import Connection, Recorder
        >>> connection = Connection(1, "127.0.0.1:50000", Recorder())
        >>> [child.title for child in explain_connection(connection).children]
        ['Handshake: no request was recorded']
    """
    fields = [
        Field("state", None, connection.state, _STATES[connection.state], "RFC 6455 sections 4 and 7"),
        Field("way in", None, connection.via, " ".join(connection.altered) or "Nothing is altered by it."),
        *(
            Field(name, None, f"{flow.bytes} bytes", f"{flow.messages} messages in {flow.frames} frames.")
            for name, flow in (("received", connection.received), ("sent", connection.sent))
        ),
    ]
    if connection.rtt is not None:
        said = "From the server's last ping to its pong."
        fields.append(
            Field("round trip", None, _milliseconds(connection.rtt), said, "RFC 6455 section 5.5.3")
        )
    for recorded in frames:
        if recorded.connection is connection and recorded.frame:
            problem = frame_problem(recorded.frame, recorded.direction)
            if problem:
                fields.append(Field(f"frame {recorded.seq}", None, recorded.name, problem))
    children = [explain_handshake(connection)]
    close = connection.close
    if close:
        children.append(explain_close(close.code, close.reason))
        if close.by:
            said = f"The {close.by} sent the first close frame."
            fields.append(Field("closed by", None, close.by, said, "RFC 6455 section 7.1.5"))
    return Explanation(f"Connection {connection.id} from {connection.peer}", tuple(fields), tuple(children))


_STATES = {
    "connecting": "The handshake is not answered yet.",
    "open": "Messages may pass both ways.",
    "closing": "A close frame has passed; the transport is still there.",
    "closed": "The transport is gone.",
    "refused": "The handshake was answered with another status than 101.",
}
