from __future__ import annotations

from wslab.widgets.header import HeaderView


def status(**changes):
    known = {
        "url": "ws://127.0.0.1:8765",
        "state": "serving",
        "app": "App",
        "open": 2,
        "total": 5,
        "frames": 70,
        "lag": 0,
        "lag_by": "",
    }
    return {**known, **changes}


def test_the_line_is_sent_when_it_changes(page_of):
    shown = status()
    page = page_of(HeaderView(lambda: shown)).hello()
    assert page.content() == {"t": "status", **status(), "s": 1}
    assert page.look() == []
    shown["frames"] += 1
    assert page.content()["frames"] == 71


def test_a_page_that_appears_again_gets_the_line(page_of):
    page = page_of(HeaderView(status)).hello()
    page.look()
    assert page.hello().content()["url"] == "ws://127.0.0.1:8765"


def test_what_else_the_status_holds_never_reaches_the_page(page_of):
    page = page_of(HeaderView(lambda: status(token="s3cret"))).hello()
    assert "s3cret" not in repr(page.look())


def test_a_lab_that_is_stopped_has_no_address(page_of):
    page = page_of(HeaderView(lambda: status(url=None, state="stopped"))).hello()
    assert (page.content()["url"], page.view.text().split()[-7]) == ("", "stopped")


def test_what_is_shown_without_a_page_obeys_no_name(hostile):
    view = HeaderView(lambda: status(app=hostile))
    assert "ws://127.0.0.1:8765" in view.text()
    assert not {"\x1b", "\u202e", "\x00"} & set(view.text())
    assert "<img" not in view.static_html()
    assert "2 open of 5 connections, 70 frames" in view.static_html()


def test_of_a_long_repr_the_first_line_is_shown():
    view = HeaderView(lambda: status(app="<App with 2 routes:\n  WS /echo\n  WS /chat>"))
    assert view.collect()[0]["app"] == "App with 2 routes"


def test_a_loop_that_was_held_is_told_in_words(hostile):
    free, held = HeaderView(status), HeaderView(lambda: status(lag=2140, lag_by=f"cell In[7] {hostile}"))
    assert "loop free" in free.text()
    assert "loop free" in free.static_html()
    assert "loop held 2.1 s by cell In[7]" in held.text()
    assert not {"\x1b", "\u202e", "\x00"} & set(held.text())
    assert "loop held 2.1 s by cell In[7]" in held.static_html()
    assert "<img" not in held.static_html()
    assert held.collect()[0]["lag"] == 2140


def test_while_nothing_holds_the_loop_the_line_stays_the_same():
    from wslab.journal import Journal
    from wslab.server.manners import Manners

    manners = Manners(Journal())
    view = HeaderView(lambda: {**status(), **manners.status()})
    assert view.collect() is not None
    for late in (0.0004, 0.003, 0.09):
        manners.lag.add(late)
        assert view.collect() is None
