"""One connection's life between the wire and the application. No socket, no server."""

from __future__ import annotations

from wslab.session.channel import Channel, ServerChannel
from wslab.session.lifespan import Lifespan
from wslab.session.session import EndpointInterrupted, Session

__all__ = ["Channel", "EndpointInterrupted", "Lifespan", "ServerChannel", "Session"]
