"""What the security schemes have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.status import HTTP_401_UNAUTHORIZED

if TYPE_CHECKING:
    from wslab.asgi.security.models import SecurityBase as SecurityModel

__all__ = ["SecurityBase"]


class SecurityBase:
    """A dependency that takes credentials from the handshake or the request; it does not judge them.

    Attributes:
        model: the scheme as documents describe it.
        scheme_name: its name there.
        auto_error: whether missing credentials are refused with 401; otherwise the value is None.
    """

    model: SecurityModel
    scheme_name: str
    auto_error: bool

    def make_not_authenticated_error(self) -> HTTPException:
        """What is raised for missing credentials: 401 with a challenge (RFC 9110 section 11.6.1)."""
        return HTTPException(
            HTTP_401_UNAUTHORIZED, "Not authenticated", headers=self.make_authenticate_headers()
        )

    def make_authenticate_headers(self) -> dict[str, str]:
        """The challenge of the answer 401."""
        return {"WWW-Authenticate": "Bearer"}

    def _refused(self) -> Any:
        """None for the dependency's value, or the error, as `auto_error` says."""
        if self.auto_error:
            raise self.make_not_authenticated_error()
        return None  # said, since what calls this returns it

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.scheme_name!r}>"
