"""Embedding uvicorn in a running loop: the tap on the transport, the door, the addresses."""

from __future__ import annotations

from wslab.server.embed import EmbeddedServer, bind
from wslab.server.host import Host, check_app
from wslab.server.policy import Policy
from wslab.server.tap import tap_class

__all__ = ["EmbeddedServer", "Host", "Policy", "bind", "check_app", "tap_class"]
