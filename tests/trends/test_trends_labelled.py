"""Labelled trends: time axes, metadata, laziness, members."""

from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from talik.errors import InputError
from talik.trends.annual import on_every_year
from talik.trends.labelled import line, mann_kendall, member_summary, theil_sen, trend


@pytest.fixture
def maps() -> xr.DataArray:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(20, 6, 5)).cumsum(axis=0)
    y[3, 2, 2] = np.nan
    y[:, 0, 0] = np.nan
    coords = {"time": np.arange(2001, 2021), "y": np.arange(6.0), "x": np.arange(5.0)}
    attrs = {"units": "g m-2 yr-1", "positive": "up", "species": "C", "long_name": "net ecosystem exchange"}
    return xr.DataArray(y, dims=("time", "y", "x"), coords=coords, name="nee", attrs=attrs)


def test_metadata_of_a_trend(maps: xr.DataArray) -> None:
    found = trend(maps)
    assert found["slope"].dims == ("y", "x")
    assert found["slope"].attrs["units"] == "g m-2 yr-1 year-1"
    assert found["slope"].attrs["positive"] == "up"
    assert "net ecosystem exchange" in found["slope"].attrs["long_name"]
    assert found["intercept"].attrs["units"] == "g m-2 yr-1"
    assert found["p"].attrs["units"] == "1"
    assert "Zhang" in found.attrs["method"]
    assert (found.attrs["first_year"], found.attrs["last_year"], found.attrs["series_length"]) == (
        2001,
        2020,
        20,
    )
    assert "trend method=zhang" in found.attrs["history"]
    assert found["n_valid"].values[2, 2] == 19
    assert found["converged"].values[0, 0] == -1
    np.testing.assert_allclose(found["trend_total"], 20 * found["slope"])
    assert "units" not in found["converged"].attrs
    assert all("long_name" in found[name].attrs for name in found)


def test_arrays_and_labelled_arrays_agree(maps: xr.DataArray) -> None:
    bare, named = trend(maps.transpose("y", "x", "time").values), trend(maps)
    for name in named:
        np.testing.assert_array_equal(bare[name], named[name])
    assert bare["slope"].dims == ("dim_0", "dim_1")
    with pytest.raises(InputError, match="single number"):
        trend(np.float64(3))


@pytest.mark.parametrize("method", ["none", "zhang", "yue-pilon", "conservative"])
def test_lazy_in_lazy_out_and_equal_bytes(maps: xr.DataArray, method: str, computing_nothing) -> None:
    eager = trend(maps, method)
    for chunks in ({"time": 7, "y": 4, "x": 5}, {"time": -1, "y": 1, "x": 2}):
        with computing_nothing():
            lazy = trend(maps.chunk(chunks), method)
        assert lazy["slope"].chunks is not None
        lazy = lazy.compute(scheduler="threads")
        for name in eager:
            assert eager[name].values.tobytes() == lazy[name].values.tobytes()
            assert eager[name].dtype == lazy[name].dtype


def test_sign_of_the_data_is_kept(maps: xr.DataArray) -> None:
    np.testing.assert_array_equal(trend(-maps)["slope"], -trend(maps)["slope"])


def test_parts_of_a_trend(maps: xr.DataArray) -> None:
    whole, sen, kendall = trend(maps, "none"), theil_sen(maps), mann_kendall(maps)
    np.testing.assert_array_equal(sen["slope"], whole["slope"])
    np.testing.assert_array_equal(kendall["p"], whole["p"])
    z = kendall["z"].values
    s = kendall["s"].values
    np.testing.assert_allclose(z, (s - np.sign(s)) / np.sqrt(kendall["var_s"].values), equal_nan=True)
    assert set(sen) == {"slope", "intercept", "low", "high", "n_valid"}


@pytest.mark.parametrize(
    "time",
    [
        pd.date_range("2001-01-01", periods=20, freq="YS"),
        pd.date_range("2001-12-31", periods=20, freq="YE"),
        xr.date_range("2001-07-01", periods=20, freq="YS-JUL", calendar="noleap", use_cftime=True),
        [cftime.Datetime360Day(2001 + k, 6, 30) for k in range(20)],
        np.arange(2001.0, 2021.0),
    ],
)
def test_axes_that_are_annual(maps: xr.DataArray, time: object) -> None:
    dated = maps.assign_coords(time=time)
    assert trend(dated).equals(trend(maps))


def test_december_and_january_stamps_are_neighbours() -> None:
    stamps = pd.to_datetime(["2001-12-31", "2003-01-01", "2003-12-31", "2004-12-30", "2005-12-31"])
    da = xr.DataArray(np.arange(5.0), dims="time", coords={"time": stamps})
    assert on_every_year(da, "time")[1].tolist() == [2001, 2002, 2003, 2004, 2005]


def test_years_left_out_are_missing_values(maps: xr.DataArray) -> None:
    gone = maps.where(~maps.time.isin([2005, 2011]))
    left = maps.sel(time=~maps.time.isin([2005, 2011]))
    shuffled = left.isel(time=np.random.default_rng(0).permutation(18))
    for given in (left, shuffled, left.chunk(time=4)):
        found = trend(given)
        assert found.attrs["years_inserted"] == 2
        assert found.attrs["series_length"] == 20
        for name in found:
            np.testing.assert_array_equal(found[name], trend(gone)[name])
    counted = (maps.fillna(0) * 10).astype(int).sel(time=left.time)
    assert trend(counted)["n_valid"].values.max() == 18


def test_axes_that_are_not_annual(maps: xr.DataArray) -> None:
    monthly = maps.assign_coords(time=pd.date_range("2001-01-01", periods=20, freq="MS"))
    with pytest.raises(InputError, match=r"12 steps in 2001.*annual, seasonal or one calendar month first"):
        trend(monthly)
    with pytest.raises(InputError, match="2001-03-01T00:00:00 occurs twice"):
        trend(
            maps.assign_coords(
                time=pd.to_datetime(["2001-03-01"] * 2 + [f"{y}-03-01" for y in range(2003, 2021)])
            )
        )
    with pytest.raises(InputError, match=r"2004\b.* occurs twice"):
        trend(maps.assign_coords(time=[2001, 2002, 2003, 2004, 2004, *range(2006, 2021)]))
    with pytest.raises(InputError, match="different times of the year"):
        trend(maps.assign_coords(time=pd.to_datetime([f"{2001 + k}-{1 + k % 12:02d}-15" for k in range(20)])))
    with pytest.raises(InputError, match=r"2001\.5, which is no whole year"):
        trend(maps.assign_coords(time=2001.5 + np.arange(20)))
    with pytest.raises(InputError, match="smallest step is 5 years"):
        trend(maps.assign_coords(time=1900 + 5 * np.arange(20)))
    with pytest.raises(InputError, match="at most 5000 years"):
        trend(maps.assign_coords(time=[*range(1, 20), 20_000_000]))
    with pytest.raises(InputError, match="missing date"):
        trend(maps.assign_coords(time=[pd.NaT, *pd.date_range("2002", periods=19, freq="YS")]))
    with pytest.raises(InputError, match="expected one named 'year'"):
        trend(maps, dim="year")
    with pytest.raises(InputError, match="no coordinate"):
        trend(maps.drop_vars("time"))
    with pytest.raises(InputError, match="expected dates or whole years"):
        trend(maps.assign_coords(time=list("abcdefghijklmnopqrst")))
    with pytest.raises(InputError, match="expected numbers"):
        trend(maps.astype(str))
    with pytest.raises(InputError, match="is empty"):
        trend(maps.isel(time=slice(0)))


def test_units_that_are_not_stated_are_not_guessed(maps: xr.DataArray) -> None:
    assert "units" not in trend(maps.drop_attrs())["slope"].attrs


def test_members_stay_and_are_summed_up() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(40, 20, 3)) + np.arange(20)[:, None] * np.array([-0.2, 0.0, 0.2])
    coords = {"time": np.arange(2001, 2021)}
    da = xr.DataArray(y, dims=("member", "time", "x"), coords=coords, name="nee", attrs={"units": "g m-2"})
    da[0, :, 1] = np.nan
    slopes = trend(da, "none")["slope"]
    assert slopes.dims == ("member", "x")
    found = member_summary(slopes)
    assert found["probability_negative"].values == pytest.approx(
        [1, found["probability_negative"].values[1], 0]
    )
    assert found["n_members"].values.tolist() == [40, 39, 40]
    np.testing.assert_allclose(found["median"], np.nanmedian(slopes, axis=0))
    np.testing.assert_allclose(found["p05"], np.nanquantile(slopes, 0.05, axis=0))
    np.testing.assert_allclose(found["p95"], np.nanquantile(slopes, 0.95, axis=0))
    assert found["median"].attrs["units"] == "g m-2 year-1"
    lazy = member_summary(slopes.chunk(member=7))
    assert lazy["median"].chunks is not None
    assert lazy.compute().equals(found)
    with pytest.raises(InputError, match="expected one named 'member'"):
        member_summary(slopes.rename(member="draw"))


def test_a_line_goes_through_the_data(maps: xr.DataArray) -> None:
    slope = trend(maps)["slope"]
    drawn = line(maps, slope)
    left = (maps - drawn).stack(cell=("y", "x")).dropna("cell", how="all")
    assert left.sizes["cell"] == 29
    np.testing.assert_allclose(left.median("time"), 0.0, atol=1e-12)
    np.testing.assert_allclose(drawn.diff("time").isel(time=0), slope)
    assert drawn.attrs["units"] == "g m-2 yr-1"
    assert line(maps.chunk(time=5), slope).compute().equals(drawn)
