"""A project of chained steps, killed at every boundary between them and resumed: the same bytes as in one go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_workflow_chain import everything

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

PROJECT = """
talik: 1
name: killed
seed: 4
more: {links: {look: {reads: [output/middle/u0.txt], peek: true}}}
relay:
  links:
    last: {reads: [output/middle/u1.txt, own.csv]}
    middle: {reads: [output/sum.txt], word: passed on}
toy: {units: 3}
"""
STEPS = ("draw", "sum", "relay-middle", "relay-last", "relay-more-look")
BOUNDARIES = [f"{when}:{step}" for step in STEPS for when in ("before", "after")]


@pytest.fixture
def folder(tmp_path: Path, installed: None) -> Path:
    (tmp_path / "p.yaml").write_text(PROJECT)
    (tmp_path / "own.csv").write_text("1\n")
    return tmp_path


def run(folder: Path, *args: str, die_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TOY_DIE_AT": die_at} if die_at else os.environ
    return subprocess.run(
        [sys.executable, "-m", "talik", "run", "p.yaml", *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def found(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Bytes of what is published, and the manifest without times."""
    output = folder / "output"
    manifest = json.loads((output / "manifest.json").read_text())
    del manifest["started"], manifest["ended"]
    for unit in (u for s in manifest["steps"] for u in s["units"]):
        unit.pop("seconds", None)
    assert not list(output.rglob("*.part"))
    return everything(output), manifest


@pytest.fixture
def reference(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """What a run in one go makes; the output folder is gone afterwards."""
    done = run(folder)
    assert done.returncode == 0, done.stderr
    whole = found(folder)
    assert {s["step"] for s in whole[1]["steps"]} == set(STEPS)
    assert {u["status"] for s in whole[1]["steps"] for u in s["units"]} == {"done"}
    shutil.rmtree(folder / "output")
    return whole


def test_killed_at_each_boundary_and_resumed(folder, reference):
    for boundary in BOUNDARIES:
        assert run(folder, die_at=boundary).returncode == -signal.SIGKILL, boundary
        left = everything(folder / "output")
        assert left.items() <= reference[0].items(), boundary
        assert left.keys() != reference[0].keys() or boundary == "after:" + STEPS[-1], boundary
        done = run(folder, "--resume")
        assert done.returncode == 0, done.stderr
        assert found(folder) == reference, boundary
        shutil.rmtree(folder / "output")


@pytest.mark.parametrize("where", ["two workers", "dask"])
def test_killed_at_one_boundary_after_the_other(folder, reference, where, request):
    if where == "dask":
        address, _ = request.getfixturevalue("dask_cluster")()
        options = ["--scheduler", address]
    else:
        options = ["--workers", "2"]
    resume: list[str] = []
    for boundary in BOUNDARIES:
        killed = run(folder, *options, *resume, die_at=boundary)
        assert killed.returncode == -signal.SIGKILL, (boundary, killed.stderr)
        assert everything(folder / "output").items() <= reference[0].items(), boundary
        resume = ["--resume"]
    done = run(folder, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert found(folder) == reference
