"""Field significance, classes of drivers, bins, greening."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from talik.errors import ConfigError, GridError
from talik.trends.field import discovery_threshold, false_discovery, significant_shares, stars
from talik.trends.overlay import CLASSES, MEAN_BINS, class_shares, greening_overlap, map_bins, overlay_classes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.01, 1.0])), min_size=1, max_size=60))
def test_false_discovery_equals_scipy(p: list[float]) -> None:
    given_p = np.asarray(p)
    significant, adjusted = false_discovery(given_p, 0.1)
    np.testing.assert_allclose(adjusted, stats.false_discovery_control(given_p), rtol=1e-13)
    np.testing.assert_array_equal(significant, adjusted <= 0.1)
    np.testing.assert_array_equal(significant, given_p <= discovery_threshold(given_p, 0.1))


def test_false_discovery_of_a_map_with_holes() -> None:
    p = np.array([[0.001, np.nan, 0.04], [0.02, 0.8, np.nan]])
    significant, adjusted = false_discovery(p)
    there = ~np.isnan(p)
    np.testing.assert_allclose(adjusted[there], stats.false_discovery_control(p[there]))
    assert np.isnan(adjusted[~there]).all()
    assert significant.tolist() == [[True, False, True], [True, False, False]]
    da = xr.DataArray(p, dims=("y", "x"), coords={"x": [1, 2, 3]}, name="p", attrs={"units": "1"})
    found = false_discovery(da.chunk())
    np.testing.assert_array_equal(found["significant"], significant)
    assert found["significant"].dtype == bool
    assert "x" in found.coords
    empty, _ = false_discovery(np.full(3, np.nan))
    assert not empty.any()
    with pytest.raises(ConfigError, match=r"run from -1 to 0\.5"):
        false_discovery(np.array([-1, 0.5]))
    with pytest.raises(ConfigError, match="alpha is 10"):
        false_discovery(p, 10)


def test_pure_noise_is_seldom_significant_as_a_field() -> None:
    rng = np.random.default_rng(0)
    hits = [false_discovery(rng.random(500), 0.1)[0].any() for _ in range(300)]
    assert np.mean(hits) < 0.15  # 0.1 expected, while raw p < 0.05 finds 5 % of the cells each time


def test_shares_are_weighted_by_area() -> None:
    slope = xr.DataArray([1.0, -1.0, 2.0, np.nan, 3.0], dims="x", coords={"x": range(5)})
    p = xr.DataArray([0.001, 0.001, 0.5, np.nan, 0.04], dims="x", coords={"x": range(5)})
    area = xr.DataArray([1.0, 2.0, 3.0, 50.0, 4.0], dims="x", coords={"x": range(5)})
    found = significant_shares(slope, p, area)
    assert (found["increase_raw"], found["decrease_raw"]) == (0.5, 0.2)
    assert (found["increase_fdr"], found["decrease_fdr"]) == (0.5, 0.2)
    assert (found["area_tested"], found["n_tests"]) == (10.0, 4)
    assert significant_shares(slope.values, p.values)["increase_raw"] == 0.5
    strict = significant_shares(slope, p, area, alpha_fdr=0.01)
    assert (strict["increase_fdr"], strict["decrease_fdr"]) == (0.1, 0.2)
    assert np.isnan(significant_shares(slope * np.nan, p)["increase_raw"])
    with pytest.raises(GridError, match="same coordinates"):
        significant_shares(slope, p.assign_coords(x=range(1, 6)))
    with pytest.raises(GridError, match="has shape"):
        significant_shares(slope.values, p.values[:2])


def test_stars_and_bins() -> None:
    assert stars(np.array([0.05, 0.049, 0.01, 0.009, 0.0009, np.nan])).tolist() == [
        "",
        "*",
        "*",
        "**",
        "***",
        "",
    ]
    assert map_bins(np.array([-3, -2, -0.5, 0, 2, 9, np.nan])).tolist() == [0, 1, 2, 3, 5, 5, -1]
    assert map_bins(np.array([-51.0, 10, 50]), MEAN_BINS).tolist() == [0, 3, 5]


def test_every_combination_of_signs_has_its_class() -> None:
    signs = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
    nee, gpp, reco = (xr.DataArray(s, dims="case") for s in signs.T)
    classes = overlay_classes(nee, gpp, reco)
    told = {tuple(int(v) for v in s): CLASSES[c] for s, c in zip(signs, classes.values, strict=True)}
    for g, r in itertools.product((-1, 0, 1), repeat=2):
        if g > 0:
            sink = "sink_up_gpp_driven" if r > 0 else "sink_up_gpp_up_and_reco_down"
            source = "source_up_reco_driven" if r > 0 else "inconsistent"
        else:
            sink = "inconsistent" if r > 0 else "sink_up_reco_driven"
            source = "source_up_reco_up_and_gpp_down" if r > 0 else "source_up_gpp_driven"
        assert told[-1, g, r] == sink
        assert told[1, g, r] == source
        assert told[0, g, r] == "inconsistent"
    assert classes.attrs["flag_meanings"].split() == list(CLASSES)
    assert classes.attrs["flag_values"].tolist() == list(range(8))
    assert classes.dtype == np.int8
    lazy = overlay_classes(nee.chunk(), gpp.chunk(), reco.chunk())
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, classes)


def test_class_shares_leave_out_what_has_no_trend() -> None:
    nee = xr.DataArray([-1.0, -1.0, 1.0, np.nan], dims="x")
    gpp = xr.DataArray([1.0, 1.0, -1.0, 1.0], dims="x")
    reco = xr.DataArray([1.0, -1.0, 1.0, 1.0], dims="x")
    classes = overlay_classes(nee, gpp, reco)
    shares = class_shares(classes, xr.DataArray([1.0, 1.0, 2.0, 9.0], dims="x"))
    assert sum(shares.values()) == 1.0
    assert shares["source_up_reco_up_and_gpp_down"] == 0.5
    assert "no_trend" not in shares
    with pytest.raises(GridError, match="same coordinates"):
        overlay_classes(nee, gpp.isel(x=slice(2)), reco)


def test_greening_overlap() -> None:
    def at(*v: float) -> xr.DataArray:
        return xr.DataArray(np.array(v), dims="x")

    ndvi, ndvi_p = at(1, 1, 1, -1, np.nan), at(0.01, 0.01, 0.2, 0.01, np.nan)
    found = greening_overlap(
        ndvi, ndvi_p, at(-1, 1, -1, -1, -1), at(0.01, 0.01, 0.01, 0.01, 0.01), at(-1, -1, -1, -1, -1),
        at(0.01, 0.04, 0.01, 0.01, 0.01), at(1, 3, 2, 2, 7),
    )  # fmt: skip
    assert found == {"greening": 0.5, "annual_uptake": 0.25, "summer_uptake": 1.0}
    none = greening_overlap(-ndvi, ndvi_p * 0 + 1, ndvi, ndvi_p, ndvi, ndvi_p)
    assert none["greening"] == 0.0
    assert np.isnan(none["annual_uptake"])
