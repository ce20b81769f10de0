from __future__ import annotations

import subprocess
import sys

import pytest

from wslab import widgets
from wslab.widgets.base import LiveView
from wslab.widgets.dashboard import Dashboard

NAMES = ("header", "connections", "rooms", "client", "stocks", "frames", "log")


class Named(LiveView):
    SCRIPT = "header.js"

    def __init__(self, name):
        super().__init__()
        self.name = name

    def text(self):
        return f"text of {self.name}"

    def static_html(self):
        return f"<p>html of {self.name}</p>"


def composed():
    views = {name: Named(name) for name in NAMES}
    return Dashboard(**views), views


def leaves(box):
    for child in box.children:
        if hasattr(child, "children"):
            yield from leaves(child)
        else:
            yield child


def test_every_view_is_in_it_once():
    dashboard, views = composed()
    assert sorted(view.name for view in leaves(dashboard)) == sorted(NAMES)
    assert {id(view) for view in leaves(dashboard)} == {id(view) for view in views.values()}


def test_rows_wrap_and_share_their_width():
    dashboard, _ = composed()
    row = dashboard.children[1]
    assert row.layout.flex_flow == "row wrap"
    assert [cell.layout.flex for cell in row.children] == ["64 1 560px", "36 1 300px"]
    assert [cell.layout.min_width for cell in row.children] == ["0", "0"]


def test_the_views_own_layouts_stay_as_they_are():
    _, views = composed()
    assert views["rooms"].layout.flex is None


def test_without_widgets_all_views_text_shows():
    dashboard, _ = composed()
    data = dashboard._repr_mimebundle_()
    for name in NAMES:
        assert f"text of {name}" in data["text/plain"]
        assert f"<p>html of {name}</p>" in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data


@pytest.mark.parametrize("name", widgets.__all__)
def test_every_view_is_found_by_its_name(name):
    assert getattr(widgets, name).__name__ == name
    assert name in dir(widgets)


def test_a_name_that_is_none_says_so():
    with pytest.raises(AttributeError, match=r"wslab\.widgets.*'Nothing'"):
        widgets.Nothing  # noqa: B018 - reading it is the test


def test_the_package_loads_no_widget_library():
    program = "import sys, wslab.widgets; print(sorted({'ipywidgets', 'anywidget'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
