"""`talik ensemble`: a project of models and inversions, from files to posts; what stops it, and what survives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
import yaml
from model_world import trendy
from side_by_side import G_YEAR, UPSCALED, write_world
from typer.testing import CliRunner

from talik.cli import app
from talik.flux import open_flux
from talik.regions import LatLonGrid, land_fraction, regional_total, sectors


def call(*args: str | Path):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A project that was run, and what `--json` said."""
    path = write_world(tmp_path_factory.mktemp("world"), ensemble={"keep": True, "cells": ["nee"]})
    result = call("ensemble", "summarise", path, "--json")
    assert result.exit_code == 0, result.stderr
    return path, json.loads(result.stdout)


def rows(found: dict, region: str) -> dict[str, dict]:
    held = found["ensembles"]["process models"]["by_region"]
    return {row["variable"]: row for row in held if row["region"] == region}


def test_totals_are_grams_times_the_area_of_the_region(done: tuple[Path, dict]):
    _, found = done
    grid = LatLonGrid.regular((5.0, 10.0), lat=(45.0, 90.0))
    weights = sectors(grid)
    one = xr.ones_like(grid.cell_area()).assign_attrs(units="kg m-2 s-1", area_basis="land").rename("x")
    area = regional_total(one, weights, min_coverage=0.5)["x"].sel(region="siberia").item()
    held = rows(found, "siberia")
    assert held["nep"]["mean"] == pytest.approx(25.0 * area * 1e-12, rel=1e-6)
    assert held["nep"]["n_members"] == 2
    assert held["fFire"]["mean"] == pytest.approx(10.0 * area * 1e-12, rel=1e-6)
    assert held["fFire"]["n_members"] == 1
    assert held["nbp_fire"]["mean"] == pytest.approx(20.0 * area * 1e-12, rel=1e-6)
    assert held["cue"]["mean"] == pytest.approx(0.5)


def test_a_model_without_fire_has_no_nbp_of_fire(done: tuple[Path, dict]):
    _, found = done
    members = [r for r in found["ensembles"]["process models"]["members"] if r["variable"] == "nbp_fire"]
    assert {r["group"] for r in members} == {"ORCHIDEE"}


def test_posts_are_those_of_the_budget_with_the_sign_turned(done: tuple[Path, dict]):
    path, found = done
    posts = yaml.safe_load((path.parent / "output" / "ensemble-posts.yaml").read_text())["posts"]
    nee = next(p for p in posts if p["id"] == "process.nee")
    assert nee["mean"] == pytest.approx(-rows(found, found["budget_region"])["nep"]["mean"])
    assert nee["low"] < nee["mean"] < nee["high"] < 0.0
    whole = next(p for p in posts if p["id"] == "inversion.natural")
    assert (whole["gas"], whole["members"]) == ("CO2", 3)
    assert any("process.nee_fire: 1 member" in note for note in found["notes"])
    result = call("budget", path.parent / "output" / "ensemble-posts.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    derived = {row["id"]: row["mean"] for row in json.loads(result.stdout)["posts"]}
    assert derived["total.process"] == nee["mean"]
    assert derived["total.inversion"] == whole["mean"]


def test_harmonised_members_are_flux_datasets(done: tuple[Path, dict]):
    path, _ = done
    folder = path.parent / "output" / "ensemble"
    assert sorted(p.stem for p in folder.glob("*.nc")) == ["CTE", "GCB", "JULES", "ORCHIDEE"]
    with open_flux(folder / "ORCHIDEE.nc") as ds:
        assert float(ds["lat"].min()) > 45.0
        nee = ds["nee"].isel(time=0, lat=3, lon=3)
        assert nee.item() == pytest.approx(-30e-3 / (365.0 * 86_400.0), rel=1e-6)
        assert nee.attrs["derivation"]
        assert set(json.loads(ds.attrs["talik_inputs"])) >= {"ORCHIDEE_S3_gpp.nc"}


def test_tables_and_maps(done: tuple[Path, dict]):
    path, found = done
    out = path.parent / "output"
    regions = pd.read_csv(out / "ensemble-regions.csv")
    assert set(regions["ensemble"]) == {"process models", "inversions"}
    yearly = pd.read_csv(out / "ensemble-yearly.csv")
    assert len(yearly) == len(found["tables"]["yearly"])
    assert yearly.groupby("model")["year"].nunique().to_dict() == {"JULES": 2, "ORCHIDEE": 2}
    with xr.open_dataset(out / "ensemble-cells-nee.nc") as cells:
        assert float(cells["mean"].mean()) == pytest.approx(-25.0, rel=1e-6)
        assert float(cells["sd"].mean()) == pytest.approx(10.0 / math.sqrt(2.0), rel=1e-5)


def test_what_is_there_is_not_made_again(tmp_path: Path):
    world = write_world(tmp_path, ensemble={"inversions": {}}, compare=None)
    first = call("ensemble", "summarise", world, "--json")
    assert first.exit_code == 0, first.stderr
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "output" / "work").rglob("*.nc")}
    again = call("ensemble", "summarise", world, "--resume", "--json")
    assert again.exit_code == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert json.loads(again.stdout)["ensembles"] == json.loads(first.stdout)["ensembles"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": {}, "inversions": {}}, "names no models, no inversions and no tables"),
        ({"budget_region": "mars"}, "budget_region: 'mars' is no region"),
        ({"north_off": 50.0}, "did you mean 'north_of'"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, change: dict, says: str):
    result = call("ensemble", "summarise", write_world(tmp_path, ensemble=change, compare=None))
    assert result.exit_code in (1, 2)
    assert says in result.stderr


def test_a_pattern_without_files_is_named(tmp_path: Path):
    world = write_world(tmp_path, compare=None)
    for file in (tmp_path / "models").glob("JULES*"):
        file.unlink()
    result = call("ensemble", "summarise", world, "--dry-run")
    assert result.exit_code == 2
    assert "ensemble member JULES: no file fits 'models/JULES_S3_*.nc'" in result.stderr


def test_a_dry_run_writes_nothing(tmp_path: Path):
    world = write_world(tmp_path, compare=None)
    result = call("ensemble", "summarise", world, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    plan = {row["step"]: row["todo"] for row in json.loads(result.stdout)["plan"]}
    assert plan["ensemble-members"] == 4
    assert not (tmp_path / "output").exists()


def test_formats_are_told():
    every = call("ensemble", "formats").stdout
    assert "TRENDY" in every
    assert "gcb" in every
    assert "assumed" in call("ensemble", "formats", "TRENDY").stdout
    assert "Pg C m-2 yr-1" in call("ensemble", "formats", "gcb").stdout
    unknown = call("ensemble", "formats", "trendi")
    assert unknown.exit_code == 2
    assert "format 'trendi' is unknown" in unknown.stderr


def test_what_is_left_out_is_said(tmp_path: Path):
    """A run with satellite data is no member; a fire product has its totals; a region without data is named."""
    world = write_world(tmp_path, compare=None)
    content = yaml.safe_load(world.read_text())
    ensemble = content["ensemble"]
    ensemble["inversions"]["CTE"]["satellite_of"] = "CTE-surface"
    surface = {**ensemble["inversions"]["CTE"], "satellite_of": None}
    ensemble["inversions"]["CTE-surface"] = {**surface, "files": list(surface["files"])}
    ensemble["inversions"]["GCB"]["leave_out"] = ["CTE", "CarboScope"]
    square = [[[0.0, 20.0], [10.0, 20.0], [10.0, 30.0], [0.0, 30.0], [0.0, 20.0]]]
    regions = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": "far south"},
                "geometry": {"type": "Polygon", "coordinates": square},
            }
        ],
    }
    (tmp_path / "south.geojson").write_text(json.dumps(regions))
    ensemble["regions"] = ["bands:50,60,80", "south.geojson:name"]
    ensemble["budget_region"] = "50-60N"
    content["period"] = {"first_year": 2000, "last_year": 2002}
    world.write_text(yaml.safe_dump(content))
    result = call("ensemble", "summarise", world, "--json")
    assert result.exit_code == 1, result.stderr
    assert "no run has 100% of the years 2000-2002" in result.stderr
    content["period"] = {"first_year": 2000, "last_year": 2001}
    world.write_text(yaml.safe_dump(content))
    result = call("ensemble", "summarise", world, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert {row["n"] for row in found["inversions"]["nbe"]["summary"]} == {2}
    check = next(row for row in found["satellites"] if row["variable"] == "nbe")
    assert check["difference"] == pytest.approx(0.0)
    fires = {row["region"]: row["value"] for row in found["fire"] if row["year"] == 2001}
    land = (land_fraction(UPSCALED) * UPSCALED.cell_area()).sel(lat=slice(50.0, 60.0)).sum()
    assert fires["50-60N"] == pytest.approx(10.0 * float(land) * 1e-12, rel=1e-4)
    assert any("ORCHIDEE, far south: no total of" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"profile": "trendy"}, "model profile 'trendy' is unknown; choose one of"),
        ({"files": ["models"]}, ""),
    ],
)
def test_formats_are_known_before_anything_runs(tmp_path: Path, change: dict, says: str):
    world = write_world(tmp_path, compare=None)
    content = yaml.safe_load(world.read_text())
    content["ensemble"]["models"]["JULES"] |= change
    world.write_text(yaml.safe_dump(content))
    result = call("ensemble", "summarise", world, "--dry-run")
    assert result.exit_code == (2 if says else 0), result.stderr
    assert says in result.stderr


def test_a_mistyped_region_is_named_with_the_forms(tmp_path: Path):
    result = call(
        "ensemble", "summarise", write_world(tmp_path, ensemble={"regions": ["sectorz"]}, compare=None)
    )
    assert result.exit_code == 2
    assert "Give one of: sectors, bands" in result.stderr


def test_the_budget_of_the_project_takes_the_posts(tmp_path: Path):
    world = write_world(
        tmp_path,
        compare=None,
        ensemble={"inversions": {}},
        budget={"posts": "ensemble", "draws": 1000},
        report={"figures": False},
    )
    result = call("report", world, "--out", tmp_path / "report.html")
    assert result.exit_code == 0, result.stderr
    budget = json.loads((tmp_path / "output" / "budget.json").read_text())
    ids = {row["id"] for row in budget["posts"]}
    assert {"process.nee", "total.process"} <= ids
    assert "2 process models" in (tmp_path / "report.html").read_text()


def test_runs_without_the_years_of_the_period_are_named(tmp_path: Path):
    world = write_world(tmp_path, compare=None, ensemble={"inversions": {}})
    content = yaml.safe_load(world.read_text())
    for name, years in (("LPJ", (2001, 2001)), ("OLD", (1990, 1991))):
        for variable, value in (("npp", 150.0), ("rh", 120.0)):
            trendy(tmp_path / "models", variable, value * G_YEAR, model=name, years=years)
        model = {**content["ensemble"]["models"]["JULES"], "files": [f"models/{name}_S3_*.nc"]}
        content["ensemble"]["models"][name] = model
    world.write_text(yaml.safe_dump(content))
    result = call("ensemble", "summarise", world, "--json")
    assert result.exit_code == 0, result.stderr
    notes = json.loads(result.stdout)["notes"]
    assert any(note.startswith("LPJ is left out: 1 years, 50% of the period") for note in notes)
    assert "OLD is left out: it has 1990-1991, no year of the period" in notes


def test_a_store_of_fires_is_read_and_its_change_is_seen(tmp_path: Path):
    world = write_world(tmp_path, compare=None, ensemble={"fire": "fire.zarr", "inversions": {}})
    with xr.open_dataset(tmp_path / "fire.nc") as ds:
        ds.load().to_zarr(tmp_path / "fire.zarr", zarr_format=3, consolidated=False)
    result = call("ensemble", "summarise", world, "--json")
    assert result.exit_code == 0, result.stderr
    assert {row["variable"] for row in json.loads(result.stdout)["fire"]} == {"fFire"}


def test_the_terminal_says_what_the_files_say(done: tuple[Path, dict]):
    path, found = done
    result = call("ensemble", "summarise", path)
    assert result.exit_code == 0, result.stderr
    line = next(x for x in result.stdout.splitlines() if x.split()[:2] == ["siberia", "nep"])
    assert line.split()[2:6] == ["historical", "2000-2001", "Tg", "year-1"]
    assert f"{rows(found, 'siberia')['nep']['mean']:.0f}" in line
    assert "inversions, nbe, Tg yr-1" in result.stdout
    assert "note: nbe: alaska, 2000-2001: 3 groups" in result.stdout
    assert result.stdout.rstrip().endswith("boxes.svg")
    assert "ensemble-members: 4 units, 4 done" in result.stderr
