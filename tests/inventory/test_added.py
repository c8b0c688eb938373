"""Parts of an inventory beside land cover, as a project names them: each against its own module or a sum by hand."""

from __future__ import annotations

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
from talik.errors import CoverageError, InputError
from talik.flux import make_flux_dataset
from talik.flux.io import write_netcdf
from talik.inventory.added import Added, added_posts
from talik.inventory.classes import LAND
from talik.inventory.run import run
from talik.inventory.settings import InventorySettings
from talik.inventory.thaw import posts as thaw_posts
from talik.inventory.thaw import result
from talik.inventory.thaw.read import read_table
from talik.posts import Post
from talik.posts.post import check_unique
from talik.regions import grid_of, land_fraction

REGION, PERIOD = "my region", "2000-2020"
AREA, CELLS = 18.42, 0.10146
"""Of the permafrost region and of the 82 cells that have wetland sites, million km2."""


def made(folder: Path = Path(), period: str = PERIOD, **parts: Any) -> dict[tuple[str, str], Post]:
    added = Added.model_validate(parts)
    posts, _ = added_posts(added, REGION, period, AREA, folder.joinpath, 0)
    return check_unique(posts)


def test_fires_of_a_co2_total_have_their_other_gases_in_element_mass() -> None:
    found = made(fire={"co2_c": 121.0})
    assert {key: round(post.mean, 3) for key, post in found.items()} == {
        ("inventory.fires", "CO2"): 121.0,
        ("inventory.fires", "CH4"): 1.329,
        ("inventory.fires", "N2O"): 0.078,
    }
    printed = made(fire={"co2_c": 121.0, "mode": "printed"})
    assert round(printed["inventory.fires", "CH4"].mean, 2) in (1.77, 1.78)


def test_fires_of_a_regional_table_take_the_share_inside(shared: Path) -> None:
    table = str(shared / "data" / "gfed41s-regional" / "gfed41s_annual_by_region.csv.gz")
    whole = made(fire={"table": table})["inventory.fires", "CO2"]
    part = made(fire={"table": table, "share": 0.5})["inventory.fires", "CO2"]
    np.testing.assert_allclose(part.mean, 0.5 * whole.mean)
    np.testing.assert_allclose(whole.mean, 171.1, atol=0.05)
    assert "50 % of it" in part.source
    assert part.region == REGION


def test_fires_of_a_flux_dataset_are_summed_within_a_region(tmp_path: Path) -> None:
    lat, lon = np.arange(50.5, 90.0), np.arange(-179.5, 180.0)
    time = pd.date_range("2000-01-01", periods=24, freq="MS")
    data = xr.DataArray(
        np.full((24, lat.size, lon.size), 1e-9),
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": lat, "lon": lon},
        attrs={"units": "kg m-2 s-1"},
    )
    ds = make_flux_dataset({"fFire": data}, approach="inventory", source="made", coverage=1.0)
    write_netcdf(ds, tmp_path / "fire.nc")
    fire = {"fluxes": "fire.nc", "within": "bands:60,90"}
    found = made(tmp_path, "2000-2001", fire=fire)["inventory.fires", "CO2"]
    seconds = 731 * 86_400 / 2
    grid = grid_of(data)
    land = float((land_fraction(grid) * grid.cell_area()).sel(lat=slice(60, 90)).sum())
    np.testing.assert_allclose(found.mean, 1e-9 * land * seconds * 1e-9, rtol=1e-6)
    assert "within bands:60,90" in found.source


def test_abrupt_thaw_is_that_of_its_command() -> None:
    found = made(thaw={"scenario": "rcp45", "draws": 200})
    table = read_table(None)
    years = (2000, 2021)  # all of 2020
    settings = result.Settings(scenario="rcp45", to=2021, draws=200, spans=(years,))
    expected = {post.key: post for post in thaw_posts.posts(result.run(table, settings), years)}
    assert set(found) == set(expected)
    for key, post in found.items():
        np.testing.assert_allclose((post.mean, post.low), (expected[key].mean, expected[key].low))
        assert (post.region, post.period) == (REGION, PERIOD)


@pytest.mark.parametrize("period", ["2005-2015", "1990-2030", "2010-2010"])
def test_abrupt_thaw_of_another_period_is_the_mean_of_its_years(period: str) -> None:
    found = made(period=period, thaw={"draws": 100})["inventory.abrupt_thaw_wetlands", "CH4"]
    first, last = (int(year) for year in period.split("-"))
    done = result.run(read_table(None), result.Settings(to=max(last + 1, 2020), draws=100))
    courses = done.terrains["organic_lowlands"].courses.values()
    whole = sum(
        float(c.amount("ch4", y, y + 1, c.counted("terrain"))[0])
        for c in courses
        for y in range(first, last + 1)
    )
    np.testing.assert_allclose(found.mean, whole / (last + 1 - first))
    assert found.period == period


def test_seeps_and_coasts(tmp_path: Path) -> None:
    columns = ["length_km"]
    values = [1000.0]
    for name, middle in (
        ("retreat_m_yr", 0.5),
        ("height_m", 4.0),
        ("carbon_kg_m3", 20.0),
        ("carbon_to_nitrogen", 10.0),
    ):
        columns += [name, f"{name}_low", f"{name}_high"]
        values += [middle, 0.9 * middle, 1.1 * middle]
    pd.DataFrame([values] * 2, columns=columns).to_csv(tmp_path / "coast.csv", index=False)
    found = made(tmp_path, geological_tg_ch4=[2.0, 1.6, 2.4], coast="coast.csv")
    np.testing.assert_allclose(found["inventory.geological", "CH4"].mean, 2.0 * 12.011 / 16.043)
    # 2,000 km retreat half a metre over a bluff of 4 m that holds 20 kg m-3
    np.testing.assert_allclose(
        found["lateral.coastal_erosion", "C"].mean, 2e6 * 0.5 * 4 * 20 * 1e-9, rtol=0.01
    )
    np.testing.assert_allclose(found["lateral.coastal_erosion", "N"].mean, 0.008, rtol=0.02)
    for column, value, match in (
        ("retreat_m_yr", np.inf, r"retreat_m_yr in row 1 is inf"),
        ("height_m_low", 9.0, r"row 1: height_m is 4 \(9, 4.4\)"),
        ("length_km", 1e7, "expected less than 1e"),
    ):
        bad = pd.DataFrame([values], columns=columns)
        bad[column] = value
        bad.to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(InputError, match=match):
            made(tmp_path, coast="bad.csv")
    with pytest.raises(ValueError, match="expected mean, low, high with 0 <= low"):
        Added.model_validate({"geological_tg_ch4": [2.0, 3.0, 1.0]})
    own = made(tmp_path, geological_tg_ch4=[3.0, 2.0, 4.0])["inventory.geological", "CH4"]
    assert own.source == "given in the project"
    pd.DataFrame({"length_km": [1.0]}).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(InputError, match="no column retreat_m_yr, retreat_m_yr_low"):
        made(tmp_path, coast="short.csv")


def test_waters_of_the_real_cells_replace_the_published_post(shared: Path, tmp_path: Path) -> None:
    cover = str(shared / "data" / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz")
    wanted = {"draws": 1000, "densities": {"CH4": ["published"]}, "added": {"waters": {"cover": cover}}}
    with pytest.raises(CoverageError, match=r"covers 0.101 million km2, 0.55 % of the domain's 18.42"):
        run(InventorySettings.model_validate(wanted), Path, 0)
    areas = {name: [0.2 * CELLS] * 3 for name in LAND}
    wanted |= {"region": "cells with sites", "area_mkm2": CELLS, "areas": {"classes": areas}}
    found = run(InventorySettings.model_validate(wanted), Path, 0)
    rows = {(row["id"], row["gas"]): row for row in found["posts"]}
    assert rows["inventory.lakes", "CH4"]["part_of"] == "inventory.inland_waters"
    whole = rows["inventory.inland_waters", "CH4"]["mean"]
    np.testing.assert_allclose(whole, 0.0786, rtol=0.02)
    np.testing.assert_allclose(found["added"]["waters"][0]["total"]["mean"], whole)
    assert found["added"]["waters"][0]["coverage"] == 1.0


def test_gridded_fluxes_add_up_to_the_inventory(shared: Path, tmp_path: Path) -> None:
    cover = str(shared / "data" / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz")
    held = {
        "draws": 1000,
        "region": "cells with sites",
        "area_mkm2": CELLS,
        "areas": {"cover": cover, "rockland": "dry_tundra"},
        "added": {"waters": {"cover": cover, "numbers": {"draws": 1000}}},
    }
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump({"talik": 1, "name": "x", "output": "out", "inventory": held}))
    result = CliRunner().invoke(app, ["inventory", "run", str(path), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    seconds = 365.25 * 86_400
    with xr.open_dataset(tmp_path / "out" / "inventory-fluxes.nc") as ds:
        assert ds.sizes == {"cell": 82}
        assert float(ds["coverage"].max()) <= 1.0
        for gas, name in (("CO2", "nee"), ("CH4", "fch4"), ("N2O", "fn2o")):
            tg = float((ds[name] * ds["cell_area"]).sum()) * seconds * 1e-9
            np.testing.assert_allclose(tg, told["gases"][gas]["total"]["mean"], rtol=1e-6)
            assert ds[name].attrs["positive"] == "up"
    with xr.open_dataset(tmp_path / "out" / "inventory-waters.nc") as ds:
        tg = float((ds["fch4"] * ds["cell_area"]).sum()) * seconds * 1e-9
        np.testing.assert_allclose(tg, told["added"]["waters"][0]["total"]["mean"], rtol=1e-3)


def test_human_emissions_need_files() -> None:
    with pytest.raises(InputError, match="names no files"):
        made(human={"within": "bands:60,90"})


@pytest.mark.parametrize(
    ("fire", "match"),
    [
        ({}, "give one of co2_c, table and fluxes"),
        ({"co2_c": 1.0, "table": "a"}, "give one of co2_c, table and fluxes"),
        ({"fluxes": "a"}, "fluxes and within belong together"),
        ({"co2_c": -1.0}, "greater than 0"),
        ({"co2_c": 1.0, "share": 0.5}, "share belongs to table and fluxes"),
        ({"table": "a", "regions": ["BONA", "BONA"]}, "name each one once"),
    ],
)
def test_fires_are_of_one_source(fire: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Added.model_validate({"fire": fire})


def test_files_are_all_named() -> None:
    wanted = Added.model_validate(
        {
            "waters": {"cover": "cover.csv"},
            "fire": {"table": "fires.csv"},
            "thaw": {"terrains": "t.yaml"},
            "coast": "coast.csv",
            "human": {"within": "bands:60,90", "gridfed": {"TOTAL": ["a.nc", "b.nc"]}},
        }
    )
    assert wanted.files() == ["coast.csv", "cover.csv", "fires.csv", "t.yaml", "a.nc", "b.nc"]
    assert Added().files() == []
