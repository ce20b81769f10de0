"""Starlette's middleware that checks the Host header, of WebSocket handshakes too."""

from __future__ import annotations

from starlette.middleware.trustedhost import TrustedHostMiddleware

__all__ = ["TrustedHostMiddleware"]
