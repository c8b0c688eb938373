"""Members: draws into parameters, sums of runs against sums by hand, quantiles against the definition."""

from __future__ import annotations

import calendar
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError
from talik.sources.climate_months import month_number, month_stamps
from talik.tem import communities
from talik.tem.calibration.members import (
    default_periods,
    joined,
    members_of,
    read_draws,
    summary,
    sums_of_run,
)

ROWS = [
    "draw,community,parameter,value",
    *(f"{d},wet_tundra,cmax,{500 + d}" for d in range(10)),
    *(f"{d},wet_tundra,moss_m,{0.01 * d}" for d in range(10)),
    *(f"{d},boreal_forest,kdb,{0.001 + 0.0001 * d}" for d in range(10)),
]
YEARS = np.arange(2003, 2006)
GPP = {2003: 2e-8, 2004: 3e-8, 2005: 4e-8}
"""kg m-2 s-1 in every cell with a value."""


def table(folder: Path, lines: list[str] = ROWS) -> Path:
    path = folder / "calibration-draws.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_draws_of_communities_with_the_same_number_belong_together(tmp_path: Path) -> None:
    draws = read_draws(table(tmp_path, [ROWS[0], *reversed(ROWS[1:])]))
    assert list(draws.index) == list(range(10))
    assert set(draws.columns) == {"wet_tundra.cmax", "wet_tundra.moss_m", "boreal_forest.kdb"}
    np.testing.assert_allclose(draws.loc[3, "boreal_forest.kdb"], 0.0013)
    np.testing.assert_allclose(draws.loc[3, "wet_tundra.cmax"], 503)


def test_a_member_is_the_project_with_the_values_of_a_draw(tmp_path: Path) -> None:
    own = {"boreal_forest": {"kda": 1e-4, "kdb": 9.0}, "grassland": {"krb": -3.0}}
    member = members_of(read_draws(table(tmp_path)), 10, own, {"boreal_forest": {"moss_m": 0.02}})[4]
    assert member.draw == 4
    assert member.parameters["grassland"] == {"krb": -3.0}
    assert member.parameters["boreal_forest"] == pytest.approx({"kda": 1e-4, "kdb": 0.0014})
    assert member.organic_soil == {"boreal_forest": {"moss_m": 0.02}, "wet_tundra": {"moss_m": 0.04}}
    line = member.parameters["wet_tundra"]
    of = {row.name: row.values[communities.COMMUNITIES.index("wet_tundra")] for row in communities.TABLE}
    at = 0.35 * line["cmax_slope"] + line["cmax_offset"]  # the soil of TEM's sites
    np.testing.assert_allclose(at, 504.0)
    np.testing.assert_allclose(line["cmax_slope"] / line["cmax_offset"], of["cmax_slope"] / of["cmax_offset"])


def test_fewer_members_than_draws_are_spread_over_them(tmp_path: Path) -> None:
    draws = read_draws(table(tmp_path))
    assert [m.draw for m in members_of(draws, 5, {}, {})] == [0, 2, 4, 6, 8]
    assert [m.draw for m in members_of(draws, 3, {}, {})] == [0, 3, 6]
    assert len(members_of(draws, None, {}, {})) == 10
    with pytest.raises(ConfigError, match=r"11 members of 10 draws; expected 1\.\.10"):
        members_of(draws, 11, {}, {})


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.data())
def test_members_are_different_draws_at_even_distances(held: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, held))
    draws = pd.DataFrame({"wet_tundra.kdb": np.linspace(1e-3, 2e-3, held)}, index=range(held))
    chosen = np.array([member.draw for member in members_of(draws, count, {}, {})])
    assert chosen[0] == 0
    apart = np.diff([*chosen, held])
    assert apart.min() >= 1
    assert apart.max() - apart.min() <= 1


@pytest.mark.parametrize(
    ("lines", "error", "match"),
    [
        (
            ["draw,community,value", "0,wet_tundra,1"],
            InputError,
            "expected draw, community, parameter, value",
        ),
        (ROWS[:1], InputError, "0 rows"),
        ([*ROWS, "10,wet_tundra,cmax,5"], InputError, "draw 10 has no wet_tundra.moss_m, boreal_forest.kdb"),
        ([*ROWS, "3,wet_tundra,cmax,5"], InputError, "draw 3 has wet_tundra.cmax twice"),
        ([*ROWS[:5], "4,wet_tundra,cmax,inf"], InputError, "value inf in line 6; expected a finite number"),
        ([*ROWS[:5], "4,wet_tundra,cmax,"], InputError, "line 6; expected a finite number"),
        ([*ROWS[:5], "4,wet_tundra,cmax,much"], InputError, "value much in line 6"),
        ([*ROWS, "1.5,wet_tundra,cmax,5"], InputError, "draw 1.5 in line 32; expected a whole number"),
        ([*ROWS, "-1,wet_tundra,cmax,5"], InputError, "draw -1 in line 32"),
        ([*ROWS, "0,tundra,cmax,5"], ConfigError, "community 'tundra' is unknown; expected one of: alpine"),
        ([*ROWS, "0,wet_tundra,cmx,5"], ConfigError, r"draws.csv: wet_tundra.cmx: no such parameter"),
        ([*ROWS, "0,wet_tundra,root_a,5"], ConfigError, "is not calibrated"),
    ],
)
def test_bad_draws_are_told(tmp_path: Path, lines: list[str], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        read_draws(table(tmp_path, lines))


def test_no_file_of_draws_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: not readable"):
        read_draws(tmp_path / "nowhere.csv")


def run_folder(folder: Path, grid: bool) -> Path:
    """Files of a run of three cells, or of three in a grid of four: one of 2e12 m2, two of 1e12 m2."""
    folder.mkdir()
    months = month_number(2003, 1) + np.arange(36)
    stamps = month_stamps(months)
    bounds = ("time", "bnds"), np.stack([stamps, month_stamps(months + 1)], axis=1)
    year = stamps.astype("datetime64[Y]").astype(int) + 1970
    cells = np.array([[2e12, 1e12], [1e12, np.nan]]) if grid else np.array([2e12, 1e12, 1e12])
    dims = ("lat", "lon") if grid else ("cell",)
    some = np.where(np.isfinite(cells), 1.0, np.nan)
    # every month as much carbon as the mean would bring: rates are larger in short months
    days = np.array([calendar.monthrange(y, m)[1] for y in YEARS for m in range(1, 13)])
    mean_days = np.array([366 if calendar.isleap(y) else 365 for y in year]) / 12.0
    rate = np.array([GPP[int(y)] for y in year]) * mean_days / days
    december = np.tile(np.arange(12) == 11, 3)
    pool = np.where(december, year - 2000.0, 1000.0)

    def over(values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        return ("time", *dims), values.reshape(-1, *[1] * cells.ndim) * some

    fluxes = xr.Dataset(coords={"time": stamps, "time_bnds": bounds})
    fluxes["gpp"] = (*over(rate), {"units": "kg m-2 s-1", "positive": "down", "long_name": "g"})
    land = xr.Dataset(coords={"time": stamps, "time_bnds": bounds})
    land["cSoil"] = (*over(pool), {"units": "kg m-2"})
    annual = xr.Dataset(coords={"year": YEARS})
    frozen = np.array([np.nan, 40.0, 39.0]).reshape(-1, *[1] * cells.ndim) * some
    frozen[(slice(None), 1, 0) if grid else (slice(None), 2)] = np.nan
    annual["cSoilPermafrost"] = (("year", *dims), frozen, {"units": "kg m-2"})
    for ds in (land, annual):
        ds["cell_area"] = (dims, cells, {"units": "m2"})
    for name, ds in (("fluxes", fluxes), ("land", land), ("annual", annual)):
        ds.to_netcdf(folder / f"tem-{name}.nc", engine="netcdf4")
    return folder


@pytest.mark.parametrize("grid", [False, True])
def test_sums_are_those_by_hand(tmp_path: Path, grid: bool) -> None:
    sums = sums_of_run(run_folder(tmp_path / "run", grid))
    seconds = np.array([365.0, 366.0, 365.0]) * 86_400
    np.testing.assert_allclose(sums["gpp"], np.array(list(GPP.values())) * seconds * 4e12 * 1e-12, rtol=1e-12)
    np.testing.assert_allclose(sums["cSoilActive"], [12.0, 16.0, 20.0])  # Pg at the end of December
    np.testing.assert_allclose(sums["cSoilPermafrost"], [np.nan, 120.0, 117.0])  # one cell has no value
    assert sums["gpp"].attrs == {
        "units": "Pg yr-1",
        "species": "C",
        "positive": "down",
        "coverage": 1.0,
        "long_name": "g",
    }
    assert sums["cSoilPermafrost"].attrs["coverage"] == 0.75
    assert sums["cSoilActive"].attrs["units"] == "Pg"
    assert float(sums["area"]) == 4e12
    assert set(sums.data_vars) == {"area", "gpp", "cSoilActive", "cSoilPermafrost"}


def test_a_member_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tem-fluxes.nc: not readable"):
        sums_of_run(tmp_path)


def test_joined_members_know_their_draws_and_the_least_coverage(tmp_path: Path) -> None:
    whole = sums_of_run(run_folder(tmp_path / "run", grid=False))
    less = whole.copy(deep=True)
    less["gpp"].attrs["coverage"] = 0.5
    members = members_of(read_draws(table(tmp_path)), 2, {}, {})
    both = joined([whole, less], members)
    assert both["gpp"].dims == ("member", "year")
    assert both["draw"].to_numpy().tolist() == [0, 5]
    assert both["gpp"].attrs["coverage"] == 0.5
    assert both["area"].dims == ()


def sums_of_members(years: np.ndarray, members: int) -> xr.Dataset:
    """Member k has k + 1 Pg yr-1 in the first year and as much more each year."""
    number = np.arange(1.0, members + 1)[:, None]
    values = number * np.arange(1.0, years.size + 1)[None]
    late = np.where(years[None] < years[0] + 15, np.nan, values)
    units = {"units": "Pg yr-1", "species": "C", "coverage": 1.0}
    return xr.Dataset(
        {
            "rh": (("member", "year"), values, units),
            "cSoilPermafrost": (("member", "year"), late, units),
            "area": ((), 1.0),
        },
        coords={"year": years},
    )


def test_quantiles_of_periods_and_of_the_change_are_those_of_the_members() -> None:
    years = np.arange(2001, 2041)
    told = summary(sums_of_members(years, 21), default_periods(years.tolist()))
    assert told["change"] == ["2001-2010", "2031-2040"]
    rh = told["sums"]["rh"]
    # of 1..21 the 5 % quantile is 2, the median 11, the 95 % quantile 20
    assert rh["periods"]["2001-2010"] == pytest.approx({"p05": 2 * 5.5, "median": 11 * 5.5, "p95": 20 * 5.5})
    assert rh["periods"]["2001-2040"]["median"] == pytest.approx(11 * 20.5)
    assert rh["change"] == pytest.approx({"p05": 2 * 30.0, "median": 11 * 30.0, "p95": 20 * 30.0})
    frozen = told["sums"]["cSoilPermafrost"]
    assert frozen["periods"]["2001-2010"] is None
    assert frozen["change"] is None
    assert frozen["periods"]["2031-2040"]["median"] == pytest.approx(11 * 35.5)
    assert "area" not in told["sums"]


def test_one_period_has_no_change_and_short_runs_one_period() -> None:
    years = np.arange(2001, 2007)
    assert default_periods(years.tolist()) == [(2001, 2006)]
    assert summary(sums_of_members(years, 3), [(2001, 2006)])["sums"]["rh"]["change"] is None
    with pytest.raises(ConfigError, match=r"period 2000-2003: the run is 2001\.\.2006"):
        summary(sums_of_members(years, 3), [(2000, 2003)])
