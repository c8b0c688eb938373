"""Members of pixels that were inferred alone, weighted anew by a population that all pixels share.

In the first stage each pixel has a prior of its own for a few parameters. In the second these parameters of all pixels
come from one normal distribution, in a scale without bounds, of unknown mean and spread. The likelihood of a pixel need
not be computed again: its members, weighted by the density of the population over that of the first prior, are draws
under the population (Lunn et al. 2013, two stages; Hogg et al. 2010, as importance sampling).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from talik.convergence import TRUSTED_K, pareto_k
from talik.errors import InputError
from talik.fusion.ensemble import systematic

Array = NDArray[np.float64]

SHARED = ("ra_gpp", "temperature_exponent", "combustion_som")
"""Parameters of the population where none are named."""
SPREAD = (0.5, 0.7)
"""Prior of the spread of pixels: its median, and the sd of its logarithm; 95 % lie in 0.13-2.0."""
LEAST_PIXELS = 10
"""With fewer the prior of the spread says more of it than they do."""
LEAST_EFFECTIVE = 10.0
"""Members of a pixel that the population must leave, as an effective number."""
MOST_POOR = 0.1
"""Share of pixels that may miss the last two."""
MOST_NOISE = 0.25
"""Largest variance of differences of the log posterior by the finite number of members: it moves what is found by half
a standard deviation."""
POPULATIONS = 800
"""Draws of the population."""
_TRIALS = 200
_FREEDOM = 5.0
_EDGE = 1e-12
_WIDEN = 1.2
_VALUES = 100_000


@dataclass(frozen=True, slots=True)
class Shared:
    """A parameter of the population: bounds, and mean and sd of the Gaussian of its first prior, which is flat in ln x.

    Its scale is y = logit of where ln x lies between the bounds, so every y is a value within them.
    """

    name: str
    low: float
    high: float
    gaussian: tuple[float, float] | None = None

    def scaled(self, x: Array) -> Array:
        """y of values x, any shape. InputError: a value outside the bounds."""
        share = np.log(x / self.low) / np.log(self.high / self.low)
        if not ((share > -1e-6) & (share < 1 + 1e-6)).all():
            raise InputError(
                f"population: {self.name} runs {np.min(x):g}..{np.max(x):g}; its bounds are {self.low:g}..{self.high:g}"
                ". Take the switches that the pixels were inferred with."
            )
        return np.asarray(logit(np.clip(share, _EDGE, 1 - _EDGE)))

    def value(self, y: Array) -> Array:
        """x of y."""
        return np.asarray(self.low * (self.high / self.low) ** expit(y))

    def log_prior(self, y: Array) -> Array:
        """Log density in y of the first prior, without its constant."""
        density = log_expit(y) + log_expit(-y)
        if self.gaussian is not None:
            mean, sd = self.gaussian
            density = density - 0.5 * ((self.value(y) - mean) / sd) ** 2
        return np.asarray(density)


@dataclass(frozen=True, eq=False)
class HyperPrior:
    """Prior of the population.

    log_mean : log density (n,) of its means (n, K).     spread : median of each spread, and sd of its logarithm.
    """

    log_mean: Callable[[Array], Array]
    spread: tuple[float, float] = SPREAD


@dataclass(frozen=True, eq=False)
class Population:
    """Draws of the population and of members of the pixels under it, and whether they can be trusted.

    mean, spread : (population, K) in the scale of the parameters.     chosen : (pixel, draw) member by number; draw d
    is under population d modulo their number, and each draw is one state of all pixels.     effective : (pixel,)
    effective members (Kish 1965) that a population leaves, their harmonic mean over populations.     pareto : (pixel,)
    Pareto shape of the weights.     noise : variance of differences of the log posterior of populations by the
    finite members (Essick and Farr 2022); its root is the error of the population in standard deviations.
    sampling : Pareto shape of the weights of the populations themselves.
    """

    mean: Array
    spread: Array
    chosen: NDArray[np.unsignedinteger]
    effective: Array
    pareto: Array
    noise: float
    sampling: float

    @property
    def poor(self) -> NDArray[np.bool_]:
        """(pixel,) whether too few members remain for a pixel."""
        return (self.effective < LEAST_EFFECTIVE) | (self.pareto > TRUSTED_K)

    @property
    def reason(self) -> str:
        """Why the draws are not to be used; empty where they may be."""
        told = []
        pixels = self.effective.size
        if pixels < LEAST_PIXELS:
            told.append(f"{pixels} pixels, fewer than {LEAST_PIXELS}")
        if self.poor.mean() > MOST_POOR:
            told.append(
                f"{int(self.poor.sum())} of {pixels} pixels keep fewer than {LEAST_EFFECTIVE:g} effective members or "
                f"have weights of a Pareto shape above {TRUSTED_K:g} (least {self.effective.min():.1f} members)"
            )
        if not self.noise < MOST_NOISE:
            told.append(
                f"the members' number leaves a variance of {self.noise:.2f} in the log posterior, not below "
                f"{MOST_NOISE:g}"
            )
        if self.sampling > TRUSTED_K:
            told.append(f"the population was not sampled well (Pareto shape {self.sampling:.2f})")
        return "; ".join(told)


def shared_members(parameters: Sequence[Shared], values: Array) -> tuple[Array, Array, HyperPrior]:
    """What `population` wants, from values (pixel, member, K) of the parameters.

    Returns them in their scale, the log density of their first prior (pixel, member), and the prior of the population:
    a mean is distributed as the parameter was in each pixel at first. So the first prior counts once, not once a
    pixel, and a population without spread is one pixel's prior for all.
    """
    y = np.stack([of.scaled(values[..., k]) for k, of in enumerate(parameters)], axis=-1)

    def log_prior(at: Array) -> Array:
        return np.asarray(sum(of.log_prior(at[..., k]) for k, of in enumerate(parameters)))

    return y, log_prior(y), HyperPrior(log_prior)


def population(
    values: Array, log_first: Array, prior: HyperPrior, rng: np.random.Generator, draws: int
) -> Population:
    """The population of pixels (pixel, member, K), and `draws` members of each under it.

    log_first : (pixel, member) log density of the members under the first prior, in the scale of values, up to a
    constant. The log posterior of mean and spread is that of their prior plus the sum over pixels of
    log mean of N(value; mean, spread) / first prior over members, less the bias of the logarithm of a mean of few
    members, to first order. It is sampled by adaptive importance sampling from its mode (Cappe et al. 2008).
    InputError: shapes that do not fit, or values that are not finite.
    """
    if values.ndim != 3 or log_first.shape != values.shape[:2] or 0 in values.shape:
        raise InputError(
            f"population: values {values.shape}, first prior {log_first.shape}; expected (pixel, member, parameter) "
            "and (pixel, member)."
        )
    if not (np.isfinite(values).all() and np.isfinite(log_first).all()):
        raise InputError(
            "population: values or densities that are not finite. Leave pixels without members out."
        )
    pixels = _Pixels(values, log_first)
    chosen, sampling = _sampled(pixels, prior, rng, min(POPULATIONS, draws))
    members, effective, average, noise = _chosen(pixels, chosen, rng, draws)
    k = values.shape[2]
    return Population(
        mean=chosen[:, :k],
        spread=np.exp(chosen[:, k:]),
        chosen=members,
        effective=effective,
        pareto=pareto_k(np.log(np.maximum(average, np.finfo(float).tiny))),
        noise=noise,
        sampling=sampling,
    )


class _Pixels:
    """Log weights of members under populations as one matrix product; a population is (mean, ln spread), (2 K,)."""

    def __init__(self, values: Array, log_first: Array) -> None:
        self.shape = values.shape
        self.centre = values.mean(axis=(0, 1))
        off = values - self.centre
        ones = np.ones_like(log_first)
        self.features = np.concatenate([off, off**2, np.stack([ones, -log_first], axis=-1)], axis=-1)

    def log_weights(self, of: Array) -> Iterator[tuple[slice, Array]]:
        """Some pixels, and of them (pixel, member, population) the log of N(value; mean, spread) over the first prior.

        of : (population, 2 K). A few pixels at a time, so that the numbers stay in cache.
        """
        k = self.shape[2]
        mean, spread = of[:, :k] - self.centre, np.exp(of[:, k:])
        constant = -0.5 * np.sum((mean / spread) ** 2, axis=1) - of[:, k:].sum(axis=1)
        slopes = np.column_stack([mean / spread**2, -0.5 / spread**2, constant, np.ones(len(of))])
        step = max(1, _VALUES // (self.shape[1] * len(of)))
        for start in range(0, self.shape[0], step):
            at = slice(start, start + step)
            yield at, self.features[at] @ slopes.T

    def log_likelihood(self, of: Array) -> Array:
        """(population,) sum over pixels of the log of the mean weight."""
        total = np.zeros(len(of))
        for _, logs in self.log_weights(of):
            highest, weights = _weights(logs)
            whole = weights.sum(axis=1)
            squares = np.einsum("pmb,pmb->pb", weights, weights)
            bias = 0.5 * (squares / whole**2 - 1.0 / self.shape[1])
            total += np.sum(np.log(whole) + highest + bias, axis=0)
        return total


def _weights(logs: Array) -> tuple[Array, Array]:
    """Largest logs (pixel, population), and weights relative to it in place of logs (pixel, member, population)."""
    highest = logs.max(axis=1)
    logs -= highest[:, None]
    return highest, np.exp(logs, out=logs)


def _sampled(pixels: _Pixels, prior: HyperPrior, rng: np.random.Generator, count: int) -> tuple[Array, float]:
    """Populations (count, 2 K) drawn from their posterior, and the Pareto shape of the weights behind them."""
    k = pixels.shape[2]
    median, sd = prior.spread

    def log_posterior(of: Array) -> Array:
        spread = np.sum(((of[:, k:] - np.log(median)) / sd) ** 2, axis=1)
        return np.asarray(pixels.log_likelihood(of) + prior.log_mean(of[:, :k]) - 0.5 * spread)

    def cost(at: Array) -> float:
        return -float(log_posterior(at[None])[0])

    start = np.concatenate([pixels.centre, np.full(k, np.log(median))])
    found = minimize(cost, start, method="BFGS", options={"gtol": 1e-3})
    centre, root = np.asarray(found.x), _root(_inverse(_curvature(log_posterior, found.x)))
    for size in (_TRIALS, _TRIALS, max(count, _TRIALS)):
        drawn, logs = _students(centre, _WIDEN * root, rng, size)
        weights = log_posterior(drawn) - logs
        shares = np.exp(weights - weights.max())
        shares /= shares.sum()
        if 1.0 / np.sum(shares**2) > 10.0 * k:
            centre = shares @ drawn
            off = drawn - centre
            root = _root((shares[:, None] * off).T @ off)
    at = systematic(shares, rng, count)
    return drawn[rng.permutation(at)], float(pareto_k(weights))


def _chosen(
    pixels: _Pixels, of: Array, rng: np.random.Generator, draws: int
) -> tuple[NDArray[np.unsignedinteger], Array, Array, float]:
    """Members (pixel, draw) by their weights, effective members, mean weights (pixel, member), and the noise."""
    count, members = pixels.shape[:2]
    sets = -(-draws // len(of))
    chosen = np.empty((count, sets, len(of)), np.min_scalar_type(members - 1))
    average, squares = np.empty((count, members)), np.empty(count)
    columns = np.arange(len(of))[:, None]
    for at, logs in pixels.log_weights(of):
        _, shares = _weights(logs)
        shares /= shares.sum(axis=1, keepdims=True)
        average[at] = shares.mean(axis=2)
        squares[at] = np.einsum("pmb,pmb->p", shares, shares) / len(of)
        for i, one in enumerate(shares, at.start):
            ends = columns + np.cumsum(one, axis=0).T
            found = np.searchsorted(ends.ravel(), columns + rng.random((len(of), sets)))
            chosen[i] = np.clip(found - columns * members, 0, members - 1).T
    noise = float(squares.sum() - np.sum(average**2))
    return chosen.reshape(count, -1)[:, :draws], 1.0 / squares, average, noise


def _students(centre: Array, root: Array, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Draws (count, n) of a Student distribution, and their log densities without the constant."""
    scores = rng.standard_normal((count, centre.size))
    scores /= np.sqrt(rng.chisquare(_FREEDOM, count) / _FREEDOM)[:, None]
    power = -0.5 * (_FREEDOM + centre.size)
    return centre + scores @ root.T, power * np.log1p(np.sum(scores**2, axis=1) / _FREEDOM)


def _curvature(function: Callable[[Array], Array], at: Array, step: float = 0.02) -> Array:
    """Matrix of second derivatives at a point, by central differences."""
    n = at.size
    steps = step * np.eye(n)
    corners = np.array([a * steps[i] + b * steps[j] for i in range(n) for j in range(n) for a, b in _SIGNS])
    values = function(at + corners).reshape(n, n, 4)
    return np.asarray(values @ np.array([a * b for a, b in _SIGNS]) / (4 * step**2))


_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def _inverse(curvature: Array) -> Array:
    """Covariance from the curvature of a log density; directions without curvature get variance 1."""
    values, vectors = np.linalg.eigh(-0.5 * (curvature + curvature.T))
    return np.asarray((vectors / np.where(values > 1.0, values, 1.0)) @ vectors.T)


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 1e-12)))
