"""The projects of the guides run as they stand there, on small files with the names that they give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from inversion_world import carbontracker, gcb
from model_world import isimip3a, land_file, trendy
from side_by_side import G_YEAR, NORTH, field, towers
from typer.testing import CliRunner

from talik.cli import app
from talik.regions import land_fraction

GUIDES = Path(__file__).parents[2] / "docs" / "guide"
YEARS = (1999, 2001)


def call(*args: str | Path):
    return CliRunner().invoke(app, [str(a) for a in args])


def project_of(guide: str) -> dict:
    """The first YAML block of a guide."""
    block = re.search(r"```yaml\n(.*?)```", (GUIDES / guide).read_text(encoding="utf-8"), re.S)
    assert block is not None
    return yaml.safe_load(block.group(1))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Every file that the guides name; their years are those of the small files here."""
    for folder in ("trendy", "isimip", "inversions/cte", "abcflux-v2"):
        (tmp_path / folder).mkdir(parents=True)
    for variable, grams in (("gpp", 500.0), ("npp", 250.0), ("ra", 250.0), ("rh", 220.0), ("fFire", 10.0)):
        trendy(tmp_path / "trendy", variable, grams * G_YEAR, model="CLM5.0", years=YEARS)
    land_file(tmp_path / "trendy", "CLM5.0_landfrac.nc", "landfrac", 1.0, units="1")
    land = land_fraction(NORTH).values
    for variable, grams in (("gpp", 400.0), ("npp", 200.0), ("ra", 200.0), ("rh", 180.0)):
        # per area of the cell, nothing over the sea
        per_cell = np.where(land > 0.0, grams * G_YEAR * land, np.nan)
        isimip3a(tmp_path / "isimip", variable, per_cell, years=YEARS)
    named = project_of("ensembles.md")["ensemble"]["inversions"]
    gcb(tmp_path).rename(tmp_path / named["GCB"]["files"][0])
    carbontracker(tmp_path, europe=True).rename(tmp_path / "inversions" / "cte" / "cte.nc")
    field(tmp_path, "gfed", "fFire", 10.0, YEARS)
    field(tmp_path, "upscaled", "nee", -30.0, YEARS)
    square = [[[60.0, 55.0], [120.0, 55.0], [120.0, 70.0], [60.0, 70.0], [60.0, 55.0]]]
    feature = {
        "type": "Feature",
        "properties": {"name": "permafrost"},
        "geometry": {"type": "Polygon", "coordinates": square},
    }
    (tmp_path / "permafrost.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    towers().to_csv(tmp_path / "towers.csv", index=False)
    lat = np.arange(45.5, 90.0)
    share = np.where(lat[:, None] > 66.0, 1.0, 0.0) + np.zeros((1, 360))
    coords = {"lat": lat, "lon": np.arange(-179.5, 180.0)}
    xr.Dataset({"tundra": (("lat", "lon"), share)}, coords).to_netcdf(tmp_path / "biomes.nc")
    return tmp_path


def of_the_guides(files: Path) -> dict:
    """The project of the guide to ensembles, for years and shares of land that the small files have."""
    content = project_of("ensembles.md")
    content["period"] = {"first_year": 2000, "last_year": 2001}
    content["ensemble"]["least_coverage"] = 0.5
    for inversion in content["ensemble"]["inversions"].values():
        inversion["check_total"] = False
    return content


def test_the_guide_to_ensembles(files: Path):
    (files / "project.yaml").write_text(yaml.safe_dump(of_the_guides(files), sort_keys=False))
    result = call("ensemble", "summarise", files / "project.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    models = found["ensembles"]["process models"]["members"]
    assert {row["group"] for row in models} == {"CLM5.0", "JULES"}
    groups = {row["group"] for row in found["inversions"]["nbe"]["groups"]}
    assert groups == {"CAMS", "CarboScope", "CTE"}
    assert "permafrost" in {row["region"] for row in found["tables"]["regions"]}


def test_the_guide_to_comparing(files: Path):
    ensemble = of_the_guides(files)
    content = project_of("compare.md") | {"period": ensemble["period"], "ensemble": ensemble["ensemble"]}
    content["compare"] |= {"grid_degrees": 5.0, "figures": False}
    content["compare"]["approaches"]["towers"] = {"sites": "towers.csv"}
    (files / "project.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    result = call("compare", files / "project.yaml", "--out", files / "comparison", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert len(found["regions"]) == 8
    assert {row["approach"] for row in found["matrix"]} == set(content["compare"]["approaches"])
    assert (files / "comparison" / "compare.html").is_file()
