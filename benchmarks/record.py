"""Measure what a recording takes, and how fast it is read: one process, no network.

Each figure is the best of some rounds by CPU time, and the rounds of all of them take turns: what else the
machine does makes a round worse, never better. The bars are printed with what was reached; nothing is
asserted.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wslab.widgets.frames import encode_batch
from wslab.wire import Connection, FrameTable, Recorder, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES = 100_000
SIZE = 64  # bytes of payload
BATCH = 4_000  # frames that a page gets at once
MEMBERS = 100
_CHAT = b'{"type":"chat","from":"ada","text":"hello, world, how are you?"}'


class Figure(NamedTuple):
    """One thing to measure.

    Attributes:
        name: for people.
        unit: of the figure, such as "frames/s".
        run: does it once, for this many of the unit.
        count: how many.
        asked: at least this; 0 where nothing is asked.
    """

    name: str
    unit: str
    run: Callable[[], object]
    count: int
    asked: float = 0


def traffic() -> list[bytes]:
    """Masked text frames as a client sends them, each an object of its own, as a socket's are."""
    payload = _CHAT.ljust(SIZE)[:SIZE]
    return [bytes(bytearray(encode_frame(1, payload, mask=True))) for _ in range(FRAMES)]


def filled(frames: list[bytes]) -> FrameTable:
    """A recorder that holds `frames`."""
    recorder = Recorder(frames=FRAMES)
    feed(Connection(1, "127.0.0.1:50000", recorder), frames)
    return FrameTable(recorder)


def feed(connection: Connection, frames: list[bytes]) -> None:
    """Let `frames` come in."""
    receive = connection.received.feed
    for frame in frames:
        receive(frame)


def send_to_all(members: list[Connection], frames: list[bytes]) -> None:
    """Send each of `frames` to all members."""
    for frame in frames:
        for member in members:
            member.sent.share(frame)


def look(table: FrameTable) -> None:
    """What a view's row needs of each frame."""
    for recorded in table:
        frame = recorded.frame
        assert frame is not None
        _ = recorded.at, recorded.direction, frame.opcode, frame.length, frame.payload, frame.problem


def batches(table: FrameTable) -> None:
    """What the page is sent."""
    recorder = table.recorder
    for start in range(recorder.begin, recorder.end, BATCH):
        encode_batch(recorder.records(start, start + BATCH))


def memory(frames: list[bytes]) -> float:
    """MB that a recorder of `FRAMES` frames grows by when they come."""
    gc.collect()
    tracemalloc.start()
    try:
        recorder = Recorder(frames=FRAMES)
        connection = Connection(1, "127.0.0.1:50000", recorder)
        before = tracemalloc.get_traced_memory()[0] - sys.getsizeof(recorder._ring)
        for frame in frames:
            connection.received.feed(bytes(bytearray(frame)))
        return (tracemalloc.get_traced_memory()[0] - before) / 1e6
    finally:
        tracemalloc.stop()


def figures() -> list[Figure]:
    """All that is measured but memory."""
    frames = traffic()
    table = filled(frames)
    connection = Connection(1, "127.0.0.1:50000", Recorder(frames=FRAMES))
    feed(connection, frames)  # the ring is full: from here on each frame evicts one
    room = Recorder(frames=FRAMES)
    members = [Connection(number + 1, "127.0.0.1:50000", room) for number in range(MEMBERS)]
    shared = [encode_frame(1, _CHAT) for _ in range(FRAMES // MEMBERS)]
    return [
        Figure("recording", "frames/s", lambda: feed(connection, frames), FRAMES),
        Figure("recording a broadcast", "deliveries/s", lambda: send_to_all(members, shared), FRAMES),
        Figure("decoding for view", "frames/s", lambda: look(table), FRAMES, 200_000),
        Figure("batches for a page", "frames/s", lambda: batches(table), FRAMES),
        Figure("messages", "messages/s", table.messages, FRAMES),
        Figure("where opcode==ping", "frames/s", lambda: table.where("opcode==ping"), FRAMES),
        Figure('where text contains "ada"', "frames/s", lambda: table.where('text contains "ada"'), FRAMES),
        Figure('where json.type=="chat"', "frames/s", lambda: table.where('json.type=="chat"'), FRAMES),
    ]


def measure(wanted: list[Figure], rounds: int) -> dict[str, float]:
    """The best rate of each."""
    best = dict.fromkeys((figure.name for figure in wanted), 0.0)
    gc.disable()
    try:
        for number in range(rounds):
            for figure in wanted:
                start = time.process_time()
                figure.run()
                rate = figure.count / (time.process_time() - start)
                best[figure.name] = max(best[figure.name], rate)
                gc.collect()
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    finally:
        gc.enable()
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two rounds instead of seven")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    wanted = figures()
    rates = measure(wanted, 2 if options.quick else 7)
    taken = memory(traffic())
    print(f"python {platform.python_version()}, wslab {version('wslab')}\n")
    print(f"{FRAMES:,} text frames of {SIZE} bytes, masked\n")
    print("| figure | reached | asked | |\n|---|---:|---:|---|")
    for figure in wanted:
        rate = rates[figure.name]
        asked = f"≥ {figure.asked:,.0f}" if figure.asked else ""
        met = ("met" if rate >= figure.asked else "not met") if figure.asked else ""
        print(f"| {figure.name} | {rate:,.0f} {figure.unit} | {asked} | {met} |")
    print(f"| memory | {taken:.1f} MB | ≤ 25 MB | {'met' if taken <= 25 else 'not met'} |")
    if options.json:
        options.json.write_text(json.dumps({"rates": rates, "memory_mb": taken}, indent=1))


if __name__ == "__main__":
    main()
