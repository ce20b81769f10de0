"""50 MB of random bytes and mutated recordings: loading them raises `RecordingError` or nothing.

``WSLAB_SOAK_SEED`` (0) chooses them. A failure names its mutant, and `Mutants(seed).make(number)` makes it.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.soak.measures import resident
from tests.wire.mutations import Mutants, feed
from wslab.errors import RecordingError
from wslab.wire import load

SEED = int(os.environ.get("WSLAB_SOAK_SEED", "0"))
SIZE = 50_000_000
GROWTH = 100 * 2**20  # bytes of memory that stay: each recording is gone before the next

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


def test_mutated_recordings_raise_the_documented_error_or_nothing(tmp_path):
    before, loaded = 0, 0
    for number, mutant in Mutants(SEED).up_to(SIZE):
        try:
            loaded += feed(tmp_path, mutant)
        except Exception as error:
            error.add_note(f"Mutants({SEED}).make({number}): {mutant.suffix}, {mutant.done}")
            raise
        if number == 50:  # all code is loaded, and the caches are filled
            before = resident()
    assert loaded > 100
    assert resident() - before < GROWTH


@pytest.mark.parametrize("suffix", [".jsonl", ".har"])
@pytest.mark.parametrize("kind", ["noise", "brackets", "lines", "empty entries"])
def test_one_large_file_of_nonsense_is_refused(tmp_path, suffix, kind):
    path = tmp_path / f"large{suffix}"
    rng = random.Random(SEED)
    if kind == "noise":
        path.write_bytes(rng.randbytes(SIZE))
    elif kind == "brackets":
        path.write_bytes(b"[" * SIZE)
    elif kind == "lines":
        path.write_bytes(b'{"type": "recording", "version": 1}\n' * (SIZE // 36))
    else:
        path.write_bytes(b'{"log": {"entries": [' + b"{}," * (SIZE // 3) + b"0]}}")
    with pytest.raises(RecordingError):
        load(path)
