"""All views of a lab on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

if TYPE_CHECKING:
    from wslab.widgets.base import LiveView

__all__ = ["Dashboard"]

_GAP = "6px"


def _cell(view: LiveView, flex: str) -> ipywidgets.VBox:
    """A box that carries the layout, so that the view keeps its own where it is shown alone."""
    layout = ipywidgets.Layout(flex=flex, min_width="0", margin="0", overflow="visible")
    return ipywidgets.VBox([view], layout=layout)


def _row(*cells: ipywidgets.VBox) -> ipywidgets.HBox:
    layout = ipywidgets.Layout(flex_flow="row wrap", grid_gap=_GAP, width="100%", overflow="visible")
    return ipywidgets.HBox(cells, layout=layout)


class Dashboard(ipywidgets.VBox):
    """The views, composed: what happens on top, prices in the middle, frames below.

    Connections take 64 % beside the rooms and the client half beside the log; below about 900 pixels
    they stand under each other, since the bases of their widths no longer fit one line.

    Args:
        header: the title bar.
        connections: beside `rooms`.
        rooms: beside `connections`.
        client: beside `log`.
        stocks: the chart.
        frames: the list of frames.
        log: beside `client`.
    """

    def __init__(  # noqa: PLR0917 - one argument a view
        self,
        header: LiveView,
        connections: LiveView,
        rooms: LiveView,
        client: LiveView,
        stocks: LiveView,
        frames: LiveView,
        log: LiveView,
    ) -> None:
        self._views = (header, connections, rooms, client, log, stocks, frames)
        super().__init__(
            [
                _cell(header, "0 0 auto"),
                _row(_cell(connections, "64 1 560px"), _cell(rooms, "36 1 300px")),
                _row(_cell(client, "1 1 430px"), _cell(log, "1 1 430px")),
                _cell(stocks, "0 0 auto"),
                _cell(frames, "0 0 auto"),
            ],
            layout=ipywidgets.Layout(width="100%", grid_gap=_GAP, overflow="visible"),
        )

    def text(self) -> str:
        """Every view's plain text, one under the other."""
        return "\n\n".join(view.text() for view in self._views)

    def static_html(self) -> str:
        """Every view's static HTML, one under the other."""
        return "".join(f"<div>{view.static_html()}</div>" for view in self._views)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        made = super()._repr_mimebundle_(**kwargs) or {}
        return {**made, "text/plain": self.text(), "text/html": self.static_html()}
