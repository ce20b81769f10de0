from __future__ import annotations

import operator
import re
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.errors import WSLabError
from wslab.wire import ConnectionTable, FrameTable, PerMessageDeflate, Recorder, encode_frame
from wslab.wire.messages import messages
from wslab.wire.query import MAX_DEPTH, MAX_QUERY, Query, QueryError
from wslab.wire.query.fields import FIELDS
from wslab.wire.sites import Readers, Site, Sites


def make_frames():
    recorder = Recorder(frames=64)
    table = ConnectionTable(recorder)
    one, two, cut = table.open("10.0.0.1:5000"), table.open("[::1]:6000"), table.open("x:1")
    one.request = b"GET /chat?room=a HTTP/1.1\r\n\r\n"
    two.request = b"GET /echo HTTP/1.1\r\n\r\n"
    one.received.feed(
        encode_frame(1, b'{"type": "chat", "n": 3, "users": [{"name": "ada"}], "ok": true}', mask=True)
    )
    one.sent.feed(encode_frame(1, b'{"type": "ack", "n": null, "tags": ["a", 1], "a key": "v"}'))
    two.received.feed(encode_frame(9, b"\xca\xfe", mask=True))
    two.sent.feed(encode_frame(10, b"\xca\xfe"))
    two.sent.feed(encode_frame(2, b"x" * 126, rsv=4))
    two.received.feed(encode_frame(0, b"part", fin=False, mask=True))
    two.received.feed(encode_frame(3, b"", mask=True))
    two.received.feed(encode_frame(8, b"\x03\xe9bye", mask=True))
    two.sent.feed(encode_frame(8))
    one.received.feed(encode_frame(1, b"[" * 3_000, mask=True))
    cut.received.feed(b"\x81")
    cut.note_end()
    return FrameTable(recorder)


FRAMES = make_frames()
EVERY = list(range(11))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", EVERY),
        ("opcode==ping", [2]),
        ("opcode == 0x9 or opcode == PONG", [2, 3]),
        ("opcode in {close, 3}", [6, 7, 8]),
        ("opcode >= 8 && conn==c2", [2, 3, 7, 8]),
        ("conn==c1 and dir==in", [0, 9]),
        ("conn eq 2 && dir == out", [3, 4, 8]),
        ("len>125", [4, 9]),
        ("wire lt 2", [10]),
        ("seq<2", [0, 1]),
        ("fin==0", [5]),
        ("!fin", [5, 10]),
        ("rsv1", [4]),
        ("rsv2 || rsv3", []),
        ("masked && seq<3", [0, 2]),
        ("hex == ca:fe", [2, 3]),
        ("bytes contains 0xfe", [2, 3]),
        ('hex in {"ca fe", 70617274}', [2, 3, 5]),
        ("code==1001", [7]),
        ("code!=1001", [8]),
        ("code", [7, 8]),
        ('reason=="bye"', [7]),
        ("reason contains by", [7]),
        ("problem", [6]),
        ("problem contains reserved", [6]),
        ("path==/echo && opcode==text", []),
        ('path matches "^/chat[?]" && dir==in', [0, 9]),
        ("peer contains ::1 && opcode==close", [7, 8]),
        ("time>=0 && time<60", EVERY),
        ("text==part", [5]),
        (r'text ~ "pa(r|x)t$"', [5]),
        (r'text == "\x70art" or text == "\u0070art"', [5]),
        ('json.type=="chat"', [0]),
        ("json.type==chat || json.type=='ack'", [0, 1]),
        ("json.type in {chat, ack}", [0, 1]),
        ("json.type != chat", [1]),
        ("json.type > b", [0]),
        ("json.n==3", [0]),
        ("json.n==3.0", [0]),
        ("json.n<10", [0]),
        ("json.n==null", [1]),
        ("json.n", [0, 1]),
        ("json.ok==true", [0]),
        ("json.ok==1", []),
        ('json.n=="3"', []),
        ("json.users[0].name==ada", [0]),
        ("json.users[1].name==ada", []),
        ("json.users.name==ada", []),
        ("json.tags contains a && json.tags contains 1", [1]),
        ('json["a key"] == v', [1]),
        ("json.type matches '^[ac]+k'", [1]),
        ("json", [0, 1]),
        ("opcode==ping || opcode==pong && dir==out", [2, 3]),
        ("(opcode==ping || opcode==pong) && dir==out", [3]),
        ("! opcode==ping and not dir==out and conn==c2", [5, 6, 7]),
        ("not (code==1001 or code==1005) && opcode==close", []),
        ('opcode==ping && conn==c3 && len>125 && json.type=="chat"', []),
    ],
)
def test_a_filter_finds(text, found):
    assert [frame.seq for frame in FRAMES.where(text)] == found


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ('len=="x"', 5, "Expected a number for len, got the text 'x'"),
        ("len==x", 5, "Expected a number for len, got 'x'"),
        ("lenn==1", 0, "Did you mean len?"),
        ("opcod==ping", 0, "Did you mean opcode?"),
        ("zzzzzz==1", 0, "There are opcode, conn"),
        ("opcode==pingg", 8, "one of continuation, text"),
        ("opcode=ping", 6, "Expected an operator such as =="),
        ("opcode==", 8, "Expected a value for opcode, got the filter's end"),
        ("conn==x3", 6, "a connection such as c3"),
        ("conn<c3", 4, "Expected one of == != in for conn"),
        ("dir==up", 5, "in or out"),
        ("fin==2", 5, "1, 0, true or false"),
        ("hex==xyz", 5, "hexadecimal"),
        ("hex matches a", 4, "Expected one of == != in contains for hex"),
        ("len contains 5", 4, "Expected one of"),
        ("text matches '('", 13, "Expected a regular expression"),
        (r"text matches '(a)\1'", 13, "Do without backreferences"),
        ("json.n < true", 9, "which has no order"),
        ("json..a==1", 4, "Expected a path"),
        ("json[x]==1", 4, "Expected a path"),
        ("len==1 && json.a..b==1", 16, "Expected a path"),
        ("msg.length==1", 0, "Did you mean msg.len?"),
        ("jsn.type==1", 0, "Did you mean json?"),
        ("len==1 len==2", 7, "Expected '&&', '||' or the end, got 'len'"),
        ("len==1 &&", 9, "Expected a field, '!' or '(', got the filter's end"),
        ("&& len==1", 0, "Expected a field"),
        ("(len==1", 0, "Expected ')'"),
        ("len==1)", 6, "without its '('"),
        ("()", 1, "Expected a field"),
        ("len in 5", 7, "Expected '{'"),
        ("len in {5 6}", 10, "Expected ',' or '}', got '6'"),
        ("len in {5", 9, "Expected ',' or '}', got the filter's end"),
        ("text=='open", 6, "Expected a closing '"),
        ('text in {a, "b}', 12, 'Expected a closing "'),
        ("code foo 5", 5, "Expected an operator"),
        ("!", 1, "Expected a field"),
        ("len==1 \x1b[31m", 7, "Expected"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text, position, message):
    with pytest.raises(QueryError) as caught:
        Query(text)
    assert caught.value.position == position
    assert message in str(caught.value)
    _, shown, caret, *_ = str(caught.value).split("\n")
    assert caret == " " * (position + 2) + "^"
    assert shown == "  " + text.replace("\x1b", "?")
    assert isinstance(caught.value, WSLabError)


def test_a_mistake_in_a_long_filter_is_shown_with_its_surroundings():
    text = " || ".join(["len==1"] * 500) + " || nonsense==1" + " && fin" * 500
    with pytest.raises(QueryError) as caught:
        Query(text)
    _, shown, caret, *_ = str(caught.value).split("\n")
    assert shown[caret.index("^") :].startswith("nonsense==1")
    assert len(shown) < 100


DEFLATE = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


def make_messages():
    """Frames 0-3: one message in three pieces around a ping; 4 and 5: compressed, the second needs the first;
    6 and 7: compressed, in two pieces; 8: a piece of one that goes on; 9: binary of another connection."""
    recorder = Recorder()
    table = ConnectionTable(recorder)
    one, two = table.open("a"), table.open("b")
    one.note_response(DEFLATE, 101)
    one.received.feed(encode_frame(1, b'{"type": ', fin=False, mask=True))
    one.received.feed(encode_frame(0, b'"ch', fin=False, mask=True))
    one.received.feed(encode_frame(9, b"chat", mask=True))
    one.received.feed(encode_frame(0, b'at"}', mask=True))
    codec = PerMessageDeflate()
    for text in (b'{"type": "zip", "text": "chat"}', b'{"type": "zip", "text": "chatter"}'):
        one.sent.feed(encode_frame(1, codec.compress(text), rsv=4))
    packed = codec.compress(b'{"type": "zip", "n": [' + b"1, " * 500 + b"1]}")
    one.sent.feed(encode_frame(1, packed[:5], fin=False, rsv=4) + encode_frame(0, packed[5:]))
    one.received.feed(encode_frame(1, b'{"type": "chat"', fin=False, mask=True))
    two.sent.feed(encode_frame(2, b"chat"))
    return FrameTable(recorder)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('json.type=="chat"', [0, 1, 3]),
        ('json.type=="chat" && !fin', [0, 1]),
        ("json.type==zip", [4, 5, 6, 7]),
        ("json.n[500]==1", [6, 7]),
        ('text == "{\\"type\\": \\"chat\\"}"', [0, 1, 3]),
        ("text contains chatter", [5]),
        ("text contains chat", [0, 1, 2, 3, 4, 5, 8, 9]),
        (r"bytes contains 63:68:61:74:22:7d", [0, 1, 3, 4]),
        ("hex==63686174", [2, 9]),
        ("msg.len==16", [0, 1, 3]),
        ("msg.len>1000 && dir==out", [6, 7]),
        ("msg.len==4", [9]),
        ("msg.len", [0, 1, 3, 4, 5, 6, 7, 9]),
        ("compressed", [4, 5, 6, 7]),
        ("!compressed && dir==out", [9]),
        ("rsv1", [4, 5, 6]),
        ("opcode==continuation && compressed", [7]),
        ("opcode==ping && text==chat", [2]),
        ("len<10 && json.type==chat", [0, 1, 3]),
        ("conn==c2 && text==chat", [9]),
    ],
)
def test_what_is_asked_of_the_content_is_asked_of_the_whole_message(text, found):
    assert [frame.seq for frame in make_messages().where(text)] == found


def test_a_frame_by_itself_has_what_it_carries_and_its_message_where_that_is_given():
    frames = make_messages()
    carried = {frame.seq: message for message in messages(frames) for frame in message.frames}
    whole = Query("json.type==chat && msg.len==16")
    assert not whole(frames[1])
    assert whole(frames[1], carried[1])
    assert not Query("msg.len")(frames[4])
    assert Query("msg.len==4 && !compressed")(frames[9])


def test_a_message_passes_where_one_of_its_frames_does():
    frames = make_messages()
    assert len(frames.messages()) == 5
    assert [message.frames[0].seq for message in frames.messages("opcode==continuation")] == [0, 6]
    assert [message.json["type"] for message in frames.messages("json.type==zip && dir==out")] == ["zip"] * 3
    assert frames.messages("opcode==ping") == []
    with pytest.raises(QueryError):
        frames.messages("opcode==pig")


def test_a_message_that_cannot_be_whole_is_asked_for_what_is_known():
    recorder = Recorder(frames=2)
    row = ConnectionTable(recorder).open("a")
    row.note_response(DEFLATE, 101)
    codec = PerMessageDeflate()
    row.sent.feed(encode_frame(1, codec.compress(b"a sentence that comes again"), rsv=4))
    row.sent.feed(encode_frame(1, codec.compress(b"a sentence that comes again!"), rsv=4))
    row.received.feed(encode_frame(0, b"the end of it", mask=True))
    frames = FrameTable(recorder)
    assert frames.where("text contains sentence || msg.len && compressed") == []
    assert [frame.seq for frame in frames.where("compressed")] == [1]
    assert [frame.seq for frame in frames.where('text=="the end of it" && msg.len==13')] == [2]


def test_a_frame_that_went_to_several_connections_is_one_of_each():
    recorder = Recorder()
    table = ConnectionTable(recorder)
    rows = [table.open(f"10.0.0.{number}:1") for number in range(4)]
    for number, row in enumerate(rows):
        row.request = b"GET /%d HTTP/1.1\r\n\r\n" % number
    frame = encode_frame(1, b'{"type": "chat"}')
    for row in rows[:3]:
        row.sent.share(frame)
    rows[3].sent.feed(encode_frame(1, b"own"))
    frames = FrameTable(recorder)
    assert len(frames) == 2

    def found(text):
        return [frame.seq for frame in frames.where(text)]

    assert found("conn==c1") == found("conn==c3") == found("conn in {c2, c9}") == [0]
    assert found("conn==c4") == [1]
    assert found("conn!=c1") == found("!(conn==c1)") == [1]
    assert found("conn && peer && path") == [0, 1]
    assert found("path==/2") == found('peer contains "0.2:"') == found("path in {/0}") == [0]
    assert found("path!=/2") == [1]
    assert found("json.type==chat && conn==c2") == [0]


def test_lines_of_the_application_and_the_loops_lag_can_be_asked_for():
    sites = Sites()
    reading, sending = sites.add(Site("app.py", 7, "chat")), sites.add(Site("In[3]", 2, "echo"))
    recorder = Recorder(sites=sites)
    row = ConnectionTable(recorder).open("a")
    row.received.feed(encode_frame(1, b"a", fin=False, mask=True) + encode_frame(0, b"b", mask=True))
    row.received.readers = Readers(1, [(0, reading)])
    recorder.note_lag(60)
    row.sent.whole(encode_frame(1, b"reply"), sending)
    row.received.feed(encode_frame(1, b"nobody has received it", mask=True))
    frames = FrameTable(recorder)

    def found(text):
        return [frame.seq for frame in frames.where(text)]

    assert found('site=="app.py:7"') == found("line matches '^app'") == [0, 1]
    assert found('site=="In[3]:2"') == found("site && dir==out") == [2]
    assert found("!site") == [3]
    assert found("lag>0.05") == [0, 1]
    assert found("lag==0") == [2, 3]


def test_a_query_is_parsed_once_and_shows_its_text():
    pings = Query("opcode==ping")
    assert [frame.seq for frame in FRAMES if pings(frame)] == [2]
    assert repr(pings) == "Query('opcode==ping')"


def test_any_depth_of_parentheses_is_read():
    deep = 10_000
    assert [frame.seq for frame in FRAMES.where("(" * deep + "opcode==ping" + ")" * deep)] == [2]
    assert [frame.seq for frame in FRAMES.where("!" * 2 * deep + "opcode==ping")] == [2]
    assert [frame.seq for frame in FRAMES.where(" || ".join(["opcode==ping"] * 3_000))] == [2]
    with pytest.raises(QueryError, match="Expected '\\)'"):
        Query("(" * deep + "fin")
    with pytest.raises(QueryError, match="Expected a field"):
        Query("(" * deep)


def test_operators_may_lie_inside_each_other_only_so_deep():
    nested = "fin"
    for _ in range(MAX_DEPTH // 2):
        nested = f"!(fin && {nested})"
    Query(nested)(FRAMES[0])
    with pytest.raises(QueryError, match=f"at most {MAX_DEPTH} operators"):
        Query(f"!(fin && {nested})")
    with pytest.raises(QueryError, match=f"at most {MAX_QUERY} characters"):
        Query(" " * MAX_QUERY + "fin")


def test_hostile_patterns_and_payloads_end():
    recorder = Recorder()
    connection = ConnectionTable(recorder).open("a")
    connection.received.feed(encode_frame(1, b"a" * 60_000, mask=True))
    connection.received.feed(encode_frame(1, b"[" * 60_000, mask=True))
    connection.received.feed(encode_frame(1, b'{"a": ' + b"1" * 9_000 + b"}", mask=True))
    frames = FrameTable(recorder)
    assert frames.where('text matches "(a+)+b"') == []
    assert frames.where("json.a==1 || json") == []


# a tree is a leaf, ("!", tree) or ("&&" | "||", tree, ...); its own way of saying what it means is the oracle

ORDER = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
numbers = {
    "len": lambda frame: frame.frame and frame.frame.length,
    "wire": lambda frame: frame.wire_length,
    "seq": lambda frame: frame.seq,
}
leaves = st.one_of(
    st.tuples(st.sampled_from(sorted(numbers)), st.sampled_from(sorted(ORDER)), st.integers(0, 130)),
    st.tuples(st.just("text"), st.just("contains"), st.text(max_size=3)),
    st.tuples(st.just("conn"), st.sampled_from(["==", "!="]), st.sampled_from(["c1", "c2", "c9"])),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("!"), inner),
        st.tuples(st.sampled_from(["&&", "||"]), inner, inner),
        st.tuples(st.sampled_from(["&&", "||"]), inner, inner, inner),
    ),
    max_leaves=8,
)
BINDS = {"||": 1, "&&": 2, "!": 3}
WORDS = {"&&": ["&&", " and ", " AND "], "||": ["||", " or "], "!": ["!", "not "]}


def printed(tree, draw, binds=0):
    symbol = tree[0]
    if symbol not in BINDS:
        name, sign, value = tree
        shown = f" {value}" if name != "text" else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
        return f"{name} {sign}{shown}"
    word = draw(st.sampled_from(WORDS[symbol]))
    parts = [printed(part, draw, BINDS[symbol]) for part in tree[1:]]
    text = word + parts[0] if symbol == "!" else word.join(parts)
    return f"({text})" if BINDS[symbol] < binds or draw(st.booleans()) else text


def meant(tree, frame):
    match tree:
        case ("!", part):
            return not meant(part, frame)
        case ("&&", *parts):
            return all(meant(part, frame) for part in parts)
        case ("||", *parts):
            return any(meant(part, frame) for part in parts)
        case ("text", _, value):
            return frame.frame is not None and value in frame.frame.text
        case ("conn", sign, value):
            return ORDER[sign](frame.connection.id, value)
        case (name, sign, value):
            known = numbers[name](frame)
            return known is not None and ORDER[sign](known, value)
    raise AssertionError(tree)


flags = st.sampled_from(
    [*(name for name, field in FIELDS.items() if field.kind == "flag"), "code", "text", "path", "dir == in"]
)


@given(
    texts=st.lists(st.one_of(flags, trees), min_size=1, max_size=4),
    joined=st.sampled_from([" && ", " || "]),
    negated=st.lists(st.booleans(), min_size=4, max_size=4),
    data=st.data(),
)
def test_a_first_look_at_the_record_refuses_nothing_that_passes(texts, joined, negated, data):
    parts = [f"({part if isinstance(part, str) else printed(part, data.draw)})" for part in texts]
    query = Query(joined.join(f"!{part}" if no else part for part, no in zip(parts, negated, strict=False)))
    for frame in FRAMES:
        passes = query(frame)
        if query.test_record is not None:
            looked = query.test_record(frame.record)
            assert looked or not passes
            assert not query.exact or looked == passes
    assert FRAMES.where(query.text) == [frame for frame in FRAMES if query(frame)]


@pytest.mark.parametrize(
    "text", ["opcode==ping", "!fin", "conn==c1 && len<5 || seq==2", "masked", "dir in {in}"]
)
def test_what_the_record_tells_needs_no_frame(text):
    query = Query(text)
    assert query.exact
    recorder = Recorder()
    row = ConnectionTable(recorder).open("a")
    whole = encode_frame(9, b"x" * 125, mask=True) + encode_frame(2, b"y" * 70_000) + encode_frame(1)
    row.received.feed(whole + encode_frame(1, b"z" * 126, length_form=64))
    for cut in range(1, 15):
        ended = ConnectionTable(recorder).open("b")
        ended.received.feed(encode_frame(2, b"x" * 70_000, mask=True)[:cut])
        ended.note_end()
    for frame in FrameTable(recorder):
        assert query.test_record(frame.record) == query(frame)


@given(tree=trees, data=st.data())
def test_a_printed_tree_means_what_the_tree_means(tree, data):
    passes = Query(printed(tree, data.draw))
    assert [passes(frame) for frame in FRAMES] == [meant(tree, frame) for frame in FRAMES]


WORDS_OF_FILTERS = (
    "len json.a json[ text opcode fin == != < && || ! ( ) in { } , matches contains ~ 5 '(a' \" ping c3 and "
    "not 0x 1e999 \\ [0]"
)
pieces = st.sampled_from([*WORDS_OF_FILTERS.split(" "), " "])
texts = st.one_of(st.text(max_size=40), st.text(string.printable, max_size=40), st.lists(pieces).map("".join))


def outcome(text):
    """What the filter says of every frame; the place of the mistake where it is none."""
    try:
        passes = Query(text)
    except QueryError as error:
        return error.position
    return [passes(frame) for frame in FRAMES]


@given(text=st.one_of(texts, st.lists(pieces, max_size=12).map(" ".join)))
def test_any_text_is_a_filter_or_a_query_error(text):
    found = outcome(text)
    if isinstance(found, int):
        assert 0 <= found <= len(text)
    else:
        assert all(type(passed) is bool for passed in found)


talks = st.lists(
    st.tuples(
        st.integers(0, 3),  # whose: two connections, two directions
        st.integers(0, 2),  # what it says
        st.lists(st.integers(1, 12), max_size=3),  # where it is cut
        st.booleans(),  # compressed
        st.booleans(),  # a ping after it, and within the other side's fragments
    ),
    max_size=12,
)


@given(said=talks, frames=st.integers(4, 64))
def test_frames_found_by_content_are_those_of_the_messages_that_say_it(said, frames):
    recorder = Recorder(frames=frames)
    table = ConnectionTable(recorder)
    rows = [table.open("a"), table.open("b")]
    codecs = {}
    told = {number: [] for number in range(3)}
    for row in rows:
        row.note_response(DEFLATE, 101)
    for who, what, cuts, compressed, ping in said:
        flow = rows[who // 2].received if who % 2 else rows[who // 2].sent
        payload = b'{"n": %d, "text": "always the same words"}' % what
        if compressed:
            payload = codecs.setdefault(who, PerMessageDeflate()).compress(payload)
        places = sorted({0, *(cut for cut in cuts if cut < len(payload)), len(payload)})
        pieces = [payload[begin:end] for begin, end in pairwise(places)]
        for number, piece in enumerate(pieces):
            if ping:
                flow.feed(encode_frame(9, b'{"n": %d}' % what, mask=bool(who % 2)))
            told[what].append(recorder.end)
            last = number == len(pieces) - 1
            rsv = 4 if compressed and not number else 0
            flow.feed(encode_frame(0 if number else 1, piece, fin=last, rsv=rsv, mask=bool(who % 2)))
    table = FrameTable(recorder)
    known = {frame.seq for message in table.messages() if not message.problem for frame in message.frames}
    for what, seqs in told.items():
        found = {frame.seq for frame in table.where(f"json.n=={what}")}
        assert found == known.intersection(seqs)
    if recorder.begin == 0:
        assert known == {seq for seqs in told.values() for seq in seqs}
