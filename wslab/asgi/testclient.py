"""Starlette's test client, imported only on demand: it needs `httpx2`, which serving does not."""

from __future__ import annotations

from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession

__all__ = ["TestClient", "WebSocketDenialResponse", "WebSocketTestSession"]
