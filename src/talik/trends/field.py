"""Significance of a whole map: 5 % of the pixels have p < 0.05 by chance; the false discovery rate sorts them out."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, GridError
from talik.trends.method import Float64

ALPHA, ALPHA_FDR = 0.05, 0.10
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@overload
def false_discovery(p: xr.DataArray, alpha: float = ...) -> xr.Dataset: ...
@overload
def false_discovery(
    p: npt.NDArray[np.floating], alpha: float = ...
) -> tuple[npt.NDArray[np.bool_], Float64]: ...
def false_discovery(
    p: xr.DataArray | npt.NDArray[np.floating], alpha: float = ALPHA_FDR
) -> xr.Dataset | tuple[npt.NDArray[np.bool_], Float64]:
    """Which tests hold when at most a share `alpha` of those called significant may be false.

    p : p-values of any shape; NaN is no test. Of m tests the k smallest are called significant, k the largest with
    p_(k) <= alpha k/m; adjusted p_(i) = min over j >= i of m p_(j)/j, at most 1. Valid for independent and positively
    dependent tests; neighbouring pixels are the latter (Wilks 2016 advises alpha_FDR twice the wanted global alpha).

    Returns ``significant`` (NaN: False) and ``p_adjusted``: two arrays, or a Dataset for a DataArray. All of p is
    needed at once, so dask data are computed. ConfigError: alpha not in 0..1, or p outside 0..1.
    Source: Benjamini and Hochberg (1995).
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"alpha is {alpha}; expected a share between 0 and 1, such as 0.10.")
    values = np.asarray(p, np.float64)
    flat = values.reshape(-1)
    there = np.flatnonzero(~np.isnan(flat))
    tests = flat[there]
    if tests.size and not (tests.min() >= 0.0 and tests.max() <= 1.0):
        raise ConfigError(
            f"p-values run from {tests.min():g} to {tests.max():g}; expected 0..1. Is this the p of a trend?"
        )
    adjusted: Float64 = np.full(flat.shape, np.nan)
    order = np.argsort(tests, kind="stable")
    scaled = tests[order] * (tests.size / np.arange(1.0, tests.size + 1))
    adjusted[there[order]] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    adjusted = np.reshape(adjusted, values.shape)
    with np.errstate(invalid="ignore"):
        significant = adjusted <= alpha
    if not isinstance(p, xr.DataArray):
        return significant, adjusted
    told = {"long_name": f"false discovery rate at most {alpha:g} (Benjamini-Hochberg)", "units": "1"}
    return xr.Dataset(
        {
            "significant": p.copy(data=significant).drop_attrs(deep=False).assign_attrs(told),
            "p_adjusted": p.copy(data=adjusted)
            .drop_attrs(deep=False)
            .assign_attrs(long_name="p-value adjusted for the false discovery rate", units="1"),
        }
    )


def significant_shares(
    slope: xr.DataArray | npt.NDArray[np.floating],
    p: xr.DataArray | npt.NDArray[np.floating],
    area: xr.DataArray | npt.NDArray[np.floating] | float = 1.0,
    alpha: float = ALPHA,
    alpha_fdr: float = ALPHA_FDR,
) -> dict[str, float]:
    """Shares of area with a significant increase and decrease, by raw p < alpha and by false discovery rate.

    slope, p : of the same shape; NaN is no trend. area : weights of that shape, or broadcast to it; cells alike by
    default. The area weighs the shares alone, not the tests. Shares are of the area that has a trend
    (``area_tested``, in units of area); NaN if that is zero. Also ``raw_expected_by_chance`` = alpha and ``n_tests``.
    """
    s, q, a = _aligned(slope, p, area)
    holds, _ = false_discovery(q, alpha_fdr)
    there = ~np.isnan(q) & ~np.isnan(s)
    weight = np.where(there, np.nan_to_num(a), 0.0)
    total = float(weight.sum())

    def share(which: npt.NDArray[np.bool_]) -> float:
        return float(weight[which].sum()) / total if total > 0.0 else float("nan")

    with np.errstate(invalid="ignore"):
        raw = q < alpha
        return {
            "increase_raw": share(raw & (s > 0)),
            "decrease_raw": share(raw & (s < 0)),
            "increase_fdr": share(holds & (s > 0)),
            "decrease_fdr": share(holds & (s < 0)),
            "raw_expected_by_chance": alpha,
            "alpha_fdr": alpha_fdr,
            "area_tested": total,
            "n_tests": int(there.sum()),
        }


def stars(p: npt.NDArray[np.floating] | float) -> npt.NDArray[np.str_]:
    """Marks of significance: '***' p < 0.001, '**' p < 0.01, '*' p < 0.05, else ''. Any shape."""
    values = np.asarray(p, np.float64)
    with np.errstate(invalid="ignore"):
        return np.select([values < limit for limit, _ in STARS], [mark for _, mark in STARS], "")


def _aligned(*arrays: Any) -> tuple[Float64, ...]:
    """The arrays on the dimensions of the first, by name where they have names."""
    first = arrays[0]
    if not isinstance(first, xr.DataArray):
        shape = np.asarray(first).shape
        try:
            return tuple(np.broadcast_to(np.asarray(a, np.float64), shape) for a in arrays)
        except ValueError as err:
            raise GridError(f"slope has shape {shape}, but p or area do not fit it ({err}).") from err
    labelled = [a if isinstance(a, xr.DataArray) else xr.DataArray(np.asarray(a)) for a in arrays]
    try:
        spread = xr.broadcast(*xr.align(*labelled, join="exact"))
    except ValueError as err:
        raise GridError(f"slope, p and area do not stand on the same coordinates ({err}).") from err
    extra = [d for d in spread[0].dims if d not in first.dims]
    if extra:
        raise GridError(f"p or area have dimensions that slope has not: {', '.join(map(str, extra))}.")
    return tuple(np.asarray(a.transpose(*first.dims).values, np.float64) for a in spread)
