"""The door: Host, Origin and token, as a table."""

from __future__ import annotations

import pytest

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
    ("IPv6", [("host", "[::1]:8000")]),
    ("another loopback address", [("host", "127.8.9.1")]),
    ("the lab's own page", [("host", OWN), ("origin", f"http://{OWN}")]),
    ("its own page by name", [("host", "localhost:8000"), ("origin", "http://localhost:8000")]),
]
REFUSED = [
    ("no host", []),
    ("rebinding", [("host", "evil.example:8000")]),
    ("rebinding with its own origin", [("host", "evil.example"), ("origin", "http://evil.example")]),
    ("loopback as a prefix", [("host", "127.0.0.1.evil.example")]),
    ("localhost as a prefix", [("host", "localhost.evil.example")]),
    ("userinfo", [("host", "127.0.0.1@evil.example")]),
    ("userinfo the other way", [("host", "evil.example@127.0.0.1")]),
    ("an address of the network", [("host", "192.168.1.7:8000")]),
    ("any address", [("host", "0.0.0.0:8000")]),
    ("a broken IPv6", [("host", "[::1:8000")]),
    ("two hosts", [("host", OWN), ("host", "evil.example")]),
    ("a hostile page", [("host", OWN), ("origin", "https://evil.example")]),
    ("a sandboxed page", [("host", OWN), ("origin", "null")]),
    ("an empty origin", [("host", OWN), ("origin", "")]),
    ("JupyterLab", [("host", OWN), ("origin", "http://127.0.0.1:8888")]),
    ("the own origin as a prefix", [("host", OWN), ("origin", f"http://{OWN}.evil.example")]),
    ("userinfo in the origin", [("host", OWN), ("origin", f"http://{OWN}@evil.example")]),
    ("a path in the origin", [("host", OWN), ("origin", f"http://{OWN}/x")]),
    ("another scheme", [("host", OWN), ("origin", f"file://{OWN}")]),
    ("two origins", [("host", OWN), ("origin", f"http://{OWN}"), ("origin", "http://evil.example")]),
    ("a broken origin", [("host", OWN), ("origin", "http://[::1")]),
]


@pytest.mark.parametrize(("case", "headers"), ALLOWED, ids=[case for case, _ in ALLOWED])
def test_allowed_without_a_token(case, headers):
    assert decide(Policy(token=TOKEN), *headers) is None


@pytest.mark.parametrize(("case", "headers"), REFUSED, ids=[case for case, _ in REFUSED])
def test_refused_without_a_token_and_told_what_to_do(case, headers):
    refusal = decide(Policy(token=TOKEN), *headers)
    assert refusal is not None
    assert refusal.reason
    assert refusal.remedy
    assert TOKEN not in refusal.reason + refusal.remedy


@pytest.mark.parametrize(("case", "headers"), ALLOWED + REFUSED, ids=[case for case, _ in ALLOWED + REFUSED])
def test_with_the_token_in_any_of_its_places_every_door_opens(case, headers):
    policy = Policy(token=TOKEN)
    bearer = ("authorization", f"Bearer {TOKEN}")
    assert decide(policy, *headers, query=f"a=1&lab_token={TOKEN}") is None
    assert decide(policy, *headers, subprotocols=["chat", f"wslab.token.{TOKEN}"]) is None
    assert decide(policy, *headers, bearer) is None


@pytest.mark.parametrize("given", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"])
def test_a_wrong_token_opens_nothing(given):
    hostile = [("host", OWN), ("origin", "https://evil.example")]
    assert decide(Policy(token=TOKEN), *hostile, query=f"lab_token={given}") is not None
    assert decide(Policy(token=TOKEN), *hostile, query=f"token={TOKEN}") is not None


@pytest.mark.parametrize(("case", "headers"), ALLOWED, ids=[case for case, _ in ALLOWED])
def test_always_asked_for_where_it_is_always_asked_for(case, headers, monkeypatch):
    assert decide(Policy("token", TOKEN), *headers) is not None
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    assert decide(Policy("auto", TOKEN), *headers) is not None
    assert decide(Policy("auto", TOKEN), *headers, query=f"lab_token={TOKEN}") is None


@pytest.mark.parametrize(("case", "headers"), REFUSED, ids=[case for case, _ in REFUSED])
def test_switched_off_it_asks_nothing(case, headers):
    assert decide(Policy("off"), *headers) is None


def test_the_application_never_sees_the_labs_token():
    shown = scope(
        [("host", OWN)], query=f"a=%20b&lab_token={TOKEN}&c=ä", subprotocols=["chat", f"wslab.token.{TOKEN}"]
    )
    assert Policy(token=TOKEN).check(shown) is None
    assert shown["query_string"] == "a=%20b&c=ä".encode()
    assert shown["subprotocols"] == ["chat"]


def test_each_lab_has_a_token_of_its_own():
    assert Policy().token != Policy().token
    assert len(Policy().token) >= 20
