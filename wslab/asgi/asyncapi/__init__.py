"""The AsyncAPI 3.0 document of an application, and the page that shows it.

`App.asyncapi` is the public face.
"""

from __future__ import annotations

__all__: list[str] = []
