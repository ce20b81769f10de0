"""The ways into a lab, and what each alters of the WebSocket that an endpoint and its client would share.

A connection is labelled with its way (`wslab.wire.Connection.via`). What is written here was measured, with
jupyter-server-proxy 4.6 for the proxy; who teaches close codes or backpressure should use another way.
"""

from __future__ import annotations

__all__ = ["WAYS", "alterations"]

WAYS = ("direct", "proxy", "tunnel", "memory")
"""A socket; Jupyter's proxy; a widget's comm; pipes within the process."""

_ALTERED = {
    "proxy": (
        "Close codes and reasons become 1005, both ways.",
        "The client's handshake is answered before the server's: a refusal looks like a dropped connection.",
        "The proxy takes the first subprotocol offered.",
        "Pings are answered by the proxy.",
        "permessage-deflate is never agreed on.",
        "There is no backpressure: what is not read piles up in the proxy.",
        "Messages above 10 MiB end the connection.",
    ),
    "tunnel": (
        "The page sends messages; the frames on the record are made in the kernel.",
        "Pings are answered in the kernel, and say nothing of the page.",
        "A message to the page may take 40 ms more: Jupyter's own connection collects small packets.",
        "Messages of the page above 8 MiB end the connection.",
    ),
}


def alterations(via: str) -> tuple[str, ...]:
    """What the way `via` alters, as sentences; nothing for "direct" and "memory".

    Example:
        >>> alterations("proxy")[0]
        'Close codes and reasons become 1005, both ways.'
        >>> alterations("direct")
        ()
    """
    return _ALTERED.get(via, ())
