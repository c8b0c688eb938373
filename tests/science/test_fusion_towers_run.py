"""Towers from the project file to the products through the command line, with chains far too short to converge."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from benchmarks.fusion_towers import project
from tests.science.commands import run_module, started_module

from talik.fusion.run import open_result

pytestmark = pytest.mark.science

SHORT = {"chains": 4, "draws": 20, "rounds": 1, "particles": 16, "members": 50}
TOWERS = ("FI-Hyy", "RU-Cok", "FI-Sod")


def prepare(shared: Path, folder: Path, name: str) -> str:
    """The project file of three towers in blocks of one, two years long, with results in a folder of that name."""
    content = project(shared, folder, "factor-1", TOWERS, **SHORT) | {"output": name}
    content["fusion"] |= {"period": [2007, 2008], "figures": ["FI-Hyy"], "fill": "flagged", "block": 1}
    content["fusion"]["observations"]["biomass"]["year"] = 2008
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path.name


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where one worker has made `whole`."""
    found = tmp_path_factory.mktemp("towers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        name = prepare(shared, found, "whole")
        done = run_module("talik", "fuse", "run", name, "--workers", "1", folder=found)
        assert done.returncode == 0, done.stdout + done.stderr
        yield found


def test_towers_run_and_say_that_they_have_not_converged(folder: Path) -> None:
    out = folder / "whole"
    result = open_result(out / "fusion.nc")
    assert result["pixel"].values.tolist() == list(TOWERS)
    assert (result["quality"] == 2).all()
    assert all("R-hat" in text for text in result["reason"].values)
    gpp = result["gpp_annual"].values * 1e3 * 86400 * 365.25
    assert np.isfinite(gpp).all()
    assert np.median(gpp[0]) > np.median(gpp[1])  # a pine forest and a tundra
    table = pd.read_csv(out / "fusion-scores.csv")
    assert set(table["use"]) == {"assimilated", "left_out"}
    held = table[(table["pixel"] == "RU-Cok") & (table["stream"] == "nee")].set_index("use")["n"]
    assert held.to_dict() == {"assimilated": 6, "left_out": 2}
    assert (out / "fusion-figures" / "FI-Hyy.png").read_bytes()[:4] == b"\x89PNG"
    checked = run_module("talik", "fuse", "check", str(out), "--json", folder=folder)
    assert checked.returncode == 1
    told = json.loads(checked.stdout)
    assert told["counts"]["unconverged"] == 3
    assert told["passed"] == 0.0


def test_two_workers_that_were_killed_and_one_that_goes_on_give_the_same_bytes(
    shared: Path, folder: Path, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    """SIGKILL to the group of two workers when a tower of three is done, then the rest with one."""
    name, killed, blocks = prepare(shared, folder, "killed"), folder / "killed", "work/fusion-blocks*/*.nc"
    process = started_module("talik", "fuse", "run", name, "--workers", "2", folder=folder)
    wait_for(lambda: len(list(killed.glob(blocks))) >= 1 or process.poll() is not None)
    assert process.poll() is None, "it finished before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 1 <= len(list(killed.glob(blocks))) < 3
    done = run_module("talik", "fuse", "run", name, "--workers", "1", "--resume", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for made in ("fusion.nc", "fusion-fluxes.nc"):
        assert (killed / made).read_bytes() == (folder / "whole" / made).read_bytes()
