from __future__ import annotations

import pytest

from wslab.client.raw_control import ControlFrames
from wslab.wire import Opcode, encode_frame


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_control_frames_are_found_however_the_bytes_are_split(size):
    sent = [(Opcode.PING, b"a"), (Opcode.TEXT, b"x" * 300), (Opcode.PONG, b""), (Opcode.CLOSE, b"\x03\xe8")]
    data = b"".join(encode_frame(opcode, payload, mask=True) for opcode, payload in sent)
    frames = ControlFrames()
    found = [frame for at in range(0, len(data), size) for frame in frames.find(data[at : at + size])]
    assert [frame.name for frame in found] == ["PING", "PONG", "CLOSE"]
    assert found[-1].payload == b"\x03\xe8"
    assert frames.seen == 4


def test_a_control_frame_that_is_too_long_is_passed_over_and_not_gathered():
    frames = ControlFrames()
    assert frames.find(encode_frame(Opcode.PING, b"\x89\x00" * 63)) == []
    assert [frame.payload for frame in frames.find(encode_frame(Opcode.PING, b"next"))] == [b"next"]
    assert frames.find(b"\x82\x7f" + (2**62).to_bytes(8)) == []
    assert frames.find(bytes(1000)) == []
    assert frames.seen == 3
