"""Fifty megabytes that nobody meant, for everything that reads the wire: nothing is raised.

``WSLAB_SOAK_SEED`` (0) chooses the bytes. A failure names the seed of its round: `feed_all` repeats it.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.wire.noise import feed_all

SEED = int(os.environ.get("WSLAB_SOAK_SEED", "0"))
SIZE = 50 * 2**20
ROUND = 2**20

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def test_fifty_megabytes_raise_nothing():
    totals: Counter[str] = Counter()
    number = 0
    while totals["bytes"] < SIZE:
        seed = f"{SEED} {number}"
        try:
            totals.update(feed_all(seed, ROUND))
        except BaseException as error:
            error.add_note(f"in feed_all({seed!r}, {ROUND})")
            raise
        number += 1
    print(f"\n{number} rounds: {dict(totals)}")
    assert min(totals.values()) > 10_000, totals
