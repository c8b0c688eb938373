"""Scores of a result against observations: shares within limits by hand."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import xarray as xr
from tests.fusion.products import half_degree, made_up

from talik.fusion.summary import summarise
from talik.fusion.validation import scores

SD = 1.5
"""Of the observations, g C m-2 d-1: about that of the model."""


@pytest.fixture(scope="module")
def result() -> xr.Dataset:
    """Members of NEE that are normal, and observations that are drawn from the same law with an error on top."""
    ensemble = made_up(*half_degree(1, 2), members=400, years=20)
    rng = np.random.default_rng(5)
    shape = ensemble.fluxes["nee"].shape
    ensemble.fluxes["nee"][:] = 2.0 * rng.standard_normal(shape)
    truth = 2.0 * rng.standard_normal(shape[:2]) + SD * rng.standard_normal(shape[:2])
    first = np.arange(shape[0])[:, None] < 120
    found = summarise(ensemble)
    for name, values in (
        ("observed_nee", np.where(first, truth, np.nan)),
        ("held_out_nee", np.where(first, np.nan, truth)),
        ("sd_nee", np.where(first | (np.arange(shape[1]) == 0), SD, np.nan)),
    ):
        found[name] = (("time", "cell"), values, {"units": "g m-2 d-1"})
    return found


def test_limits_with_the_error_hold_what_limits_of_the_model_do_not(result: xr.Dataset):
    table = scores(result)
    assert table["n"].tolist() == [120] * 4
    narrow = 2 * NormalDist(0, np.hypot(2, SD)).cdf(1.96 * 2) - 1
    assert table["inside_95"].mean() == pytest.approx(narrow, abs=0.05)
    known = table[table["predicted_95"].notna()]
    assert len(known) == 3
    assert known["predicted_95"].mean() == pytest.approx(0.95, abs=0.03)
    assert known["predicted_50"].mean() == pytest.approx(0.5, abs=0.07)


def test_without_an_error_there_is_no_prediction(result: xr.Dataset):
    table = scores(result).set_index(["pixel", "use"])
    assert np.isnan(table.loc[("p1", "left_out"), "predicted_50"])
    assert np.isfinite(table.loc[("p1", "assimilated"), "predicted_50"])
