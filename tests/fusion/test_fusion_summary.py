"""Summaries of ensembles: quantiles of members, units and signs, and pixels that may not be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.fusion.products import half_degree, made_up

from talik.compare.opening import open_source
from talik.errors import InputError
from talik.flux import open_flux, validate, write_netcdf
from talik.fusion.ensemble import Ensemble
from talik.fusion.summary import (
    CURRENCY,
    FAILED,
    MAP_QUALITY,
    UNCONVERGED,
    flux_dataset,
    join_summaries,
    summarise,
    unknown_in,
)
from talik.regions import grid_of

DAY = 86_400.0


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return made_up(*half_degree(3, 4), members=41, failed=(5,), unconverged=(6,), map_only=(7,))


@pytest.fixture(scope="module")
def summary(ensemble: Ensemble) -> xr.Dataset:
    return summarise(ensemble)


def test_quantiles_are_order_statistics_of_members(ensemble: Ensemble, summary: xr.Dataset):
    """With 41 members the quantile 0.25 is the 11th smallest, the median the 21st."""
    ordered = np.sort(ensemble.fluxes["rh"][7, 2])
    found = summary["rh"].isel(time=7, cell=2).sel(quantile=[0.25, 0.5, 0.95]).values
    np.testing.assert_allclose(found * 1000 * DAY, ordered[[10, 20, 38]], rtol=1e-6)


def test_uptake_is_positive_in_nbp_and_its_quantiles_ascend(ensemble: Ensemble, summary: xr.Dataset):
    ordered = np.sort(-ensemble.fluxes["nbe"][6, 3])
    found = summary["nbp"].isel(time=6, cell=3).values
    np.testing.assert_allclose(found[[2, 3]] * 1000 * DAY, ordered[[10, 20]], rtol=1e-5)
    assert summary["nbp"].attrs["positive"] == "down"
    assert (np.diff(summary["nbp"].dropna("cell"), axis=0) >= 0).all()


def test_ratios_are_taken_of_members_and_then_summarised(ensemble: Ensemble, summary: xr.Dataset):
    assert float(summary["cue"].sel(quantile=0.5)[0]) == pytest.approx(np.median(ensemble.cue[0]))
    of_medians = np.median(ensemble.fluxes["npp"].sum(axis=0)[0]) / np.median(
        ensemble.fluxes["gpp"].sum(axis=0)[0]
    )
    assert abs(of_medians - np.median(ensemble.cue[0])) > 1e-4
    assert summary["mrt"].attrs["units"] == "year"


def test_annual_means_weigh_months_by_their_days(ensemble: Ensemble, summary: xr.Dataset):
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    of_year = (ensemble.fluxes["nee"][12:, 4, 9] * days).sum()
    found = float(summary["nee_annual"].sel(year=2002).isel(cell=4, member=9))
    assert found * 1000 * DAY * 365 == pytest.approx(of_year, rel=1e-9)


def test_only_whole_years_have_an_annual_mean(ensemble: Ensemble):
    part = replace(
        ensemble,
        years=ensemble.years[3:],
        months=ensemble.months[3:],
        pools=ensemble.pools[3:],
        fluxes={k: v[3:] for k, v in ensemble.fluxes.items()},
    )
    assert summarise(part)["year"].values.tolist() == [2002]


def test_pools_stand_at_the_end_of_the_month(ensemble: Ensemble, summary: xr.Dataset):
    expected = 1e-3 * np.median(ensemble.pools[5, 3, 1])
    assert float(summary["cWood"].sel(quantile=0.5).isel(time=4, cell=1)) == pytest.approx(expected, rel=1e-6)
    living = 1e-3 * np.median(ensemble.pools[5, :4, 1].sum(axis=0))
    assert float(summary["cVeg"].sel(quantile=0.5).isel(time=4, cell=1)) == pytest.approx(living, rel=1e-6)
    assert str(summary["time"].values[4])[:10] == "2001-05-01"


def test_pixels_without_convergence_are_told_and_left_out(summary: xr.Dataset):
    assert summary["quality"].values[[5, 6, 7]].tolist() == [FAILED, UNCONVERGED, MAP_QUALITY]
    assert str(summary["reason"].values[6]) == "R-hat of pixel 6"
    plain, flagged = flux_dataset(summary), flux_dataset(summary, fill="flagged")
    at = {"lat": 62.75, "lon": 110.25 + 0.5 * 2}
    assert plain["nee"].sel(at).isnull().all()
    assert float(plain["coverage"].sel(at)) == 0
    assert flagged["nee"].sel(at).notnull().all()
    assert float(flagged["quality"].sel(at)) == UNCONVERGED
    failed = {"lat": 62.75, "lon": 110.75}
    assert flagged["nee"].sel(failed).isnull().all()
    assert flagged["nee"].sel(lat=62.75, lon=111.75).notnull().all()
    assert plain.attrs["pixels"] == "9 converged, 1 map_quality, 1 unconverged, 1 failed"


def test_what_is_handed_on_is_a_flux_dataset_that_others_take(summary: xr.Dataset, tmp_path: Path):
    path = write_netcdf(flux_dataset(summary, fill="flagged"), tmp_path / "fusion.nc")
    ds = open_flux(path)
    validate(ds)
    assert ds.attrs["approach"] == "fusion"
    assert grid_of(ds).shape == (3, 4)
    median = open_source(path, "nee", None)
    assert median["nee"].dims == ("time", "lat", "lon")
    np.testing.assert_allclose(
        median["nee"].sel(lat=62.25, lon=110.25), summary["nee"].sel(quantile=0.5).isel(cell=0), rtol=1e-6
    )


def test_unknown_fire_is_absent_and_not_zero(ensemble: Ensemble):
    found = summarise(ensemble, unknown=("burned",))
    assert not {"fFire", "nbp", "fFire_annual", "nbp_annual"} & set(found.data_vars)
    ds = flux_dataset(found)
    assert set(ds.data_vars) >= {"nee", "gpp"}
    assert not {"fFire", "nbp"} & set(ds.data_vars)
    assert ds.attrs["unknown_disturbance"] == "burned"
    validate(ds)
    only_loss = flux_dataset(summarise(ensemble, unknown=("loss",)))
    assert {"fFire", "nbp"} <= set(only_loss.data_vars)
    assert unknown_in(only_loss) == ("loss",)
    assert unknown_in(flux_dataset(summarise(ensemble))) == ()


def test_sites_that_lie_on_no_grid_stay_a_list():
    ds = flux_dataset(
        summarise(made_up(np.array([68.6, 63.9, 70.8]), np.array([-149.3, 20.1, 147.5]), years=1))
    )
    assert ds["gpp"].dims == ("quantile", "time", "cell")
    validate(ds)


def test_the_sum_of_members_holds_in_the_currency(summary: xr.Dataset):
    members = {name: summary[f"{name}_annual"].dropna("cell") for name in CURRENCY}
    np.testing.assert_allclose(members["nbp"], -(members["nee"] + members["fFire"]), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(members["nee"], members["rh"] - members["npp"], rtol=1e-9, atol=1e-15)


def test_blocks_of_summaries_join():
    lat, lon = half_degree(3, 3)
    parts = [summarise(made_up(lat[a], lon[a], years=1)) for a in (slice(0, 4), slice(4, 9))]
    whole = join_summaries(parts)
    assert whole.sizes["cell"] == 9
    assert whole["pixel"].values.tolist() == ["p0", "p1", "p2", "p3", "p0", "p1", "p2", "p3", "p4"]
    assert whole["time_bnds"].dims == ("time", "bnds")
    assert flux_dataset(whole)["gpp"].dims == ("quantile", "time", "lat", "lon")
    with pytest.raises(InputError, match="do not fit together"):
        join_summaries([parts[0], summarise(made_up(lat[4:], lon[4:], years=2))])


def test_pixels_that_may_not_be_used_are_handed_on_empty():
    found = summarise(made_up(*half_degree(1, 3), years=1, unconverged=(0, 1), failed=(2,)))
    empty = flux_dataset(found)
    assert empty["gpp"].isnull().all()
    assert float(empty["coverage"].sum()) == 0.0
    assert "flag_values" not in empty["coverage"].attrs
    assert sorted(empty["quality"].values.ravel().tolist()) == [2.0, 2.0, 3.0]
    assert empty.attrs["pixels"].endswith("2 unconverged, 1 failed")
    with pytest.raises(InputError, match="expected 'none' or 'flagged'"):
        flux_dataset(found, fill="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ascending within"):
        summarise(made_up(*half_degree(1, 3), years=1), quantiles=(0.5, 0.1))
