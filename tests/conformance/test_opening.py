"""The opening handshake as a server sees it (RFC 6455 section 4.2), and what HTTP leaves around it."""

from __future__ import annotations

import base64

import pytest

from tests.conformance.harness import KEY, Mismatch, Server, echo_app, request, text
from wslab import Lab, Limits
from wslab.wire import accept_key, encode_frame


def echoes(peer, word="x"):
    peer.send(text(word)).expect(encode_frame(1, word.encode())).closes()


def refused(server, *, raw=None, **options):
    """The answer to a request that must not be accepted, and nothing but the end after its body."""
    with server.dial() as peer:
        peer.send(request(**options) if raw is None else raw)
        answer = peer.head()
        if answer.status == 101:
            raise Mismatch(f"expected a refusal, got {answer.raw!r}")
        if "content-length" in answer.headers:
            peer.exactly(int(answer.headers["content-length"]))
        return answer


def expect_status(answer, *statuses):
    if answer.status not in statuses:
        raise Mismatch(f"expected {statuses}, got {answer.raw!r}")


# -- accepted --------------------------------------------------------------------------------------
@pytest.mark.parametrize("chop", [0, 1, 2, 13])
def test_the_request_may_come_in_pieces(server, chop):
    with server.dial() as peer:
        peer.open(chop=chop)
        echoes(peer)


@pytest.mark.parametrize("key", [bytes(16), bytes(range(16)), b"\xff" * 16], ids=["zeros", "counted", "ones"])
def test_any_key_of_16_bytes_is_answered(server, key):
    sent = base64.b64encode(key).decode()
    with server.dial() as peer:
        answer = peer.ask(sec_websocket_key=sent)
        if answer.headers.get("sec-websocket-accept") != accept_key(sent):
            raise Mismatch(f"expected {accept_key(sent)}, got {answer.raw!r}")


ACCEPTED = {
    "Upgrade in capitals": {"upgrade": "WEBSOCKET"},
    "Upgrade in mixed case": {"upgrade": "WebSocket"},
    "Upgrade as a list": {"upgrade": "foo/2, websocket"},
    "Connection in lower case": {"connection": "upgrade"},
    "Connection as a list": {"connection": "keep-alive, Upgrade"},
    "Connection as a list without spaces": {"connection": "keep-alive,Upgrade"},
    "a query": {"path": "/echo?room=a&b=%20"},
    "an Origin of its own": {"headers": [("Origin", "http://127.0.0.1")]},
    "many headers": {"headers": [(f"X-{number}", "y") for number in range(60)]},
    "a header of 6000 bytes": {"headers": [("X-Long", "y" * 6000)]},
    "an extension nobody knows": {"headers": [("Sec-WebSocket-Extensions", "x-unknown; a=1")]},
    "headers without a space": {"headers": [("X-Tight", "")]},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_request_is_accepted_with(server, name):
    with server.dial() as peer:
        answer = peer.open(**ACCEPTED[name])
        if "sec-websocket-extensions" in answer.headers or "sec-websocket-protocol" in answer.headers:
            raise Mismatch(f"expected nothing that was not offered, got {answer.raw!r}")
        echoes(peer)


def test_names_of_headers_have_no_case(server):
    raw = request().replace(b"Sec-WebSocket", b"sEC-wEBsOCKET").replace(b"Upgrade:", b"UPGRADE:")
    with server.dial() as peer:
        if peer.send(raw).head().status != 101:
            raise Mismatch("expected 101")
        echoes(peer)


SUBPROTOCOLS = [
    (["chat"], "chat"),
    (["superchat"], "superchat"),
    (["chat, superchat"], "chat"),
    (["superchat, chat"], "superchat"),
    (["unknown, chat"], "chat"),
    (["unknown", "chat"], "chat"),
    (["unknown"], None),
    ([], None),
]


@pytest.mark.parametrize(("offers", "chosen"), SUBPROTOCOLS)
def test_the_subprotocol_that_the_application_chose_is_answered(server, offers, chosen):
    with server.dial() as peer:
        answer = peer.open(headers=[("Sec-WebSocket-Protocol", offer) for offer in offers])
        if answer.headers.get("sec-websocket-protocol") != chosen:
            raise Mismatch(f"expected {chosen}, got {answer.raw!r}")
        echoes(peer)


# -- the same segment, the same connection ---------------------------------------------------------
@pytest.mark.parametrize("count", [1, 3, 100])
def test_frames_in_the_upgrade_requests_segment_are_delivered(server, count):
    with server.dial() as peer:
        peer.open(then=text("early") * count)
        peer.expect(*[encode_frame(1, b"early")] * count)
        echoes(peer, "late")


@pytest.mark.parametrize("cut", [1, 2, 5, 8])
def test_a_part_of_a_frame_in_the_upgrade_requests_segment_is_delivered(server, cut):
    raw = text("early")
    with server.dial() as peer:
        peer.open(then=raw[:cut])
        peer.send(raw[cut:]).expect(encode_frame(1, b"early"))
        echoes(peer)


GET = b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize("count", [1, 3])
def test_a_connection_may_be_upgraded_after_ordinary_requests(server, count):
    with server.dial() as peer:
        for _ in range(count):
            answer = peer.send(GET).head()
            expect_status(answer, 404)
            peer.exactly(int(answer.headers["content-length"]))
        peer.open()
        echoes(peer)


def test_an_upgrade_pipelined_behind_an_ordinary_request_is_answered(server):
    # RFC 6455 section 4.1 has a client open a connection for its handshake; HTTP/1.1 lets it ask before.
    with server.dial() as peer:
        answer = peer.send(GET, request()).head()
        expect_status(answer, 404)
        peer.exactly(int(answer.headers["content-length"]))
        answer = peer.head()
        expect_status(answer, 101)
        echoes(peer)


# -- refused ---------------------------------------------------------------------------------------
REFUSED = {
    "no key": ({"without": ["sec-websocket-key"]}, (400,)),
    "an empty key": ({"sec_websocket_key": ""}, (400,)),
    "a key that is no base64": ({"sec_websocket_key": "not base64 at all!!!"}, (400,)),
    "a key of 15 bytes": ({"sec_websocket_key": base64.b64encode(bytes(15)).decode()}, (400,)),
    "a key of 17 bytes": ({"sec_websocket_key": base64.b64encode(bytes(17)).decode()}, (400,)),
    "two keys": ({"headers": [("Sec-WebSocket-Key", KEY)]}, (400,)),
    "no version": ({"without": ["sec-websocket-version"]}, (426, 400)),
    "version 8": ({"sec_websocket_version": "8"}, (426,)),
    "version 12": ({"sec_websocket_version": "12"}, (426,)),
    "version 14": ({"sec_websocket_version": "14"}, (426,)),
    "no Connection": ({"without": ["connection"]}, (400,)),
    "Connection: close": ({"connection": "close"}, (400,)),
    "POST": ({"method": "POST"}, (405,)),
    "PUT": ({"method": "PUT"}, (405,)),
    "HEAD": ({"method": "HEAD"}, (405,)),
    "HTTP/1.0": ({"http": "HTTP/1.0"}, (505, 400)),
    "no Host": ({"without": ["host"]}, (400,)),
    "two Hosts": ({"headers": [("Host", "127.0.0.1")]}, (400,)),
    "a folded header": ({"headers": [("X-Folded", "a\r\n b")]}, (400,)),
    "a space before a colon": ({"headers": [("X-Space ", "a")]}, (400,)),
    "a space in a header's name": ({"headers": [("X Space", "a")]}, (400,)),
    "a NUL in a header": ({"headers": [("X-Nul", "a\0b")]}, (400,)),
    "a bare LF in a header": ({"headers": [("X-Lf", "a\nb")]}, (400,)),
    "a bare CR in a header": ({"headers": [("X-Cr", "a\rb")]}, (400,)),
    "a body": ({"headers": [("Content-Length", "5")]}, (400,)),
    "a chunked body": ({"headers": [("Transfer-Encoding", "chunked")]}, (400,)),
    "extensions that break their grammar": ({"headers": [("Sec-WebSocket-Extensions", "a;;=")]}, (400,)),
    "a subprotocol that is no token": ({"headers": [("Sec-WebSocket-Protocol", "a(b)")]}, (400,)),
    "a subprotocol offered twice": ({"headers": [("Sec-WebSocket-Protocol", "a, a")]}, (400,)),
    "a target with a fragment": ({"path": "/echo#part"}, (400,)),
    "a foreign Host": ({"host": "evil.example"}, (403,)),
    "a foreign Origin": ({"headers": [("Origin", "http://evil.example")]}, (403,)),
    "a path that is not there": ({"path": "/nowhere"}, (403, 404)),
    "133 headers": ({"headers": [(f"X-{number}", "y") for number in range(128)]}, (431,)),
    "1000 headers": ({"headers": [(f"X-{number}", "y") for number in range(1000)]}, (431,)),
    "a header line above 8 KiB": ({"headers": [("X-Long", "y" * 8200)]}, (431,)),
    "a target above 8 KiB": ({"path": "/echo?" + "q" * 8300}, (431,)),
    "a head above 64 KiB": ({"headers": [(f"X-{number}", "y" * 8000) for number in range(9)]}, (431,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_is_refused_with(server, name):
    options, statuses = REFUSED[name]
    expect_status(refused(server, **options), *statuses)


@pytest.mark.parametrize("version", ["", "0", "7", "013", "13, 8", "13.0", "abc", "-13", "1e1"])
def test_another_version_is_told_the_right_one(server, version):
    # Section 4.2.2: "an appropriate HTTP error code (such as 426 Upgrade Required) and a
    # |Sec-WebSocket-Version| header field indicating the version(s) the server is capable of".
    answer = refused(server, sec_websocket_version=version)
    if (answer.status, answer.headers.get("sec-websocket-version")) != (426, "13"):
        raise Mismatch(f"expected 426 and version 13, got {answer.raw!r}")


def test_an_endless_line_is_refused_before_it_ends(server):
    with server.dial() as peer:
        peer.send(
            b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nX-Endless: ", b"y" * 66_000
        )
        expect_status(peer.head(), 431)


def test_a_refusal_hurts_nobody_else(server):
    with server.connect() as peer:
        expect_status(refused(server, without=["sec-websocket-key"]), 400)
        echoes(peer)


@pytest.mark.parametrize(
    "raw",
    [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\r\n\r\n" + request(), b"\0" * 100],
    ids=["words", "TLS", "no target", "an empty line first", "zeros"],
)
def test_what_is_no_request_ends_and_hurts_nobody(server, raw):
    with server.connect() as other:
        with server.dial() as peer:
            peer.send(raw + b"\r\n\r\n" * 2)
            while peer._more():
                pass
        echoes(other)


# -- the time limit --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def hasty():
    server = Server(lambda: Lab(echo_app(), ws="wslab", limits=Limits(handshake=0.3)))
    yield server
    server.stop()


@pytest.mark.parametrize("sent", [0, 1, 40, -1], ids=["nothing", "one byte", "a line", "all but one byte"])
def test_a_half_done_handshake_is_ended(hasty, sent):
    with hasty.dial() as peer:
        peer.send(request()[:sent])
        while peer._more():
            pass
        assert peer._buffer == b"" or b" 408 " in peer._buffer


def test_a_second_request_that_is_half_done_is_ended(hasty):
    with hasty.dial() as peer:
        answer = peer.send(GET).head()
        expect_status(answer, 404)
        peer.exactly(int(answer.headers["content-length"]))
        peer.send(request()[:-1])
        while peer._more():
            pass
        assert peer._buffer.startswith(b"HTTP/1.1 408 ")


TARGETS = {
    "ws://127.0.0.1/echo": 101,
    "http://127.0.0.1/echo": 101,
    "/%65cho": 101,
    "/echo?x=%ff": 101,
    "ws://evil.example/echo": 403,
    "//echo": 404,
    "/echo%00": 404,
    "/%ff": 404,
    "/a/../echo": 404,
    "*": 400,
    "echo": 400,
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_in_any_form_is_answered(ours, target):
    with ours.dial() as peer:
        expect_status(peer.ask(target), TARGETS[target])


def test_a_handshake_that_trickles_is_ended(hasty):
    raw = request(headers=[("X-Slow", "y" * 8000)])
    with hasty.dial() as peer:
        peer.sock.settimeout(0.02)
        for start in range(len(raw)):
            try:
                peer.sock.sendall(raw[start : start + 1])
                if not peer._more():
                    return
            except (Mismatch, BrokenPipeError, ConnectionResetError) as error:
                if isinstance(error, OSError):
                    return
        pytest.fail("the whole head was taken, far above its time")


def test_an_open_connection_is_not_ended_by_the_handshakes_limit(hasty):
    with hasty.connect() as peer, hasty.dial() as other:
        while other._more():  # a whole limit passes
            pass
        echoes(peer)
