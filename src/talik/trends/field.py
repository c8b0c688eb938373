"""Significance of a whole map: 5 % of the pixels have p < 0.05 by chance; the false discovery rate sorts them out."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, GridError
from talik.trends.method import Float64

ALPHA, ALPHA_FDR = 0.05, 0.10
_PIECE = 1_000_000
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
    s, q, a = aligned(slope, p, area)
    return shares_of(area_sums(s, q, a, alpha, discovery_threshold(q, alpha_fdr)), alpha, alpha_fdr)


def discovery_threshold(p: npt.NDArray[np.floating], alpha: float = ALPHA_FDR) -> float:
    """The largest p-value that :func:`false_discovery` calls significant, or -1 if it calls none so.

    Needs one sorted copy of p, 8 bytes a value, and no more.
    """
    tests = np.asarray(p, np.float64).reshape(-1)
    tests = tests[~np.isnan(tests)]
    tests.sort()
    for stop in range(tests.size, 0, -_PIECE):
        start = max(0, stop - _PIECE)
        scaled = tests[start:stop] * (tests.size / np.arange(start + 1.0, stop + 1.0))
        holds = np.flatnonzero(scaled <= alpha)
        if len(holds):
            return float(tests[start + holds[-1]])
    return -1.0


def area_sums(slope: Float64, p: Float64, area: Float64, alpha: float, threshold: float) -> Float64:
    """Area of raw increase and decrease, of increase and decrease with p <= threshold, with a trend; number of trends.

    Sums of parts of a map add up to those of the map.
    """
    there = ~np.isnan(p) & ~np.isnan(slope)
    weight = np.where(there, np.nan_to_num(area), 0.0)
    with np.errstate(invalid="ignore"):
        which = [(p < alpha) & (slope > 0), (p < alpha) & (slope < 0)]
        which += [(p <= threshold) & (slope > 0), (p <= threshold) & (slope < 0)]
    return np.array([*(weight[w].sum() for w in which), weight.sum(), there.sum()])


def shares_of(sums: Float64, alpha: float, alpha_fdr: float) -> dict[str, float]:
    """What :func:`significant_shares` returns, from :func:`area_sums`."""
    names = ("increase_raw", "decrease_raw", "increase_fdr", "decrease_fdr")
    total = float(sums[4])
    shares = {
        n: float(s) / total if total > 0.0 else float("nan") for n, s in zip(names, sums[:4], strict=True)
    }
    rest = {
        "raw_expected_by_chance": alpha,
        "alpha_fdr": alpha_fdr,
        "area_tested": total,
        "n_tests": int(sums[5]),
    }
    return {**shares, **rest}


def stars(p: npt.NDArray[np.floating] | float) -> npt.NDArray[np.str_]:
    """Marks of significance: '***' p < 0.001, '**' p < 0.01, '*' p < 0.05, else ''. Any shape."""
    values = np.asarray(p, np.float64)
    with np.errstate(invalid="ignore"):
        return np.select([values < limit for limit, _ in STARS], [mark for _, mark in STARS], "")


def aligned(*arrays: Any) -> tuple[Float64, ...]:
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
