"""What a connection's attributes are made of; Starlette's own."""

from __future__ import annotations

from starlette.datastructures import URL, Address, Headers, QueryParams, State

__all__ = ["URL", "Address", "Headers", "QueryParams", "State"]
