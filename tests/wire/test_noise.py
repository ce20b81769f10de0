"""Whatever comes: a value, never an exception. Fifty megabytes of it are in tests/soak/test_noise.py."""

from __future__ import annotations

from tests.wire.noise import feed_all

SEED, SIZE = 6455, 3 * 2**20


def test_no_bytes_raise_anything():
    totals = feed_all(SEED, SIZE)
    assert totals["bytes"] >= SIZE
    # The bytes came to something: frames that were kept, messages put together, events of the engines.
    assert min(totals.values()) > 500, totals
