"""Scores of months against observations, by site and variable, for years that were fitted and years that were not."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import linregress

Array = npt.NDArray[np.float64]

FEWEST = 3
"""Months below which nothing is scored."""
RUNS = ("before", "after")


def scores(modelled: Array, observed: Array) -> dict[str, float | int | None]:
    """n, squared Pearson correlation, slope and intercept of model on observation, RMSE, bias (model less observation),
    Nash-Sutcliffe efficiency, and the ratio of standard deviations; None where it has no value."""
    n = int(observed.size)
    names = ("r2", "slope", "intercept", "rmse", "bias", "nash_sutcliffe", "sd_ratio")
    if n < FEWEST:
        return {"n": n, **dict.fromkeys(names)}
    error = modelled - observed
    spread = float(((observed - observed.mean()) ** 2).sum())
    varies = spread > 0.0 and float(modelled.std()) > 0.0
    line = linregress(observed, modelled) if varies else None
    found = (
        None if line is None else float(line.rvalue) ** 2,
        None if line is None else float(line.slope),
        None if line is None else float(line.intercept),
        float(np.sqrt((error**2).mean())),
        float(error.mean()),
        1.0 - float((error**2).sum()) / spread if spread > 0.0 else None,
        float(modelled.std() / observed.std()) if spread > 0.0 else None,
    )
    return {"n": n, **dict(zip(names, found, strict=True))}


def scores_by_site(months: str) -> list[dict[str, Any]]:
    """A row for each use, site and variable of a table of months (CSV text), with the scores before and after, and the
    share of observations inside the interval if there is one."""
    table = pd.read_csv(io.StringIO(months))
    out = []
    for (use, site, variable), rows in table.groupby(["use", "site_id", "variable"], sort=False):
        observed = rows["value"].to_numpy(dtype=np.float64)
        row: dict[str, Any] = {"use": use, "site_id": site, "variable": variable}
        for run in RUNS:
            row[run] = scores(rows[run].to_numpy(dtype=np.float64), observed)
        if "low" in rows and not rows["low"].isna().any():
            inside = (rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])
            row["inside_interval"] = float(inside.mean())
        out.append(row)
    return out


def taylor(modelled: Array, observed: Array) -> tuple[float, float]:
    """Ratio of standard deviations and correlation, the coordinates of a Taylor diagram (Taylor 2001); NaN without
    spread."""
    if observed.std() == 0.0 or modelled.std() == 0.0:
        return math.nan, math.nan
    return float(modelled.std() / observed.std()), float(np.corrcoef(modelled, observed)[0, 1])
