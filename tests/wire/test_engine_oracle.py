"""The engine against an implementation that others wrote: the sans-I/O core of `websockets`.

What one side writes the other must read, whatever the chunking; and of streams that are wrong, both must
say the same. Where they do not, `DIFFERENCES` has the reason, and an example that shows it.
"""

from __future__ import annotations

import codecs
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate as OracleDeflate
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.engine import FAIL, Engine
from wslab.wire.frames import apply_mask, encode_frame

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"
MAX = 2**17


# -- the oracle ------------------------------------------------------------------------------------
class Oracle:
    """A `websockets` protocol with the engine's face: bytes in, events out."""

    def __init__(self, *, client, deflate=None, max_message=MAX):
        if client:
            self.protocol = ClientProtocol(parse_uri("ws://x/"), state=OPEN, max_size=max_message)
        else:
            self.protocol = ServerProtocol(state=OPEN, max_size=max_message)
        if deflate is not None:
            self.protocol.extensions = [deflate]
        self.kind, self.parts, self.decoder = 0, [], None

    def sent(self):
        return b"".join(self.protocol.data_to_send())

    def receive(self, data):
        """The frames put together: the sans-I/O core leaves that, and UTF-8, to its callers."""
        self.protocol.receive_data(data)
        events = []
        for frame in self.protocol.events_received():
            payload = bytes(frame.data)
            if frame.opcode == CLOSE:
                received = self.protocol.close_rcvd
                events.append((CLOSE, (received.code, received.reason)))
                return events
            if frame.opcode >= CLOSE:
                events.append((int(frame.opcode), payload))
                continue
            if frame.opcode:
                self.kind, self.parts = int(frame.opcode), []
                self.decoder = codecs.getincrementaldecoder("utf-8")() if self.kind == TEXT else None
            try:
                self.parts.append(self.decoder.decode(payload, final=frame.fin) if self.decoder else payload)
            except UnicodeDecodeError:
                events.append((FAIL, (1007, "")))
                return events
            if frame.fin:
                events.append((self.kind, ("" if self.kind == TEXT else b"").join(self.parts)))
        if self.protocol.parser_exc is not None:
            failure = self.protocol.close_sent
            events.append((FAIL, (failure.code, failure.reason)))
        return events


def chunked(stream, sizes):
    """`stream` in pieces of the lengths `sizes`, again and again."""
    position = turn = 0
    while position < len(stream):
        yield stream[position : position + sizes[turn % len(sizes)]]
        position += sizes[turn % len(sizes)]
        turn += 1


def read(side, stream, sizes):
    return [event for chunk in chunked(stream, sizes) for event in side.receive(chunk)]


# -- good streams ----------------------------------------------------------------------------------
LONG = st.builds(lambda piece, count: piece * count, st.text(min_size=1, max_size=20), st.integers(1, 4000))
TEXTS = st.one_of(st.text(max_size=40), LONG)
BINARIES = st.one_of(st.binary(max_size=40), LONG.map(str.encode))
CONTROL = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
MESSAGE = st.one_of(st.tuples(st.just(TEXT), TEXTS), st.tuples(st.just(BINARY), BINARIES))
GOODBYE = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([1000, 1001, 1003, 1011, 1014, 3000, 4999]), st.text(max_size=30)),
)
SIZES = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 70_000)), min_size=1, max_size=6)
CUTS = st.lists(st.integers(0, 2**16), max_size=4)
DEFLATES = st.one_of(
    st.none(),
    st.tuples(st.booleans(), st.booleans(), st.integers(9, 15), st.integers(9, 15)),
)


def codec_pair(setting):
    """Our codec and the oracle's, of the two ends of one connection."""
    if setting is None:
        return None, None
    our_reset, their_reset, our_bits, their_bits = setting
    ours = PerMessageDeflate(
        compress_bits=our_bits,
        decompress_bits=their_bits,
        compress_reset=our_reset,
        decompress_reset=their_reset,
    )
    return ours, OracleDeflate(our_reset, their_reset, our_bits, their_bits)


@settings(deadline=None)
@given(st.lists(st.one_of(MESSAGE, CONTROL), max_size=8), GOODBYE, SIZES, st.booleans(), DEFLATES)
def test_the_oracle_reads_what_the_engine_writes(script, goodbye, sizes, client, setting):
    codec, oracle_codec = codec_pair(setting)
    engine = Engine(client=client, deflate=codec)
    oracle = Oracle(client=not client, deflate=oracle_codec, max_message=None)
    write = {TEXT: engine.text, BINARY: engine.binary, PING: engine.ping, PONG: engine.pong}
    stream = b"".join(write[opcode](content) for opcode, content in script)
    expected = list(script)
    if goodbye:
        stream += engine.close(*goodbye)
        expected.append((CLOSE, goodbye))
    assert read(oracle, stream, sizes) == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(MESSAGE, CUTS, st.lists(CONTROL, max_size=2)), max_size=5),
    GOODBYE,
    SIZES,
    st.booleans(),
    DEFLATES,
)
def test_the_engine_reads_what_the_oracle_writes(script, goodbye, sizes, client, setting):
    """Each message in fragments, which may cut characters, with control frames between them."""
    codec, oracle_codec = codec_pair(setting)
    engine = Engine(client=client, deflate=codec, max_message=None)
    oracle = Oracle(client=not client, deflate=oracle_codec)
    protocol = oracle.protocol
    expected = []
    for (opcode, content), cuts, controls in script:
        payload = content.encode() if opcode == TEXT else content
        edges = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
        pieces = [payload[start:end] for start, end in pairwise(edges)]
        for number, piece in enumerate(pieces):
            fin = number == len(pieces) - 1
            if number:
                protocol.send_continuation(piece, fin)
            else:
                (protocol.send_text if opcode == TEXT else protocol.send_binary)(piece, fin)
            if not fin:
                for kind, data in controls:
                    (protocol.send_ping if kind == PING else protocol.send_pong)(data)
                    expected.append((kind, data))
        expected.append((opcode, content))
    if goodbye:
        protocol.send_close(*goodbye)
        expected.append((CLOSE, goodbye))
    assert read(engine, oracle.sent(), sizes) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), MESSAGE), max_size=8), st.booleans(), DEFLATES)
def test_a_conversation_keeps_both_windows(script, client, setting):
    codec, oracle_codec = codec_pair(setting)
    engine = Engine(client=client, deflate=codec, max_message=None)
    oracle = Oracle(client=not client, deflate=oracle_codec, max_message=None)
    for from_engine, (opcode, content) in script:
        if from_engine:
            frame = engine.text(content) if opcode == TEXT else engine.binary(content)
            assert oracle.receive(frame) == [(opcode, content)]
        else:
            if opcode == TEXT:
                oracle.protocol.send_text(content.encode())
            else:
                oracle.protocol.send_binary(content)
            assert engine.receive(oracle.sent()) == [(opcode, content)]


@settings(deadline=None)
@given(
    st.lists(st.one_of(MESSAGE, CONTROL), max_size=6),
    GOODBYE,
    st.tuples(SIZES, SIZES),
    st.booleans(),
    DEFLATES,
)
def test_the_chunking_changes_nothing(script, goodbye, sizes, client, setting):
    codec, _ = codec_pair(setting)
    sender = Engine(client=not client, deflate=codec)
    write = {TEXT: sender.text, BINARY: sender.binary, PING: sender.ping, PONG: sender.pong}
    stream = b"".join(write[opcode](content) for opcode, content in script)
    stream += sender.close(*goodbye) if goodbye else b""

    def engine():
        # the receiver's side of the same agreement
        mirrored = setting and PerMessageDeflate(decompress_bits=setting[2], decompress_reset=setting[0])
        return Engine(client=client, deflate=mirrored, max_message=MAX)

    assert read(engine(), stream, sizes[0]) == read(engine(), stream, sizes[1])


# -- bad streams -----------------------------------------------------------------------------------
def verdict(events):
    """What came before the end, and the end: None, ("close", code, reason) or ("fail", code)."""
    if events and events[-1][0] == FAIL:
        return events[:-1], ("fail", events[-1][1][0])
    if events and events[-1][0] == CLOSE:
        return events[:-1], ("close", *events[-1][1])
    return events, None


# Reason: whether it explains that we say the first (code and words, or "close") and the oracle the second.
DIFFERENCES = {
    "The oracle takes a length that is not in its shortest form, which section 5.2 forbids.": (
        lambda ours, _: "shortest form" in ours or "at most 125 bytes" in ours
    ),
    "The oracle reads the highest bit of a length as part of the number: too large, instead of wrong.": (
        lambda ours, theirs: "highest bit" in ours and theirs == ("fail", 1009)
    ),
    "The oracle looks at a frame's length first; then at reserved bits, fragments and control frames.": (
        lambda ours, theirs: ours.startswith("1002 ") and theirs == ("fail", 1009)
    ),
    "The oracle takes no close frame between fragments, where section 5.4 allows control frames.": (
        lambda ours, theirs: ours == "close" and theirs == ("fail", 1002)
    ),
    "The oracle looks at a close frame's reason first, then at its code; here, both are wrong.": (
        lambda ours, theirs: "no close code" in ours and theirs == ("fail", 1007)
    ),
}
DEFLATE_DIFFERENCES = {
    "RFC 7692 names no code for data that cannot be inflated: a protocol error, or invalid data.": (
        lambda ours, theirs: "cannot be inflated" in ours and theirs == ("fail", 1002)
    ),
    "The oracle inflates each fragment; the engine inflates the message, when it is there.": (
        lambda ours, theirs: "cannot be inflated" not in ours and theirs == ("fail", 1002)
    ),
}


def said(events):
    if events and events[-1][0] == FAIL:
        return "{} {}".format(*events[-1][1])
    return "close" if events and events[-1][0] == CLOSE else ""


def compare(stream, *, client, sizes, differences, deflates=(None, None)):
    """Where the verdicts differ, the reason from `differences`; "" where they do not."""
    events = read(Engine(client=client, deflate=deflates[0], max_message=MAX), stream, sizes)
    ours, our_end = verdict(events)
    oracle = Oracle(client=client, deflate=deflates[1])
    theirs, their_end = verdict(oracle.receive(stream))
    if our_end and their_end is None:
        # We fail when a byte or a header is wrong, the oracle when the frame is there: let it end.
        _, their_end = verdict(oracle.receive(bytes(MAX + 14)))
    if (ours, our_end) == (theirs, their_end):
        return ""
    shorter = min(len(ours), len(theirs))
    assert ours[:shorter] == theirs[:shorter]
    reasons = [reason for reason, explains in differences.items() if explains(said(events), their_end)]
    assert reasons, (our_end, their_end, said(events), stream)
    return reasons[0]


FRAME = st.builds(
    lambda opcode, payload, fin, rsv, masked, form: (opcode, payload, fin, rsv, masked, form),
    st.one_of(st.sampled_from([CONT, TEXT, BINARY, PING, PONG]), st.integers(0, 15)),
    st.one_of(
        st.binary(max_size=10),
        st.text(max_size=10).map(str.encode),
        st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xff", b"\x00\x00", b"x" * 126, b"\xe2\x82"]),
    ),
    st.sampled_from([True, True, False]),
    st.sampled_from([0, 0, 0, 0, 4, 2, 1]),
    st.sampled_from([True] * 9 + [False]),
    st.sampled_from([0] * 9 + [126, 127]),
)


def write_frame(frame, client):
    """One frame for a receiver that is the client, or is not; `masked` False is the wrong way round."""
    opcode, payload, fin, rsv, masked, form = frame
    key = KEY if masked is not client else b""
    if not form:
        return encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=key)
    first, second = (0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if key else 0) | form
    length = len(payload).to_bytes(2 if form == 126 else 8)
    return bytes((first, second)) + length + key + (apply_mask(payload, key) if key else payload)


@settings(deadline=None, max_examples=300)
@given(st.lists(FRAME, min_size=1, max_size=6), st.booleans(), SIZES)
def test_of_frames_of_any_kind_both_say_the_same(frames, client, sizes):
    stream = b"".join(write_frame(frame, client) for frame in frames)
    compare(stream, client=client, sizes=sizes, differences=DIFFERENCES)


MUTATION = st.tuples(
    st.sampled_from(["set", "flip", "insert", "delete", "cut"]), st.integers(0, 2**16), st.integers(0, 255)
)


def mutate(stream, mutations):
    raw = bytearray(stream)
    for kind, position, byte in mutations:
        where = position % (len(raw) + 1)
        if kind == "insert":
            raw.insert(where, byte)
        elif kind == "cut":
            del raw[where:]
        elif where < len(raw):
            if kind == "delete":
                del raw[where]
            else:
                raw[where] = byte if kind == "set" else raw[where] ^ 1 << byte % 8
    return bytes(raw)


GOOD_FRAME = st.one_of(
    st.tuples(
        st.sampled_from([TEXT, BINARY, PING, PONG]), st.text(max_size=30).map(str.encode), st.just(True)
    ),
    st.tuples(st.just(TEXT), st.integers(120, 300).map(lambda length: b"x" * length), st.just(True)),
    st.tuples(st.sampled_from([TEXT, BINARY, CONT]), st.text(max_size=8).map(str.encode), st.booleans()),
    st.tuples(st.just(CLOSE), st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa0bye"]), st.just(True)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(GOOD_FRAME, min_size=1, max_size=5), st.lists(MUTATION, max_size=3), st.booleans(), SIZES)
def test_of_mutated_streams_both_say_the_same(frames, mutations, client, sizes):
    stream = b"".join(
        encode_frame(opcode, payload, fin=fin, mask=b"" if client else KEY) for opcode, payload, fin in frames
    )
    compare(mutate(stream, mutations), client=client, sizes=sizes, differences=DIFFERENCES)


DEFLATED = st.one_of(st.text(max_size=20), LONG).map(lambda text: PerMessageDeflate().compress(text.encode()))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([CONT, TEXT, TEXT, BINARY, PING]),
            DEFLATED,
            st.sampled_from([True, True, False]),
            st.sampled_from([0, 4, 4, 4, 6]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
    SIZES,
)
def test_of_compressed_frames_both_say_the_same(frames, client, sizes):
    stream = b"".join(
        encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=b"" if client else KEY)
        for opcode, payload, fin, rsv in frames
    )
    deflates = PerMessageDeflate(decompress_reset=True), OracleDeflate(True, True, 15, 15)
    differences = DIFFERENCES | DEFLATE_DIFFERENCES
    compare(stream, client=client, sizes=sizes, deflates=deflates, differences=differences)


BROKEN = (TEXT, b"\xff" * 9, True, 4, True, 0)


@pytest.mark.parametrize(
    ("reason", "frames"),
    list(
        zip(
            [*DIFFERENCES, *DEFLATE_DIFFERENCES],
            [
                [(TEXT, b"Hello", True, 0, True, 126)],
                bytes((0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0)) + KEY,
                bytes((0xB2, 0xFF, 0, 0, 0, 0, 0, 2, 0, 1)) + KEY,
                [(TEXT, b"a", False, 0, True, 0), (CLOSE, b"\x03\xe8", True, 0, True, 0)],
                [(CLOSE, b"\x00\x00\xff", True, 0, True, 0)],
                [BROKEN],
                [(TEXT, b"\xff" * 9, False, 4, True, 0), (PING, b"", True, 0, True, 0)],
            ],
            strict=True,
        )
    ),
)
def test_each_difference_is_one(reason, frames):
    """An entry that no longer applies is to be taken out: it would hide a difference that is a bug."""
    stream = frames if isinstance(frames, bytes) else b"".join(write_frame(frame, False) for frame in frames)
    deflates = PerMessageDeflate(decompress_reset=True), OracleDeflate(True, True, 15, 15)
    differences = DIFFERENCES | DEFLATE_DIFFERENCES
    assert compare(stream, client=False, sizes=[1000], deflates=deflates, differences=differences) == reason
