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

import talik  # noqa: E402
from talik.workflow import load_project, register_section  # noqa: E402

register_section(SECTION)
register_section(relay_approach.SECTION)
register_section(relay_approach.MORE)


@pytest.fixture(autouse=True)
def importable_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the toy, and the talik that is tested."""
    old = os.environ.get("PYTHONPATH")
    here = f"{HERE}{os.pathsep}{Path(talik.__file__).parents[1]}"
    monkeypatch.setenv("PYTHONPATH", f"{here}{os.pathsep}{old}" if old else here)


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m talik` in a process of its own has the sections of the toys, as if pip had installed them."""
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[talik.approaches]\ntoy = toy_approach:SECTION\nrelay = relay_approach:SECTION\n"
        "more = relay_approach:MORE\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ['PYTHONPATH']}")


@pytest.fixture
def project_at(tmp_path: Path):
    """A function that writes a project file and reads it."""

    def make(text: str = "toy: {}", name: str = "p"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"talik: 1\nname: {name}\noutput: {name}-out\n{text}\n")
        return load_project(path)

    return make
