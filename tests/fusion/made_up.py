"""Trajectories of random numbers, near the limits of the constraints; no model behind them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from talik.fusion.drivers import Drivers
from talik.fusion.trajectory import Fluxes, Trajectory

BATCH = (2, 30)


def trajectory(
    rng: np.random.Generator, steps: int, *, disturbed: bool = True, unrest: float = 0.05
) -> Trajectory:
    """Pools and fluxes whose balances and growth scatter about what constraints allow; batch `BATCH`.

    unrest : sd, in log units, of what differs between years.
    """

    def around(size: float, spread: float, *shape: int) -> np.ndarray:
        lasting = rng.normal(size=(1, *shape, *BATCH)) * spread
        by_year = np.repeat(rng.normal(size=(-(-steps // 12), *shape, *BATCH)), 12, axis=0)[:steps] * unrest
        return size * np.exp(lasting + by_year)

    gpp = around(2.0, 0.4)
    drift = np.linspace(0, 1, steps + 1)[:, None, None, None] * rng.normal(size=(1, 6, *BATCH)) * 0.4
    start = np.array([60, 60, 100, 3000, 180, 16000.0])[:, None, None] * np.exp(
        rng.normal(size=(6, *BATCH)) * 0.8
    )
    flux = {
        name: around(0.2, 0.3)
        for name in (
            "to_foliage",
            "to_labile",
            "to_root",
            "to_wood",
            "release",
            "fall",
            "wood_turnover",
            "root_turnover",
            "rh_litter",
            "litter_to_som",
            "rh_som",
        )
    }
    fire = around(0.02, 0.5, 6), around(0.02, 0.5, 5), around(0.02, 0.5, 4), around(0.01, 0.5, 4)
    emission, mortality, cut, residue = fire if disturbed else (None,) * 4
    fluxes = Fluxes(
        gpp=gpp,
        ra=gpp * 0.5,
        **flux,
        emission=emission,
        mortality=mortality,
        cut=cut,
        residue=residue,
        som_loss=around(0.02, 0.5) if disturbed else None,
    )
    pools = start * np.exp(drift)
    return Trajectory(jnp.asarray(pools), Fluxes(*(None if x is None else jnp.asarray(x) for x in fluxes)))


def drivers(rng: np.random.Generator, steps: int) -> Drivers:
    """Months of 28 to 31 days, cold; batch (pixel, 1)."""
    days = rng.integers(28, 32, (steps, 1, 1)).astype(float)
    warmth = rng.normal(-5, 12, (steps, BATCH[0], 1))
    zero = np.zeros((steps, BATCH[0], 1))
    return Drivers(
        days, zero + 15, warmth - 4, warmth + 4, zero + 10, zero + 400, zero, zero, zero, zero, zero[0] + 62
    )
