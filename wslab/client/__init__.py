"""Clients for cells, and a recording's clients once more, which are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wslab.client.client import Client, Connecting, connect

if TYPE_CHECKING:
    from wslab.client.replay import Difference as Difference
    from wslab.client.replay import Replay as Replay
    from wslab.client.replay import ReplayError as ReplayError

__all__ = ["Client", "Connecting", "Difference", "Replay", "ReplayError", "connect"]


def __getattr__(name: str) -> object:
    if name not in {"Difference", "Replay", "ReplayError"}:
        raise AttributeError(f"module 'wslab.client' has no attribute {name!r}")
    from wslab.client import replay

    return getattr(replay, name)
