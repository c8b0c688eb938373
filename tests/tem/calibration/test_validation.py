"""Scores of months against observations: against scikit-learn, scipy and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error, r2_score

from talik.tem.calibration.validation import scores, scores_by_site, taylor


@given(st.integers(0, 2**31), st.integers(4, 60))
def test_scores_are_those_of_scikit_learn_and_scipy(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    observed = rng.normal(10.0, 4.0, n)
    modelled = 0.7 * observed + rng.normal(2.0, 2.0, n)
    found = scores(modelled, observed)
    assert found["n"] == n
    assert found["nash_sutcliffe"] == pytest.approx(r2_score(observed, modelled), abs=1e-12)
    assert found["rmse"] == pytest.approx(mean_squared_error(observed, modelled) ** 0.5)
    assert found["r2"] == pytest.approx(pearsonr(observed, modelled).statistic ** 2)
    slope, intercept = np.polyfit(observed, modelled, 1)
    assert (found["slope"], found["intercept"]) == (pytest.approx(slope), pytest.approx(intercept))
    ratio, correlation = taylor(modelled, observed)
    assert ratio == pytest.approx(found["sd_ratio"])
    # law of cosines of the Taylor diagram: centred squared error from its two coordinates
    centred = ((modelled - modelled.mean() - observed + observed.mean()) ** 2).mean() / observed.var()
    assert 1.0 + ratio**2 - 2.0 * ratio * correlation == pytest.approx(centred)


def test_bias_is_model_less_observation_and_few_months_have_no_score() -> None:
    assert scores(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]))["bias"] == 2.0
    assert scores(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == {
        "n": 2,
        **dict.fromkeys(("r2", "slope", "intercept", "rmse", "bias", "nash_sutcliffe", "sd_ratio")),
    }
    still = scores(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    assert (still["r2"], still["nash_sutcliffe"], still["bias"]) == (None, None, 0.0)


def test_rows_by_use_site_and_variable_with_the_share_inside() -> None:
    months = pd.DataFrame(
        {
            "use": ["calibration"] * 4 + ["left_out"] * 3,
            "site_id": ["bog"] * 7,
            "variable": ["nee"] * 7,
            "value": [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0],
            "before": [5.0, 5.0, 6.0, 7.0, 0.0, 0.0, 0.0],
            "after": [0.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0],
            "low": [-1.0, 0.0, 1.0, 4.0, -1.0, 0.0, 1.0],
            "high": [1.0, 2.0, 3.0, 5.0, 1.0, 2.0, 3.0],
        }
    )
    fitted, apart = scores_by_site(months.to_csv(index=False))
    assert (fitted["use"], fitted["site_id"], fitted["inside_interval"]) == ("calibration", "bog", 0.75)
    assert fitted["after"]["nash_sutcliffe"] == 1.0
    assert (apart["after"]["bias"], apart["before"]["r2"], apart["inside_interval"]) == (1.0, None, 1.0)
