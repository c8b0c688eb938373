"""Calibration line, bias by class and recalibration against statsmodels, scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from talik.errors import InputError
from talik.upscaling.regression_to_mean import (
    HeldOut,
    calibration_line,
    judge_recalibration,
    quantile_bias,
    recalibrate,
)


def held_out(seed: int = 0, sites: int = 30, slope: float = 1.4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    site = np.repeat([f"s{i}" for i in range(sites)], rng.integers(1, 40, sites))
    shared = dict(zip(np.unique(site), rng.normal(0, 8, sites), strict=True))
    predicted = rng.normal(-15, 20, site.size)
    observed = 2 + slope * predicted + np.array([shared[s] for s in site]) + rng.normal(0, 10, site.size)
    return observed, predicted, site


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), sites=st.integers(4, 40), slope=st.floats(0.3, 2.0))
def test_line_agrees_with_statsmodels_clustered_by_site(seed: int, sites: int, slope: float) -> None:
    observed, predicted, site = held_out(seed, sites, slope)
    found = calibration_line(observed, predicted, site)
    codes = pd.factorize(site)[0]
    oracle = sm.OLS(observed, sm.add_constant(predicted)).fit(
        cov_type="cluster",
        cov_kwds={"groups": codes, "use_correction": True, "df_correction": True},
        use_t=True,
    )
    np.testing.assert_allclose([found.intercept, found.slope], oracle.params, rtol=1e-8)
    np.testing.assert_allclose(found.covariance, oracle.cov_params(), rtol=1e-7, atol=1e-12)
    assert found.p_slope == pytest.approx(float(oracle.t_test(([[0, 1]], [1.0])).pvalue), rel=1e-6, abs=1e-14)
    assert (found.rows, found.sites) == (site.size, sites)


def test_shrunk_predictions_have_a_slope_above_one_and_calibrated_ones_are_seldom_accused() -> None:
    """At the 5 % level, calibrated predictions with errors shared within sites are refused in 5 % of draws or so."""
    shrunk = calibration_line(*held_out(slope=1.4))
    assert shrunk.slope > 1.25
    assert shrunk.p_slope < 1e-6
    accused = sum(calibration_line(*held_out(seed, slope=1.0)).p_slope < 0.05 for seed in range(300))
    assert 5 <= accused <= 30
    _, predicted, site = held_out()
    assert calibration_line(predicted, predicted, site).slope == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("by", ["observed", "predicted"])
def test_bias_by_class_agrees_with_loops_and_statsmodels(by) -> None:
    observed, predicted, site = held_out(3)
    table = quantile_bias(observed, predicted, site, by=by, bins=5)
    value = observed if by == "observed" else predicted
    order = np.argsort(value)
    assert table["rows"].sum() == value.size
    assert table["rows"].max() - table["rows"].min() <= 1
    start = 0
    for row in table.itertuples():
        at = order[start : start + row.rows]
        start += row.rows
        assert (row.low, row.high) == (value[at].min(), value[at].max())
        assert row.observed == pytest.approx(observed[at].mean())
        assert row.predicted == pytest.approx(predicted[at].mean())
        assert row.bias == pytest.approx((predicted[at] - observed[at]).mean())
        assert row.sites == len(set(site[at]))
        codes = pd.factorize(site[at])[0]
        oracle = sm.OLS(predicted[at] - observed[at], np.ones(at.size)).fit(
            cov_type="cluster", cov_kwds={"groups": codes, "use_correction": True}
        )
        assert row.bias_error == pytest.approx(oracle.bse[0], rel=1e-9)
    if by == "observed":  # sinks predicted too weak, sources too weak
        assert table["bias"].iloc[0] > 0 > table["bias"].iloc[-1]


def test_ties_stay_together_and_a_lone_site_has_no_error() -> None:
    observed = np.array([0.0] * 6 + [5.0, 6.0])
    table = quantile_bias(observed, observed + 1, ["a"] * 4 + ["b"] * 2 + ["c"] * 2, bins=4)
    assert list(table["rows"]) == [6, 2]
    np.testing.assert_allclose(table["bias"], 1.0)
    assert table["bias_error"].iloc[0] == 0
    assert np.isnan(table["bias_error"].iloc[1])


def test_linear_map_is_least_squares_and_continues_beyond_the_data() -> None:
    observed, predicted, _ = held_out(4)
    line = stats.linregress(predicted, observed)
    at = np.array([-500.0, -15.0, 0.0, 400.0, np.nan])
    np.testing.assert_allclose(
        recalibrate(observed, predicted)(at), line.intercept + line.slope * at, rtol=1e-10, equal_nan=True
    )


def test_monotone_map_is_the_constrained_least_squares_solution() -> None:
    """Against a bounded least-squares solver on the increments, and constant beyond the data."""
    observed, predicted, _ = (v[:25] for v in held_out(5))
    fitted = recalibrate(observed, predicted, kind="monotone")
    order = np.argsort(predicted)
    steps = np.tril(np.ones((25, 25)))
    low = np.r_[-np.inf, np.zeros(24)]
    oracle = optimize.lsq_linear(steps, observed[order], bounds=(low, np.inf), tol=1e-14)
    np.testing.assert_allclose(fitted(predicted[order]), steps @ oracle.x, atol=1e-4)
    np.testing.assert_allclose(fitted([-1e4, 1e4]), (steps @ oracle.x)[[0, -1]], atol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "monotone"])
def test_judged_by_predictions_of_other_folds_only(kind) -> None:
    observed, predicted, site = held_out(6, sites=12)
    found = judge_recalibration({"LOSO": HeldOut(observed, predicted, site)}, kind=kind)
    squares = []
    for name in np.unique(site):
        others, own = site != name, site == name
        if kind == "linear":
            corrected = np.polyval(np.polyfit(predicted[others], observed[others], 1), predicted[own])
        else:
            corrected = recalibrate(observed[others], predicted[others], kind="monotone")(predicted[own])
        squares.extend((corrected - observed[own]) ** 2)
    assert found.after["LOSO"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-9)
    assert found.before["LOSO"] == pytest.approx(np.sqrt(np.mean((predicted - observed) ** 2)), rel=1e-12)
    assert found.adopt


def test_adopted_only_if_every_scheme_gains() -> None:
    """The second scheme has the identity as its least-squares line, so maps fitted to other folds can only do worse."""
    shrunk, (observed, predicted, site) = HeldOut(*held_out(7)), held_out(8)
    line = stats.linregress(predicted, observed)
    observed = predicted + observed - line.intercept - line.slope * predicted
    assert judge_recalibration({"LOSO": shrunk}).adopt
    both = judge_recalibration({"LOSO": shrunk, "kNNDM": HeldOut(observed, predicted, site)})
    assert both.after["LOSO"] < both.before["LOSO"]
    assert both.after["kNNDM"] > both.before["kNNDM"]
    assert not both.adopt


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["linear", "monotone"]))
def test_held_out_error_is_never_below_that_of_the_map_fitted_to_all_rows(seed: int, kind) -> None:
    """By optimality of both fits; equality would mean that a fold had seen itself."""
    observed, predicted, site = held_out(seed, sites=8)
    own = recalibrate(observed, predicted, kind=kind)(predicted)
    found = judge_recalibration({"LOSO": HeldOut(observed, predicted, site)}, kind=kind)
    fitted = np.sqrt(np.mean((own - observed) ** 2))
    assert fitted < found.before["LOSO"]
    assert fitted < found.after["LOSO"]


def test_refusals() -> None:
    observed, predicted, site = held_out()
    with pytest.raises(InputError, match="one length"):
        calibration_line(observed[1:], predicted, site)
    with pytest.raises(InputError, match="missing values"):
        calibration_line(np.full_like(observed, np.nan), predicted, site)
    with pytest.raises(InputError, match="rows in 1 sites or folds"):
        calibration_line(observed, predicted, np.full(site.size, "a"))
    with pytest.raises(InputError, match="every prediction is 1"):
        calibration_line(observed, np.ones_like(observed), site)
    with pytest.raises(InputError, match="bins is 1"):
        quantile_bias(observed, predicted, site, bins=1)
    with pytest.raises(InputError, match="by is 'flux'"):
        quantile_bias(observed, predicted, site, by="flux")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose one of: linear, monotone"):
        recalibrate(observed, predicted, kind="spline")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="every prediction is 0"):
        recalibrate(observed, np.zeros_like(observed))
    with pytest.raises(InputError, match="no scheme given"):
        judge_recalibration({})
