"""Embedding uvicorn in a running loop: the tap on the transport, the door, the addresses."""

from __future__ import annotations

from wslab.server.embed import EmbeddedServer, bind
from wslab.server.host import Host, check_app
from wslab.server.policy import Policy
from wslab.server.protocol import WebSocketProtocol
from wslab.server.tap import Tap, protocol_classes

__all__ = [
    "EmbeddedServer",
    "Host",
    "Policy",
    "Tap",
    "WebSocketProtocol",
    "bind",
    "check_app",
    "protocol_classes",
]
