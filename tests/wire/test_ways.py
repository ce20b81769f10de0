from __future__ import annotations

import pytest

from wslab.wire.connection import Connection
from wslab.wire.recorder import Recorder
from wslab.wire.ways import WAYS, alterations


@pytest.mark.parametrize("via", ["direct", "memory", "something new"])
def test_what_carries_the_bytes_as_they_are_alters_nothing(via):
    assert alterations(via) == ()
    connection = Connection(1, "127.0.0.1:5", Recorder(), via)
    assert connection.to_dict()["altered"] == ""
    assert "altered" not in repr(connection)


@pytest.mark.parametrize("via", ["proxy", "tunnel"])
def test_what_does_not_says_so_wherever_the_connection_is_shown(via):
    assert via in WAYS
    connection = Connection(1, "127.0.0.1:5", Recorder(), via)
    assert connection.to_dict()["altered"] == " ".join(alterations(via)) != ""
    assert f"via {via} (alters {len(alterations(via))} things: .altered)" in repr(connection)
    assert connection.altered == alterations(via)


def test_a_proxy_is_said_to_change_close_codes():
    assert any("1005" in sentence for sentence in alterations("proxy"))
