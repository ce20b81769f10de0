"""Close codes and reasons (RFC 6455 sections 5.5.1 and 7.4, and the IANA registry)."""

from __future__ import annotations

__all__ = ["CLOSE_CODES", "MAX_REASON", "check_close", "close_problem", "cut_reason", "name_close_code"]

CLOSE_CODES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake",
}
"""The registered codes; 1005, 1006 and 1015 are never on the wire (section 7.4.1)."""

MAX_REASON = 123
"""Bytes of UTF-8 that fit beside the code: a control frame carries 125 (section 5.5)."""

_SENDABLE = frozenset({1000, 1001, 1003, *range(1007, 1015)})
_RECEIVABLE = _SENDABLE | {1002}
_PRIVATE = range(3000, 5000)


def name_close_code(code: int) -> str:
    """`code` with its registered name, where it has one.

    Example:
        >>> name_close_code(1001), name_close_code(4000)
        ('1001 (going away)', '4000')
    """
    name = CLOSE_CODES.get(code)
    return f"{code} ({name})" if name else str(code)


def cut_reason(reason: str) -> str:
    """`reason` cut at a character's end to what a close frame can carry.

    Example:
        >>> cut_reason("é" * 100) == "é" * 61
        True
    """
    return reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def check_close(code: object, reason: object) -> str:
    """What keeps `code` and `reason` from being sent in a close frame; "" where nothing does.

    An endpoint may send 1000, 1001, 1003, 1007–1014 and 3000–4999; 1004–1006 and 1015 never travel,
    and 1002 is for the protocol engine to say.

    Example:
        >>> check_close(1000, "bye")
        ''
        >>> check_close(1006, "")
        'Expected a close code of 1000, 1001, 1003, 1007–1014 or 3000–4999, got 1006.'
    """
    if not isinstance(code, int) or isinstance(code, bool):
        return f"Expected a close code as a whole number, got {code!r:.40}."
    if code not in _SENDABLE and code not in _PRIVATE:
        return f"Expected a close code of 1000, 1001, 1003, 1007–1014 or 3000–4999, got {code}."
    if not isinstance(reason, str):
        return f"Expected the reason as text, got {reason!r:.40}."
    try:
        length = len(reason.encode())
    except UnicodeEncodeError:
        return "Expected the reason as text that UTF-8 can carry, got a lone surrogate."
    if length > MAX_REASON:
        return f"Expected a reason of at most {MAX_REASON} bytes of UTF-8, got {length}."
    return ""


def close_problem(payload: bytes) -> str:
    """What is wrong with a close frame's payload as it was received (section 5.5.1); "" for a good one.

    Args:
        payload: unmasked, and whole.

    Example:
        >>> close_problem(b""), close_problem(bytes([0x03, 0xE8]) + b"bye")
        ('', '')
        >>> close_problem(bytes([0x03, 0xEE]))
        '1006 is no close code that may be sent (RFC 6455 section 7.4).'
    """
    if not payload:
        return ""
    if len(payload) == 1:
        return "A close frame carries no byte, or a code of two (RFC 6455 section 5.5.1)."
    code = int.from_bytes(payload[:2])
    if code not in _RECEIVABLE and code not in _PRIVATE:
        return f"{code} is no close code that may be sent (RFC 6455 section 7.4)."
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return "The close reason is not UTF-8 (RFC 6455 section 5.5.1)."
    return ""
