"""The WebSocket half of the pair of protocol classes: uvicorn's ``ws=`` on the lab's own engine.

Together with `wslab.server.tap.Tap` (``http=``) a connection never meets uvicorn's HTTP protocol: the tap
reads the upgrade request as it is on the wire and puts this class in its own place. Alone, it takes the
request as uvicorn rebuilds it, and works like uvicorn's own implementations::

    uvicorn.Config(app, http=Tap, ws=WebSocketProtocol)
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import WeakKeyDictionary

from wslab.server.masking import unmask
from wslab.session.driver import Driver, DriverSettings, State
from wslab.wire.deflate import DeflateOptions
from wslab.wire.opening import HandshakeError, denial_response, read_upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import ASGIApp
    from uvicorn import Config
    from uvicorn.server import ServerState

    from wslab.session.driver import Limiter
    from wslab.session.records import Observer
    from wslab.wire.opening import UpgradeRequest

__all__ = ["STATE_KEY", "VIA", "WebSocketProtocol", "address_of"]

STATE_KEY = "wslab.tap"
"""Where the scope's state holds the tap of a connection that another implementation serves."""

VIA = "wslab.via"
"""The transport's extra info that names the way in where it is no socket: "memory" or "tunnel"."""

_settings: WeakKeyDictionary[Config, DriverSettings] = WeakKeyDictionary()
_UNENDED = (State.CONNECTING, State.OPEN)
_END = b"\r\n\r\n"


class WebSocketProtocol(Driver):
    """One WebSocket connection of a uvicorn server."""

    __slots__ = ("_app", "_app_state", "_config", "_server_state", "transport")

    observer: ClassVar[Observer | None] = None
    limits: ClassVar[tuple[Callable[[], Limiter | None] | None, Callable[[str, str, int], None] | None]] = (
        None,
        None,
    )
    deflate_options: ClassVar[DeflateOptions] = DeflateOptions()
    close_timeout: ClassVar[float] = 5.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(self._settings_of(config), _loop or asyncio.get_running_loop())
        self._config = config
        self._app = cast("ASGIApp", config.loaded_app)
        self._server_state = server_state
        self._app_state = app_state
        self.transport: asyncio.Transport | None = None  # uvicorn's own protocols have it by this name

    @classmethod
    def _settings_of(cls, config: Config) -> DriverSettings:
        """What the connections of one server share, from uvicorn's own options."""
        settings = _settings.get(config)
        if settings is None:
            settings = _settings[config] = DriverSettings(
                observer=cls.observer,
                max_message=config.ws_max_size,
                deflate=cls.deflate_options if config.ws_per_message_deflate else None,
                ping_interval=config.ws_ping_interval,
                ping_timeout=config.ws_ping_timeout,
                close_timeout=cls.close_timeout,
                limiter=cls.limits[0],
                on_limit=cls.limits[1],
                unmask=unmask,
            )
        return settings

    # -- uvicorn's way in --------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A transport whose upgrade request is still to come."""
        self.transport = cast("asyncio.Transport", transport)
        self._server_state.connections.add(cast("Any", self))

    def receive_early(self, data: bytes) -> None:
        """Bytes came before the connection was accepted: the request, where uvicorn hands it over."""
        if self._begun:
            super().receive_early(data)
            return
        head, end, rest = data.partition(_END)  # uvicorn hands a head over in one piece
        assert self.transport is not None
        hand_over = getattr(self.transport, "hand_over", None)
        if hand_over is not None:  # the tap has the request as it was on the wire
            hand_over(self)
            return
        try:
            request = read_upgrade(head + end)
        except HandshakeError as error:
            self.transport.write(denial_response(error.status, error.headers, error.reason.encode()))
            self.transport.close()
            return
        self.begin(self.transport, request, head + end, rest, via="direct")

    # -- the tap's ---------------------------------------------------------------------------------
    def begin(
        self, transport: asyncio.Transport, request: UpgradeRequest, head: bytes, rest: bytes, *, via: str
    ) -> None:
        """Serve `request`; `rest` is what came after its head in the same read."""
        self.transport = transport
        self._server_state.connections.add(cast("Any", self))
        peer = transport.get_extra_info("peername")
        self.open(transport, request, head, peer=address_of(transport), via=via)
        secure = transport.get_extra_info("ssl_object") is not None
        scope = self.scope(
            client=_pair(peer),
            server=_pair(transport.get_extra_info("sockname")),
            scheme="wss" if secure else "ws",
            root_path=self._config.root_path,
            state=self._app_state.copy(),
        )
        serving = self._app(scope, self.receive, self.send)
        task = self.loop.create_task(cast("Coroutine[Any, Any, None]", serving))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._served)
        if rest:
            Driver.data_received(self, rest)

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """The server's default headers: the date, and what uvicorn's `Config.headers` says."""
        return self._server_state.default_headers

    def _served(self, task: asyncio.Task[None]) -> None:
        """The application's call has ended: whatever it left open ends now."""
        self._server_state.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and (not isinstance(error, OSError) or self.state in _UNENDED):
            logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
        self.end(1011 if error is not None or task.cancelled() else 1000)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._server_state.connections.discard(cast("Any", self))
        if self._begun:
            Driver.connection_lost(self, exc)


def _pair(address: Any) -> tuple[str, int] | None:
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) and len(address) > 1 else None


def address_of(transport: asyncio.BaseTransport) -> str:
    """The other end's address, for people; the way in where there is no socket."""
    way = transport.get_extra_info(VIA)
    if way:
        return str(way)
    peer = transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else str(peer or "unknown")
