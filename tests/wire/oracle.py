"""A recording and a `websockets` protocol that get the same bytes, and what each makes of them."""

from __future__ import annotations

from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate as OracleDeflate
from websockets.frames import Frame as OracleFrame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from tests.wire.senders import (
    CLOSE,
    answer,
    chunks,
    handshake,
)
from wslab.wire import Connection, FrameTable, Recorder
from wslab.wire.messages import frame_problem, messages

KEY = b"\x37\xfa\x21\x3d"
IN, OUT = "in", "out"

SIZES = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 70_000)), min_size=1, max_size=6)


class Repeated(bytes):
    """`piece`, `count` times over: what a failure prints stays short."""

    def __new__(cls, piece, count):
        repeated = super().__new__(cls, piece * count)
        repeated.said = f"{piece!r} * {count}"
        return repeated

    def __repr__(self):
        return self.said


LONG = st.builds(Repeated, st.binary(min_size=1, max_size=20), st.integers(1, 4000))
EDGES = st.builds(Repeated, st.just(b"e"), st.sampled_from([125, 126, 127, 0xFFFF, 0x10000]))
CONTENTS = st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode), LONG, EDGES)
DIRECTIONS = st.sampled_from([IN, OUT])
DEFLATES = st.none() | st.tuples(*[st.tuples(st.booleans(), st.integers(9, 15))] * 2)


# -- both sides ------------------------------------------------------------------------------------
def recorded(streams, deflates=None, **bounds):
    """The frame table of one connection that had `streams`: direction -> (bytes, sizes of the chunks)."""
    connection, table = connected(deflates, **bounds)
    turns = [
        (flow_of(connection, direction), chunks(stream, sizes))
        for direction, (stream, sizes) in streams.items()
    ]
    while turns:  # one chunk of each direction at a time
        turns = [(flow, pieces) for flow, pieces in turns if feed_one(flow, pieces)]
    return table


def connected(deflates=None, **bounds):
    """A connection after its handshake, and the table its frames will be in."""
    recorder = Recorder(**{"snaplen": 2**20} | bounds)
    connection = Connection(1, "127.0.0.1:50000", recorder)
    handshake(connection, answer(deflates))
    return connection, FrameTable(recorder)


def flow_of(connection, direction):
    return connection.received if direction == IN else connection.sent


def feed_one(flow, pieces):
    piece = next(pieces, None)
    if piece is not None:
        flow.feed(piece)
    return piece is not None


class Bits(Extension):
    """Keeps the reserved bits, and takes RSV1 of data frames: what it means is the message's affair."""

    name = "bits"

    def __init__(self):
        self.rsv = 0

    def decode(self, frame, *, max_size=None):  # noqa: ARG002 - the library's own face
        self.rsv = frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3
        taken = frame.rsv1 and frame.opcode < CLOSE
        return OracleFrame(
            frame.opcode, frame.data, frame.fin, frame.rsv1 and not taken, frame.rsv2, frame.rsv3
        )


class Library:
    """A `websockets` protocol as an observer: frames as it accepts them, until it refuses one."""

    def __init__(self, direction, deflates):
        side = {"state": OPEN, "max_size": None}
        receives = ServerProtocol(**side) if direction == IN else ClientProtocol(parse_uri("ws://x/"), **side)
        self.protocol = receives
        self.deflate = None
        if deflates is not None:
            (client_reset, client_bits), (server_reset, server_bits) = deflates
            remote = (client_reset, client_bits) if direction == IN else (server_reset, server_bits)
            self.deflate = OracleDeflate(remote[0], False, remote[1], 15)
            receives.extensions = [self.deflate]
        self.frames = []

    def feed(self, data):
        self.protocol.receive_data(data)
        self.frames += self.protocol.events_received()

    @property
    def error(self):
        """What it refused; None while there was nothing."""
        return self.protocol.parser_exc

    def events(self):
        """Messages and control frames in the order of their ends: (opcode, content)."""
        events, opcode, parts = [], 0, []
        for frame in self.frames:
            payload = bytes(frame.data)
            if frame.opcode >= CLOSE:
                events.append((int(frame.opcode), payload))
                continue
            if frame.opcode:
                opcode, parts = int(frame.opcode), []
            parts.append(payload)
            if frame.fin:
                events.append((opcode, b"".join(parts)))
        return events


def our_events(frames, direction):
    """The same of what was recorded."""
    frames = [frame for frame in frames if frame.direction == direction]
    found = [(frame.seq, frame.frame.opcode, frame.payload) for frame in frames if frame.frame.control]
    found += [(message.frames[-1].seq, message.opcode, message.content) for message in messages(frames)]
    return [(opcode, content) for _, opcode, content in sorted(found)]


def our_problems(frames, direction):
    """All that is named as wrong with these frames of one direction, and the messages they carry."""
    problems = [frame_problem(frame.frame, direction) for frame in frames]
    problems += [message.problem for message in messages(frames)]
    return [problem for problem in problems if problem]
