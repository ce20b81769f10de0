"""`wslab show`: a recording that can be read, and nothing in it that a terminal would obey."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from wslab import cli
from wslab.cli import show
from wslab.cli.columns import Paint
from wslab.cli.transcript import Show
from wslab.wire import Connection, FrameTable, Recorder, encode_frame
from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.files import load

MASK = b"\x01\xfe\x7f\x80"
START = 1_784_815_932.0  # 2026-07-23 14:12:12 UTC
REQUEST = b"GET /chat/lobby?x=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Tester/1\r\n\r\n"
EVIL = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egnp.exe \u2066 \u2028 \ufeff end"
ESCAPED = r"\x1b[2J\x1b]0;owned\x07 \x9b31m \x202egnp.exe \x2066 \x2028 \xfeff end"


def masked(opcode, payload=b"", **how):
    return encode_frame(opcode, payload, mask=MASK, **how)


class Stage:
    """A recorder whose connections all begin at `START`."""

    def __init__(self):
        self.recorder = Recorder(snaplen=2**20)
        self.rows = []

    def open(self, extensions="", request=REQUEST):
        row = Connection(len(self.rows) + 1, "127.0.0.1:50000", self.recorder)
        row.opened_at = START
        row.request = request
        agreed = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        answer = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat.v2\r\n{agreed}\r\n"
        row.note_response(answer.encode(), 101)
        self.rows.append(row)
        return row

    def save(self, folder, name="x.jsonl"):
        path = folder / name
        FrameTable(self.recorder).save(path, self.rows)
        if path.suffix == ".jsonl":  # frames come 10 ms after each other
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for line in lines:
                if line["type"] == "frame":
                    line["time_ns"] = (int(START * 1000) + 10 * line["seq"]) * 10**6
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def lines(self, folder, *, frames=False, **how):
        return list(Show(load(self.save(folder)), **how).conversation("x.jsonl", frames=frames))


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
def chat(stage):
    """Two connections: one with all kinds of messages, one that was refused."""
    row = stage.open()
    row.received.feed(masked(1, b'{"type": "chat",\n "text": "hi there"}'))
    row.sent.feed(encode_frame(2, bytes(range(200))))
    row.received.feed(masked(1, b"in ", fin=False) + masked(9, b"now?") + masked(0, b"two pieces"))
    row.sent.feed(encode_frame(10, b"now?"))
    row.received.feed(encode_frame(1, b"plain"))
    row.sent.feed(encode_frame(8, b"\x03\xeaNo masks."))
    row.note_end()
    row.ended_at = START + 2.5
    other = Connection(2, "127.0.0.1:50001", stage.recorder)
    other.opened_at = START
    other.request = b"GET /no HTTP/1.1\r\n\r\n"
    other.note_response(b"HTTP/1.1 403 Forbidden\r\n\r\n", 403)
    other.refusal, other.remedy = "Not from there.", "Ask somebody."
    other.note_end()
    stage.rows.append(other)
    return stage


def test_a_conversation_is_told_from_its_handshake_to_its_end(chat, tmp_path):
    lines = chat.lines(tmp_path, width=90)
    assert lines == [
        "x.jsonl · 2 connections · 8 frames · → client to server, ← server to client",
        "",
        "c1  GET /chat/lobby?x=1  101 Switching Protocols",
        "    2026-07-23 14:12:12 UTC · subprotocol chat.v2 · from 127.0.0.1:50000 · Tester/1",
        '    #0    0.000 s  → TEXT        37 B  {"type":"chat","text":"hi there"}',
        "    #1    0.010 s  ← BINARY     200 B  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10…",
        "    #3    0.030 s  → PING         4 B  now?",
        "    #2    0.040 s  → TEXT        13 B  (2 frames) in two pieces",
        "    #5    0.050 s  ← PONG         4 B  now?",
        "    #6    0.060 s  → TEXT         5 B  plain",
        " " * 39 + "✗ The client did not mask this frame (RFC 6455",
        " " * 39 + "section 5.1).",
        "    #7    0.070 s  ← CLOSE       11 B  1002 (protocol error) 'No masks.'",
        "    the server closed first: 1002 (protocol error) 'No masks.'; ended after 2.500 s",
        "",
        "c2  GET /no  403 Forbidden",
        "    2026-07-23 14:12:12 UTC · from 127.0.0.1:50001",
        "    ✗ Not from there. Ask somebody.",
    ]


def test_a_connection_that_lives_says_so(stage, tmp_path):
    stage.open().received.feed(masked(1, b"hi"))
    assert stage.lines(tmp_path)[-2:] == [
        "    #0    0.000 s  → TEXT         2 B  hi",
        "    still open when this was saved",
    ]


def test_frames_are_shown_one_by_one(chat, tmp_path):
    lines = chat.lines(tmp_path, frames=True)
    assert "    #2    0.020 s  → TEXT              3 B  (more follows) in" in lines
    assert "    #4    0.040 s  → CONTINUATION     10 B  two pieces" in lines


def test_a_compressed_message_is_shown_inflated_and_its_frames_as_they_are(stage, tmp_path):
    row = stage.open("permessage-deflate")
    row.received.feed(masked(1, PerMessageDeflate().compress(b"again and again" * 9), rsv=4))
    (line,) = [line for line in stage.lines(tmp_path) if "#0" in line]
    assert re.search(r"TEXT +135 B  \(deflated to \d\d B\) again and againagain", line)
    (line,) = [line for line in stage.lines(tmp_path, frames=True) if "#0" in line]
    assert re.search(r"TEXT +\d\d B  \(RSV1\) 4a 4c", line)


def test_what_broke_off_or_goes_on_is_shown_too(stage, tmp_path):
    row = stage.open()
    row.received.feed(masked(1, b"begun", fin=False))
    other = stage.open(request=b"")
    other.sent.feed(encode_frame(1, b"half of it")[:6])
    other.note_end()
    third = stage.open()
    third.received.feed(b"\x81")
    third.note_end()
    third.ended_at = START + 0.25
    said = "\n".join(stage.lines(tmp_path, width=150))
    assert "TEXT         5 B  (more follows) begun" in said
    assert "c2  no handshake was recorded  101 Switching Protocols" in said
    assert "✗ The connection ended inside this frame: 6 of 12 bytes came." in said
    assert "INCOMPLETE      1 B\n" in said
    assert "✗ The connection ended inside this frame's header." in said
    assert "✗ ended after 0.250 s without a close frame: 1006 (abnormal closure)" in said


@pytest.mark.parametrize("view", ["messages", "frames", "ladder", "explain"])
def test_nothing_that_a_terminal_obeys_gets_out(stage, tmp_path, view):
    request = b"GET /\x1b[31m HTTP/1.1\r\nUser-Agent: \x9b31m\r\n\r\n"
    row = stage.open(request=request)
    row.peer = EVIL
    row.refusal = row.remedy = EVIL
    row.received.feed(masked(1, EVIL.encode()) + masked(9, EVIL.encode()))
    row.received.feed(masked(1, json.dumps({"a": EVIL}, ensure_ascii=False).encode()))
    row.sent.feed(encode_frame(8, b"\x03\xe8" + EVIL.encode()))
    row.note_end()
    shown = Show(load(stage.save(tmp_path)), width=4000)
    lines = {
        "messages": lambda: shown.conversation(f"{EVIL}.har"),
        "frames": lambda: shown.conversation(f"{EVIL}.har", frames=True),
        "ladder": shown.ladder,
        "explain": lambda: shown.explanation(3),
    }[view]()
    text = "".join(lines)
    assert [char for char in text if not char.isprintable()] == []
    assert ESCAPED[:20] in text


def test_colours_are_the_only_escapes(chat, tmp_path):
    plain = chat.lines(tmp_path)
    coloured = chat.lines(tmp_path, paint=Paint(on=True))
    assert coloured != plain
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in coloured] == plain


@pytest.mark.parametrize("width", [60, 80, 131])
def test_no_line_is_wider_than_the_terminal(stage, tmp_path, width):
    row = stage.open(request=b"GET /" + b"a" * 500 + b" HTTP/1.1\r\nUser-Agent: " + b"b" * 500 + b"\r\n\r\n")
    for text in ("x" * 500, "日本語" * 60, "e\u0301" * 200, "🎉 " * 90):
        row.received.feed(masked(1, text.encode()))
    row.sent.feed(encode_frame(2, bytes(500)) + encode_frame(8, b"\x03\xe8" + b"r" * 120))
    row.note_end()
    lines = stage.lines(tmp_path, width=width)[1:]

    def columns(char):
        return 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")

    widths = [sum(map(columns, line)) for line in lines]
    assert max(widths) <= width
    assert widths.count(width) + widths.count(width - 1) >= 6  # and what is cut fills its line


def test_full_cuts_nothing(stage, tmp_path):
    row = stage.open()
    row.received.feed(masked(1, b"x" * 100_000) + masked(2, bytes(5000)))
    text = "\n".join(stage.lines(tmp_path, full=True))
    assert "x" * 100_000 in text
    assert " ".join(["00"] * 5000) in text
    assert "x" * 200 not in "\n".join(stage.lines(tmp_path))


def test_json_keeps_what_it_says(stage, tmp_path):
    row = stage.open()
    said = '{ "a b" : 1.50, "a b": [1e5, "\\u001b \\" , "] }'
    row.received.feed(masked(1, said.encode()) + masked(1, b"{ no : json"))
    text = "\n".join(stage.lines(tmp_path))
    assert '{"a b":1.50,"a b":[1e5,"\\u001b \\" , "]}' in text
    assert "{ no : json" in text


def test_a_text_cut_inside_a_character_stays_text(stage, tmp_path):
    row = stage.open()
    stage.recorder.snaplen = 2**16 + 8  # 14 bytes of header: inside a character
    row.received.feed(masked(1, "é".encode() * 40_000) + masked(1, b"a" + "é".encode() * 40_000))
    stage.recorder.snaplen = 2**20
    row.received.feed(masked(1, b"a" + "é".encode() * 40_000))
    text = "\n".join(stage.lines(tmp_path, width=80))
    assert text.count("éééééééé") > 2
    assert "c3 a9" not in text


def run(*line):
    return cli.main(["show", *map(str, line)])


def test_the_command_prints_and_filters(chat, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    for name in ("x.jsonl", "x.har"):
        path = chat.save(tmp_path, name)
        assert run(path) == 0
        assert "hi there" in capsys.readouterr().out
        assert run(path, "--filter", 'opcode==text && json.type=="chat"') == 0
        printed = capsys.readouterr().out
        assert ", 1 of which pass the filter" in printed
        assert "hi there" in printed
        assert "PING" not in printed
        assert "c2" not in printed
        assert run(path, "--filter", "opcode==continuation") == 0
        assert "in two pieces" in capsys.readouterr().out  # the message of a frame that passes
        assert run(path, "--filter", "opcode==ping", "--ladder") == 0
        assert "PING 'now?'" in capsys.readouterr().out
        assert run(path, "--ladder") == 0
        assert "GET /no HTTP/1.1" in capsys.readouterr().out
        assert run(path, "--explain", "6") == 0
        assert "The client did not mask this frame" in capsys.readouterr().out


@pytest.fixture
def room(stage, tmp_path):
    """A message that a room sent to two members at once, and the line that sent it."""
    one, _ = stage.open(), stage.open()
    one.sent.feed(encode_frame(1, b"to all"))
    path = stage.save(tmp_path)
    *lines, frame = path.read_text().splitlines()
    fields = json.loads(frame) | {"connections": [1, 2], "site": [f"{EVIL}/app\\chat.py", 12, "talk"]}
    path.write_text("\n".join([*lines, json.dumps(fields)]))
    return path


def test_a_rooms_message_is_shown_with_each_member_and_the_line_that_sent_it(room):
    for lines in (
        list(Show(load(room)).conversation("x")),
        list(Show(load(room)).conversation("x", frames=True)),
    ):
        found = [line for line in lines if "to all" in line]
        assert len(found) == 2
        assert all(line.endswith("6 B  to all  chat.py:12") for line in found)
    narrow = [line for line in Show(load(room), width=60).conversation("x") if "to all" in line]
    assert [line[-6:] for line in narrow] == ["to all", "to all"]  # the content goes first


def test_a_rooms_message_passes_as_the_members_that_are_asked_for(room):
    lines = list(Show(load(room), query="conn==c2").conversation("x"))
    assert lines[0].startswith("x · 2 connections · 1 frame, 1 of which pass the filter")
    assert [line[:2] for line in lines if line.startswith("c")] == ["c2"]


def test_a_ladder_is_not_shortened(stage, tmp_path):
    row = stage.open()
    for _ in range(300):
        row.sent.feed(encode_frame(9))
    lines = list(Show(load(stage.save(tmp_path))).ladder())
    assert sum("PING" in line for line in lines) == 300


def test_a_bad_filter_shows_where(chat, tmp_path, capsys):
    assert run(chat.save(tmp_path), "--filter", "opcode==ping && len==x") == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("wslab: Expected a number for len")
    assert said[2].index("^") == said[1].index("x")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.har", None, "No such file"),
        ("x.txt", "", r".jsonl or .har to load a recording, got '.txt'"),
        ("x.har", "<html>", "Expected JSON"),
        ("x.jsonl", "{}", "line 1.type"),
        ("folder.har", "", "directory"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path, capsys, name, content, said):
    path = tmp_path / name
    if name.startswith("folder"):
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    assert run(path) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("wslab: Expected")
    assert said in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(("number", "said"), [("8", "from 0 to 7"), ("-1", "from 0 to 7")])
def test_a_frame_that_is_not_there_names_those_that_are(chat, tmp_path, capsys, number, said):
    assert run(chat.save(tmp_path), f"--explain={number}") == 2
    assert said in capsys.readouterr().err


def test_an_empty_recording_has_no_frame_to_explain(stage, tmp_path, capsys):
    path = stage.save(tmp_path)
    assert run(path, "--explain", "0") == 2
    assert "there are none" in capsys.readouterr().err
    assert run(path) == 0
    assert capsys.readouterr().out.startswith("x.jsonl · 0 connections · 0 frames")


def test_a_mistyped_option_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit):
        run("x.har", "--frame")
    assert "(did you mean --frames?)" in capsys.readouterr().err


class Terminal:
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("wanted", "environment", "coloured"),
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"TERM": "dumb"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {}, False),
    ],
)
def test_colours_are_for_terminals_whose_user_wants_them(monkeypatch, wanted, environment, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert show._coloured(wanted, Terminal()) is coloured


def test_a_pipe_gets_no_colours(chat, tmp_path, capsys):
    path = chat.save(tmp_path)
    run(path)
    assert "\x1b" not in capsys.readouterr().out
    run(path, "--color", "always")
    assert "\x1b[36m" in capsys.readouterr().out


def command(path, encoding="utf-8", **how):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    line = [sys.executable, "-m", "wslab", "show", str(path)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **how)


def test_a_reader_who_has_had_enough_ends_it_quietly(stage, tmp_path):
    row = stage.open()
    for _ in range(5000):
        row.sent.feed(encode_frame(1, b"x" * 80))
    with command(stage.save(tmp_path)) as process:
        assert process.stdout.readline().startswith(b"x.jsonl")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_an_error_all_the_same():
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("w") as full:
        show._print(["x" * 100_000], full)


def test_a_console_without_arrows_gets_escapes(stage, tmp_path):
    stage.open().received.feed(masked(1, "日本".encode()))
    with command(stage.save(tmp_path), encoding="ascii") as process:
        out, err = process.communicate(timeout=60)
    assert err == b""
    assert rb"\u2192 TEXT" in out
    assert rb"\u65e5\u672c" in out
