from __future__ import annotations

import sys

import pytest

import wslab
from wslab.errors import AppLoadError, NotAnAppError
from wslab.server.loading import load_app

MODULE = """
import wslab
app = wslab.App()
number = 5
def make():
    return app
def make_with_default(name="x"):
    return app
def broken():
    raise ValueError("no database")
def wrong():
    return 42
async def bare(scope, receive, send):
    ...
def old_style(scope):
    ...
class Holder:
    inner = app
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "shop_under_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "shop_under_test"
    sys.modules.pop("shop_under_test", None)


@pytest.mark.parametrize("name", ["app", "make()", "make_with_default()", "Holder.inner"])
def test_an_application_is_found_by_name_or_made(module, name):
    assert isinstance(load_app(f"{module}:{name}"), wslab.App)


def test_any_callable_with_arguments_may_be_an_application(module):
    assert load_app(f"{module}:bare").__name__ == "bare"
    assert load_app(f"{module}:old_style").__name__ == "old_style"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ap", r"Expected 'ap' .* \(did you mean 'app'\?\)"),
        ("make", r"takes no arguments\. If it makes the application, write shop_under_test:make\(\)\."),
        ("make_with_default", r"write shop_under_test:make_with_default\(\)"),
        (
            "broken()",
            r"Calling \S+:broken\(\) failed: ValueError: no database \(.*shop_under_test\.py:10\)",
        ),
        ("number()", r"got shop_under_test:number\(\) of type int\. Leave out the \(\)"),
        ("Holder.outer", "Expected 'outer'"),
    ],
)
def test_what_cannot_be_loaded_says_what_to_write(module, name, said):
    with pytest.raises(AppLoadError, match=said):
        load_app(f"{module}:{name}")


@pytest.mark.parametrize("name", ["number", "wrong()"])
def test_what_is_no_application_is_refused(module, name):
    with pytest.raises(NotAnAppError, match="Expected an ASGI application"):
        load_app(f"{module}:{name}")


@pytest.mark.parametrize(
    "name", ["", "app", "main.py", "main.py:app", "main:", ":app", "main:app:x", "main:make(1)", "a/b:c"]
)
def test_a_name_of_another_form_is_told_the_form(name):
    with pytest.raises(AppLoadError, match=r"Write it as module:app, or module:make\(\)"):
        load_app(name)


def test_a_missing_module_is_told_apart_from_one_that_misses_another(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import not_there_at_all\n")
    with pytest.raises(
        AppLoadError, match=r"no module 'nowhere_at_all'.*folder that nowhere_at_all\.py is in"
    ):
        load_app("nowhere_at_all:app")
    with pytest.raises(
        AppLoadError, match=r"Importing needs_more failed: .*'not_there_at_all' \(.*needs_more\.py:1\)"
    ):
        load_app("needs_more:app")
    with pytest.raises(AppLoadError, match=r"no module 'json\.nothing'"):
        load_app("json.nothing:app")


@pytest.mark.parametrize(
    ("text", "said"),
    [("def (", "SyntaxError"), ("raise SystemExit(3)", "SystemExit: 3"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_module_that_fails_is_one_clear_error(tmp_path, monkeypatch, text, said):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fails_at_import.py").write_text(text)
    with pytest.raises(AppLoadError, match=f"Importing fails_at_import failed: .*{said}") as caught:
        load_app("fails_at_import:app")
    assert "\n" not in str(caught.value)
