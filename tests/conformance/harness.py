"""A lab in a thread of its own, and a raw client: every byte in the test's hand, every wait with a deadline.

The client stands on nothing but `socket` and the frame codec; what it expects is the bytes themselves.
It writes what no client would, in any chunking, and a server is wrong by raising `Mismatch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from wslab import App, Lab, WebSocket
from wslab.wire import Opcode, accept_key, encode_frame, frame_length, parse_frame
from wslab.wire.frames import close_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "KEY",
    "MASK",
    "Answer",
    "Mismatch",
    "Peer",
    "Server",
    "binary",
    "close",
    "cont",
    "echo_app",
    "frame",
    "ping",
    "pong",
    "text",
]

PATIENCE = 3.0
"""Seconds that a client waits for bytes before the server is said to be silent."""

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = bytes.fromhex("37fa213d")
_READ = 2**18


class Mismatch(AssertionError):  # noqa: N818 - the word for what was expected and what came
    """The server's bytes are not those expected."""


# -- frames as a client sends them ---------------------------------------------------------------------
def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: Any = MASK) -> bytes:
    return encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=mask)


def _raw(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


def text(payload: str | bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.TEXT, _raw(payload), **options)


def binary(payload: bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.BINARY, payload, **options)


def cont(payload: str | bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.CONTINUATION, _raw(payload), **options)


def ping(payload: bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.PING, payload, **options)


def pong(payload: bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.PONG, payload, **options)


def close(code: int | None = 1000, reason: str | bytes = b"", **options: Any) -> bytes:
    payload = b"" if code is None else code.to_bytes(2) + _raw(reason)
    return frame(Opcode.CLOSE, payload, **options)


# -- the server's side ---------------------------------------------------------------------------------
def echo_app(subprotocols: Sequence[str] = ()) -> App:
    """Every message comes back as it was; the first subprotocol offered that is known is chosen."""
    app = App()

    @app.websocket("/echo")
    async def echo(ws: WebSocket) -> None:
        chosen = [name for name in ws.scope.get("subprotocols", []) if name in subprotocols]
        await ws.accept(subprotocol=chosen[0] if chosen else None)
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                break
            if message.get("text") is not None:
                await ws.send_text(message["text"])
            else:
                await ws.send_bytes(message["bytes"])

    return app


class Server:
    """A lab in a thread of its own, so that a test's client may block.

    Args:
        make: makes the lab, in the server's thread.

    Attributes:
        unhandled: what asyncio would have printed: exceptions that a protocol class let through.
    """

    def __init__(self, make: Callable[[], Lab]) -> None:
        self._make = make
        self._stopping: asyncio.Event
        self.unhandled: list[str] = []
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="server under test", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits for the start
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.loop.set_exception_handler(lambda _, context: self.unhandled.append(repr(context)))
        self.lab = self._make()
        await self.lab.start()
        self.port = self.lab.port
        self._ready.set()
        try:
            await self._stopping.wait()
        finally:
            await self.lab.stop()

    def connect(self, path: str = "/echo", **options: Any) -> Peer:
        """A client whose opening handshake is done."""
        peer = self.dial()
        try:
            peer.open(path, **options)
        except BaseException:
            peer.sock.close()
            raise
        return peer

    def dial(self) -> Peer:
        """A client that has said nothing yet."""
        return Peer(self.port)

    def run(self, coroutine: Any) -> Any:
        """Run `coroutine` in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE * 4)

    async def _rest(self) -> None:
        """Wait until no case has left a connection or a task behind.

        Raises:
            WaitTimeoutError: one has.
        """
        lab = self.lab
        await lab.until(lambda: not (lab.connections.alive or lab._core.server.tasks), PATIENCE * 3)

    def stop(self) -> None:
        """Check that everything has ended, and end."""
        try:
            self.run(self._rest())
            if self.lab._core.options.ws == "wslab":
                assert self.unhandled == []
        finally:
            self._end()

    def _end(self) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure


# -- the client's side ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Answer:
    """A response's head."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Answer:
        lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if version != "HTTP/1.1" or not rest[:3].isdigit():
            raise Mismatch(f"expected a status line, got {lines[0]!r}")
        fields = [line.partition(":") for line in lines[1:] if line]
        return cls(int(rest[:3]), {name.lower(): value.strip() for name, _, value in fields}, raw)


def request(
    path: str = "/echo",
    *,
    method: str = "GET",
    http: str = "HTTP/1.1",
    without: Iterable[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    **fields: str,
) -> bytes:
    """An upgrade request. `fields` replace the usual ones: ``sec_websocket_version="12"``."""
    usual = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    replaced = {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{method} {path} {http}"]
    for name, value in usual.items():
        if name.lower() not in without:
            lines.append(f"{name}: {replaced.get(name.lower(), value)}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Peer:
    """One connection from the client's end.

    Args:
        port: the server's, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._buffer = b""
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    # -- sending ---------------------------------------------------------------------------------------
    def send(self, *parts: bytes, chop: int = 0) -> Peer:
        """Send all `parts` in one segment, or in pieces of `chop` bytes.

        A server that has failed the connection need not take the rest: what it said is read later.
        """
        data = b"".join(parts)
        pieces = [data[start : start + chop] for start in range(0, len(data), chop)] if chop else [data]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                self.sock.sendall(piece)
        return self

    # -- reading ---------------------------------------------------------------------------------------
    def _more(self) -> bool:
        try:
            data = self.sock.recv(_READ)
        except TimeoutError:
            raise Mismatch(f"expected more bytes within {PATIENCE} s, have {self._buffer[:80]!r}") from None
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return bool(data)

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        parts, have = [self._buffer], len(self._buffer)
        self._buffer = b""
        while have < size:
            if not self._more():
                raise Mismatch(f"expected {size} bytes, the stream ended after {have}")
            parts.append(self._buffer)
            have += len(self._buffer)
            self._buffer = b""
        data = b"".join(parts)
        data, self._buffer = data[:size], data[size:]
        return data

    def head(self) -> Answer:
        """The next response's head."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                raise Mismatch(f"expected a response, the stream ended after {self._buffer!r}")
        raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return Answer.parse(raw)

    def frame(self) -> bytes:
        """The next frame as it came; None is never returned: a stream that ends is a mismatch."""
        while not (size := frame_length(self._buffer)):
            if not self._more():
                raise Mismatch(f"expected a frame, the stream ended after {self._buffer!r}")
        return self.exactly(size)

    def expect(self, *frames: bytes) -> Peer:
        """The server sends just these frames, byte by byte, next."""
        for expected in frames:
            got = self.frame()
            if got != expected:
                raise Mismatch(f"expected {_shown(expected)}, got {_shown(got)}")
        return self

    def expect_flows(self, messages: Sequence[bytes] = (), controls: Sequence[bytes] = ()) -> Peer:
        """The server sends these two sequences, whichever way it puts one between the other.

        A pong may overtake the echo of an earlier message: the one comes from the engine, the other
        from the application.
        """
        left = {0: list(messages), 8: list(controls)}
        while left[0] or left[8]:
            got = self.frame()
            flow = left[got[0] & 8]
            if not flow or got != flow[0]:
                raise Mismatch(f"expected {_shown(flow[0]) if flow else 'nothing'}, got {_shown(got)}")
            flow.pop(0)
        return self

    def ends(self) -> None:
        """The stream ends, and nothing comes before that."""
        while not self._buffer and self._more():
            pass
        if self._buffer:
            raise Mismatch(f"expected the end of the stream, got {_shown(self._buffer)}")

    def fails(self, code: int, *, after: Sequence[bytes] = ()) -> None:
        """The server fails the connection with `code` (RFC 6455 section 7.1.7), and ends it.

        Args:
            code: of its close frame.
            after: what it may send before, all or the first few of them: the answers to what was good.
        """
        may = list(after)
        while True:
            got = self.frame()
            if may and got == may[0]:
                may.pop(0)
                continue
            break
        parsed = parse_frame(got)
        assert parsed is not None
        if got[0] != 0x80 | Opcode.CLOSE or parsed.problem or parsed.mask_key is not None:
            raise Mismatch(f"expected a close frame with {code}, got {_shown(got)}")
        came, reason = close_fields(parsed.payload)
        if came != code or "\N{REPLACEMENT CHARACTER}" in reason:
            raise Mismatch(f"expected close code {code}, got {came} {reason!r}")
        self.ends()

    # -- whole exchanges -------------------------------------------------------------------------------
    def ask(self, path: str = "/echo", *, chop: int = 0, then: bytes = b"", **options: Any) -> Answer:
        """Send an upgrade request, `then` in the same segment, and read the answer's head."""
        self.send(request(path, **options), then, chop=chop)
        return self.head()

    def open(self, path: str = "/echo", **options: Any) -> Answer:
        """The opening handshake (RFC 6455 section 4): 101, and the right key."""
        answer = self.ask(path, **options)
        got = (
            answer.status,
            answer.headers.get("upgrade", "").lower(),
            answer.headers.get("connection", "").lower(),
            answer.headers.get("sec-websocket-accept"),
        )
        expected = (101, "websocket", "upgrade", accept_key(KEY))
        if got != expected:
            raise Mismatch(f"expected {expected}, got {got}")
        return answer

    def closes(self, code: int | None = 1000, reason: str | bytes = b"") -> None:
        """The closing handshake, begun here: the same code comes back, and then the end."""
        self.send(close(code, reason))
        self.closed(code)

    def closed(self, code: int | None = 1000) -> None:
        """The server answers a close frame with its code (section 5.5.1), and ends the stream."""
        got = self.frame()
        parsed = parse_frame(got)
        assert parsed is not None
        expected = b"" if code is None else code.to_bytes(2)
        if got[:1] != b"\x88" or parsed.problem or parsed.mask_key or parsed.payload[:2] != expected:
            raise Mismatch(f"expected a close frame with {code}, got {_shown(got)}")
        self.ends()


def _shown(raw: bytes) -> str:
    parsed = parse_frame(raw)
    if parsed is None:
        return f"{len(raw)} bytes {raw[:40].hex(' ')}"
    code = f" {close_fields(parsed.payload)}" if parsed.opcode == Opcode.CLOSE else ""
    return f"{parsed.name}{code} of {parsed.length} bytes, {raw[:40].hex(' ')}"
