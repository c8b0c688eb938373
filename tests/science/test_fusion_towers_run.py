"""Two towers from the project file to the products through the command line, with chains far too short to converge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from benchmarks.fusion_towers import project
from tests.science.commands import run_module

from talik.fusion.run import open_result

pytestmark = pytest.mark.science

SHORT = {"chains": 4, "draws": 20, "rounds": 1, "particles": 16, "members": 50}


def test_two_towers_run_and_say_that_they_have_not_converged(shared: Path, tmp_path: Path):
    content = project(shared, tmp_path, "factor-1", ("FI-Hyy", "RU-Cok"), **SHORT)
    content["fusion"] |= {"period": [2007, 2008], "figures": ["FI-Hyy"], "fill": "flagged"}
    content["fusion"]["observations"]["biomass"]["year"] = 2008
    path = tmp_path / "towers.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = run_module("talik", "fuse", "run", str(path), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "factor-1"
    result = open_result(out / "fusion.nc")
    assert result["pixel"].values.tolist() == ["FI-Hyy", "RU-Cok"]
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
    checked = run_module("talik", "fuse", "check", str(out), "--json", folder=tmp_path)
    assert checked.returncode == 1
    told = json.loads(checked.stdout)
    assert told["counts"]["unconverged"] == 2
    assert told["passed"] == 0.0
