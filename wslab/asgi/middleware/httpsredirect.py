"""Starlette's middleware that sends ``http`` and ``ws`` to their TLS addresses."""

from __future__ import annotations

from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware

__all__ = ["HTTPSRedirectMiddleware"]
