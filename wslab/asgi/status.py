"""Starlette's names of HTTP statuses and close codes."""

from __future__ import annotations

from starlette import status as _status
from starlette.status import *  # noqa: F403 - every name there is, whatever the release

__all__ = _status.__all__


def __getattr__(name: str) -> int:
    return _status.__getattr__(name)  # the old names, with Starlette's warning
