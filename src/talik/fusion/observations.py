"""What is known of the pixels of a block: observations and priors of pools as dense arrays, ready for a likelihood.

The pixel is the last axis of every array, so a part of a block is `jax.tree.map(lambda a: a[..., chosen], block)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from talik.errors import InputError
from talik.fusion.observation_errors import Floats, NbeError, StreamError

Array = jax.Array | NDArray[np.float64]
Bools = jax.Array | NDArray[np.bool_]
Ints = NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)
NbeForm = Literal["reference", "plain", "two-scale"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Stream:
    """Observations of one quantity (time, pixel), or a prior of one number a pixel (pixel,).

    sd : final, of the value or, if `log`, of its logarithm.     seen : where there is an observation; value and sd
    are 1 elsewhere so that gradients stay finite, and are never used.
    """

    value: Array
    sd: Array
    seen: Bools
    log: bool = field(default=False, metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NbeStream:
    """Monthly net biome exchange by calendar year, and what makes its residuals independent with sd 1.

    value : (year, 12, pixel), g C m-2 d-1, to the atmosphere; any number where nothing was observed.     whitening :
    (year, 12, 12, pixel); the log-likelihood of residuals r of a year is minus half the squared length of
    ``whitening r``. Months without an
    observation have no weight.     n : months observed (pixel,).     before : months of the first year that are
    before the first step.
    """

    value: Array
    whitening: Array
    n: Array
    before: int = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Observations:
    """All that constrains the pixels of a block; None where a stream is not used.

    lai : m2 m-2.     wood, biomass : g C m-2 in wood alone or in all living pools, at the months they stand for.
    nbe, nee, gpp : g C m-2 d-1, NBE and NEE to the atmosphere.     soc : soil organic carbon at the start, g C m-2.
    lcma : leaf carbon per leaf area, g C m-2.
    """

    lai: Stream | None = None
    wood: Stream | None = None
    biomass: Stream | None = None
    nbe: NbeStream | None = None
    nee: Stream | None = None
    gpp: Stream | None = None
    soc: Stream | None = None
    lcma: Stream | None = None


def stream(name: str, value: Floats, sd: Floats, error: StreamError = StreamError()) -> Stream:  # noqa: B008
    """Observations, NaN where there are none, with their final sd.

    value, sd : (time, pixel) or (pixel,).     error : a lognormal one makes the sd ln(factor), or sd / value.
    InputError: shapes differ; an observation without an sd above 0; one of 0 or less with a lognormal error.
    """
    if value.shape != sd.shape:
        raise InputError(f"{name}: values are {value.shape}, their sd {sd.shape}; expected the same shape.")
    seen = np.isfinite(value)
    log = error.error == "lognormal"
    if log:
        _refuse(name, seen & ~(value > 0), "value(s) of 0 or less", "a lognormal error needs values above 0")
    if log and error.factor is not None:
        width = np.full(value.shape, np.log(error.factor))
    else:
        _refuse(name, seen & ~(np.isfinite(sd) & (sd > 0)), "sd(s) of 0, less or missing", "expected above 0")
        width = np.divide(sd, value, where=seen, out=np.ones(value.shape)) if log else sd
    return Stream(np.where(seen, value, 1.0), np.where(seen, width, 1.0), seen, log)


def nbe_stream(
    value: Floats,
    sd: Floats,
    years: Ints,
    months: Ints,
    form: NbeForm,
    annual_sd: Floats | None = None,
    error: NbeError = NbeError(),  # noqa: B008
) -> NbeStream:
    """Monthly NBE with one of three error models; residuals of different calendar years are independent.

    value, sd : (time, pixel), g C m-2 d-1, NaN where there is none.     annual_sd : (year, pixel), of the mean of a
    calendar year, for "two-scale"; without it that of AR(1) errors with the monthly sds.
    form : "plain", one Gaussian a month. "reference", as the public CARDAMOM code: annual mean and anomalies about it
    both have sd U = sqrt(sum sd^2) / n. "two-scale": the annual mean has its own sd (at least `error.annual_floor`),
    the anomalies about it are those of AR(1) errors with the monthly sds; their density is exact (that of contrasts).
    InputError: as `stream`; a time axis that is not one step a month.
    """
    checked = stream("nbe", value, sd)
    number = 12 * years + months - 1
    if len(years) != len(value) or (np.diff(number) != 1).any():
        raise InputError(
            f"nbe: {len(value)} steps of values and a time axis of {len(years)} steps; expected one step a month, "
            "without gaps. Put NaN where a month has no value."
        )
    before = int(months[0]) - 1
    seen = by_year(np.asarray(checked.seen), before, False)
    width = by_year(np.asarray(checked.sd), before, 1.0)
    n = seen.sum(axis=1)
    if form == "plain":
        precision = _diagonal(seen / width**2)
    elif form == "reference":
        variance = np.where(seen, width**2, 0.0).sum(axis=1) / np.maximum(n, 1) ** 2
        precision = _mean_part(seen) + _diagonal(seen) - _mean_part(seen) * n[:, None, None]
        precision = precision / np.where(n > 0, variance, 1.0)[:, None, None]
    else:
        own = _mean_sd(seen, width, error.rho) if annual_sd is None else _annual(annual_sd, n)
        own = np.maximum(own, error.annual_floor)
        precision = _mean_part(seen) / own[:, None, None] ** 2 + _contrasts(seen, width, error.rho)
    return NbeStream(by_year(np.asarray(checked.value), before, 1.0), _root(precision), n.sum(axis=0), before)


def by_year(values: NDArray[Scalar], before: int, fill: float) -> NDArray[Scalar]:
    """(time, pixel) as (year, 12, pixel), `fill` in the months of the first and last year outside the run."""
    after = -(before + len(values)) % 12
    padded = np.pad(values, ((before, after), (0, 0)), constant_values=fill)
    return padded.reshape(-1, 12, values.shape[1])


def _mean_part(seen: NDArray[np.bool_]) -> Floats:
    """The matrix whose quadratic form is the squared mean of the months seen (year, 12, 12, pixel)."""
    share = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)
    return np.asarray(share[:, :, None] * share[:, None])


def _diagonal(values: Floats) -> Floats:
    return np.asarray(np.eye(12)[None, :, :, None] * values[:, :, None])


def _covariance(seen: NDArray[np.bool_], width: Floats, rho: float) -> Floats:
    """Covariance of AR(1) errors of the months seen (year, 12, 12, pixel), 0 elsewhere."""
    months = np.arange(12)
    lagged = rho ** np.abs(months[:, None] - months)[None, :, :, None]
    sd = np.where(seen, width, 0.0)
    return np.asarray(sd[:, :, None] * sd[:, None] * lagged)


def _mean_sd(seen: NDArray[np.bool_], width: Floats, rho: float) -> Floats:
    """Sd of the mean of AR(1) errors of a year (year, pixel)."""
    n = np.maximum(seen.sum(axis=1), 1)
    return np.asarray(np.sqrt(_covariance(seen, width, rho).sum(axis=(1, 2))) / n)


def _contrasts(seen: NDArray[np.bool_], width: Floats, rho: float) -> Floats:
    """Precision of anomalies about the mean of AR(1) errors: that of the errors, less what a common shift explains."""
    both = seen[:, :, None] & seen[:, None]
    covariance = _covariance(seen, width, rho) + _diagonal(np.asarray(~seen, float))
    errors = np.where(both, _inverses(covariance), 0.0)
    shift = errors.sum(axis=2)
    total = shift.sum(axis=1)
    common = shift[:, :, None] * shift[:, None] / np.where(total > 0, total, 1.0)[:, None, None]
    return np.asarray(errors - common)


def _inverses(matrices: Floats) -> Floats:
    return _matrices_last(np.asarray(np.linalg.inv(_matrices_first(matrices)), float))


def _root(precision: Floats) -> Floats:
    """W with W'W = precision, which may be singular."""
    values, vectors = np.linalg.eigh(_matrices_first(precision))
    rows = np.sqrt(np.maximum(values, 0.0))[..., None] * np.swapaxes(vectors, -1, -2)
    return _matrices_last(rows)


def _matrices_first(a: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.moveaxis(a, -1, 1)


def _matrices_last(a: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.moveaxis(a, 1, -1)


def _annual(annual_sd: Floats, n: NDArray[np.int64]) -> Floats:
    if annual_sd.shape != n.shape:
        raise InputError(f"nbe: the annual sd is {annual_sd.shape}; expected (year, pixel), {n.shape}.")
    bad = (n > 0) & ~(np.isfinite(annual_sd) & (annual_sd > 0))
    _refuse("nbe", bad, "annual sd(s) of 0, less or missing", "expected above 0 in years with months")
    return np.where(n > 0, annual_sd, 1.0)


def _refuse(name: str, bad: NDArray[np.bool_], found: str, expected: str) -> None:
    if bad.any():
        pixels = np.unique(np.nonzero(bad)[-1])
        some = ", ".join(str(p) for p in pixels[:5]) + (", ..." if len(pixels) > 5 else "")
        raise InputError(
            f"{name}: {int(bad.sum())} {found} in pixel(s) {some} of the block; {expected}. "
            "Mark these values as missing (NaN) or leave the pixels out."
        )
