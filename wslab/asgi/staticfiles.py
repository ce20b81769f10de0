"""Starlette's application that serves a folder, such as the page that goes with a socket."""

from __future__ import annotations

from starlette.staticfiles import StaticFiles

__all__ = ["StaticFiles"]
