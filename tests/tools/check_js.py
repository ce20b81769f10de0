"""Type-check the widgets' JavaScript, ES modules with JSDoc types, with the TypeScript of prepare.py."""

from __future__ import annotations

import json
import subprocess
import sys

from prepare import FOUND_FILE, JS_FOLDER, ROOT, say

MODULES = ROOT / "wslab" / "widgets" / "static"


def main() -> int:
    found = json.loads(FOUND_FILE.read_text(encoding="utf-8"))
    if not found["node"] or not found["typescript"]:
        say("JavaScript check skipped: no Node or no TypeScript (see above).")
        return 0  # under CI=true prepare.py has failed before this
    if not any(MODULES.glob("*.js")):
        say(f"expected the widgets' modules in {MODULES}, found none: the compiler would pass on nothing.")
        return 1
    return subprocess.run([found["node"], found["typescript"], "-p", str(JS_FOLDER)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
