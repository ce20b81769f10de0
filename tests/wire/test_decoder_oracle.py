"""What a recording shows, against an implementation that others wrote: `websockets` without I/O.

Both get the same bytes, each in a chunking of its own: ours through `Flow.feed`, the ring, `FrameTable` and
`messages`. The library ends a connection at the first thing that is wrong, a recorder is a passive observer
and goes on; so each frame is compared by itself, and each stream up to where the library ends it. Where the
two differ on purpose a test says so, and that they still do.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Frame as OracleFrame
from websockets.streams import StreamReader

from tests.wire.oracle import (
    CONTENTS,
    DEFLATES,
    DIRECTIONS,
    IN,
    KEY,
    OUT,
    SIZES,
    Bits,
    Library,
    connected,
    flow_of,
    our_events,
    our_problems,
    recorded,
)
from tests.wire.senders import (
    BINARY,
    CLOSE,
    CONT,
    FLUSHES,
    PING,
    PONG,
    RSV1,
    TEXT,
    Sender,
    chunks,
    handshake,
)
from wslab.wire import Connection, FrameTable, Recorder, encode_frame
from wslab.wire.frames import frame_length
from wslab.wire.messages import frame_problem, messages

# -- frame by frame --------------------------------------------------------------------------------
CLOSES = st.one_of(
    st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03", b"\x03\xee", b"\x03\xe8\xff", b"\x0f\xa0"]),
    st.builds(lambda code, reason: code.to_bytes(2) + reason, st.integers(0, 0xFFFF), st.binary(max_size=5)),
)
ANY_FRAME = st.one_of(
    st.tuples(
        st.one_of(st.sampled_from([CONT, TEXT, BINARY, PING, PONG]), st.integers(0, 15)),
        CONTENTS,
        st.sampled_from([True, True, False]),
        st.sampled_from([0, 0, 0, *range(8)]),
        st.sampled_from([True] * 9 + [False]),
        st.sampled_from([None] * 6 + [7, 16, 64]),
    ),
    st.tuples(st.just(CLOSE), CLOSES, st.just(True), st.just(0), st.just(True), st.none()),
)


def write(frame, direction):
    """One frame for a direction; `rightly` False masks it the wrong way round."""
    opcode, payload, fin, rsv, rightly, form = frame
    key = KEY if rightly is (direction == IN) else b""
    form = None if form and len(payload) > {7: 125, 16: 0xFFFF, 64: 2**62}[form] else form
    return encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=key, length_form=form)


def library_verdict(raw, direction):
    """What the library makes of one whole frame: its fields, or the exception it refuses it with."""
    bits, reader = Bits(), StreamReader()
    reader.feed_data(raw)
    parsing = OracleFrame.parse(reader.read_exact, mask=direction == IN, extensions=[bits])
    try:
        next(parsing)
    except StopIteration as done:
        frame = done.value
    except ProtocolError as error:
        return error
    else:
        return None  # it waits for more
    if frame.opcode == CLOSE:
        protocol = Library(direction, None)
        protocol.feed(raw)
        if protocol.error:
            return protocol.error
    return frame.fin, bits.rsv, int(frame.opcode), bytes(frame.data)


ACCEPTED_BY_THE_LIBRARY = {
    "It takes a length that is not in its shortest form, which section 5.2 forbids.": "shortest form",
}


@settings(deadline=None, max_examples=120)
@given(st.dictionaries(DIRECTIONS, st.tuples(st.lists(ANY_FRAME, max_size=8), SIZES), min_size=1))
def test_each_frame_of_any_kind_is_read_and_judged_alike(script):
    written = {side: [write(frame, side) for frame in frames] for side, (frames, _) in script.items()}
    table = list(recorded({side: (b"".join(raws), script[side][1]) for side, raws in written.items()}))
    for side, raws in written.items():
        seen = [frame for frame in table if frame.direction == side]
        assert [frame.frame.raw for frame in seen] == raws
        assert [frame.wire_length for frame in seen] == [len(raw) for raw in raws]
        for frame, raw in zip(seen, raws, strict=True):
            judge(frame.frame, library_verdict(raw, side), side)


def judge(frame, verdict, direction):
    """The same fields where the library takes the frame; and a problem exactly where it does not."""
    problem = frame_problem(frame, direction)
    if isinstance(verdict, Exception):
        assert "RFC " in problem, (verdict, frame)
        return
    assert verdict == (frame.fin, frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3, frame.opcode, frame.payload)
    assert frame.length == len(frame.payload)
    assert frame.mask_key == (KEY if direction == IN else None)
    assert not problem or "shortest form" in problem, problem


def test_the_library_takes_a_length_that_is_not_in_its_shortest_form():
    """The one difference of single frames; section 5.2 forbids it."""
    raw = encode_frame(TEXT, b"Hello", length_form=16)
    assert library_verdict(raw, OUT) == (True, 0, TEXT, b"Hello")
    [frame] = recorded({OUT: (raw, [3])})
    assert "shortest form" in frame_problem(frame.frame, OUT)


def test_the_library_waits_for_a_length_of_which_the_highest_bit_is_set():
    raw = bytes((0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0))
    assert library_verdict(raw + b"x" * 50, OUT) is None
    table = recorded({OUT: (raw + b"x" * 50, [7])})
    assert len(table) == 0, "we wait as well,"
    connection = Connection(1, "", table.recorder)
    connection.sent.feed(raw)
    connection.note_end()
    assert "highest bit" in table[0].frame.problem, "and say what was wrong when nothing more comes"


# -- message by message ----------------------------------------------------------------------------
CONTROL = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
MESSAGE = st.fixed_dictionaries(
    {
        "opcode": st.just(BINARY),
        "content": CONTENTS,
        "flush": st.sampled_from(["", *FLUSHES]),
        "cuts": st.lists(st.integers(0, 2**16), max_size=4),
        "between": st.lists(CONTROL, max_size=2),
    }
) | st.fixed_dictionaries(
    {
        "opcode": st.just(TEXT),
        "content": st.text(max_size=60).map(str.encode),
        "flush": st.sampled_from(["", *FLUSHES]),
        "cuts": st.lists(st.integers(0, 2**16), max_size=4),
        "between": st.lists(CONTROL, max_size=2),
    }
)
STEPS = st.lists(MESSAGE | CONTROL, max_size=8)
GOODBYE = st.none() | st.sampled_from([b"", b"\x03\xe8", b"\x03\xe9bye", b"\x13\x87" + "é".encode() * 61])
SCRIPT = st.fixed_dictionaries(
    {"steps": STEPS, "goodbye": GOODBYE, "sizes": SIZES, "level": st.integers(0, 9)}
)


def frames_of(script, direction, deflates, *, flushed=True):
    """The frames of a script, and the events that they are."""
    deflate = deflates and deflates[direction == OUT]
    sender = Sender(KEY if direction == IN else None, deflate, script["level"])
    frames, events = [], []
    for step in script["steps"]:
        if isinstance(step, tuple):
            frames.append(sender.frame(*step))
            events.append(step)
            continue
        flush = step["flush"] if deflates and flushed else ""
        frames += sender.message(**step | {"flush": flush})
        events += step["between"] if step["cuts"] else []
        events.append((step["opcode"], step["content"]))
    if script["goodbye"] is not None:
        frames.append(sender.frame(CLOSE, script["goodbye"]))
        events.append((CLOSE, script["goodbye"]))
    return frames, events


@settings(deadline=None, max_examples=80)
@given(st.fixed_dictionaries({IN: SCRIPT, OUT: SCRIPT}), SIZES, DEFLATES)
def test_good_streams_are_the_same_messages(scripts, sizes, deflates):
    streams, expected = {}, {}
    for side, script in scripts.items():
        frames, expected[side] = frames_of(script, side, deflates)
        streams[side] = b"".join(frames), script["sizes"]
    table = list(recorded(streams, deflates))
    for side, (stream, _) in streams.items():
        library = Library(side, deflates)
        for piece in chunks(stream, sizes):
            library.feed(piece)
        assert library.error is None
        mine = [frame for frame in table if frame.direction == side]
        assert our_problems(mine, side) == []
        assert len(mine) == len(library.frames)
        assert our_events(mine, side) == library.events() == expected[side]


def test_after_a_final_block_the_library_reads_nothing_more():
    """RFC 7692 section 7.2.3.4 has such a message; we go on behind it, and with the window it left."""
    sender = Sender()
    sent = [sender.message(TEXT, b"Hello", flush=flush)[0] for flush in ("final", "sync", "sync")]
    deflates = ((False, 15), (False, 15))
    library = Library(OUT, deflates)
    library.feed(b"".join(sent))
    assert [content for _, content in library.events()] == [b"Hello", b"", b""]
    frames = list(recorded({OUT: (b"".join(sent), [5])}, deflates))
    assert our_events(frames, OUT) == [(TEXT, b"Hello")] * 3
    assert our_problems(frames, OUT) == []


@settings(deadline=None, max_examples=60)
@given(SCRIPT, DIRECTIONS, st.integers(9, 15))
def test_final_blocks_without_context_takeover_are_read_alike(script, side, bits):
    deflates = ((True, bits), (True, bits))
    for step in script["steps"]:
        if isinstance(step, dict) and step["flush"]:
            step["flush"], step["cuts"] = "final", []
    frames, events = frames_of(script, side, deflates)
    library = Library(side, deflates)
    library.feed(b"".join(frames))
    seen = list(recorded({side: (b"".join(frames), script["sizes"])}, deflates))
    assert our_events(seen, side) == library.events() == events
    assert our_problems(seen, side) == []


# -- streams that are wrong ------------------------------------------------------------------------
BAD_FRAME = st.tuples(
    st.one_of(st.sampled_from([CONT, TEXT, TEXT, BINARY, PING]), st.integers(0, 15)),
    st.one_of(
        st.binary(max_size=10),
        st.text(max_size=10).map(str.encode),
        st.sampled_from(
            [bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000"), b"\xe2\x82", b"x" * 126]
        ),
    ),
    st.sampled_from([True, True, False]),
    st.sampled_from([0, 0, 0, RSV1, RSV1, 2, 1, 5]),
    st.sampled_from([True] * 9 + [False]),
    st.none(),
)
FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=3)
TAKEOVER = ((False, 15), (False, 15))

LATER = "The library judges each fragment; here a message is judged when its last frame is there."
BETWEEN = "The library takes no close frame between fragments, where section 5.4 allows control frames."
FINAL = "The library reads nothing more after a final block, which RFC 7692 section 7.2.3.4 allows."


def compare(stream, sizes, side, deflates):
    """What the library took has the same content here and no problem; what it refused has one.

    Returns:
        The difference between the two, where there is one of those above; "" otherwise.
    """
    library = Library(side, deflates)
    library.feed(stream)
    connection, table = connected(deflates)
    flow = flow_of(connection, side)
    for piece in chunks(stream, sizes):
        flow.feed(piece)
    count = len(library.frames)
    if library.error and len(table) == count:
        # It refuses a frame at its header, which is recorded when it is whole: let it end.
        let_it_end(table, stream, flow)
    frames = list(table)
    taken = frames[:count]
    if library.deflate and library.deflate.decoder.eof:
        return FINAL
    events = library.events()
    assert our_events(taken, side) == events
    problems = [problem for problem in our_problems(taken, side) if "shortest form" not in problem]
    # UTF-8 is what the library leaves to its callers.
    assert len(problems) == sum(not is_text(content) for opcode, content in events if opcode == TEXT), (
        problems
    )
    assert all("UTF-8" in problem for problem in problems)
    if library.error is None or our_problems(frames[: count + 1], side) != our_problems(taken, side):
        return ""
    if len(frames) == count:  # longer than what is there
        connection.note_end()
        assert [field for field in table[count].explain().fields if field.name == "problem"]
        return ""
    refused = frames[count].frame
    if refused.opcode == CLOSE:
        assert "incomplete fragmented message" in str(library.error)
        return BETWEEN
    assert not refused.fin
    begun = b"".join(frame.frame.raw for frame in frames[: count + 1])
    whole = begun + encode_frame(CONT, b"", mask=refused.mask_key or b"")
    assert our_problems(list(recorded({side: (whole, sizes)}, deflates)), side) != our_problems(taken, side)
    return LATER


def let_it_end(table, stream, flow):
    rest = stream[sum(frame.wire_length for frame in table) :]
    missing = frame_length(rest + bytes(10)) - len(rest)
    if missing < 2**17:
        flow.feed(bytes(missing))


def is_text(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(deadline=None, max_examples=250)
@given(st.lists(BAD_FRAME, min_size=1, max_size=6), DIRECTIONS, SIZES, st.sampled_from([None, TAKEOVER]))
def test_of_frames_of_any_kind_both_say_the_same(frames, side, sizes, deflates):
    compare(b"".join(write(frame, side) for frame in frames), sizes, side, deflates)


@settings(deadline=None, max_examples=120)
@given(SCRIPT, DIRECTIONS, st.sampled_from([None, TAKEOVER]), FLIPS, st.integers(0, 2**16) | st.none())
def test_of_mutated_streams_both_say_the_same(script, side, deflates, flips, end):
    stream = bytearray(b"".join(frames_of(script, side, deflates)[0]))
    for place, bits in flips if stream else ():
        stream[place % len(stream)] ^= bits
    if end is not None:
        del stream[end % (len(stream) + 1) :]
    compare(bytes(stream), script["sizes"], side, deflates)


@pytest.mark.parametrize(
    ("difference", "frames"),
    [
        (LATER, [(TEXT, b"a", False, RSV1, True, None)]),
        (BETWEEN, [(TEXT, b"a", False, 0, True, None), (CLOSE, b"\x03\xe8", True, 0, True, None)]),
        (FINAL, [(TEXT, bytes.fromhex("f348cdc9c9070000"), True, RSV1, True, None)]),
    ],
)
def test_each_difference_is_one(difference, frames):
    """An entry that no longer applies is to be taken out: it would hide a difference that is a bug."""
    deflates = TAKEOVER if difference == FINAL else None
    assert compare(b"".join(write(frame, IN) for frame in frames), [100], IN, deflates) == difference


# -- recordings that are not whole -----------------------------------------------------------------
@settings(deadline=None, max_examples=80)
@given(SCRIPT, DIRECTIONS, DEFLATES, st.integers(1, 5), st.integers(20, 200) | st.none())
def test_what_a_ring_still_holds_is_the_same_or_says_that_it_is_not_whole(
    script, side, deflates, exponent, snaplen
):
    """A message that starts before the ring does, or refers to one that is gone, shows nothing false."""
    stream = b"".join(frames_of(script, side, deflates)[0])
    library = Library(side, deflates)
    library.feed(stream)
    every = list(recorded({side: (stream, script["sizes"])}, deflates))
    ends = {message.frames[-1].seq: message.content for message in messages(every)}
    assert [content for opcode, content in library.events() if opcode < CLOSE] == list(ends.values())

    bounds = {"frames": 2**exponent} | ({"snaplen": snaplen} if snaplen else {})
    table = recorded({side: (stream, script["sizes"])}, deflates, **bounds)
    kept = list(table)
    found = messages(kept)
    assert [message.frames[-1].seq for message in found] == [
        seq for seq in ends if seq >= table.recorder.begin
    ]
    alone = not deflates or deflates[side == OUT][0]
    for number, message in enumerate(found):
        whole = ends[message.frames[-1].seq]
        cut = any(frame.frame.cut for frame in message.frames)
        if not message.problem:
            assert message.content == whole
        elif not message.compressed and message.opcode:
            assert cut, message.problem
            assert whole.startswith(message.content)
        if cut or not message.opcode:
            assert "recorder" in message.problem
        elif alone:
            assert message.problem == "", (number, message)


def test_a_lost_beginning_is_not_blamed_on_the_peer():
    recorder = Recorder(frames=2)
    connection = Connection(1, "", recorder)
    handshake(connection)
    connection.sent.feed(encode_frame(TEXT, b"a", fin=False) + encode_frame(CONT, b"b"))
    connection.sent.feed(encode_frame(TEXT, b"broken off")[:5])
    connection.note_end()
    assert (
        messages(FrameTable(recorder))[0].problem
        == "Frames of this message are not in the recorder any more."
    )


def test_a_cut_message_that_was_not_compressed_takes_no_window_away():
    recorder = Recorder(snaplen=64)
    connection = Connection(1, "", recorder)
    handshake(connection, "permessage-deflate")
    sender = Sender()
    for content, flush in ((b"0123456789" * 5, "sync"), (bytes(range(200)), ""), (b"0123456789" * 5, "sync")):
        connection.sent.feed(sender.message(BINARY, content, flush=flush)[0])
    first, cut, last = messages(FrameTable(recorder))
    assert "The recorder kept" in cut.problem
    assert (first.content, first.problem) == (last.content, last.problem) == (b"0123456789" * 5, "")


@pytest.mark.parametrize(
    ("side", "raw", "problem"),
    [
        (IN, encode_frame(TEXT, b"hi"), "did not mask"),
        (OUT, encode_frame(TEXT, b"hi", mask=KEY), "masked this frame"),
        (OUT, encode_frame(PING, rsv=RSV1), "must not be compressed"),
        (OUT, encode_frame(CLOSE, b"\x03"), "a code of two"),
        (OUT, encode_frame(CLOSE, b"\x03\xee"), "1006 is no close code"),
        (OUT, encode_frame(CLOSE, b"\x03\xe8\xff"), "reason is not UTF-8"),
        (OUT, encode_frame(3), "is reserved"),
    ],
)
def test_every_view_says_what_is_wrong_with_a_frame(side, raw, problem):
    table = recorded({side: (raw, [100])})
    assert problem in repr(table[0])
    assert "✗" in table.sequence().text()
    assert problem in table[0].explain().text()
    assert table.where("problem") == list(table)
    assert table.where(f'problem contains "{problem}"') == list(table)
