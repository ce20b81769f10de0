"""One ES module and one style sheet a view, put together from small files.

anywidget takes a module as text, and a notebook page cannot import our files by URL (there is no
server of ours that every front end could reach). The files in `static/` are ordinary ES modules, so
that editors, `tsc` and a reader see real imports; `script` joins them: dependencies first, each once,
without their import lines and `export` keywords. Only ``import {…} from "./x.js";`` on lines of its
own, without ``as``, and ``export`` before a declaration are understood; anything else is refused, and
so is a name that two of the files declare: joined, they share one scope.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ["script", "styles"]

_IMPORT = re.compile(r'^import\s*\{(?:(?! as )[^}])*\}\s*from\s*"\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |let |function |async function |class )", re.MULTILINE)
_DECLARED = re.compile(r"^(?:export )?(?:const|let|function|async function|class) (\w+)", re.MULTILINE)
_STATIC = files("wslab.widgets") / "static"


def _read(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")


def _collect(name: str, seen: dict[str, str]) -> None:
    if name in seen:
        return
    source = _read(name)
    seen[name] = ""  # reserves the name: two modules that import each other still end
    for dependency in _IMPORT.findall(source):
        _collect(dependency, seen)
    del seen[name]
    seen[name] = source


@cache
def script(name: str, *vendored: str) -> str:
    """The module `name` with everything it imports, as one module.

    Args:
        name: a file in `static/` whose default export is the view.
        vendored: classic scripts in `static/vendor/` to put first; they define a global name.

    Raises:
        ValueError: an import or export that cannot be joined, or a name declared twice.

    Example:
        >>> text = script("header.js")
        >>> text.index("function element(") < text.index("export default"), "import {" in text
        (True, False)
    """
    sources: dict[str, str] = {}
    _collect(name, sources)
    joined = [_read(f"vendor/{file}") for file in vendored]
    owners: dict[str, str] = {}
    for file, source in sources.items():
        for declared in _DECLARED.findall(source):
            if declared in owners:
                raise ValueError(
                    f"Expected each top-level name once in a view's modules, got {declared!r} in "
                    f"{owners[declared]} and {file}: rename one of them."
                )
            owners[declared] = file
        body = _IMPORT.sub("", source)
        if file != name:
            body = _EXPORT.sub("", body)
        allowed = r"(?!default\b)" if file == name else ""
        left = re.search(rf"^(import\b.*|export {allowed}.*)$", body, re.MULTILINE)
        if left:
            raise ValueError(
                f'Expected `import {{…}} from "./x.js";` and exported declarations in {file}, '
                f"got {left[0]!r}: the view's modules are joined into one."
            )
        joined.append(body)
    return "\n".join(joined)


@cache
def styles(*names: str) -> str:
    """The style sheets `names` from `static/`, joined."""
    return "\n".join(_read(name) for name in names)
