"""Threads for synchronous code: Starlette's functions."""

from __future__ import annotations

from contextlib import asynccontextmanager

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool, run_until_first_complete

__all__ = ["asynccontextmanager", "iterate_in_threadpool", "run_in_threadpool", "run_until_first_complete"]
