"""One server of each kind for all cases, and the table of what other implementations do differently."""

from __future__ import annotations

import pytest

from tests.conformance import harness
from tests.conformance.deviations import DEVIATIONS
from tests.conformance.harness import Mismatch, Server, echo_app
from wslab import Lab

IMPLEMENTATIONS = ("wslab", *DEVIATIONS)

BRIEF = 0.3
"""Seconds that are waited for what is known not to come."""


def pytest_generate_tests(metafunc):
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", IMPLEMENTATIONS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request):
    server = Server(lambda: Lab(echo_app(("chat", "superchat")), ws=request.param))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ours():
    """A server of the lab's own kind, for what no other one does."""
    server = Server(lambda: Lab(echo_app(), ws="wslab"))
    yield server
    server.stop()


def deviation(item):
    """The entry of the table that `item` is about, as (implementation, key); None where there is none."""
    callspec = getattr(item, "callspec", None)
    implementation = callspec.params.get("server") if callspec else None
    table = DEVIATIONS.get(implementation, {})
    case = item.name.replace(f"[{implementation}-", "[").replace(f"[{implementation}]", "")
    return next(((implementation, key) for key in (case, item.originalname) if key in table), None)


def pytest_collection_modifyitems(config, items):
    """A whole function that deviates is tried once: each of its cases would be waited for in vain."""
    seen, kept, dropped = set(), [], []
    for item in items:
        found = deviation(item) if item.path.parent.name == "conformance" else None
        (dropped if found in seen else kept).append(item)
        if found is not None:
            seen.add(found)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """A case that an implementation is known to fail has to fail: the table cannot grow stale."""
    found = deviation(pyfuncitem)
    if found is None:
        return (yield)
    patience, harness.PATIENCE = harness.PATIENCE, BRIEF
    try:
        yield
    except Mismatch:
        return True
    finally:
        harness.PATIENCE = patience
    implementation, key = found
    return pytest.fail(f"{implementation} passes {key} now: take it out of tests/conformance/deviations.py")
