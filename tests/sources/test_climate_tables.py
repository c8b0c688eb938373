"""Climate tables made by users, and the checks on any climate dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.sources.climate import read_climate
from talik.sources.climate_checks import check_climate, climate_summary, require_climate

HEADER = ["tas [degC]", "pr [mm month-1]", "rsds [W m-2]"]


def table(
    years: int = 2, cells: tuple[tuple[float, float], ...] = ((68.6, -149.6), (70.5, -157.4))
) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = [
        (lat, lon, 2000 + m // 12, m % 12 + 1, *rng.uniform((-20, 5, 10), (10, 60, 250)))
        for lat, lon in cells
        for m in range(12 * years)
    ]
    return pd.DataFrame(rows, columns=["lat", "lon", "year", "month", *HEADER])


def saved(rows: pd.DataFrame, folder: Path) -> Path:
    rows.to_csv(folder / "own.csv", index=False)
    return folder / "own.csv"


def test_rows_in_any_order_and_any_units(tmp_path: Path) -> None:
    rows = table()
    plain = read_climate(saved(rows, tmp_path))
    np.testing.assert_allclose(plain["tas"][:, 1], rows["tas [degC]"][24:], rtol=1e-14)
    np.testing.assert_array_equal(plain["lon"], [-149.6, -157.4])
    length = pd.to_datetime(rows[["year", "month"]].assign(day=1)).dt.days_in_month
    other = rows.assign(
        **{"tas [K]": rows[HEADER[0]] + 273.15, "pr [kg m-2 s-1]": rows[HEADER[1]] / length / 86_400}
    )
    other["rsds [MJ m-2 d-1]"] = rows[HEADER[2]] * 0.0864
    other["lon"] += 360
    shuffled = other.drop(columns=HEADER).sample(frac=1, random_state=1)
    again = read_climate(saved(shuffled, tmp_path), cells=[(68.6, -149.6), (70.5, -157.4)])
    for name in ("tas", "pr", "rsds"):
        np.testing.assert_allclose(again[name], plain[name], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(again["lon"], plain["lon"])


def test_what_a_table_must_have(tmp_path: Path) -> None:
    rows = table()
    for change, error, match in (
        (
            rows.rename(columns={HEADER[0]: "tas"}),
            UnitsError,
            "column tas has no units; expected 'tas .degC.'",
        ),
        (rows.drop(columns="month"), InputError, "no column month; expected year and month, or date"),
        (rows.drop(columns="lat"), InputError, "no columns lat and lon"),
        (rows.drop(index=30), InputError, r"cell \(70.5, -157.4\): 2000-07 missing"),
        (pd.concat([rows, rows[3:4]]), InputError, r"cell \(68.6, -149.6\): 2000-04 given twice"),
        (rows.drop(index=range(36, 48)), InputError, "has months 2001-01, 2001-02, 2001-03 and 9 more"),
        (rows.assign(month=13), InputError, "row 1 is of year 2000, month 13"),
        (
            rows.rename(columns={"lat": "lon", "lon": "lat"}),
            InputError,
            "lies at lat -149.6, lon 68.6.*swapped",
        ),
        (rows.drop(columns=HEADER), InputError, "expected columns such as tas"),
        (rows.drop(columns=HEADER[1]), InputError, "no pr; found rsds, tas"),
        (rows.assign(**{"tair [K]": 280.0}), InputError, "tas is given twice, by tas .degC. and tair .K."),
        (rows.assign(**{HEADER[2]: np.nan}), InputError, "48 of 48 values missing in 2 cells"),
        (rows.assign(site=["a"] * 40 + ["b"] * 8), InputError, "site a has several positions"),
    ):
        with pytest.raises(error, match=match):
            read_climate(saved(change, tmp_path))
    path = saved(rows, tmp_path)
    with pytest.raises(GridError, match=r"1 of 1 cells lie outside the grid"):
        read_climate(path, cells=[(60.0, 20.0)])
    with pytest.raises(InputError, match=r"no row of 1990..1995; the table holds 2000..2001"):
        read_climate(path, period=(1990, 1995))
    with pytest.raises(ConfigError, match=r"2 tables given; expected one"):
        read_climate([path, path])


def test_a_date_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("lat,lon,date,tas [degC]\n68,20,2000-01-01,1\n68,20,2000-02-30,1\n")
    with pytest.raises(InputError, match=r"date is '2000-02-30' in row 2; expected YYYY-MM-DD"):
        read_climate(tmp_path / "own.csv", variables=["tas"])


def dataset(tas: float = -5.0, pr: float = 30.0, rsds: float = 100.0, cells: int = 3) -> xr.Dataset:
    time = np.arange("2000-01", "2002-01", dtype="datetime64[M]").astype("datetime64[s]")
    swing = np.cos(2 * np.pi * np.arange(24) / 12)[:, None] * np.ones(cells)
    held = {"tas": tas - 15 * swing, "pr": pr + 0 * swing, "rsds": rsds * (1 - swing)}
    return xr.Dataset(
        {n: (("time", "cell"), v) for n, v in held.items()},
        coords={"time": time, "lat": ("cell", 60.0 + np.arange(cells)), "lon": ("cell", np.zeros(cells))},
    )


def test_summary_by_hand() -> None:
    climate = dataset()
    summary = climate_summary(climate)
    assert summary.loc["tas", "mean"] == pytest.approx(-5.0)
    assert summary.loc["pr", "mean"] == pytest.approx(360.0)
    cold = sum(-5 - 15 * np.cos(2 * np.pi * m / 12) < -1 for m in range(12))
    assert summary.loc["snow_share", "mean"] == pytest.approx(cold / 12)
    assert list(summary["units"]) == ["degC", "mm year-1", "W m-2", "1"]
    assert check_climate(climate) == []


def test_bias_is_a_warning_with_the_expected_range() -> None:
    problems = check_climate(dataset(tas=20.0, pr=1.0))
    assert {(p.severity, p.column) for p in problems} == {
        ("warning", "tas"),
        ("warning", "pr"),
        ("warning", "snow_share"),
    }
    assert "mean over years and cells is 20 degC; expected -25..12" in problems[0].found
    require_climate(dataset(tas=20.0))


def test_months_of_a_dataset_are_checked_too() -> None:
    for steps, match in (
        ([*range(5), *range(6, 24)], "time: 2000-06 missing"),
        ([*range(6), *range(5, 24)], "time: 2000-06 given twice"),
        (range(3, 24), "time: runs 2000-04..2001-12; expected whole calendar years"),
    ):
        with pytest.raises(InputError, match=match):
            require_climate(dataset().isel(time=list(steps)))


def test_one_missing_value_is_found() -> None:
    climate = dataset()
    climate["pr"][17, 2] = np.nan
    (problem,) = check_climate(climate)
    assert (problem.severity, problem.column, problem.count) == ("error", "pr", 1)
    assert "1 of 72 values missing in 1 cell, first at (lat, lon) = (62, 0)" in problem.found
