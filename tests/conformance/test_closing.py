"""The closing handshake (RFC 6455 sections 5.5.1 and 7; Autobahn 7.x)."""

from __future__ import annotations

import socket

import pytest

from tests.conformance.harness import binary, close, cont, frame, ping, pong, text
from wslab.wire import encode_frame

VALID = [
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    *(3000, 3001, 3999, 4000, 4001, 4999),
]
INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1099, 1100, 2000, 2999, 5000, 65535]

REASONS = {
    "empty": "",
    "short": "Hello World!",
    "of 122 bytes": "*" * 122,
    "of 123 bytes": "*" * 123,
    "in Greek": "κόσμε",
    "of 41 characters of 3 bytes": "€" * 41,
}

NOT_UTF8 = {
    "0xff": b"\xff",
    "a surrogate": b"\xed\xa0\x80",
    "Greek and U+110000": "κόσμε".encode() + b"\xf4\x90\x80\x80edited",
    "an unfinished character": b"good\xc3",
    "U+002F in two bytes": b"\xc0\xaf",
}


@pytest.mark.parametrize("chop", [0, 1])
@pytest.mark.parametrize("code", VALID)
def test_a_valid_code_comes_back(server, code, chop):
    with server.connect() as peer:
        peer.send(close(code), chop=chop).closed(code)


def test_a_close_frame_without_a_code_is_answered_by_one(server):
    with server.connect() as peer:
        peer.send(close(None)).closed(None)


@pytest.mark.parametrize("reason", REASONS)
def test_a_valid_reason_is_taken(server, reason):
    with server.connect() as peer:
        peer.send(close(1000, REASONS[reason])).closed(1000)


@pytest.mark.parametrize("reason", [b"", b"reason"], ids=["bare", "with a reason"])
@pytest.mark.parametrize("code", INVALID)
def test_an_invalid_code_is_1002(server, code, reason):
    with server.connect() as peer:
        peer.send(close(code, reason)).fails(1002)


def test_a_payload_of_one_byte_is_1002(server):
    with server.connect() as peer:
        peer.send(frame(8, b"\x03")).fails(1002)


@pytest.mark.parametrize("length", [124, 125, 200, 70_000])
def test_a_reason_of_more_than_123_bytes_is_1002(server, length):
    with server.connect() as peer:
        peer.send(close(1000, b"*" * length)).fails(1002)


@pytest.mark.parametrize("chop", [0, 1])
@pytest.mark.parametrize("reason", NOT_UTF8)
def test_a_reason_that_is_not_utf8_is_1007(server, reason, chop):
    with server.connect() as peer:
        peer.send(close(1000, NOT_UTF8[reason]), chop=chop).fails(1007)


# -- what comes after ------------------------------------------------------------------------------
AFTER = {
    "a second close frame": close(1001),
    "a ping": ping(b"late"),
    "a pong": pong(b"late"),
    "a text": text("late"),
    "a large binary": binary(b"x" * 262_144),
    "a frame that is not masked": frame(1, b"late", mask=False),
    "a reserved opcode": frame(3),
    "half a header": b"\x81",
    "garbage": b"\xff" * 100,
}


@pytest.mark.parametrize("name", AFTER)
def test_what_follows_a_close_frame_is_ignored(server, name):
    with server.connect() as peer:
        peer.send(close(), AFTER[name]).closed()


@pytest.mark.parametrize("name", ["a ping", "a text", "a second close frame"])
def test_what_follows_a_close_frame_in_a_segment_of_its_own_is_ignored(server, name):
    with server.connect() as peer:
        peer.send(close())
        peer.send(AFTER[name])
        peer.closed()


# -- in the middle ---------------------------------------------------------------------------------
def test_a_message_is_answered_before_a_close_frame(server):
    with server.connect() as peer:
        peer.send(text("Hello")).expect(encode_frame(1, b"Hello"))
        peer.closes()


@pytest.mark.parametrize("rest", [True, False], ids=["and the rest", "alone"])
def test_a_close_frame_in_the_middle_of_a_message_is_answered(server, rest):
    with server.connect() as peer:
        peer.send(text("fragment1", fin=False), close(), cont("fragment2") if rest else b"").closed()


def test_a_close_frame_behind_a_large_message_is_answered(server):
    payload = b"x" * 262_144
    with server.connect() as peer:
        peer.send(binary(payload)).expect(encode_frame(2, payload))
        peer.send(close(), ping(b"late")).closed()


def test_a_close_frame_in_the_upgrade_requests_segment_is_answered(server):
    with server.dial() as peer:
        peer.open(then=close(1001))
        peer.closed(1001)


def test_a_client_that_shuts_its_side_after_closing_is_answered(server):
    with server.connect() as peer:
        peer.send(close())
        peer.sock.shutdown(socket.SHUT_WR)
        peer.closed()


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_code_and_a_reason_reach_the_record(server, code):
    with server.connect() as peer:
        name = f"record {code}"
        peer.send(text(name)).expect(encode_frame(1, name.encode()))
        peer.closes(code, "reasons")
    connection = next(row.connection for row in server.lab.frames if row.text == name)
    assert (connection.close.code, connection.close.reason, connection.close.by) == (
        code,
        "reasons",
        "client",
    )
