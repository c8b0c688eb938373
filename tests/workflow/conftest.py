"""The toy approach, registered here and importable by workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

import relay_approach  # noqa: E402
from toy_approach import SECTION  # noqa: E402

from talik.workflow import load_project, register_section  # noqa: E402

register_section(SECTION)
register_section(relay_approach.SECTION)
register_section(relay_approach.MORE)


@pytest.fixture(autouse=True)
def importable_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the toy."""
    old = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{old}" if old else HERE)


@pytest.fixture
def project_at(tmp_path: Path):
    """A function that writes a project file and reads it."""

    def make(text: str = "toy: {}", name: str = "p"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"talik: 1\nname: {name}\noutput: {name}-out\n{text}\n")
        return load_project(path)

    return make
