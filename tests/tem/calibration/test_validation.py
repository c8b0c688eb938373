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
    assert (apart["after"]["mean_bias"], apart["before"]["r2"], apart["inside_interval"]) == (1.0, None, 1.0)
