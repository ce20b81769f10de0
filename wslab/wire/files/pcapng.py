"""pcapng, for Wireshark: the recorded bytes in synthesised Ethernet, IPv4 and TCP. Written only.

Wireshark dissects a WebSocket once it has seen the TCP connection begin and the handshake succeed. What
was recorded begins above TCP, so everything below is made up here, consistently: each connection has a
client address of its own (10.x.y.z is its number) and talks to 192.0.2.1 port 80, which RFC 5737 sets
apart for documentation. Sequence numbers, acknowledgements and checksums are right. Above TCP is
what was recorded and nothing else: the redacted heads, and the frames with their masks.

What is missing is said in a packet's comment. A cut frame ends its direction: the bytes behind it
would be taken for the rest of it.
"""

from __future__ import annotations

import heapq
import struct
from typing import TYPE_CHECKING

from wslab.wire.files.fields import by_connection, owners, to_ns
from wslab.wire.frames import parse_frame
from wslab.wire.handshake import accept_key
from wslab.wire.recorder import RECEIVED, SENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wslab.wire.connection import Connection
    from wslab.wire.recorder import Record

__all__ = ["MAX_SEGMENT", "dump"]

MAX_SEGMENT = 65_495
"""Bytes that one segment carries: an IPv4 packet's 65 535, less 20 of IPv4's header and 20 of TCP's."""

_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
_WINDOW = 0xFFFF
_SERVER_PORT, _FIRST_PORT, _PORTS = 80, 49_152, 16_384
_SERVER_ADDRESS = bytes((192, 0, 2, 1))
_MACS = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")  # the server's and the client's
_ETHERNET, _NANOSECONDS = 1, 9
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _USER_APPLICATION, _TIME_UNIT = 1, 4, 9
_MAX_COMMENT = 0xFFFF
_KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="  # of a handshake that was not recorded

_Packet = tuple[int, int, bytes, str]  # nanoseconds, the connection's number, bytes, comment


def dump(records: Sequence[Record], connections: Sequence[Connection] = ()) -> Iterator[bytes]:
    """A recording as the blocks of a pcapng file, packets in the order of their times.

    Args:
        records: the frames.
        connections: those to write although they may have no frame.

    Example:
        >>> b"".join(dump([]))[:4].hex()
        '0a0d0d0a'
    """
    header = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    yield _block(_SECTION, header + _options((_USER_APPLICATION, b"wslab")))
    interface = struct.pack("<HHI", _ETHERNET, 0, 0)
    yield _block(_INTERFACE, interface + _options((_TIME_UNIT, bytes((_NANOSECONDS,)))))
    grouped = by_connection(records)
    streams = [
        _Stream(connection).packets(grouped.get(connection.number, []))
        for connection in owners(records, connections)
    ]
    for nanoseconds, _, data, comment in heapq.merge(*streams, key=lambda packet: packet[0]):
        yield _packet(nanoseconds, data, comment)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(*options: tuple[int, bytes]) -> bytes:
    written = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return written + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _packet(nanoseconds: int, data: bytes, comment: str) -> bytes:
    size = len(data)
    header = struct.pack("<IIIII", 0, nanoseconds >> 32, nanoseconds & 0xFFFFFFFF, size, size)
    text = comment.encode("utf-8", "replace")[:_MAX_COMMENT]
    return _block(_PACKET, header + _padded(data) + (_options((_COMMENT, text)) if comment else b""))


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): a sum modulo 0xFFFF is a ones' complement sum."""
    total = int.from_bytes(data + b"\0" if len(data) % 2 else data) % 0xFFFF
    return 0xFFFF - total


class _Stream:
    """One connection's packets. Index 0 of each pair is what the client sends, `RECEIVED`."""

    def __init__(self, connection: Connection) -> None:
        number = connection.number
        self._connection = connection
        client = bytes((10, number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF))
        self._addresses = client, _SERVER_ADDRESS
        self._ports = _FIRST_PORT + number % _PORTS, _SERVER_PORT
        self._next = [0, 0]  # sequence numbers
        self._identification = [0, 0]
        self._now = 0

    def packets(self, records: list[Record]) -> Iterator[_Packet]:
        """All packets, first to last; times never run backwards."""
        connection = self._connection
        self._now = to_ns(connection.opened_at)
        yield self._segment(RECEIVED, _SYN, comment=self._title(records))
        yield self._segment(SENT, _SYN | _ACK)
        yield self._segment(RECEIVED, _ACK)
        yield from self._handshake(records)
        over = [False, False]
        for record in records:
            direction, wire_length, raw = record.direction, record.wire_length, record.raw
            self._now = max(self._now, record.at_ns)
            if over[direction]:
                continue
            comment = ""
            if len(raw) < wire_length:
                over[direction] = True
                comment = (
                    f"Cut: {len(raw)} of this frame's {wire_length} bytes were kept. "
                    "What followed in this direction is left out."
                )
            yield from self._send(direction, raw, comment)
        if connection.ended_at:
            self._now = max(self._now, to_ns(connection.ended_at))
            first = RECEIVED if connection.first_closer == "client" else SENT
            for side in (first, 1 - first):
                yield self._segment(side, _FIN | _ACK)
                yield self._segment(1 - side, _ACK)

    def _title(self, records: list[Record]) -> str:
        connection = self._connection
        frames = (parse_frame(record.raw, record.wire_length) for record in records)
        kept = sum(frame is not None and frame.ended for frame in frames)  # one that broke off is not counted
        missing = connection.received.frames + connection.sent.frames - kept
        dropped = f" Its first {missing} frames are no longer kept." if missing > 0 else ""
        peer = f" from {connection.peer}" if connection.peer else ""
        return (
            f"{connection.id}{peer}, via {connection.via}.{dropped} Ethernet, IPv4 and TCP are synthesised."
        )

    def _handshake(self, records: list[Record]) -> Iterator[_Packet]:
        connection = self._connection
        if connection.request:
            yield from self._send(RECEIVED, connection.request)
            yield from self._send(SENT, connection.response)
        elif records:
            note = "No handshake was recorded: this one is synthesised, for frames are read only behind one."
            upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-"
            request = b"GET / HTTP/1.1\r\nHost: unknown.invalid\r\n" + upgrade + b"Version: 13\r\n"
            yield from self._send(RECEIVED, request + b"Sec-WebSocket-Key: " + _KEY + b"\r\n\r\n", note)
            accept = accept_key(_KEY).encode("ascii")
            response = b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"Accept: " + accept
            yield from self._send(SENT, response + b"\r\n\r\n", note)

    def _send(self, side: int, data: bytes, comment: str = "") -> Iterator[_Packet]:
        for start in range(0, len(data), MAX_SEGMENT):
            piece = data[start : start + MAX_SEGMENT]
            yield self._segment(side, _PSH | _ACK, piece, comment if start + MAX_SEGMENT >= len(data) else "")
            yield self._segment(1 - side, _ACK)  # or the window would seem full

    def _segment(self, side: int, flags: int, data: bytes = b"", comment: str = "") -> _Packet:
        """One TCP segment that `side` sends, in IPv4 and Ethernet."""
        other = 1 - side
        source, target = self._addresses[side], self._addresses[other]
        size = 20 + len(data)
        acknowledged = self._next[other] if flags & _ACK else 0
        fields = (
            self._ports[side],
            self._ports[other],
            self._next[side],
            acknowledged,
            5 << 4,
            flags,
            _WINDOW,
        )
        tcp = struct.pack(">HHIIBBHHH", *fields, 0, 0)
        pseudo = source + target + struct.pack(">BBH", 0, 6, size)
        check = _checksum(pseudo + tcp + data)
        tcp = tcp[:16] + check.to_bytes(2) + tcp[18:]
        identification = self._identification[side] = (self._identification[side] + 1) & 0xFFFF
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, identification, 0x4000, 64, 6, 0) + source + target
        ip = ip[:10] + _checksum(ip).to_bytes(2) + ip[12:]
        ethernet = _MACS[side] + _MACS[other] + b"\x08\x00"
        advance = len(data) + bool(flags & (_SYN | _FIN))
        self._next[side] = (self._next[side] + advance) & 0xFFFFFFFF
        return self._now, self._connection.number, ethernet + ip + tcp + data, comment
