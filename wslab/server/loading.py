"""Finding an application by its name: ``module:app``, or ``module:make()`` for a factory."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

from wslab.errors import AppLoadError
from wslab.server.host import check_app
from wslab.server.limits import nearest

if TYPE_CHECKING:
    from types import ModuleType

    from starlette.types import ASGIApp

__all__ = ["load_app"]

_NAME = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<attribute>\w+(?:\.\w+)*)(?P<call>\(\))?")
_FORM = "Write it as module:app, or module:make() to call a factory, such as main:app for main.py."


def load_app(name: str) -> ASGIApp:
    """Import the application called `name`.

    Args:
        name: a module's dotted name, a colon, and the application's name in it; ``()`` behind it calls
            a factory without arguments.

    Raises:
        AppLoadError: there is no such module or name, or importing or calling it failed.
        NotAnAppError: what was found is no ASGI application.

    Example:
        >>> load_app("wslab.asgi:App()")
        <App with 0 routes>
    """
    match = _NAME.fullmatch(name)
    if match is None or match["module"].endswith(".py"):
        raise AppLoadError(f"Expected the name of an application, got {name!r}.", remedy=_FORM)
    found: Any = _import(match["module"])
    for attribute in match["attribute"].split("."):
        found = _attribute(found, attribute, match["module"])
    if match["call"]:
        return check_app(_call(found, name))
    if _is_factory(found):
        raise AppLoadError(
            f"Expected an ASGI application, got the function {name}, which takes no arguments.",
            remedy=f"If it makes the application, write {name}().",
        )
    return check_app(found)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise AppLoadError(
                f"There is no module {error.name!r} on Python's path, which begins with {sys.path[0]!r}.",
                remedy=f"Run this in the folder that {error.name.partition('.')[0]}.py is in.",
            ) from None
        raise _failed(f"Importing {name}", error) from error
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        raise _failed(f"Importing {name}", error) from error


def _attribute(thing: Any, name: str, module: str) -> Any:
    try:
        return getattr(thing, name)
    except AttributeError:
        public = [each for each in dir(thing) if not each.startswith("_")]
        raise AppLoadError(
            f"Expected {name!r} in {module!r}, it has none{nearest(name, public)}.",
            remedy=_FORM,
        ) from None


def _call(factory: Any, name: str) -> Any:
    if not callable(factory):
        kind = type(factory).__name__
        raise AppLoadError(f"Expected a factory, got {name} of type {kind}.", remedy="Leave out the ().")
    try:
        return factory()
    except (Exception, SystemExit) as error:  # whatever a factory does
        raise _failed(f"Calling {name}", error) from error


def _is_factory(thing: Any) -> bool:
    if not inspect.isfunction(thing) or inspect.iscoroutinefunction(thing):
        return False
    parameters = inspect.signature(thing).parameters.values()
    return all(one.default is not one.empty for one in parameters if one.kind not in {2, 4})


def _failed(what: str, error: BaseException) -> AppLoadError:
    summary = "".join(traceback.format_exception_only(error)).strip().replace("\n", " | ")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return AppLoadError(f"{what} failed: {summary}{where}.", remedy="Correct that, then run this again.")
