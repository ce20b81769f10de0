from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft6Validator
from referencing import Registry
from referencing.jsonschema import DRAFT6

import wslab.wire
from tests.wire.tshark import complaints, dissected, ours
from wslab.errors import RecordingError
from wslab.wire import Connection, FrameTable, Recorder, accept_key, encode_frame
from wslab.wire.deflate import PerMessageDeflate
from wslab.wire.files import fields, har, jsonl, load, pcapng, recording

MASK = b"\x01\xfe\x7f\x80"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"


def handshake(row, extensions=""):
    agreed = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    row.request = (
        f"GET /echo/ada?shout=1 HTTP/1.1\r\nHost: localhost:8765\r\n{UPGRADE}X-Odd:  \xe9 \r\n{agreed}"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode("latin-1")
    row.note_response(
        f"HTTP/1.1 101 Switching Protocols\r\n{UPGRADE}{agreed}"
        f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n\r\n".encode(),
        101,
    )


def masked(opcode, payload=b"", **how):
    return encode_frame(opcode, payload, mask=MASK, **how)


def talk(snaplen=2**20):
    """Two conversations at a time, one refused, and one that breaks off inside a frame."""
    recorder = Recorder(frames=64, snaplen=snaplen)
    rows = [Connection(number, f"127.0.0.1:{50_000 + number}", recorder) for number in (2, 3, 5, 70_000)]
    one, two, refused, broken = rows
    for row in (one, two, broken):
        handshake(row, "permessage-deflate" if row is two else "")
    refused.request = b"GET /no HTTP/1.1\r\nHost: localhost\r\n\r\n"
    refused.note_response(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403)
    refused.refusal, refused.remedy = "Not from there.", "Ask somebody."
    refused.note_end()
    one.received.feed(masked(1, "héllo".encode()))
    codec, other = PerMessageDeflate(), PerMessageDeflate()
    two.received.feed(masked(1, codec.compress(b"again and again" * 9), rsv=4))
    one.received.feed(masked(1, b"in ", fin=False) + masked(9, b"now?"))
    two.sent.feed(encode_frame(2, other.compress(bytes(300)), rsv=4))
    one.received.feed(masked(0, b"two pieces"))
    one.sent.feed(encode_frame(10, b"now?") + encode_frame(2, bytes(range(256)) * 300))
    one.sent.feed(encode_frame(1) + encode_frame(2, b"x" * 126) + encode_frame(8, b"\x03\xe8bye"))
    one.received.feed(masked(8, b"\x03\xe8bye"))
    one.rtt = 0.1
    one.note_end()
    broken.received.feed(masked(1, b"whole") + masked(1, b"not whole")[:9])
    broken.note_end()
    return recorder, rows


def state(recorder, connections):
    """All that a recording is, as values."""
    records = recorder.records(recorder.begin, recorder.end)
    return (
        [record._replace(connections=tuple(owner.id for owner in record.connections)) for record in records],
        [(row.to_dict(), row.request, row.response, row.refusal, row.remedy) for row in connections],
    )


def text_of(dump):
    recorder, rows = talk()
    return b"".join(dump(recorder.records(0, recorder.end), rows))


@pytest.mark.parametrize("suffix", [".jsonl", ".har"])
@pytest.mark.parametrize("snaplen", [2**20, 100])
def test_a_round_trip_loses_nothing(tmp_path, suffix, snaplen):
    recorder, rows = talk(snaplen)
    path = tmp_path / f"session{suffix}"
    FrameTable(recorder).save(path, rows)
    loaded = load(path)
    assert state(loaded.frames.recorder, loaded.connections) == state(recorder, rows)
    again = tmp_path / f"again{suffix}"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    assert any(frame.frame and frame.frame.cut for frame in loaded.frames) == (snaplen == 100)


@pytest.mark.parametrize("suffix", [".jsonl", ".har"])
def test_numbers_go_on_from_the_first_frame_that_was_kept(tmp_path, suffix):
    recorder = Recorder(frames=64)
    row = Connection(1, "a:1", recorder)
    for number in range(200):
        row.received.feed(masked(1, b"%d" % number))
    FrameTable(recorder).save(tmp_path / f"x{suffix}")
    loaded = load(tmp_path / f"x{suffix}")
    assert [(frame.seq, frame.text) for frame in loaded.frames] == [(n, str(n)) for n in range(136, 200)]
    assert loaded.frames.get(150).text == "150"
    assert loaded.connections[0].received.frames == 200


def test_a_refused_connection_is_saved_where_it_is_named(tmp_path):
    recorder, _ = talk()
    FrameTable(recorder).save(tmp_path / "x.jsonl")
    assert [row.id for row in load(tmp_path / "x.jsonl").connections] == ["c2", "c3", "c70000"]
    assert repr(load(tmp_path / "x.jsonl")) == "<Recording: 3 connections, 14 frames>"


def test_a_cut_frame_says_so_in_its_line():
    recorder, _ = talk(snaplen=100)
    lines = [json.loads(line) for line in jsonl.dump(recorder.records(0, recorder.end))]
    assert [line["wire_length"] for line in lines if line.get("cut")] == [76_810, 130]


def test_a_frame_longer_than_a_line_may_be_is_cut(monkeypatch):
    monkeypatch.setattr(fields, "MAX_RAW", 10)
    loaded = jsonl.parse(io.BytesIO(text_of(jsonl.dump)))
    assert max(len(frame.frame.raw) for frame in loaded.frames if frame.frame) == 10
    assert loaded.frames[0].frame.cut


SCHEMA_FOLDER = Path(__file__).parent / "har_schema"
SCHEMAS = {path.name: json.loads(path.read_text()) for path in SCHEMA_FOLDER.glob("*.json")}
HAR_SCHEMA = Draft6Validator(
    SCHEMAS["har.json"],
    registry=Registry().with_resources(
        (name, DRAFT6.create_resource(schema)) for name, schema in SCHEMAS.items()
    ),
    format_checker=Draft6Validator.FORMAT_CHECKER,
)


def violations(document):
    return [f"{error.json_path}: {error.message[:200]}" for error in HAR_SCHEMA.iter_errors(document)]


def odd_talk():
    """What a hostile or a careless client leaves behind."""
    recorder = Recorder()
    rows = [Connection(number, "", recorder) for number in range(1, 6)]
    rows[0].received.feed(masked(1, b"no handshake") + b"\x81")
    rows[1].request = b'GET /\xe9\x7f?a=%zz&b[]=|^`{}"<> HTTP/1.1\r\nHost: [::1\r\n\r\n'
    rows[2].request = b"nonsense\r\n\r\n"
    rows[2].note_response(b"200\r\n\r\n", 200)
    rows[3].request = b"GET http://other.example/a%20b?c HTTP/1.1\r\nX: \xff\r\n\r\n"
    rows[4].request = b"GET /ok HTTP/1.1\r\nHost: a b<>\r\n\r\n"
    rows[4].opened_at = 2.0**33  # the year 2242
    rows[4].sent.feed(encode_frame(1, b"\xff\xfe") + encode_frame(3, b"reserved") + encode_frame(1, rsv=4))
    for row in rows:
        row.note_end()
    return recorder, rows


@pytest.mark.parametrize("made", [talk, lambda: talk(snaplen=100), odd_talk], ids=["whole", "cut", "odd"])
def test_it_passes_the_har_schema_also_after_a_round_trip(tmp_path, made):
    recorder, rows = made()
    FrameTable(recorder).save(tmp_path / "x.har", rows)
    document = json.loads((tmp_path / "x.har").read_bytes())
    assert violations(document) == []
    assert len(document["log"]["entries"]) == len(rows)
    load(tmp_path / "x.har").save(tmp_path / "again.har")
    assert violations(json.loads((tmp_path / "again.har").read_bytes())) == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("log", "creator"), "'creator' is a required property"),
        (("log", "entries", 0, "response", "headers", 0, "value"), "'value' is a required property"),
        (("log", "entries", 0, "request", "queryString"), "'queryString' is a required property"),
    ],
)
def test_the_schema_would_find_what_is_missing(place, said):
    document = json.loads(text_of(har.dump))
    value = document
    for step in place[:-1]:
        value = value[step]
    del value[place[-1]]
    assert [violation.partition(": ")[2] for violation in violations(document)] == [said]


def test_an_entry_is_its_connection():
    log = json.loads(text_of(har.dump))["log"]
    assert log["version"] == "1.2"
    assert len(log["entries"]) == 4
    for entry in log["entries"]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", entry["startedDateTime"])
        assert abs(entry["time"] - sum(entry["timings"].values())) < 1e-6
        assert entry["_resourceType"] == "websocket"
    first = log["entries"][0]["request"]
    assert first["url"] == "ws://localhost:8765/echo/ada?shout=1"
    assert first["queryString"] == [{"name": "shout", "value": "1"}]


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("/a?u=http://b", "h:80", "ws://h:80/a?u=http://b"),
        ("http://b/c", "h", "http://b/c"),
        ("http://[b/c", "h", "ws://h/http://%5Bb/c"),
        ("/%20%zz\xe9#|", "[::1]:80", "ws://[::1]:80/%20%25zz%E9%23%7C"),
        ("/", "h:99999", "ws://unknown.invalid/"),
        ("/", "a@b", "ws://unknown.invalid/"),
        ("*", "[::1", "ws://unknown.invalid/*"),
    ],
)
def test_a_url_is_one_whatever_the_client_sent(target, host, url):
    row = Connection(1, "", Recorder())
    row.request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")
    (entry,) = json.loads(b"".join(har.dump([], [row])))["log"]["entries"]
    assert entry["request"]["url"] == url


def test_messages_are_as_chromium_writes_them():
    entries = json.loads(text_of(har.dump))["log"]["entries"]
    found = [{**message, "time": 0} for entry in entries[:2] for message in entry["_webSocketMessages"]]

    def said(kind, opcode, data):
        return {"type": kind, "time": 0, "opcode": opcode, "data": data}

    assert found == [
        said("send", 1, "héllo"),
        said("send", 1, "in two pieces"),
        said("receive", 2, base64.b64encode(bytes(range(256)) * 300).decode()),
        said("receive", 1, ""),
        said("receive", 2, base64.b64encode(b"x" * 126).decode()),
        said("send", 1, "again and again" * 9),
        said("receive", 2, base64.b64encode(bytes(300)).decode()),
    ]
    for message in entries[0]["_webSocketMessages"]:
        assert isinstance(message["time"], float)
        assert message["time"] > 1.7e9


def browser(**changes):
    """A file as Chromium's developer tools save it, shortened."""
    headers = [{"name": "Cookie", "value": "sid=geheim"}, {"name": "X", "value": "a\r\nEvil: b"}]
    entry = {
        "_resourceType": "websocket",
        "_webSocketMessages": [
            {"type": "send", "time": 1784815932.25, "opcode": 1, "data": "hé"},
            {"type": "receive", "time": 1784815932.5, "opcode": 2, "data": "AAE="},
            {"type": "error", "time": 1784815933, "opcode": -1, "data": "failed"},
            {"type": "receive", "time": 1784815934, "opcode": 8, "data": "A+k="},
        ],
        "startedDateTime": "2026-07-23T14:12:12.000Z",
        "request": {
            "method": "GET",
            "url": "wss://example.org/a?token=geheim",
            "headers": [{"name": ":method", "value": "GET"}, *headers],
        },
        "response": {"status": 101, "statusText": "Switching Protocols", "headers": []},
        **changes,
    }
    page = {"request": {"url": "https://example.org/"}, "_resourceType": "document"}
    return json.dumps({"log": {"entries": [page, entry]}}).encode()


def test_a_browsers_own_file_is_read_and_its_secrets_are_not_kept():
    loaded = har.parse(io.BytesIO(browser()))
    (row,) = loaded.connections
    assert [(frame.direction, frame.name, frame.payload) for frame in loaded.frames] == [
        ("in", "TEXT", "hé".encode()),
        ("out", "BINARY", b"\0\1"),
        ("out", "CLOSE", b"\x03\xe9"),
    ]
    nanoseconds = [record.at_ns for record in loaded.frames.recorder.records(0, 3)]
    assert nanoseconds == [1784815932_250000000, 1784815932_500000000, 1784815934_000000000]
    assert loaded.frames[0].frame.mask_key == bytes(4)
    assert (row.close.code, row.close.by, row.received.messages) == (1001, "server", 1)
    assert row.sent.close[2] == 1784815934
    assert b"geheim" not in row.request
    assert row.path == "/a?token=[redacted-6-bytes]"
    assert [name for name, _ in row.request_head.headers] == ["Cookie", "X"]
    assert row.opened_at == 1784815932


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"_webSocketMessages": 3}, "$.log.entries[1]._webSocketMessages"),
        ({"_webSocketMessages": [7]}, "$.log.entries[1]._webSocketMessages[0]"),
        (
            {"_webSocketMessages": [{"type": "send", "opcode": 1, "time": True}]},
            "$.log.entries[1]._webSocketMessages[0].time",
        ),
        (
            {"_webSocketMessages": [{"type": "send", "opcode": 2, "time": 1, "data": "!"}]},
            "$.log.entries[1]._webSocketMessages[0].data",
        ),
        ({"startedDateTime": "yesterday"}, "$.log.entries[1].startedDateTime"),
        ({"request": {"url": "ws://[", "method": "GET", "headers": []}}, "$.log.entries[1].request.url"),
        ({"_wslab": {}}, "$.log.entries[1]._wslab.number"),
        ({"response": []}, "$.log.entries[1].response"),
    ],
)
def test_a_wrong_value_is_named_by_its_json_path(changes, path):
    with pytest.raises(RecordingError, match=re.escape(f"at {path},")):
        har.parse(io.BytesIO(browser(**changes)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"version": 1', b'"version": 2', "line 1.version"),
        (b'"type": "recording"', b'"type": "x"', "line 1.type"),
        (b'"number": 3', b'"number": 2', "line 3"),
        (b'"first_closer": ""', b'"first_closer": "server"', "line 3.first_closer"),
        (b'"seq": 0', b'"seq": -1', "line 6.seq"),
        (b'"seq": 0', b'"seq": true', "line 6.seq"),
        (b'"seq": 0', b'"seq": ' + b"9" * 5000, "line 6"),
        (b'"seq": 0, ', b'"seq": NaN, ', "line 6"),
        (b'"connection": 2', b'"connection": 9', "line 6.connection"),
        (b'"raw": "', b'"raw": "*', "line 6.raw"),
        (b'"wire_length": 12', b'"wire_length": 11', "line 6.wire_length"),
        (b'"cut": false', b'"cut": true', "line 6.cut"),
        (b'"request": "', b'"request": "\\u2026', "line 2.request"),
        (b'{"type": "frame"', b"[" * 100_000, "line 6"),
        (b'{"type": "frame"', b'\xff{"type": "frame"', "line 6"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(old, new, said):
    data = text_of(jsonl.dump)
    assert old in data
    with pytest.raises(RecordingError, match=f"at {re.escape(said)},"):
        jsonl.parse(io.BytesIO(data.replace(old, new, 1)))


def test_limits_are_kept(monkeypatch):
    data = text_of(jsonl.dump)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "MAX_RECORDS", 6)
        with pytest.raises(RecordingError, match="at most 6 connections and frames, got more at line 8"):
            jsonl.parse(io.BytesIO(data))
    with monkeypatch.context() as patch:
        patch.setattr(har, "_MOST_VALUES", 900)
        with pytest.raises(RecordingError, match="at most 900 values"):
            har.parse(io.BytesIO(b'{"log": {"entries": [' + b"{}," * 900 + b"{}]}}"))
        har.parse(io.BytesIO(browser(comment='{"\\,' * 900)))  # what is said in a text is no value
    monkeypatch.setattr(jsonl, "MAX_LINE", 1000)
    with pytest.raises(RecordingError, match="at most 1000 bytes"):
        jsonl.parse(io.BytesIO(data))
    monkeypatch.setattr(har, "MAX_FILE", 1000)
    with pytest.raises(RecordingError, match="at most 1000 bytes"):
        har.parse(io.BytesIO(text_of(har.dump)))
    for empty in (b"", b"\t\n\n"):
        with pytest.raises(RecordingError, match="empty file"):
            jsonl.parse(io.BytesIO(empty))


GOOD = {jsonl.parse: text_of(jsonl.dump), har.parse: text_of(har.dump)}
EDIT = st.tuples(st.integers(0, 10**6), st.integers(0, 40), st.binary(max_size=6) | st.sampled_from(
    [b"null", b"{}", b"[]", b"-1", b"1e999", b'"\\ud800"', b"99999999999999999999", b"true", b'"', b"\n"]
))  # fmt: skip


@pytest.mark.parametrize("parse", [jsonl.parse, har.parse])
@settings(deadline=None)
@given(edits=st.lists(EDIT, min_size=1, max_size=4))
@example(edits=[])
def test_a_mutated_file_raises_the_documented_error_or_nothing(parse, edits):
    data = GOOD[parse]
    for place, removed, added in edits:
        position = place % len(data)
        data = data[:position] + added + data[position + removed :]
    try:
        loaded = parse(io.BytesIO(data))
    except RecordingError:
        return
    assert len(list(loaded.frames)) == len(loaded.frames)
    repr(loaded.connections)
    repr(loaded.frames)


@settings(deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
        max_leaves=4,
    ),
    place=st.sampled_from(["request", "response", "startedDateTime", "_webSocketMessages", "_wslab"]),
)
def test_any_value_anywhere_in_a_browsers_file_raises_nothing_else(value, place):
    try:
        har.parse(io.BytesIO(browser(**{place: value})))
    except RecordingError:
        return


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_no_recording(data):
    for parse in (jsonl.parse, har.parse):
        with pytest.raises(RecordingError):
            parse(io.BytesIO(data))


def test_the_package_gives_its_names_when_they_are_used():
    assert wslab.wire.load is load
    assert wslab.wire.Recording is recording.Recording
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = wslab.wire.nonsense


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    frames = FrameTable(Recorder())
    with pytest.raises(
        RecordingError, match=r"\.jsonl or \.har or \.pcapng to save a recording, got '\.txt'"
    ):
        frames.save(tmp_path / "x.txt")
    with pytest.raises(RecordingError, match=r"\.jsonl or \.har to load a recording, got '\.pcapng'"):
        load(tmp_path / "x.pcapng")
    with pytest.raises(RecordingError, match="got none"):
        load(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_what_was_there(tmp_path):
    recorder, rows = talk()
    path = tmp_path / "x.jsonl"
    path.write_text("before")
    rows[0].peer = object()
    with pytest.raises(TypeError):
        FrameTable(recorder).save(path, rows)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_tshark_sees_the_same_frames_and_complains_of_nothing(tshark, tmp_path):
    recorder, rows = talk()
    FrameTable(recorder).save(tmp_path / "x.pcapng", rows)
    whole = [frame for frame in FrameTable(recorder) if not (frame.frame and frame.frame.problem)]
    assert sorted(dissected(tshark, tmp_path / "x.pcapng")) == sorted(ours(whole))
    assert complaints(tshark, tmp_path / "x.pcapng") == ""
    bad_sums = "tcp.checksum.status != 1 || ip.checksum.status != 1"
    assert tshark(tmp_path / "x.pcapng", "-Y", bad_sums) == ""
    times = tshark(tmp_path / "x.pcapng", "-T", "fields", "-e", "frame.time_epoch").split()
    assert times == sorted(times)
    uris = tshark(tmp_path / "x.pcapng", "-Y", "http.request", "-T", "fields", "-e", "http.request.uri")
    assert sorted(uris.split()) == ["/echo/ada?shout=1"] * 3 + ["/no"]


def test_tshark_would_complain_of_a_wrong_byte(tshark, tmp_path):
    path = tmp_path / "x.pcapng"
    path.write_bytes(text_of(pcapng.dump).replace(b"403 Forbidden", b"404 Forbidden"))
    assert "404" in complaints(tshark, path)


def test_a_cut_frame_ends_its_direction_and_says_so(tshark, tmp_path):
    recorder, rows = talk(snaplen=100)
    FrameTable(recorder).save(tmp_path / "x.pcapng", rows)
    kept = [frame for frame in ours(FrameTable(recorder).of("c2")) if frame[1] == "in"]
    seen = [frame for frame in dissected(tshark, tmp_path / "x.pcapng") if frame[0] == "10.0.0.2"]
    assert [frame for frame in seen if frame[1] == "in"] == kept
    assert [frame[4] for frame in seen if frame[1] == "out"] == [10]
    comments = tshark(
        tmp_path / "x.pcapng", "-Y", "frame.comment contains Cut", "-T", "fields", "-e", "frame.comment"
    )
    assert "Cut: 100 of this frame's 76810 bytes were kept." in comments
    assert complaints(tshark, tmp_path / "x.pcapng") == ""


def test_frames_without_a_handshake_are_dissected_behind_a_synthesised_one(tshark, tmp_path):
    recorder = Recorder()
    row = Connection(1, "memory", recorder, via="memory")
    row.received.feed(masked(1, b"hi"))
    FrameTable(recorder).save(tmp_path / "x.pcapng")
    assert dissected(tshark, tmp_path / "x.pcapng") == ours(FrameTable(recorder))
    assert "synthesised, for frames" in tshark(tmp_path / "x.pcapng", "-T", "fields", "-e", "frame.comment")


def test_no_segment_is_longer_than_a_packet_may_be():
    recorder, rows = talk()
    blocks = list(pcapng.dump(recorder.records(0, recorder.end), rows))
    assert max(map(len, blocks)) <= 65_535 + 14 + 32 + 4
    assert all(len(block) % 4 == 0 for block in blocks)
    assert all(block[4:8] == block[-4:] == len(block).to_bytes(4, "little") for block in blocks)
