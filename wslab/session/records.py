"""Records of connections: opened, answered, ended; told in the table and in the journal at once.

Whoever carries a connection calls these three in this order: the tap on a socket, whatever serves
behind it; the lab's own protocol; the in-process ways in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wslab.events import ConnectionAccepted, ConnectionEnded, ConnectionOpened, HandshakeRefused
from wslab.wire.handshake import parse_head, redact_head

if TYPE_CHECKING:
    from wslab.journal import Journal
    from wslab.wire import Connection, ConnectionTable

__all__ = ["Observer", "kept_head", "note_accept", "note_answer", "note_end", "open_record"]

_HEAD_KEPT = 8 * 2**10  # bytes of a head that are kept to be shown: connections outlive their frames
_SWITCHING_PROTOCOLS = 101
_END = b"\r\n\r\n"


class Observer(Protocol):
    """Where connections are recorded."""

    connections: ConnectionTable
    journal: Journal


def open_record(observer: Observer, head: bytes, peer: str, via: str) -> Connection:
    """A new connection, whose upgrade request is `head`."""
    connection = observer.connections.open(peer, via)
    connection.request = kept_head(head)
    observer.journal.publish(ConnectionOpened(connection=connection.id, peer=peer, path=connection.path))
    return connection


def note_accept(observer: Observer, connection: Connection, head: bytes, subprotocol: str) -> None:
    """The handshake was answered with 101; `head` is redacted already."""
    connection.note_response(head, _SWITCHING_PROTOCOLS)
    observer.journal.publish(ConnectionAccepted(connection=connection.id, subprotocol=subprotocol))


def note_answer(observer: Observer, connection: Connection, response: bytes, status: int) -> None:
    """The handshake was answered; `response` is the head, and as much of a refusal's body as there is."""
    head, _, body = response.partition(_END)
    if status == _SWITCHING_PROTOCOLS:
        note_accept(
            observer, connection, kept_head(head + _END), parse_head(head).get("sec-websocket-protocol")
        )
        return
    connection.note_response(kept_head(head + _END), status)
    reason = connection.refusal or body[:500].decode("utf-8", "replace").strip()
    observer.journal.publish(
        HandshakeRefused(connection=connection.id, status=status, reason=reason, remedy=connection.remedy)
    )


def note_end(observer: Observer, connection: Connection) -> None:
    """The transport is gone."""
    refused = connection.state == "refused"
    connection.note_end()
    close = connection.close
    if not refused and close is not None:
        observer.journal.publish(
            ConnectionEnded(connection=connection.id, code=close.code, reason=close.reason, by=close.by)
        )


def kept_head(head: bytes) -> bytes:
    """What is stored of a head: without its secrets, and not without end."""
    redacted = redact_head(head)
    if len(redacted) <= _HEAD_KEPT:
        return redacted
    return redacted[:_HEAD_KEPT] + b"\r\n[the first %d of %d bytes]" % (_HEAD_KEPT, len(redacted)) + _END
