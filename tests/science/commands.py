"""Modules run as users run them, without the setting of conftest.py that lets XLA compile fast and compute slowly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_module(module: str, *args: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`python -m module args` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def started_module(module: str, *args: str, folder: Path = ROOT) -> subprocess.Popen[bytes]:
    """The same, running in a process group of its own, and silent."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *args],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def printed_json(module: str, *args: str) -> dict[str, Any]:
    """The last line that a module prints."""
    done = run_module(module, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
