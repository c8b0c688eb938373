"""Section `trends`: against plain Python, the command, pieces, holes and wrong input."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from talik.cli import app
from talik.errors import ConfigError, InputError
from talik.flux import make_flux_dataset, write_netcdf
from talik.regions import LatLonGrid
from talik.workflow import make_project, run_project
from talik.workflow.plan import make_plan

_spec = importlib.util.spec_from_file_location("slow_trends", Path(__file__).with_name("slow_trends.py"))
slow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slow)

GRID = LatLonGrid.regular((5.0, 10.0), lat=(50, 80), lon=(20, 100))
YEARS = range(2001, 2013)
SLOPE = 3e-11
"""kg m-2 s-1 a year, at the northern half of the grid."""


def dataset(seed: int = 1, **names: float) -> xr.Dataset:
    """Monthly fluxes with noise, a season, and a trend in the north."""
    rng, n = np.random.default_rng(seed), 12 * len(YEARS)
    time = xr.DataArray(xr.date_range("2001-01-01", periods=n, freq="MS"), dims="time")
    north = (GRID.y > 65).astype(float)[:, None] * np.ones(GRID.shape)
    season = -np.cos(np.arange(n) * 2 * np.pi / 12)
    made = {}
    for name, factor in names.items():
        values = 1e-9 * season[:, None, None] + rng.normal(0, 2e-10, (n, *GRID.shape))
        values = factor * (values + SLOPE * (np.arange(n) // 12)[:, None, None] * north)
        values[:, 0, :3] = np.nan  # outside the product
        coords = {"time": time.values, **GRID.coords()}
        made[name] = xr.DataArray(
            values, dims=("time", *GRID.dims), coords=coords, attrs={"units": "kg m-2 s-1"}
        )
    land = xr.DataArray(np.full(GRID.shape, 0.5), dims=GRID.dims, coords=GRID.coords())
    ds = make_flux_dataset(made, approach="process", source="a known trend", coverage=1.0)
    return ds.assign(land_fraction=land.assign_attrs(units="1"))


@pytest.fixture(autouse=True)
def same_time(monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trends")
    write_netcdf(dataset(1, nee=1.0, gpp=-1.0), folder / "a.nc")
    write_netcdf(dataset(2, fch4=0.1), folder / "b.nc")
    return folder


def project(world: Path, out: str = "output", **changes: Any):
    section = {
        "fluxes": {"a": "a.nc", "b": {"file": "b.nc", "variables": ["fch4"]}},
        "variables": ["nee", "gpp"],
        "regions": ["bands:50,65,80"],
        "method": "none",
        "least_coverage": 0.1,
        **changes,
    }
    return make_project({"talik": 1, "name": "t", "output": out, "trends": section}, world)


@pytest.fixture(scope="module")
def run(world) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        found = run_project(project(world))
    assert not found.failed, found.failed
    return world / "output"


@pytest.fixture(scope="module")
def result(run) -> dict[str, Any]:
    return json.loads((run / "trends.json").read_text())


def annual(world: Path, name: str) -> np.ndarray:
    """(years, rows, columns) kg m-2 of each year, by the days of the calendar."""
    with xr.open_dataset(world / "a.nc") as ds:
        days = (ds["time_bnds"][:, 1] - ds["time_bnds"][:, 0]).values / np.timedelta64(1, "D")
        return (ds[name].values * days[:, None, None] * 86400).reshape(len(YEARS), 12, *GRID.shape).sum(1)


def test_series_and_slopes_against_plain_python(world, result) -> None:
    area = GRID.row_area_m2[:, None] * np.ones(GRID.shape)
    for name in ("nee", "gpp"):
        of = result["datasets"]["a"]["variables"][name]
        mass = np.nansum(annual(world, name) * area * 0.5, axis=(1, 2)) * 1e-9
        domain = of["regions"]["domain"]
        assert [s["year"] for s in domain["series"]] == list(YEARS)
        assert [s["value"] for s in domain["series"]] == pytest.approx(mass, rel=1e-9)
        expected = slow.sen(list(mass), list(range(1, len(YEARS) + 1)))
        assert domain["slope"] == pytest.approx(expected, rel=1e-9)
        assert domain["area_km2"] == pytest.approx(0.5 * (area.sum() - area[0, :3].sum()) / 1e6, rel=1e-9)
        assert domain["low"] < domain["slope"] < domain["high"]
    signs = [result["datasets"]["a"]["variables"][n] for n in ("nee", "gpp")]
    assert [s["positive"] for s in signs] == ["up", "down"]
    assert signs[0]["regions"]["domain"]["slope"] > 0 > signs[1]["regions"]["domain"]["slope"]


def test_only_the_north_has_a_trend(result) -> None:
    bands = result["datasets"]["a"]["variables"]["nee"]["regions"]
    south, north = (bands[name] for name in bands if name != "domain")
    assert north["p"] < 0.01
    assert north["significant"]
    assert south["p"] > 0.05
    assert south["coverage"] < 1
    assert north["p_adjusted"] >= north["p"]


def test_the_table_is_the_result(run, result) -> None:
    with (run / "trends.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    row = next(r for r in rows if (r["dataset"], r["variable"], r["region"]) == ("b", "fch4", "domain"))
    held = result["datasets"]["b"]["variables"]["fch4"]["regions"]["domain"]
    assert float(row["slope"]) == pytest.approx(held["slope"])
    assert float(row["mean"]) == pytest.approx(np.mean([s["value"] for s in held["series"]]))
    assert (row["first_year"], row["last_year"], row["species"]) == ("2001", "2012", "C")


def test_series_have_the_trends_of_the_command(world, run, result, tmp_path) -> None:
    lines = ["id,t,y"]
    for region, held in result["datasets"]["a"]["variables"]["nee"]["regions"].items():
        lines += [f"{region},{s['year']},{s['value']!r}" for s in held["series"]]
    (tmp_path / "series.csv").write_text("\n".join(lines))
    done = CliRunner().invoke(app, ["trends", str(tmp_path / "series.csv"), "--method", "none", "--json"])
    for row in json.loads(done.output)["rows"]:
        held = result["datasets"]["a"]["variables"]["nee"]["regions"][row["id"]]
        assert all(held[k] == pytest.approx(row[k], rel=1e-9) for k in ("slope", "low", "high", "p", "tau"))


def test_the_map_against_plain_python_and_the_command(world, run, result, tmp_path) -> None:
    yearly = annual(world, "nee") * 1e3
    with xr.open_dataset(run / "trends-a-nee.nc") as ds:
        assert ds["slope"].attrs["units"] == "g m-2 year-1 year-1"
        for j, i in ((0, 5), (3, 2), (5, 7)):
            expected = slow.sen(list(yearly[:, j, i]), list(range(1, len(YEARS) + 1)))
            assert float(ds["slope"][j, i]) == pytest.approx(expected, rel=1e-9)
        assert np.isnan(ds["slope"].values[0, :3]).all()
        flags, area, slope = ds["significant_fdr"].values > 0, ds["cell_area"].values, ds["slope"].values
        tested = np.isfinite(slope)
    told = result["datasets"]["a"]["variables"]["nee"]["map"]
    share = area[flags & tested & (slope > 0)].sum() / area[tested].sum()
    assert told["increase_fdr"] == pytest.approx(share)
    assert told["n_tests"] == tested.sum() == GRID.size - 3
    coords = {"time": np.array(YEARS), **GRID.coords()}
    da = xr.DataArray(yearly, dims=("time", *GRID.dims), coords=coords, attrs={"units": "g m-2 year-1"})
    da.to_dataset(name="nee").to_netcdf(tmp_path / "annual.nc")
    line = f"trends {tmp_path}/annual.nc --method none --out {tmp_path}/t.nc"
    assert CliRunner().invoke(app, line.split()).exit_code == 0
    with xr.open_dataset(tmp_path / "t.nc") as theirs, xr.open_dataset(run / "trends-a-nee.nc") as ours:
        for name in ("slope", "low", "high", "p"):
            np.testing.assert_allclose(ours[name].values, theirs[name].values, rtol=1e-7)


def test_years_are_those_asked_for(world) -> None:
    found = run_project(project(world, "some", years=[2003, 2008], maps=False, fluxes={"a": "a.nc"}))
    assert not found.failed, found.failed
    told = json.loads((world / "some" / "trends.json").read_text())["datasets"]["a"]["variables"]["nee"]
    assert [s["year"] for s in told["regions"]["domain"]["series"]] == list(range(2003, 2009))
    assert not list((world / "some").glob("trends-*.nc"))
    empty = run_project(project(world, "none", years=[1990, 1995], fluxes={"a": "a.nc"})).failed
    assert "no whole year in 1990-1995" in empty[0].error


def test_workers_and_resuming_change_no_byte(world, run) -> None:
    names = ["trends.json", "trends.csv", *(p.name for p in run.glob("trends-*.nc"))]
    assert len(names) == 5
    for workers, last in ((2, "trends-maps"), (1, None)):
        made = run_project(project(world, "two"), workers=workers, only=[last] if last else None)
        assert not made.failed, made.failed
    plan = make_plan(project(world).steps(), run)
    plan["trends-maps"].path("a-gpp").unlink()
    plan["trends-regions"].path("b").unlink()
    before = {name: (run / name).read_bytes() for name in names}
    again = run_project(project(world), resume=True)
    assert {o.unit for o in again.outcomes if o.status == "done"} == {"a-gpp", "b"}
    for name in names:
        assert (world / "two" / name).read_bytes() == before[name] == (run / name).read_bytes()


def test_cells_that_come_and_go_have_no_total(world) -> None:
    ds = dataset(3, nee=1.0)
    ds["nee"][30, 4, 4] = np.nan
    write_netcdf(ds, world / "holed.nc")
    failed = run_project(project(world, "holed", fluxes={"h": "holed.nc"}, variables=["nee"])).failed
    assert "the valid cells change with time" in failed[0].error


def test_a_region_without_data_has_no_total(world) -> None:
    found = run_project(
        project(world, "far", regions=["sectors"], fluxes={"a": "a.nc"}, variables=["nee"], maps=False)
    )
    assert not found.failed, found.failed
    regions = json.loads((world / "far" / "trends.json").read_text())["datasets"]["a"]["variables"]["nee"][
        "regions"
    ]
    assert regions["alaska"]["coverage"] == 0
    assert regions["alaska"]["slope"] is None
    assert regions["alaska"]["series"][0]["value"] is None
    assert not regions["alaska"]["significant"]


def test_a_variable_that_is_not_there(world) -> None:
    failed = run_project(project(world, "lost", fluxes={"a": "a.nc"}, variables=["reco"])).failed
    assert "no variable reco; found" in failed[0].error


def test_members_are_refused(world) -> None:
    ds = dataset(4, nee=1.0)
    both = xr.concat([ds["nee"], 2 * ds["nee"]], dim="member").assign_attrs(ds["nee"].attrs)
    write_netcdf(ds.assign(nee=both), world / "members.nc")
    failed = run_project(project(world, "many", fluxes={"m": "members.nc"}, variables=["nee"])).failed
    assert "dimensions member" in failed[0].error


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"variables": []}, "which fluxes"),
        ({"variables": ["nee", "nee"]}, "each once"),
        ({"variables": ["temperature"]}, "fluxes of the table"),
        ({"years": [2005, 2001]}, "lies before"),
        ({"preserve": True}, "preserve is for zhang"),
        ({"method": "ols"}, "trends.method"),
        ({"false_discovery_rate": 1.0}, "less than 1"),
        ({"region": ["sectors"]}, "did you mean 'regions'"),
    ],
)
def test_settings_that_cannot_work(world, changes, told) -> None:
    with pytest.raises(ConfigError, match=told):
        project(world, **changes)


def test_the_plan_opens_no_file(tmp_path) -> None:
    made = project(tmp_path, fluxes={"later": "output/made.nc"})
    assert [s.name for s in made.steps()] == ["trends-regions", "trends-maps", "trends", "trends-table"]
    with pytest.raises(InputError, match=r"made\.nc"):
        make_plan(made.steps(), made.output)
    with pytest.raises(InputError, match="no file"):
        project(tmp_path, regions=["nowhere.geojson"]).steps()
