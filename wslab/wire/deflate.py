"""permessage-deflate: how it is agreed on, and its codec (RFC 7692).

Raw DEFLATE, a message at a time, over a window of earlier messages unless a side gave that up
("no context takeover"). Windows are powers of two, named by their exponent, 8 to 15.

zlib cannot compress raw data within a window of 8 bits. A peer that asks for it is served all the
same: the codec then looks back one byte only, which fits into every window.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from wslab.errors import WSLabError
from wslab.wire.extensions import ExtensionSyntaxError, parse_extensions
from wslab.wire.heads import HandshakeError

__all__ = [
    "DeflateError",
    "DeflateOptions",
    "DeflateOptionsError",
    "DeflateTooLargeError",
    "PerMessageDeflate",
    "agree",
    "negotiate",
    "offer",
]

_NAME = "permessage-deflate"
_FLAGS = frozenset({"server_no_context_takeover", "client_no_context_takeover"})
_BITS = {str(bits): bits for bits in range(8, 16)}  # section 7.1.2: decimal, without leading zeros
_MAX_BITS, _ZLIB_MIN_BITS = 15, 9
_TAIL = b"\x00\x00\xff\xff"  # ends what Z_SYNC_FLUSH writes, and is left out on the wire (section 7.2.1)
_MAX_FINAL_BLOCKS = 8


class DeflateError(WSLabError):
    """A compressed message that cannot be inflated."""


class DeflateTooLargeError(DeflateError):
    """A message that inflates to more than is taken."""


class DeflateOptionsError(WSLabError, ValueError):
    """An option that DEFLATE does not have."""


@dataclass(frozen=True, slots=True)
class DeflateOptions:
    """What a side wishes for; what both agree on is never more.

    Attributes:
        server_no_context_takeover, client_no_context_takeover: that side forgets its window after
            each message: less memory, and worse compression.
        server_max_window_bits, client_max_window_bits: exponent of that side's window, 8–15.
        level: zlib's effort, 0–9.
        mem_level: zlib's memory for compressing, 1–9.

    Raises:
        DeflateOptionsError: a number outside of its range.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 12
    client_max_window_bits: int = 12
    level: int = 6
    mem_level: int = 5

    def __post_init__(self) -> None:
        for name, low, high in (
            ("server_max_window_bits", 8, 15),
            ("client_max_window_bits", 8, 15),
            ("level", 0, 9),
            ("mem_level", 1, 9),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise DeflateOptionsError(
                    f"Expected {name} of {low}–{high}, got {value}.", remedy="Choose another."
                )


class PerMessageDeflate:
    r"""The codec of one side of one connection.

    Compressor and window come into being with the first message: a connection that is silent costs
    no memory for them.

    Args:
        compress_bits: exponent of the window that this side compresses with.
        decompress_bits: exponent of the window that the peer compresses with.
        compress_reset: forget our window after each message.
        decompress_reset: the peer forgets its own.
        level, mem_level: as in `DeflateOptions`.

    Example:
        >>> codec = PerMessageDeflate()
        >>> codec.compress(b"Hello").hex(" ")  # the first example of section 7.2.3
        'f2 48 cd c9 c9 07 00'
        >>> codec.decompress(bytes.fromhex("f2 48 cd c9 c9 07 00"), 100)
        b'Hello'
    """

    __slots__ = (
        "_compress_bits",
        "_compress_reset",
        "_compressor",
        "_decompress_bits",
        "_decompress_reset",
        "_decompressor",
        "_level",
        "_mem_level",
    )

    def __init__(
        self,
        *,
        compress_bits: int = 15,
        decompress_bits: int = 15,
        compress_reset: bool = False,
        decompress_reset: bool = False,
        level: int = 6,
        mem_level: int = 5,
    ) -> None:
        self._compress_bits = compress_bits
        self._decompress_bits = decompress_bits
        self._compress_reset = compress_reset
        self._decompress_reset = decompress_reset
        self._level = level
        self._mem_level = mem_level
        self._compressor: zlib._Compress | None = None
        self._decompressor: zlib._Decompress | None = None

    def __repr__(self) -> str:
        return (
            f"<PerMessageDeflate compress={self._compress_bits}{' reset' * self._compress_reset} "
            f"decompress={self._decompress_bits}{' reset' * self._decompress_reset}>"
        )

    def compress(self, payload: bytes) -> bytes:
        """`payload` as it goes into the frames of a message that has RSV1 (section 7.2.1)."""
        if not payload:
            return b"\x00"  # section 7.2.3.6; zlib has nothing to flush and would write nothing
        compressor = self._compressor or self._new_compressor()
        compressed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        self._compressor = None if self._compress_reset else compressor
        return compressed[:-4]

    def decompress(self, payload: bytes, limit: int | None) -> bytes:
        """The message whose frames, put together, have `payload` (section 7.2.2).

        Args:
            payload: of all fragments.
            limit: bytes of the largest message taken; None for no limit. Inflating stops one byte above.

        Raises:
            DeflateTooLargeError: the message is larger.
            DeflateError: `payload` is no DEFLATE.
        """
        decompressor = self._decompressor or self._new_decompressor(b"")
        self._decompressor = None
        message = _inflate(decompressor, payload + _TAIL, limit, 0)
        if decompressor.eof:
            message, decompressor = self._inflate_rest(message, decompressor, limit)
        if not self._decompress_reset:
            self._decompressor = decompressor
        return message

    def _inflate_rest(
        self, message: bytes, decompressor: zlib._Decompress, limit: int | None
    ) -> tuple[bytes, zlib._Decompress]:
        """Go on after a final block, which a peer may use (section 7.2.3.4) and zlib stops at."""
        for _ in range(_MAX_FINAL_BLOCKS):
            rest = decompressor.unused_data
            decompressor = self._new_decompressor(message)
            # A peer that spared the padding after its final block leaves nothing but the tail.
            if len(rest) <= len(_TAIL):
                return message, decompressor
            message += _inflate(decompressor, rest, limit, len(message))
            if not decompressor.eof:
                return message, decompressor
        # Each costs a new window: without an end to it, a megabyte of them would hold the loop for minutes.
        raise DeflateError(f"Expected at most {_MAX_FINAL_BLOCKS} final blocks in a message, got more.")

    def _new_compressor(self) -> zlib._Compress:
        bits = self._compress_bits
        strategy = zlib.Z_RLE if bits < _ZLIB_MIN_BITS else zlib.Z_DEFAULT_STRATEGY
        return zlib.compressobj(
            self._level, zlib.DEFLATED, -max(bits, _ZLIB_MIN_BITS), self._mem_level, strategy
        )

    def _new_decompressor(self, history: bytes) -> zlib._Decompress:
        # At least 9: releases of zlib before 1.2.9 promised 8 and used 9, and peers still do.
        bits = max(self._decompress_bits, _ZLIB_MIN_BITS)
        return (
            zlib.decompressobj(-bits, zdict=history[-(1 << bits) :]) if history else zlib.decompressobj(-bits)
        )


def _inflate(decompressor: zlib._Decompress, data: bytes, limit: int | None, already: int) -> bytes:
    room = 0 if limit is None else limit - already + 1  # 0 is zlib's word for no limit
    try:
        piece = decompressor.decompress(data, room)
    except zlib.error as error:
        raise DeflateError(f"Expected DEFLATE, got bytes that are not: {error}.") from None
    if limit is not None and len(piece) >= room:
        raise DeflateTooLargeError(f"Expected at most {limit} bytes after inflating, got more.")
    return piece


# -- agreeing --------------------------------------------------------------------------------------
def _read_parameters(parameters: list[tuple[str, str | None]]) -> dict[str, int | None] | None:
    """The parameters by name, None for one without a value; None where one is not of this extension."""
    read: dict[str, int | None] = {}
    for name, value in parameters:
        if name in read:
            return None
        if name in _FLAGS:
            if value is not None:
                return None
            read[name] = None
        elif name == "client_max_window_bits" and value is None:
            read[name] = None
        elif name in {"server_max_window_bits", "client_max_window_bits"} and value in _BITS:
            read[name] = _BITS[value]
        else:
            return None
    return read


def negotiate(offers: str, options: DeflateOptions) -> tuple[str, PerMessageDeflate] | None:
    """A server's choice among a client's offers (section 7.1): the first that can be met.

    Args:
        offers: `UpgradeRequest.extensions`, with whatever extensions it names.
        options: what this server wishes for; it never uses a larger window than the client asks for.

    Returns:
        What to answer in `Sec-WebSocket-Extensions`, and the codec; None to go on without.

    Example:
        >>> negotiate("permessage-deflate; client_max_window_bits", DeflateOptions())[0]
        'permessage-deflate; server_max_window_bits=12; client_max_window_bits=12'
        >>> negotiate("permessage-deflate; server_max_window_bits=99", DeflateOptions()) is None
        True
    """
    try:
        extensions = parse_extensions(offers) if offers else []
    except ExtensionSyntaxError:
        return None  # `read_upgrade` has refused such a client; compression is nothing to fail for
    for name, parameters in extensions:
        wished = _read_parameters(parameters) if name == _NAME else None
        if wished is None:
            continue
        server_bits = min(wished.get("server_max_window_bits") or _MAX_BITS, options.server_max_window_bits)
        client_bits = _MAX_BITS  # a client that does not say it could take less must not be told (7.1.2.2)
        if "client_max_window_bits" in wished:
            client_bits = min(wished["client_max_window_bits"] or _MAX_BITS, options.client_max_window_bits)
        server_reset = options.server_no_context_takeover or "server_no_context_takeover" in wished
        client_reset = options.client_no_context_takeover or "client_no_context_takeover" in wished
        answer = [_NAME]
        if server_reset:
            answer.append("server_no_context_takeover")
        if client_reset:
            answer.append("client_no_context_takeover")
        if server_bits < _MAX_BITS or "server_max_window_bits" in wished:
            answer.append(f"server_max_window_bits={server_bits}")
        if client_bits < _MAX_BITS:
            answer.append(f"client_max_window_bits={client_bits}")
        codec = PerMessageDeflate(
            compress_bits=server_bits,
            decompress_bits=client_bits,
            compress_reset=server_reset,
            decompress_reset=client_reset,
            level=options.level,
            mem_level=options.mem_level,
        )
        return "; ".join(answer), codec
    return None


def offer(options: DeflateOptions) -> str:
    """What a client with these wishes writes in `Sec-WebSocket-Extensions`.

    Example:
        >>> offer(DeflateOptions(server_max_window_bits=15))
        'permessage-deflate; client_max_window_bits=12'
    """
    parts = [_NAME]
    if options.server_no_context_takeover:
        parts.append("server_no_context_takeover")
    if options.client_no_context_takeover:
        parts.append("client_no_context_takeover")
    if options.server_max_window_bits < _MAX_BITS:
        parts.append(f"server_max_window_bits={options.server_max_window_bits}")
    bits = options.client_max_window_bits
    parts.append("client_max_window_bits" if bits == _MAX_BITS else f"client_max_window_bits={bits}")
    return "; ".join(parts)


def agree(offered: DeflateOptions, answer: str) -> PerMessageDeflate | None:
    """A client's codec after the server's answer to `offer(offered)`.

    Args:
        offered: the options offered.
        answer: `UpgradeResponse.extensions`.

    Returns:
        None where the server chose to go on without.

    Raises:
        HandshakeError: the answer is none to what was offered: the client must fail the connection
            (RFC 7692 section 7.1, RFC 6455 section 4.1).

    Example:
        >>> agree(DeflateOptions(), "") is None
        True
        >>> agree(DeflateOptions(), "permessage-deflate; server_max_window_bits=10")
        <PerMessageDeflate compress=12 decompress=10>
    """
    if not answer:
        return None
    try:
        extensions = parse_extensions(answer)
    except ExtensionSyntaxError as error:
        raise HandshakeError(101, error.problem) from None
    given = _read_parameters(extensions[0][1]) if [name for name, _ in extensions] == [_NAME] else None
    server_bits = (given or {}).get("server_max_window_bits")
    client_bits = (given or {}).get("client_max_window_bits")
    if (
        given is None
        or ("client_max_window_bits" in given and client_bits is None)
        or (offered.server_no_context_takeover and "server_no_context_takeover" not in given)
        or (server_bits or _MAX_BITS) > offered.server_max_window_bits
    ):
        raise HandshakeError(
            101,
            f"Expected an answer to '{offer(offered)}', got {answer!a:.160}.",
            "Connect without compression.",
        )
    return PerMessageDeflate(
        compress_bits=min(client_bits or _MAX_BITS, offered.client_max_window_bits),
        decompress_bits=server_bits or _MAX_BITS,
        compress_reset=offered.client_no_context_takeover or "client_no_context_takeover" in given,
        decompress_reset="server_no_context_takeover" in given,
        level=offered.level,
        mem_level=offered.mem_level,
    )
