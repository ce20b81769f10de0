"""Properties: however a conversation is cut into segments, the answer is the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.harness import Mismatch, Server, close, cont, echo_app, frame, ping, pong
from wslab import Lab, Limits
from wslab.wire import Frame, encode_frame

KEYS = st.binary(min_size=4, max_size=4)
CUTS = st.lists(st.integers(1, 400), max_size=60)
SETTINGS = settings(
    max_examples=40,
    deadline=None,
    # One server serves all examples, on purpose: no example may leave anything behind for the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def messages(draw):
    """(opcode, payload): of every length form."""
    if draw(st.booleans()):
        return 1, draw(st.text(max_size=60)).encode() * draw(st.sampled_from([1, 1, 3, 40]))
    return 2, draw(st.binary(max_size=130)) * draw(st.sampled_from([1, 1, 2, 600]))


@st.composite
def conversations(draw):
    """What the client sends, and what comes back for it: messages and pongs, each in its order."""
    sent, expected, pongs = [], [], []
    for opcode, payload in draw(st.lists(messages(), max_size=8)):
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
        bounds = [0, *cuts, len(payload)]
        pieces = [payload[start:stop] for start, stop in pairwise(bounds)]
        for number, piece in enumerate(pieces):
            kind = opcode if number == 0 else 0
            sent.append(frame(kind, piece, fin=number == len(pieces) - 1, mask=draw(KEYS)))
            for control in draw(st.lists(st.sampled_from([ping, pong]), max_size=2)):
                data = draw(st.binary(max_size=125))
                sent.append(control(data))
                if control is ping:
                    pongs.append(encode_frame(10, data))
        expected.append(encode_frame(opcode, payload))
    return b"".join(sent), expected, pongs


def cut(data, sizes):
    """`data` in pieces of these sizes, and the rest."""
    position = 0
    for size in sizes:
        if position >= len(data):
            return
        yield data[position : position + size]
        position += size
    yield data[position:]


@SETTINGS
@given(conversation=conversations(), sizes=CUTS)
def test_a_conversation_in_any_segments_is_answered_alike(ours, conversation, sizes):
    sent, expected, pongs = conversation
    with ours.connect() as peer:
        for piece in cut(sent, sizes):
            peer.send(piece)
        peer.expect_flows(expected, pongs)
        peer.closes()


@pytest.fixture(scope="module")
def strict():
    server = Server(lambda: Lab(echo_app(), ws="wslab", limits=Limits(message=2000)))
    yield server
    server.stop()


BAD = st.sampled_from(
    [
        (frame(1, b"\xff"), 1007),
        (frame(1, b"good \xed\xa0\x80"), 1007),
        (frame(3, b"reserved"), 1002),
        (frame(1, b"bit", rsv=2), 1002),
        (frame(1, b"open", mask=False), 1002),
        (cont(b"of nothing"), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(9, b"x", fin=False), 1002),
        (frame(2, b"x" * 2001), 1009),
        (frame(2, b"x", fin=False) + cont(b"y" * 2000), 1009),
        (frame(1, b"x", fin=False) + frame(1, b"y"), 1002),
        (close(1005), 1002),
        (close(1000, b"\xff"), 1007),
        (frame(8, b"\x03"), 1002),
    ]
)


@SETTINGS
@given(good=st.lists(st.text(max_size=200), max_size=5), bad=BAD, sizes=CUTS)
def test_a_violation_is_found_in_any_segments(strict, good, bad, sizes):
    raw, code = bad
    payloads = [text.encode() for text in good]
    with strict.connect() as peer:
        for piece in cut(b"".join(frame(1, payload) for payload in payloads) + raw, sizes):
            peer.send(piece)
        peer.fails(code, after=[encode_frame(1, payload) for payload in payloads])


@SETTINGS
@given(noise=st.binary(max_size=300), sizes=CUTS)
def test_noise_harms_nobody(strict, noise, sizes):
    with strict.connect() as bystander:
        with strict.connect() as peer:
            for piece in cut(noise, sizes):
                peer.send(piece)
            peer.sock.close()
        bystander.send(frame(1, b"still here")).expect(encode_frame(1, b"still here")).closes()


@SETTINGS
@given(conversation=conversations(), sizes=CUTS)
def test_what_passed_is_what_is_recorded(ours, conversation, sizes):
    sent, expected, pongs = conversation
    recorder = ours.lab.recorder
    before = recorder.end
    with ours.connect() as peer:
        for piece in cut(sent, sizes):
            peer.send(piece)
        peer.expect_flows(expected, pongs)
        peer.closes()
    rows = ours.lab.frames
    kept = [rows.get(number) for number in range(before, recorder.end)]
    came = b"".join(row.frame.raw for row in kept if row.direction == "in")
    went = [row.frame for row in kept if row.direction == "out"]
    assert came == sent + close()
    assert [found.raw for found in went if not found.control] == expected
    assert [found.raw for found in went if found.control] == [*pongs, encode_frame(8, b"\x03\xe8")]
    assert all(isinstance(row.frame, Frame) and not row.frame.problem for row in kept)


def test_the_harness_sees_a_wrong_byte(server):
    with server.connect() as peer, pytest.raises(Mismatch, match=r"expected TEXT of 1 bytes.*got TEXT"):
        peer.send(frame(1, b"a")).expect(encode_frame(1, b"b"))
