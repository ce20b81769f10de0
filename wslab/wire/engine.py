"""The engine: one side of an open WebSocket connection (RFC 6455 sections 5 to 7), without I/O.

Theory of operation. `receive` takes the stream's bytes in any chunking and gives back what they mean;
`text`, `binary`, `ping`, `pong` and `close` give the bytes to send. There is no clock, no socket and no
callback in here: time-outs, the answer to a ping and the end of the transport are the driver's
(`wslab.session.driver`).

The frequent chunk is whole frames, each a whole message, and takes the short way through `_frames`. A
frame of which a part is still to come is read piece by piece as it arrives: a text that turns out not to be
UTF-8 fails at once (section 8.1), not when the sender deigns to end it, and a message that is too
large fails when its length is announced, before a byte of it is kept.

A violation by the peer is not an exception but the last event, with the close code to fail the
connection with (section 7.1.7).
"""

from __future__ import annotations

import secrets
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any

from wslab.wire.deflate import DeflateError, DeflateTooLargeError
from wslab.wire.frames import Opcode, apply_mask, encode_header, opcode_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from wslab.wire.deflate import PerMessageDeflate

__all__ = ["FAIL", "Engine", "Event"]

Event = tuple[int, Any]
"""What arrived: ``(opcode, content)``.

============================  =========================================================
``(Opcode.TEXT, str)``        a text message, all of its fragments
``(Opcode.BINARY, bytes)``    a binary message, likewise
``(Opcode.PING, bytes)``      a ping, to be answered by `Engine.pong` with the same bytes
``(Opcode.PONG, bytes)``      a pong
``(Opcode.CLOSE, (c, r))``    a close frame: its code (1005 for none) and reason
``(FAIL, (c, r))``            a violation: close with code `c`; `r` says what was wrong
============================  =========================================================
"""

FAIL = -1
"""The opcode of an event that no frame has: the peer broke the protocol."""

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_FIN, _RSV1, _RSV, _MASK = 0x80, 0x40, 0x70, 0x80
_SHORT, _LENGTH16, _LENGTH64 = 125, 126, 127
_PLAIN = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82})  # first bytes of data frames without any RSV bit
_TEXT_HEADS = tuple(bytes((_FIN | _TEXT, n)) for n in range(126))
_BINARY_HEADS = tuple(bytes((_FIN | _BINARY, n)) for n in range(126))
_KNOWN = frozenset(Opcode)
_RECEIVABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_PRIVATE = range(3000, 5000)
_MANY = 4096  # pieces of a message that are kept apart
_Utf8 = getincrementaldecoder("utf-8")


class _Violation(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason


class Engine:
    r"""The protocol's state machine for one side of one open connection.

    Args:
        client: this side masks what it sends, and takes unmasked frames only (section 5.1).
        max_message: bytes of the largest message taken, after inflating; None for no limit. A larger
            one fails with 1009.
        deflate: the codec, where permessage-deflate was agreed on (RFC 7692).
        unmask: XORs a payload with its key; a faster one than the default may be given.

    Example:
        >>> server, client = Engine(), Engine(client=True)
        >>> server.receive(client.text("hi") + client.close(1000, "bye"))
        [(1, 'hi'), (8, (1000, 'bye'))]
        >>> server.receive(client.text("nobody reads on after a close frame"))
        []
        >>> Engine().receive(b"\x81\x01x")
        [(-1, (1002, 'A client must mask its frames (RFC 6455 section 5.1).'))]
    """

    __slots__ = (
        "_client",
        "_compressed",
        "_decoder",
        "_deflate",
        "_fin",
        "_key",
        "_kind",
        "_left",
        "_max",
        "_over",
        "_parts",
        "_plain",
        "_rest",
        "_size",
        "_unmask",
    )

    def __init__(
        self,
        *,
        client: bool = False,
        max_message: int | None = 2**20,
        deflate: PerMessageDeflate | None = None,
        unmask: Callable[[bytes, bytes], bytes] = apply_mask,
    ) -> None:
        self._client = client
        self._max = max_message
        self._deflate = deflate
        self._plain = not client and deflate is None  # what is sent is neither masked nor compressed
        self._unmask = unmask
        self._over = False  # a close frame or a violation came: the rest is not read
        self._rest = b""  # bytes of a header, or of a control frame, that is not complete
        # The message under way:
        self._kind = 0  # its opcode; 0 between messages
        self._compressed = False
        self._size = 0  # bytes of payload that its frames announced so far
        self._parts: list[Any] = []  # str for a text that is not compressed, else bytes
        self._decoder: Any = None
        # The data frame under way:
        self._left = 0  # bytes of its payload still to come
        self._fin = False
        self._key = b""  # turned to where the next byte stands

    # -- receiving ---------------------------------------------------------------------------------
    def receive(self, data: bytes) -> list[Event]:
        """What `data`, the next bytes of the stream, brings; nothing after a close frame or a violation."""
        if self._over:
            return []
        events: list[Event] = []
        try:
            start = self._read_on(data, events) if self._left else 0
            if self._rest:
                data, self._rest = self._rest + data[start:], b""
                start = 0
            self._frames(data, start, events)
        except _Violation as violation:
            self._end()
            events.append((FAIL, (violation.code, violation.reason)))
        return events

    def _end(self) -> None:
        self._over = True
        self._left = self._size = 0
        self._rest = b""
        self._parts = []
        self._decoder = None

    def _frames(  # noqa: C901, PLR0912, PLR0915 - the hot loop: a call for each step would cost more than the step
        self, data: bytes, position: int, events: list[Event]
    ) -> None:
        """Read frames from `position` on."""
        end = len(data)
        client = self._client
        unmask = self._unmask
        wrong = _MASK if client else 0
        while end - position >= 2:  # noqa: PLR2004 - the two bytes every header has
            first, second = data[position], data[position + 1]
            length = second & 0x7F
            body = position + 2
            if first not in _PLAIN or second & _MASK == wrong:
                self._check(first, second)
            if length > _SHORT:
                width = 2 if length == _LENGTH16 else 8
                if end - body < width:
                    break
                length = int.from_bytes(data[body : body + width])
                body += width
                _check_length(length, width)
            if not client:
                body += 4
            if body > end:
                break
            control = first & 0x08
            if not control:
                self._announce(first, length)
            after = body + length
            if after > end:
                if control:
                    break
                self._begin(first, length, data[body - 4 : body])
                self._read_on(data[body:], events)
                return
            payload = data[body:after]
            if not client:
                payload = unmask(payload, data[body - 4 : body])
            position = after
            if control:
                self._control(first & 0x0F, payload, events)
                if self._over:
                    return
            elif first == _FIN | _TEXT and not self._kind:
                try:
                    events.append((_TEXT, str(payload, "utf-8")))
                except UnicodeDecodeError as error:
                    raise _not_utf8(error) from None
                self._size = 0
            elif first == _FIN | _BINARY and not self._kind:
                events.append((_BINARY, payload))
                self._size = 0
            else:
                self._begin(first, 0, b"")
                self._piece(payload)
                if self._fin:
                    self._complete(events)
        if position < end:
            self._rest = data[position:]

    def _check(self, first: int, second: int) -> None:
        """Refuse what a header's two bytes alone show to be wrong."""
        opcode = first & 0x0F
        if opcode not in _KNOWN:
            raise _Violation(1002, f"Opcode 0x{opcode:X} is reserved (RFC 6455 section 5.2).")
        if first & _RSV and (first & _RSV != _RSV1 or self._deflate is None):
            raise _Violation(
                1002, "A reserved bit is set that no agreed extension uses (RFC 6455 section 5.2)."
            )
        if first & _RSV1 and opcode not in {_TEXT, _BINARY}:
            raise _Violation(1002, "RSV1 belongs to a message's first frame only (RFC 7692 section 6.1).")
        if self._client and second & _MASK:
            raise _Violation(1002, "A server must not mask its frames (RFC 6455 section 5.1).")
        if not self._client and not second & _MASK:
            raise _Violation(1002, "A client must mask its frames (RFC 6455 section 5.1).")
        if opcode & 0x08 and not first & _FIN:
            raise _Violation(1002, "A control frame must not be fragmented (RFC 6455 section 5.5).")
        if opcode & 0x08 and second & 0x7F > _SHORT:
            raise _Violation(1002, "A control frame carries at most 125 bytes (RFC 6455 section 5.5).")

    def _announce(self, first: int, length: int) -> None:
        """A data frame of `length` bytes begins."""
        opcode = first & 0x0F
        if not opcode and not self._kind:
            raise _Violation(1002, "A continuation came, and there is no message to continue (section 5.4).")
        if opcode and self._kind:
            name = opcode_name(opcode)
            raise _Violation(1002, f"A {name} frame came before the last message's end (section 5.4).")
        size = self._size + length
        if self._max is not None and size > self._most(first):
            raise _Violation(1009, f"A message of {size} bytes or more; at most {self._max} are taken.")
        self._size = size

    def _most(self, first: int) -> int:
        """Bytes that the frames of a message may announce together."""
        assert self._max is not None, "asked for only where there is a limit"
        compressed = first & _RSV1 if first & 0x0F else self._compressed
        # What DEFLATE cannot compress grows by a few bytes a block; `decompress` has the last word.
        return self._max + (self._max >> 3) + 64 if compressed else self._max

    def _begin(self, first: int, left: int, key: bytes) -> None:
        """Go on piece by piece: with a frame that is incomplete, or a message of several frames."""
        if not self._kind:
            self._kind = first & 0x0F
            self._compressed = bool(first & _RSV1)
            if self._kind == _TEXT and not self._compressed:
                self._decoder = _Utf8()
        self._fin = bool(first & _FIN)
        self._left = left
        self._key = key

    def _read_on(self, data: bytes, events: list[Event]) -> int:
        """Take what `data` has of the frame under way; returns where the next frame starts."""
        taken = min(self._left, len(data))
        piece = data if taken == len(data) else data[:taken]
        if not self._client:
            key = self._key
            piece = self._unmask(piece, key)
            turn = taken & 3
            self._key = key[turn:] + key[:turn]
        self._left -= taken
        self._piece(piece)
        if not self._left and self._fin:
            self._complete(events)
        return taken

    def _piece(self, piece: bytes) -> None:
        """Add to the message under way."""
        if not piece:
            return  # empty fragments may go on for ever, and must not take memory
        parts = self._parts
        if self._decoder is not None:
            try:
                parts.append(self._decoder.decode(piece))
            except UnicodeDecodeError as error:
                raise _not_utf8(error) from None
            begun = self._decoder.getstate()[0]  # of a character that is not complete
            if begun[:1] == b"\xed" and begun[1:] >= b"\xa0":
                # Python waits for the third byte of a surrogate, which the second shows to be one.
                raise _Violation(1007, "A text message is not UTF-8: a surrogate (RFC 6455 section 8.1).")
        else:
            parts.append(piece)
        if len(parts) == _MANY:
            parts[:] = [parts[0][:0].join(parts)]  # an object for each few bytes is many times their size

    def _complete(self, events: list[Event]) -> None:
        """The message under way has all of its fragments."""
        kind, parts = self._kind, self._parts
        self._kind = self._size = 0
        self._parts = []
        if self._decoder is not None:
            try:
                parts.append(self._decoder.decode(b"", final=True))
            except UnicodeDecodeError as error:
                raise _not_utf8(error) from None
            self._decoder = None
            events.append((_TEXT, "".join(parts)))
            return
        content = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._compressed:
            content = self._inflate(content)
        if kind == _TEXT:
            try:
                content = str(content, "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(error) from None
        events.append((kind, content))

    def _inflate(self, content: bytes) -> bytes:
        assert self._deflate is not None, "RSV1 is refused where nothing was agreed on"
        try:
            return self._deflate.decompress(content, self._max)
        except DeflateTooLargeError:
            reason = f"A compressed message inflates to more than the {self._max} bytes that are taken."
            raise _Violation(1009, reason) from None
        except DeflateError:
            raise _Violation(
                1007, "A compressed message cannot be inflated (RFC 7692 section 7.2.2)."
            ) from None

    def _control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode != _CLOSE:
            events.append((opcode, payload))
            return
        if not payload:
            self._end()
            events.append((_CLOSE, (1005, "")))
            return
        code = int.from_bytes(payload[:2])
        if len(payload) == 1:
            raise _Violation(
                1002, "A close frame carries no byte, or a code of two (RFC 6455 section 5.5.1)."
            )
        if code not in _RECEIVABLE and code not in _PRIVATE:
            raise _Violation(1002, f"{code} is no close code that may be sent (RFC 6455 section 7.4).")
        try:
            reason = str(payload[2:], "utf-8")
        except UnicodeDecodeError:
            raise _Violation(1007, "The close reason is not UTF-8 (RFC 6455 section 5.5.1).") from None
        self._end()
        events.append((_CLOSE, (code, reason)))

    # -- sending -----------------------------------------------------------------------------------
    def text(self, text: str) -> bytes:
        """The frame of a text message.

        Raises:
            UnicodeEncodeError: `text` has a lone surrogate, which UTF-8 cannot carry.
        """
        payload = text.encode()
        length = len(payload)
        if self._plain:  # by far the most frequent: each call that is spared counts
            if length <= _SHORT:
                return _TEXT_HEADS[length] + payload
            if length <= 0xFFFF:  # noqa: PLR2004 - what 16 bits hold
                return b"\x81\x7e" + length.to_bytes(2) + payload
        return self._data(_TEXT, payload)

    def binary(self, data: bytes) -> bytes:
        """The frame of a binary message."""
        length = len(data)
        if self._plain and length <= _SHORT:
            return _BINARY_HEADS[length] + data
        return self._data(_BINARY, data)

    def ping(self, payload: bytes = b"") -> bytes:
        """A ping; at most 125 bytes of payload (section 5.5.2)."""
        return self._encode(_FIN | _PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """A pong; it answers the ping with the same payload (section 5.5.3)."""
        return self._encode(_FIN | _PONG, payload)

    def close(self, code: int | None = 1000, reason: str = "") -> bytes:
        """A close frame; None for one without code and reason (section 5.5.1)."""
        payload = b"" if code is None else code.to_bytes(2) + reason.encode()
        return self._encode(_FIN | _CLOSE, payload)

    def _data(self, opcode: int, payload: bytes) -> bytes:
        if self._deflate is None:
            return self._encode(_FIN | opcode, payload)
        return self._encode(_FIN | _RSV1 | opcode, self._deflate.compress(payload))

    def _encode(self, first: int, payload: bytes) -> bytes:
        length = len(payload)
        if first & 0x08 and length > _SHORT:
            raise ValueError(f"Expected at most 125 bytes for a control frame, got {length}.")
        header = encode_header(first, length, masked=self._client)
        if not self._client:
            return header + payload
        key = secrets.token_bytes(4)
        return header + key + self._unmask(payload, key)


def _check_length(length: int, width: int) -> None:
    if length >> 63:
        raise _Violation(1002, "The highest bit of a 64-bit length must be 0 (RFC 6455 section 5.2).")
    if length <= (_SHORT if width == 2 else 0xFFFF):  # noqa: PLR2004 - bytes of the extended length
        raise _Violation(1002, f"The length {length} is not in its shortest form (RFC 6455 section 5.2).")


def _not_utf8(error: UnicodeDecodeError) -> _Violation:
    return _Violation(1007, f"A text message is not UTF-8: {error.reason} (RFC 6455 section 8.1).")
