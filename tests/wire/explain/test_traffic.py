from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslab.wire import ConnectionTable, FrameTable, PerMessageDeflate, Recorder, encode_frame, parse_frame
from wslab.wire.explain import (
    explain_close,
    explain_connection,
    explain_frame,
    explain_handshake,
    explain_message,
)

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e"
REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\nX-Forwarded-For: 10.0.0.1\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n"
)


@pytest.fixture
def connection():
    found = ConnectionTable(Recorder()).open("127.0.0.1:1")
    found.request = REQUEST
    found.note_response(RESPONSE, 101)
    return found


def named(explanation):
    return {field.name: field for field in explanation.fields}


@pytest.mark.parametrize(
    ("length", "names"),
    [(5, ["length"]), (126, ["extended length, 16 bits"]), (70_000, ["extended length, 64 bits"])],
)
@pytest.mark.parametrize("mask", [b"", b"abcd"])
def test_the_bits_of_a_frame_have_no_gap(length, names, mask):
    raw = encode_frame(2, b"x" * length, mask=mask)
    fields = explain_frame(parse_frame(raw), "in" if mask else "out").fields
    at = 0
    for field in fields:
        assert field.bits[0] == at
        at = field.bits[1] + 1
        assert field.section.startswith("RFC ")
    assert at == len(raw) * 8
    assert set(names) <= {field.name for field in fields}
    assert ("masking key" in {field.name for field in fields}) == bool(mask)


def test_the_first_bytes_are_unmasked_one_by_one():
    frame = parse_frame(bytes.fromhex("818537fa213d7f9f4d5158"))
    [unmasking] = explain_frame(frame, "in").children
    assert [field.raw for field in unmasking.fields] == [
        "7f XOR 37", "9f XOR fa", "4d XOR 21", "51 XOR 3d", "58 XOR 37",
    ]  # fmt: skip
    assert [field.meaning[-2] for field in unmasking.fields] == list("Hello")
    assert unmasking.fields[0].bits == (48, 55)


def test_a_close_frame_has_code_and_reason():
    explained = explain_frame(parse_frame(encode_frame(8, b"\x03\xe8bye")), "out")
    fields = named(explained)
    assert (fields["close code"].raw, fields["close code"].bits) == ("03 e8", (16, 31))
    assert "1000 (normal closure)" in fields["close code"].meaning
    assert (fields["reason"].bits, fields["reason"].meaning) == ((32, 55), "'bye', in UTF-8.")
    assert explained.children[-1].title == "Close 1000 (normal closure)"


def test_wrong_closes_are_said():
    one = explain_frame(parse_frame(encode_frame(8, b"\x03")), "out")
    assert "this is one byte" in named(one)["payload"].meaning
    unsent = explain_frame(parse_frame(encode_frame(8, b"\x03\xee")), "out")
    assert "must not be sent in a frame, and was" in named(unsent)["close code"].meaning
    reason = explain_frame(parse_frame(encode_frame(8, b"\x03\xe8\xff")), "out")
    assert "not UTF-8" in named(reason)["reason"].meaning


@pytest.mark.parametrize(
    ("raw", "direction", "problem"),
    [
        (encode_frame(1, b"x"), "in", "did not mask this frame (RFC 6455 section 5.1)"),
        (encode_frame(3, b"x"), "out", "reserved (RFC 6455 section 5.2)"),
        (encode_frame(9, b"x" * 126), "out", "125 bytes, not 126 (RFC 6455 section 5.5)"),
        (encode_frame(9, rsv=4), "out", "must not be compressed: RSV1 is set (RFC 7692 section 6.1)"),
        (bytes.fromhex("817e000161"), "out", "not in its shortest form (RFC 6455 section 5.2)"),
    ],
)
def test_a_malformed_frame_says_what_is_wrong(raw, direction, problem):
    assert problem in named(explain_frame(parse_frame(raw), direction))["problem"].meaning


@pytest.mark.parametrize(
    ("code", "said", "section"),
    [
        (999, "not used", "7.4.2"),
        (1000, "is done", "7.4.1"),
        (1004, "Reserved", "7.4.1"),
        (1005, "Never on the wire: a close frame had no code", "7.4.1"),
        (1006, "Never on the wire: the transport ended without a close frame", "7.4.1"),
        (1015, "Never on the wire: the TLS handshake failed", "7.4.1"),
        (1013, "overloaded", "IANA"),
        (2999, "not defined", "7.4.2"),
        (3000, "registered with IANA", "7.4.2"),
        (4999, "Private", "7.4.2"),
        (5000, "not defined", "7.4.2"),
    ],
)
def test_close_codes(code, said, section):
    [field] = explain_close(code).fields
    assert said in field.meaning
    assert section in field.section


def test_a_handshake_is_computed_step_by_step(connection):
    request, accepting, response = explain_handshake(connection).children
    assert [field.raw for field in accepting.fields] == [
        "dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
        "b3 7a 4f 2c c0 62 4f 16 90 f6 46 06 cf 38 59 45 b2 be c4 ea",  # the RFC's own, section 1.3
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ]
    assert accepting.fields[0].meaning == "16 bytes in base64."
    assert all(field.meaning for field in (*request.fields, *response.fields))
    assert "proxy" in named(request)["X-Forwarded-For"].meaning
    answered = named(response)
    assert answered["Sec-WebSocket-Accept"].meaning == "Fits the key."
    assert answered["Sec-WebSocket-Protocol"].meaning == "Chosen of those offered."
    assert "the server forgets its window" in answered["Sec-WebSocket-Extensions"].meaning


def test_an_origin_is_compared_with_the_host(connection):
    origin = named(explain_handshake(connection).children[0])["Origin"]
    assert "of the host in Host" in origin.meaning
    connection.request = REQUEST.replace(b"Origin: http://", b"Origin: http://evil.")
    origin = named(explain_handshake(connection).children[0])["Origin"]
    assert "another host" in origin.meaning


def test_wrong_answers_are_said(connection):
    connection.response = RESPONSE.replace(b"s3p", b"x3p").replace(b"Protocol: chat", b"Protocol: other")
    fields = named(explain_handshake(connection).children[-1])
    assert "Does not fit the key" in fields["Sec-WebSocket-Accept"].meaning
    assert "Was not offered" in fields["Sec-WebSocket-Protocol"].meaning


def test_a_refusal_has_its_real_reason(connection):
    connection.request = b"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 8\r\nno colon\r\n\r\n"
    connection.note_response(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n\r\n", 426)
    connection.refusal = "Expected Sec-WebSocket-Version 13, got '8'."
    connection.remedy = "Use version 13."
    explained = explain_handshake(connection)
    request, response = explained.children
    assert explained.title.endswith("refused")
    assert named(response)["refused because"].meaning == connection.refusal
    assert named(response)["what would work"].meaning == connection.remedy
    assert "Must be 13" in named(request)["Sec-WebSocket-Version"].meaning
    assert named(request)["sec-websocket-key"].meaning == "Required, and not there."
    assert "there is no colon" in named(request)[""].meaning


def test_a_message_has_its_frames_and_its_compression():
    recorder = Recorder()
    connection = ConnectionTable(recorder).open("a")
    connection.note_response(RESPONSE, 101)
    packed = PerMessageDeflate().compress(b"Hello " * 20)
    connection.sent.feed(encode_frame(1, packed[:4], rsv=4, fin=False) + encode_frame(0, packed[4:]))
    [message] = FrameTable(recorder).messages()
    explained = message.explain()
    assert explained == explain_message(message)
    assert len(explained.children) == 2
    assert (
        named(explained)["compression"].meaning == f"{len(packed)} bytes inflate to 120; inflated by itself."
    )


def test_a_connection_tells_all_of_it(connection):
    connection.received.feed(encode_frame(8, b"\x0f\xa1bye", mask=b"abcd"))
    connection.note_end()
    text = connection.explain().text()
    assert text == explain_connection(connection).text()
    assert re.search(r"closed by\s+client", text)
    assert "Close 4001" in text
    assert "From key to accept" in text


def test_the_problems_of_its_frames_are_named():
    recorder = Recorder()
    connection = ConnectionTable(recorder).open("a")
    connection.received.feed(encode_frame(1, b"x"))
    explained = explain_connection(connection, FrameTable(recorder))
    assert "did not mask" in named(explained)["frame 0"].meaning


def test_a_frame_without_a_header():
    recorder = Recorder()
    connection = ConnectionTable(recorder).open("a")
    connection.received.feed(b"\x81")
    connection.note_end()
    assert "inside this frame's header" in FrameTable(recorder)[0].explain().text()


def test_hostile_text_is_escaped_everywhere():
    recorder = Recorder()
    connection = ConnectionTable(recorder).open(HOSTILE)
    value = HOSTILE.encode("latin-1", "replace")
    connection.request = b"GET /" + value + b" HTTP/1.1\r\n" + value + b": " + value + b"\r\n\r\n"
    connection.response = b"HTTP/1.1 403 " + value + b"\r\nSec-WebSocket-Protocol: " + value + b"\r\n\r\n"
    connection.refusal = connection.remedy = HOSTILE
    connection.received.feed(encode_frame(1, HOSTILE.encode()))
    connection.sent.feed(encode_frame(8, b"\x0f\xa0" + HOSTILE.encode()))
    table = FrameTable(recorder)
    explained = [connection.explain(), *(frame.explain() for frame in table)]
    explained += [message.explain() for message in table.messages()]
    for explanation in explained:
        assert "<img" not in explanation._repr_html_()
        assert "\x1b" not in explanation._repr_html_() + explanation.text()
        assert "\u202e" not in explanation._repr_html_() + str(explanation)
    assert "&lt;img" in explained[0]._repr_html_()


def test_a_long_value_is_cut_where_it_is_shown_only(connection):
    connection.request = b"GET / HTTP/1.1\r\nX: " + b"a" * 8_000 + b"\r\n\r\n"
    [request] = [child for child in explain_handshake(connection).children if child.title == "Request"]
    assert len(named(request)["X"].raw) == 8_000
    assert "7600 more characters" in request.text()


frames = st.builds(
    encode_frame,
    st.sampled_from([0, 1, 2, 3, 8, 8, 9, 10, 15]),
    st.binary(max_size=140),
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    mask=st.sampled_from([b"", b"abcd"]),
)
cut = st.tuples(frames, st.integers(2, 200)).map(lambda drawn: drawn[0][: drawn[1]])


@given(st.one_of(st.binary(min_size=2, max_size=300), frames, cut), st.sampled_from(["in", "out", ""]))
def test_any_frame_is_explained(raw, direction):
    frame = parse_frame(raw)
    if frame is not None:
        explained = explain_frame(frame, direction)
        assert explained.text().startswith(frame.name)
        assert explained._repr_html_().startswith("<section")


@given(st.data())
def test_any_handshake_is_explained(data):
    found = ConnectionTable(Recorder()).open("a")
    heads = []
    for head in (REQUEST, RESPONSE):
        start = data.draw(st.integers(0, len(head)))
        end = data.draw(st.integers(start, len(head)))
        heads.append(head[:start] + data.draw(st.binary(max_size=40)) + head[end:])
    found.request, found.response = heads
    found.received.feed(data.draw(st.binary(max_size=80)))
    found.note_end()
    assert found.explain().text().startswith("Connection c1")
    assert found.explain()._repr_html_().startswith("<section")
