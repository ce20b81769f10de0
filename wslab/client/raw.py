"""A client by hand: it sends exactly the bytes it is told, and shows exactly what comes.

Theory of operation. `RawClient` is an asyncio protocol over any transport, a socket's or a pipe's within the
process. After the opening handshake it does nothing on its own: no mask but the one asked for, no
pong, no answer to a close frame, and no check of what is sent. What arrives waits as bytes until
`RawClient.receive_frame` cuts a frame off, or `RawClient.receive_bytes` takes all of it; up to `INBOX`
bytes, then reading pauses.

Beside that, `ControlFrames` follows the frames of both directions wherever they are split. It only looks:
that is how the end can say who closed first and with which code.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Self, TypeVar, cast

from wslab.client.client import BODY_SHOWN, CLOSE_TIMEOUT
from wslab.client.raw_control import ControlFrames
from wslab.client.raw_handshake import SWITCHING_PROTOCOLS, RawHandshake, RawResponse, body_length, first_line
from wslab.errors import ConnectionClosed, ConnectionRefused, OptionError, WaitTimeoutError
from wslab.wire.frames import Frame, Opcode, close_fields, encode_frame, frame_length, parse_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from wslab.wire.frames import LengthForm

__all__ = ["INBOX", "RawClient"]

INBOX = 2**20
"""Bytes that wait to be received before reading pauses."""

T = TypeVar("T")

_END = b"\r\n\r\n"
_HEAD_LIMIT = 64 * 2**10
_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # SO_LINGER: on, for no time


class RawClient(asyncio.Protocol):
    """A connection that carries what it is told. Made by ``connect(url, raw=True)`` or `Lab.connect`.

    Attributes:
        url: where it is connected to.

    Example:
        >>> from wslab import Lab
        >>> async def main():
        ...     lab = Lab()
        ...     @lab.websocket("/echo")
        ...     async def echo(ws):
        ...         await ws.accept()
        ...         await ws.receive_text()
        ...     async with lab.connect("/echo", via="memory", raw=True) as client:
        ...         await client.send_frame(1, b"no mask", mask=False)
        ...         frame = await client.receive_frame(timeout=5)
        ...         print(frame.name, int.from_bytes(frame.payload[:2]))
        ...     await lab.stop()
        >>> asyncio.run(main())
        CLOSE 1002
    """

    def __init__(self, url: str, request: bytes, *, auto_pong: bool = False) -> None:
        self.url = url
        self._request = request
        self._auto_pong = auto_pong
        self._response: RawResponse | None = None
        self._transport: asyncio.Transport
        self._unread = bytearray()
        self._sent_frames, self._received_frames = ControlFrames(), ControlFrames()
        self._close_sent = False
        self._close: tuple[int, str] | None = None  # the server's close frame
        self._first = ""  # who sent the first one
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._receivers: list[asyncio.Future[None]] = []

    # -- sending -----------------------------------------------------------------------------------
    async def send_frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | bool = True,
        length_form: LengthForm | None = None,
    ) -> bytes:
        """Send one frame, a good one by default.

        Args:
            opcode: 0–15, reserved ones as well.
            payload: unmasked, of any length, also in a control frame.
            fin: last fragment of its message.
            rsv: the three reserved bits as a number, RSV1 = 4.
            mask: True draws a key at random, as a client must (RFC 6455 section 5.3); False sends none;
                four bytes are the key.
            length_form: write the length in 7, 16 or 64 bits; None: in the fewest.

        Returns:
            The bytes that were sent.

        Raises:
            OptionError: there is no such frame.
            ConnectionClosed: the connection has ended.
        """
        try:
            raw = encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=mask, length_form=length_form)
        except ValueError as error:
            raise OptionError(
                str(error), remedy="For bytes that are no frame at all, use send_bytes()."
            ) from None
        await self._write(raw)
        return raw

    async def send_bytes(self, data: bytes, *, split: int | Sequence[int] | None = None) -> None:
        """Send `data` as it is.

        Args:
            data: any bytes: many frames, a part of one, or none.
            split: sizes in bytes of the pieces to write one by one, the rest being the last; a number
                is the size of each. The loop has a turn after each piece. Within the process
                (``via="memory"``) the server reads each piece apart; on a socket it may find two joined.

        Raises:
            OptionError: `data` cannot be split that way.
            ConnectionClosed: the connection has ended.
        """
        for piece in _pieces(data, split):
            await self._write(piece)
            await asyncio.sleep(0)  # a turn of the loop, so that the piece leaves alone

    async def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            await asyncio.wait([self._gone])
        if self._gone.done():
            raise self._outcome()
        self._put(data)
        await self._writable.wait()

    def _put(self, data: bytes) -> None:
        for frame in self._sent_frames.find(data) if self.is_open else ():
            # one that a server must not take does not close anything
            if frame.opcode == Opcode.CLOSE and frame.mask_key is not None and not frame.problem:
                self._close_sent = True
                self._first = self._first or "client"
        self._transport.write(data)

    # -- receiving ---------------------------------------------------------------------------------
    async def receive_frame(self, timeout: float | None = None) -> Frame:
        """The next frame, whatever it is; nothing is answered.

        A frame that the connection's end cut short comes as well, with that as its `problem`.

        Args:
            timeout: seconds to wait at most; what came of a frame until then is not lost.

        Raises:
            ConnectionClosed: the connection has ended, and every frame before that was received.
            ConnectionRefused: the handshake was answered with another status than 101.
            WaitTimeoutError: no whole frame came in time.
        """
        response = self.response
        if not self.is_open:
            raise ConnectionRefused(
                response.status,
                response.text[:BODY_SHOWN],
                remedy="No frames follow; look at client.response, or use receive_bytes().",
            )
        return await self._within(timeout, "a frame", self._frame)

    async def receive_bytes(self, timeout: float | None = None) -> bytes:
        """What has come and was not received yet, at least one byte, wherever frames begin or end.

        Args:
            timeout: seconds to wait at most.

        Raises:
            ConnectionClosed: the connection has ended, and every byte before that was received.
            WaitTimeoutError: nothing came in time.
        """
        return await self._within(timeout, "bytes", self._some)

    async def _within(self, timeout: float | None, what: str, take: Callable[[], T | None]) -> T:
        try:
            async with asyncio.timeout(timeout):
                return await self._taken(take)
        except TimeoutError:
            raise WaitTimeoutError(
                f"Expected {what} within {timeout} s, got {len(self._unread)} bytes.",
                remedy="What came is kept: look at lab.frames for what was sent, and receive again.",
            ) from None

    async def _taken(self, take: Callable[[], T | None]) -> T:
        while True:
            taken = take()
            if taken is not None:
                return taken
            if self._gone.done():
                raise self._outcome()
            self._resume()  # one frame may be longer than what waits otherwise
            turn = asyncio.get_running_loop().create_future()
            self._receivers.append(turn)
            try:
                await turn
            finally:
                self._receivers.remove(turn)

    def _frame(self) -> Frame | None:
        total = frame_length(self._unread)
        whole = bool(total) and len(self._unread) >= total
        if not whole and not self._gone.done():
            return None
        frame = parse_frame(bytes(self._unread[:total])) if total else None
        if frame is not None:
            self._take(len(frame.raw))
        return frame

    def _some(self) -> bytes | None:
        return self._take(len(self._unread)) or None

    def _take(self, length: int) -> bytes:
        taken = bytes(self._unread[:length])
        del self._unread[:length]
        if len(self._unread) <= INBOX // 2:
            self._resume()
        return taken

    # -- looking -----------------------------------------------------------------------------------
    @property
    def response(self) -> RawResponse:
        """What the server answered to the opening request, also where it refused it."""
        return self._response or RawResponse(b"")

    @property
    def handshake(self) -> RawHandshake:
        """The opening request and its answer, as they were on the wire."""
        return RawHandshake(self._request, self.response)

    @property
    def is_open(self) -> bool:
        """Whether the handshake ended with 101 (Switching Protocols), so that frames follow it."""
        return self._response is not None and self._response.status == SWITCHING_PROTOCOLS

    @property
    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, or None while it lasts; frames may be left to receive."""
        return self._outcome() if self._gone.done() else None

    @property
    def unread(self) -> int:
        """How many bytes have come and were not received yet."""
        return len(self._unread)

    def _outcome(self) -> ConnectionClosed:
        return ConnectionClosed(*(self._close or (1006, "")), self._first)

    def __repr__(self) -> str:
        closed = self.closed
        if self._response is None and closed is None:
            state = "connecting"
        elif not self.is_open:
            state = f"refused with {first_line(self.response.raw)}"
        else:
            state = f"closed {closed.code} by {closed.by or 'nobody'}" if closed else "open"
        counts = f"{self._sent_frames.seen} frames sent, {self._received_frames.seen} came"
        return f"<RawClient {self.url.partition('?')[0]} {state}, {counts}, {self.unread} bytes unread>"

    # -- ending ------------------------------------------------------------------------------------
    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame, where none was sent, and wait for the server's and its end of the connection.

        A server that does not end it is cut off after `CLOSE_TIMEOUT` seconds. Frames that came can be
        received still. Harmless when the connection has ended.

        Args:
            code: any of 16 bits, those that must not travel as well; None for a close frame without one.
            reason: text of any length: beyond 123 bytes of UTF-8 it makes the frame a bad one.

        Raises:
            OptionError: the code does not fit into 16 bits.
        """
        if code is not None and not 0 <= code <= 0xFFFF:  # noqa: PLR2004 - 16 bits
            raise OptionError(f"Expected a close code of 0-65535 or None, got {code}.")
        if self._gone.done():
            return
        if not self.is_open:
            self._transport.close()
        elif not self._close_sent and not self._transport.is_closing():
            payload = b"" if code is None else code.to_bytes(2) + reason.encode("utf-8", "replace")
            # not waited for: a server that does not read must not keep us
            self._put(encode_frame(Opcode.CLOSE, payload, mask=True))
        self._resume()  # the answer may wait behind frames that nobody will receive any more
        await asyncio.wait([self._gone], timeout=CLOSE_TIMEOUT)
        if not self._gone.done():
            self._transport.abort()
            await asyncio.wait([self._gone])

    def abort(self) -> None:
        """Cut the connection with a TCP reset, and no close frame: the server sees 1006."""
        opened = self._transport.get_extra_info("socket")
        if opened is not None and not self._transport.is_closing():
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- asyncio.Protocol --------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the opening request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keep it, and look for what ends the handshake or the connection."""
        self._unread += data
        if not self.answered.done():
            self._answer(ended=False)
        elif self.is_open:
            self._look(data)
        self._wake()
        if len(self._unread) > INBOX and not self._receivers and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The server does not keep up: sending waits."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone: whoever waits is told."""
        del exc  # how it ended is 1006, whatever the system calls it
        self._gone.set_result(None)
        if not self.answered.done():
            self._answer(ended=True)
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        for turn in self._receivers:
            if not turn.done():
                turn.set_result(None)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _answer(self, *, ended: bool) -> None:
        """Take the answer off what came, once it is whole; with `ended`, as far as it came."""
        head, end, rest = bytes(self._unread).partition(_END)
        if not end and not ended and len(head) <= _HEAD_LIMIT:
            return
        response = RawResponse(head + end)
        if response.status != SWITCHING_PROTOCOLS:
            length = body_length(head + end, rest)
            if len(rest) < length and not ended and len(rest) <= _HEAD_LIMIT:
                return
            response = RawResponse(head + end, rest[:length])
            rest = rest[length:]
        self._response = response
        self._unread[:] = rest
        if self.is_open:
            # what the caller's own request had behind its head is frames already
            self._sent_frames.find(self._request.partition(_END)[2])
            self._look(rest)
        if not self.answered.done():
            self.answered.set_result(None)

    def answer_so_far(self) -> bool:
        """Take what came of an answer that is not whole for all of it; whether its head did come."""
        if _END in self._unread and not self.answered.done():
            self._answer(ended=True)
        return self._response is not None

    def _look(self, data: bytes) -> None:
        for frame in self._received_frames.find(data):
            if frame.opcode == Opcode.CLOSE and self._close is None:
                self._close = close_fields(frame.payload)
                self._first = self._first or "server"
            elif frame.opcode == Opcode.PING and self._auto_pong and not self._transport.is_closing():
                self._put(encode_frame(Opcode.PONG, frame.payload, mask=True))


def _pieces(data: bytes, split: int | Sequence[int] | None) -> list[bytes]:
    sizes = split if not isinstance(split, int) else [split] * (len(data) // split) if split > 0 else [split]
    if sizes is None:
        return [data]
    if any(size <= 0 for size in sizes) or sum(sizes) > len(data):
        raise OptionError(
            f"Expected sizes of at least 1 that add up to at most {len(data)}, got {split!r:.80}.",
            remedy="Name the pieces but the last: split=[1, 1] sends two single bytes, then the rest.",
        )
    ends = [0, *accumulate(sizes), len(data)]
    return [data[start:end] for start, end in pairwise(ends) if end > start]
