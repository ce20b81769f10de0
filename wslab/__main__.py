"""`python -m wslab`: the same as the `wslab` command."""

from __future__ import annotations

import sys

from wslab.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
