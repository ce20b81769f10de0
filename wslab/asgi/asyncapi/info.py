"""What an application says about itself beside its routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AsyncAPIInfo"]


@dataclass(frozen=True, slots=True)
class AsyncAPIInfo:
    """The rarer fields of the AsyncAPI info object, in FastAPI's words, and the servers.

    Attributes:
        contact: `name`, `url`, `email`.
        license_info: `name`, `url`.
        servers: `url` and `description` each.
    """

    summary: str | None
    terms_of_service: str | None
    contact: Mapping[str, str]
    license_info: Mapping[str, str]
    servers: tuple[Mapping[str, Any], ...]
