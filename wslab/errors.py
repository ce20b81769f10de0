"""The exception tree: everything wslab raises on purpose.

Each message says what was expected, what came, and what to do next; the last part is also kept in
`WSLabError.remedy`, so that a view can set it apart. Where Python already has a fitting class, ours
derives from it too, and code that catches `OSError` or `TimeoutError` keeps working.
"""

from __future__ import annotations

__all__ = [
    "AppLoadError",
    "ConnectionClosed",
    "ConnectionRefused",
    "DependencyScopeError",
    "EndpointError",
    "FeedError",
    "MissingPackageError",
    "NoEventLoopError",
    "NotAnAppError",
    "NotRunningError",
    "OptionError",
    "PortInUseError",
    "ProxyNotFoundError",
    "RecordingError",
    "RoomError",
    "StartupError",
    "WSLabError",
    "WaitTimeoutError",
]


class WSLabError(Exception):
    """Root of the tree.

    Args:
        problem: what was expected and what came, as sentences.
        remedy: what to do next, as a sentence; shown after the problem.

    Example:
        >>> str(WSLabError("Expected a port, got 'x'.", remedy="Pass a number."))
        "Expected a port, got 'x'. Pass a number."
    """

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".rstrip())
        self.problem = problem
        self.remedy = remedy


class NotAnAppError(WSLabError, TypeError):
    """`Lab(app)` was given something that does not speak ASGI."""


class AppLoadError(WSLabError, ImportError):
    """No application could be loaded under the name given."""


class MissingPackageError(WSLabError, ImportError):
    """Something was asked for that needs a package which is not installed and not one of wslab's own."""


class EndpointError(WSLabError, TypeError):
    """A WebSocket endpoint or dependency is declared in a way that could never work."""


class DependencyScopeError(EndpointError):
    """A dependency outlives what it depends on."""


class OptionError(WSLabError, TypeError, ValueError):
    """An option of `Lab`, `serve` or the command line is unknown, or its value cannot be meant."""


class NoEventLoopError(WSLabError, RuntimeError):
    """No event loop runs in this thread, and one is needed."""


class NotRunningError(WSLabError, RuntimeError):
    """The lab is not serving."""


class PortInUseError(WSLabError, OSError):
    """The address is taken, or may not be bound."""


class StartupError(WSLabError, RuntimeError):
    """The application's lifespan failed; the original exception is `__cause__`, where there is one."""


class ProxyNotFoundError(WSLabError, RuntimeError):
    """No Jupyter server with jupyter-server-proxy could be found for this kernel."""


class WaitTimeoutError(WSLabError, TimeoutError):
    """A condition that was waited for did not come about in time."""


class RoomError(WSLabError, ValueError):
    """A room operation that the room's state does not allow."""


class FeedError(WSLabError, ValueError):
    """A feed was asked for something it does not have."""


class RecordingError(WSLabError, ValueError):
    """A file is not a recording that can be read, or a recording cannot be saved under that name."""


class ConnectionRefused(WSLabError, ConnectionError):
    """The opening handshake was answered with something else than 101 (RFC 6455 section 4.2.2).

    Attributes:
        status: the HTTP status of the answer.
        body: the answer's body as text, cut after 2000 characters.
    """

    def __init__(self, status: int, body: str = "", *, remedy: str = "") -> None:
        said = f": {body.strip()}" if body.strip() else ""
        super().__init__(
            f"Expected HTTP 101 (Switching Protocols), got {status}{said}",
            remedy=remedy,
        )
        self.status = status
        self.body = body


class ConnectionClosed(WSLabError, ConnectionError):
    """The connection is closed.

    Attributes:
        code: the close code received (RFC 6455 section 7.4); 1005 when the close frame carried none,
            1006 when the connection ended without a close frame. Neither is ever on the wire.
        reason: the reason received, at most 123 bytes of UTF-8.
        by: who sent the first close frame: "client", "server", or "" when nobody did.
    """

    def __init__(self, code: int, reason: str = "", by: str = "") -> None:
        who = f"closed by the {by}" if by else "ended without a close frame"
        why = f" ({reason})" if reason else ""
        super().__init__(f"The connection was {who} with code {code}{why}.")
        self.code = code
        self.reason = reason
        self.by = by
