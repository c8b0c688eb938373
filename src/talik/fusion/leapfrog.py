"""One move of Hamiltonian Monte Carlo of all pixels and chains: momentum, trajectory, acceptance."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from talik.fusion.target import Array, Point, Target, at, normals

DIVERGENT = 50.0
"""A trajectory whose energy error is larger has failed."""


class Move(NamedTuple):
    """What a move did. acceptance, divergent : (pixel, chain).     gradients : of each chain, with those of waiting."""

    acceptance: Array
    divergent: Array
    gradients: Array


def scattered(number: Array | int) -> Array:
    """Item `number` (0, 1, ...) of van der Corput's sequence: evenly scattered shares of (0, 1], each prefix too."""
    bits = (jnp.asarray(number, jnp.uint32) >> jnp.arange(32, dtype=jnp.uint32)) & 1
    return 1.0 - jnp.sum(bits * 0.5 ** (jnp.arange(32) + 1.0))


def counts_of(length: Array, step: Array, largest: int) -> Array:
    """Leapfrogs (pixel,), 1 to `largest`, of a trajectory over `length` by steps (pixel,)."""
    return jnp.clip(jnp.ceil(length / step), 1, largest).astype(jnp.int32)


def move(
    target: Target,
    data: Any,
    keys: Array,
    start: Point,
    factor: Array,
    step: Array,
    counts: Array,
    beta: Array | None = None,
    unknown: Array | bool = False,
) -> tuple[Point, Move]:
    """The points after one move of every chain, and what it did.

    keys : (pixel,).     factor : (pixel, n, n), Cholesky factor of the inverse mass, about the covariance.     step :
    (pixel,), in units in which the covariance is 1.     counts : (pixel,) leapfrogs; a pixel that has fewer than
    another of the block waits.     beta : (pixel,) as in `at`.     unknown : only the coordinates of `start` are known
    (see `unevaluated`); one more gradient finds the rest, in the same compiled code.
    """
    n, chains = start.u.shape[1:]
    drawn = normals(keys, n + 1, chains)
    momentum, chance = drawn[:, :n], jax.scipy.special.ndtr(drawn[:, n])
    start, end, velocity = _trajectory(target, data, start, factor, step, counts, momentum, beta, unknown)
    before = start.value - 0.5 * jnp.sum(jnp.square(momentum), axis=1)
    after = end.value - 0.5 * jnp.sum(jnp.square(velocity), axis=1)
    gain = jnp.where(jnp.isfinite(after), after - before, -jnp.inf)
    gain = jnp.where(jnp.isfinite(before), gain, jnp.where(jnp.isfinite(after), 0.0, -jnp.inf))
    acceptance = jnp.exp(jnp.minimum(gain, 0.0))
    accepted = chance < acceptance
    made = Move(acceptance, gain < -DIVERGENT, counts.max() + unknown)
    return choose(accepted, end, start), made


def unevaluated(u: Array) -> Point:
    """A point of which only the coordinates u (pixel, n, chain) are known."""
    none = jnp.zeros((u.shape[0], u.shape[2]))
    return Point(u, none, jnp.zeros_like(u), none, none)


def choose(first: Array, one: Point, other: Point) -> Point:
    """Of each chain the point `one` where `first` (pixel, chain), else `other`."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(first[:, None, :] if a.ndim == 3 else first, a, b)

    picked: Point = jax.tree.map(pick, one, other)
    return picked


def _trajectory(
    target: Target,
    data: Any,
    start: Point,
    factor: Array,
    step: Array,
    counts: Array,
    momentum: Array,
    beta: Array | None,
    unknown: Array | bool,
) -> tuple[Point, Point, Array]:
    """Start and end of the leapfrogs and momentum there.

    Momenta are whitened: u' = factor p, p' = factor^T gradient. The density stands once in the loop, because it takes
    long to compile: turn -1 evaluates the start.
    """
    size = step[:, None, None]

    def leap(state: tuple[Array, Point, Point, Array]) -> tuple[Array, Point, Point, Array]:
        turn, start, here, p = state
        half = p + 0.5 * size * _pull(factor, here.gradient)
        u = jnp.where(turn < 0, here.u, here.u + size * (factor @ half))
        there = at(target, u, data, beta)
        going = jnp.broadcast_to((turn < counts)[:, None], here.value.shape)
        new = half + 0.5 * size * _pull(factor, there.gradient)
        p = jnp.where(going[:, None] & (turn >= 0), new, p)
        first = jnp.broadcast_to(turn < 0, going.shape)
        return turn + 1, choose(first, there, start), choose(going, there, here), p

    longest = counts.max()
    begin = (-jnp.asarray(unknown).astype(jnp.int32), start, start, momentum)
    _, start, end, p = jax.lax.while_loop(lambda s: s[0] < longest, leap, begin)
    return start, end, p


def _pull(factor: Array, gradient: Array) -> Array:
    return jnp.swapaxes(factor, 1, 2) @ gradient
