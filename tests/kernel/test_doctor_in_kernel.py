"""`wslab.doctor()` in a cell, whose loop it must not wait for."""

from __future__ import annotations

import pytest

from tests.kernel.clients import serve

pytestmark = pytest.mark.kernel


def test_it_ends_in_a_cell_and_beside_a_lab_that_serves(kernel):
    said = kernel.run("import wslab; wslab.doctor()").ok().stdout
    assert "A Jupyter kernel." in said
    assert "`await lab.start()` works as it stands" in said
    assert "can be bound and reached" in said
    serve(kernel)
    again = kernel.run("wslab.doctor()").ok().stdout
    assert again == said


def test_an_applied_nest_asyncio_is_found(kernel):
    kernel.run("""
import asyncio, sys, types
sys.modules["nest_asyncio"] = types.ModuleType("nest_asyncio")
asyncio.get_running_loop()._nest_patched = True  # what its apply() leaves behind
""").ok()
    said = kernel.run("import wslab; wslab.doctor()").ok().stdout
    assert "nest_asyncio is applied" in said
    assert "restart the kernel" in said
