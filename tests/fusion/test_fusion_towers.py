"""The project of the benchmark of towers, as the package reads it; nothing is sampled."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from benchmarks.fusion_towers import BLOCK, CASES, PERIOD, SITES, project

from talik.cli.fuse import MOST_NAMED, input_text
from talik.fusion.check import examine
from talik.fusion.inputs import Reader
from talik.fusion.observed import observations_of
from talik.fusion.section import files_of, settings_of, steps
from talik.workflow.project import Project, load_project


def loaded(shared: Path, folder: Path, case: str) -> Project:
    path = folder / f"{case}.yaml"
    path.write_text(yaml.safe_dump(project(shared, folder, case)), encoding="utf-8")
    return load_project(path)


@pytest.mark.parametrize("case", CASES)
def test_every_site_runs_in_blocks_of_one_size(case: str, shared: Path, tmp_path: Path):
    of = loaded(shared, tmp_path, case)
    settings = settings_of(of)
    told = examine(settings, files_of(of, settings))
    assert told["good"] == told["pixels"] == len(SITES) >= 10
    assert len(steps(of, settings)[0].units) == len(SITES) / BLOCK
    assert bool(told["assimilated"]) == (case != "data-free")


def test_halves_are_those_of_the_collection(shared: Path, tmp_path: Path):
    of = loaded(shared, tmp_path, "factor-1")
    settings = settings_of(of)
    reader = Reader(settings, files_of(of, settings))
    streams = reader.read(reader.pixels()).streams
    rows = pd.read_parquet(shared / "data" / "fluxnet2015-cardamom" / "site_months.parquet")
    rows = rows[rows["year"].between(*PERIOD)]
    for k, site in enumerate(SITES):
        ours = rows[(rows["site"] == site) & rows["nee"].notna()]
        for role, held in (("calibration", streams["nee"].value), ("validation", streams["nee"].held_out)):
            expected = ours.loc[ours["role"] == role, "nee"]
            seen = held[:, k][~pd.isna(held[:, k])]
            assert len(expected) >= 5
            assert seen == pytest.approx(expected.to_numpy())
    biomass = streams["biomass"].value
    assert (~pd.isna(biomass)).sum(axis=0).tolist() == [1] * len(SITES)


def test_the_factor_multiplies_errors_of_both_fluxes(shared: Path, tmp_path: Path):
    sd = {}
    for case in ("factor-0.5", "factor-2"):
        of = loaded(shared, tmp_path, case)
        settings = settings_of(of)
        reader = Reader(settings, files_of(of, settings))
        inputs = reader.read(reader.pixels())
        made = observations_of(inputs, inputs.good, settings)
        sd[case] = [of.sd[of.seen] for of in (made.nee, made.gpp, made.lai)]
    for k, ratio in enumerate((4.0, 4.0, 1.0)):
        assert sd["factor-2"][k] == pytest.approx(ratio * sd["factor-0.5"][k])


def test_a_warning_that_sites_share_is_told_once(shared: Path, tmp_path: Path):
    of = loaded(shared, tmp_path, "factor-1")
    settings = settings_of(of)
    told = examine(settings, files_of(of, settings)) | {"device": "here"}
    problems = told.pop("problems")
    text = input_text(told, problems)
    assert len([p for p in problems if p.variable == "nee"]) > MOST_NAMED
    assert text.count("warning: nee") == 1
    assert "warning: US-Atq: lai: no value; expected values to assimilate" in text
