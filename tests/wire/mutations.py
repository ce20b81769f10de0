"""Recordings as nobody saves them: mutated, spliced, cut, and in between random bytes.

`Mutants` makes them one by one, each from its seed and its number alone, so that a failure can be made again.
`feed` loads such a file and, where it loads, looks at everything in it.
"""

from __future__ import annotations

import base64
import io
import json
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.wire.test_files import browser, odd_talk, talk
from wslab.cli.transcript import Show
from wslab.errors import RecordingError
from wslab.wire.files import har, jsonl, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wslab.wire import Connection, RecordedFrame, Recorder
    from wslab.wire.files import Recording

__all__ = ["Mutant", "Mutants", "feed", "look_at_everything"]

NESTED = "[" * 3000 + "]" * 3000
LONG = 20_000

DEEP, NAN, HUGE = (f"@{name}@" for name in ("deep", "nan", "huge"))
LITERALS = {DEEP: NESTED, NAN: "NaN", HUGE: "9" * 5000}
"""What `json.dumps` cannot write, and stands in the text instead of its placeholder."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, {}, [], [None], {"": {}}, "", "x", "\0", "\ud800", "\x1b[31m\u202e", "é" * 50),
    *(0, 1, -1, 1.5, -0.0, 1e308, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40),
    *(DEEP, NAN, HUGE, "x" * LONG, "A" * LONG, "in", "out", "client", "server", "open", "closed", "refused"),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01", "ws://[", "ws://a\r\nb: c/"),
)
HEADS = (
    "",
    "\r\n\r\n",
    "GET /\x9b\x1b[2J HTTP/1.1\r\n:\r\n : x\r\nA\r\n\r\n",
    "HTTP/1.1 101 \r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n\r\n",
    "HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: permessage-deflate, ;=,\r\nSec-WebSocket-Accept: no\r\n\r\n",
    "GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 99999999999999999999\r\n\r\n",
    "HTTP/1.1 99999999999999999999999 \xff\r\n\r\n",
)
FILTERS = (
    'json.type=="chat" || text contains "a" && !(len>3)',
    'conn==c3 and (reason matches "b.*e" or code in {1000, 1001}) or hex contains ca:fe',
    "time>=0 && wire<100 || problem && not masked",
)


def _reproducible(talk: tuple[Recorder, list[Connection]]) -> Recording:
    """`talk` at always the same times, with all that else may be recorded of a frame and a connection."""
    recorder, rows = talk
    lines = [json.loads(line) for line in jsonl.dump(recorder.records(0, recorder.end), rows)]
    numbers = [line["number"] for line in lines if line["type"] == "connection"]
    now = 1_784_815_932_000_000_000
    for line in lines:
        now += 1_000_000
        for fields in (line, line.get("received"), line.get("sent")):
            for times in (fields or {}, (fields or {}).get("close") or {}):
                times |= {name: now for name, value in times.items() if name.endswith("_ns") and value}
        if line["type"] == "connection":
            line["readers"] = {"count": 3, "runs": [[0, "app.py", 3, "echo"], [2, "In[7]", 1, "echo"]]}
        elif line.get("direction") == "out":
            others = [number for number in numbers if number != line["connection"]]
            line |= {"connections": [line["connection"], *others[:2]], "site": ["app.py", 12, "echo"]}
        elif line["type"] == "frame":
            line |= {"sent_ns": now - 5, "lag_ns": 7}
    return jsonl.parse(io.BytesIO("\n".join(map(json.dumps, lines)).encode()))


def _dumped(dump: Callable[..., Iterator[bytes]], recording: Recording) -> bytes:
    recorder = recording.frames.recorder
    return b"".join(dump(recorder.records(recorder.begin, recorder.end), recording.connections))


class Mutant(NamedTuple):
    """One file: its suffix, its bytes, and what was done to it."""

    suffix: str
    data: bytes
    done: str


class Mutants:
    """Mutants of real recordings.

    Args:
        seed: chooses what is done; together with a mutant's number, and with nothing else.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        recordings = [_reproducible(talk(200)), _reproducible(odd_talk())]
        self._samples = {
            ".jsonl": [_dumped(jsonl.dump, recording) for recording in recordings],
            ".har": [browser(), *(_dumped(har.dump, recording) for recording in recordings)],
        }
        self._ways: tuple[Callable[[random.Random, str, bytes], bytes], ...] = (
            self._flip,
            self._cut,
            self._splice,
            self._insert,
            self._noise,
            self._repeat_key,
            *[self._rebuild] * 8,
            self._multiply,
        )

    def make(self, number: int) -> Mutant:
        """The mutant of that number."""
        rng = random.Random(f"{self.seed} {number}")
        suffix = rng.choice((".jsonl", ".har"))
        data, done = rng.choice(self._samples[suffix]), []
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            way = rng.choice(self._ways)
            data = way(rng, suffix, data)
            done.append(way.__name__.strip("_"))
        return Mutant(suffix, data, ", ".join(done))

    def up_to(self, total: int) -> Iterator[tuple[int, Mutant]]:
        """Mutants with their numbers, until their bytes are `total`."""
        number = 0
        while total > 0:
            mutant = self.make(number)
            yield number, mutant
            number, total = number + 1, total - max(1, len(mutant.data))

    @staticmethod
    def _flip(rng: random.Random, _suffix: str, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 2, 8, 64)) if data else 0):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    @staticmethod
    def _cut(rng: random.Random, _suffix: str, data: bytes) -> bytes:
        start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        return rng.choice((data[:end], data[start:], data[:start] + data[end:]))

    def _splice(self, rng: random.Random, _suffix: str, data: bytes) -> bytes:
        other = rng.choice(self._samples[rng.choice((".jsonl", ".har"))])
        start = rng.randrange(len(other))
        piece = other[start : start + rng.randrange(1, 2000)]
        position = rng.randrange(len(data) + 1)
        return data[:position] + piece + data[position:]

    @staticmethod
    def _insert(rng: random.Random, _suffix: str, data: bytes) -> bytes:
        position = rng.randrange(len(data) + 1)
        token = rng.choice(
            (b"\xff\xfe", b"\0", b"\n\n", b'"', b"}", b"[" * 50_000, b"\xef\xbb\xbf", b"1e999")
        )
        return data[:position] + token + data[position:]

    @staticmethod
    def _noise(rng: random.Random, _suffix: str, _data: bytes) -> bytes:
        return rng.randbytes(rng.choice((0, 1, 100, 20_000)))

    @staticmethod
    def _repeat_key(rng: random.Random, _suffix: str, data: bytes) -> bytes:
        places = [index for index in range(len(data)) if data.startswith(b'": ', index)]
        if not places:
            return data
        place = rng.choice(places)
        key = data[data.rfind(b'"', 0, place) : place + 3]
        value = rng.choice((b"null, ", b"[], ", b"7, ", b'"", '))
        start = place + 3 - len(key)
        return data[:start] + key + value + data[start:]

    def _rebuild(self, rng: random.Random, suffix: str, data: bytes) -> bytes:
        """Change values where they are, so that the file stays JSON."""
        try:
            parts = (
                [json.loads(line) for line in data.splitlines()] if suffix == ".jsonl" else [json.loads(data)]
            )
        except (ValueError, RecursionError):
            return data
        for _ in range(rng.choice((1, 1, 2, 5))):
            change(rng, rng.choice(parts) if parts else None)
        text = "\n".join(json.dumps(part) for part in parts)
        for placeholder, literal in LITERALS.items():
            text = text.replace(f'"{placeholder}"', literal)
        return text.encode("utf-8", "surrogatepass")

    @staticmethod
    def _multiply(rng: random.Random, suffix: str, data: bytes) -> bytes:
        """Entries or frames by the hundred."""
        if suffix == ".jsonl":
            lines = data.splitlines(keepends=True)
            return b"".join([*lines, *[rng.choice(lines)] * rng.choice((2, 20, 20, 300))]) if lines else data
        try:
            document = json.loads(data)
            entries = document["log"]["entries"]
            entry = rng.choice(entries)
            if "_wslab" in entry and rng.random() < 0.5:
                entry["_wslabFrames"] *= rng.choice((2, 10, 10, 100))
            else:
                entries += [entry] * rng.choice((1, 10, 10, 100))
        except (ValueError, RecursionError, TypeError, LookupError, AttributeError):
            return data
        return json.dumps(document).encode()


def change(rng: random.Random, part: Any) -> None:
    """Change one value somewhere in `part`; frames and heads often into others that can be read."""
    if isinstance(part, dict) and "raw" in part and rng.random() < 0.7:
        frame(rng, part)
        return
    if isinstance(part, dict) and "request" in part and rng.random() < 0.3:
        name = rng.choice(("request", "response"))
        if isinstance(part[name], str):
            part[name] = rng.choice(HEADS)
            return
    while isinstance(part, dict | list) and part:
        keys = list(part) if isinstance(part, dict) else range(len(part))
        key: Any = rng.choice(keys)
        inner = part[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.9:
            if isinstance(inner, dict) and "raw" in inner and rng.random() < 0.7:
                frame(rng, inner)
                return
            part = inner
            continue
        if rng.random() < 0.1:
            del part[key]
        else:
            part[key] = rng.choice(VALUES)
        return


def frame(rng: random.Random, fields: dict[str, Any]) -> None:
    """Other bytes for a frame, in fields that agree with each other."""
    head = bytes((rng.randrange(256), rng.choice((0, 1, 5, 125, 126, 127, 128, 133, 254, 255))))
    raw = rng.choice((head, head[:1], b"", head + rng.randbytes(rng.randrange(300)), rng.randbytes(20)))
    wire = len(raw) + rng.choice((0, 0, 0, 1, 1000, 2**40, 2**63 - 1 - len(raw)))
    fields |= {"raw": base64.b64encode(raw).decode(), "wire_length": wire, "cut": len(raw) < wire}
    if rng.random() < 0.3:
        fields["time_ns"] = rng.choice((0, 1, 2**63 - 1))


def feed(path: Path, mutant: Mutant) -> bool:
    """Load `mutant` from a file in the folder `path`; whether it loads.

    Anything but a `RecordingError` comes out.
    """
    file = path / f"mutant{mutant.suffix}"
    file.write_bytes(mutant.data)
    try:
        recording = load(file)
    except RecordingError as error:
        said = str(error)
    else:
        look_at_everything(recording, path)
        return True
    assert said.isprintable()
    assert len(said) < 1000
    return False


def look_at_everything(recording: Recording, folder: Path) -> None:
    """Call all there is to call on a recording; what is saved again must load, and be the same."""
    table = recording.frames
    assert len(list(table)) == len(table)
    repr(recording), repr(table), table._repr_html_()
    for frame in table:
        repr(frame)
        explanation = frame.explain()
        assert explanation.text().replace("\n", "").isprintable()
        explanation._repr_html_()
    for message in table.messages():
        repr(message), message.text, message.json
        message.explain().text()
    for connection in recording.connections:
        repr(connection), connection.to_dict(), table.of(connection)
        assert connection.explain().text().replace("\n", "").isprintable()
        connection.explain()._repr_html_()
    for text in FILTERS:
        table.where(text)
    ladder = table.sequence()
    assert ladder.text().replace("\n", "").isprintable()
    ladder.svg()
    shown = Show(recording, width=90)
    for line in (*shown.conversation("x"), *shown.conversation("x", frames=True), *shown.ladder()):
        assert line.isprintable()
    for suffix in (".jsonl", ".har", ".pcapng"):
        recording.save(folder / f"again{suffix}")
    for suffix in (".jsonl", ".har"):
        again = load(folder / f"again{suffix}")
        assert [told(frame) for frame in again.frames] == [told(frame) for frame in table]
        assert {row.id for row in again.connections} == {row.id for row in recording.connections}


def told(frame: RecordedFrame) -> tuple[Any, ...]:
    """What a file must keep of a frame."""
    owners = sorted(connection.id for connection in frame.connections)  # HAR keeps no order among them
    # not its lag, which is worked out from times that never run backwards: a mutant's may
    return frame.seq, frame.frame, frame.at, owners, frame.direction, frame.site, frame.sent_at
