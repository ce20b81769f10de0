"""Bytes that nobody meant: random ones, and sessions of which some are changed.

`feed_all` shows them to everything that reads the wire. Each stream is a connection of its own, for in random
bytes a length of 64 bits comes soon, and what follows would be the payload of one frame.
"""

from __future__ import annotations

import random
from itertools import chain

from tests.wire.senders import BINARY, CLOSE, CONT, FLUSHES, PING, TEXT, Sender, answer, handshake
from wslab.wire import FAIL, ConnectionTable, Engine, FrameTable, Recorder
from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.files import har, jsonl, pcapng

KINDS = {FAIL: tuple, TEXT: str, BINARY: bytes, CLOSE: tuple, PING: bytes, 10: bytes}
FILTERS = (
    "problem",
    "opcode==text && len>100",
    'json.type=="chat"',
    "text contains x or code>=1000",
    "!masked",
)
SLOWLY = 3000
SHOWN = 50  # frames and messages of a round that are explained in full


def random_stream(rng):
    return rng.randbytes(rng.choice((1, 10, 1000, 60_000, 200_000)))


def frame_like_stream(rng):
    """Headers of any kind, with lengths that are mostly short and mostly true."""
    pieces = []
    for _ in range(rng.randrange(1, 150)):
        length = rng.choice((0, 1, 2, 20, 125, 126, 127))
        pieces.append(bytes((rng.randrange(256), rng.choice((0, 0x80)) | length)))
        pieces.append(rng.randbytes(max(0, length + rng.choice((0, 2, 4, 4, 4, 8, 12, -1)))))
    return b"".join(pieces)


def mutated_stream(rng, direction):
    """A good session, compressed or not, with some bytes changed, taken out, put in, or cut off."""
    sender = Sender(
        rng.randbytes(4) if direction == "in" else None, (rng.random() < 0.5, rng.randrange(9, 16))
    )
    frames = []
    for _ in range(rng.randrange(1, 60)):
        content = b'{"type": "chat", "text": "%d"}' % rng.randrange(1000) * rng.choice((1, 1, 5, 100))
        cuts = [rng.randrange(2**16) for _ in range(rng.choice((0, 0, 0, 1, 3)))]
        how = {"flush": rng.choice(("", *FLUSHES, "final")), "cuts": cuts, "between": [(PING, b"?")]}
        frames += sender.message(rng.choice((TEXT, BINARY, CONT)), content, **how)
    frames.append(sender.frame(CLOSE, rng.choice((b"", b"\x03", b"\x03\xe8bye", b"\x00\x00\xff"))))
    stream = bytearray(b"".join(frames))
    for _ in range(rng.choice((0, 1, 2, 10))):
        place = rng.randrange(len(stream))
        match rng.randrange(4):
            case 0:
                stream[place] ^= 1 << rng.randrange(8)
            case 1:
                stream[place] = rng.randrange(256)
            case 2:
                del stream[place : place + rng.randrange(20)]
            case _:
                stream[place:place] = rng.randbytes(rng.randrange(20))
        if not stream:
            break
    return bytes(stream)


def pieces_of(rng, stream):
    """In chunks of any size; the small ones for the first few kilobytes, as they take the longest."""
    position = 0
    most = rng.choice((1, 3, 100, 5000, 2**17))
    while position < len(stream):
        size = 1 + int(rng.random() * (most if position < SLOWLY else 2**14))
        yield stream[position : position + size]
        position += size


def feed_all(seed, size):
    """Feed `size` bytes to the recorder and the engines, and look at what was recorded from every side.

    Returns:
        How many bytes, frames, messages and events there were.
    """
    rng = random.Random(seed)
    totals = {"bytes": 0, "frames": 0, "messages": 0, "events": 0}
    while totals["bytes"] < size:
        recorder = Recorder(
            frames=rng.choice((8, 1000, 65_536)),
            budget=rng.choice((2_000, 2**20)),
            snaplen=rng.choice((14, 15, 200, 2**16 + 14)),
        )
        table = ConnectionTable(recorder)
        for _ in range(rng.randrange(1, 12)):
            one_connection(rng, table, totals)
        totals["frames"] += recorder.end
        totals["messages"] += look_at(rng, table)
    return totals


def one_connection(rng, table, totals):
    connection = table.open("[::1]:9" if rng.random() < 0.5 else "")
    deflates = rng.choice((None, ((False, 15), (True, 9))))
    if rng.random() < 0.9:
        handshake(connection, rng.choice((answer(deflates), "permessage-deflate; =;", "\xff, x")))
    flows = []
    for direction, flow in (("in", connection.received), ("out", connection.sent)):
        make = rng.choice(
            (random_stream, frame_like_stream, lambda rng, way=direction: mutated_stream(rng, way))
        )
        stream = make(rng)
        totals["bytes"] += len(stream)
        totals["events"] += through_engine(rng, stream, direction)
        flows.append([(flow, piece) for piece in pieces_of(rng, stream)])
    for flow, piece in chain(*flows) if rng.random() < 0.5 else chain(*reversed(flows)):
        flow.feed(piece)
    if rng.random() < 0.8:
        connection.note_end()


def through_engine(rng, stream, direction):
    """The engine that would have read this direction; a new one after each violation, to lose no bytes."""
    count, engine = 0, None
    for piece in pieces_of(rng, stream):
        engine = engine or Engine(
            client=direction == "out",
            max_message=rng.choice((100, 2**20)),
            deflate=PerMessageDeflate(decompress_reset=True) if rng.random() < 0.5 else None,
        )
        for opcode, content in engine.receive(piece):
            assert isinstance(content, KINDS[opcode])
            count += 1
            if opcode in {FAIL, CLOSE}:
                assert isinstance(content[0], int)
                assert isinstance(content[1], str)
                engine = None
    return count


def look_at(rng, table):
    """Every view of what is kept; of frames and messages in full, `SHOWN` of each."""
    frames = FrameTable(table._recorder)
    kept = list(frames)
    found = frames.messages()
    for frame in rng.sample(kept, min(SHOWN, len(kept))):
        assert frame.explain().text()
        assert repr(frame)
    for message in rng.sample(found, min(SHOWN, len(found))):
        assert message.explain()._repr_html_()
        assert repr(message)
        _ = message.json
    for text in FILTERS:
        frames.where(text)
    for connection in table:
        assert connection.explain().text()
        assert connection.to_dict()
    ladder = frames.sequence()
    assert ladder.text()
    assert ladder.svg()
    assert repr(frames)
    assert frames._repr_html_()
    records = frames.recorder.records(frames.recorder.begin, frames.recorder.end)
    dump = rng.choice((har.dump, jsonl.dump, pcapng.dump))
    assert b"".join(dump(records, list(table)))
    return len(found)
