"""Clients for cells."""

from __future__ import annotations

from wslab.client.client import Client, Connecting, connect
from wslab.client.replay import Difference, Replay, ReplayError

__all__ = ["Client", "Connecting", "Difference", "Replay", "ReplayError", "connect"]
