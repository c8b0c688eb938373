"""`talik inventory run` as a user meets it: plan, table, files, a budget and a page, errors before anything."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from typer.testing import CliRunner

from talik.cli import app
from talik.flux import make_flux_dataset
from talik.flux.io import write_netcdf
from talik.inventory.classes import LAND

runner = CliRunner()


def project(folder: Path, **inventory: Any) -> Path:
    path = folder / "p.yaml"
    held = {"talik": 1, "name": "inv", "output": "out", "inventory": {"draws": 1000, **inventory}}
    held |= {"budget": {"posts": "inventory", "draws": 1000}, "report": {"figures": False}}
    path.write_text(yaml.safe_dump(held))
    return path


def talik(*words: str, code: int = 0) -> Any:
    result = runner.invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result


def test_the_published_inventory_is_a_table_three_files_and_a_budget(tmp_path: Path) -> None:
    path = project(tmp_path, beside={"CH4": {"again": ["published"]}})
    shown = talik("inventory", "run", str(path))
    assert "northern permafrost region, 2000-2020" in shown.stdout
    assert "permafrost bog" in shown.stdout
    assert "-270 (-540, -0.9)" in shown.stdout
    assert "sum, linear" in shown.stdout
    assert "again" in shown.stdout
    with (tmp_path / "out" / "inventory-classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 4
    assert {row["estimate"] for row in rows} == {"project", "again"}
    bog = next(row for row in rows if (row["class"], row["gas"]) == ("permafrost_bog", "N2O"))
    assert (bog["flux_tg_yr_mean"], bog["area_mkm2_mean"]) == ("0.1", "0.86")
    posts = str(tmp_path / "out" / "inventory-posts.yaml")
    told = json.loads(talik("budget", posts, "--json").stdout)
    natural = next(p for p in told["posts"] if (p["id"], p["gas"]) == ("bottom_up.natural", "CH4"))
    assert abs(natural["mean"] - 39) < 0.6
    told = talik("audit", posts).stdout
    assert "18 printed numbers recomputed, 2 do not follow" in told
    assert "mass of CH4" in told


def test_json_is_everything_and_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    path = project(tmp_path)
    told = json.loads(talik("inventory", "run", str(path), "--json").stdout)
    assert [name.rpartition("/")[2] for name in told["published"]] == [
        "inventory.json",
        "inventory-posts.yaml",
        "inventory-classes.csv",
    ]
    assert len(told["posts"]) == 21
    first = (tmp_path / "out" / "inventory.json").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    talik("inventory", "run", str(project(other)))
    assert (other / "out" / "inventory.json").read_bytes() == first


def test_a_project_makes_its_budget_and_page_from_its_inventory(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    talik("report", str(project(tmp_path)), "--out", str(page))
    assert "printed total over printed area" in page.read_text()
    held = json.loads((tmp_path / "out" / "budget.json").read_text())
    bog = next(p for p in held["posts"] if (p["id"], p["gas"]) == ("inventory.permafrost_bog", "CH4"))
    assert bog["part_of"] == "inventory.wetlands"
    assert str(tmp_path) not in json.dumps(held)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    shown = talik("inventory", "run", str(project(tmp_path)), "--dry-run")
    assert "inventory: 1 units, 0 done" in shown.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("inventory", "match"),
    [
        ({"area_mkm2": 10.0}, "classes add up to 18.4"),
        ({"densities": {"CH4": ["printed growing season"]}}, "no source has permafrost-free wetland"),
        ({"densities": {"CH4": [{"table": "none.csv"}]}}, "1 input file of the plan not found"),
        ({"densities": {"N2O": [{"months": "p.yaml"}]}}, "site tables have CO2 and CH4"),
        ({"densities": {"CO2": [{"growing_season": "p.yaml"}]}}, "growing_season is a table of CH4"),
        ({"areas": {"classes": {"dry_tundra": [-1, -2, 0]}}}, "area of dry_tundra is -1 (-2, 0)"),
        ({"areas": {"classes": {"taiga": [1, 1, 1]}}}, "land-cover class 'taiga' is unknown"),
        ({"period": "last decade"}, "inventory.period"),
        ({"period": "2020-2000"}, "ends before it begins"),
        ({"region": "Alaska"}, "give areas of Alaska"),
        (
            {"densities": {"CO2": [{"months": "p.yaml", "years": [2020, 2000]}]}},
            "the last is before the first",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, inventory: dict[str, Any], match: str
) -> None:
    result = talik("inventory", "run", str(project(tmp_path, **inventory)), code=2)
    assert match in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_another_region_and_period_is_a_budget_of_its_own(tmp_path: Path) -> None:
    areas = {name: [1.0, 0.9, 1.1] for name in LAND}
    path = project(
        tmp_path,
        region="Alaska",
        period="2010-2015",
        area_mkm2=5.0,
        areas={"classes": areas},
        added={"fire": {"co2_c": 10.0}},
    )
    talik("inventory", "run", str(path))
    told = json.loads(talik("budget", str(tmp_path / "out" / "inventory-posts.yaml"), "--json").stdout)
    total = next(p for p in told["posts"] if (p["id"], p["gas"]) == ("total.inventory", "CO2"))
    classes = [p for p in told["posts"] if p["gas"] == "CO2" and p["id"].split(".")[1] in LAND]
    assert len(classes) == 5
    assert abs(total["mean"] - sum(p["mean"] for p in classes) - 10.0) < 1e-9
    assert {p["region"] for p in told["posts"]} == {"Alaska"}


def test_what_lies_inside_something_that_is_not_there_enters_no_sum(tmp_path: Path) -> None:
    path = project(tmp_path, period="2005-2015", added={"thaw": {"draws": 100}})
    talik("inventory", "run", str(path))
    told = json.loads(talik("budget", str(tmp_path / "out" / "inventory-posts.yaml"), "--json").stdout)
    posts = {(p["id"], p["gas"]): p for p in told["posts"]}
    lakes = posts["inventory.abrupt_thaw_lakes", "CH4"]
    assert lakes["part_of"] is None
    assert lakes["note"].startswith("Part of inventory.inland_waters, which this file does not hold")
    total = posts["total.inventory", "CH4"]
    parts = [posts[f"inventory.{name}", "CH4"]["mean"] for name in ("uplands", "wetlands")]
    assert abs(total["mean"] - sum(parts)) < 1e-9


def test_a_region_is_a_file_of_the_project_or_a_name(tmp_path: Path) -> None:
    square = {"type": "Polygon", "coordinates": [[[10, 60], [20, 60], [20, 70], [10, 70], [10, 60]]]}
    feature = {"type": "Feature", "properties": {"name": "square"}, "geometry": square}
    (tmp_path / "square.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    lat, lon = np.arange(50.5, 90.0), np.arange(-179.5, 180.0)
    data = xr.DataArray(
        np.full((24, lat.size, lon.size), 1e-9),
        dims=("time", "lat", "lon"),
        coords={"time": pd.date_range("2000-01-01", periods=24, freq="MS"), "lat": lat, "lon": lon},
        attrs={"units": "kg m-2 s-1"},
    )
    ds = make_flux_dataset({"fFire": data}, approach="inventory", source="made", coverage=1.0)
    write_netcdf(ds, tmp_path / "fire.nc")
    found = {}
    for within in ("square.geojson", "bands:60,90"):
        added = {"fire": {"fluxes": "fire.nc", "within": within}}
        told = talik("inventory", "run", str(project(tmp_path, period="2000-2001", added=added)), "--json")
        posts = json.loads(told.stdout)["added"]["posts"]
        found[within] = next(p["mean"] for p in posts if p["gas"] == "CO2")
    assert 0.0 < found["square.geojson"] < 0.1 * found["bands:60,90"]


def test_a_budget_of_an_inventory_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("talik: 1\nname: x\nbudget: {posts: inventory}\nreport: {}\n")
    shown = talik("report", str(path), "--out", str(tmp_path / "r.html"), code=2)
    assert "the project has no section inventory" in shown.stderr


def test_a_project_without_the_section_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("talik: 1\nname: x\nbudget: {}\n")
    assert "has no section inventory" in talik("inventory", "run", str(path), code=2).stderr
