"""What a comparison opens: medians of quantiles, land fluxes without fire, regions of land, sites in regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from talik.compare.contribution import annual_map, comparison_grids, sites_inside
from talik.compare.opening import land_regions, open_source, read_tundra, within
from talik.errors import ConfigError, FluxError, GridError, InputError
from talik.flux import make_flux_dataset, write_netcdf
from talik.products import annual_sums
from talik.regions import LatLonGrid, grid_of, land_fraction, regional_mean

GRID = LatLonGrid.regular(5.0, lat=(50.0, 80.0))
TIME = xr.date_range("2000-01-01", periods=24, freq="MS")


def fluxes(name: str, value: float | np.ndarray, approach: str = "process", **extra) -> xr.Dataset:
    data = np.broadcast_to(value, (24, *GRID.shape)).astype(float)
    da = xr.DataArray(data, dims=("time", "lat", "lon"), coords={"time": TIME, **GRID.coords()})
    da = (
        da.assign_attrs(units="kg m-2 s-1").expand_dims(**extra)
        if extra
        else da.assign_attrs(units="kg m-2 s-1")
    )
    return make_flux_dataset({name: da}, approach=approach, source=name, coverage=1.0)


def test_the_median_of_quantiles_is_taken_by_value(tmp_path: Path):
    low, mid, high = (fluxes("nee", v)["nee"] for v in (-3e-9, -2e-9, 5e-9))
    joined = xr.concat([high, mid, low], dim=pd.Index([0.975, 0.5, 0.025], name="quantile"))
    ds = make_flux_dataset({"nee": joined}, approach="fusion", source="x", coverage=1.0)
    path = write_netcdf(ds, tmp_path / "a.nc")
    with open_source(path, "nee", None) as found:
        assert found["nee"].dims == ("time", "lat", "lon")
        assert float(found["nee"].mean()) == pytest.approx(-2e-9)
    path = write_netcdf(ds.sel(quantile=[0.025, 0.975]), tmp_path / "b.nc")
    with pytest.raises(FluxError, match=r"has quantiles 0.025, 0.975; expected 0.5"):
        open_source(path, "nee", None)


def test_fire_leaves_the_land_flux_of_a_shore_cell_per_area_of_land(tmp_path: Path):
    """Flux per cell over its land share, less fire per land."""
    inversion = write_netcdf(fluxes("nbe", 2e-9, "inversion"), tmp_path / "nbe.nc")
    fire = write_netcdf(fluxes("fFire", 1e-9), tmp_path / "fire.nc")
    land = land_fraction(GRID)
    with open_source(inversion, "nee", fire) as found:
        expected = (2e-9 / land.where(land > 0.0) - 1e-9).values
        got = found["nee"].isel(time=0).transpose("lat", "lon").values
        shore = (land.values > 0.05) & (land.values < 0.95)
        assert shore.any()
        np.testing.assert_allclose(got[shore], expected[shore], rtol=1e-6)
        assert found["nee"].attrs["area_basis"] == "land"
    with pytest.raises(ConfigError, match="holds fire"):
        open_source(inversion, "nee", None)
    with pytest.raises(FluxError, match="expected 'fch4'; found nbe"):
        open_source(inversion, "fch4", fire)


def test_regions_with_sea_keep_their_land():
    weights = land_regions(["bands:50,65,80"], None)(GRID)
    assert weights.attrs["covers"] == "land"
    one = fluxes("nee", 1e-9)["nee"].isel(time=0)
    found = regional_mean(one, weights)
    np.testing.assert_allclose(found["nee"].values, 1e-9)
    np.testing.assert_allclose(found["coverage"].values, 1.0)


def test_the_eight_regions_have_one_area_on_every_grid(tmp_path: Path):
    """Their land is that of the biomes, whatever the cells of the dataset; what lies outside its grid is missing."""
    fine = LatLonGrid.regular(2.0, lat=(50.0, 80.0))
    share = xr.DataArray(
        np.where(fine.y[:, None] > 66.0, 1.0, 0.0) + 0.0 * fine.x, dims=("lat", "lon"), coords=fine.coords()
    ).where((fine.x > -120.0) | (fine.x < -130.0))
    path = tmp_path / "t.nc"
    share.rename("tundra").to_netcdf(path)
    tundra = read_tundra(f"{path}:tundra", {f"{path}:tundra": path})
    weights = land_regions(["eight"], tundra)
    areas = {}
    for step in (2.0, 5.0, 10.0):
        grid = LatLonGrid.regular(step, lat=(50.0, 80.0))
        held = weights(grid)
        areas[step] = (held * grid.cell_area()).sum(["lat", "lon"]).drop_vars("region_area", errors="ignore")
    for step in (5.0, 10.0):
        xr.testing.assert_allclose(areas[step], areas[2.0], rtol=5e-3)
    north = LatLonGrid.regular(5.0, lat=(65.0, 80.0))
    one = xr.ones_like(north.cell_area()).assign_attrs(units="kg m-2 s-1", area_basis="land").rename("x")
    seen = regional_mean(one, weights(north), min_coverage=1e-6, on_hole="nan")["coverage"]
    assert 0.05 < float(seen.sel(region="Western Siberia")) < 0.6
    (100.0 * share).rename("tundra").to_netcdf(tmp_path / "p.nc")
    with pytest.raises(InputError, match=r"tundra runs 0..100; expected the share of land"):
        read_tundra(f"{tmp_path / 'p.nc'}:tundra", {f"{tmp_path / 'p.nc'}:tundra": tmp_path / "p.nc"})


def test_annual_maps_keep_sums_and_only_whole_years():
    ds = fluxes("nee", np.arange(24.0)[:, None, None] * 1e-9)
    sums = annual_sums(ds, "nee")
    made = annual_map(within(ds, (2001, 2001)), "a", "nee", (2000, 2001), [GRID])
    again = annual_sums(made.isel(model=0, drop=True), "nee")
    assert list(again["year"].values) == [2001]
    np.testing.assert_allclose(again.sel(year=2001).values, sums.sel(year=2001).values, rtol=1e-12)
    grids = comparison_grids(1.0, 45.0)
    assert [g.shape[0] for g in grids[:6]] == [45, 23, 15, 12, 9, 8]
    assert [float(g.y_edges[0]) for g in grids[:6]] == [45.0, 44.0, 45.0, 42.0, 45.0, 42.0]
    # cells of 5 degrees do not fit into any finer
    assert annual_map(ds, "a", "nee", (2000, 2001), grids).sizes["lat"] == 9
    with pytest.raises(GridError, match="coarser than any grid"):
        annual_map(ds, "a", "nee", (2000, 2001), grids[:2])


def test_methane_with_human_emissions_is_refused(tmp_path: Path):
    path = write_netcdf(fluxes("fch4", 1e-10, "inversion"), tmp_path / "ch4.nc")
    with pytest.raises(ConfigError, match="CH4 of an inversion with human emissions in it"):
        open_source(path, "fch4", None)
    natural = fluxes("fch4", 1e-10, "inversion").assign_attrs(human_emissions_removed="prior (share)")
    with open_source(write_netcdf(natural, tmp_path / "n.nc"), "fch4", None) as ds:
        assert "fch4" in ds


def test_sites_lie_in_the_region_that_fills_their_land():
    rows = pd.DataFrame(
        {
            "site_id": list("abcd"),
            "lat": [65.0, 62.0, 59.9, np.nan],
            "lon": [-150.0, 129.0, 10.7, 10.0],
        }
    )
    inside = sites_inside(rows, ["sectors"], eight=False)
    assert {k: list(rows["site_id"][v]) for k, v in inside.items()} == {
        "alaska": ["a"],
        "canada": [],
        "europe": ["c"],
        "siberia": ["b"],
    }
    bands = sites_inside(rows, ["bands:49,60,90"], eight=False)
    assert sorted(len(rows[v]) for v in bands.values()) == [1, 2]


@pytest.mark.parametrize("step", [2.5, 5.0, 10.0])
def test_fire_of_any_grid_is_taken_off_with_its_mass(tmp_path: Path, step: float):
    """10 g of fire per m2 of land leave -10 g on every land cell, from finer, equal and coarser fire products."""
    rate = 1e-9
    grid = LatLonGrid.regular(step, lat=(50.0, 80.0))
    land = land_fraction(grid).values
    data = np.broadcast_to(np.where(land > 0.0, rate, np.nan), (24, *grid.shape))
    da = xr.DataArray(data, dims=("time", "lat", "lon"), coords={"time": TIME, **grid.coords()})
    fire = make_flux_dataset(
        {"fFire": da.fillna(0.0).assign_attrs(units="kg m-2 s-1")},
        approach="inventory",
        source="f",
        coverage=1.0,
    )
    inversion = write_netcdf(fluxes("nbe", 0.0, "inversion"), tmp_path / "nbe.nc")
    with open_source(inversion, "nee", write_netcdf(fire, tmp_path / "fire.nc")) as found:
        nee = found["nee"].isel(time=0).load()
    own = land_fraction(GRID)
    mass = float((nee * own * GRID.cell_area()).sum())
    assert mass == pytest.approx(-rate * float((own * GRID.cell_area()).sum()), rel=1e-6)
    held = nee.values[own.values > 0.0]
    assert np.nanmin(held) > -3.0 * rate


def test_uneven_rows_come_to_an_even_grid():
    """Rows of a Gaussian grid carry their edges; the annual map of a constant flux is that constant on even cells."""
    edges = np.array([45.0, 51.5, 58.5, 65.0, 71.8, 78.4, 84.9, 90.0])
    lat = 0.5 * (edges[1:] + edges[:-1])
    lon = np.arange(-177.5, 180.0, 5.0)
    coords = {"time": TIME, "lat": lat, "lon": lon}
    rows = {"lat_south": ("lat", edges[:-1]), "lat_north": ("lat", edges[1:])}
    da = xr.DataArray(np.full((24, 7, 72), 1e-9), dims=("time", "lat", "lon"), coords={**coords, **rows})
    ds = make_flux_dataset(
        {"nee": da.assign_attrs(units="kg m-2 s-1")}, approach="process", source="g", coverage=1.0
    )
    made = annual_map(ds, "g", "nee", (2000, 2001), comparison_grids(1.0, 45.0))
    assert made.sizes["lat"] == 8  # 6 degrees: the first that is no finer than 7 by 5
    np.testing.assert_allclose(made["nee"].values[np.isfinite(made["nee"].values)], 1e-9, rtol=1e-9)
    rows = regional_mean(ds["nee"].isel(time=0), land_regions(["sectors"], None)(grid_of(ds)))
    np.testing.assert_allclose(rows["nee"].values, 1e-9)
