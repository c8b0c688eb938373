"""The adaptive Metropolis sampler of CARDAMOM, quirks included: what published results were made with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from talik.config import Frozen
from talik.errors import InputError
from talik.fusion.draws import Draws
from talik.fusion.target import Array, Density, fold, normals, pixel_keys, uniforms

ISOTROPIC = 0.001
"""Step of the proposal that knows no covariance, and of what is added to the one that does."""
MIXED = 0.95
"""Share of the covariance proposal."""
FIRST_POINTS = 3
"""Accepted points from which the covariance is first made."""


class ApMcmcSettings(Frozen):
    """Lengths of the reference, and which of its quirks to keep; all kept by default."""

    chains: Annotated[int, Field(ge=2)] = 3
    """Of each pixel."""
    iterations: Annotated[int, Field(ge=1000)] = 10_000_000
    """Of each chain, with the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the iterations that walk in the cost of each stream over its number of observations."""
    adapting: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the iterations after which the covariance rests."""
    every: Annotated[int, Field(ge=1)] = 1000
    """Iterations between updates of the covariance."""
    kept: Annotated[int, Field(ge=4)] = 1000
    """States of a chain over all iterations; those of the warm-up are thrown away."""
    search: Annotated[int, Field(ge=1)] = 100_000
    """Proposals of one attempt to satisfy the constraints."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """A chain that found no start after so many is flagged and stays where it is."""
    rhat: Annotated[float, Field(gt=1)] = 1.2
    """Gelman and Rubin's, of the log density, for keeping chains."""
    last: Annotated[int, Field(ge=1)] = 100
    """States of each chain that form the ensemble."""
    long_steps: bool = True
    """Q3: the factor 2.38^2/n multiplies the step, not the variance."""
    endless: bool = True
    """Q4: adaptation goes on for ever while fewer than 5 % of the proposals are accepted."""
    isotropic_warmup: bool = True
    """Q13: the covariance proposal is for the main phase, and only where there was a warm-up."""
    drop: bool = True
    """Chains are dropped until the others agree, or two are left."""


@dataclass(frozen=True)
class Walk:
    """What AP-MCMC samples: functions of z (pixel, n, chain) in [0, 1]^n and data, each (pixel, chain).

    log_density : may be -inf.     log_start : 0 where the constraints hold, -5 x (number that fail) elsewhere.
    log_warm : the density of the warm-up, where the cost of each stream is divided by its number of observations.
    """

    n: int
    log_density: Density
    log_start: Density
    log_warm: Density


class ApState(NamedTuple):
    """Chains between rounds. z, best : (pixel, n, chain).     value, highest : log density there (pixel, chain).

    mean : (pixel, chain, n), covariance, factor : (pixel, chain, n, n).     points : (pixel, chain) in the covariance.
    accepted : (pixel, chain) proposals of this phase.     recent : (pixel, n, chain, 3) the last accepted points.
    iteration : (), of all phases.     began : (), first iteration of this phase.
    """

    z: Array
    value: Array
    best: Array
    highest: Array
    mean: Array
    covariance: Array
    factor: Array
    points: Array
    accepted: Array
    recent: Array
    iteration: Array
    began: Array


class ApMcmc(NamedTuple):
    """What the sampler found.

    draws : kept states of the main phase.     started : (pixel, chain), whether the constraints were met.     chains :
    (pixel, chain), whether a chain was kept.     rhat : (pixel,) Gelman and Rubin's of the kept chains' log density.
    """

    draws: Draws
    started: NDArray[np.bool_]
    chains: NDArray[np.bool_]
    rhat: NDArray[np.float64]

    def ensemble(self, pixel: int, last: int = 100) -> NDArray[np.float64]:
        """The last states of each kept chain of one pixel (member, n)."""
        u = self.draws.u[pixel][self.chains[pixel]][:, -last:]
        return np.asarray(u.reshape(-1, u.shape[-1]))


def ap_mcmc(
    walk: Walk,
    data: Any,
    pixels: ArrayLike,
    seed: int,
    settings: ApMcmcSettings | None = None,
    starts: Array | None = None,
) -> ApMcmc:
    """Draws by the adaptive Metropolis sampler (Haario et al., 2001) as CARDAMOM runs it (Edinburgh, 2022-2024).

    Random starts walk until the constraints hold (`find_starts`), or `starts` (pixel, n, chain) are given; a warm-up in
    flattened costs; the main phase from its best point. Proposals outside [0, 1] are rejected. Not to be used for
    inference: with its quirks it is not ergodic, and rarely converges.

    Raises:
        InputError: `starts` of another shape.
    """
    want = settings or ApMcmcSettings()
    begun = time.monotonic()
    keys = pixel_keys(seed, pixels)
    if starts is None:
        z, started, evaluations = find_starts(walk, data, pixels, seed, want)
    else:
        expected = (len(keys), walk.n, want.chains)
        if starts.shape != expected:
            raise InputError(
                f"ap_mcmc: starts have shape {starts.shape}; expected (pixel, n, chain), {expected}."
            )
        z, started, evaluations = starts, jax.jit(walk.log_start)(starts, data) >= 0, float(want.chains)
    thin = max(1, want.iterations // want.kept)
    total = want.iterations // thin
    warm = int(want.warmup * total)
    state = _begin(walk.log_warm if warm else walk.log_density, data, z)
    if warm:
        state, _ = _run(walk, want, warm, False, data, keys, state)
        state = _restart(walk, data, state)
    state, (u, density) = _run(walk, want, total - warm, True, data, keys, state)
    accepted = np.asarray(state.accepted) / ((total - warm) * thin)
    u, density = np.asarray(jnp.transpose(u, (1, 3, 0, 2))), np.asarray(jnp.transpose(density, (1, 2, 0)))
    spent = evaluations + float(want.chains * total * thin)
    draws = Draws(
        u, density, accepted.mean(axis=1), np.zeros(len(u)), np.full(len(u), spent), time.monotonic() - begun
    )
    chains, found = zip(*(agreeing(one, want.rhat, want.drop) for one in density), strict=True)
    return ApMcmc(draws, np.asarray(started), np.array(chains) & np.asarray(started), np.array(found))


def gelman_rubin(values: NDArray[np.float64]) -> float:
    """Potential scale reduction of chains (chain, draw), not split (Gelman and Rubin, 1992); NaN if nothing moves."""
    length = values.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        within = values.var(axis=1, ddof=1).mean()
        between = values.mean(axis=1).var(ddof=1)
        return float(np.sqrt((length - 1) / length + between / within))


def agreeing(density: NDArray[np.float64], limit: float, drop: bool) -> tuple[NDArray[np.bool_], float]:
    """Which chains (chain,) of log densities (chain, draw) agree to `limit`, and their Gelman and Rubin's statistic.

    With `drop` the chain whose absence helps most leaves, until the others agree or two are left.
    """
    kept = np.ones(len(density), bool)
    found = gelman_rubin(density)
    while drop and not found < limit and kept.sum() > 2:
        without = []
        for i in np.flatnonzero(kept):
            fewer = kept.copy()
            fewer[i] = False
            without.append((gelman_rubin(density[fewer]), i))
        found, out = min(without, key=lambda pair: (np.isnan(pair[0]), pair[0]))
        kept[out] = False
    return kept, found


def find_starts(
    walk: Walk, data: Any, pixels: ArrayLike, seed: int, settings: ApMcmcSettings
) -> tuple[Array, Array, float]:
    """Starts z (pixel, n, chain) where the constraints hold, (pixel, chain) where they do, evaluations of a pixel."""
    want, keys = settings, pixel_keys(seed, pixels)
    z = jnp.full((keys.shape[0], walk.n, want.chains), 0.5)
    found = jnp.zeros((keys.shape[0], want.chains), bool)
    evaluations = 0.0
    for attempt in range(want.attempts):
        again = uniforms(fold(fold(keys, 1), attempt), walk.n, want.chains)
        z = jnp.where(found[:, None], z, again)
        z, found, tried = _attempt(walk.log_start, want.search, data, fold(fold(keys, 2), attempt), z)
        evaluations += float(tried) * want.chains
        if bool(found.all()):
            break
    return z, found, evaluations


@partial(jax.jit, static_argnums=(0, 1))
def _attempt(log_start: Density, most: int, data: Any, keys: Array, z: Array) -> tuple[Array, Array, Array]:
    def on(state: tuple[Array, Array, Array]) -> Array:
        tried, _z, value = state
        return (tried < most) & jnp.any(value < 0)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        tried, z, value = state
        drawn = normals(fold(keys, tried), z.shape[1] + 1, z.shape[2])
        proposal = z + ISOTROPIC * drawn[:, :-1]
        new = jnp.where(_inside(proposal), log_start(proposal, data), -jnp.inf)
        accepted = (jnp.log(jax.scipy.special.ndtr(drawn[:, -1])) < new - value) & (value < 0)
        return tried + 1, jnp.where(accepted[:, None], proposal, z), jnp.where(accepted, new, value)

    tried, z, value = jax.lax.while_loop(on, step, (jnp.int32(0), z, log_start(z, data)))
    return z, value >= 0, tried


def _inside(z: Array) -> Array:
    return jnp.all((z >= 0) & (z <= 1), axis=1)


def _begin(density: Callable[[Array, Any], Array], data: Any, z: Array) -> ApState:
    pixels, n, chains = z.shape
    value = jax.jit(density)(z, data)
    none = jnp.zeros((pixels, chains))
    square = jnp.zeros((pixels, chains, n, n))
    return ApState(
        z,
        value,
        z,
        value,
        jnp.zeros((pixels, chains, n)),
        square,
        jnp.full_like(square, jnp.nan),
        none.astype(jnp.int32),
        none.astype(jnp.int32),
        jnp.repeat(z[..., None], FIRST_POINTS, axis=-1),
        jnp.int32(0),
        jnp.int32(0),
    )


def _restart(walk: Walk, data: Any, state: ApState) -> ApState:
    """From the best point of the warm-up, with its covariance."""
    value = jax.jit(walk.log_density)(state.best, data)
    return state._replace(
        z=state.best,
        value=value,
        highest=value,
        accepted=jnp.zeros_like(state.accepted),
        began=state.iteration,
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _run(
    walk: Walk, want: ApMcmcSettings, rounds: int, main: bool, data: Any, keys: Array, state: ApState
) -> Any:
    """`rounds` kept states of the main phase, or of the warm-up."""
    thin = max(1, want.iterations // want.kept)
    density = walk.log_density if main else walk.log_warm

    def iterate(_: Any, state: ApState) -> ApState:
        state = _step(want, density, main, data, fold(fold(keys, 3), state.iteration), state)
        due = state.iteration % want.every == 0
        adapted: ApState = jax.lax.cond(due, partial(_adapted, want, main), lambda same: same, state)
        return adapted

    def keep(state: ApState, _: None) -> tuple[ApState, tuple[Array, Array]]:
        state = jax.lax.fori_loop(0, thin, iterate, state)
        return state, (state.z, state.value)

    return jax.lax.scan(keep, state, None, rounds)


def proposal_step(want: ApMcmcSettings, n: int) -> float:
    """What multiplies the factor of the covariance times standard normal numbers: n is the number of parameters."""
    return MIXED * (2.38**2 / n if want.long_steps else 2.38 / float(np.sqrt(n)))


def _step(
    want: ApMcmcSettings, density: Density, main: bool, data: Any, keys: Array, state: ApState
) -> ApState:
    n, chains = state.z.shape[1:]
    whole = jnp.all(jnp.isfinite(state.factor), axis=(2, 3))
    unlocked = (main and want.warmup > 0) if want.isotropic_warmup else state.points >= 10 * n
    known = whole & unlocked
    drawn = normals(keys, 2 * n + 1, chains)
    first, second, chance = drawn[:, :n], drawn[:, n:-1], jax.scipy.special.ndtr(drawn[:, -1])
    shaped = jnp.einsum("pcij,pjc->pic", jnp.where(known[..., None, None], state.factor, 0.0), first)
    known = known[:, None]
    step = proposal_step(want, n) * shaped + (1 - MIXED) * ISOTROPIC * second
    proposal = state.z + jnp.where(known, step, ISOTROPIC * first)
    value = jnp.where(_inside(proposal), density(proposal, data), -jnp.inf)
    gain = jnp.where(jnp.isneginf(state.value) & jnp.isfinite(value), 0.0, value - state.value)
    accepted = jnp.log(chance) < gain
    z = jnp.where(accepted[:, None], proposal, state.z)
    value = jnp.where(accepted, value, state.value)
    better = value > state.highest
    recent = jnp.concatenate([state.recent[..., 1:], z[..., None]], axis=-1)
    return state._replace(
        z=z,
        value=value,
        best=jnp.where(better[:, None], z, state.best),
        highest=jnp.where(better, value, state.highest),
        accepted=state.accepted + accepted,
        recent=jnp.where(accepted[:, None, :, None], recent, state.recent),
        iteration=state.iteration + 1,
    )


def _adapted(want: ApMcmcSettings, main: bool, state: ApState) -> ApState:
    """The covariance with the current point in it, of the chains that still adapt."""
    n = state.z.shape[1]
    share = state.accepted / (state.iteration - state.began)
    going = jnp.broadcast_to(state.iteration <= want.adapting * want.iterations, share.shape)
    if main and want.endless:
        going |= share < 0.05
    began = state.points == 0
    going &= ~began | (state.accepted >= FIRST_POINTS)
    recent = jnp.transpose(state.recent, (0, 2, 3, 1))
    first_mean = recent.mean(axis=2)
    away = recent - first_mean[:, :, None]
    first_covariance = jnp.einsum("pcki,pckj->pcij", away, away) / (FIRST_POINTS - 1)
    z = jnp.swapaxes(state.z, 1, 2)
    points = jnp.where(began, FIRST_POINTS, jnp.minimum(state.points + 1, 10 * n))
    weight = 1.0 / jnp.maximum(points, 2)[..., None]
    apart = z - state.mean
    outer = apart[..., :, None] * apart[..., None, :]
    covariance = (1 - weight[..., None]) * (state.covariance + weight[..., None] * outer)
    pick = began[..., None]
    mean = jnp.where(pick, first_mean, state.mean + weight * apart)
    covariance = jnp.where(pick[..., None], first_covariance, covariance)
    kept = going[..., None]
    covariance = jnp.where(kept[..., None], covariance, state.covariance)
    return state._replace(
        mean=jnp.where(kept, mean, state.mean),
        covariance=covariance,
        factor=jnp.where(kept[..., None], jnp.linalg.cholesky(covariance), state.factor),
        points=jnp.where(going, points, state.points),
    )
