from __future__ import annotations

import pytest

from tests.wire.tshark import runner


@pytest.fixture(scope="session")
def tshark():
    return runner()
