"""The door: Host, Origin and token, as a table, and the same table over a real socket."""

from __future__ import annotations

import asyncio
import re

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

import wslab
from wslab.events import HandshakeRefused
from wslab.server.policy import Policy

OWN = "127.0.0.1:8000"
TOKEN = "t0ken-of-this-lab"  # the value is the test's own


def scope(headers=(), query="", subprotocols=()):
    return {
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "query_string": query.encode(),
        "subprotocols": list(subprotocols),
    }


def decide(policy, *headers, **options):
    return policy.check(scope(headers, **options))


ALLOWED = [
    ("a program", [("host", OWN)]),
    ("by name", [("host", "localhost:8000")]),
    ("by name, in capitals", [("host", "LocalHost:8000")]),
    ("without a port", [("host", "127.0.0.1")]),
    ("with an empty port", [("host", "localhost:")]),
    ("IPv6", [("host", "[::1]:8000")]),
    ("IPv6 in full", [("host", "[0:0:0:0:0:0:0:1]:8000")]),
    ("another loopback address", [("host", "127.8.9.1")]),
    ("the lab's own page", [("host", OWN), ("origin", f"http://{OWN}")]),
    ("its own page over TLS", [("host", OWN), ("origin", f"https://{OWN}")]),
    ("its own page by name", [("host", "localhost:8000"), ("origin", "http://localhost:8000")]),
    ("its own page over IPv6", [("host", "[::1]:8000"), ("origin", "http://[::1]:8000")]),
    ("another's bearer", [("host", OWN), ("authorization", "Bearer of-the-application")]),
    ("basic authentication", [("host", OWN), ("authorization", f"Basic {TOKEN}")]),
]
REFUSED = [
    ("no host", []),
    ("an empty host", [("host", "")]),
    ("rebinding", [("host", "evil.example:8000")]),
    ("rebinding with its own origin", [("host", "evil.example"), ("origin", "http://evil.example")]),
    ("rebinding with a name that resolves to loopback", [("host", "localtest.me:8000")]),
    ("rebinding with an address in the name", [("host", "127.0.0.1.nip.io:8000")]),
    ("loopback as a prefix", [("host", "127.0.0.1.evil.example")]),
    ("localhost as a prefix", [("host", "localhost.evil.example")]),
    ("localhost as a suffix", [("host", "evil.localhost")]),
    ("a final dot", [("host", "localhost.:8000")]),
    ("a final dot behind the address", [("host", "127.0.0.1.:8000")]),
    ("userinfo", [("host", "127.0.0.1@evil.example")]),
    ("userinfo the other way", [("host", "evil.example@127.0.0.1")]),
    ("userinfo with a port", [("host", "127.0.0.1:8000@evil.example")]),
    ("an address of the network", [("host", "192.168.1.7:8000")]),
    ("any address", [("host", "0.0.0.0:8000")]),
    ("any IPv6 address", [("host", "[::]:8000")]),
    ("a decimal address", [("host", "2130706433")]),
    ("a hexadecimal address", [("host", "0x7f000001")]),
    ("an octal address", [("host", "0177.0.0.1")]),
    ("octal further on", [("host", "127.0.0.01")]),
    ("a shortened address", [("host", "127.1")]),
    ("a number above 255", [("host", "127.0.0.256")]),
    ("digits of another script", [("host", "127.0.0.\xb9")]),
    ("a mapped IPv4 address", [("host", "[::ffff:127.0.0.1]:8000")]),
    ("a mapped IPv4 address in hexadecimal", [("host", "[::ffff:7f00:1]:8000")]),
    ("IPv6 with a zone", [("host", "[::1%25lo]:8000")]),
    ("IPv6 without brackets", [("host", "::1")]),
    ("a broken IPv6", [("host", "[::1:8000")]),
    ("no IPv6 between the brackets", [("host", "[:::]")]),
    ("a port above 65535", [("host", "127.0.0.1:65536")]),
    ("a port of letters", [("host", "127.0.0.1:http")]),
    ("two ports", [("host", "127.0.0.1:8000:9000")]),
    ("a path behind the host", [("host", "localhost/evil.example")]),
    ("a URL for a host", [("host", "http://127.0.0.1:8000")]),
    ("a tab in the host", [("host", "local\thost")]),
    ("a list of hosts", [("host", "127.0.0.1, evil.example")]),
    ("a host without end", [("host", "127.0.0.1" + ":" * 5000)]),
    ("two hosts", [("host", OWN), ("host", "evil.example")]),
    ("two hosts the other way", [("host", "evil.example"), ("host", OWN)]),
    ("twice the same host", [("host", OWN), ("host", OWN)]),
    ("a forwarded host", [("host", "evil.example"), ("x-forwarded-host", OWN)]),
    ("a hostile page", [("host", OWN), ("origin", "https://evil.example")]),
    ("a sandboxed page", [("host", OWN), ("origin", "null")]),
    ("an empty origin", [("host", OWN), ("origin", "")]),
    ("JupyterLab", [("host", OWN), ("origin", "http://127.0.0.1:8888")]),
    ("a webview", [("host", OWN), ("origin", "vscode-webview://1a2b3c")]),
    ("the same port by another name", [("host", OWN), ("origin", "http://localhost:8000")]),
    ("an origin without the port", [("host", OWN), ("origin", "http://127.0.0.1")]),
    ("the own origin as a prefix", [("host", OWN), ("origin", f"http://{OWN}.evil.example")]),
    ("the own origin with a longer port", [("host", OWN), ("origin", f"http://{OWN}0")]),
    ("the own origin as a suffix", [("host", OWN), ("origin", f"http://evil.example/http://{OWN}")]),
    ("userinfo in the origin", [("host", OWN), ("origin", f"http://{OWN}@evil.example")]),
    ("a path in the origin", [("host", OWN), ("origin", f"http://{OWN}/x")]),
    ("a query in the origin", [("host", OWN), ("origin", f"http://{OWN}?evil.example")]),
    ("another scheme", [("host", OWN), ("origin", f"file://{OWN}")]),
    ("an origin without a scheme", [("host", OWN), ("origin", OWN)]),
    ("several origins in one", [("host", OWN), ("origin", f"http://{OWN} http://evil.example")]),
    ("two origins", [("host", OWN), ("origin", f"http://{OWN}"), ("origin", "http://evil.example")]),
    ("a broken origin", [("host", OWN), ("origin", "http://[::1")]),
]
IDS = [case for case, _ in ALLOWED + REFUSED]


def test_the_matrix_has_its_cases():
    assert len(set(IDS)) == len(IDS) >= 40


@pytest.mark.parametrize(("case", "headers"), ALLOWED, ids=[case for case, _ in ALLOWED])
def test_allowed_without_a_token(case, headers):
    assert decide(Policy(token=TOKEN), *headers) is None


@pytest.mark.parametrize(("case", "headers"), REFUSED, ids=[case for case, _ in REFUSED])
def test_refused_without_a_token_and_told_what_to_do(case, headers):
    refusal = decide(Policy(token=TOKEN), *headers)
    assert refusal is not None
    assert refusal.reason
    assert refusal.remedy
    assert refusal.status == 403
    assert TOKEN not in refusal.reason + refusal.remedy
    assert len(refusal.reason) < 300


@pytest.mark.parametrize(("case", "headers"), ALLOWED + REFUSED, ids=IDS)
def test_with_the_token_in_any_of_its_places_every_door_opens(case, headers):
    policy = Policy(token=TOKEN)
    bearer = ("authorization", f"Bearer {TOKEN}")
    assert decide(policy, *headers, query=f"a=1&lab_token={TOKEN}") is None
    assert decide(policy, *headers, subprotocols=["chat", f"wslab.token.{TOKEN}"]) is None
    assert decide(policy, *headers, bearer) is None


@pytest.mark.parametrize("given", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "%00", f" {TOKEN}"])
def test_a_wrong_token_opens_nothing_in_any_place(given):
    policy = Policy(token=TOKEN)
    hostile = [("host", OWN), ("origin", "https://evil.example")]
    assert decide(policy, *hostile, query=f"lab_token={given}") is not None
    assert decide(policy, *hostile, subprotocols=[f"wslab.token.{given}"]) is not None
    if given != f" {TOKEN}":  # white space around a header's words means nothing
        assert decide(policy, *hostile, ("authorization", f"Bearer {given}")) is not None


@pytest.mark.parametrize(
    "query", [f"token={TOKEN}", f"xlab_token={TOKEN}", f"LAB_TOKEN={TOKEN}", f"lab_token%3D{TOKEN}", TOKEN]
)
def test_the_token_under_another_name_opens_nothing(query):
    assert decide(Policy(token=TOKEN), ("host", "evil.example"), query=query) is not None


def test_a_right_token_beside_a_wrong_one_opens_and_both_are_taken_out():
    shown = scope([("host", OWN)], query=f"lab_token=wrong&lab_token={TOKEN}&a=1")
    assert Policy("token", TOKEN).check(shown) is None
    assert shown["query_string"] == b"a=1"


@pytest.mark.parametrize(("case", "headers"), ALLOWED, ids=[case for case, _ in ALLOWED])
def test_always_asked_for_where_it_is_always_asked_for(case, headers, monkeypatch):
    assert decide(Policy("token", TOKEN), *headers) is not None
    assert decide(Policy("auto", TOKEN, public=True), *headers) is not None
    assert decide(Policy("auto", TOKEN, public=True), *headers, query=f"lab_token={TOKEN}") is None
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    assert decide(Policy("auto", TOKEN), *headers) is not None
    assert decide(Policy("auto", TOKEN), *headers, query=f"lab_token={TOKEN}") is None


def test_on_a_public_host_the_refusal_speaks_of_the_token_not_of_rebinding():
    refusal = decide(Policy(token=TOKEN, public=True), ("host", "lab.example.org:8000"))
    assert "asks every client for its token" in refusal.reason


@pytest.mark.parametrize(("case", "headers"), REFUSED, ids=[case for case, _ in REFUSED])
def test_switched_off_it_asks_nothing(case, headers):
    assert decide(Policy("off"), *headers) is None


def test_the_application_never_sees_the_labs_token():
    shown = scope(
        [("host", OWN), ("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer of-the-application")],
        query=f"a=%20b&lab_token={TOKEN}&c=ä",
        subprotocols=["chat", f"wslab.token.{TOKEN}"],
    )
    assert Policy(token=TOKEN).check(shown) is None
    assert shown["query_string"] == "a=%20b&c=ä".encode()
    assert shown["subprotocols"] == ["chat"]
    assert shown["headers"] == [(b"host", OWN.encode()), (b"authorization", b"Bearer of-the-application")]


def test_a_wrong_token_is_taken_out_as_well():
    shown = scope([("host", OWN)], query="lab_token=of-another-lab")
    assert Policy(token=TOKEN).check(shown) is None
    assert shown["query_string"] == b""


def test_each_lab_has_a_token_of_its_own():
    assert Policy().token != Policy().token
    assert len(Policy().token) >= 20


LOOPBACK = re.compile(
    r"(localhost|127\.(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])(\.(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])){2})(:\d*)?",
    re.ASCII | re.IGNORECASE,
)


@given(st.text(st.sampled_from("127.0.0.1localhost:[]@/%xe"), max_size=20) | st.text(max_size=20))
def test_no_host_is_let_in_that_does_not_name_this_machine_plainly(host):
    try:
        raw = host.encode("latin-1")
    except UnicodeEncodeError:
        return
    allowed = Policy(token=TOKEN).check({"headers": [(b"host", raw)], "query_string": b""}) is None
    if allowed:
        assert LOOPBACK.fullmatch(host) or host.startswith("[")


# -- the same over a real socket -----------------------------------------------------------------------

# No handshake at all (RFC 9112 section 3.2, RFC 6455 section 4.1): a server may answer 400 before the door.
MALFORMED = {
    *("no host", "two hosts", "two hosts the other way", "twice the same host", "two origins"),
    *("a tab in the host", "digits of another script"),
}
# What our own engine takes for no Host at all either; uvicorn's leave it to the door.
NO_HOST = {
    *("userinfo", "userinfo the other way", "userinfo with a port"),
    *("a path behind the host", "a URL for a host", "a list of hosts"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["wslab", "websockets-sansio"])
async def guarded(request):
    lab = wslab.Lab(token=TOKEN, ws=request.param)

    @lab.websocket("/echo")
    async def echo(ws: wslab.WebSocket):
        await ws.accept()

    await lab.start()
    yield lab
    await lab.stop()


async def knock(lab, headers, path="/echo", offers=""):
    """The status that a handshake with exactly these header fields gets, and the answer's text."""
    port = str(lab.port)
    lines = [f"GET {path} HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines += [f"{name}: {value.replace('8000', port)}" for name, value in headers]
    lines += [f"Sec-WebSocket-Protocol: {offers}"] if offers else []
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            return status, "" if status == 101 else (await reader.read(4096)).decode()
    finally:
        writer.close()


@pytest.mark.parametrize(("case", "headers"), ALLOWED, ids=[case for case, _ in ALLOWED])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_socket_is_let_in(guarded, case, headers):
    assert await knock(guarded, headers) == (101, "")


@pytest.mark.parametrize(("case", "headers"), REFUSED, ids=[case for case, _ in REFUSED])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_socket_is_refused_and_gets_in_with_the_token(guarded, case, headers):
    before = guarded.journal.published
    status, body = await knock(guarded, headers)
    assert status in {400, 403}
    if status == 403:
        assert body.strip()
        (event,) = [one for one in guarded.journal.since(before) if isinstance(one, HandshakeRefused)]
        assert event.status == 403
        assert event.remedy
        with_token = await knock(guarded, headers, f"/echo?lab_token={TOKEN}")
        assert with_token[0] == 101
    else:
        assert case in (MALFORMED | NO_HOST if guarded._core.options.ws == "wslab" else MALFORMED)


@pytest.mark.asyncio(loop_scope="module")
async def test_over_a_socket_each_place_of_the_token_opens(guarded):
    hostile = [("Host", "evil.example"), ("Origin", "https://evil.example")]
    assert (await knock(guarded, hostile))[0] == 403
    assert (await knock(guarded, hostile, f"/echo?lab_token={TOKEN}"))[0] == 101
    assert (await knock(guarded, hostile, offers=f"chat, wslab.token.{TOKEN}"))[0] == 101
    assert (await knock(guarded, [*hostile, ("Authorization", f"bearer {TOKEN}")]))[0] == 101
    assert (await knock(guarded, hostile, "/echo?lab_token=wrong"))[0] == 403
    assert (await knock(guarded, hostile, "/echo?lab_token="))[0] == 403
