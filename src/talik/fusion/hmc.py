"""Many chains of Hamiltonian Monte Carlo with jittered trajectories, tuned for each pixel, in rounds."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from talik.config import Frozen
from talik.fusion.leapfrog import Move, counts_of, move, scattered, unevaluated
from talik.fusion.smc import FASTEST, SLOWEST, Particles
from talik.fusion.target import Array, Point, Target, fold, pixel_keys

LEG = 25
"""Iterations of one call of compiled code."""
FIRST_WINDOW = 25
"""Iterations until the metric is estimated anew for the first time; each window is twice as long as the last."""
GAMMA, DELAY, FORGETTING = 0.05, 10.0, 0.75
"""Of dual averaging (Hoffman and Gelman, 2014)."""
RIDGE = 1e-6
"""Added to the variances of the metric, as a share of them."""
FAILURES = 0.0025
"""Share of failed trajectories of a round, half of what draws may have, above which the next have smaller steps."""
SLOWER, LEAST_STEP = 0.7, 0.5
"""What steps are multiplied by then, and their least share of what the warm-up tuned."""


class HmcSettings(Frozen):
    """How chains are tuned and drawn."""

    chains: Annotated[int, Field(ge=1)] = 16
    """Of each pixel. R-hat below 1.01 needs about 100 effective draws a chain: few long chains reach it first."""
    warmup: Annotated[int, Field(ge=FIRST_WINDOW)] = 400
    """Iterations that tune the sampler and are thrown away."""
    draws: Annotated[int, Field(ge=4)] = 250
    """Kept of each chain in a round."""
    thin: Annotated[int, Field(ge=1)] = 1
    """Every so many iterations one draw is kept."""
    acceptance: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Steps are set for this mean acceptance."""
    leapfrogs: Annotated[int, Field(ge=1)] = 96
    """A trajectory has no more."""
    length: Annotated[float, Field(gt=0)] = 2.5
    """Longest trajectory, in units in which the covariance is 1; lengths are scattered over (0, length]."""


class HmcState(NamedTuple):
    """All that goes on between rounds: arrays, which `numpy.savez` can hold.

    u : (pixel, n, chain).     factor : (pixel, n, n), Cholesky factor of the inverse mass.     step : (pixel,).
    iteration : (), counted from the start of the warm-up.
    """

    u: Array
    factor: Array
    step: Array
    iteration: Array


class Round(NamedTuple):
    """Draws of one round. u : (pixel, chain, draw, n).     log_density : (pixel, chain, draw).

    acceptance : (pixel,), mean.     divergent : (pixel,), number of failed trajectories.     trajectories : number a
    pixel.     gradients : evaluations of every chain of the block.
    """

    u: Array
    log_density: Array
    acceptance: Array
    divergent: Array
    trajectories: int
    gradients: int


def starts(particles: Particles, chains: int, seed: int, pixels: ArrayLike) -> Array:
    """Starts (pixel, n, chain): particles drawn without replacement, with it where there are fewer than chains."""
    count = particles.u.shape[2]
    keys = fold(pixel_keys(seed, pixels), 1)
    chosen = jax.vmap(lambda key: jax.random.choice(key, count, (chains,), replace=chains > count))(keys)
    return jnp.take_along_axis(particles.u, chosen[:, None, :], axis=2)


def warm_up(
    target: Target,
    data: Any,
    pixels: ArrayLike,
    seed: int,
    u: Array,
    factor: Array,
    step: Array,
    settings: HmcSettings | None = None,
) -> tuple[HmcState, int]:
    """The tuned state after the warm-up from u (pixel, n, chain), and the gradients of every chain it took.

    factor : (pixel, n, n), first Cholesky factor of the covariance, and step : (pixel,), as `smc` leaves them. Each
    pixel tunes its step (dual averaging), its metric (covariance of all its chains over growing windows) by itself.
    """
    want = settings or HmcSettings()
    keys = fold(pixel_keys(seed, pixels), 2)
    legs = _legs(want.warmup)
    marks = np.array(_window_marks(legs * LEG)).reshape(legs, LEG)
    state = HmcState(u, factor, step, jnp.int32(0))
    tuning, gradients = _untuned(state), 0
    for ends in marks:
        state, tuning, made = _leg(target, _tuned_by(want), data, keys, state, tuning, ends, True)
        gradients += int(made.gradients)
    return state._replace(step=jnp.clip(jnp.exp(tuning.settled), SLOWEST, FASTEST)), gradients


def draw_round(
    target: Target,
    data: Any,
    pixels: ArrayLike,
    seed: int,
    state: HmcState,
    settings: HmcSettings | None = None,
) -> tuple[HmcState, Round]:
    """The next `draws` of each chain, and the state after them.

    The same state gives the same draws, so a run that was saved between rounds goes on as if it had not stopped.
    Lengths of trajectories are scattered evenly over (0, length] by the number of the iteration. A pixel's draws depend
    on its number, its data and the seed, not on its neighbours, up to rounding.
    """
    want = settings or HmcSettings()
    keys, tuning = fold(pixel_keys(seed, pixels), 2), _untuned(state)
    legs, none = [], np.zeros(LEG, bool)
    for _ in range(_legs(want.draws * want.thin)):
        state, _tuning, made = _leg(target, _tuned_by(want), data, keys, state, tuning, none, False)
        legs.append(jax.tree.map(np.asarray, made))
    kept = slice(want.thin - 1, want.draws * want.thin, want.thin)
    u, density = (np.concatenate([getattr(leg, name) for leg in legs])[kept] for name in ("u", "density"))
    return state, Round(
        jnp.asarray(np.transpose(u, (1, 3, 0, 2))),
        jnp.asarray(np.transpose(density, (1, 2, 0))),
        jnp.asarray(np.mean([leg.acceptance for leg in legs], axis=0)),
        jnp.asarray(np.sum([leg.divergent for leg in legs], axis=0)),
        len(legs) * LEG * u.shape[3],
        int(sum(leg.gradients for leg in legs)),
    )


def slower(state: HmcState, tuned: Array, made: Round) -> HmcState:
    """The state with smaller steps in the pixels of which too many trajectories of a round failed.

    tuned : (pixel,), steps after the warm-up. Narrow places that few trajectories meet do not show in their acceptance.
    """
    small = jnp.maximum(SLOWER * state.step, LEAST_STEP * tuned)
    return state._replace(step=jnp.where(made.divergent / made.trajectories > FAILURES, small, state.step))


def _legs(iterations: int) -> int:
    return -(-iterations // LEG)


def _tuned_by(want: HmcSettings) -> HmcSettings:
    """The settings that compiled code depends on."""
    return HmcSettings(acceptance=want.acceptance, leapfrogs=want.leapfrogs, length=want.length)


def _one(
    target: Target,
    want: HmcSettings,
    data: Any,
    keys: Array,
    here: Point,
    state: HmcState,
    unknown: Array,
) -> tuple[Point, Move]:
    counts = counts_of(scattered(state.iteration) * want.length, state.step, want.leapfrogs)
    key = fold(keys, state.iteration)
    return move(target, data, key, here, state.factor, state.step, counts, unknown=unknown)


class _Tuning(NamedTuple):
    """Of dual averaging: anchor, error, logarithm of the mean step, iterations seen (pixel,).

    Of the metric: centre (pixel, n), sum and products of what lies beyond it.
    """

    anchor: Array
    error: Array
    settled: Array
    seen: Array
    centre: Array
    total: Array
    products: Array


class _Made(NamedTuple):
    """Of one leg: u (LEG, pixel, n, chain), log density (LEG, pixel, chain), and what moves did (pixel,)."""

    u: Array
    density: Array
    acceptance: Array
    divergent: Array
    gradients: Array


@partial(jax.jit, static_argnums=(0, 1))
def _leg(
    target: Target,
    want: HmcSettings,
    data: Any,
    keys: Array,
    state: HmcState,
    tuning: _Tuning,
    ends: Array,
    tunes: bool | Array,
) -> tuple[HmcState, _Tuning, _Made]:
    """`LEG` iterations; where `tunes` they set the step, and the metric anew where a window `ends` (LEG,).

    Warm-up and drawing are one function, because most of the time of a short run is compiling it.
    """

    def iterate(carried: Any, x: Any) -> Any:
        here, state, tuning = carried
        first, end = x
        here, made = _one(target, want, data, keys, here, state, first)
        step, new = _stepped(tuning, want.acceptance - made.acceptance.mean(axis=1))
        new = _gathered(new, here.u)
        step, tuning = jax.tree.map(partial(jnp.where, tunes), (step, new), (state.step, tuning))
        state = state._replace(u=here.u, step=step, iteration=state.iteration + 1)
        state, tuning = jax.lax.cond(end, partial(_window_ends, target), lambda *same: same, state, tuning)
        told = (
            here.u,
            here.density,
            made.acceptance.mean(axis=1),
            made.divergent.sum(axis=1),
            made.gradients,
        )
        return (here, state, tuning), told

    if target.wrap is not None:
        state = state._replace(u=target.wrap(state.u, data))
    first = jnp.arange(LEG) == 0
    (_here, state, tuning), told = jax.lax.scan(iterate, (unevaluated(state.u), state, tuning), (first, ends))
    u, density, acceptance, divergent, gradients = told
    made = _Made(u, density, acceptance.mean(axis=0), divergent.sum(axis=0), gradients.sum())
    return state, tuning, made


def _untuned(state: HmcState) -> _Tuning:
    return _Tuning(*_anchored(state.step), *_emptied(state.u))


def _window_marks(warmup: int) -> list[bool]:
    """Where windows end: each twice as long as the last, the step alone is tuned in the last fifth."""
    ends, size = [], FIRST_WINDOW
    done = size
    while done <= warmup - warmup // 5:
        ends.append(done)
        size *= 2
        done += size
    last = warmup - warmup // 5
    if ends and ends[-1] < last:
        ends[-1 if len(ends) > 1 else 0] = last
    return [i + 1 in ends for i in range(warmup)]


def _anchored(step: Array) -> tuple[Array, Array, Array, Array]:
    zero = jnp.zeros_like(step)
    return jnp.log(2.0 * step), zero, jnp.log(step), zero


def _emptied(u: Array) -> tuple[Array, Array, Array]:
    pixels, n, _ = u.shape
    return u.mean(axis=-1), jnp.zeros((pixels, n)), jnp.zeros((pixels, n, n))


def _stepped(tuning: _Tuning, short: Array) -> tuple[Array, _Tuning]:
    """The next step by dual averaging, from how far acceptance was `short` of the target (pixel,)."""
    seen = tuning.seen + 1
    error = tuning.error + (short - tuning.error) / (seen + DELAY)
    logarithm = tuning.anchor - jnp.sqrt(seen) / GAMMA * error
    logarithm = jnp.clip(logarithm, jnp.log(SLOWEST), jnp.log(FASTEST))
    settled = tuning.settled + seen**-FORGETTING * (logarithm - tuning.settled)
    return jnp.exp(logarithm), tuning._replace(error=error, settled=settled, seen=seen)


def _gathered(tuning: _Tuning, u: Array) -> _Tuning:
    away = u - tuning.centre[..., None]
    return tuning._replace(
        total=tuning.total + away.sum(axis=-1), products=tuning.products + away @ jnp.swapaxes(away, 1, 2)
    )


def _window_ends(target: Target, state: HmcState, tuning: _Tuning) -> tuple[HmcState, _Tuning]:
    """The metric of what the window gathered, and a new start for the step and the next window."""
    seen = tuning.seen * state.u.shape[2]
    mean = tuning.total / seen[:, None]
    covariance = target.within_widest(
        tuning.products / seen[:, None, None] - mean[:, :, None] * mean[:, None, :]
    )
    spread = jnp.diagonal(covariance, axis1=1, axis2=2)
    factor = jnp.linalg.cholesky(covariance + RIDGE * spread[:, None, :] * jnp.eye(mean.shape[1]))
    whole = jnp.all(jnp.isfinite(factor), axis=(1, 2))[:, None, None]
    state = state._replace(factor=jnp.where(whole, factor, state.factor))
    return state, _Tuning(*_anchored(state.step), *_emptied(state.u))
