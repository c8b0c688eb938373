"""The process model as users compile it: other tests compile without optimising, which rounds otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.science

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["test_tem_reference", "test_thermal_verification", "test_model"])
def test_process_model_with_default_optimisation(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/tem/{name}.py"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},  # empty, but set: conftest.py leaves it
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
