"""Differential evolution with an archive: walkers that need no gradient, in rungs of temperature if asked."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from talik.config import Frozen
from talik.errors import ConfigError
from talik.fusion.draws import Draws
from talik.fusion.target import Array, Target, fold, pixel_keys, uniforms

SNOOKER = (1.2, 2.2)
"""Limits of the factor of a snooker update (ter Braak and Vrugt, 2008)."""


class DeSettings(Frozen):
    """How walkers move and what is kept of them."""

    walkers: Annotated[int, Field(ge=3)] = 128
    """Of each pixel and rung."""
    rungs: Annotated[tuple[float, ...], Field(min_length=1)] = (1.0,)
    """Exponents of the likelihood, falling from 1; more than one is parallel tempering."""
    generations: Annotated[int, Field(ge=1)] = 20_000
    """Moves of each walker."""
    burn_in: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the generations that is thrown away."""
    thin: Annotated[int, Field(ge=1)] = 20
    """Every so many generations walkers are kept, enter the archive and, with rungs, try to change places."""
    archive: Annotated[int, Field(ge=16)] = 5_000
    """Past states of a rung that moves are made of; the oldest go first."""
    snooker: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of snooker updates."""
    jumps: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the other updates with the factor 1, which leads from mode to mode."""
    crossover: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Chance that a coordinate takes part in an update."""
    noise: Annotated[float, Field(gt=0)] = 1e-4
    """Standard deviation of what is added to each coordinate, as a share of the spread of the rung's archive."""


class DeState(NamedTuple):
    """Walkers u (pixel, n, rung x walker), their densities, the archive (pixel, rung, n, state) and its filling."""

    u: Array
    density: Array
    reference: Array
    archive: Array
    filled: Array
    generation: Array
    accepted: Array


def de(target: Target, data: Any, pixels: ArrayLike, seed: int, settings: DeSettings | None = None) -> Draws:
    """Draws of each pixel by DE-MCz with snooker updates (ter Braak and Vrugt, 2008), rung 1 only.

    Walkers and archive begin at draws of the reference. A walker moves along the difference of two states of the
    archive, or towards a third by snooker; with crossover below 1 along part of the coordinates (Vrugt, 2016). Rungs
    other than 1 sample log_reference + rung (log_density - log_reference).
    """
    want = settings or DeSettings()
    if want.rungs[0] != 1.0 or any(a <= b for a, b in zip(want.rungs, want.rungs[1:], strict=False)):
        raise ConfigError(
            f"de: rungs are {want.rungs}; expected exponents that fall from 1, as (1.0, 0.5, 0.2)."
        )
    begun = time.monotonic()
    keys = pixel_keys(seed, pixels)
    state = _first(target, want, data, keys)
    rounds = max(1, want.generations // want.thin)
    skipped = int(want.burn_in * rounds)
    state, _ = _run(target, want, skipped, data, keys, state)
    before = state.accepted
    state, (u, density) = _run(target, want, rounds - skipped, data, keys, state)
    moves = (rounds - skipped) * want.thin * want.walkers
    evaluations = float((rounds * want.thin + 1) * want.walkers * len(want.rungs))
    return Draws(
        np.asarray(jnp.transpose(u, (1, 3, 0, 2))),
        np.asarray(jnp.transpose(density, (1, 2, 0))),
        np.asarray((state.accepted - before) / moves),
        np.zeros(len(keys)),
        np.full(len(keys), evaluations),
        time.monotonic() - begun,
    )


@partial(jax.jit, static_argnums=(0, 1))
def _first(target: Target, want: DeSettings, data: Any, keys: Array) -> DeState:
    pixels, rungs = keys.shape[0], len(want.rungs)
    u = target.draw_reference(fold(keys, 0), data, rungs * want.walkers)
    old = target.draw_reference(fold(keys, 1), data, rungs * want.archive)
    archive = jnp.moveaxis(old.reshape(pixels, target.n, rungs, want.archive), 1, 2)
    density, reference = _densities(target, data, u)
    none = jnp.zeros(pixels)
    filled = jnp.int32(min(want.archive, 10 * target.n + want.walkers))
    return DeState(u, density, reference, archive, filled, jnp.int32(0), none)


def _densities(target: Target, data: Any, u: Array) -> tuple[Array, Array]:
    density = target.log_density(u, data)
    return jnp.where(jnp.isfinite(density), density, -jnp.inf), target.log_reference(u, data)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(target: Target, want: DeSettings, rounds: int, data: Any, keys: Array, state: DeState) -> Any:
    def one(state: DeState, _: None) -> tuple[DeState, tuple[Array, Array]]:
        state = jax.lax.fori_loop(0, want.thin, lambda _, s: _generation(target, want, data, keys, s), state)
        if len(want.rungs) > 1:
            state = _exchange(want, fold(keys, state.generation), state)
        state = _archived(want, state)
        return state, (state.u[..., : want.walkers], state.density[:, : want.walkers])

    return jax.lax.scan(one, state, None, rounds)


def _tempered(want: DeSettings, density: Array, reference: Array) -> Array:
    beta = jnp.repeat(jnp.asarray(want.rungs), want.walkers)
    return reference + beta * (density - reference)


def _generation(target: Target, want: DeSettings, data: Any, keys: Array, state: DeState) -> DeState:
    keys = fold(keys, state.generation + 2)
    n, walkers = state.u.shape[1:]
    chance, places, taking, normal = jnp.split(uniforms(keys, 7 + 2 * n, walkers), (4, 7, 7 + n), axis=1)
    places = jnp.floor(places * state.filled).astype(jnp.int32)
    a, b, c = (_taken(want, state.archive, places[:, i]) for i in range(3))
    taking = taking < want.crossover
    together = jnp.maximum(taking.sum(axis=1), 1)
    factor = jnp.where(chance[:, 0] < want.jumps, 1.0, 2.38 / jnp.sqrt(2.0 * together))
    known = (jnp.arange(want.archive) < state.filled)[None, None, None, :]
    spread = jnp.sqrt(jnp.var(state.archive, axis=-1, where=known))
    noise = want.noise * jnp.repeat(jnp.swapaxes(spread, 1, 2), want.walkers, axis=2)
    normal = jax.scipy.special.ndtri(jnp.clip(normal, 1e-12, 1 - 1e-12))
    along = jnp.where(taking, factor[:, None] * (a - b), 0.0) + noise * normal
    snooker = chance[:, 1] < want.snooker
    line = state.u - c
    size = jnp.sum(jnp.square(line), axis=1)
    low, high = SNOOKER
    pull = (low + (high - low) * chance[:, 2]) * jnp.sum((a - b) * line, axis=1) / jnp.maximum(size, 1e-300)
    proposal = state.u + jnp.where(snooker[:, None], pull[:, None] * line, along)
    after = jnp.sum(jnp.square(proposal - c), axis=1)
    bent = 0.5 * (n - 1) * (jnp.log(after) - jnp.log(size))
    density, reference = _densities(target, data, proposal)
    gain = _tempered(want, density, reference) - _tempered(want, state.density, state.reference)
    gain = jnp.where(jnp.isfinite(state.density), gain, jnp.where(jnp.isfinite(density), 0.0, -jnp.inf))
    gain += jnp.where(snooker, bent, 0.0)
    accepted = jnp.log1p(-chance[:, 3]) < gain
    first = accepted[:, : want.walkers].mean(axis=1) * want.walkers
    return state._replace(
        u=jnp.where(accepted[:, None], proposal, state.u),
        density=jnp.where(accepted, density, state.density),
        reference=jnp.where(accepted, reference, state.reference),
        generation=state.generation + 1,
        accepted=state.accepted + first,
    )


def _taken(want: DeSettings, archive: Array, places: Array) -> Array:
    """States of the archive (pixel, n, rung x walker) at `places` (pixel, rung x walker), each of its own rung."""
    pixels, rungs, n, _ = archive.shape
    found = jnp.take_along_axis(archive, places.reshape(pixels, rungs, 1, want.walkers), axis=3)
    return jnp.moveaxis(found, 1, 2).reshape(pixels, n, rungs * want.walkers)


def _archived(want: DeSettings, state: DeState) -> DeState:
    """Walkers put into their rungs' archives, over the oldest where these are full."""
    pixels, n, _ = state.u.shape
    rungs = len(want.rungs)
    new = jnp.moveaxis(state.u.reshape(pixels, n, rungs, want.walkers), 1, 2)
    first = state.generation // want.thin - 1
    begun = min(want.archive, 10 * n + want.walkers)
    place = (begun + first * want.walkers + jnp.arange(want.walkers)) % want.archive
    filled = jnp.minimum(state.filled + want.walkers, want.archive)
    return state._replace(archive=state.archive.at[..., place].set(new), filled=filled)


def _exchange(want: DeSettings, keys: Array, state: DeState) -> DeState:
    """Walkers of neighbouring rungs change places with Metropolis' chance; pairs of rungs alternate."""
    pixels, n, _ = state.u.shape
    rungs = len(want.rungs)
    by_rung = (pixels, rungs, want.walkers)
    density, reference = state.density.reshape(by_rung), state.reference.reshape(by_rung)
    ratio = jnp.where(jnp.isfinite(density), density - reference, -1e300)
    beta = jnp.asarray(want.rungs)[:, None]
    rung = jnp.arange(rungs)
    pair = rung + jnp.where((rung + state.generation // want.thin) % 2 == 0, 1, -1)
    pair = jnp.where((pair >= 0) & (pair < rungs), pair, rung)
    gain = (beta - beta[pair]) * (ratio[:, pair] - ratio)
    chance = uniforms(fold(keys, 4), rungs, want.walkers)
    shared = chance[:, jnp.minimum(rung, pair)]
    swaps = jnp.log1p(-shared) < gain

    def swapped(values: Array) -> Array:
        return jnp.where(swaps, values[:, pair], values).reshape(pixels, -1)

    u = state.u.reshape(pixels, n, rungs, want.walkers)
    moved = jnp.where(swaps[:, None], u[:, :, pair], u).reshape(state.u.shape)
    return state._replace(u=moved, density=swapped(density), reference=swapped(reference))
