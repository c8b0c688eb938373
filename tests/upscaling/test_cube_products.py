"""Regional numbers of a predicted store, against sums written here; files that other tools read."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cube_world import cube, make_model
from typer.testing import CliRunner

from talik.cli import app
from talik.errors import InputError
from talik.flux.dataset import make_flux_dataset, validate
from talik.flux.io import open_flux, open_store, write_netcdf
from talik.products.store import make_products, on_lonlat, open_sums
from talik.regions import EqualAreaGrid, LatLonGrid, sectors
from talik.regions.named import lazy_weights, named_weights
from talik.upscaling.cube.run import prepare

pytestmark = pytest.mark.filterwarnings("ignore:.*Zarr.*:UserWarning")
CELL = 50_000.0**2


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Three fluxes with three members, by sector, three years."""
    folder = tmp_path_factory.mktemp("products")
    for flux in ("nee", "gpp", "reco"):
        make_model(flux, folder / f"{flux}.model", members=3)
    cube(years=(2001, 2003)).to_netcdf(folder / "cube.nc")
    models = [folder / f"{f}.model" for f in ("nee", "gpp", "reco")]
    prediction = prepare(
        models, [folder / "cube.nc"], folder / "fluxes.zarr", regions=["sectors"], influence=True
    )
    assert not [o.error for o in prediction.run() if o.status == "failed"]
    return folder / "fluxes.zarr"


@pytest.fixture(scope="module")
def by_sector(store):
    """The numbers of the store, by sector."""
    return make_products(store, ["sectors"])


def amounts(store: Path, flux: str) -> np.ndarray:
    """(months, y, x) g m-2 from the store, month lengths from the calendar."""
    made = open_store(store)
    days = pd.DatetimeIndex(made["time"].values).days_in_month.to_numpy()
    return made[flux].values.astype(float) * 1e3 * (days * 86400.0)[:, None, None]


def test_budgets_ratio_and_shares(store, by_sector) -> None:
    found = by_sector
    value = found.summary.value
    for flux in ("nee", "gpp", "reco"):
        yearly = np.nansum(amounts(store, flux).reshape(3, 12, -1), axis=(1, 2)) * CELL * 1e-12
        assert value("budget", "domain", variable=flux, season="annual") == pytest.approx(
            yearly.mean(), rel=1e-6
        )
        mine = found.yearly[found.yearly["id"] == f"{flux} domain"]
        assert np.allclose(mine["y"], yearly, rtol=1e-6)
        assert list(mine["t"]) == [2001, 2002, 2003]
    nee = amounts(store, "nee").reshape(3, 12, *amounts(store, "nee").shape[1:])
    annual = nee.sum(1).mean(0)
    valid = np.isfinite(annual)
    assert value("source_fraction", "domain") == pytest.approx((annual[valid] > 0).mean(), abs=1e-12)
    table = found.summary.table
    assert (table[table["region"] == "domain"]["coverage"].dropna() == 1).all()


def test_a_sector_is_its_share_of_every_pixel(store, by_sector) -> None:
    weights = sectors(EqualAreaGrid.epsg6931(50_000.0, x=(-1.5e6, 1.0e6), y=(-1.2e6, 0.9e6)))
    yearly = np.nansum(
        amounts(store, "gpp").reshape(3, 12, *weights.shape[1:]).sum(1).mean(0)
        * weights.sel(region="europe").values
    )
    got = by_sector.summary.value("budget", "europe", variable="gpp", season="annual")
    assert got == pytest.approx(yearly * CELL * 1e-12, rel=1e-6)


def test_spread_of_members_is_that_of_their_budgets(store, by_sector) -> None:
    sums = open_sums(store)
    seconds = pd.DatetimeIndex(sums["time"].values).days_in_month.to_numpy() * 86400.0
    members = (sums["nee_members"].sel(region="domain").values * seconds).sum(1) * 1e-9 / 3
    table = by_sector.summary.table
    row = table[
        (table["quantity"] == "budget") & (table["variable"] == "nee") & (table["region"] == "domain")
    ]
    got = row[row["season"] == "annual"]["sd_member"].item()
    assert got == pytest.approx(members.std(ddof=1), rel=1e-9)
    assert table[(table["region"] == "alaska") & (table["quantity"] == "budget")]["value"].isna().all()


def test_influence_by_region_adds_up_to_the_budget(store, by_sector) -> None:
    found = by_sector
    told = found.influence["nee"]["domain"]
    shares = [s["share"] for s in told["sites"]]
    assert shares == sorted(shares, reverse=True)
    sums = open_sums(store)
    every = sums["nee_influence"].sel(region="domain")
    assert told["effective_sites"] == pytest.approx(float(1 / (every**2).sum()), rel=1e-12)
    part = float(sums["nee_contribution"].sel(region="domain").sum()) * 1e-9 / 3
    assert part == pytest.approx(
        found.summary.value("budget", "domain", variable="nee", season="annual"), rel=1e-6
    )


def test_fire_on_another_grid(store, tmp_path) -> None:
    grid = LatLonGrid.regular(1.0, lat=(40, 90))
    months = xr.date_range("2002-01-01", periods=24, freq="MS")
    rate = xr.DataArray(
        np.full((24, *grid.shape), 1e-9), dims=("time", *grid.dims), coords={"time": months, **grid.coords()}
    ).assign_attrs(units="kg m-2 s-1")
    fire = make_flux_dataset({"fFire": rate}, approach="inventory", source="made", coverage=1.0)
    write_netcdf(fire, tmp_path / "fire.nc")
    found = make_products(store, fire=tmp_path / "fire.nc").summary
    area = float(open_sums(store)["area"].sel(region="domain"))
    assert found.value("fire", "domain") == pytest.approx(
        area * 1e-9 * 365 * 86400 * 1e3 * 1e-12, rel=1e-3
    )  # chords of the regridding
    both = found.value("nee_plus_fire", "domain")
    assert both == pytest.approx(found.value("nee_same_years", "domain") + found.value("fire", "domain"))


def test_files(store, tmp_path) -> None:
    arguments = ["upscale", "products", str(store), "--regions", "sectors", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--annual", "--monthly", "--lonlat", "2", "--json"])
    assert done.exit_code == 0, done.output
    numbers = json.loads(done.stdout)
    assert numbers == json.loads((tmp_path / "out" / "numbers.json").read_text())
    table = pd.read_csv(tmp_path / "out" / "numbers.csv")
    assert {"quantity", "region", "value", "units", "coverage", "sd_member"} <= set(table.columns)
    with open_flux(tmp_path / "out" / "fluxes.nc") as monthly:
        assert np.array_equal(monthly["nee"].values, open_store(store)["nee"].values, equal_nan=True)
        assert "crs" in monthly.variables
    with xr.open_dataset(tmp_path / "out" / "maps.nc") as maps:
        assert maps["nee_annual"].attrs["units"] == "g m-2 year-1"
        wanted = amounts(store, "nee").sum(0) / 3
        assert np.allclose(maps["nee_annual"].values, wanted, rtol=1e-5, equal_nan=True)
    for flux in ("nee", "gpp", "reco"):
        assert (tmp_path / "out" / f"map_{flux}.png").stat().st_size > 10_000
    told = CliRunner().invoke(
        app, ["trends", str(tmp_path / "out" / "yearly.csv"), "--method", "none", "--json"]
    )
    assert told.exit_code == 0, told.output
    assert "nee domain" in {row["id"] for row in json.loads(told.stdout)["rows"]}
    with xr.open_dataset(tmp_path / "out" / "annual.nc") as yearly:
        months = amounts(store, "gpp").reshape(3, 12, *yearly["gpp"].shape[1:])
        assert np.allclose(yearly["gpp"].values, months.sum(1), rtol=1e-5, equal_nan=True)
        assert np.allclose(yearly["gpp_JJA"].values, months[:, 5:8].sum(1), rtol=1e-5, equal_nan=True)
    trend = ["trends", str(tmp_path / "out" / "annual.nc"), "--var", "gpp", "--method", "none"]
    told = CliRunner().invoke(app, [*trend, "--out", str(tmp_path / "trend.nc")])
    assert told.exit_code == 0, told.output
    with xr.open_dataset(tmp_path / "trend.nc") as found:
        assert found["slope"].shape == months.shape[2:]
    shown = CliRunner().invoke(app, ["upscale", "products", str(store)])
    assert "gpp budget" in shown.stdout
    assert "count in effect" in shown.stdout


def test_the_lonlat_file_conserves_mass_and_follows_cf(store, tmp_path) -> None:
    out = on_lonlat(open_store(store), ["gpp"], 1.0)
    validate(out)
    assert out["crs"].attrs["grid_mapping_name"] == "latitude_longitude"
    assert out["gpp"].attrs["cell_measures"] == "area: cell_area"
    path = write_netcdf(out, tmp_path / "lonlat.nc")
    if shutil.which("cdo") is None:
        pytest.skip("cdo is not installed")
    said = subprocess.run(
        ["cdo", "-s", "griddes", path], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "gridtype  = lonlat" in said
    subprocess.run(
        ["cdo", "-s", "fldmean", "-selname,gpp", path, tmp_path / "mean.nc"], check=True, timeout=60
    )
    with xr.open_dataset(tmp_path / "mean.nc") as mean:
        assert mean["gpp"].shape == (36, 1, 1)
        own = out["gpp"].astype(float).weighted(out["cell_area"]).mean(("lat", "lon"))
        assert np.allclose(mean["gpp"].values.ravel(), own, rtol=1e-4)


def test_cdo_knows_the_projection(store, tmp_path) -> None:
    if shutil.which("cdo") is None:
        pytest.skip("cdo is not installed")
    CliRunner().invoke(app, ["upscale", "products", str(store), "--out", str(tmp_path), "--monthly"])
    said = subprocess.run(
        ["cdo", "-s", "griddes", tmp_path / "fluxes.nc"], capture_output=True, text=True, check=True
    ).stdout
    assert "lambert_azimuthal_equal_area" in said


def test_refusals(store, tmp_path) -> None:
    with pytest.raises(InputError, match=r"no zarr\.json"):
        make_products(tmp_path)
    for arguments, words in (
        (["--monthly"], "say where with --out"),
        (["--regions", "nowhere.geojson"], "no file nowhere.geojson"),
        (["--regions", "bands:x"], "expected numbers"),
        (["--regions", str(store.parent / "cube.nc")], "name the variable"),
        (["--years", "1990-1995"], "1990"),
    ):
        told = CliRunner().invoke(app, ["upscale", "products", str(store), *arguments])
        assert told.exit_code == 2, told.output
        assert words in told.stderr


def test_classes_and_bands_as_regions(store) -> None:
    ds = xr.open_dataset(store.parent / "cube.nc")
    found = make_products(store, [f"{store.parent / 'cube.nc'}:vegetation_type"])
    budgets = found.summary.table
    budgets = budgets[
        (budgets["quantity"] == "budget") & (budgets["variable"] == "gpp") & (budgets["season"] == "annual")
    ]
    annual = amounts(store, "gpp").sum(0) / 3
    for k in (31, 60, 160):
        own = np.nansum(annual[ds["vegetation_type"].values == k]) * CELL * 1e-12
        got = budgets[budgets["region"] == f"vegetation_type {k}"]["value"].item()
        assert got == pytest.approx(own, rel=1e-6)


def test_weights_made_tile_by_tile_are_the_same() -> None:
    grid = EqualAreaGrid.epsg6931(100_000.0)
    whole = named_weights(["sectors", "bands:49,60,90"], grid)
    lazy = lazy_weights(["sectors", "bands:49,60,90"], grid, edge=30, at_once=100)
    assert lazy.chunks is not None
    assert np.allclose(lazy.values, whole.values, atol=1e-9)
    assert list(lazy["region"].values) == list(whole["region"].values)


def test_land_share_multiplies_areas_everywhere(store, tmp_path) -> None:
    ds = cube(years=(2001, 2003))
    share = (
        xr.full_like(ds["soc_stock"], 0.25).where(ds["x"] < 0, 1.0).rename("sftlf").assign_attrs(units="1")
    )
    xr.Dataset({"sftlf": share, "crs": ds["crs"]}).to_netcdf(tmp_path / "land.nc")
    settings = {"regions": ["bands:49,85,90"], "land_fraction": f"{tmp_path / 'land.nc'}:sftlf", "members": 0}
    grid = [store.parent / "cube.nc"]
    made = prepare([store.parent / "gpp.model"], grid, tmp_path / "f.zarr", **settings)
    assert not [o.error for o in made.run() if o.status == "failed"]
    annual = np.nansum(amounts(store, "gpp") * share.values, axis=(1, 2)).reshape(3, 12).sum(1)
    wanted = annual.mean() * CELL * 1e-12
    found = make_products(tmp_path / "f.zarr", ["bands:49,85,90"])
    assert found.summary.value("budget", "domain", variable="gpp", season="annual") == pytest.approx(
        wanted, rel=1e-6
    )
    sums = open_sums(tmp_path / "f.zarr")
    seconds = pd.DatetimeIndex(sums["time"].values).days_in_month.to_numpy() * 86400.0
    by_region = (sums["gpp"] * seconds).sum("time") * 1e-9 / 3
    assert float(by_region.sel(region="domain")) == pytest.approx(wanted, rel=1e-6)
    assert float(by_region.isel(region=[1, 2]).sum()) == pytest.approx(wanted, rel=1e-6)
    for region in (">85N", "49-85N"):
        got = found.summary.value("budget", region, variable="gpp", season="annual")
        assert got == pytest.approx(float(by_region.sel(region=region)), rel=1e-6)
    with pytest.raises(InputError, match="expected FILE:VARIABLE"):
        prepare([store.parent / "gpp.model"], grid, tmp_path / "g.zarr", land_fraction="land.nc")
    (share * 100).to_dataset(name="sftlf").assign(crs=ds["crs"]).to_netcdf(tmp_path / "percent.nc")
    settings["land_fraction"] = f"{tmp_path / 'percent.nc'}:sftlf"
    failed = prepare([store.parent / "gpp.model"], grid, tmp_path / "g.zarr", **settings).run()
    assert all("divide percentages by 100" in o.error for o in failed)
