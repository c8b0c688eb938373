"""The three ways limits combine: linear, independent, correlated.

`linear` adds lower limits to lower and upper to upper, on the flattened weights: it is interval arithmetic.
The other two draw every input post from a distribution that keeps its mean and limits (`distributions.fit`)
and join the draws with a Gaussian copula: the identity for `independent`, a stated rank-correlation matrix for
`correlated`. Means are never sampled; they are the weighted sums.

Draws are made in blocks that fit in cache; memory is 8 bytes x draws x different sums, 0.35 GB for the built-in
budget at the default million draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from talik.errors import PostError
from talik.posts.distributions import TAIL, fit
from talik.posts.post import Post, PostKey
from talik.posts.recipe import Weights, linear_limits
from talik.rng import named_rng

Array = npt.NDArray[np.float64]

COMBINATIONS = ("linear", "independent", "correlated")
DRAWS = 1_000_000
BLOCK = 1 << 15
GROUP_CORRELATION = 0.5
"""Default rank correlation within a group; no published value exists (docs/science/budget.md)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one derived post under one assumption.

    `error_low`, `error_high` are Monte Carlo standard errors (0 for linear); `low` and `high` are rounded to the
    digit these support. `shares` is the share of the width each input contributes (sums to 1): of the
    interval for `linear`, of the variance, with covariances split evenly, for the others.
    """

    low: float
    high: float
    error_low: float
    error_high: float
    shares: Weights


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman rank correlation between input posts: one value inside each group, plus named pairs.

    By default a group is all posts of one approach and one gas: they share sites, maps or transport models.
    """

    within_group: float = GROUP_CORRELATION
    groups: Mapping[PostKey, str] | None = None
    pairs: Sequence[tuple[PostKey, PostKey, float]] = ()

    def matrix(self, posts: Sequence[Post]) -> Array:
        """The rank-correlation matrix of `posts`, (n, n); refused when no joint distribution can have it."""
        names = [self._group(p) for p in posts]
        keys = [p.key for p in posts]
        n = len(posts)
        rank = np.eye(n)
        for i in range(n):
            for j in range(i):
                if names[i] == names[j]:
                    rank[i, j] = rank[j, i] = self.within_group
        for a, b, value in self.pairs:
            if a in keys and b in keys:
                i, j = keys.index(a), keys.index(b)
                rank[i, j] = rank[j, i] = value
        if not np.all(np.abs(rank) <= 1):
            raise PostError("correlated: a rank correlation lies outside -1..1.")
        return rank

    def _group(self, post: Post) -> str:
        if self.groups is not None and post.key in self.groups:
            return self.groups[post.key]
        return f"{post.approach} {post.gas}"


def linear(weights: Mapping[PostKey, Weights], posts: Mapping[PostKey, Post]) -> dict[PostKey, Limits]:
    """Limits by interval arithmetic for every derived post (`weights` as `recipe.flatten` returns them)."""
    out = {}
    for key, inputs in weights.items():
        _, low, high = linear_limits(inputs, posts)
        spans = {k: abs(w) * (posts[k].high - posts[k].low) for k, w in inputs.items()}
        out[key] = Limits(low, high, 0.0, 0.0, _normalised(spans))
    return out


def sampled(
    weights: Mapping[PostKey, Weights],
    posts: Mapping[PostKey, Post],
    *,
    seed: int = 0,
    draws: int = DRAWS,
    correlation: Correlation | None = None,
) -> dict[PostKey, Limits]:
    """Limits by Monte Carlo for every derived post; independent inputs unless `correlation` is given.

    Each input has its own random stream named by (seed, id, gas): adding a post changes no other post's draws.
    """
    if draws < 1000:
        raise PostError(f"draws is {draws}; at least 1000 are needed to see a 2.5 % limit.")
    keys = sorted({k for inputs in weights.values() for k in inputs})
    members = [posts[k] for k in keys]
    shapes = [fit(p.mean, p.low, p.high, f"post {p.id!r} ({p.gas})") for p in members]
    root = None if correlation is None else _root(correlation.matrix(members))
    streams = [named_rng(seed, "/".join(k)) for k in keys]
    means = np.array([p.mean for p in members])[:, None]
    # several derived posts are the same sum (a total and its CO2 part): compute each sum once
    sums, which = np.unique(_weight_matrix(weights, keys), axis=0, return_inverse=True)
    totals = np.empty((len(sums), draws))
    covariance = np.zeros((len(sums), len(keys)))
    for start in range(0, draws, BLOCK):
        z = np.stack([rng.standard_normal(min(BLOCK, draws - start)) for rng in streams])
        if root is not None:
            z = root @ z
        x = np.stack([shape.from_normal(row) for shape, row in zip(shapes, z, strict=True)]) - means
        block = sums @ x
        covariance += block @ x.T
        totals[:, start : start + BLOCK] = block
    quantiles = [quantiles_with_error(row, (TAIL, 1 - TAIL)) for row in totals]
    out = {}
    for (key, inputs), i in zip(weights.items(), which.ravel(), strict=True):
        mean = math.fsum(w * posts[k].mean for k, w in inputs.items())
        (low, error_low), (high, error_high) = quantiles[i]
        shares = {k: w * float(covariance[i, keys.index(k)]) for k, w in inputs.items()}
        out[key] = Limits(
            round_to_error(mean + low, error_low),
            round_to_error(mean + high, error_high),
            error_low,
            error_high,
            _normalised(shares),
        )
    return out


def _weight_matrix(weights: Mapping[PostKey, Weights], keys: Sequence[PostKey]) -> Array:
    """Weights as a matrix (derived post, input post)."""
    index = {k: i for i, k in enumerate(keys)}
    matrix = np.zeros((len(weights), len(keys)))
    for row, inputs in zip(matrix, weights.values(), strict=True):
        for k, w in inputs.items():
            row[index[k]] = w
    return matrix


def quantiles_with_error(x: Array, probabilities: Sequence[float]) -> list[tuple[float, float]]:
    """Quantiles of draws `x`, each with its standard error; `x` is reordered in place.

    The error is half the span of the order statistics one binomial standard deviation either side, which
    assumes nothing about the distribution.
    """
    n = x.size
    ranks = []
    for p in probabilities:
        centre = min(max(round(p * n), 1), n) - 1
        spread = max(1, round(math.sqrt(n * p * (1 - p))))
        ranks.append((max(centre - spread, 0), centre, min(centre + spread, n - 1)))
    x.partition(sorted({r for three in ranks for r in three}))
    return [(float(x[at]), float(x[above] - x[below]) / 2) for below, at, above in ranks]


def round_to_error(value: float, error: float) -> float:
    """`value` to the decimal digit whose unit is at least one standard error; unchanged for error 0."""
    return value if error <= 0 else round(value, -math.ceil(math.log10(error)))


def pearson_from_rank(rank: Array) -> Array:
    """Correlation of normal scores that gives this Spearman rank correlation (2 sin(pi r / 6), Pearson 1907)."""
    return 2 * np.sin(np.pi / 6 * rank)


def _root(rank: Array) -> Array:
    """The matrix that turns independent normal scores (post, draw) into scores with this rank correlation."""
    values, vectors = np.linalg.eigh(pearson_from_rank(rank))
    if values.min() < -1e-9:
        raise PostError(
            "correlated: no set of posts can have this rank-correlation matrix (smallest eigenvalue "
            f"{values.min():.3g}). Lower the correlations that contradict each other."
        )
    # the symmetric root keeps every score close to its own stream, whatever the order of the posts
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _normalised(parts: Weights) -> Weights:
    total = math.fsum(parts.values())
    return {k: v / total for k, v in parts.items()} if total > 0 else dict.fromkeys(parts, 0.0)
