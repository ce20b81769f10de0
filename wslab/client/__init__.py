"""Clients for cells."""

from __future__ import annotations

from wslab.client.client import Client, Connecting, connect

__all__ = ["Client", "Connecting", "connect"]
