"""A notebook in a real Chromium, watched; nothing but 127.0.0.1 can be reached.

`Watch` keeps what a page did that no test may overlook, and `Notebook` is the page object over a
`JupyterServer` (`tests/e2e/server.py`). Waits are for conditions of the page, and each has a limit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import nbformat
from playwright.sync_api import Error as PlaywrightError

from tests.e2e.server import THEMES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, WebError

    from tests.e2e.server import JupyterServer

__all__ = ["CHROMIUM_ARGS", "KernelError", "Notebook", "Watch", "find_chromium"]

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv" / "wslab-test-tools.json"

OPEN_TIMEOUT = 60.0
CELL_TIMEOUT = 60.0

CHROME_HEIGHT = 200  # pixels: JupyterLab's bars above and below a notebook, generously

CHROMIUM_ARGS = (
    "--no-sandbox",  # containers run as root, where Chromium refuses its own sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",  # screenshots look the same everywhere
    # Nothing but loopback resolves: what would come from elsewhere fails here as it fails offline.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# JupyterLab's own noise: a pattern per line, each with the reason why it is not ours. 4.6 makes none when
# it opens, runs, saves and changes its theme; anything else a page prints as an error fails its test.
CONSOLE_NOISE: tuple[re.Pattern[str], ...] = ()


class KernelError(AssertionError):
    """Code that a test ran in the kernel raised; the message is the kernel's traceback."""


def find_chromium(environ: Mapping[str, str] = os.environ, tools: Path = TOOLS) -> str | None:
    """Chromium's path: WSLAB_CHROMIUM, else what `tests/tools/prepare.py` noted, else from PATH.

    Returns:
        The path of an executable, or None when there is none.

    Raises:
        FileNotFoundError: WSLAB_CHROMIUM or the note names something that is not an executable.
    """
    named = environ.get("WSLAB_CHROMIUM"), "WSLAB_CHROMIUM"
    if not named[0] and tools.is_file():
        named = json.loads(tools.read_text()).get("chromium"), str(tools)
    path, source = named
    if path:
        if not os.access(path, os.X_OK):
            raise FileNotFoundError(f"{source} names {path!r}, which is no executable file.")
        return path
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name, path=environ.get("PATH", "")):
            return found
    return None


class Watch:
    """What the pages of a browser context did that no test may overlook.

    Attributes:
        offsite: addresses asked for that are not on 127.0.0.1, WebSockets included.
        console_errors: what they printed as errors, uncaught exceptions included.

    Args:
        context: the browser context.
        noise: patterns of errors that are the application's own. They are searched in the message with its
            place, of an uncaught exception in its stack.
        addresses: what the application itself may ask for elsewhere; it does not get it.
    """

    def __init__(
        self,
        context: BrowserContext,
        noise: Sequence[re.Pattern[str]] = CONSOLE_NOISE,
        addresses: Collection[str] = (),
    ) -> None:
        self.offsite: list[str] = []
        self.console_errors: list[str] = []
        self._noise = noise
        self._allowed = addresses
        context.on("request", lambda request: self._address(request.url))
        context.on("console", self._console)
        context.on("weberror", self._uncaught)
        context.on("page", self._page)

    def _page(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._address(socket.url))
        page.on("crash", lambda _: self.console_errors.append("The page crashed."))

    def _address(self, url: str) -> None:
        parts = urlsplit(url)
        local = parts.scheme in {"data", "blob", "about"} or parts.hostname == "127.0.0.1"
        if not local and url not in self._allowed:
            self.offsite.append(url)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location
            text = f"{message.text} ({where['url']}:{where['lineNumber']})"
            refused = where["url"] in self._allowed and "net::ERR_NAME_NOT_RESOLVED" in message.text
            if not refused and not any(noise.search(text) for noise in self._noise):
                self.console_errors.append(text)

    def _uncaught(self, error: WebError) -> None:
        stack = error.error.stack or ""
        if not any(noise.search(stack) for noise in self._noise):
            self.console_errors.append(f"uncaught: {error.error}")

    def assert_clean(self) -> None:
        """Fail with everything that was seen."""
        seen = [f"asked for {url}" for url in self.offsite] + self.console_errors
        if seen:
            raise AssertionError("The page misbehaved:\n" + "\n".join(seen))

    def forgive(self) -> None:
        """Forget what was seen: for a test that has just asserted exactly that."""
        self.offsite.clear()
        self.console_errors.clear()


class Notebook:
    """An open notebook in JupyterLab, over `window.jupyterapp`.

    Cells count from 0. Every wait raises playwright's TimeoutError at its limit.

    Attributes:
        place: where below the server's address the application opens a notebook; a host's own in a subclass.
    """

    place = "lab/tree"

    def __init__(self, page: Page, jupyter: JupyterServer, name: str, shots: Path) -> None:
        self.page = page
        self.jupyter = jupyter
        self.name = name
        self._shots = shots

    def open(self) -> Notebook:
        """Load the page with this notebook alone, and wait for its kernel."""
        self.page.goto(
            f"{self.jupyter.url}/{self.place}/{quote(self.name)}?token={self.jupyter.token}&reset",
            wait_until="domcontentloaded",
        )
        # jupyterapp is there before its plugins are: wait for the notebook and for its kernel.
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp?.shell?.currentWidget;
                return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === "idle";
            }""",
            timeout=OPEN_TIMEOUT * 1000,
        )
        return self

    def command(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Execute a command of JupyterLab and wait until it is done."""
        self._await(
            "([name, arguments]) => window.jupyterapp.commands.execute(name, arguments)",
            [name, arguments or {}],
            CELL_TIMEOUT,
            f"the command {name}",
        )

    def run_all(self, timeout: float = CELL_TIMEOUT) -> None:
        """Run all cells and wait for the last one's end; `errors` tells how it went."""
        try:
            self._await(
                "() => window.jupyterapp.commands.execute('notebook:run-all-cells')",
                None,
                timeout,
                "the end of all cells",
            )
            self.wait_idle(timeout)
        except PlaywrightError as error:
            raise AssertionError(f"{error.message}\n{self._unfinished()}") from None

    def _unfinished(self) -> str:
        """The cells that still run, with what they have shown, and what the server said last."""
        running = self.page.locator(".jp-CodeCell").filter(
            has=self.page.locator(".jp-InputPrompt", has_text="[*]")
        )
        kernel = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status"
        )
        cells = "\n---\n".join(running.all_inner_texts())
        return f"Kernel: {kernel}. Cells that have not ended:\n{cells}\nServer:\n{self.jupyter.log()[-2000:]}"

    def wait_idle(self, timeout: float = CELL_TIMEOUT) -> None:
        """Wait until the kernel says it is idle."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'",
            timeout=timeout * 1000,
        )

    def execute(self, code: str, timeout: float = CELL_TIMEOUT) -> str:
        """Run code in the notebook's kernel, without a cell; what it printed.

        Raises:
            KernelError: it raised.
        """
        out, error = self._await(
            """async (code) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const run = kernel.requestExecute({code, store_history: false, stop_on_error: false});
                let out = "", error = "";
                run.onIOPub = ({header, content}) => {
                    if (header.msg_type === "stream") out += content.text;
                    if (header.msg_type === "error") error = content.traceback.join("\\n");
                };
                await run.done;
                return [out, error];
            }""",
            code,
            timeout,
            f"the end of {code!r}",
        )
        if error:
            raise KernelError(re.sub(r"\x1b\[[0-9;]*m", "", error))
        return str(out)

    def _await(self, function: str, argument: Any, timeout: float, what: str) -> Any:
        """Evaluate an async function of the page, which by itself knows no limit."""
        return self.page.evaluate(
            f"""([argument, seconds, what]) => Promise.race([
                Promise.resolve(({function})(argument)).then((value) => Array.isArray(value) ? value : null),
                new Promise((_, reject) => setTimeout(
                    () => reject(new Error(`${{seconds}} s were not enough for ${{what}}`)), seconds * 1000)),
            ])""",
            [argument, timeout, what],
        )

    def cell(self, index: int) -> Locator:
        """A cell, input and output; Markdown cells count."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """The outputs of a cell; several, when it has several."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def errors(self) -> list[str]:
        """What the outputs show as tracebacks or on standard error."""
        kinds = ("application/vnd.jupyter.stderr", "application/vnd.jupyter.error")
        shown = ", ".join(f".jp-OutputArea-output [data-mime-type='{kind}']" for kind in kinds)
        shown += ", " + ", ".join(f".jp-OutputArea-output[data-mime-type='{kind}']" for kind in kinds)
        return self.page.locator(shown).all_inner_texts()

    def save(self) -> Any:
        """Save, and read what is then in the file: nbformat's NotebookNode."""
        self.command("docmanager:save")
        return nbformat.read(self.jupyter.folder / self.name, 4)  # type: ignore[no-untyped-call]

    def set_theme(self, theme: str) -> None:
        """Change the theme to "light" or "dark", and wait until the page shows it."""
        self.command("apputils:change-theme", {"theme": THEMES[theme]})
        self.page.wait_for_function(
            "(light) => document.body.dataset.jpThemeLight === light",
            arg="true" if theme == "light" else "false",
            timeout=OPEN_TIMEOUT * 1000,
        )

    def hide_inputs(self) -> None:
        """Collapse the code of all cells, and the side bar, as a teacher on a projector does."""
        self.command("notebook:hide-all-cell-code")
        if self.page.evaluate("() => !window.jupyterapp.shell.leftCollapsed"):
            self.command("application:toggle-left-area")

    def screenshot(self, name: str, target: Locator | None = None) -> Path:
        """Write ``NAME.png`` of the page, or of one element in full; its path."""
        path = self._shots / f"{name}.png"
        self.page.evaluate("() => document.fonts.ready.then(() => null)")
        if target is None:
            self.page.screenshot(path=path, animations="disabled")
            return path
        # JupyterLab scrolls inside of a panel, which cuts what a picture of an element would show: so the
        # window grows until the element fits.
        before, box = self.page.viewport_size, target.bounding_box()
        assert before is not None, "The context has a viewport."
        assert box is not None, f"{target} is not shown."
        self.page.set_viewport_size({"width": before["width"], "height": ceil(box["height"]) + CHROME_HEIGHT})
        target.evaluate("(element) => element.scrollIntoView({block: 'center'})")
        target.screenshot(path=path, animations="disabled")
        self.page.set_viewport_size(before)
        return path
