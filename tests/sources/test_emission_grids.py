"""Readers of gridded human emissions, on files written here in the published layouts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import InputError, UnitsError
from talik.regions import LatLonGrid, latitude_bands, regional_total
from talik.regions.axes import grid_of
from talik.sources.emission_grids import read_edgar, read_gridfed, read_methane_prior
from talik.sources.emission_units import unit_words

C, CO2, CH4 = 12.011, 44.009, 16.043
GRID = LatLonGrid.regular(10.0)
AREA = GRID.cell_area().values
DAYS = {y: np.array([pd.Period(f"{y}-{m}").days_in_month for m in range(1, 13)]) for y in (1999, 2000, 2001)}
RATE = 1e-3 / 86_400.0
"""1 g a day as kg s-1; divide by the days of the year for 1 g a year."""


def fresh(folder: Path) -> Path:
    """An empty folder: a file that is read lazily cannot be written again."""
    return Path(tempfile.mkdtemp(dir=folder))


def turned(ds: xr.Dataset, how: str) -> xr.Dataset:
    """The same field on axes in another order."""
    if "flip" in how:
        ds = ds.isel(lat=slice(None, None, -1))
    if "roll" in how:
        ds = ds.assign_coords(lon=ds["lon"] % 360.0).sortby("lon")
    return ds


def gridfed(
    folder: Path,
    year: int = 2000,
    *,
    how: str = "",
    units: str | None = "kg CO2 cell-1 month-1",
    time: np.ndarray | None = None,
    time_units: str = "days",
    sectors: tuple[str, ...] = ("TOTAL",),
    months: int = 12,
) -> Path:
    """1 g C m-2 a year; the first sector all of it, each further one half of the one before."""
    path = fresh(folder) / f"GCP-GridFEDv2022.2_{year}.nc"
    share = DAYS[year][:months] / DAYS[year].sum()
    values = 1e-3 * (CO2 / C) * share[:, None, None] * AREA
    starts = np.concatenate([[0], np.cumsum(DAYS[year])[:-1]])[:months].astype(float)
    attrs = {} if units is None else {"units": units}
    data = {s: (("time", "lat", "lon"), (0.5**k * values).astype("f4"), attrs) for k, s in enumerate(sectors)}
    coords = {"lat": GRID.y, "lon": GRID.x, "time": ("time", starts if time is None else time)}
    ds = turned(xr.Dataset(data, coords), how)
    ds["time"].attrs["units"] = time_units
    ds.drop_vars(list(sectors)).to_netcdf(path)
    ds.drop_vars(["lat", "lon", "time"]).to_netcdf(path, group="CO2", mode="a")
    return path


def edgar(folder: Path, kind: str, gas: str = "CH4", year: int = 2000, *, how: str = "", **changes) -> Path:
    """1 g m-2 a year of the element."""
    mass = {"CO2": CO2 / C, "CH4": CH4 / C, "N2O": 44.013 / 28.014}[gas]
    if kind == "emi":
        values, units, variable = 1e-6 * mass * AREA, "Tonnes", "emissions"
        name = f"v8.0_FT2022_GHG_{gas}_{year}_TOTALS_emi.nc"
    else:
        values, units = np.full(GRID.shape, RATE * mass / DAYS[year].sum()), "kg m-2 s-1"
        variable = "fluxes" if kind == "flx" else f"emi_{gas.lower()}"
        v6 = f"v6.0_{gas}_{year}_TOTALS.0.1x0.1.nc"
        name = f"v8.0_FT2022_GHG_{gas}_{year}_TOTALS_flx.nc" if kind == "flx" else v6
    units = changes.get("units", units)
    ds = xr.Dataset(
        {changes.get("variable", variable): (("lat", "lon"), values.astype("f4"), {"units": units})},
        {"lat": GRID.y, "lon": GRID.x},
    )
    path = fresh(folder) / changes.get("name", name)
    turned(ds, how).to_netcdf(path)
    return path


def prior(
    folder: Path, year: int = 2000, *, how: str = "", calendar: str = "standard", levels: int = 1
) -> Path:
    """1 g C m-2 a year, monthly, stamped on the last day of the month."""
    time = xr.date_range(f"{year}-01-01", periods=12, freq="ME", calendar=calendar, use_cftime=True)
    days = 360 if calendar == "360_day" else DAYS[year].sum()
    values = np.full((12, levels, *GRID.shape), CH4 / C / days, "f4")
    ds = xr.Dataset(
        {"flux": (("time", "lev", "lat", "lon"), values, {"units": "gCH4/m2/day"})},
        {"time": time, "lev": np.arange(levels), "lat": GRID.y, "lon": GRID.x},
    )
    path = fresh(folder) / f"COAL_{year}.nc"
    turned(ds, how).to_netcdf(path)
    return path


READERS: dict[str, tuple[Callable[..., Path], Callable[[Path], xr.Dataset]]] = {
    "GridFED": (gridfed, read_gridfed),
    "EDGAR flx CO2": (lambda f, **k: edgar(f, "flx", "CO2", **k), read_edgar),
    "EDGAR flx CH4": (lambda f, **k: edgar(f, "flx", "CH4", **k), read_edgar),
    "EDGAR emi CH4": (lambda f, **k: edgar(f, "emi", "CH4", **k), read_edgar),
    "EDGAR emi N2O": (lambda f, **k: edgar(f, "emi", "N2O", **k), read_edgar),
    "EDGAR v6 CH4": (lambda f, **k: edgar(f, "v6", "CH4", **k), read_edgar),
    "methane prior": (prior, lambda p: read_methane_prior(p, "fFossilCh4")),
    "methane prior, 360 days": (
        lambda f, **k: prior(f, calendar="360_day", **k),
        lambda p: read_methane_prior(p, "fAgriWasteCh4"),
    ),
}


def year_total_tg(ds: xr.Dataset) -> float:
    """Emissions north of 50 N in all steps, Tg of the element."""
    (name,) = [n for n in ds.data_vars if "species" in ds[n].attrs]
    total = regional_total(ds[name], latitude_bands(grid_of(ds), (50.0, 90.0)))[name].isel(region=0)
    bounds = ds["time_bnds"]
    seconds = [
        (b - a) / np.timedelta64(1, "s") if bounds.dtype.kind == "M" else (b - a).total_seconds()
        for a, b in bounds.values
    ]
    return float((total.values * np.array(seconds)).sum()) * 1e-9


def test_one_gram_a_year_has_one_total_in_every_format(tmp_path: Path):
    """Units, months, area and species at once, against the area of the band; in any order of the axes."""
    a, f = 6378137.0, 1.0 / 298.257223563
    e = np.sqrt(f * (2.0 - f))

    def above(lat: float) -> float:
        s = np.sin(np.radians(lat))
        return float(np.pi * a**2 * (1 - e**2) * (s / (1 - e**2 * s**2) + np.arctanh(e * s) / e))

    expected = (above(90.0) - above(50.0)) * 1e-12
    for name, (write, read) in READERS.items():
        for how in ("", "flip roll"):
            ds = read(write(tmp_path, how=how))
            assert year_total_tg(ds) == pytest.approx(expected, rel=1e-6), (name, how)


def test_the_contract_holds_for_every_reader(tmp_path: Path, computing_nothing):
    for name, (write, read) in READERS.items():
        path = write(tmp_path, how="flip roll")
        assert path.stat().st_size <= 200_000
        with computing_nothing():
            ds = read(path)
        (variable,) = [n for n in ds.data_vars if "species" in ds[n].attrs]
        attrs = ds[variable].attrs
        assert attrs["units"] == "kg m-2 s-1"
        assert attrs["positive"] == "up"
        assert attrs["area_basis"] == "cell"
        assert attrs["species"] == ("N" if "N2O" in name else "C")
        assert attrs["sector"] in ("TOTAL", "TOTALS", "COAL_2000")
        assert ds.attrs["approach"] == "anthropogenic"
        assert ds.attrs["source_file"] == path.name
        assert ds[variable].chunks is not None
        assert ds[variable].dims == ("time", "lat", "lon")
        np.testing.assert_allclose(ds["cell_area"].values, AREA, rtol=1e-12)
        assert (np.diff(ds["lat"]) > 0).all()
        assert ds["lon"].values[0] == -175.0
        np.testing.assert_allclose(ds["coverage"], 1.0, rtol=1e-12)


def test_variables_follow_gas_and_wish(tmp_path: Path):
    assert "fFossil" in read_edgar(edgar(tmp_path, "flx", "CO2"))
    assert "fAnthropogenicN2o" in read_edgar(edgar(tmp_path, "flx", "N2O"))
    path = edgar(tmp_path, "flx", "CH4")
    assert "fAnthropogenicCh4" in read_edgar(path)
    assert "fAgriWasteCh4" in read_edgar(path, "fAgriWasteCh4")
    with pytest.raises(UnitsError, match="cannot become"):
        read_edgar(path, "fAnthropogenicN2o")


def test_gridfed_sectors_and_years_in_any_order(tmp_path: Path):
    paths = [gridfed(tmp_path, year, sectors=("TOTAL", "GAS")) for year in (2001, 1999, 2000)]
    ds = read_gridfed(paths, "GAS")
    assert ds["time"].dt.year.values[[0, 12, 24]].tolist() == [1999, 2000, 2001]
    whole = read_gridfed(paths)
    np.testing.assert_allclose(2.0 * ds["fFossil"], whole["fFossil"], rtol=1e-6)
    february = ds["time_bnds"].values[13]
    assert (february[1] - february[0]) / np.timedelta64(1, "D") == 29
    with pytest.raises(InputError, match=r"before .* ends\. Give each year once"):
        read_gridfed([paths[0], paths[0]])
    with pytest.raises(InputError, match="no variable 'COAL'; found TOTAL, GAS"):
        read_gridfed(paths[0], "COAL")


@pytest.mark.parametrize(
    ("time", "units"),
    [
        (np.cumsum(DAYS[2001]).astype(float), "day of year"),
        (np.cumsum(DAYS[2001]) - 15.0, "days"),
        (np.cumsum(DAYS[2001]) - 15.0, "days since 2001-01-01"),
        (np.cumsum(DAYS[2001]) - 15.0 + 366.0, "days since 2000-01-01 00:00:00"),
    ],
)
def test_gridfed_stamps_anywhere_in_their_month(tmp_path: Path, time: np.ndarray, units: str):
    ds = read_gridfed(gridfed(tmp_path, 2001, time=time, time_units=units))
    assert ds["time"].dt.month.values.tolist() == list(range(1, 13))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": np.arange(12.0)}, r"time runs 0\.\.11 \(days\); expected one day in each month of 2001"),
        (
            {"time": np.cumsum(DAYS[2001]) + 200.0, "time_units": "days since 2002-01-01"},
            "Is the year in the file",
        ),
        ({"months": 11}, "expected 12 months on time"),
    ],
)
def test_gridfed_refuses_other_times(tmp_path: Path, changes: dict, message: str):
    with pytest.raises(InputError, match=message):
        read_gridfed(gridfed(tmp_path, 2001, **changes))


def test_gridfed_refuses_other_files(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        read_gridfed(tmp_path / "GCP-GridFEDv2022.2_2001.nc")
    with pytest.raises(InputError, match="no emission files"):
        read_gridfed([])
    path = gridfed(tmp_path, 2001)
    with pytest.raises(InputError, match="does not end in a year"):
        read_gridfed(path.rename(tmp_path / "emissions.nc"))
    path = tmp_path / "GCP-GridFEDv2022.2_2000.nc"
    xr.Dataset({"TOTAL": ("time", np.zeros(12))}).to_netcdf(path)
    with pytest.raises(InputError, match="cannot be read as group 'CO2'"):
        read_gridfed(path)


def test_units_are_checked_and_what_is_left_out_is_noted(tmp_path: Path):
    assert read_gridfed(gridfed(tmp_path)).attrs["notes"] == []
    missing = read_gridfed(gridfed(tmp_path, units=None))
    assert missing.attrs["notes"] == [
        "GCP-GridFEDv2022.2_2000.nc: TOTAL states no units: taken as published, kg CO2 cell-1 month-1"
    ]
    assert "states units 'kg CO2'" in read_gridfed(gridfed(tmp_path, units="kg CO2")).attrs["notes"][0]
    for units in ("kg CO2 m-2 s-1", "g CO2 cell-1 month-1", "kg C cell-1 month-1", "kg CO2 cell-1 yr-1"):
        with pytest.raises(UnitsError, match="expected 'kg CO2 cell-1 month-1'"):
            read_gridfed(gridfed(tmp_path, units=units))
    for units in ("", "kg", "kg m-2", "g m-2 s-1", "kg C m-2 s-1"):
        with pytest.raises(UnitsError, match="expected 'kg CH4 m-2 s-1'"):
            read_edgar(edgar(tmp_path, "flx", units=units))
    assert read_edgar(edgar(tmp_path, "flx", units="kg substance m-2 s-1")).attrs["notes"] == []
    with pytest.raises(UnitsError, match="expected 't CH4 cell-1 yr-1'"):
        read_edgar(edgar(tmp_path, "emi", units="kg cell-1 yr-1"))


@given(
    st.permutations(["kg", "CO2", "cell", "month"]),
    st.sampled_from([" ", "-1 ", "^-1 ", " "]),
    st.sampled_from([" ", "/", " per ", "."]),
)
def test_words_of_units_do_not_depend_on_their_order(words: list[str], power: str, between: str):
    tail = power.strip() if between in (" ", ".") else ""
    text = between.join(w + (tail if w in ("cell", "month") else "") for w in words)
    assert unit_words(text) == {"kg", "co2", "cell", "month"}


def test_edgar_refuses_other_files(tmp_path: Path):
    for name in ("CH4.nc", "v8.0_FT2022_GHG_CO2bio_2000_TOTALS_flx.nc"):
        with pytest.raises(InputError, match="does not say CO2, CH4 or N2O, a year and a sector"):
            read_edgar(edgar(tmp_path, "flx", name=name))
    with pytest.raises(InputError, match="expected one of fluxes, emissions, emi_ch4; found x"):
        read_edgar(edgar(tmp_path, "flx", variable="x"))
    one, other = edgar(tmp_path, "flx", "CH4"), edgar(tmp_path, "flx", "CO2")
    with pytest.raises(InputError, match="one gas and sector; found CH4 TOTALS, CO2 TOTALS"):
        read_edgar([one, other])
    long_name = edgar(tmp_path, "v6", "CO2", name="v6.0_CO2_excl_short-cycle_org_C_2000_ENE.0.1x0.1.nc")
    assert read_edgar(long_name)["fFossil"].attrs["sector"] == "ENE"


def test_the_prior_refuses_levels_and_odd_steps(tmp_path: Path):
    with pytest.raises(InputError, match="flux has 2 levels"):
        read_methane_prior(prior(tmp_path, levels=2), "fFossilCh4")
    path = prior(tmp_path, 2001)
    with xr.open_dataset(path) as ds:
        ds.isel(time=[0, 1, 5]).to_netcdf(tmp_path / "odd.nc")
        ds.isel(time=[0, 1, 5]).assign(time=[1.0, 2.0, 3.0]).to_netcdf(tmp_path / "dateless.nc")
    with pytest.raises(InputError, match="neither months nor years in order"):
        read_methane_prior(tmp_path / "odd.nc", "fFossilCh4")
    with pytest.raises(InputError, match="no time with dates"):
        read_methane_prior(tmp_path / "dateless.nc", "fFossilCh4")


def test_bounds_of_the_file_are_kept(tmp_path: Path):
    path = prior(tmp_path, 2001)
    with xr.open_dataset(path) as ds:
        part = ds.isel(time=[0]).load()
    edges = np.array([["2001-01-01", "2001-02-01"]], "datetime64[ns]")
    part["time_bnds"] = (("time", "nv"), edges)
    part["time"].attrs["bounds"] = "time_bnds"
    part.to_netcdf(tmp_path / "january.nc")
    back = read_methane_prior(tmp_path / "january.nc", "fFossilCh4")
    np.testing.assert_array_equal(back["time_bnds"].values, edges)


def test_fill_values_are_no_data(tmp_path: Path):
    path = prior(tmp_path, 2001)
    with xr.open_dataset(path) as ds:
        values = ds["flux"].values
        values[:, :, GRID.y > 0.0] = np.float32(1e20)
        ds.assign(flux=(ds["flux"].dims, values, ds["flux"].attrs)).to_netcdf(tmp_path / "gaps.nc")
    back = read_methane_prior(tmp_path / "gaps.nc", "fFossilCh4")
    np.testing.assert_allclose(back["coverage"], 0.5, rtol=1e-9)
    assert np.isnan(back["fFossilCh4"].sel(lat=slice(0, 90)).values).all()
