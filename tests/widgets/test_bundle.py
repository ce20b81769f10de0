from __future__ import annotations

import re

import pytest

from wslab.widgets import bundle


@pytest.fixture
def static(tmp_path, monkeypatch):
    """A folder of modules in place of the real one."""

    def write(**modules):
        for name, source in modules.items():
            (tmp_path / f"{name}.js").write_text(source, "utf-8")
        bundle.script.cache_clear()

    monkeypatch.setattr(bundle, "_STATIC", tmp_path)
    yield write
    bundle.script.cache_clear()


def test_dependencies_come_first_and_once(static):
    static(
        view='import { a } from "./a.js";\nimport { b } from "./b.js";\nexport default [a, b];\n',
        a='import { b } from "./b.js";\nexport const a = b;\n',
        b="export function b() {}\n",
    )
    joined = bundle.script("view.js")
    assert re.sub(r"\n+", "\n", joined) == "function b() {}\nconst a = b;\nexport default [a, b];\n"


def test_an_import_may_span_lines(static):
    static(
        view='import {\n  a,\n  b,\n} from "./a.js";\nexport default a;\n',
        a="export class a {}\nexport async function b() {}\n",
    )
    assert bundle.script("view.js") == "class a {}\nasync function b() {}\n\nexport default a;\n"


def test_modules_that_import_each_other_end(static):
    static(
        view='import { a } from "./a.js";\nexport default a;\n',
        a='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { a } from "./a.js";\nexport const b = () => a;\n',
    )
    joined = bundle.script("view.js")
    assert joined.count("const a") == joined.count("const b") == 1


def test_a_vendored_script_goes_first(static, tmp_path):
    static(view="export default plot;\n")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "plot.js").write_text("var plot = 1;")
    assert bundle.script("view.js", "plot.js") == "var plot = 1;\nexport default plot;\n"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ('import x from "./a.js";\n', 'import x from "./a.js";'),
        ('import { a as x } from "./a.js";\n', 'import { a as x } from "./a.js";'),
        ('import { a } from "https://cdn.example/a.js";\n', "cdn.example"),
        ('import "./a.js";\n', 'import "./a.js";'),
        ("export { a };\n", "export { a };"),
        ('export * from "./a.js";\n', "export *"),
    ],
)
def test_what_cannot_be_joined_is_refused(static, source, shown):
    static(view=f"{source}export default 1;\n", a="export const a = 1;\n")
    with pytest.raises(ValueError, match=r"joined into one") as caught:
        bundle.script("view.js")
    assert shown in str(caught.value)
    assert "view.js" in str(caught.value)


def test_only_the_view_itself_has_a_default_export(static):
    static(
        view='import { a } from "./a.js";\nexport default a;\n', a="export const a = 1;\nexport default a;\n"
    )
    with pytest.raises(ValueError, match=r"declarations in a\.js, got 'export default a;'"):
        bundle.script("view.js")


def test_a_name_that_two_modules_declare_is_refused(static):
    static(
        view='import { a } from "./a.js";\nconst SIZE = 2;\nexport default a;\n',
        a="const SIZE = 1;\nexport const a = SIZE;\n",
    )
    with pytest.raises(ValueError, match=r"'SIZE' in a\.js and view\.js: rename"):
        bundle.script("view.js")


@pytest.mark.parametrize(
    "view", ["connections.js", "rooms.js", "frames.js", "header.js", "stocks.js", "client.js", "log.js"]
)
def test_every_view_is_one_module_that_asks_for_no_other(view):
    joined = bundle.script(view)
    assert len(re.findall(r"^export\b", joined, re.MULTILINE)) == 1
    assert "export default liveView(create, receive, render);" in joined
    assert not re.search(
        r"^import\b|\bimport\(", re.sub(r"/\*\*.*?\*/", "", joined, flags=re.DOTALL), re.MULTILINE
    )
    assert "innerHTML" not in joined


def test_style_sheets_are_joined_in_order():
    joined = bundle.styles("common.css", "rooms.css")
    assert joined.index(".wslab-bar") < joined.index(".wslab-rooms")
