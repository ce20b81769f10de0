"""A cell that waits for a server which waits for the cell.

A synchronous client in a cell, or in an endpoint, holds the loop that its own server runs in: neither can
go on. The meter of the loop's lag calls `DeadlockGuard.look` while the loop is held. Where the held code
waits at a socket whose peer is the lab itself, the cell is told at once what happens and what to write
instead. And since in the lab's own loop there is provably no other way out, the client's socket is shut
down after `FREE` seconds: its blocking call then returns as it does when any server hangs up, in whatever
thread it waits, and the library closes what it has to. (An exception raised into the thread from outside
would read better, but may strike one step later, in code that has nothing to do with it.)

The socket is searched for in the library's frames above the user's code; in the user's own frame only as
the object whose blocking method is being called. A client that merely exists while its cell sleeps is
none.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import socket
import ssl
from typing import TYPE_CHECKING, Any, cast

from wslab.events import Notice
from wslab.server.stacks import in_library, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from wslab.journal import Journal
    from wslab.server.cells import Cells
    from wslab.server.stacks import Holder

__all__ = ["FREE", "TELL", "DeadlockGuard"]

TELL = 1.0
"""Seconds that the loop is held before a deadlock is told."""

FREE = 5.0
"""Seconds after which the waiting client's connection is cut."""

_BLOCKING = frozenset({"recv", "recv_into", "recvfrom", "recvmsg", "read", "send", "sendall", "connect"})
_HOLDERS = ("sock", "_sock", "socket")  # what common clients call their socket
_SYNC_CLIENTS = frozenset({"websockets", "websocket"})  # packages whose blocking clients speak WebSocket


class DeadlockGuard:
    """Tells a deadlock, and ends it.

    Args:
        journal: told what the cell is told.
        cells: where the cell is told.
        address: gives the host and the port that the lab serves now; port 0 while it does not.
    """

    def __init__(self, journal: Journal, cells: Cells, address: Callable[[], tuple[str, int]]) -> None:
        self._journal = journal
        self._cells = cells
        self._address = address
        self._told = 0.0  # how long the loop had been held when it was told

    def look(self, frame: FrameType, holder: Holder, held: float) -> None:
        """Look at code that has held the loop for `held` seconds; called again and again meanwhile."""
        if held < self._told:
            self._told = 0.0  # the loop has turned since: another case
        if held < TELL:
            return
        sock = find_socket(frame, self._address())
        if sock is None:
            return
        if not self._told:
            self._told = held
            self._tell(frame, holder)
        if held >= FREE:
            free(sock)

    def _tell(self, frame: FrameType, holder: Holder) -> None:
        host, port = self._address()
        problem = (
            f"wslab: {holder.by or 'this code'} waits for the lab's server at {host}:{port}, "
            "which runs in the very loop that it holds: neither can go on."
        )
        advice = "\n".join(f"    {line}" for line in what_to_write(frame, in_cell=not holder.connection))
        text = (
            f"{problem}\nWrite one of these instead:\n{advice}\n"
            f"After {FREE:g} seconds its connection is cut, so that it can go on."
        )
        self._journal.publish(Notice(connection=holder.connection, level="error", text=text))
        self._cells.tell(text)


def find_socket(frame: FrameType, address: tuple[str, int]) -> socket.socket | None:
    """The socket to `address` that the code of `frame` waits at, or None."""
    for each in walk(frame):
        own = not in_library(each)
        found = _called_on(each) if own else list(each.f_locals.values())
        for sock in itertools.chain.from_iterable(_sockets(value) for value in found):
            if _leads_to(sock, address):
                return sock
        if own:
            return None
    return None


def _sockets(value: object) -> Iterator[socket.socket]:
    """`value`, if it is a socket, or those that it holds under one of the usual names."""
    if issubclass(type(value), socket.socket):  # `isinstance` would ask the object
        yield cast("socket.socket", value)
        return
    attributes = _attributes(value)
    for name in _HOLDERS:
        held = attributes.get(name)
        if issubclass(type(held), socket.socket):
            yield cast("socket.socket", held)


def _attributes(value: object) -> dict[str, Any]:
    """What is stored in `value`. None of its own code runs: it is another thread's object."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _called_on(frame: FrameType) -> list[object]:
    """The object whose blocking method the frame calls just now, as far as its source tells."""
    call = _present_call(frame)
    if call is None or not isinstance(call.func, ast.Attribute) or call.func.attr not in _BLOCKING:
        return []
    names: list[str] = []
    node = call.func.value
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return []
    value: Any = frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    for name in names:
        value = _attributes(value).get(name)
    return [value]


def _present_call(frame: FrameType) -> ast.Call | None:
    """The call that the frame waits in, read from its source."""
    code = frame.f_code
    at = next(itertools.islice(code.co_positions(), max(0, frame.f_lasti // 2), None), None)
    if at is None or None in at:
        return None
    first, last, begin, end = (int(number or 0) for number in at)
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(first, last + 1)]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]  # columns count bytes of UTF-8
    lines[0] = lines[0][begin:]
    try:
        parsed = ast.parse(b"".join(lines).decode(errors="replace").strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return parsed if isinstance(parsed, ast.Call) else None


def _leads_to(sock: socket.socket, address: tuple[str, int]) -> bool:
    host, port = address
    if sock.gettimeout() == 0:
        return False  # nothing can wait at it: it is a loop's own
    try:
        peer, own = sock.getpeername(), sock.getsockname()
    except (OSError, ValueError):
        return False  # not connected, or closed in the meantime
    if sock.family not in {socket.AF_INET, socket.AF_INET6} or not port or peer[1] != port:
        return False
    # A lab on 0.0.0.0 is reached by any of this machine's addresses: then both ends have the same.
    return peer[0] in {host, own[0], "127.0.0.1", "::1", "::ffff:127.0.0.1"}


def what_to_write(frame: FrameType, *, in_cell: bool = True) -> list[str]:
    """Lines that do what the held code wants without holding the loop."""
    speaks_websocket = False
    call = None
    for each in walk(frame):
        if not in_library(each):
            call = _present_call(each)
            break
        package = each.f_globals.get("__name__", "").partition(".")[0]
        speaks_websocket = speaks_websocket or package in _SYNC_CLIENTS
    thread = "await asyncio.to_thread(…)  # your call, in a thread"
    if call is not None:
        parts = [ast.unparse(call.func), *map(ast.unparse, call.args), *map(_keyword, call.keywords)]
        thread = f"await asyncio.to_thread({', '.join(parts)})  # the same call, in a thread"
    client = 'async with lab.connect("/path") as client: …  # a client that awaits'
    lines = [client, thread] if speaks_websocket else [thread, client]
    if in_cell:  # an endpoint would hold that thread's loop instead
        lines.append('lab = wslab.Lab(app, loop="thread")  # a server in a thread of its own')
    return lines


def _keyword(keyword: ast.keyword) -> str:
    value = ast.unparse(keyword.value)
    return f"{keyword.arg}={value}" if keyword.arg else f"**{value}"


def free(sock: socket.socket) -> None:
    """Make whatever waits at `sock` return, in whatever thread it does."""
    if isinstance(sock, ssl.SSLSocket):
        # SSLSocket.shutdown forgets the TLS state under the waiting call; the plain socket's does not.
        shutdown: Callable[[int], None] = super(ssl.SSLSocket, sock).shutdown
    else:
        shutdown = sock.shutdown
    try:
        shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it ended by itself
