"""The posterior of a calibration: prior of the coordinates, noise of the observations, and a check of any sampler.

A coordinate is the logarithm of a parameter on a log scale, else the parameter; a residual is
(observation - model)/sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, truncnorm

from talik.errors import ConfigError, InputError
from talik.rng import named_rng

Array = NDArray[np.float64]
AS_GOOD_AS_UNIFORM = 1e-3
"""A normal prior whose limits lie closer together than this share of its standard deviation is uniform to 1e-7."""
SCALE_LIMIT = 5.0
"""An unknown noise scale is searched within this many standard deviations of its logarithm."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Independent coordinates, each uniform inside its limits, or normal (mean, sd) truncated to them.

    names : n.     low, high, mean, sd : (n,), in the coordinates' own units. sd is infinite where the coordinate is
    uniform; its mean then says nothing. Limits are finite and low < high; a normal's mean lies inside them.
    ConfigError where this does not hold.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    mean: Array
    sd: Array

    def __post_init__(self) -> None:
        for field in ("low", "high", "mean", "sd"):
            values = np.asarray(getattr(self, field), np.float64)
            if values.shape != (len(self.names),):
                raise ConfigError(
                    f"prior: {field} has shape {values.shape} but there are {len(self.names)} coordinates; "
                    "give one value for each."
                )
            object.__setattr__(self, field, values)
        for i, name in enumerate(self.names):
            low, high, mean, sd = (float(a[i]) for a in (self.low, self.high, self.mean, self.sd))
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ConfigError(
                    f"prior of {name}: limits are {low:g} and {high:g}; they must be finite, low below high."
                )
            if not sd > 0:
                raise ConfigError(f"prior of {name}: sd is {sd:g}; give a value above 0, or inf for uniform.")
            if np.isfinite(sd) and not low <= mean <= high:
                raise ConfigError(
                    f"prior of {name}: mean {mean:g} lies outside the limits {low:g} to {high:g}; move one of them."
                )
        middle = 0.5 * (self.low + self.high)
        object.__setattr__(self, "mean", np.where(np.isfinite(self.sd), self.mean, middle))

    @classmethod
    def uniform(cls, names: tuple[str, ...], low: ArrayLike, high: ArrayLike) -> Prior:
        """Every coordinate uniform inside low, high (n,)."""
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return cls(names, low, high, low, np.full(len(names), np.inf))

    @cached_property
    def variance(self) -> Array:
        """Variance inside the limits (n,): width^2/12 where uniform, else that of the truncated normal."""
        width = self.high - self.low
        flat = width < AS_GOOD_AS_UNIFORM * self.sd
        sd = np.where(flat, width, self.sd)
        normal = truncnorm.var((self.low - self.mean) / sd, (self.high - self.mean) / sd) * sd**2
        return np.asarray(np.where(flat, width**2 / 12.0, normal))

    def log_density(self, x: jax.Array) -> jax.Array:
        """Logarithm of the density of x (..., n), which is inside the limits, up to a constant; (...)."""
        return -0.5 * jnp.sum(((x - self.mean) / self.sd) ** 2, axis=-1)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """`count` independent draws (count, n)."""
        share = rng.uniform(size=(count, len(self.names)))
        flat = self.high - self.low < AS_GOOD_AS_UNIFORM * self.sd
        sd = np.where(flat, 1.0, self.sd)
        normal = (
            truncnorm.ppf(share, (self.low - self.mean) / sd, (self.high - self.mean) / sd) * sd + self.mean
        )
        x = np.where(flat, self.low + share * (self.high - self.low), normal)
        return np.asarray(np.clip(x, self.low, self.high))


@dataclass(frozen=True, eq=False)
class Noise:
    """What the residuals of a perfect model look like: normal, mean 0, standard deviation s of their stream.

    streams : names.     stream : (m,) index of each residual's stream.     unknown : streams whose s is not known;
    ln s is then a coordinate of its own, normal with mean 0 and standard deviation `spread` (s is log-normal with
    median 1), truncated at five of them. Elsewhere s is 1.     weight : (streams,) share of the observations that
    count as independent, see `independent_share`; the logarithm of the likelihood of the stream is multiplied by it.
    """

    streams: tuple[str, ...]
    stream: NDArray[np.int64]
    weight: Array
    unknown: tuple[str, ...] = ()
    spread: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stream", np.asarray(self.stream, np.int64))
        object.__setattr__(self, "weight", np.asarray(self.weight, np.float64))
        count = len(self.streams)
        if self.stream.size and not (self.stream.min() >= 0 and self.stream.max() < count):
            raise ConfigError(
                f"noise: streams are numbered {self.stream.min()} to {self.stream.max()} but {count} are named."
            )
        if self.weight.shape != (count,) or not (np.all(self.weight > 0) and np.all(self.weight <= 1)):
            raise ConfigError(
                f"noise: weights {self.weight.tolist()}; give each of the {count} streams one above 0, at most 1."
            )
        if missing := set(self.unknown) - set(self.streams):
            raise ConfigError(f"noise: no stream {sorted(missing)}; streams are {', '.join(self.streams)}.")
        if not 0 < self.spread < np.inf:
            raise ConfigError(f"noise: spread is {self.spread:g}; give a finite value above 0.")

    @classmethod
    def known(cls, count: int) -> Noise:
        """One stream of `count` independent residuals whose scale is 1."""
        return cls(("all",), np.zeros(count, np.int64), np.ones(1))

    @cached_property
    def unknown_index(self) -> NDArray[np.int64]:
        """Which stream each unknown scale belongs to, in the order of `streams`."""
        return np.asarray([i for i, name in enumerate(self.streams) if name in self.unknown], np.int64)

    @cached_property
    def counts(self) -> Array:
        """Residuals of each stream (streams,)."""
        return np.bincount(self.stream, minlength=len(self.streams)).astype(np.float64)

    def with_scales(self, prior: Prior) -> Prior:
        """The prior of the coordinates with those of the unknown ln s behind them."""
        names = tuple(f"ln scale of {self.streams[i]}" for i in self.unknown_index)
        zero, limit = np.zeros(len(names)), np.full(len(names), SCALE_LIMIT * self.spread)
        return Prior(
            prior.names + names,
            np.concatenate([prior.low, -limit]),
            np.concatenate([prior.high, limit]),
            np.concatenate([prior.mean, zero]),
            np.concatenate([prior.sd, zero + self.spread]),
        )


@dataclass(frozen=True, eq=False)
class Posterior:
    """Prior times likelihood of a model that is a pure JAX function.

    residual : (start, n) coordinates to (start, m) residuals, (observation - model)/sigma.
    """

    residual: Callable[[jax.Array], jax.Array]
    prior: Prior
    noise: Noise

    @cached_property
    def coordinates(self) -> Prior:
        """The prior of everything that is sampled: the parameters, then the unknown ln s of `noise`."""
        return self.noise.with_scales(self.prior)

    def log_density(self, z: jax.Array) -> jax.Array:
        """Logarithm of the posterior at z (start, n + scales), inside the limits, up to a constant; (start,).

        ln p = ln prior - sum over streams of weight [count ln s + sum r^2/(2 s^2)].
        """
        return self._given(z, self._checked(self.residual(z[:, : len(self.prior.names)])))

    def with_gradient(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`log_density` (start,) and its gradient (start, n + scales): a tangent of the model for each of n."""
        size = len(self.prior.names)
        residual, jacobian = with_jacobian(self.residual, z[:, :size])
        self._checked(residual)
        by_z, by_residual = jax.grad(lambda *at: self._given(*at).sum(), argnums=(0, 1))(z, residual)
        through = jnp.einsum("sm,smn->sn", by_residual, jacobian)
        return self._given(z, residual), by_z.at[:, :size].add(through)

    def _checked(self, residual: jax.Array) -> jax.Array:
        if residual.shape[1:] != self.noise.stream.shape:
            raise InputError(
                f"the model gives residuals of shape {residual.shape} but the noise is for {self.noise.stream.size}; "
                "leave the same observations out of both."
            )
        return residual

    def _given(self, z: jax.Array, residual: jax.Array) -> jax.Array:
        """`log_density` where the residuals are known."""
        size, noise = len(self.prior.names), self.noise
        ln_scale = jnp.zeros((z.shape[0], len(noise.streams))).at[:, noise.unknown_index].set(z[:, size:])
        squares = 0.5 * (residual * jnp.exp(-ln_scale[:, noise.stream])) ** 2
        likelihood = squares @ noise.weight[noise.stream] + ln_scale @ (noise.weight * noise.counts)
        return self.coordinates.log_density(z) - likelihood


def with_jacobian(residual: Callable[[jax.Array], jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Residuals (start, m) at x (start, n) and their derivatives (start, m, n), a start's with respect to its own x.

    Forward mode: a tangent for each coordinate serves all starts.
    """

    def column(tangent: jax.Array) -> tuple[jax.Array, jax.Array]:
        found: tuple[jax.Array, jax.Array] = jax.jvp(residual, (x,), (jnp.broadcast_to(tangent, x.shape),))
        return found

    return jax.vmap(column, out_axes=(None, 2))(jnp.eye(x.shape[1], dtype=x.dtype))


def independent_share(
    residual: ArrayLike, stream: ArrayLike, series: ArrayLike, month: ArrayLike, streams: int
) -> Array:
    """Independent observations per observation of each stream (streams,), above 0 and at most 1.

    residual, stream, series, month : (m,); pairs of neighbours are residuals of one series (a site's variable) in
    months that follow each other. With r the lag-1 autocorrelation about zero (a lasting bias counts as correlation),
    the share is (1 - r)/(1 + r) for first-order autoregressive noise (Dawdy and Matalas, 1964); 1 where r is not
    positive or there are fewer than three pairs; at least one observation is left.
    """
    r, which, site, time = (np.asarray(a) for a in (residual, stream, series, month))
    share = np.ones(streams)
    for k in range(streams):
        mine = which == k
        order = np.lexsort((time[mine], site[mine]))
        values, sites, times = r[mine][order], site[mine][order], time[mine][order]
        pairs = (sites[1:] == sites[:-1]) & (times[1:] == times[:-1] + 1)
        square = float(np.mean(values**2)) if values.size else 0.0
        if pairs.sum() < 3 or square == 0.0:
            continue
        lag = float(np.mean(values[1:][pairs] * values[:-1][pairs])) / square
        lag = min(max(lag, 0.0), 1.0)
        share[k] = max((1.0 - lag) / (1.0 + lag), 1.0 / values.size)
    return share


def ranks(
    simulate: Callable[[Array, np.random.Generator], Any],
    sampler: Callable[[Any, np.random.Generator], Array],
    prior: Prior,
    repetitions: int,
    seed: int,
) -> NDArray[np.int64]:
    """Ranks (repetition, n) of true coordinates among draws of the posterior given data simulated from them.

    simulate(x (n,), rng) makes data; sampler(data, rng) gives (draw, n). If the sampler is right, a rank is uniform
    over 0 .. draws (Talts et al., 2018); thin the draws of a chain until they are about independent.
    """
    found = np.empty((repetitions, len(prior.names)), np.int64)
    for i in range(repetitions):
        rng = named_rng(seed, f"simulation-based calibration {i}")
        truth = prior.draw(1, rng)[0]
        found[i] = np.sum(sampler(simulate(truth, rng), rng) < truth, axis=0)
    return found


def uniform_ranks(rank: NDArray[np.int64], draws: int, bins: int = 10) -> Array:
    """Probability (n,) of ranks (repetition, n) among `draws` being as uneven, were they uniform (chi-square test).

    Small (below 0.01, say) means that the sampler, or the model it assumes, is wrong. Bins hold equally many of the
    draws + 1 possible ranks as nearly as can be; InputError if fewer than five ranks are expected in one.
    """
    edges = np.linspace(0, draws + 1, bins + 1).round()
    expected = np.diff(edges)[:, None] * len(rank) / (draws + 1)
    if expected.min() < 5:
        raise InputError(
            f"{len(rank)} repetitions in {bins} bins: {expected.min():.1f} ranks expected in one, at least 5 needed; "
            "take more repetitions or fewer bins."
        )
    counted = np.stack([np.histogram(column, edges - 0.5)[0] for column in rank.T], axis=1)
    return np.asarray(chi2.sf(np.sum((counted - expected) ** 2 / expected, axis=0), bins - 1))
