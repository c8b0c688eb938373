"""What the data say about parameters, by the Jacobian at the optimum: the Laplace approximation of the posterior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri_exp
from scipy.stats import norm

from talik.errors import ConfigError, InputError
from talik.rng import named_rng
from talik.tem.calibration.posterior import SCALE_LIMIT, Array, Noise, Prior

AT_LIMIT = 1e-6
"""A coordinate this share of its range from a limit lies at it."""
FAR = 0.1
"""Posterior standard deviations from the optimum, above which the point is not called one."""
SWEEPS = 40
"""Passes along all directions for a draw inside limits; one is enough where no limit is near."""
NO_LIMIT_NEAR = 10.0
"""Posterior standard deviations beyond which no draw comes to a limit."""
FLAT = 1e-6
"""Curvature times squared length below which the density on a line is an exponential, to that share."""
ENOUGH_AGREEMENT = 0.5
"""`agreement` below which the Laplace approximation is not to be used alone."""


@dataclass(frozen=True, eq=False)
class Laplace:
    """The posterior as if the model were linear around `optimum`.

    coordinates : prior of n parameters, then of unknown ln s.     optimum, gradient : (n,) where the model was
    linearised, and there the derivative of half the weighted sum of squares and of the scales' normalisation (without
    the prior).     root : (q, n) whose root^T root is the information of the data (expected, Fisher), (n, n).

    `covariance` and what follows from it is Gaussian: the prior of a coordinate counts with its variance inside the
    limits, and the limits do nothing more. `draws` take the prior and the limits as they are.
    """

    coordinates: Prior
    optimum: Array
    gradient: Array
    root: Array

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        """Information in units of the prior's: eigenvalues, falling (n,), and eigenvectors (n, n) in columns."""
        _, singular, rows = np.linalg.svd(self.root * np.sqrt(self.coordinates.variance), full_matrices=True)
        values = np.zeros(len(self.optimum))
        values[: singular.size] = singular**2
        return values, rows.T

    @property
    def eigenvalues(self) -> Array:
        """Information of the data over that of the prior along each eigenvector, falling (n,)."""
        return self._directions[0]

    @property
    def eigenvectors(self) -> Array:
        """Unit vectors (n, n) in columns, in coordinates over their prior standard deviations."""
        return self._directions[1]

    @property
    def identifiable_directions(self) -> Array:
        """1 - posterior variance/prior variance along each eigenvector (n,), 0 (nothing known) to 1."""
        return self.eigenvalues / (1.0 + self.eigenvalues)

    @cached_property
    def covariance(self) -> Array:
        """Of the coordinates (n, n); a direction without information keeps its prior."""
        values, vectors = self._directions
        scaled = vectors * np.sqrt(self.coordinates.variance)[:, None] / np.sqrt(1.0 + values)
        return np.asarray(scaled @ scaled.T)

    @property
    def standard_error(self) -> Array:
        """(n,), in the coordinates' units."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Array:
        """(n, n), 1 on the diagonal."""
        return self.covariance / np.outer(self.standard_error, self.standard_error)

    @property
    def identifiable(self) -> Array:
        """1 - posterior variance/prior variance of each coordinate (n,), 0 (nothing known) to 1."""
        return 1.0 - np.diag(self.covariance) / self.coordinates.variance

    @property
    def at_limit(self) -> tuple[str, ...]:
        """'low', 'high' or '' of each coordinate."""
        near = AT_LIMIT * (self.coordinates.high - self.coordinates.low)
        low, high = self.optimum <= self.coordinates.low + near, self.optimum >= self.coordinates.high - near
        return tuple("low" if a else "high" if b else "" for a, b in zip(low, high, strict=True))

    @cached_property
    def distance(self) -> float:
        """Of the optimum of the linear model, in posterior standard deviations; what presses on a limit stays there.

        0 at an optimum of the posterior (not of the sum of squares alone, where a prior is normal).
        """
        slope, side = self._slope(), np.asarray(self.at_limit)
        free = ~(((side == "low") & (slope > 0)) | ((side == "high") & (slope < 0)))
        slope = slope[free]
        information = (self.root.T @ self.root + np.diag(1.0 / self.coordinates.variance))[np.ix_(free, free)]
        return float(np.sqrt(max(slope @ np.linalg.solve(information, slope), 0.0))) if free.any() else 0.0

    def _slope(self) -> Array:
        """Derivative of minus the logarithm of the posterior at the optimum (n,)."""
        prior = self.coordinates
        return np.asarray(self.gradient + (self.optimum - prior.mean) / prior.sd**2)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, in words; empty if nothing."""
        names = self.coordinates.names
        said = [
            f"{name} lies at its {'lower' if side == 'low' else 'upper'} limit; its standard error means little, "
            "use draws"
            for name, side in zip(names, self.at_limit, strict=True)
            if side
        ]
        said += [
            f"the data say nothing about {name} (less than 1 % of its prior variance is gone)"
            for name, share in zip(names, self.identifiable, strict=True)
            if share < 0.01
        ]
        if self.distance > FAR:
            said.append(
                f"not an optimum of the posterior: the linear model has it {self.distance:.2g} standard deviations away"
            )
        return tuple(said)

    def log_density(self, z: Array) -> Array:
        """Of draws z (draw, n) in the linear model, prior included, 0 at the optimum; (draw,)."""
        step, sd = z - self.optimum, self.coordinates.sd
        squares = np.sum((step @ self.root.T) ** 2, axis=1) + np.sum((step / sd) ** 2, axis=1)
        return np.asarray(-step @ self._slope() - 0.5 * squares)

    def draws(self, count: int, seed: int) -> Array:
        """`count` independent draws (count, n) of the linear model's posterior, inside the limits.

        By Gibbs sampling along the coordinates and the eigenvectors of the curvature, for each draw from the optimum:
        one pass, which is exact, where no limit is near, else many; uniform where neither data nor prior say anything.
        """
        prior, rng = self.coordinates, named_rng(seed, "laplace draws")
        unit = np.sqrt(prior.variance)
        root = np.vstack([self.root, np.diag(1.0 / prior.sd)]) * unit
        vectors = np.linalg.svd(root, full_matrices=True)[2]
        slope = self._slope() * unit
        low, high = (prior.low - self.optimum) / unit, (prior.high - self.optimum) / unit
        step = np.zeros((count, len(unit)))
        room = (np.minimum(self.optimum - prior.low, prior.high - self.optimum) / self.standard_error).min()
        for _ in range(1 if room > NO_LIMIT_NEAR + self.distance else SWEEPS):
            for direction in (*np.eye(len(unit)), *vectors):
                along = root @ direction
                first = slope @ direction + (step @ root.T) @ along
                with np.errstate(divide="ignore", invalid="ignore"):
                    ends = np.stack([(low - step) / direction, (high - step) / direction])
                moves = np.abs(direction) > 1e-12
                start = np.minimum(*ends)[:, moves].max(axis=1)
                stop = np.maximum(*ends)[:, moves].min(axis=1)
                length = _on_a_line(first, float(along @ along), start, np.maximum(start, stop), rng)
                step = np.clip(step + length[:, None] * direction, low, high)
        return np.asarray(np.clip(self.optimum + step * unit, prior.low, prior.high))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: one entry per coordinate and per direction, the matrices as lists, and the notes."""
        names, prior = self.coordinates.names, self.coordinates
        columns = {
            "optimum": self.optimum,
            "standard_error": self.standard_error,
            "identifiable": self.identifiable,
            "low": prior.low,
            "high": prior.high,
        }
        return {
            "coordinates": [
                {
                    "name": name,
                    "at_limit": self.at_limit[i],
                    **{key: float(v[i]) for key, v in columns.items()},
                }
                for i, name in enumerate(names)
            ],
            "directions": [
                {
                    "identifiable": float(share),
                    "eigenvalue": float(value),
                    "components": dict(zip(names, map(float, vector), strict=True)),
                }
                for share, value, vector in zip(
                    self.identifiable_directions, self.eigenvalues, self.eigenvectors.T, strict=True
                )
            ],
            "correlation": self.correlation.tolist(),
            "covariance": self.covariance.tolist(),
            "distance": self.distance,
            "notes": list(self.notes),
        }


def laplace(prior: Prior, noise: Noise, x: ArrayLike, residual: ArrayLike, jacobian: ArrayLike) -> Laplace:
    """The Laplace approximation at x (n,), from residual (m,) and its Jacobian d residual/dx (m, n).

    Unknown scales are set to the most probable ln s given these residuals, with information 2 x weight x count.
    Second derivatives of the model are left out (Gauss-Newton), which is exact for a linear model. InputError where
    shapes do not fit, a number is not finite, or x lies outside the limits.
    """
    at, r, j = (np.asarray(a, np.float64) for a in (x, residual, jacobian))
    n, m = len(prior.names), noise.stream.size
    for name, array, shape in (("x", at, (n,)), ("residual", r, (m,)), ("Jacobian", j, (m, n))):
        if array.shape != shape:
            raise InputError(f"Laplace approximation: {name} has shape {array.shape}, expected {shape}.")
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"Laplace approximation: {name} has {np.sum(~np.isfinite(array))} values that are not finite; "
                "the model failed here, start from another point."
            )
    outside = (at < prior.low) | (at > prior.high)
    if outside.any():
        i = int(np.argmax(outside))
        raise InputError(
            f"Laplace approximation: {prior.names[i]} is {at[i]:g}, outside its limits {prior.low[i]:g} to "
            f"{prior.high[i]:g}."
        )
    squares = np.bincount(noise.stream, r**2, minlength=len(noise.streams))
    ln_scale, slope = np.zeros(len(noise.streams)), np.zeros(len(noise.streams))
    for k in noise.unknown_index:
        effective = float(noise.weight[k] * noise.counts[k])
        ln_scale[k] = _ln_scale(effective, float(noise.weight[k] * squares[k]), noise.spread)
        slope[k] = effective - noise.weight[k] * squares[k] * np.exp(-2.0 * ln_scale[k])
    inverse = (np.sqrt(noise.weight) * np.exp(-ln_scale))[noise.stream]
    extra = noise.unknown_index
    root = np.zeros((m + extra.size, n + extra.size))
    root[:m, :n] = j * inverse[:, None]
    root[m:, n:] = np.diag(np.sqrt(2.0 * noise.weight * noise.counts)[extra])
    gradient = np.concatenate([root[:m, :n].T @ (r * inverse), slope[extra]])
    return Laplace(
        noise.with_scales(prior),
        np.concatenate([at, ln_scale[extra]]),
        gradient,
        np.asarray(np.linalg.qr(root, mode="r")),
    )


def _ln_scale(effective: float, squares: float, spread: float) -> float:
    """Most probable ln s: the zero of effective - squares exp(-2 ln s) + ln s/spread^2, inside the prior's limits."""
    limit = SCALE_LIMIT * spread

    def slope(ln_scale: float) -> float:
        return effective - squares * float(np.exp(-2.0 * ln_scale)) + ln_scale / spread**2

    if slope(-limit) >= 0.0:
        return -limit
    if slope(limit) <= 0.0:
        return limit
    return float(brentq(slope, -limit, limit, xtol=1e-13))


def _on_a_line(first: Array, second: float, low: Array, high: Array, rng: np.random.Generator) -> Array:
    """One draw (draw,) each of the density exp(-first t - second t^2/2) on low <= t <= high."""
    share, width = rng.uniform(size=first.size), high - low
    if second * float(width.max()) ** 2 > FLAT:
        sd, middle = second**-0.5, -first / second
        left, right = (low - middle) / sd, (high - middle) / sd
        side = np.where(left > 0, -1.0, 1.0)  # in the left tail, where logarithms of probabilities are exact
        ends = np.where(left > 0, [-right, -left], [left, right])
        ln_share = np.logaddexp(log_ndtr(ends[0]) + np.log1p(-share), log_ndtr(ends[1]) + np.log(share))
        t = side * ndtri_exp(np.minimum(ln_share, 0.0)) * sd + middle
        t = np.where(np.isfinite(t), t, low + share * width)  # ends that rounding cannot tell apart
    else:
        fall = np.abs(first) * width
        gentle = fall < 1e-8
        with np.errstate(invalid="ignore"):
            exponential = -np.log1p(share * np.expm1(-fall)) / np.where(gentle, 1.0, fall)
        part = np.where(gentle, share, exponential) * width
        t = np.where(first >= 0, low + part, high - part)
    return np.asarray(np.clip(t, low, high))


def agreement(approximation: Laplace, draws: ArrayLike, log_density: ArrayLike) -> float:
    """How well the linear model's posterior stands for the true one, 0 to 1; 1 for a linear model.

    draws : (draw, n) of `approximation`; log_density : (draw,) of the true posterior there, up to a constant. It is
    the effective share of the draws as importance samples, (sum w)^2/(count sum w^2) (Kong, 1992); below one half
    use the sampler instead. A draw where the model fails (not finite) has no weight.
    """
    truth = np.asarray(log_density, np.float64)
    ln_weight = np.where(np.isfinite(truth), truth, -np.inf) - approximation.log_density(np.asarray(draws))
    if not np.isfinite(ln_weight.max()):
        return 0.0
    weight = np.exp(ln_weight - ln_weight.max())
    return float(weight.sum() ** 2 / (weight.size * np.sum(weight**2)))


@dataclass(frozen=True, eq=False)
class Interval:
    """Predictions (p,) with their limits at `level`, in the prediction's units."""

    level: float
    middle: Array
    low: Array
    high: Array

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "level": self.level,
            **{key: getattr(self, key).tolist() for key in ("middle", "low", "high")},
        }


def linear_interval(
    approximation: Laplace,
    prediction: ArrayLike,
    jacobian: ArrayLike,
    level: float = 0.9,
    noise_sd: ArrayLike = 0.0,
) -> Interval:
    """Prediction (p,) at the optimum and its normal limits, from d prediction/d coordinates (p, n).

    variance = G C G^T + noise_sd^2 with the posterior covariance C; noise_sd (p,) or one number, in the prediction's
    units, is that of new observations (0: of the model's value itself). Unknown ln s need no columns.
    """
    middle, g = np.asarray(prediction, np.float64), np.asarray(jacobian, np.float64)
    n = g.shape[1]
    variance = np.einsum("pi,ij,pj->p", g, approximation.covariance[:n, :n], g)
    half = norm.ppf(0.5 * (1.0 + _checked(level))) * np.sqrt(variance + np.asarray(noise_sd) ** 2)
    return Interval(level, middle, middle - half, middle + half)


def interval_of_draws(
    values: ArrayLike, level: float = 0.9, noise_sd: ArrayLike = 0.0, seed: int = 0
) -> Interval:
    """Median and equal-tailed limits of predictions (draw, p), one row per draw of the posterior.

    noise_sd as in `linear_interval`; (draw, p) where each draw has its own scale. Rows that are not finite (the model
    failed) are an InputError: leave them out knowingly, or look why.
    """
    found = np.asarray(values, np.float64)
    failed = int(np.sum(~np.isfinite(found).all(axis=1)))
    if failed:
        raise InputError(
            f"predictive interval: {failed} of {len(found)} draws gave values that are not finite; find out which "
            "parameters fail, or leave these draws out."
        )
    noise = named_rng(seed, "predictive noise").standard_normal(found.shape) * np.asarray(noise_sd)
    tail = 0.5 * (1.0 - _checked(level))
    low, middle, high = np.quantile(found + noise, [tail, 0.5, 1.0 - tail], axis=0)
    return Interval(level, middle, low, high)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ConfigError(f"interval: level is {level:g}; give a share between 0 and 1, such as 0.9.")
    return level
