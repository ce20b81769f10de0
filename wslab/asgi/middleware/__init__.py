"""`Middleware`, as Starlette declares it; the ready-made ones are in the modules beside.

`CORSMiddleware`, `GZipMiddleware` and the like act on HTTP only and pass a WebSocket through: who may open
one is decided by `TrustedHostMiddleware`, by the server's Host and Origin policy, and by dependencies.
"""

from __future__ import annotations

from starlette.middleware import Middleware

__all__ = ["Middleware"]
