"""Fixtures for other applications than JupyterLab that show our views.

A host is a row of `tests/matrix/run.py`, which installs it; where it is not installed its module is not
collected. Fixtures and rules are those of `tests/e2e/conftest.py`.
"""

from __future__ import annotations

from importlib.util import find_spec

from tests.e2e.conftest import (
    allowed,
    browser,
    page,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
)

__all__ = ["allowed", "browser", "page", "pytest_collection_modifyitems", "pytest_runtest_makereport"]

MODULES = {"notebook": "test_notebook7.py", "voila": "test_voila.py"}  # what a module needs installed

collect_ignore = [module for host, module in MODULES.items() if find_spec(host) is None]
