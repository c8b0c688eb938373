"""Extraction on grids whose values encode the cell, against brute force over all cells; real grids, real sites."""

from __future__ import annotations

from pathlib import Path

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.regions import EqualAreaGrid
from talik.rng import named_rng
from talik.upscaling.extract import Extracted, extract

GEOD = Geod(ellps="WGS84")
STEREO = CRS.from_epsg(3995)
TOOLIK = (68.63, -149.6)


def site_table(
    lat: object, lon: object, *, year: object = 2010, month: object = 7, site_id: object = None
) -> pd.DataFrame:
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(c)) for c in (lat, lon, year, month)))
    table = pd.DataFrame(dict(zip(("lat", "lon", "year", "month"), columns, strict=True)))
    table.insert(0, "site_id", [f"S{k}" for k in range(len(table))] if site_id is None else site_id)
    return table


def coded(ny: int, nx: int, dims: tuple[str, str]) -> tuple[tuple[str, str], np.ndarray, dict[str, str]]:
    """A field that says its own row and column: 1000 x row + column."""
    return dims, 1000.0 * np.arange(ny)[:, None] + np.arange(nx), {"units": "K"}


def lat_lon_grid(lat: np.ndarray, lon: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"v": coded(lat.size, lon.size, ("lat", "lon"))}, coords={"lat": lat, "lon": lon})


def stereo_grid(**mapping: object) -> xr.Dataset:
    """Square cells of 50 km on EPSG:3995, y descending."""
    x, y = np.arange(-2975e3, 3000e3, 50e3), np.arange(2975e3, -3000e3, -50e3)
    ds = xr.Dataset({"v": coded(y.size, x.size, ("y", "x"))}, coords={"y": y, "x": x})
    ds["crs"] = xr.DataArray(0, attrs=mapping)
    ds["v"].attrs["grid_mapping"] = "crs"
    return ds


def values(found: Extracted) -> np.ndarray:
    return found.values["v"].to_numpy()


# ---- The cell that contains the tower


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    step=st.sampled_from([0.5, 1.0, 2.5, 7.5]),
    west=st.sampled_from([-180.0, 0.0, -30.25, 100.0]),
    descending=st.booleans(),
    shuffled_seam=st.booleans(),
)
def test_any_order_of_latitude_and_longitude_finds_the_containing_cell(
    seed: int, step: float, west: float, descending: bool, shuffled_seam: bool
) -> None:
    lat_edges = np.arange(45.0, 90.0 + step / 2, step)
    lon_edges = west + np.arange(0.0, 360.0 + step / 2, step)
    lat, lon = lat_edges[:-1] + step / 2, lon_edges[:-1] + step / 2
    row_of, col_of = np.arange(lat.size), np.arange(lon.size)
    if descending:
        lat, row_of = lat[::-1], row_of[::-1]
    if shuffled_seam:
        lon, col_of = np.roll(lon, 17), np.argsort(np.roll(col_of, 17))
    rng = named_rng(seed, "points")
    p_lat, p_lon = rng.uniform(40, 90, 60), rng.uniform(-180, 180, 60)
    got = values(extract(site_table(p_lat, p_lon), lat_lon_grid(lat, lon), ["v"]))
    for k in range(60):
        row = int(np.floor((p_lat[k] - 45.0) / step))
        col = int(np.floor(((p_lon[k] - west) % 360.0) / step))
        if row < 0:
            assert np.isnan(got[k])
        else:
            assert got[k] == 1000 * row_of[row] + col_of[col]


def test_edges_belong_to_the_cell_north_and_east_of_them() -> None:
    ds = lat_lon_grid(np.arange(60.25, 90, 0.5), np.arange(-179.75, 180, 0.5))
    sites = site_table([60.0, 60.5, 90.0, 60.2, 60.2, 60.2], [-180.0, -179.5, 0.0, 180.0, 179.999, 360.0])
    assert values(extract(sites, ds, ["v"])).tolist() == [0, 1001, 59360, 0, 719, 360]


def test_bounds_decide_where_they_differ_from_midpoints() -> None:
    ds = xr.Dataset(
        {"v": coded(3, 2, ("lat", "lon"))},
        coords={"lat": ("lat", [60.0, 61.0, 65.0], {"bounds": "lat_bnds"}), "lon": [0.25, 359.75]},
    )
    ds["lat_bnds"] = (("lat", "b"), [[59.5, 60.1], [60.1, 64.9], [65.0, 65.5]])
    ds["lon_bnds"] = (("lon", "b"), [[0.0, 0.5], [359.5, 360.0]])
    sites = site_table([60.2, 64.5, 64.95, 65.0, 66.0, 60.2], [0.1, -0.1, 0.1, 0.4999, 0.1, 0.6])
    np.testing.assert_array_equal(
        values(extract(sites, ds, ["v"])), [1000, 1001, np.nan, 2000, np.nan, np.nan]
    )
    # without bounds the first tower is nearer to the centre at 60 degrees
    without = ds.drop_vars(["lat_bnds", "lon_bnds"])
    assert values(extract(sites, without, ["v"]))[0] == 0


def test_uneven_gaussian_rows_are_cut_midway() -> None:
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(48)[0]))
    ds = lat_lon_grid(lat, np.arange(0, 360, 3.75))
    edge = 0.5 * (lat[40] + lat[41])
    got = values(extract(site_table([edge - 1e-6, edge + 1e-6, lat[47] + 1.0], [1.8, 1.9, -1.8]), ds, ["v"]))
    assert got.tolist() == [40_000, 41_001, 47_000]


@pytest.mark.parametrize(
    "mapping",
    [
        STEREO.to_cf(),
        {"spatial_ref": STEREO.to_wkt()},
        {"crs_wkt": STEREO.to_wkt()},
        {"proj4": "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=0 +datum=WGS84 +units=m"},
        {
            "grid_mapping_name": "polar_stereographic",
            "latitude_of_projection_origin": 90.0,
            "standard_parallel": 71.0,
            "straight_vertical_longitude_from_pole": 0.0,
        },
    ],
    ids=["cf", "spatial_ref", "wkt", "proj4", "parameters"],
)
@pytest.mark.parametrize("in_km", [False, True])
def test_projected_cells_by_every_way_of_naming_the_projection(
    mapping: dict[str, object], in_km: bool
) -> None:
    ds = stereo_grid(**mapping)
    if in_km:
        ds = ds.assign_coords(
            x=("x", ds.x.values / 1e3, {"units": "km"}), y=("y", ds.y.values / 1e3, {"units": "km"})
        )
    rng = named_rng(1, "stereo")
    lat, lon = rng.uniform(45, 90, 200), rng.uniform(-180, 180, 200)
    found = extract(site_table(lat, lon), ds, ["v"])
    x, y = Transformer.from_crs(4326, 3995, always_xy=True).transform(lon, lat)
    row, col = np.floor((3000e3 - np.array(y)) / 50e3), np.floor((np.array(x) + 3000e3) / 50e3)
    inside = (row >= 0) & (row < 120) & (col >= 0) & (col < 120)
    assert 50 < inside.sum() < 200
    np.testing.assert_array_equal(values(found), np.where(inside, 1000 * row + col, np.nan))
    # provenance: the centre projects back onto the cell's own x and y
    table = found.provenance[inside]
    cx, cy = Transformer.from_crs(4326, 3995, always_xy=True).transform(table["cell_lon"], table["cell_lat"])
    np.testing.assert_allclose(cx, -2975e3 + 50e3 * col[inside], atol=1e-3)
    np.testing.assert_allclose(cy, 2975e3 - 50e3 * row[inside], atol=1e-3)
    _, _, metres = GEOD.inv(lon[inside], lat[inside], table["cell_lon"], table["cell_lat"])
    np.testing.assert_allclose(table["distance_km"], np.array(metres) / 1e3, rtol=1e-9)
    assert found.provenance["distance_km"][~inside].isna().all()


def test_an_equal_area_grid_written_by_talik_is_understood() -> None:
    grid = EqualAreaGrid.epsg6931(100e3)
    ds = grid.to_dataset()
    _, lat = grid.lonlat()
    ds["v"] = lat.assign_attrs(units="degrees_north", grid_mapping="crs")
    sites = site_table([TOOLIK[0], 52.0], [TOOLIK[1], 179.9])
    np.testing.assert_allclose(values(extract(sites, ds, ["v"])), sites["lat"], atol=0.7)
    bare = ds[["v"]].drop_vars("crs", errors="ignore")
    assert (
        values(extract(sites, bare, ["v"], crs="EPSG:6931")).tolist()
        == values(extract(sites, ds, ["v"])).tolist()
    )


def test_curvilinear_cells_are_those_of_the_projection() -> None:
    """The same grid once by projection, once by nothing but the latitude and longitude of its centres."""
    ds = stereo_grid(**STEREO.to_cf())
    x, y = np.meshgrid(ds.x.values, ds.y.values)
    lon, lat = Transformer.from_crs(3995, 4326, always_xy=True).transform(x, y)
    bare = ds.drop_vars(["crs", "x", "y"]).rename(y="j", x="i")
    bare["nav_lat"], bare["nav_lon"] = (("j", "i"), lat), (("j", "i"), np.mod(lon, 360.0))
    rng = named_rng(2, "curvilinear")
    sites = site_table(rng.uniform(45, 90, 300), rng.uniform(-180, 180, 300))
    by_projection, by_centres = extract(sites, ds, ["v"]), extract(sites, bare, ["v"])
    px, py = Transformer.from_crs(4326, 3995, always_xy=True).transform(sites["lon"], sites["lat"])
    off_edge = np.minimum(np.abs((px + 25e3) % 50e3 - 25e3), np.abs((py + 25e3) % 50e3 - 25e3))
    clear = off_edge > 1500.0  # cells are not exactly the neighbourhoods of their centres on the sphere
    assert clear.sum() > 250
    np.testing.assert_array_equal(values(by_centres)[clear], values(by_projection)[clear])
    assert np.isnan(values(by_centres)[clear]).any()  # corners of the map reach beyond the grid


def test_the_same_field_on_two_grids_differs_by_less_than_a_cell() -> None:
    def field(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        return 200.0 + lat + 5.0 * np.cos(np.radians(lat)) * np.cos(np.radians(lon))

    regular = lat_lon_grid(np.arange(45.05, 90, 0.1), np.arange(-179.95, 180, 0.1))
    regular["v"] = regular.v.copy(data=field(regular.lat.values[:, None], regular.lon.values))
    ds = stereo_grid(**STEREO.to_cf())
    x, y = np.meshgrid(np.arange(-2995e3, 3000e3, 10e3), np.arange(-2995e3, 3000e3, 10e3))
    lon, lat = Transformer.from_crs(3995, 4326, always_xy=True).transform(x, y)
    plane = xr.Dataset({"v": (("y", "x"), field(lat, lon), ds.v.attrs)}, coords={"y": y[:, 0], "x": x[0]})
    plane["crs"] = ds["crs"]
    rng = named_rng(3, "two grids")
    sites = site_table(rng.uniform(65, 89, 100), rng.uniform(-180, 180, 100))
    exact = field(sites["lat"].to_numpy(), sites["lon"].to_numpy())
    for grid in (regular, plane):
        assert np.abs(values(extract(sites, grid, ["v"])) - exact).max() < 0.12


# ---- The nearest cell with data


@pytest.mark.parametrize("kind", ["lat-lon", "0-360", "projected", "curvilinear"])
def test_nearest_valid_cell_by_brute_force(kind: str) -> None:
    if kind == "projected":
        ds = stereo_grid(**STEREO.to_cf())
        x, y = np.meshgrid(ds.x.values, ds.y.values)
        lon, lat = Transformer.from_crs(3995, 4326, always_xy=True).transform(x, y)
    else:
        start = 0.5 if kind == "0-360" else -179.5
        ds = lat_lon_grid(np.arange(60.5, 90, 1.0), np.arange(start, start + 360, 1.0))
        lat, lon = np.meshgrid(ds.lat.values, ds.lon.values, indexing="ij")
    rng = named_rng(4, kind)
    valid = rng.random(ds.v.shape) < 0.03
    ds["v"] = ds.v.where(xr.DataArray(valid, dims=ds.v.dims)).assign_attrs(units="K")
    if kind == "curvilinear":
        ds = ds.rename(lat="j", lon="i").drop_vars(["j", "i"])
        ds["lat"], ds["lon"] = (("j", "i"), lat), (("j", "i"), lon)
    p_lat = np.concatenate([rng.uniform(62, 89, 40), [89.95, 70.0, 70.0]])
    p_lon = np.concatenate([rng.uniform(-180, 180, 40), [10.0, 179.99, -179.99]])
    sites = site_table(p_lat, p_lon)
    home = values(extract(sites, ds, ["v"]))
    found = extract(sites, ds, ["v"], nearest_within_km=150.0)
    moved_away = 0
    for k in range(len(sites)):
        row = found.provenance.iloc[k]
        if not np.isnan(home[k]):
            assert values(found)[k] == home[k]
            assert not row["moved"]
            continue
        _, _, metres = GEOD.inv(
            np.full(valid.sum(), p_lon[k]), np.full(valid.sum(), p_lat[k]), lon[valid], lat[valid]
        )
        best = int(np.argmin(metres))
        if metres[best] > 150e3:
            assert np.isnan(values(found)[k])
            assert not row["moved"]
        else:
            assert values(found)[k] == ds.v.values[valid][best]
            assert row["moved"]
            np.testing.assert_allclose(row["distance_km"], metres[best] / 1e3, rtol=1e-9)
            moved_away += 1
    assert moved_away > 10


def test_a_cell_with_one_value_in_time_is_kept() -> None:
    ds = lat_lon_grid(np.array([60.5, 61.5]), np.array([0.5, 1.5]))
    ds["v"] = ds.v.expand_dims(month=np.arange(1, 13)).astype(float).copy().assign_attrs(units="K")
    ds["v"][:6, 0, 0] = np.nan
    ds["v"][:, 1, 1] = np.nan
    sites = site_table(
        [60.4] * 2 + [61.6] * 2, [0.4] * 2 + [1.6] * 2, month=[3, 8, 3, 8], site_id=list("aabb")
    )
    found = extract(sites, ds, ["v"], nearest_within_km=100)
    np.testing.assert_array_equal(values(found), [np.nan, 0, 1000, 1000])
    assert found.provenance["moved"].tolist() == [False, True]
    assert found.provenance["share_missing"].tolist() == [0.5, 0.0]
    assert found.provenance["n_rows"].tolist() == [2, 2]


# ---- Time


def monthly_values(time: object, **extra: object) -> xr.Dataset:
    """Value = position of the time step, on one row of two cells."""
    n = len(time)  # type: ignore[arg-type]
    data = np.arange(n, dtype=float)[:, None, None] * np.ones((1, 2, 2))
    return xr.Dataset(
        {"v": (("time", "lat", "lon"), data, {"units": "K"})},
        coords={"time": time, "lat": [60.5, 61.5], "lon": [10.5, 11.5], **extra},
    )


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day", "proleptic_gregorian"])
@pytest.mark.parametrize("stamp", ["start", "middle", "end with bounds"])
def test_months_match_in_every_calendar(tmp_path: Path, calendar: str, stamp: str) -> None:
    edges = xr.date_range("2001-01-01", periods=37, freq="MS", calendar=calendar, use_cftime=True)
    start, end = np.array(edges[:-1]), np.array(edges[1:])
    time = {"start": start, "middle": start + (end - start) / 2, "end with bounds": end}[stamp]
    ds = monthly_values(time)
    if stamp == "end with bounds":
        ds["time"].attrs["bounds"] = "time_bnds"
        ds["time_bnds"] = (("time", "b"), np.column_stack([start, end]))
    ds["time"].encoding["units"] = "hours since 1900-01-01"
    ds.to_netcdf(tmp_path / "months.nc")
    years, months = np.meshgrid([2000, 2001, 2002, 2003, 2004], np.arange(1, 13), indexing="ij")
    sites = site_table(60.4, 10.4, year=years.ravel(), month=months.ravel(), site_id="A")
    found = extract(sites, tmp_path / "months.nc", ["v"])
    expected = 12.0 * (years.ravel() - 2001) + months.ravel() - 1
    np.testing.assert_array_equal(
        values(found), np.where((expected >= 0) & (expected < 36), expected, np.nan)
    )
    row = found.provenance.iloc[0]
    assert (row["time_step"], row["n_rows"], row["n_outside_period"], row["share_missing"]) == (
        "month",
        60,
        24,
        0.4,
    )


def test_annual_data_hold_all_year_and_another_year_may_stand_in() -> None:
    years = [1992, 1993, 1995]
    dated = monthly_values(pd.to_datetime([f"{y}-07-01" for y in years]))
    named = dated.assign_coords(time=years).rename(time="year")
    ended = monthly_values(pd.to_datetime([f"{y + 1}-01-01" for y in years]))
    ended["time_bnds"] = (
        ("time", "b"),
        np.column_stack([ended.time.values - np.timedelta64(365, "D"), ended.time.values]),
    )
    sites = site_table(60.4, 10.4, year=[1992, 1993, 1994, 1995], month=[1, 12, 6, 7], site_id="A")
    for ds in (dated, named, ended):
        found = extract(sites, ds, ["v"])
        np.testing.assert_array_equal(values(found), [0, 1, np.nan, 2])
        assert found.provenance["time_step"].tolist() == ["year"]
        assert found.provenance["n_outside_period"].tolist() == [1]
        filled = extract(sites, ds, ["v"], stand_in_years={1994: 1993})
        np.testing.assert_array_equal(values(filled), [0, 1, 1, 2])
    july_only = extract(sites, dated, ["v"], time_step="month")
    np.testing.assert_array_equal(values(july_only), [np.nan, np.nan, np.nan, 2])


def test_climatologies_by_month_number_and_by_cf_attribute() -> None:
    by_name = monthly_values(np.arange(12)).rename(time="month").assign_coords(month=np.arange(1, 13))
    plain = by_name.drop_vars("month")
    turned = by_name.isel(month=np.roll(np.arange(12), 5))
    by_attribute = monthly_values(pd.date_range("1985-01-15", periods=12, freq="MS"))
    by_attribute["time"].attrs["climatology"] = "climatology_bounds"
    sites = site_table(60.4, 10.4, year=[1900, 2050, 2001], month=[2, 1, 12], site_id="A")
    for ds in (by_name, plain, turned):
        found = extract(sites, ds, ["v"])
        assert values(found).tolist() == [1, 0, 11]
        assert found.provenance["time_step"].tolist() == ["month of year"]
    months = by_attribute.time.dt.month.values
    found = extract(sites, by_attribute, ["v"])
    assert [months[int(v)] for v in values(found)] == [2, 1, 12]


def test_static_grids_need_no_year() -> None:
    ds = lat_lon_grid(np.array([60.5, 61.5]), np.array([0.5, 1.5]))
    sites = site_table([60.4, 61.6], [0.4, 1.6]).drop(columns=["year", "month"])
    found = extract(sites, ds.expand_dims("band"), ["v"])
    assert values(found).tolist() == [0, 1001]
    assert found.provenance["time_step"].tolist() == ["none", "none"]
    with pytest.raises(InputError, match="no column year, month, but the grid changes with time"):
        extract(sites, monthly_values(pd.date_range("2001-01-01", periods=3, freq="MS")), ["v"])


def test_time_axes_that_cannot_be_used() -> None:
    sites = site_table(60.4, 10.4, site_id="A")
    with pytest.raises(InputError, match=r"two of its 46 time steps fall in the same month.*monthly_means"):
        extract(sites, monthly_values(pd.date_range("2001-01-01", periods=46, freq="8D")), ["v"])
    with pytest.raises(InputError, match=r"one time step without bounds.*time_step="):
        extract(sites, monthly_values(pd.to_datetime(["2010-07-01"])), ["v"])
    one = extract(sites, monthly_values(pd.to_datetime(["2010-07-01"])), ["v"], time_step="year")
    assert values(one).tolist() == [0.0]
    with pytest.raises(InputError, match="time steps are 3 months long or apart"):
        extract(sites, monthly_values(pd.date_range("2001-01-01", periods=4, freq="QS")), ["v"])
    with pytest.raises(GridError, match=r"only one time axis is allowed, of dates \(decode them\)"):
        extract(sites, monthly_values([0.5, 1.5, 2.5]), ["v"])
    layered = monthly_values(pd.date_range("2001-01-01", periods=3, freq="MS")).expand_dims(depth=2)
    with pytest.raises(GridError, match=r"isel\(depth=0\)"):
        extract(sites, layered, ["v"])


# ---- Rows, units, errors, laziness


def test_values_follow_the_rows_and_repeated_sites_share_a_cell() -> None:
    ds = lat_lon_grid(np.array([60.5, 61.5]), np.array([0.5, 1.5]))
    sites = site_table([61.6, 60.4, 61.6, 60.6], [1.6, 0.4, 1.6, 1.1], site_id=["b", "a", "b", "a"])
    sites.index = pd.Index([7, 3, 9, 1])
    found = extract(sites, ds, ["v"])
    assert found.values.index.tolist() == [7, 3, 9, 1]
    assert values(found).tolist() == [1001, 0, 1001, 1]
    # site a stands at two positions: each has its own cell and its own row of provenance
    table = found.provenance
    assert list(zip(table["site_id"], table["lat"], table["n_rows"], strict=True)) == [
        ("b", 61.6, 2),
        ("a", 60.4, 1),
        ("a", 60.6, 1),
    ]


def test_units_are_converted_kept_or_missed() -> None:
    ds = lat_lon_grid(np.array([60.5, 61.5]), np.array([0.5, 1.5]))
    ds["share"] = (ds.v.dims, np.full((2, 2), 25.0), {"units": "percent"})
    ds["kind"] = (ds.v.dims, np.full((2, 2), 3.0), {"flag_values": [1, 2, 3]})
    ds["naked"] = (ds.v.dims, np.zeros((2, 2)))
    sites = site_table([61.6, 30.0], [1.6, 0.0])
    found = extract(sites, ds, ["v", "share", "kind"], units={"v": "degC", "share": "1"})
    np.testing.assert_allclose(found.values["v"], [1001 - 273.15, np.nan])
    np.testing.assert_allclose(found.values["share"], [0.25, np.nan])
    assert found.units == {"v": "degC", "share": "1", "kind": "1"}
    assert found.provenance["variable"].tolist() == ["v", "v", "share", "share", "kind", "kind"]
    with pytest.raises(UnitsError, match="naked has no units"):
        extract(sites, ds, ["naked"])
    with pytest.raises(UnitsError, match="cannot become 'm'"):
        extract(sites, ds, ["v"], units={"v": "m"})


def test_only_the_cells_needed_are_computed() -> None:
    touched: set[tuple[int, ...]] = set()

    def block(info: dict[object, dict[str, tuple[int, ...]]]) -> np.ndarray:
        touched.add(tuple(info[None]["chunk-location"]))
        return np.zeros(info[None]["chunk-shape"])

    def make(block_info: dict[object, dict[str, tuple[int, ...]]] | None = None) -> np.ndarray:
        return block(block_info) if block_info else np.zeros((0, 0, 0))

    data = dask.array.map_blocks(make, chunks=((12,) * 5, (10,) * 9, (10,) * 36), dtype=float)
    time = pd.date_range("2001-01-01", periods=60, freq="MS")
    ds = xr.Dataset(
        {"v": (("time", "lat", "lon"), data, {"units": "K"})},
        coords={"time": time, "lat": np.arange(0.5, 90), "lon": np.arange(-179.5, 180)},
    )
    touched.clear()
    sites = site_table(
        [68.6, 68.6, 12.0], [-149.6, -149.6, 100.0], year=[2002, 2003, 2002], site_id=list("aab")
    )
    assert values(extract(sites, ds, ["v"])).tolist() == [0, 0, 0]
    assert {place[1:] for place in touched} <= {(6, 3), (1, 28)}
    assert {place[0] for place in touched} <= {1, 2}


def test_grids_and_tables_that_cannot_be_used(tmp_path: Path) -> None:
    ds = lat_lon_grid(np.array([60.5, 61.5]), np.array([0.5, 1.5]))
    sites = site_table([61.6], [1.6])
    with pytest.raises(InputError, match=r"no variable 'w'; it has v"):
        extract(sites, ds, ["w"])
    with pytest.raises(ConfigError, match="units are given for w"):
        extract(sites, ds, ["v"], units={"w": "K"})
    with pytest.raises(ConfigError, match="nearest_within_km is -1"):
        extract(sites, ds, ["v"], nearest_within_km=-1)
    with pytest.raises(InputError, match=r"absent\.nc: no such file"):
        extract(sites, tmp_path / "absent.nc", ["v"])
    (tmp_path / "text.nc").write_text("not a grid")
    with pytest.raises(InputError, match=r"text\.nc: not readable as NetCDF"):
        extract(sites, tmp_path / "text.nc", ["v"])
    with pytest.raises(InputError, match="no column site_id; it has"):
        extract(sites.drop(columns="site_id"), ds, ["v"])
    with pytest.raises(InputError, match="sites S0 have no position"):
        extract(sites.assign(lat=np.nan), ds, ["v"])
    timed = monthly_values(pd.date_range("2001-01-01", periods=3, freq="MS"))
    with pytest.raises(InputError, match=r"whole numbers, month 1\.\.12"):
        extract(sites.assign(month=13), timed, ["v"])
    with pytest.raises(GridError, match=r"pass crs='EPSG:\.\.\.'"):
        extract(sites, stereo_grid(), ["v"])
    with pytest.raises(GridError, match="the projection is not understood"):
        extract(sites, stereo_grid(grid_mapping_name="no_such_projection"), ["v"])
    with pytest.raises(GridError, match="lon repeats a value"):
        extract(sites, lat_lon_grid(np.array([60.5, 61.5]), np.array([0.0, 180.0, 360.0])), ["v"])
    with pytest.raises(GridError, match="lat has one value and no bounds"):
        extract(sites, lat_lon_grid(np.array([60.5]), np.array([0.5, 1.5])), ["v"])
    with pytest.raises(GridError, match="lat holds values that are not finite"):
        extract(sites, lat_lon_grid(np.array([60.5, np.nan]), np.array([0.5, 1.5])), ["v"])


# ---- Real grids


def test_published_permafrost_values(shared: Path) -> None:
    """Check values of the data's README, which are those of the half-degree means."""
    folder = shared / "data" / "permafrost-cci-validation"
    sites = site_table(
        [62.03, 70.25, TOOLIK[0]], [129.73, -148.6, TOOLIK[1]], site_id=["Yakutsk", "Prudhoe", "Toolik"]
    )
    names = ["permafrost_fraction_median", "active_layer_thickness_median"]
    half_degree = extract(sites, folder / "permafrost_cci_grid_0.5deg.nc", names)
    np.testing.assert_allclose(half_degree.values[names[0]], [99.7, 100, 100], atol=0.05)
    np.testing.assert_allclose(half_degree.values[names[1]], [1.00, 0.36, 0.61], atol=0.005)
    polar = extract(
        sites, folder / "permafrost_cci_grid_13.9km.nc", names, units={names[0]: "1", names[1]: "cm"}
    )
    np.testing.assert_allclose(polar.values[names[0]], half_degree.values[names[0]] / 100, atol=0.03)
    np.testing.assert_allclose(polar.values[names[1]], 100 * half_degree.values[names[1]], atol=12)
    assert polar.provenance["distance_km"].max() < 13.9 / np.sqrt(2) * 1.1


def test_polar_stereographic_cells_agree_with_the_coordinates_in_the_file(shared: Path) -> None:
    """By projection, and by the file's own latitude and longitude of the centres, which we did not compute."""
    path = shared / "data" / "permafrost-cci-validation" / "permafrost_cci_grid_13.9km.nc"
    towers = pd.read_csv(shared / "data" / "abcflux-v2-apr2024" / "sites.csv.gz")
    towers = towers.rename(columns={"latitude": "lat", "longitude": "lon"})
    sites = site_table(towers["lat"].to_numpy(), towers["lon"].to_numpy())
    name = "permafrost_fraction_median"
    by_projection = extract(sites, path, [name], nearest_within_km=60)
    with xr.open_dataset(path) as ds:
        by_centres = extract(sites, ds.drop_vars(["x", "y", "crs"]), [name], nearest_within_km=60)
    a, b = by_projection.provenance, by_centres.provenance
    assert len(a) > 500
    assert not a["distance_km"].isna().any()
    same = (a["cell_lat"] - b["cell_lat"]).abs() < 1e-3
    assert same.mean() > 0.99  # the rest lie within metres of an edge
    np.testing.assert_allclose(a["distance_km"][same], b["distance_km"][same], atol=0.01)
    assert (b["distance_km"] <= a["distance_km"] + 0.01).all()


def test_monthly_climate_at_real_sites_follows_their_thermometers(shared: Path) -> None:
    rows = pd.read_parquet(shared / "data" / "abcflux-v2-apr2024" / "site_months_mean.parquet")
    rows = rows.rename(columns={"site_no": "site_id", "latitude": "lat", "longitude": "lon"}).dropna(
        subset=["tair"]
    )
    path = shared / "data" / "climatology-biome4-05deg" / "biome4_climatology_40-90N_0.5deg.nc"
    found = extract(rows, path, ["tas", "tmin_abs"], units={"tas": "K"}, nearest_within_km=60)
    tas = found.values["tas"] - 273.15
    assert not tas.isna().any()
    assert np.corrcoef(tas, rows["tair"])[0, 1] > 0.9
    assert abs(float((tas - rows["tair"]).median())) < 3.0
    # the coldest day cannot be milder than the coldest month
    assert (found.values["tmin_abs"] <= tas + 1.0).mean() > 0.99
    assert set(found.provenance["time_step"]) == {"month of year", "none"}


def test_half_degree_maps_agree_with_a_look_by_hand(shared: Path) -> None:
    sites = site_table([71.32, 67.05, 67.55], [-156.61, 26.63, 133.39])  # Utqiagvik, Sodankyla, Verkhoyansk
    centres = [(71.25, -156.75), (67.25, 26.75), (67.75, 133.25)]
    for folder, name, variables in (
        ("hwsd-topsoil-05deg", "hwsd_topsoil_40-90N_0.5deg.nc", ["sand", "organic_carbon", "land_fraction"]),
        ("koeppen-05deg", "koeppen_40-90N_0.5deg.nc", ["koeppen"]),
    ):
        path = shared / "data" / folder / name
        found = extract(sites, path, variables)
        with xr.open_dataset(path) as ds:
            for variable in variables:
                by_hand = [float(ds[variable].sel(lat=lat, lon=lon)) for lat, lon in centres]
                np.testing.assert_array_equal(found.values[variable], by_hand)
    with xr.open_dataset(path) as ds:
        names = dict(zip(ds.koeppen.flag_values, ds.koeppen.flag_meanings.split(), strict=True))
    # Kottek et al. 2006: tundra, boreal, and the boreal climate with the coldest winters
    assert [names[int(v)] for v in found.values["koeppen"]] == ["ET", "Dfc", "Dfd"]


def test_a_band_of_the_globe_has_no_values_beyond_it(shared: Path) -> None:
    path = shared / "data" / "tem-65-70n" / "tem_static_65-70N_0.5deg.nc"
    found = extract(
        site_table([TOOLIK[0], 71.32, 64.99], [TOOLIK[1], -156.61, 26.0]), path, ["soil_ph", "temveg"]
    )
    assert np.isfinite(found.values.iloc[0]).all()
    assert found.values.iloc[1:].isna().all(axis=None)
    assert found.provenance["cell_lat"].isna().tolist() == [False, True, True] * 2
    # Toolik is wet tundra in TEM's map (class 3)
    assert found.values["temveg"][0] == 3
