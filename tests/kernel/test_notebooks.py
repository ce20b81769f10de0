"""The first notebook runs without a page, as nbclient and a publisher's machine run it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.kernel.harness import kernel_environment, kernel_transport, own_kernel_spec

pytestmark = pytest.mark.kernel

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def run_notebook(name, folder):
    """Execute a notebook in `folder`; its code cells' text outputs, joined per cell."""
    notebook = nbformat.read(NOTEBOOKS / name, 4)
    with kernel_transport() as transport:

        class OwnKernelManager(AsyncKernelManager):
            """Starts this very interpreter."""

            def __init__(self, **options):
                super().__init__(**options, **transport, kernel_spec_manager=own_kernel_spec())

        client = NotebookClient(
            notebook,
            kernel_name="python3",
            kernel_manager_class=OwnKernelManager,
            timeout=60,
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute(env=kernel_environment(folder))
    return [
        "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_start_notebook_runs_headless(tmp_path):
    shown = run_notebook("00-start.ipynb", tmp_path)
    everything = "\n".join(shown)
    assert "ada: HELLO" in everything
    assert "Expected HTTP 101 (Switching Protocols), got 403" in everything
    assert "Milk first?" in everything
    assert "ConnectionClosed 1011 Internal error: ValueError" in everything
    assert "Traceback" not in everything
    assert "<Frame #" in shown[2]  # the four frames of the first client
    assert "Upgrade: websocket" in shown[4]  # its handshake
