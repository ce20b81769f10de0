from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import wslab
from wslab.errors import ConnectionClosed, ConnectionRefused, OptionError, RecordingError
from wslab.wire import Connection, FrameTable, Recorder, encode_frame
from wslab.wire.conversation import conversation, to_source
from wslab.wire.files.recording import Builder

ROOT = Path(wslab.__file__).resolve().parent.parent

APP = """
import datetime, secrets, time, uuid
from wslab import App, WebSocket, WebSocketDisconnect

app = App()
members = {}
sessions = set()


@app.websocket("/chat/{name}")
async def chat(ws: WebSocket, name: str):
    await ws.accept()
    members[name] = ws
    me = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.UTC).isoformat()
    await ws.send_json({"type": "welcome", "id": me, "at": now, "token": secrets.token_urlsafe(24)})
    try:
        async for said in ws.iter_json():
            for member in list(members.values()):
                text = said["text"]
                await member.send_json({"by": me, "text": text, "ts": time.time(), "of": len(members)})
    finally:
        del members[name]
        for member in members.values():
            await member.send_text(f"{name} ({me}) left at {datetime.datetime.now().isoformat(sep=' ')}")


@app.websocket("/login")
async def login(ws: WebSocket):
    await ws.accept()
    session = secrets.token_hex(16)
    sessions.add(session)
    await ws.send_json({"session": session})
    back = await ws.receive_json()
    await ws.send_json({"known": back["session"] in sessions})
    await ws.close(4001, 'see "you"')


@app.websocket("/resume/{session}")
async def resume(ws: WebSocket, session: str):
    if session not in sessions:
        await ws.close(4003)
        return
    await ws.accept()
    await ws.send_text("welcome back")


@app.websocket("/binary")
async def binary(ws: WebSocket):
    await ws.accept("two" if "two" in ws.scope["subprotocols"] else None)
    async for data in ws.iter_bytes():
        await ws.send_bytes(data[::-1])


@app.websocket("/no")
async def no(ws: WebSocket):
    await ws.close(4003)


@app.websocket("/fails")
async def fails(ws: WebSocket):
    await ws.accept()
    await ws.receive_text()
    raise ValueError("on purpose")
"""


def load(source, name="recorded_app"):
    module = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
    return module


async def ended(client):
    with pytest.raises(ConnectionClosed):
        await client.receive(5)


async def session(lab):
    """All that a recording may hold."""

    async def open_at(path, **options):
        return await lab.connect(path, via="memory", **options)

    ada = await open_at("/chat/ada")
    await ada.receive(5)
    bob = await open_at("/chat/bob")
    await bob.receive(5)
    await ada.send('{"text": "hello"}')
    await ada.receive(5)
    await bob.receive(5)
    await bob.send_json({"text": 'it\'s "you"\n'})
    await ada.receive(5)
    await bob.receive(5)
    await bob.close(4000, "bye")
    await ada.receive(5)
    await ada.close()
    login = await open_at("/login")
    token = await login.receive_json(5)
    await login.send_json(token)
    await login.receive(5)
    await ended(login)
    resumed = await open_at(f"/resume/{token['session']}")
    await resumed.receive(5)
    await ended(resumed)
    binary = await open_at("/binary", subprotocols=["one", "two"])
    for data in (b"abc", bytes(range(200)), bytes(700), bytes(range(256)) * 2):
        await binary.send(data)
        await binary.receive(5)
    binary.abort()
    with pytest.raises(ConnectionRefused):
        await open_at("/no", headers={"X-Room": "blue"})
    fails = await open_at("/fails")
    await fails.send("now")
    await ended(fails)
    await lab.until(lambda: not lab.connections.alive)


@pytest.fixture(scope="module")
def recorded():
    """The source of the test that was written from a session."""

    async def main():
        lab = wslab.Lab(load(APP).app)
        await session(lab)
        source = to_source(conversation(lab.frames, lab.connections), app="recorded_app:app")
        await lab.stop()
        return source

    return asyncio.run(main())


def run(source, app_source=None, *, app=None):
    """Run each test of `source` against an application; returns what was raised, by the test's name."""
    raised = {}
    if app_source is not None:
        sys.modules["recorded_app"] = load(app_source)
    try:
        tests = load(source, "generated")
    finally:
        sys.modules.pop("recorded_app", None)
    for name, test in list(vars(tests).items()):
        if name.startswith("test_"):
            try:
                test() if app is None else test(app)
            except Exception as error:  # noqa: BLE001 - whatever a test fails with
                raised[name] = error
    return raised


def test_it_passes_against_the_application_it_was_recorded_from(recorded):
    assert run(recorded, APP) == {}


def test_it_reads_like_one_written_by_hand(recorded):
    for line in (
        "from recorded_app import app",
        "id_1 = captured(a_uuid())",
        "session = captured(an_id(32))",
        'await c1.send_text(json.dumps({"text": "hello"}))',
        'await c2.send_json({"text": \'it\\\'s "you"\\n\'})',
        'assert await c1.receive_text() == text_like("bob (", id_2, ") left at ", a_time())',
        'await c2.close(4000, "bye")',
        'await c3.send_json({"session": session.value})',
        "assert await close_of(c3) == (4001, 'see \"you\"')",
        'client.websocket_connect(f"/resume/{session.value}")',
        'assert c5.accepted_subprotocol == "two"',
        'await c5.send_bytes(b"abc")',
        "await c5.send_bytes(bytes(700))",
        "await c5.close(1006)  # gone, without a close frame",
        'status = await status_of(client.websocket_connect("/no", headers={"x-room": "blue"}))',
        "assert status == 403",
        "assert await close_of(c7) == (1011, a_text())",
    ):
        assert line in recorded, line
    assert "time.time" not in recorded
    tests = re.findall(r"^def (test_\w+)", recorded, re.MULTILINE)
    assert tests == ["test_chat_ada", "test_login", "test_binary", "test_no", "test_fails"]


CHANGES = {
    "another reply": ('"welcome back"', '"welcome home"', "test_login"),
    "another close code": ("4001", "4002", "test_login"),
    "another close reason": ('see "you"', 'see "me"', "test_login"),
    "a missing reply": ('await ws.send_json({"known": back["session"] in sessions})', "pass", "test_login"),
    "a reply more": (
        "await ws.send_bytes(data[::-1])",
        "await ws.send_bytes(data[::-1]); " * 2,
        "test_binary",
    ),
    "a last reply more": (
        'await member.send_text(f"{name}',
        'await member.send_text("x"); await member.send_text(f"{name}',
        "test_chat_ada",
    ),
    "a session that is not known": ("sessions.add(session)", "sessions.add(1)", "test_login"),
    "another subprotocol": ('"two" if', '"one" if', "test_binary"),
    "accepted all the same": (
        '    await ws.close(4003)\n\n\n@app.websocket("/fails',
        '    await ws.accept()\n\n\n@app.websocket("/fails',
        "test_no",
    ),
    "no mistake": ('raise ValueError("on purpose")', "await ws.close(3000)", "test_fails"),
    "an id that is no id": ("str(uuid.uuid4())", 'f"user-{name}"', "test_chat_ada"),
    "another id each time": ('{"by": me,', '{"by": str(uuid.uuid4()),', "test_chat_ada"),
    "no time": ('"ts": time.time()', '"ts": 1.5', "test_chat_ada"),
    "a field more": ('"of": len(members)', '"of": len(members), "x": None', "test_chat_ada"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_fails_when_the_application_changes(recorded, change):
    before, after, test = CHANGES[change]
    assert before in APP
    changed = recorded.replace("receive_timeout=5", "receive_timeout=0.2")  # a missing reply is waited for
    assert set(run(changed, APP.replace(before, after))) == {test}


def test_pytest_runs_it_without_a_plugin(recorded, tmp_path):
    (tmp_path / "recorded_app.py").write_text(APP.replace("4001", "4002"))
    (tmp_path / "test_recorded.py").write_text(recorded)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", "-q", "-W", "error"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert "assert (4002, 'see \"you\"') == (4001, 'see \"you\"')" in done.stdout


# -- recordings made by hand -----------------------------------------------------------------------
class Recording:
    """A recording, frame by frame."""

    def __init__(self, **options):
        self.recorder = Recorder(**options)
        self.rows = []

    def open(self, path="/echo", status=101, more="", answer=""):
        row = Connection(len(self.rows) + 1, "127.0.0.1:50000", self.recorder)
        row.request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode("latin-1")
        row.note_response(f"HTTP/1.1 {status} X\r\n{answer}\r\n".encode("latin-1"), status)
        self.rows.append(row)
        return row

    def talk(self, row, *messages):
        """Each message, and its echo."""
        for message in messages:
            opcode = 1 if isinstance(message, str) else 2
            data = message.encode() if opcode == 1 else message
            row.received.feed(encode_frame(opcode, data, mask=True))
            row.sent.feed(encode_frame(opcode, data))

    def source(self, **options):
        return to_source(conversation(FrameTable(self.recorder), self.rows), **options)


async def echo(scope, receive, send):
    """Says the same, and has no lifespan."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        kept = {key: event[key] for key in ("text", "bytes") if event.get(key) is not None}
        await send({"type": "websocket.send", **kept})


HOSTILE = [
    '"""',
    "'''\"\"\"\\",
    "\\",
    'a"); import os; os.abort(); ("',
    "{x} {{ }} {0!r} %s",
    "\n# nothing\r\n\t",
    "\u202e abc \u2066\u2029\u2028\x85\x00\x1b[2J",
    "é ß Ж 日本 한 😀 👩‍👩‍👧 \u0301 שלום",
    "'" * 3 + '"' * 2,
    "x" * 500 + "\\" * 300,
    " ".join(["word"] * 100),
    '{"a\\"b": "\\ud800 }{", "c": [[], {}, null, true, -0.0, 1e400]}',
    '{"__import__(\'os\')": 1, "a": 1.5e300, "n": [1, 2.0, -3]}',
    "[NaN]",
    "[" * 200 + "]" * 200,
    "",
    "{}",
    "f'{1}'",
    b"",
    b"'\"\\\n\x00",
    bytes(range(256)) * 3,
    b"\x07" * 90,
    b"plain",
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
STYLES = st.sampled_from([{}, {"separators": (",", ":"), "ensure_ascii": False}, {"indent": 1}])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
MESSAGES = (
    TEXT
    | st.binary(max_size=400)
    | st.builds(lambda value, style: json.dumps(value, **style), JSON, STYLES).filter(
        lambda text: text.encode("utf-8", "replace").decode() == text
    )
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESSAGES, min_size=1, max_size=6), st.booleans())
@example(HOSTILE, True)
def test_any_conversation_with_an_echo_is_held_again(said, closed):
    recording = Recording()
    row = recording.open()
    recording.talk(row, *said)
    if closed:
        row.received.feed(encode_frame(8, b"\x03\xe8\"'\\", mask=True))
    source = recording.source()
    ast.parse(source)
    assert source.isprintable() or set(filter(lambda char: not char.isprintable(), source)) == {"\n"}
    assert run(source, app=echo) == {}


def test_hostile_text_stays_inside_its_literal():
    """Every statement is one that was meant, whatever the connections were called and said."""
    recording = Recording()
    row = recording.open('/a"b\\c/{x}/\xff?q="""&token=[redacted-3-bytes]', more="X-A\"'): a\\\"'{}\r\n")
    recording.talk(row, *HOSTILE)
    row.sent.feed(encode_frame(8, b"\x0f\xa1" + '"""\n\u202e'.encode()))
    refused = recording.open("/)#", 403)
    refused.refusal = '"""; import os'
    tree = ast.parse(recording.source())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "os" not in names | attributes
    calls = {"asyncio", "AsyncTestClient", "AsyncExitStack", "client", "opened", "pytest", "bytes", "base64"}
    ours = {"close_of", "more_from", "status_of", "status", "json", "app", "c1", "c2"}
    assert names <= calls | ours | {"replay_a_b_c_x", "replay_root"}


@pytest.mark.skipif(shutil.which("ruff", path=str(Path(sys.executable).parent)) is None, reason="needs ruff")
def test_it_is_formatted_and_clean(recorded, tmp_path):
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    recording = Recording()
    row = recording.open("/" + "long/" * 30, more="X-Long: " + "v" * 120 + "\r\n")
    recording.talk(row, *HOSTILE)
    for size in range(60, 130):  # around the end of a line
        text = ("it's " * 40)[:size]
        other = ("日本é" * 40)[:size]
        recording.talk(
            row,
            text,
            other,
            json.dumps({"a": [text], "b": size}),
            json.dumps([text[:-40]] * 2),
            text.encode(),
        )
    row.sent.feed(encode_frame(8, b"\x0f\xa1" + b"r" * 120))
    recording.open("/" + "r" * 90, 403)
    (tmp_path / "recorded_app.py").touch()
    (tmp_path / "test_one.py").write_text(recorded)
    (tmp_path / "test_two.py").write_text(recording.source(), encoding="utf-8")
    (tmp_path / "test_three.py").write_text(recording.source(app="recorded_app:other"), encoding="utf-8")
    for command in (["format", "--diff", "--line-length", "110"], ["check"]):
        done = subprocess.run(
            [ruff, *command, "--isolated", "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_without_an_application_it_says_what_to_fill_in():
    recording = Recording()
    recording.talk(recording.open(), "hi")
    source = recording.source()
    tests = load(source, "generated")
    with pytest.raises(pytest.fail.Exception, match="Fill in the fixture `app`"):
        tests.app.__wrapped__() if hasattr(tests.app, "__wrapped__") else tests.app._get_wrapped_function()()
    assert "def test_echo(app):" in source


@pytest.mark.parametrize(
    "app", ["chat", "chat:", ":app", "a b:c", "a:b.c", "a:b; import os", "class:app", "a..b:c"]
)
def test_an_application_that_cannot_be_imported_is_refused(app):
    recording = Recording()
    recording.talk(recording.open(), "hi")
    with pytest.raises(OptionError, match='Expected app="module:name"'):
        recording.source(app=app)


def test_fields_are_named_volatile_or_exact():
    recording = Recording()
    row = recording.open("/ticks")
    at = row.opened_at
    row.sent.feed(encode_frame(1, json.dumps({"price": 4.5, "data": {"ts": at, "n": [1]}}).encode()))
    plain = recording.source()
    assert '{"price": 4.5, "data": {"ts": a_time("seconds"), "n": [1]}}' in plain
    source = recording.source(volatile=["price", "$.data.n"], exact=["$.data.ts"])
    assert '"price": a_number(),' in source
    assert f'"data": {{"ts": {at!r}, "n": a_list()}},' in source
    with pytest.raises(OptionError, match="nothing is understood from"):
        recording.source(volatile=["$.data["])


@pytest.mark.parametrize(("silence", "checked"), [(0.0, None), (0.15, None), (0.5, "timeout=0.05")])
def test_a_stream_is_not_expected_to_fall_silent(silence, checked):
    """Ten a second: whoever leaves at once says nothing about the next one."""
    builder = Builder()
    row = builder.open(1, "", "direct", "")
    row.request, row.opened_at = b"GET /ticks HTTP/1.1\r\n\r\n", 1e9
    row.note_response(b"HTTP/1.1 101 X\r\n\r\n", 101)
    for number in range(5):
        builder.set_time(10**18 + number * 10**8)
        row.sent.feed(encode_frame(1, b"%d" % number))
    builder.set_time(10**18 + 4 * 10**8 + int(silence * 1e9))
    row.received.feed(encode_frame(8, b"\x03\xe8", mask=True))
    source = to_source(conversation(builder.recording().frames))
    assert ("more_from" in source) == (checked is not None)
    assert checked is None or f"more_from(c1, {checked})" in source


def test_it_is_written_whole_or_not_at_all(tmp_path):
    recording = Recording()
    recording.talk(recording.open(), "hi")
    table = FrameTable(recording.recorder)
    with pytest.raises(RecordingError, match=r"ends in \.py"):
        table.to_pytest(tmp_path / "test_x.txt")
    path = table.to_pytest(tmp_path / "test_x.py", app="a.b:c")
    assert path.read_text(encoding="utf-8").count("from a.b import c as app") == 1
    with pytest.raises(OptionError):
        table.to_pytest(path, app="nonsense")
    assert "from a.b import c as app" in path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["test_x.py"]


def test_a_header_that_the_test_client_cannot_send_is_refused():
    recording = Recording()
    recording.talk(recording.open(more="X-Name: \xe9\r\n"), "hi")
    with pytest.raises(RecordingError, match=r"in ASCII, got x-name \(c1\)"):
        recording.source()


@pytest.mark.parametrize("path", ["//other/a", "/a%2Fb?x=%20&y=1", "/%E9%22%27;v=1", "/a//b/c", "/a?b=c?d"])
def test_a_path_is_asked_for_as_it_was(path):
    asked = []

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            asked.append((scope["raw_path"] + b"?" + scope["query_string"]).decode().rstrip("?"))
            await send({"type": "websocket.accept"})

    recording = Recording()
    recording.open(path).sent.feed(encode_frame(8, b"\x03\xe8"))
    assert run(recording.source(), app=app) == {}
    assert asked == [path]


def test_secrets_are_asked_for_or_put_in():
    recording = Recording()
    recording.open("/a?token=[redacted-3-bytes]&x=1", 403, more="Cookie: [redacted-9-bytes]\r\n")
    source = recording.source()
    assert "# Not recorded, being secret: token, cookie. Add what the application needs." in source
    assert 'client.websocket_connect("/a?token=redacted&x=1")' in source
    talk = conversation(
        FrameTable(recording.recorder), recording.rows, secrets={"Cookie": "a=b", "token": "t&"}
    )
    assert 'client.websocket_connect("/a?token=t%26&x=1", headers={"cookie": "a=b"})' in to_source(talk)
