"""Starlette's middleware that compresses HTTP responses; WebSockets have permessage-deflate."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware

__all__ = ["GZipMiddleware"]
