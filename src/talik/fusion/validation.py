"""A result against observations, those it was given and those that were kept from it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import InputError
from talik.flux.table import FLUXES
from talik.flux.units import as_units
from talik.fusion.quantities import STREAMS

MODELLED: Mapping[str, str] = {"lai": "lai", "nee": "nee", "gpp": "gpp", "nbe": "nbp"}
"""The variable of a result that is what a stream observes."""
USES: Mapping[str, str] = {"observed": "assimilated", "held_out": "left_out"}
"""Prefix of a variable with observations, and what was done with them."""
_LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
_NAMES = tuple(f"q{100 * level:g}" for level in _LEVELS)


def months_of(result: xr.Dataset, pixel: str) -> pd.DataFrame:
    """Monthly course of a pixel with limits and observations, as `talik.fusion.figures.pixel_series` takes it.

    Columns variable, time, q2.5, q25, q50, q75, q97.5, units, observed, sd, use; in the units of the observations
    (g m-2 d-1 for fluxes; nbe to the atmosphere). Only streams that were observed. Limits are of the model, without the
    error of an observation. InputError: no such pixel.
    """
    where = np.flatnonzero(result["pixel"].values.astype(str) == pixel)
    if not where.size:
        raise InputError(f"fusion: no pixel {pixel!r} in the result; it holds {result.sizes['cell']} others.")
    ours = result.isel(cell=int(where[0]))
    parts = [_of_stream(ours, name) for name in MODELLED if f"observed_{name}" in ours]
    columns = ["variable", "time", *_NAMES, "units", "observed", "sd", "use"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def scores(result: xr.Dataset) -> pd.DataFrame:
    """How each stream of each pixel is met, apart for values that were assimilated and left out.

    Columns pixel, stream, use, n, bias (median less observation), rmse, r2 (squared correlation; NaN below 3 values),
    inside_50, inside_95 (share within the limits of the model, which leave out the error of the observation),
    predicted_50, predicted_95 (share within limits widened by that error: half-widths of model and normal error in
    squares, on either side of the median; of values with an error, NaN without any), units. A pixel that failed has no
    rows.
    """
    rows = []
    for pixel in result["pixel"].values.astype(str):
        months = months_of(result, pixel)
        seen = months[months["observed"].notna() & months["q50"].notna()]
        for (stream, use), of in seen.groupby(["variable", "use"], sort=False):
            error = of["q50"] - of["observed"]
            enough = len(of) > 2 and of["observed"].std() > 0 and of["q50"].std() > 0
            rows.append(
                {
                    "pixel": pixel,
                    "stream": stream,
                    "use": use,
                    "n": len(of),
                    "bias": error.mean(),
                    "rmse": float(np.sqrt((error**2).mean())),
                    "r2": of["q50"].corr(of["observed"]) ** 2 if enough else np.nan,
                    "inside_50": of["observed"].between(of["q25"], of["q75"]).mean(),
                    "inside_95": of["observed"].between(of["q2.5"], of["q97.5"]).mean(),
                    "predicted_50": _predicted(of, "q25", "q75"),
                    "predicted_95": _predicted(of, "q2.5", "q97.5"),
                    "units": of["units"].iloc[0],
                }
            )
    columns = ["pixel", "stream", "use", "n", "bias", "rmse", "r2", "inside_50", "inside_95"]
    columns += ["predicted_50", "predicted_95", "units"]
    return pd.DataFrame(rows, columns=columns)


def _predicted(of: pd.DataFrame, low: str, high: str) -> float:
    """Share of observations within two quantiles of model and observation error together."""
    known = of[of["sd"].notna()]
    if known.empty:
        return float("nan")
    far = NormalDist().inv_cdf(float(high.removeprefix("q")) / 100) * known["sd"]
    below, above = (np.hypot(known[end] - known["q50"], far) for end in (low, high))
    misfit = known["observed"] - known["q50"]
    return float(((misfit >= -below) & (misfit <= above)).mean())


def _of_stream(ours: xr.Dataset, stream: str) -> pd.DataFrame:
    of = STREAMS[stream]
    name = MODELLED[stream]
    modelled = as_units(ours[name], of.units).sel(quantile=list(_LEVELS), method="nearest").values
    if of.positive is not None and FLUXES[name].positive != of.positive:
        modelled = -modelled[::-1]
    table = pd.DataFrame(dict(zip(_NAMES, modelled, strict=True)))
    table.insert(0, "time", pd.DatetimeIndex(ours["time"].values))
    table.insert(0, "variable", stream)
    table["units"] = of.units
    table["sd"] = as_units(ours[f"sd_{stream}"], of.units).values if f"sd_{stream}" in ours else np.nan
    table["observed"], table["use"] = np.nan, ""
    for prefix, use in USES.items():
        values = as_units(ours[f"{prefix}_{stream}"], of.units).values
        seen = np.isfinite(values)
        table.loc[seen, "observed"] = values[seen]
        table.loc[seen, "use"] = use
    return table
