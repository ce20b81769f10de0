"""Starlette's middleware for cross-origin HTTP requests; it says nothing about WebSockets."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware

__all__ = ["CORSMiddleware"]
