"""Text is UTF-8 (RFC 6455 sections 5.6 and 8.1; Autobahn 6.x), and what is not fails as soon as it shows."""

from __future__ import annotations

import pytest

from tests.conformance.harness import cont, ping, text
from wslab.wire import encode_frame

GREEK = "κόσμε"
LONG = "Hello-µ@ßöäüàá-UTF-8!!"


def back(payload):
    return encode_frame(1, payload)


VALID = {
    "empty": b"",
    "ASCII": b"Hello-UTF-8!",
    "Greek": GREEK.encode(),
    "accents": LONG.encode(),
    "U+0000": b"\x00",
    "U+007F": b"\x7f",
    "U+0080": b"\xc2\x80",
    "U+07FF": b"\xdf\xbf",
    "U+0800": b"\xe0\xa0\x80",
    "U+D7FF": b"\xed\x9f\xbf",
    "U+E000": b"\xee\x80\x80",
    "U+FFFD": b"\xef\xbf\xbd",
    "U+FFFE": b"\xef\xbf\xbe",
    "U+FFFF": b"\xef\xbf\xbf",
    "U+10000": b"\xf0\x90\x80\x80",
    "U+1FFFE": b"\xf0\x9f\xbf\xbe",
    "U+10FFFF": b"\xf4\x8f\xbf\xbf",
    "U+FEFF": b"\xef\xbb\xbf",  # a byte order mark is a character like any other
}

INVALID = {
    "0x80 alone": b"\x80",
    "0xbf alone": b"\xbf",
    "two continuation bytes": b"\x80\xbf",
    "all continuation bytes": bytes(range(0x80, 0xC0)),
    "0xc0": b"\xc0 ",
    "0xc3 and a space": b"\xc3 ",
    "0xe0 and a space": b"\xe0 ",
    "0xf0 and a space": b"\xf0 ",
    "0xf5": b"\xf5",
    "0xfe": b"\xfe",
    "0xff": b"\xff",
    "0xfe 0xfe 0xff 0xff": b"\xfe\xfe\xff\xff",
    "U+002F in two bytes": b"\xc0\xaf",
    "U+002F in three bytes": b"\xe0\x80\xaf",
    "U+002F in four bytes": b"\xf0\x80\x80\xaf",
    "U+002F in five bytes": b"\xf8\x80\x80\x80\xaf",
    "U+002F in six bytes": b"\xfc\x80\x80\x80\x80\xaf",
    "U+007F in two bytes": b"\xc1\xbf",
    "U+07FF in three bytes": b"\xe0\x9f\xbf",
    "U+FFFF in four bytes": b"\xf0\x8f\xbf\xbf",
    "U+0000 in two bytes": b"\xc0\x80",
    "U+110000": b"\xf4\x90\x80\x80",
    "U+1FFFFF": b"\xf7\xbf\xbf\xbf",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "U+D800": b"\xed\xa0\x80",
    "U+DB7F": b"\xed\xad\xbf",
    "U+DFFF": b"\xed\xbf\xbf",
    "a surrogate pair": b"\xed\xa0\x80\xed\xb0\x80",
    "Greek and U+110000": GREEK.encode() + b"\xf4\x90\x80\x80edited",
    "Greek and a surrogate": GREEK.encode() + b"\xed\xa0\x80edited",
}

UNFINISHED = {
    "one byte of two": b"\xc3",
    "one byte of three": b"\xe2",
    "two bytes of three": b"\xe2\x82",
    "one byte of four": b"\xf0",
    "two bytes of four": b"\xf0\x9f",
    "three bytes of four": b"\xf0\x9f\x98",
}


def octets(payload):
    """`payload` as a message of fragments of one byte."""
    frames = [cont(payload[i : i + 1], fin=False) for i in range(1, len(payload))]
    return [text(payload[:1], fin=False), *frames, cont()]


# -- valid -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["whole", "octets", "chopped"])
@pytest.mark.parametrize("name", VALID)
def test_valid_text_comes_back(server, name, how):
    payload = VALID[name]
    with server.connect() as peer:
        frames = octets(payload) if how == "octets" else [text(payload)]
        peer.send(*frames, chop=how == "chopped").expect(back(payload)).closes()


def test_three_empty_fragments_are_an_empty_text(server):
    with server.connect() as peer:
        peer.send(text(fin=False), cont(fin=False), cont()).expect(back(b"")).closes()


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_fragment_may_end_inside_a_character(server, cut):
    payload = GREEK.encode()
    with server.connect() as peer:
        peer.send(text(payload[:cut], fin=False), cont(payload[cut:])).expect(back(payload)).closes()


def test_a_ping_may_stand_inside_a_character(server):
    with server.connect() as peer:
        peer.send(text(b"\xe2", fin=False), ping(b"\xff"), cont(b"\x82", fin=False), cont(b"\xac"))
        peer.expect(encode_frame(10, b"\xff"), back("€".encode())).closes()


def test_characters_do_not_run_over_a_messages_end(server):
    with server.connect() as peer:
        peer.send(text(b"\xe2\x82", fin=False), cont(b"")).fails(1007)


def test_binary_need_not_be_utf8(server):
    payload = bytes(range(256))
    with server.connect() as peer:
        peer.send(*[encode_frame(2, payload, mask=b"abcd")] * 2)
        peer.expect(*[encode_frame(2, payload)] * 2).closes()


# -- invalid ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["whole", "octets", "chopped"])
@pytest.mark.parametrize("name", INVALID | UNFINISHED)
def test_invalid_text_is_1007(server, name, how):
    payload = (INVALID | UNFINISHED)[name]
    with server.connect() as peer:
        frames = octets(payload) if how == "octets" else [text(payload)]
        peer.send(*frames, chop=how == "chopped").fails(1007)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_text_fails_before_the_message_ends(server, name):
    # Autobahn 6.4.1: the last fragment never comes.
    with server.connect() as peer:
        peer.send(text(GREEK, fin=False), cont(INVALID[name], fin=False)).fails(1007)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_text_fails_before_the_frame_ends(server, name):
    # Autobahn 6.4.3: the frame announces more than ever comes.
    raw = text(GREEK.encode() + INVALID[name] + b"x" * 1000)
    with server.connect() as peer:
        peer.send(raw[:-1000]).fails(1007)


FIRST_WRONG = {
    "0xf4 0x90": b"\xf4\x90",
    "0xf0 0x8f": b"\xf0\x8f",
    "0xed 0xa0": b"\xed\xa0",
    "0xe0 0x9f": b"\xe0\x9f",
    "0xc1": b"\xc1",
    "0xf8": b"\xf8",
}


@pytest.mark.parametrize("name", FIRST_WRONG)
def test_invalid_text_fails_at_its_first_wrong_byte(server, name):
    # Autobahn 6.4.2 and 6.4.4: no byte that follows could make this valid.
    wrong = FIRST_WRONG[name]
    with server.connect() as peer:
        peer.send(text(GREEK.encode() + wrong[:-1], fin=False), ping(b"so far so good"))
        peer.expect(encode_frame(10, b"so far so good"))
        peer.send(cont(wrong[-1:], fin=False)).fails(1007)


@pytest.mark.parametrize("name", FIRST_WRONG)
def test_a_chopped_frame_fails_at_its_first_wrong_byte(server, name):
    raw = text(GREEK.encode() + FIRST_WRONG[name] + b"x" * 200)
    with server.connect() as peer:
        peer.send(raw[:-200], chop=1).fails(1007)


def test_messages_before_invalid_text_have_come_back(server):
    with server.connect() as peer:
        peer.send(text("good")).expect(back(b"good"))
        peer.send(text(b"\xff"), text("never")).fails(1007)
