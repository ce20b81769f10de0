"""What every test sees."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if find_spec("wslab") is None:  # an installed wheel wins; a bare checkout is tested where it stands
    sys.path.append(str(ROOT))

pytest_plugins = ["pytester"]  # tests of the fixtures themselves run an inner pytest
