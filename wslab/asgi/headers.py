"""Headers of an answer, in the forms in which programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from wslab.asgi.exceptions import InvalidHeaderError

__all__ = ["HeadersLike", "encode_headers"]

HeadersLike = Mapping[str, str] | Iterable[tuple[bytes | str, bytes | str]]

# RFC 9110 section 5.6.2 (token) and 5.5 (no CR, LF or NUL): anything else could start another header.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE_VALUE = re.compile(rb"[\r\n\0]")


def encode_headers(headers: HeadersLike | None) -> list[tuple[bytes, bytes]]:
    """`headers` as ASGI carries them: pairs of bytes with lower-case names.

    Raises:
        InvalidHeaderError: a name or a value that cannot stand in a header, or would become another one.

    Example:
        >>> encode_headers({"X-Room": "blue"})
        [(b'x-room', b'blue')]
    """
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [_encode_pair(name, value) for name, value in pairs]


def _encode_pair(name: bytes | str, value: bytes | str) -> tuple[bytes, bytes]:
    try:
        # ASGI asks for lower-case names; Latin-1 is what HTTP header fields are read as.
        raw_name = (name.encode("latin-1") if isinstance(name, str) else bytes(name)).lower()
        raw_value = value.encode("latin-1") if isinstance(value, str) else bytes(value)
    except (TypeError, UnicodeEncodeError):
        valid = False
        raw_name = raw_value = b""
    else:
        valid = bool(_NAME.fullmatch(raw_name)) and not _UNSAFE_VALUE.search(raw_value)
    if not valid:
        raise InvalidHeaderError(
            f"Expected a header of Latin-1 text without line breaks, got {name!r}: {value!r}.",
            remedy="Quote or percent-encode the value before it goes into a header.",
        )
    return raw_name, raw_value
