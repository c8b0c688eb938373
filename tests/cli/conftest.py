"""Worlds of other rooms, importable by the tests beside this."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "sources"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
