r"""Scores of a model against observations in 0..1, as the International Land Model Benchmarking system defines them.

Collier et al. 2018 (J. Adv. Model. Earth Syst. 10, 2731-2754), section 3, for one place with observations :math:`o`
and model :math:`m` at the same times, means :math:`\bar o`, :math:`\bar m` and
:math:`c = \sqrt{\overline{(o - \bar o)^2}}`:

- bias score :math:`e^{-|\bar m - \bar o| / c}`
- RMSE score :math:`e^{-r / c}` with the centred :math:`r = \sqrt{\overline{((m - \bar m) - (o - \bar o))^2}}`
- seasonal phase score :math:`(1 + \cos(2\pi\theta/12)) / 2`, with :math:`\theta` months between the extremes
- interannual score :math:`e^{-|v_m - v_o| / v_o}`, with :math:`v` the root mean square departure from the mean cycle
- over places, spatial score :math:`2(1 + R) / (\sigma + 1/\sigma)^2`, with correlation :math:`R` and :math:`\sigma` the
  ratio of the standard deviations of model and observation

Kernels on plain arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from talik.errors import InputError

Array = NDArray[np.float64]
MONTHS = 12

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"bias": 1.0, "rmse": 2.0, "phase": 1.0, "iav": 1.0, "spatial": 1.0}
)
"""Weights of the overall score, as Collier et al. (2018) set them."""


@dataclass(frozen=True, slots=True)
class Taylor:
    """Standard deviation of the model over that observed, correlation, and centred error over the same deviation.

    `error` squared is 1 + `sd_ratio` squared - 2 `sd_ratio` `r` (Taylor 2001, J. Geophys. Res. 106, 7183).
    """

    sd_ratio: float
    r: float
    error: float
    n: int


def taylor(observed: Array, modelled: Array) -> Taylor:
    """Taylor statistics of two arrays (n,); pairs with NaN are left out; NaN with fewer than 3 pairs or no spread."""
    keep = np.isfinite(observed) & np.isfinite(modelled)
    o, m = observed[keep], modelled[keep]
    spread = float(o.std()) if o.size else 0.0
    if o.size < 3 or spread == 0.0:
        return Taylor(math.nan, math.nan, math.nan, int(o.size))
    o, m = o - o.mean(), m - m.mean()
    ratio = float(m.std()) / spread
    r = float((o * m).mean() / (spread * m.std())) if ratio > 0.0 else math.nan
    return Taylor(ratio, r, float(np.sqrt(((m - o) ** 2).mean())) / spread, int(o.size))


def bias_score(observed: Array, modelled: Array) -> float:
    """exp(-abs(bias) / c), c the standard deviation of the observations in time; (n,) without NaN."""
    return _decay(abs(float(modelled.mean() - observed.mean())), float(observed.std()))


def rmse_score(observed: Array, modelled: Array) -> float:
    """exp(-centred RMSE / c); (n,) without NaN."""
    apart = (modelled - modelled.mean()) - (observed - observed.mean())
    return _decay(float(np.sqrt((apart**2).mean())), float(observed.std()))


def mean_cycle(values: Array, month: NDArray[np.int64]) -> Array:
    """(12,) means of each calendar month 1..12; NaN for a month without values."""
    count = np.bincount(month - 1, minlength=MONTHS).astype(np.float64)
    total = np.bincount(month - 1, weights=values, minlength=MONTHS)
    out: Array = np.divide(total, count, out=np.full(MONTHS, np.nan), where=count > 0)
    return out


def phase_shift(observed: Array, modelled: Array, *, peak: str = "max") -> int:
    """Months from the extreme of the observed cycle to that of the model, -5..6, later is positive; both (12,).

    peak : ``"max"`` or ``"min"``: for NEE the minimum is the peak of uptake. Ties go to the earlier month.
    """
    if peak not in ("max", "min"):
        raise InputError(f"phase_shift: expected peak 'max' or 'min'; found {peak!r}.")
    find = np.argmax if peak == "max" else np.argmin
    apart = (int(find(modelled)) - int(find(observed))) % MONTHS
    return apart - MONTHS if apart > MONTHS // 2 else apart


def phase_score(shift_months: float) -> float:
    """(1 + cos(2 pi shift / 12)) / 2."""
    return 0.5 * (1.0 + math.cos(2.0 * math.pi * shift_months / MONTHS))


def departure(values: Array, month: NDArray[np.int64]) -> float:
    """Root mean square departure of months (n,) from their mean cycle: the interannual variability."""
    return float(np.sqrt(((values - mean_cycle(values, month)[month - 1]) ** 2).mean()))


def iav_score(observed: float, modelled: float) -> float:
    """exp(-abs(v_model - v_observed) / v_observed) of two `departure` values."""
    return _decay(abs(modelled - observed), observed)


def spatial_score(sd_ratio: Array | float, r: Array | float) -> Array:
    """2 (1 + R) / (sigma + 1 / sigma)^2, elementwise; 0 where the model has no spread."""
    sigma, correlation = np.asarray(sd_ratio, np.float64), np.asarray(r, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Array = 2.0 * (1.0 + correlation) / (sigma + 1.0 / sigma) ** 2
    return np.where(sigma == 0.0, 0.0, out)


def overall(parts: Mapping[str, Array], weights: Mapping[str, float] = WEIGHTS) -> Array:
    """Weighted mean of scores by name, elementwise; a score that is NaN is left out with its weight.

    InputError: a weight of a score that there is not, negative, or all zero.
    """
    unknown = sorted(set(weights) - set(WEIGHTS))
    values = [weights.get(name, 0.0) for name in parts]
    if unknown or any(not w >= 0.0 for w in values) or not sum(values) > 0.0:
        raise InputError(
            f"overall score: expected weights of {', '.join(WEIGHTS)}, 0 or more and one above 0; found "
            f"{dict(weights)}."
        )
    stack = np.stack([np.asarray(p, np.float64) for p in parts.values()])
    share = np.where(np.isfinite(stack), np.asarray(values).reshape(-1, *[1] * (stack.ndim - 1)), 0.0)
    held = share.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Array = (np.nan_to_num(stack) * share).sum(axis=0) / held
    return out


def _decay(error: float, scale: float) -> float:
    return math.exp(-error / scale) if scale > 0.0 else math.nan
