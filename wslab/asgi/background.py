"""Starlette's background tasks; a WebSocket's run after the connection has closed."""

from __future__ import annotations

from starlette.background import BackgroundTask, BackgroundTasks

__all__ = ["BackgroundTask", "BackgroundTasks"]
