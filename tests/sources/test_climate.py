"""Climate of the process model: gridded files of every layout against independent readings of the same numbers."""

from __future__ import annotations

import calendar as real_calendar
import json
from pathlib import Path
from typing import Any

import cftime
import dask
import netCDF4
import numpy as np
import pytest
import xarray as xr
from climate_world import LAT, LON, UNITS, days, field, monthly_file, months, write
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.regions.sphere import wrap_longitude
from talik.sources import climate_grids
from talik.sources.climate import read_climate
from talik.sources.climate_cells import Points, locate, nearest
from talik.sources.climate_months import TimeAxis, complete_months

PLACES = [(65.75, -0.75), (66.25, 0.25), (65.25, -1.25)]
ROWS, COLUMNS = [1, 2, 0], [1, 3, 0]


def forbid(*_: Any, **__: Any) -> None:
    raise AssertionError("computed early")


def test_months_of_a_monthly_file_by_hand(tmp_path: Path) -> None:
    path = monthly_file(tmp_path / "a.nc")
    climate = read_climate(path, cells=PLACES)
    assert dict(climate.sizes) == {"time": 24, "cell": 3, "bnds": 2}
    assert list(climate.data_vars) == ["tas", "pr", "rsds"]
    assert all(v.dtype == np.float64 and v.dims == ("time", "cell") for v in climate.data_vars.values())
    lengths = [real_calendar.monthrange(y, m)[1] for y in (2000, 2001) for m in range(1, 13)]
    pr = field("pr", 24)[:, ROWS, COLUMNS] * 86_400 * np.array(lengths)[:, None]
    np.testing.assert_allclose(climate["pr"], pr, rtol=1e-13)
    np.testing.assert_allclose(climate["tas"], field("tas", 24)[:, ROWS, COLUMNS] - 273.15, atol=1e-11)
    np.testing.assert_array_equal(climate["rsds"], field("rsds", 24)[:, ROWS, COLUMNS])
    np.testing.assert_array_equal(climate["lat"], [p[0] for p in PLACES])
    np.testing.assert_array_equal(climate["lon"], [p[1] for p in PLACES])
    assert str(climate["time"].values[1])[:10] == "2000-02-01"
    assert [str(b)[:10] for b in climate["time_bnds"].values[1]] == ["2000-02-01", "2000-03-01"]
    assert [climate[n].attrs["units"] for n in climate.data_vars] == ["degC", "mm month-1", "W m-2"]
    assert "tas: K to degC" in climate.attrs["notes"]
    assert len(json.loads(climate.attrs["talik_inputs"])["a.nc"]) == 64
    climate.to_netcdf(tmp_path / "back.nc")
    with xr.open_dataset(tmp_path / "back.nc") as back:
        np.testing.assert_array_equal(back["pr"], climate["pr"])


def test_all_cells_run_from_south_to_north_and_west_to_east(tmp_path: Path) -> None:
    climate = read_climate(monthly_file(tmp_path / "a.nc"))
    np.testing.assert_array_equal(climate["lat"], np.repeat(LAT, 4))
    np.testing.assert_array_equal(climate["lon"], np.tile(LON, 3))
    np.testing.assert_array_equal(climate["rsds"], field("rsds", 24).reshape(24, -1))


@pytest.mark.parametrize("cells", [None, PLACES])
@pytest.mark.parametrize(
    ("descends", "circle"), [(True, False), (False, True), (True, True)], ids=["lat", "lon", "both"]
)
def test_turned_axes_give_the_same_numbers(
    tmp_path: Path, cells: list[tuple[float, float]] | None, descends: bool, circle: bool
) -> None:
    plain = read_climate(monthly_file(tmp_path / "plain.nc"), cells=cells)
    fields = {n: field(n, 24) for n in ("tas", "pr", "rsds")}
    lat, lon = LAT, LON
    if descends:
        lat, fields = lat[::-1], {n: v[:, ::-1] for n, v in fields.items()}
    if circle:
        order = np.argsort(np.mod(LON, 360))
        lon, fields = np.mod(LON, 360)[order], {n: v[:, :, order] for n, v in fields.items()}
    other = read_climate(write(tmp_path / "t.nc", months(2000, 2001), fields, lat=lat, lon=lon), cells=cells)
    xr.testing.assert_identical(plain.drop_attrs(), other.drop_attrs())
    assert ("lat descends: turned" in other.attrs["notes"]) == descends
    assert ("lon 0..360 turned to -180..180" in other.attrs["notes"]) == circle
    assert not any("turned" in n for n in plain.attrs["notes"])


@pytest.mark.parametrize(
    ("calendar", "february"),
    [
        ("standard", [29, 28]),
        ("proleptic_gregorian", [29, 28]),
        ("noleap", [28, 28]),
        ("all_leap", [29, 29]),
        ("360_day", [30, 30]),
    ],
)
@pytest.mark.parametrize("step", ["day", "month"])
def test_february_of_every_calendar(tmp_path: Path, calendar: str, february: list[int], step: str) -> None:
    dates = (days if step == "day" else months)(2000, 2001, calendar)
    steady = np.full((len(dates), 3, 4), 1e-5)
    path = write(tmp_path / "a.nc", dates, {"pr": steady})
    how = "as-is" if calendar == "360_day" else "real"
    climate = read_climate(path, variables=["pr"], calendar=how, cells=PLACES)
    assert climate.sizes["time"] == 24
    np.testing.assert_allclose(climate["pr"][[1, 13], 0], 0.864 * np.array(february), rtol=1e-12)
    assert climate.attrs["calendar"] == calendar


def test_a_360_day_year_needs_a_decision(tmp_path: Path) -> None:
    path = monthly_file(tmp_path / "a.nc", calendar="360_day")
    with pytest.raises(InputError, match=r"a.nc: tas: calendar 360_day.*calendar: as-is"):
        read_climate(path)
    assert any("360-day" in n for n in read_climate(path, calendar="as-is").attrs["notes"])


@pytest.mark.parametrize("block", [1, 12 * 40, climate_grids.BLOCK])
def test_days_become_months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(climate_grids, "BLOCK", block)
    dates = days(2000, 2001)
    fields = {n: field(n, len(dates)) for n in ("tas", "pr", "clt")}
    climate = read_climate(write(tmp_path / "a.nc", dates, fields), cells=PLACES)
    for k, (row, column) in enumerate(zip(ROWS, COLUMNS, strict=True)):
        for m in range(24):
            here = [i for i, d in enumerate(dates) if (d.year, d.month) == (2000 + m // 12, m % 12 + 1)]
            series = {n: [float(v[i, row, column]) for i in here] for n, v in fields.items()}
            assert climate["pr"][m, k].item() == pytest.approx(
                sum(86_400 * v for v in series["pr"]), rel=1e-12
            )
            assert climate["tas"][m, k].item() == pytest.approx(
                sum(series["tas"]) / len(here) - 273.15, abs=1e-9
            )
            assert climate["clt"][m, k].item() == pytest.approx(
                sum(series["clt"]) / len(here) / 100, rel=1e-12
            )
    assert {"tas: daily averaged to months", "pr: daily summed to months"} <= set(climate.attrs["notes"])


def test_nothing_is_computed_early_and_lazy_equals_eager(tmp_path: Path) -> None:
    dates = days(2000, 2000)
    path = write(tmp_path / "a.nc", dates, {n: field(n, 366) for n in ("tas", "pr", "rsds")})
    with dask.config.set(scheduler=forbid):
        lazy = read_climate(path, cells=PLACES, lazy=True)
    assert all(v.chunks is not None for v in lazy.data_vars.values())
    xr.testing.assert_identical(lazy.compute().drop_attrs(), read_climate(path, cells=PLACES).drop_attrs())
    lazy.close()


def test_one_cell_reads_one_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper

    path = monthly_file(tmp_path / "a.nc", 2000, 2009)
    read: list[tuple[int, ...]] = []
    original = NetCDF4ArrayWrapper._getitem

    def spy(self: Any, key: Any) -> Any:
        out = original(self, key)
        read.append(np.shape(out))
        return out

    monkeypatch.setattr(NetCDF4ArrayWrapper, "_getitem", spy)
    read_climate(path, cells=[PLACES[0]], period=(2003, 2004))
    fields = [shape for shape in read if len(shape) == 3]
    assert fields == [(24, 1, 1)] * 3


def test_files_join_in_time_in_any_order(tmp_path: Path) -> None:
    whole = read_climate(monthly_file(tmp_path / "whole.nc", 2000, 2005))
    parts = []
    for first in (2004, 2000, 2002):
        steps = slice(12 * (first - 2000), 12 * (first - 2000) + 24)
        fields = {n: field(n, 72)[steps] for n in ("tas", "pr", "rsds")}
        for name, values in fields.items():
            parts.append(write(tmp_path / f"{name}{first}.nc", months(first, first + 1), {name: values}))
    xr.testing.assert_identical(read_climate(parts).drop_attrs(), whole.drop_attrs())
    some = read_climate(parts, period=(2001, 2003))
    np.testing.assert_array_equal(some["tas"], whole["tas"].sel(time=slice("2001", "2003")))
    without = [p for p in parts if p.name != "pr2002.nc"]
    with pytest.raises(
        InputError, match=r"pr: months 2002-01..2003-12 are missing .*pr2000.nc and .*pr2004.nc"
    ):
        read_climate(without)
    double = monthly_file(tmp_path / "pr2003.nc", 2003, 2003, names=("pr",))
    with pytest.raises(
        InputError, match=r"pr: months 2003-01..2003-12 are in both .*pr2002.nc and .*pr2003.nc"
    ):
        read_climate([*parts, double])
    with pytest.raises(InputError, match=r"asked for 1999..2001, but the files hold 2000-01..2005-12"):
        read_climate(parts, period=(1999, 2001))


def test_variables_of_different_years(tmp_path: Path) -> None:
    paths = [
        monthly_file(tmp_path / "t.nc", 2000, 2003, names=("tas",)),
        monthly_file(tmp_path / "p.nc", 2001, 2004, names=("pr", "rsds")),
    ]
    with pytest.raises(
        InputError, match=r"different months: tas 2000-01..2003-12, pr 2001-01.*inside 2001-01..2003-12"
    ):
        read_climate(paths)
    assert read_climate(paths, period=(2001, 2003)).sizes["time"] == 36


def test_missing_and_repeated_months_are_named(tmp_path: Path) -> None:
    dates = months(2000, 2002)
    fields = {n: field(n, 36) for n in ("tas", "pr", "rsds")}
    for keep, match in (
        ([i for i in range(36) if i not in (14, 20)], "2001-03, 2001-09 missing"),
        (sorted([*range(36), 7]), "2000-08 given twice"),
        ([1, 0, *range(2, 36)], "out of order"),
    ):
        path = write(tmp_path / "a.nc", [dates[i] for i in keep], {n: v[keep] for n, v in fields.items()})
        with pytest.raises(InputError, match=f"a.nc: tas: .*{match}"):
            read_climate(path)


def test_incomplete_months_and_years(tmp_path: Path) -> None:
    dates = days(2000, 2001)
    gap = [i for i, d in enumerate(dates) if (d.year, d.month, d.day) != (2001, 3, 4)]
    path = write(tmp_path / "a.nc", [dates[i] for i in gap], {"tas": field("tas", 731)[gap]})
    with pytest.raises(
        InputError, match=r"1 incomplete months in calendar 'standard': 2001-03 \(30 of 31 days\)"
    ):
        read_climate(path, variables=["tas"])
    assert read_climate(path, variables=["tas"], period=(2000, 2000)).sizes["time"] == 12
    late = write(tmp_path / "b.nc", months(2000, 2002)[6:], {"tas": field("tas", 30)})
    with pytest.raises(
        InputError, match=r"2000-07..2002-12; expected whole calendar .* period=\(2001, 2002\)"
    ):
        read_climate(late, variables=["tas"])


def test_stamps_at_the_end_of_the_month_go_by_their_bounds(tmp_path: Path) -> None:
    starts = [cftime.datetime(2000, m, 1, calendar="noleap") for m in range(1, 13)]
    ends = [*starts[1:], cftime.datetime(2001, 1, 1, calendar="noleap")]
    pairs = list(zip(starts, ends, strict=True))
    path = write(tmp_path / "a.nc", ends, {"tas": field("tas", 12)}, bounds=pairs)
    climate = read_climate(path, variables=["tas"], cells=PLACES)
    assert str(climate["time"].values[0])[:7] == "2000-01"
    np.testing.assert_allclose(climate["tas"][0], field("tas", 12)[0, ROWS, COLUMNS] - 273.15, atol=1e-11)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_months_since_count_calendar_months(tmp_path: Path, offset: float) -> None:
    path = monthly_file(tmp_path / "a.nc", 1901, 1950)
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "months since 1861-1-1"
        file["time"][:] = 480 + np.arange(600) + offset
    climate = read_climate(path)
    assert (str(climate["time"].values[0])[:7], str(climate["time"].values[-1])[:7]) == ("1901-01", "1950-12")


def test_years_since_with_months_as_fractions(tmp_path: Path) -> None:
    path = monthly_file(tmp_path / "a.nc", 1901, 1950)
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "years since 1861-1-1"
        file["time"][:] = 40 + np.arange(600) / 12
    assert str(read_climate(path)["time"].values[-1])[:7] == "1950-12"
    with netCDF4.Dataset(path, "a") as file:
        file["time"][:] = np.arange(600)
    with pytest.raises(InputError, match=r"steps of time are years; expected days or months"):
        read_climate(path)


@pytest.mark.parametrize(
    "since", ["hours since 1900-01-01", "seconds since 1970-01-01", "minutes since 1990-01-01"]
)
def test_units_of_time(tmp_path: Path, since: str) -> None:
    dates = days(2000, 2000)
    path = write(tmp_path / "a.nc", dates, {"tas": field("tas", 366)}, since=since)
    plain = write(tmp_path / "b.nc", dates, {"tas": field("tas", 366)})
    kept = {"variables": ["tas"]}
    xr.testing.assert_identical(
        read_climate(path, **kept).drop_attrs(), read_climate(plain, **kept).drop_attrs()
    )


def test_a_doubtful_climate_is_noted(tmp_path: Path) -> None:
    fields = {"tas": np.full((12, 3, 4), 300.0)}
    climate = read_climate(write(tmp_path / "a.nc", months(2000, 2000), fields), variables=["tas"])
    assert "tas: mean over years and cells is 26.9 degC; expected -25..12" in climate.attrs["notes"]


@pytest.mark.parametrize(
    ("units", "attrs", "factor"),
    [
        ("mm day-1", {}, 31.0),
        ("m s-1", {}, 1000 * 86_400 * 31.0),
        ("kg m-2 day-1", {}, 31.0),
        ("mm month-1", {}, 1.0),
        ("kg m-2 month-1", {}, 1.0),
        ("kg m-2", {"standard_name": "precipitation_amount"}, 1.0),
        ("mm", {"cell_methods": "area: mean time: sum"}, 1.0),
        ("cm", {"cell_methods": "time: sum"}, 10.0),
    ],
)
def test_units_of_precipitation(tmp_path: Path, units: str, attrs: dict[str, str], factor: float) -> None:
    values = np.full((12, 3, 4), 50.0 / factor)
    path = write(tmp_path / "a.nc", months(2000, 2000), {"pr": values}, units={"pr": units}, attrs=attrs)
    assert read_climate(path, variables=["pr"])["pr"][0, 0].item() == pytest.approx(50.0, rel=1e-12)


def test_units_that_do_not_fit(tmp_path: Path) -> None:
    for units, match in (
        (None, "no units"),
        ("K", "expected precipitation as a rate"),
        ("mm", "says of what time"),
    ):
        path = monthly_file(tmp_path / "a.nc", units={**UNITS, "pr": units})
        with pytest.raises(UnitsError, match=f"a.nc: 'pr'.*{match}"):
            read_climate(path)
    dates = days(2000, 2000)
    path = write(tmp_path / "b.nc", dates, {"pr": field("pr", 366)}, units={"pr": "mm month-1"})
    with pytest.raises(UnitsError, match=r"b.nc: 'pr' has daily steps but units 'mm month-1'"):
        read_climate(path, variables=["pr"])


def test_a_fill_value_that_float32_cannot_hold(tmp_path: Path) -> None:
    values = field("tas", 12).astype("f4")
    values[:, 1, 2] = 1e20
    for name, attrs in (("undeclared", {}), ("declared", {"missing_value": 1e20})):
        path = write(tmp_path / f"{name}.nc", months(2000, 2000), {"tas": values}, dtype="f4", attrs=attrs)
        climate = read_climate(path, variables=["tas"])
        assert climate.sizes["cell"] == 11
        assert "1 of 12 grid points hold no tas and are left out" in climate.attrs["notes"]
        with pytest.raises(
            InputError, match=r"12 of 24 values missing in 1 cell, first at .* \(65.75, -0.25\)"
        ):
            read_climate(path, variables=["tas"], cells=[(65.25, -1.25), (65.75, -0.25)])


ISIMIP = "gfdl-esm4_r1i1p1f1_w5e5_{}_{}_global_{}_{}_{}.nc"


def test_isimip3b_files(tmp_path: Path) -> None:
    lat = np.arange(89.75, -90, -0.5)[40:46]
    lon = np.arange(-179.75, 180, 0.5)[100:105]
    paths, held = [], {}
    for scenario, years in (("historical", [(2001, 2010), (2011, 2014)]), ("ssp585", [(2015, 2015)])):
        for first, last in years:
            dates = days(first, last, "proleptic_gregorian")
            for name in ("tas", "pr", "rsds"):
                values = field(name, len(dates), first, lat, lon).astype("f4")
                held[name, first] = values
                path = tmp_path / ISIMIP.format(scenario, name, "daily", first, last)
                paths.append(
                    write(
                        path,
                        dates,
                        {name: values},
                        lat=lat,
                        lon=lon,
                        dtype="f4",
                        fill=1e20,
                        since="days since 1601-01-01",
                    )
                )
    cells = [(float(lat[2]), float(lon[3])), (float(lat[5]), float(lon[0]))]
    climate = read_climate(paths, cells=cells)
    assert climate.attrs["layout"] == "isimip3b"
    assert climate.attrs["source"] == "gfdl-esm4 historical, gfdl-esm4 ssp585"
    assert climate.sizes["time"] == 180
    july = 181  # 1 July 2015 is the 182nd day
    exact = held["pr", 2015][july : july + 31, 2, 3].astype("f8").sum() * 86_400
    assert climate["pr"].sel(time="2015-07-01")[0].item() == pytest.approx(exact, rel=1e-12)
    exact = held["tas", 2011][:31, 5, 0].astype("f8").mean() - 273.15
    assert climate["tas"].sel(time="2011-01-01")[1].item() == pytest.approx(exact, abs=1e-9)


def test_names_must_fit_the_files(tmp_path: Path) -> None:
    good = monthly_file(tmp_path / ISIMIP.format("historical", "tas", "monthly", 2000, 2001), names=("tas",))
    kept = {"variables": ["tas"]}
    assert read_climate(good, **kept).attrs["layout"] == "isimip3b"
    renamed = tmp_path / ISIMIP.format("historical", "tas", "monthly", 2002, 2003)
    renamed.write_bytes(good.read_bytes())
    with pytest.raises(
        InputError, match=r"the name says 2002-01..2003-12, but the time axis runs 2000-01..2001-12"
    ):
        read_climate(renamed, **kept)
    plain = monthly_file(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"a.nc: not a file name of isimip3b; expected one like gfdl-esm4"):
        read_climate(plain, layout="isimip3b")
    other = monthly_file(
        tmp_path
        / ISIMIP.replace("gfdl-esm4", "ukesm1-0-ll").format("historical", "pr", "monthly", 2000, 2001),
        names=("pr",),
    )
    with pytest.raises(InputError, match=r"source is gfdl-esm4 and ukesm1-0-ll; expected one"):
        read_climate([good, other], variables=["tas", "pr"])
    scenarios = [
        monthly_file(tmp_path / ISIMIP.format(s, "tas", "monthly", y, y), y, y, names=("tas",))
        for s, y in (("ssp126", 2015), ("ssp585", 2016))
    ]
    with pytest.raises(InputError, match=r"scenarios ssp126 and ssp585 do not follow each other"):
        read_climate(scenarios, **kept)
    observed = monthly_file(tmp_path / "gswp3-w5e5_obsclim_tas_global_monthly_2000_2001.nc", names=("tas",))
    assert read_climate(observed, **kept).attrs["source"] == "gswp3-w5e5 obsclim"


def test_cmip6_files(tmp_path: Path) -> None:
    lat = np.array([60.6, 62.4683, 64.3357, 66.2])  # Gaussian latitudes are not even
    lon = np.arange(0, 360, 30.0)
    paths = []
    for name in ("tas", "pr", "rsds"):
        path = tmp_path / f"{name}_Amon_UKESM1-0-LL_ssp585_r1i1p1f2_gn_201501-201612.nc"
        dates = months(2015, 2016, "360_day")
        paths.append(
            write(path, dates, {name: field(name, 24, 0, lat, lon)}, lat=lat, lon=lon, dtype="f4", fill=1e20)
        )
        with netCDF4.Dataset(path, "a") as file:
            file.createVariable("height", "f8", ()).units = "m"
    climate = read_climate(paths, cells=[(64.0, -89.0)], calendar="as-is")
    assert climate.attrs["source"] == "UKESM1-0-LL ssp585"
    assert (climate["lat"].item(), climate["lon"].item()) == (64.3357, -90.0)
    exact = field("pr", 24, 0, lat, lon)[:, 2, 9].astype("f4").astype("f8") * 86_400 * 30
    np.testing.assert_allclose(climate["pr"][:, 0], exact, rtol=1e-12)


def test_cells_outside_or_swapped(tmp_path: Path) -> None:
    path = monthly_file(tmp_path / "a.nc")
    with pytest.raises(
        GridError,
        match=r"1 of 2 cells lie outside the grid; .* = \(70, 0\) is 417 km from .*\(66.25, .*56 km",
    ):
        read_climate(path, cells=[(66.0, 0.0), (70.0, 0.0)])
    with pytest.raises(GridError, match=r"They fit with lat and lon swapped"):
        read_climate(path, cells=[(0.0, 66.0)])
    with pytest.raises(ConfigError, match=r"Are they swapped"):
        read_climate(path, cells=[(-149.5, 68.6)])
    swapped = monthly_file(tmp_path / "b.nc", lat=np.array([-149.0, -148.5]), lon=np.array([65.0, 65.5]))
    with pytest.raises(
        GridError, match=r"b.nc: lat runs -149..-148.5; expected -90..90.*lat and lon swapped"
    ):
        read_climate(swapped)


def test_variables_on_different_grids(tmp_path: Path) -> None:
    paths = [
        monthly_file(tmp_path / "t.nc", names=("tas",)),
        monthly_file(tmp_path / "p.nc", names=("pr", "rsds"), lat=LAT + 0.25),
    ]
    with pytest.raises(GridError, match=r"p.nc: its grid differs from that of the first variable.*28 km"):
        read_climate(paths)


def test_radiation_or_cloud(tmp_path: Path) -> None:
    both = monthly_file(tmp_path / "a.nc", names=("tas", "pr", "rsds", "clt"))
    climate = read_climate(both)
    assert list(climate.data_vars) == ["tas", "pr", "rsds"]
    assert "clt is left out: tas, pr, rsds are enough" in climate.attrs["notes"]
    cloud = read_climate(both, variables=["clt"])
    np.testing.assert_allclose(cloud["clt"][:, 0], field("clt", 24)[:, 0, 0] / 100, rtol=1e-12)
    neither = monthly_file(tmp_path / "b.nc", names=("tas", "pr"))
    with pytest.raises(InputError, match=r"no rsds \(or clt\); found pr, tas"):
        read_climate(neither)


def test_what_is_not_climate(tmp_path: Path) -> None:
    path = monthly_file(tmp_path / "a.nc", names=("tas",))
    with pytest.raises(InputError, match=r"a.nc: holds tas; expected one of pr"):
        read_climate(path, variables=["pr"])
    with pytest.raises(InputError, match=r"b.nc: no such file"):
        read_climate(tmp_path / "b.nc")
    (tmp_path / "c.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match=r"c.nc: not readable as NetCDF"):
        read_climate(tmp_path / "c.nc")
    with pytest.raises(ConfigError, match=r"layout 'grib' is unknown"):
        read_climate(path, layout="grib")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"variables tasmax; choose among tas"):
        read_climate(path, variables=["tasmax"])
    with pytest.raises(ConfigError, match=r"runs backwards"):
        read_climate(path, period=(2001, 2000))
    several = write(
        tmp_path / "d.nc",
        months(2000, 2000),
        {"tasmin": field("tas", 12), "tasmax": field("tas", 12)},
        units={"tasmin": "K", "tasmax": "K"},
        attrs={"standard_name": "air_temperature"},
    )
    with pytest.raises(InputError, match=r"tasmin, tasmax all have the standard name of tas"):
        read_climate(several, variables=["tas"])


def test_large_files_are_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talik.sources import climate

    path = monthly_file(tmp_path / "a.nc")
    monkeypatch.setattr(climate, "LARGEST_HASHED", path.stat().st_size - 1)
    attrs = read_climate(path).attrs
    assert (attrs["talik_inputs"], attrs["not_hashed"]) == ("{}", "a.nc")


@pytest.mark.parametrize(
    ("name", "units", "values", "match"),
    [
        ("tas", "degC", 260.0, r"above 100 degC \(to 260\).*K under the label degC"),
        ("tas", "K", -10.0, r"below -123.15 degC \(to -283.15\).*degC under the label K"),
        ("pr", "kg m-2 s-1", -1e-5, "below 0 mm month-1.*cannot be negative"),
        (
            "pr",
            "kg m-2 s-1",
            30.0,
            "annual sums above 15000 mm in 12 of 12 cells.*labelled as a rate per second",
        ),
        ("pr", "mm month-1", 1e-5, "annual sums below 1 mm in 12 of 12 cells.*labelled as an amount"),
        ("rsds", "W m-2", 9e6, "above 600 W m-2.*J m-2"),
        ("rsds", "W m-2", -5.0, "below 0 W m-2"),
        ("clt", "1", 60.0, r"above 1 \(to 60\).*percent"),
    ],
)
def test_wrong_labels_are_seen(tmp_path: Path, name: str, units: str, values: float, match: str) -> None:
    path = write(
        tmp_path / "a.nc", months(2000, 2000), {name: np.full((12, 3, 4), values)}, units={name: units}
    )
    with pytest.raises(InputError, match=f"{name}: {name} of a.nc: .*{match}"):
        read_climate(path, variables=[name])


def test_every_error_is_listed_at_once(tmp_path: Path) -> None:
    fields = {n: field(n, 12) for n in ("tas", "pr", "rsds")}
    fields["pr"][:] = -1.0
    path = write(tmp_path / "a.nc", months(2000, 2000), fields, units={**UNITS, "tas": "degC"})
    with pytest.raises(InputError, match=r"climate of a.nc: 2 errors:\n  tas: .*\n  pr: "):
        read_climate(path)


def test_round_off_below_zero_is_zero(tmp_path: Path) -> None:
    fields = {n: field(n, 12) for n in ("tas", "pr", "rsds")}
    fields["pr"][3], fields["rsds"][4] = -1e-12, -1e-9
    climate = read_climate(write(tmp_path / "a.nc", months(2000, 2000), fields))
    assert (climate["pr"][3] == 0).all()
    assert (climate["rsds"][4] == 0).all()


@settings(deadline=None, max_examples=60)
@given(
    first=st.integers(1600 * 12, 2200 * 12),
    count=st.integers(1, 30),
    drop=st.integers(0, 899),
    calendar=st.sampled_from(["standard", "noleap", "360_day", "all_leap"]),
)
def test_a_lost_day_is_always_seen(first: int, count: int, drop: int, calendar: str) -> None:
    month, day = [], []
    for m in range(first, first + count):
        n = cftime.datetime(m // 12, m % 12 + 1, 1, calendar=calendar).daysinmonth
        month += [m] * n
        day += range(1, n + 1)
    axis = TimeAxis(np.array(month), np.array(day), calendar, daily=True)
    found, starts = complete_months(axis, "x")
    assert list(found) == list(range(first, first + count))
    assert all(day[s] == 1 for s in starts)
    lost = np.delete(np.arange(len(month)), drop % len(month))
    with pytest.raises(InputError, match=r"incomplete|missing"):
        complete_months(TimeAxis(axis.month[lost], axis.day[lost], calendar, daily=True), "x")


@settings(deadline=None, max_examples=60)
@given(
    place=st.tuples(st.floats(40, 89.7), st.floats(-180, 180)),
    seed=st.integers(0, 99),
)
def test_nearest_point_by_brute_force(place: tuple[float, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(40, 90, 50), rng.uniform(-180, 180, 50)
    points = Points("x", ("cell",), (50,), lat, lon)
    index, distance = nearest(points, np.array([place[0]]), np.array([place[1]]))
    a, b = np.radians(lat), np.radians(place[0])
    haversine = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(lon - place[1]) / 2) ** 2
    km = 2 * 6371.0088 * np.arcsin(np.sqrt(haversine))
    assert km[index[0]] == pytest.approx(km.min(), rel=1e-9, abs=1e-6)
    assert distance[0] == pytest.approx(km.min(), rel=1e-6, abs=1e-3)


def test_cells_across_the_date_line(tmp_path: Path) -> None:
    lon = np.array([179.25, 179.75, 180.25, 180.75])
    climate = read_climate(monthly_file(tmp_path / "a.nc", lon=lon), cells=[(65.3, -179.8), (65.3, 179.8)])
    np.testing.assert_array_equal(climate["lon"], [-179.75, 179.75])
    np.testing.assert_array_equal(climate["rsds"], field("rsds", 24)[:, 0][:, [2, 1]])
    np.testing.assert_array_equal(
        wrap_longitude(np.array([180.0, 359.75, -180.0, 12.5])), [-180.0, -0.25, -180.0, 12.5]
    )


def test_the_order_of_cells_is_that_asked_for(tmp_path: Path) -> None:
    points = Points("x", ("lat", "lon"), (3, 4), np.repeat(LAT, 4), np.tile(LON, 3), regular=True)
    shuffled = np.random.default_rng(3).permutation(12)
    wanted = np.stack([points.lat, points.lon], axis=1)[shuffled]
    np.testing.assert_array_equal(locate(points, wanted), shuffled)
