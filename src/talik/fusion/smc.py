"""Tempered sequential Monte Carlo: from draws of a reference to particles of the target, and its evidence."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from talik.config import Frozen
from talik.fusion.leapfrog import choose, counts_of, move, scattered
from talik.fusion.target import Array, Point, Target, fold, pixel_keys, uniforms

HALVINGS = 60
"""Of the interval that holds the next exponent."""
SLOWEST, FASTEST = 1e-5, 3.0
"""Limits of a step."""
ADAPTING = 0.6
"""How strongly the logarithm of the step follows the acceptance of one move."""


class SmcSettings(Frozen):
    """How particles go from the reference to the target."""

    particles: Annotated[int, Field(ge=8)] = 192
    """Of each pixel."""
    moves: Annotated[int, Field(ge=1)] = 3
    """Trajectories of each particle after each resampling; twice as many at the end."""
    leapfrogs: Annotated[int, Field(ge=1)] = 24
    """A trajectory has no more."""
    length: Annotated[float, Field(gt=0)] = 2.0
    """Longest trajectory, in units in which the covariance is 1."""
    acceptance: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Steps are set for this mean acceptance."""
    effective: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the particles that weights of one stage are worth; nearer 1 means more stages."""
    shrinkage: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How far correlations of the particles are drawn to 0 in the metric."""
    stages: Annotated[int, Field(ge=1)] = 80
    """A pixel that needs more is flagged."""


class SmcState(NamedTuple):
    """Particles between stages. beta, log_evidence, step : (pixel,).     alive : (pixel,), has a finite density."""

    point: Point
    beta: Array
    log_evidence: Array
    step: Array
    stage: Array
    alive: Array


class Particles(NamedTuple):
    """What a run of `smc` found; pixels that are not `reached` hold what there was when it stopped.

    u : (pixel, n, particle).     log_density : (pixel, particle).     log_evidence : (pixel,), logarithm of the
    target's integral (the reference is normalised).     factor : (pixel, n, n), Cholesky factor of the particles'
    covariance.     step : (pixel,).     stages : (pixel,).     beta : (pixel,), 1 where the target was reached.
    alive : (pixel,), False where no draw of the reference has a finite density.     gradients : evaluations of every
    particle of the block.
    """

    u: Array
    log_density: Array
    log_evidence: Array
    factor: Array
    step: Array
    stages: NDArray[np.int64]
    beta: Array
    alive: NDArray[np.bool_]
    gradients: int

    @property
    def reached(self) -> NDArray[np.bool_]:
        """(pixel,), whether the particles are of the target."""
        return np.asarray(self.alive & (np.asarray(self.beta) == 1.0))


def smc(
    target: Target, data: Any, pixels: ArrayLike, seed: int, settings: SmcSettings | None = None
) -> Particles:
    """Particles of the target of each pixel, each by its own sequence of exponents.

    From one exponent to the next the weights keep the effective share of the settings (Del Moral, Doucet and Jasra,
    2012; by bisection), resampling is systematic, and particles move by Hamiltonian Monte Carlo with lengths in halves
    of their covariance. `pixels` (pixel,) are numbers of the pixels: a pixel's particles depend on its number, its data
    and the seed, not on its neighbours, up to rounding. A pixel without a finite density, or out of stages, is flagged.
    """
    want = settings or SmcSettings()
    keys = pixel_keys(seed, pixels)
    inside = want.model_copy(update={"stages": 1})  # another number of stages needs no other compiled code
    state = _first(target, inside, data, keys)
    state, made = _stage(target, inside, data, keys, state, jnp.asarray(0), False, True)
    state = state._replace(alive=jnp.isfinite(state.point.density).any(axis=1))
    gradients = int(made)
    for number in range(want.stages):
        if not bool(jnp.any(_going(state))):
            break
        state, made = _stage(target, inside, data, keys, state, jnp.asarray(number), False, False)
        gradients += int(made)
    state, made = _stage(target, inside, data, keys, state, jnp.asarray(want.stages), True, False)
    return Particles(
        state.point.u,
        state.point.density,
        state.log_evidence,
        jax.jit(metric, static_argnums=(0, 2))(target, state.point.u, want.shrinkage),
        state.step,
        np.asarray(state.stage, np.int64),
        state.beta,
        np.asarray(state.alive),
        gradients + int(made),
    )


def metric(target: Target, u: Array, shrinkage: float) -> Array:
    """Cholesky factor (pixel, n, n) of the covariance of u (pixel, n, particle), correlations shrunk towards 0."""
    n, count = u.shape[1:]
    away = u - u.mean(axis=-1, keepdims=True)
    covariance = target.within_widest(away @ jnp.swapaxes(away, 1, 2) / count)
    spread = jnp.maximum(jnp.diagonal(covariance, axis1=1, axis2=2), 1e-12)
    shrunk = (1 - shrinkage) * covariance + (shrinkage + 1e-9) * spread[:, None, :] * jnp.eye(n)
    factor: Array = jnp.linalg.cholesky(shrunk)
    return factor


def _going(state: SmcState) -> Array:
    going: Array = state.alive & (state.beta < 1.0)
    return going


@partial(jax.jit, static_argnums=(0, 1))
def _first(target: Target, want: SmcSettings, data: Any, keys: Array) -> SmcState:
    """Draws of the reference; their density is for the first call of `_stage` to say, so that it is compiled once."""
    count = keys.shape[0]
    zero = jnp.zeros(count)
    u = target.draw_reference(fold(keys, 0), data, want.particles)
    reference = target.log_reference(u, data)
    point = Point(u, reference, jnp.zeros_like(u), jnp.full_like(reference, -jnp.inf), reference)
    unseen = jnp.ones(count, bool)
    return _strong(SmcState(point, zero, zero, jnp.full(count, 0.3), jnp.zeros(count, jnp.int32), unseen))


def _strong(state: SmcState) -> SmcState:
    """The state with dtypes that do not give way: a stage is compiled once, not again for what it returned itself."""
    strong: SmcState = jax.tree.map(lambda x: x.astype(x.dtype), state)
    return strong


@partial(jax.jit, static_argnums=(0, 1))
def _stage(
    target: Target,
    want: SmcSettings,
    data: Any,
    keys: Array,
    state: SmcState,
    number: Array,
    final: bool,
    looks: bool,
) -> tuple[SmcState, Array]:
    """The next exponent, resampling and moves of the pixels that are on their way; `final`: moves of those at 1.

    looks : nothing moves; the densities of the particles are found.
    """
    ready = state.alive & (state.beta == 1.0)
    going = _going(state) & ~jnp.asarray(final) & ~jnp.asarray(looks)
    keys = fold(keys, number + 1)
    ratio = state.point.density - state.point.reference
    beta = jnp.where(going, _next(ratio, state.beta, want.effective), state.beta)
    weights = _log_weights(ratio, beta - state.beta)
    evidence = jax.nn.logsumexp(weights, axis=1) - jnp.log(want.particles)
    chosen = _systematic(uniforms(fold(keys, 0)), weights)
    u = jnp.take_along_axis(state.point.u, chosen[:, None, :], axis=2)
    if target.wrap is not None:
        u = target.wrap(u, data)
    u = jnp.where(going[:, None, None], u, state.point.u)
    moving = going | (ready & final)
    point, step, gradients = _moves(
        target, want, data, fold(keys, 1), state.point._replace(u=u), state.step, beta, moving, number, looks
    )
    moved = SmcState(
        point,
        beta,
        jnp.where(going, state.log_evidence + evidence, state.log_evidence),
        step,
        state.stage + going,
        state.alive,
    )
    return _strong(moved), gradients


def _moves(
    target: Target,
    want: SmcSettings,
    data: Any,
    keys: Array,
    point: Point,
    step: Array,
    beta: Array,
    going: Array,
    number: Array | int,
    looks: bool | Array = False,
) -> tuple[Point, Array, Array]:
    """`want.moves` trajectories of the pixels that are `going`, the step after them, and the gradients they took.

    looks : every pixel is evaluated where it is.
    """
    factor = metric(target, point.u, want.shrinkage)

    def one(state: tuple[Point, Array], i: Array) -> tuple[tuple[Point, Array], Array]:
        here, step = state
        key = fold(keys, i)
        share = 0.1 + 0.9 * scattered(number * want.moves + i)
        counts = jnp.where(going, counts_of(share * want.length, step, want.leapfrogs), 0)
        there, made = move(target, data, key, here, factor, step, counts, beta, unknown=i == 0)
        there = choose(jnp.broadcast_to((going | looks)[:, None], here.value.shape), there, here)
        better = step * jnp.exp(ADAPTING * (made.acceptance.mean(axis=1) - want.acceptance))
        step = jnp.where(going, jnp.clip(better, SLOWEST, FASTEST), step)
        return (there, step), made.gradients

    (point, step), gradients = jax.lax.scan(one, (point, step), jnp.arange(want.moves))
    return point, step, gradients.sum()


def _log_weights(ratio: Array, more: Array) -> Array:
    """more x ratio (pixel, particle), where 0 x infinity is 0."""
    return jnp.where(more[:, None] > 0, more[:, None] * ratio, 0.0)


def _next(ratio: Array, beta: Array, effective: float) -> Array:
    """The largest exponent up to 1 (pixel,) whose weights are worth `effective` of the particles with a density."""
    wanted = effective * jnp.isfinite(ratio).sum(axis=1)

    def worth(more: Array) -> Array:
        weights = _log_weights(ratio, more)
        share = jax.nn.softmax(weights, axis=1)
        return 1.0 / jnp.sum(jnp.square(share), axis=1)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        enough = worth(middle) >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    rest = 1.0 - beta
    _, high = jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(rest), rest))
    return jnp.where(worth(rest) >= wanted, 1.0, jnp.minimum(1.0, beta + high))


def _systematic(start: Array, log_weights: Array) -> Array:
    """Indices (pixel, particle) of particles drawn in proportion to their weights with one uniform number a pixel."""
    count = log_weights.shape[1]
    total = jnp.cumsum(jax.nn.softmax(log_weights, axis=1), axis=1)
    ticks = (start[:, None] + jnp.arange(count)) / count * total[:, -1:]
    found = jax.vmap(partial(jnp.searchsorted, side="right"))(total, ticks)
    return jnp.minimum(found, count - 1)
