"""Live views of a lab, as anywidgets.

The views load when they are first asked for: ipywidgets and anywidget cost a third of a second, and
a program that only serves needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wslab.widgets.base import LiveView
    from wslab.widgets.client import ClientView
    from wslab.widgets.connections import ConnectionsView
    from wslab.widgets.dashboard import Dashboard
    from wslab.widgets.frames import FramesView
    from wslab.widgets.header import HeaderView
    from wslab.widgets.log import LogView
    from wslab.widgets.rooms import RoomsView
    from wslab.widgets.stocks import StocksView

__all__ = [
    "ClientView",
    "ConnectionsView",
    "Dashboard",
    "FramesView",
    "HeaderView",
    "LiveView",
    "LogView",
    "RoomsView",
    "StocksView",
]

_MODULES = {
    "ClientView": "client",
    "ConnectionsView": "connections",
    "Dashboard": "dashboard",
    "FramesView": "frames",
    "HeaderView": "header",
    "LiveView": "base",
    "LogView": "log",
    "RoomsView": "rooms",
    "StocksView": "stocks",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(f"wslab.widgets.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
