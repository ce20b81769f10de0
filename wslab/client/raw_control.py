"""The control frames among the bytes of a connection: looked at, never held back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wslab.wire.frames import frame_length, parse_frame

if TYPE_CHECKING:
    from wslab.wire.frames import Frame

__all__ = ["ControlFrames"]

_CONTROL, _LONGEST = 0x8, 125  # RFC 6455 section 5.5


class ControlFrames:
    r"""Follows the frames of one direction, wherever its bytes are split.

    Attributes:
        seen: frames that have begun, of all kinds.

    Example:
        >>> frames = ControlFrames()
        >>> [frame.name for data in (b"\x81\x02hi\x89", b"\x01!") for frame in frames.find(data)]
        ['PING']
        >>> frames.seen
        2
    """

    def __init__(self) -> None:
        self._begun = bytearray()
        self._skip = 0  # bytes of a frame that is passed over and still to come
        self.seen = 0

    def find(self, data: bytes) -> list[Frame]:
        """The control frames that end in `data`, the direction's next bytes."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        begun = self._begun
        begun += memoryview(data)[skipped:]
        found = []
        while total := frame_length(begun):
            length = begun[1] & 0x7F
            if begun[0] & _CONTROL and length <= _LONGEST:
                if len(begun) < total:
                    break
                frame = parse_frame(bytes(begun[:total]))
                found += [frame] if frame is not None else []
            self.seen += 1
            self._skip = max(0, total - len(begun))
            del begun[:total]
        return found
