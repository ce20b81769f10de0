"""Reading the Authorization header."""

from __future__ import annotations

__all__ = ["get_authorization_scheme_param"]


def get_authorization_scheme_param(authorization_header_value: str | None) -> tuple[str, str]:
    """The scheme and what follows it (RFC 9110 section 11.4); two empty texts where there is no header.

    Example:
        >>> get_authorization_scheme_param("Bearer  abc ")
        ('Bearer', 'abc')
    """
    scheme, _, parameter = (authorization_header_value or "").partition(" ")
    return scheme, parameter.strip()
