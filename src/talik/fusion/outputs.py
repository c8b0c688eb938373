"""What a run is asked for: annual fluxes, carbon use efficiency and residence time of dead carbon."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.fusion.phenology import Array
from talik.fusion.trajectory import Trajectory


class Outputs(NamedTuple):
    """Fluxes, g C m-2 yr-1, positive in the direction named (nee and nbe: to the atmosphere); all of one shape.

    cue : NPP/GPP.     mrt : years, mean of litter + SOM at the starts of steps by annual heterotrophic respiration.
    """

    gpp: jax.Array
    ra: jax.Array
    rh: jax.Array
    npp: jax.Array
    nee: jax.Array
    fire: jax.Array
    nbe: jax.Array
    cue: jax.Array
    mrt: jax.Array


def period_outputs(trajectory: Trajectory, dt: Array, years: NDArray[np.int64]) -> Outputs:
    """Mean annual outputs of all steps (...).

    dt : days of each step (time, ...).     years : calendar year of each step (time,); a step is the share of a
    year that its days are of the 365 or 366 days of its year.
    """
    weights = _by_time(dt, trajectory) / _by_time(_days_of(years), trajectory)
    return _outputs(trajectory, dt, lambda values: values.sum(axis=0), weights.sum(axis=0), len(years))


def annual_outputs(
    trajectory: Trajectory, dt: Array, years: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Outputs]:
    """Calendar years (year,), and their outputs (year, ...); NaN in years that the steps do not cover whole.

    dt : days of each step (time, ...).     years : calendar year of each step (time,).
    """
    labels, index, counts = np.unique(years, return_inverse=True, return_counts=True)

    def add(values: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(values, jnp.asarray(index), num_segments=len(labels))

    covered = add(_by_time(dt, trajectory) + 0.0 * trajectory.fluxes.gpp)
    whole = jnp.where(covered == _by_time(_days_of(labels), trajectory), 1.0, jnp.nan)
    steps = _by_time(counts.astype(np.float64), trajectory)
    return labels, _outputs(trajectory, dt, add, whole, steps)


def _outputs(
    trajectory: Trajectory,
    dt: Array,
    add: Callable[[jax.Array], jax.Array],
    years: jax.Array,
    steps: Array | int,
) -> Outputs:
    """Sums over time by `add`, divided by the years that they span; `steps` are how many each sum has."""
    fluxes, days = trajectory.fluxes, _by_time(dt, trajectory)

    def annual(flux: jax.Array) -> jax.Array:
        return add(flux * days) / years

    gpp, npp, rh = annual(fluxes.gpp), annual(fluxes.npp), annual(fluxes.rh)
    dead = add(trajectory.pools[:-1, 4] + trajectory.pools[:-1, 5]) / steps
    return Outputs(
        gpp=gpp,
        ra=annual(fluxes.ra),
        rh=rh,
        npp=npp,
        nee=annual(fluxes.nee),
        fire=annual(fluxes.fire),
        nbe=annual(fluxes.nbe),
        cue=npp / gpp,
        mrt=dead / rh,
    )


def _by_time(values: Array, trajectory: Trajectory) -> jax.Array:
    """Values (time, ...) with as many batch axes as the trajectory."""
    values = jnp.asarray(values)
    return values.reshape(values.shape + (1,) * (trajectory.fluxes.gpp.ndim - values.ndim))


def _days_of(years: NDArray[np.int64]) -> NDArray[np.float64]:
    """Days of calendar years."""
    starts = np.asarray(years - 1970).astype("datetime64[Y]")
    return np.asarray((starts + 1).astype("datetime64[D]") - starts.astype("datetime64[D]"), dtype=np.float64)
