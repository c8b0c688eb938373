"""What the samplers sample: a density of coordinates, many pixels and chains at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

Array = jax.Array
Density = Callable[[Array, Any], Array]
"""(u, data) to log density (pixel, chain), of coordinates u (pixel, n, chain); each chain by itself."""


@dataclass(frozen=True)
class Target:
    """Log densities of coordinates u (pixel, n, chain) on the whole of R^n, up to a constant of the pixel.

    n : coordinates of a chain.     log_density(u, data) : (pixel, chain), -inf where impossible; differentiable.
    log_reference(u, data) : normalised density of a distribution that can be drawn from, (pixel, chain).
    draw_reference(keys, data, chains) : draws u of it, from a key of each pixel (pixel,); see `normals`.
    wrap(u, data) : u moved to one cycle of periodic coordinates; must change neither density.     widest : (n,),
    largest standard deviation of each coordinate that a metric may hold. Where nothing is known of a day, chains go
    round the year, and a metric as wide as the year would make all steps as small as a day's share of it.

    Functions are pure and know their data by the argument `data` (a pytree with the pixels of the block), so that
    one compilation serves every block of the same shape. Samplers compile for each Target anew: make it once.
    """

    n: int
    log_density: Density
    log_reference: Density
    draw_reference: Callable[[Array, Any, int], Array]
    wrap: Callable[[Array, Any], Array] | None = None
    widest: tuple[float, ...] | None = None

    def within_widest(self, covariance: Array) -> Array:
        """The covariance (pixel, n, n) with the same correlations and no coordinate wider than `widest`."""
        if self.widest is None:
            return covariance
        spread = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2))
        share = jnp.minimum(1.0, jnp.array(self.widest) / jnp.maximum(spread, 1e-300))
        return covariance * share[:, :, None] * share[:, None, :]


class Point(NamedTuple):
    """Where chains are: u (pixel, n, chain), density and reference (pixel, chain) in logarithms, gradient as u.

    `value` and `gradient` are of the tempered density log_reference + beta (log_density - log_reference).
    """

    u: Array
    value: Array
    gradient: Array
    density: Array
    reference: Array


def at(target: Target, u: Array, data: Any, beta: Array | None = None) -> Point:
    """The point u (pixel, n, chain) under `target`, tempered by beta (pixel,); None is 1, without the reference.

    One reverse pass gives the gradients of all chains. What is not finite counts as impossible (-inf, gradient 0).
    """

    def total(u: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        density = target.log_density(u, data)
        if beta is None:
            return density.sum(), (density, density, jnp.zeros_like(density))
        reference = target.log_reference(u, data)
        power = beta[:, None]
        value = (1 - power) * reference + power * jnp.where(power > 0, density, 0.0)
        return value.sum(), (value, density, reference)

    gradient, (value, density, reference) = jax.grad(total, has_aux=True)(u)
    possible = jnp.isfinite(value) & jnp.isfinite(density) & jnp.all(jnp.isfinite(gradient), axis=1)
    if beta is not None:
        possible |= (beta == 0)[:, None] & jnp.isfinite(reference)
    return Point(
        u,
        jnp.where(possible, value, -jnp.inf),
        jnp.where(possible[:, None, :] & jnp.isfinite(gradient), gradient, 0.0),
        jnp.where(jnp.isfinite(density), density, -jnp.inf),
        reference,
    )


def pixel_keys(seed: int, pixels: ArrayLike) -> Array:
    """A random key of each pixel (pixel,), from the seed and the pixel's own number (pixel,) alone."""
    numbers = jnp.asarray(np.asarray(pixels, np.uint32))
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), numbers)


def fold(keys: Array, number: Array | int) -> Array:
    """Keys (pixel,) of the use `number` of the keys (pixel,)."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)


def normals(keys: Array, *shape: int) -> Array:
    """Standard normal numbers (pixel, *shape), each pixel's from its own key (pixel,)."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def uniforms(keys: Array, *shape: int) -> Array:
    """Uniform numbers of [0, 1) (pixel, *shape), each pixel's from its own key (pixel,)."""
    return jax.vmap(lambda key: jax.random.uniform(key, shape))(keys)
