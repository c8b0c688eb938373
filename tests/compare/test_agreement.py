"""Agreement by counting, equal weight of approaches, the common grid is never finer, holes stay holes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.compare import agreement_by_region, coarsest_grid, sign_agreement
from talik.errors import CoverageError, FluxError, GridError, InputError
from talik.regions import land_fraction

_spec = importlib.util.spec_from_file_location("compare_worlds", Path(__file__).with_name("worlds.py"))
worlds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worlds)
annual, halves, COARSE, FINE = worlds.annual, worlds.halves, worlds.COARSE, worlds.FINE


def test_shares_by_hand():
    """Approach A: sink, neutral, source, sink of four models; B: one source. Edges of the band are neutral."""
    a = {"1": annual(-20.0), "2": annual(5.0), "3": annual(5.01), "4": annual(-5.01)}
    found = sign_agreement({"A": a, "B": {"x": annual(8.0)}}, COARSE)
    each = found["approach_share"].isel(lat=0, lon=0)
    np.testing.assert_array_equal(each.sel(approach="A"), [50, 25, 25])
    np.testing.assert_array_equal(each.sel(approach="B"), [0, 0, 100])
    np.testing.assert_array_equal(found["share"].isel(lat=0, lon=0), [25, 12.5, 62.5])
    assert found.attrs["neutral_band"] == "5 g m-2 year-1"
    wide = sign_agreement({"A": a, "B": {"x": annual(8.0)}}, COARSE, band=8.0)
    np.testing.assert_array_equal(wide["share"].isel(lat=0, lon=0), [12.5, 87.5, 0])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_shares_add_to_a_hundred_and_are_a_count(seed):
    rng = np.random.default_rng(seed)
    values = {m: rng.normal(size=(1, *COARSE.shape)) * 8 for m in "abc"}
    for v in values.values():
        v[:, rng.uniform(size=COARSE.shape) < 0.3] = np.nan
    found = sign_agreement(
        {"A": {m: annual(values[m]) for m in "ab"}, "B": {"c": annual(values["c"])}}, COARSE
    )
    j, i = int(rng.integers(COARSE.shape[0])), int(rng.integers(COARSE.shape[1]))
    shares = []
    for models in ("ab", "c"):
        here = [values[m][0, j, i] for m in models if np.isfinite(values[m][0, j, i])]
        if here:
            shares.append(100 * sum(v < -5 for v in here) / len(here))
    cell = found.isel(lat=j, lon=i)
    assert int(cell["n_approaches"]) == len(shares)
    if len(shares) == 2:
        assert float(cell["share"].sel(sign="sink")) == pytest.approx(np.mean(shares))
    else:
        assert cell["share"].isnull().all()
    total = found["share"].sum("sign", min_count=3)
    np.testing.assert_allclose(total.values[total.notnull().values], 100.0)


def test_the_finer_comes_to_the_coarser_by_land_and_never_back():
    """Each coarse cell takes the mean over the land of its four cells; a sliver of land does not outweigh the rest."""
    rng = np.random.default_rng(3)
    fine = rng.normal(size=(1, *FINE.shape)) * 40.0
    land = land_fraction(FINE).values
    fine[:, (land > 0.0) & (land < 0.03)] = 5000.0
    models = {"A": {"f": annual(fine, FINE)}, "B": {"c": annual(10.0)}}
    assert coarsest_grid(models) == COARSE
    found = sign_agreement(models, COARSE)

    def of_blocks(values: np.ndarray) -> np.ndarray:
        return values.reshape(COARSE.shape[0], 2, COARSE.shape[1], 2).sum(axis=(1, 3))

    weight = land * FINE.row_area_m2[:, None]
    whole = of_blocks(weight)
    with np.errstate(invalid="ignore"):
        mean = of_blocks(weight * fine[0]) / whole
    sure = (whole > 0.0) & (np.abs(np.abs(mean) - 5.0) > 0.5)
    sink = found["approach_share"].sel(approach="A", sign="sink").values
    np.testing.assert_array_equal(sink[sure], np.where(mean[sure] < -5.0, 100.0, 0.0))
    assert np.isnan(sink[whole == 0.0]).all()
    with pytest.raises(
        GridError, match=r"B, c: .* is finer than .*\. Compare on the coarser grid, never the finer"
    ):
        sign_agreement(models, FINE)
    fine[:, ::2] = np.nan
    found = sign_agreement({"A": {"f": annual(fine, FINE)}, "B": {"c": annual(10.0)}}, COARSE, min_valid=0.51)
    with np.errstate(invalid="ignore"):
        held = of_blocks(weight * np.isfinite(fine[0])) / whole
    away = np.isfinite(held) & (np.abs(held - 0.51) > 0.01)
    none = found["approach_share"].sel(approach="A", sign="sink").isnull().values
    np.testing.assert_array_equal(none[away], held[away] < 0.51)


def test_years_are_asked_for_and_a_moving_hole_is_a_hole():
    values = np.stack([np.full(COARSE.shape, -10.0), np.full(COARSE.shape, 40.0)])
    values[1, 0, 0] = np.nan
    models = {"A": {"m": annual(values)}, "B": {"x": annual([0.0, 0.0])}}
    found = sign_agreement(models, COARSE)
    assert float(found["share"].sel(sign="source").isel(lat=1, lon=1)) == 50.0  # the mean is +15
    assert found["share"].isel(lat=0, lon=0).isnull().all()
    first = sign_agreement(models, COARSE, years=(2001, 2001))
    assert float(first["share"].sel(sign="sink").isel(lat=0, lon=0)) == 50.0
    assert first.attrs["period"] == "2001-2001"
    with pytest.raises(CoverageError, match=r"A, m: 'nee': expected every year of 2001-2003; 2003 missing"):
        sign_agreement(models, COARSE, years=(2001, 2003))


def test_what_does_not_fit_is_refused():
    one = {"A": {"m": annual(-10.0)}}
    with pytest.raises(CoverageError, match="min_approaches is 2 with 1 approaches"):
        sign_agreement(one, COARSE)
    with pytest.raises(InputError, match="the neutral band must be 0 or more"):
        sign_agreement(one, COARSE, band=-1.0, min_approaches=1)
    with pytest.raises(FluxError, match="'nbp' holds fire"):
        sign_agreement(one, COARSE, variable="nbp", min_approaches=1)
    down = sign_agreement({"A": {"m": annual(30.0, name="nep")}}, COARSE, variable="nep", min_approaches=1)
    assert float(down["share"].sel(sign="sink").min()) == 100.0


def test_regions_by_area():
    """West: sources poleward of 65 N, sinks south of it; the shares are those of the area of zones on an ellipsoid."""
    values = np.full((1, *COARSE.shape), -20.0)
    north = COARSE.y > 65
    values[0, np.ix_(north, COARSE.x < 0)[0], np.ix_(north, COARSE.x < 0)[1]] = 20.0
    values[0, 0, COARSE.x > 0] = np.nan
    models = {"A": {"m": annual(values)}, "B": {"x": annual(values)}}
    table = agreement_by_region(sign_agreement(models, COARSE), halves(COARSE)).set_index("region")
    areas = COARSE.row_area_m2
    share = areas[north].sum() / areas.sum()
    west = table.loc["west"]
    np.testing.assert_allclose(
        west[["sink", "source", "area_sink", "area_source", "coverage"]].to_numpy(float),
        [100 * (1 - share), 100 * share, 1 - share, share, 1.0],
        rtol=1e-9,
    )
    assert abs(west["area_no_majority"]) < 1e-12
    assert table.loc["east", "coverage"] == pytest.approx(areas[1:].sum() / areas.sum())
    assert table.loc["east", "area_sink"] == pytest.approx(1.0)
    larger = halves(COARSE).assign_coords(region_area=("region", [areas.sum() * 36 * 0.5 * 4] * 2))
    told = agreement_by_region(sign_agreement(models, COARSE), larger).set_index("region")
    assert told.loc["west", "coverage"] == pytest.approx(0.25)
