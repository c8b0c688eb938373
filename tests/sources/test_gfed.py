"""Gridded fire emissions: files made to format, against sums by hand, and files that cannot be right."""

from __future__ import annotations

import calendar
import ctypes
import os
import re
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.flux.dataset import validate
from talik.regions import LatLonGrid, regional_total
from talik.sources.gfed import read_gfed, species_per_dry_matter
from talik.sources.gfed_factors import EmissionFactors

KINDS = ("SAVA", "BORF", "TEMF", "DEFO", "PEAT", "AGRI")
# g per kg of dry matter, typed in from the published table of factors
CARBON = np.array([488.273, 464.989, 489.416, 491.751, 570.055, 480.352])
CO2 = np.array([1686, 1489, 1647, 1643, 1703, 1585.0])
CH4 = np.array([1.94, 5.96, 3.36, 5.07, 20.8, 5.82])
N2O = np.array([0.20, 0.41, 0.16, 0.20, 0.20, 0.10])
STEP = 10.0
LAT = np.arange(85.0, -90.0, -STEP)
LON = np.arange(-175.0, 180.0, STEP)
EARTH_M = 6_371_000.0


def sphere_area():
    edges = np.radians(np.append(LAT + STEP / 2, -90.0))
    rows = EARTH_M**2 * np.radians(STEP) * -np.diff(np.sin(edges))
    return np.repeat(rows[:, None], LON.size, axis=1)


def contents(seed=1, burned=True):
    """Path in the file to array, rows from north to south; the eastern half of the map is sea."""
    rng = np.random.default_rng(seed)
    shape = (LAT.size, LON.size)
    land = np.zeros(shape, dtype=bool)
    land[:, : LON.size // 2] = True
    out = {
        "lat": np.repeat(LAT[:, None], LON.size, axis=1),
        "lon": np.repeat(LON[None, :], LAT.size, axis=0),
        "ancill/grid_cell_area": sphere_area(),
        "ancill/basis_regions": np.where(land, 1 + np.arange(LAT.size)[:, None] % 14, 0).astype(float),
    }
    for month in range(1, 13):
        group = f"emissions/{month:02d}"
        dry = rng.gamma(0.3, 0.1, shape) * land * (rng.random(shape) < 0.4)
        shares = rng.dirichlet(np.ones(6), shape).transpose(2, 0, 1) * (dry > 0)
        out[f"{group}/DM"] = dry
        out[f"{group}/C"] = dry * np.tensordot(CARBON, shares, 1)
        out |= {f"{group}/partitioning/DM_{k}": s for k, s in zip(KINDS, shares, strict=True)}
        if burned:
            out[f"burned_area/{month:02d}/burned_fraction"] = dry / 10.0
    return out


def write_netcdf4(path, data):
    """HDF5 by netCDF4: dimensions without coordinate variables."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("row", LAT.size)
        file.createDimension("column", LON.size)
        for name, values in data.items():
            file.createVariable(name, "f4", ("row", "column"))[:] = values
    return path


def write_hdf5(path, data):
    """Plain HDF5 by the C library that netCDF4 brings: no dimensions at all, as h5py writes it."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text() if maps.exists() else ""
    found = re.search(
        r"(\S*/libhdf5[-.\w]*?\.so\S*)", "\n".join(x for x in loaded.splitlines() if "hdf5_hl" not in x)
    )
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no HDF5 library to write with")
        pytest.skip("no HDF5 library to write with")
    hdf5 = ctypes.CDLL(found[1])
    hid = ctypes.c_int64
    for name in ("H5Fcreate", "H5Gcreate2", "H5Screate_simple", "H5Dcreate2", "H5Gopen2"):
        getattr(hdf5, name).restype = hid
    none = hid(0)
    hdf5.H5open()
    single = hid.in_dll(hdf5, "H5T_NATIVE_FLOAT_g")
    file = hid(hdf5.H5Fcreate(str(path).encode(), ctypes.c_uint(2), none, none))
    made = set()
    for name, values in data.items():
        for depth in range(1, name.count("/") + 1):
            group = "/".join(name.split("/")[:depth])
            if group not in made:
                hdf5.H5Gclose(hid(hdf5.H5Gcreate2(file, group.encode(), none, none, none)))
                made.add(group)
        array = np.ascontiguousarray(values, dtype=np.float32)
        space = hid(hdf5.H5Screate_simple(2, (ctypes.c_uint64 * 2)(*array.shape), None))
        dataset = hid(hdf5.H5Dcreate2(file, name.encode(), single, space, none, none, none))
        assert hdf5.H5Dwrite(dataset, single, none, none, none, array.ctypes.data_as(ctypes.c_void_p)) >= 0
        hdf5.H5Dclose(dataset)
        hdf5.H5Sclose(space)
    hdf5.H5Fclose(file)
    return path


@pytest.fixture(scope="module")
def data():
    return contents()


@pytest.fixture(scope="module")
def file(tmp_path_factory, data):
    return write_netcdf4(tmp_path_factory.mktemp("gfed") / "GFED4.1s_2003.hdf5", data)


@pytest.fixture(scope="module")
def read(file):
    return read_gfed(file)


def by_hand(data, factors, element):
    """Mass of a year from the file, kg, cell by cell: dry matter x shares x factors x area."""
    total = 0.0
    for month in range(1, 13):
        group = f"emissions/{month:02d}"
        for k, factor in zip(KINDS, factors, strict=True):
            kg = data[f"{group}/DM"] * data[f"{group}/partitioning/DM_{k}"] * factor / 1000.0
            total += float((kg * data["ancill/grid_cell_area"]).sum())
    return total * element


def of_a_year(ds, name):
    """The same from the rates, kg: times the seconds of each month of 2003 by the calendar module."""
    seconds = np.array([86_400 * calendar.monthrange(2003, m)[1] for m in range(1, 13)])
    area = (ds["cell_area"] * ds["land_fraction"]).values
    return float(np.nansum(ds[name].values.astype(float) * area * seconds[:, None, None]))


@pytest.mark.parametrize(
    ("name", "factors", "element"),
    [
        ("fFire", CO2, 12.011 / 44.009),
        ("fFireCh4", CH4, 12.011 / 16.043),
        ("fFireN2o", N2O, 28.014 / 44.013),
    ],
)
def test_mass_of_a_year(read, data, name, factors, element):
    expected = by_hand(data, factors, element)
    assert expected > 0
    assert of_a_year(read, name) == pytest.approx(expected, rel=1e-6)


def test_it_is_a_flux_dataset(read):
    validate(read)
    assert read.attrs["approach"] == "inventory"
    assert read.attrs["notes"] == []
    assert read["fFire"].dims == ("time", "lat", "lon")
    assert (np.diff(read["lat"]) > 0).all()
    assert (np.diff(read["lon"]) > 0).all()
    assert str(read["time_bnds"].values[1, 1])[:10] == "2003-03-01"
    assert {read[n].attrs["species"] for n in ("fFire", "fFireCh4")} == {"C"}
    assert read["fFireN2o"].attrs["species"] == "N"
    assert read["fFire"].attrs["comment"].startswith("carbon of CO2")


def test_one_cell_lands_where_it_was(read, data):
    """July at 65 N, 165 W: row 2 of the file, the second column."""
    dry = data["emissions/07/DM"][:, 1]
    row = int(np.flatnonzero(dry)[0])
    shares = [data[f"emissions/07/partitioning/DM_{k}"][row, 1] for k in KINDS]
    kg = dry[row] * sum(s * f for s, f in zip(shares, CH4, strict=True)) / 1000.0
    found = read["fFireCh4"].sel(lat=LAT[row], lon=LON[1], time="2003-07-01").item()
    assert found == pytest.approx(kg * 12.011 / 16.043 / (31 * 86_400), rel=1e-6)
    assert read["basis_region"].sel(lat=LAT[row], lon=LON[1]).item() == 1 + row % 14


def test_sea_is_no_data_and_land_without_fire_is_zero(read, data):
    sea = (read["basis_region"] == 0).values
    assert sea.mean() == pytest.approx(0.5)
    assert np.isnan(read["fFire"].values[:, sea]).all()
    assert (read["coverage"].values == ~sea).all()
    assert np.isfinite(read["fFire"].values[:, ~sea]).all()
    assert (read["fFire"].values[:, ~sea] == 0).mean() > 0.5
    assert np.isnan(read["burned_fraction"].values[:, sea]).all()
    north_first = data["burned_area/03/burned_fraction"]
    np.testing.assert_allclose(
        read["burned_fraction"].values[2][::-1], np.where(sea[::-1], np.nan, north_first), rtol=1e-6
    )


def test_plain_hdf5_reads_the_same(tmp_path, data, read):
    path = write_hdf5(tmp_path / "GFED4.1s_2003.hdf5", data)
    with netCDF4.Dataset(path) as file:
        assert not any(d in file.dimensions for d in ("row", "column"))
    found = read_gfed(path)
    for name in ("fFire", "fFireCh4", "fFireN2o", "burned_fraction", "cell_area"):
        np.testing.assert_array_equal(found[name].values, read[name].values)


def test_rows_from_the_south_change_nothing(tmp_path, data, read):
    turned = {n: v[::-1] for n, v in data.items()}
    found = read_gfed(write_netcdf4(tmp_path / "GFED4.1s_2003.hdf5", turned))
    xr.testing.assert_equal(found["fFire"], read["fFire"])


def test_cells_in_the_south_are_left_unread(file, read):
    north = read_gfed(file, south=45.0)
    assert north["lat"].min() == 45.0
    xr.testing.assert_equal(north["fFireN2o"], read["fFireN2o"].sel(lat=slice(45, 90)))
    with pytest.raises(ConfigError, match="fewer than two rows lie north of south=80"):
        read_gfed(file, south=80.0)


def test_all_carbon_is_that_of_the_file(file, data):
    ds = read_gfed(file, carbon="all")
    kg = (
        sum(float((data[f"emissions/{m:02d}/C"] * data["ancill/grid_cell_area"]).sum()) for m in range(1, 13))
        / 1e3
    )
    assert of_a_year(ds, "fFire") == pytest.approx(kg, rel=1e-6)
    assert "fFireCh4 lies inside" in ds["fFire"].attrs["comment"]
    with pytest.raises(ConfigError, match="carbon is 'C'; choose 'co2' or 'all'"):
        read_gfed(file, carbon="C")


def test_years_and_preliminary_files(tmp_path, file, data):
    beta = write_netcdf4(tmp_path / "GFED4.1s_2019_beta.hdf5", contents(seed=2, burned=False))
    both = read_gfed([beta, file])
    assert both.sizes["time"] == 24
    assert list(np.unique(both["time"].dt.year)) == [2003, 2019]
    assert both["burned_fraction"].sel(time="2019").isnull().all()
    assert both["burned_fraction"].sel(time="2003").notnull().any()
    assert both.attrs["notes"] == ["GFED4.1s_2019_beta.hdf5: preliminary (beta), emissions by active fires"]
    assert "burned_fraction" not in read_gfed(beta)
    with pytest.raises(InputError, match="year 2003 is given twice"):
        read_gfed([file, write_netcdf4(tmp_path / "GFED4.1s_2003.hdf5", data)])


def test_a_leap_february_has_29_days(tmp_path, data, read):
    leap = read_gfed(write_netcdf4(tmp_path / "GFED4.1s_2004.hdf5", data))
    burning = read["fFire"].values[1] > 0
    ratio = leap["fFire"].values[1][burning] / read["fFire"].values[1][burning]
    np.testing.assert_allclose(ratio, 28 / 29, rtol=1e-6)


def test_factors_and_land_fraction_of_the_user(file, read, data):
    twice = read_gfed(
        file, factors=EmissionFactors().with_factors("CH4", **dict(zip(KINDS, 2 * CH4, strict=True)))
    )
    np.testing.assert_allclose(twice["fFireCh4"], 2 * read["fFireCh4"], rtol=1e-6)
    grid = LatLonGrid.regular(STEP)
    half = grid.wrap(np.full(grid.shape, 0.5))
    ds = read_gfed(file, land_fraction=half)
    assert of_a_year(ds, "fFire") == pytest.approx(of_a_year(read, "fFire"), rel=1e-6)
    np.testing.assert_allclose(ds["fFire"], 2 * read["fFire"], rtol=1e-6)
    none = read_gfed(file, land_fraction=half.where(half["lat"] > 0, 0.0))
    assert re.match(
        r"\d+ cells burn that land_fraction calls sea; their emissions are left out", none.attrs["notes"][0]
    )
    with pytest.raises(GridError, match="centres"):
        read_gfed(file, land_fraction=half.isel(lat=slice(2, None)))


def test_regional_total_takes_it(read, data):
    """Through talik's own totals, on the ellipsoid: within its difference from the sphere of the file."""
    grid = LatLonGrid.regular(STEP)
    whole = grid.wrap(np.ones(grid.shape), attrs={"covers": "all"}).expand_dims(region=["world"])
    total = regional_total(read["fFire"], whole, land_fraction=read["land_fraction"])
    seconds = read["time"].dt.days_in_month * 86_400.0
    found = float(total["fFire"].isel(region=0).dot(seconds))
    assert found == pytest.approx(by_hand(data, CO2, 12.011 / 44.009), rel=0.01)


def changed(data, name, change):
    return {**data, name: change(data[name].copy())}


def first_set(value):
    def change(values):
        values[np.unravel_index(np.argmax(values), values.shape)] = value
        return values

    return change


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        (
            "emissions/05/C",
            first_set(-1.0),
            InputError,
            "emissions/05/C is negative or not finite in 1 cells",
        ),
        ("emissions/05/DM", first_set(np.nan), InputError, "emissions/05/DM is negative or not finite"),
        (
            "emissions/05/partitioning/DM_BORF",
            np.zeros_like,
            InputError,
            "do not add up to 1 where something burns",
        ),
        ("burned_area/05/burned_fraction", lambda v: 500 * v, UnitsError, "burned_fraction reaches"),
        ("ancill/grid_cell_area", lambda v: v / 1e6, GridError, "grid_cell_area is off by up to 100"),
        ("lat", lambda v: v + STEP / 2, GridError, "lat and lon of the centres|grid_cell_area is off"),
        ("lat", lambda v: v + 0.01 * np.arange(LON.size), GridError, "lat and lon are no regular grid"),
        ("ancill/basis_regions", first_set(15.0), InputError, "codes outside 0..14"),
    ],
)
def test_wrong_values(tmp_path, data, name, change, error, message):
    with pytest.raises(error, match=message):
        read_gfed(write_netcdf4(tmp_path / "GFED4.1s_2003.hdf5", changed(data, name, change)))


def test_wrong_units_of_carbon(tmp_path, data):
    kilograms = {n: v / 1000.0 if n.endswith("/C") else v for n, v in data.items()}
    with pytest.raises(UnitsError, match="expected C in g m-2 month-1 and DM in kg m-2 month-1"):
        read_gfed(write_netcdf4(tmp_path / "GFED4.1s_2003.hdf5", kilograms))


def test_wrong_files(tmp_path, data, file):
    missing = {n: v for n, v in data.items() if n != "emissions/12/DM"}
    with pytest.raises(InputError, match="no emissions/12/DM; expected the layout of GFED4"):
        read_gfed(write_netcdf4(tmp_path / "GFED4.1s_2003.hdf5", missing))
    with pytest.raises(InputError, match="the name says no year"):
        read_gfed(tmp_path / "fires.hdf5")
    with pytest.raises(InputError, match="no such file"):
        read_gfed(tmp_path / "GFED4.1s_1999.hdf5")
    (tmp_path / "GFED4.1s_2001.hdf5").write_text("no HDF5")
    with pytest.raises(InputError, match="not readable as HDF5"):
        read_gfed(tmp_path / "GFED4.1s_2001.hdf5")
    with pytest.raises(ConfigError, match="no GFED files given"):
        read_gfed([])
    other = changed(data, "ancill/grid_cell_area", lambda v: v * 1.001)
    with pytest.raises(GridError, match="other cells than"):
        read_gfed([file, write_netcdf4(tmp_path / "GFED4.1s_2005.hdf5", other)])


def test_fires_at_sea_are_kept_and_said(tmp_path, data):
    at_sea = changed(data, "ancill/basis_regions", lambda v: v * (np.arange(LON.size) > 0))
    ds = read_gfed(write_netcdf4(tmp_path / "GFED4.1s_2003.hdf5", at_sea))
    assert "burn that basis_regions calls sea; they are kept as land" in ds.attrs["notes"][0]
    assert of_a_year(ds, "fFire") == pytest.approx(by_hand(data, CO2, 12.011 / 44.009), rel=1e-6)


def test_shares_times_factors():
    shares = np.array([[0.25, 1.0], [0.75, 0.0]])
    np.testing.assert_allclose(species_per_dry_matter(shares, np.array([4.0, 8.0])), [7e-3, 4e-3])
