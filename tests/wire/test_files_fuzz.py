"""Whatever a file holds, loading it raises `RecordingError` or nothing, and what loads can be looked at."""

from __future__ import annotations

import pytest

from tests.wire.mutations import Mutants, feed

SEEDS = range(2)
SIZE = 2_000_000  # bytes a seed; `make soak` runs 50 MB (tests/soak/test_recordings.py)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_recordings_raise_the_documented_error_or_nothing(tmp_path, seed):
    loaded = 0
    for number, mutant in Mutants(seed).up_to(SIZE):
        try:
            loaded += feed(tmp_path, mutant)
        except Exception as error:
            error.add_note(f"Mutants({seed}).make({number}): {mutant.suffix}, {mutant.done}")
            raise
    assert loaded > 10  # or nothing but the error was tried
